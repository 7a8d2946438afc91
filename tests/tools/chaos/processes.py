"""The processes of a round: the receiver, the load, and the commands of ours."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from benchmarks.live import child_of, choose_directory
from benchmarks.notified import notified

__all__ = ("Away", "Command", "choose_directory", "start_load")

_HERE = Path(__file__).parent
_READY_SECONDS, _GONE_SECONDS = 90.0, 1.0
# Below those that the kernel gives to clients (ip_local_port_range), so that nobody takes it while we are away.
_PORTS = (20_000, 30_000)
_PROCESSES = 4


class Away:
    """A receiver that can go, be killed, and come back on the same port. ``folder`` is its own."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.port = folder, _free_port()
        self._process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        """Where it listens, or would."""
        return f"http://127.0.0.1:{self.port}"

    def behave(self, how: str) -> None:
        """From the next request on."""
        unfinished = self.folder / "behaviour.unfinished"
        unfinished.write_text(how)
        unfinished.rename(self.folder / "behaviour")

    def start(self) -> None:
        """Be there, if it is not."""
        if self._process is None:
            command = [sys.executable, "-m", "tests.tools.chaos.receiver", "--port", str(self.port)]
            command += ["--folder", str(self.folder)]
            self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=_HERE.parents[2])
            assert self._process.stdout
            if self._process.stdout.readline() != "listening\n":
                raise RuntimeError(f"the receiver does not start on port {self.port}")

    def kill(self) -> None:
        """Go without a word."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


class Command:
    """``orchestrate ...`` with a state directory of its own; what it says is kept."""

    def __init__(self, folder: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
        self.killed_at: int | None = None
        self._said = (folder / f"{arguments[0]}-{time.monotonic_ns()}.stderr").open("w+b")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "orchestrator", *arguments],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._said,
            env={**os.environ, "PYTHONPATH": str(_HERE.parents[2]), **_ENVIRONMENT, **(environment or {})},
        )

    @classmethod
    def ready(cls, folder: Path, *arguments: str, environment: Mapping[str, str]) -> Command:
        """Start one that tells when its probes are attached, and wait for that."""
        path = folder / f"notify-{time.monotonic_ns()}"
        with notified(path) as ready:
            command = cls(folder, *arguments, environment={**environment, "NOTIFY_SOCKET": str(path)})
            threading.Thread(target=_wake, args=(command.process, path), daemon=True).start()
            try:
                ready.wait(_READY_SECONDS)
            except (AssertionError, TimeoutError):
                code, _, said = command.end(_GONE_SECONDS)
                raise RuntimeError(f"a run does not start, and ends with {code}: {said}") from None
        return command

    def kill(self) -> None:
        """``kill -9``."""
        if self.process.poll() is None:
            self.killed_at = time.monotonic_ns()
            self.process.kill()
            self.process.wait()

    def kill_bpftrace(self) -> None:
        """``kill -9`` of the last process below."""
        with contextlib.suppress(OSError):
            if (pid := child_of(self.process.pid)) != self.process.pid:
                os.kill(pid, signal.SIGKILL)

    def end(self, timeout: float, number: int | None = None) -> tuple[int, str, str]:
        """Wait for the end, asked for by a signal or not, and force it; exit code, stdout, stderr."""
        if number is not None and self.process.poll() is None:
            self.process.send_signal(number)
        try:
            stdout = self.process.communicate(timeout=timeout)[0]
        except subprocess.TimeoutExpired:
            self.process.kill()
            stdout = self.process.communicate()[0]
        self._said.seek(0)
        with self._said:
            return self.process.returncode, stdout.decode(), self._said.read().decode()


# A receiver that hangs is to cost a round seconds, not minutes.
_ENVIRONMENT = {"OTEL_EXPORTER_OTLP_TIMEOUT": "1000"}


def start_load(name: str, rate: int, seconds: float, directory: int) -> subprocess.Popen[str]:
    """Begin; it prints how many events there were."""
    arguments = [name, str(rate), str(seconds), str(_PROCESSES), str(directory)]
    return subprocess.Popen([sys.executable, _HERE / "load.py", *arguments], stdout=subprocess.PIPE, text=True)


def _wake(process: subprocess.Popen[bytes], path: Path) -> None:
    """A command that ends before it is ready is not waited for any longer."""
    process.wait()
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"ENDED", str(path))


def _free_port() -> int:
    while True:
        port = random.randrange(*_PORTS)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
