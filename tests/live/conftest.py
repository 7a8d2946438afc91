"""What live tests need, and why they skip; in CI (``CI`` is set) nothing may skip."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest

TOOLS = Path(__file__).parents[1] / "tools"
SUITES = {"0.23": "trixie", "0.27": "sid"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.live)


def lack(reason: str) -> NoReturn:
    if os.environ.get("CI"):
        pytest.fail(f"in CI every live test has to run: {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="session", autouse=True)
def _tracing() -> None:
    if os.geteuid() != 0:
        lack("live tests need root")
    if shutil.which("bpftrace") is None:
        lack("bpftrace is not installed")
    if not Path("/sys/kernel/tracing/events").is_dir():
        lack("tracefs is not mounted: mount -t tracefs tracefs /sys/kernel/tracing")


@pytest.fixture(scope="session", autouse=True)
def _hangups() -> None:
    """Under nohup(1) whatever is started here would ignore SIGHUP as well."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(scope="session", params=["host", *SUITES])
def bpftrace(request: pytest.FixtureRequest) -> str:
    """The host's bpftrace, and those of other Debian releases in chroots."""
    if request.param == "host":
        return "bpftrace"
    if shutil.which("debootstrap") is None:
        lack("debootstrap is not installed")
    made = subprocess.run(
        [TOOLS / "bpftrace-suite", SUITES[request.param]], capture_output=True, text=True, check=False
    )
    if made.returncode:
        lack(f"no bpftrace {request.param}: {made.stderr}")
    return made.stdout.strip()


@dataclass(frozen=True)
class Collector:
    """A real Collector: where it listens, and the folder of its output."""

    grpc: int
    http: int
    folder: Path

    def output(self, kind: str, enough: str, timeout: float = 60.0) -> str:
        """What it wrote of ``kind`` (logs, metrics), once ``enough`` stands in it."""
        path = self.folder / f"{kind}.jsonl"
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            text = path.read_text() if path.exists() else ""
            if enough in text and text.endswith("\n"):
                return text
            time.sleep(0.05)
        raise AssertionError(f"the Collector did not write {enough!r} to {path.name}")


_CONFIG = """
receivers:
  otlp:
    protocols:
      grpc: {{endpoint: "127.0.0.1:{grpc}"}}
      http: {{endpoint: "127.0.0.1:{http}"}}
exporters:
  file/logs: {{path: "{folder}/logs.jsonl", flush_interval: 100ms}}
  file/metrics: {{path: "{folder}/metrics.jsonl", flush_interval: 100ms}}
  file/traces: {{path: "{folder}/traces.jsonl", flush_interval: 100ms}}
  file/profiles: {{path: "{folder}/profiles.jsonl", flush_interval: 100ms}}
  debug: {{verbosity: detailed}}
service:
  telemetry: {{metrics: {{level: none}}}}
  pipelines:
    logs: {{receivers: [otlp], exporters: [file/logs]}}
    metrics: {{receivers: [otlp], exporters: [file/metrics]}}
    traces: {{receivers: [otlp], exporters: [file/traces]}}
    profiles: {{receivers: [otlp], exporters: [file/profiles, debug]}}
"""


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens to, each another one."""
    with ExitStack() as held:
        listeners = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [listener.getsockname()[1] for listener in listeners]


def free_port() -> int:
    return free_ports(1)[0]


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[Collector]:
    if shutil.which("go") is None:
        lack("Go is not installed, which builds the Collector")
    built = subprocess.run([TOOLS / "build-collector"], capture_output=True, text=True, check=False)
    if built.returncode:
        lack(f"the Collector could not be built: {built.stderr}")
    folder = tmp_path / "collector"
    folder.mkdir()
    grpc, http = free_ports(2)
    found = Collector(grpc, http, folder)
    config = folder / "config.yaml"
    config.write_text(_CONFIG.format(grpc=found.grpc, http=found.http, folder=folder))
    with (folder / "log").open("wb") as log:
        command = [built.stdout.strip(), "--config", str(config), "--feature-gates=service.profilesSupport"]
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        wait_for(found.grpc, found.http)
        yield found
    finally:
        process.terminate()
        process.wait(30)


def wait_for(*ports: int) -> None:
    deadline = time.monotonic() + 60
    for port in ports:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert time.monotonic() < deadline, "the Collector does not listen"
                time.sleep(0.05)
