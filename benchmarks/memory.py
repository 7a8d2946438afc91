"""Peak memory of our process, and of bpftrace's, with all built-in signals together under load.

    python -m benchmarks.memory [--bpftrace PATH] [--seconds 20]

The load: HTTP requests to a server of Python's, processes that are started, and a process whose allocations and CPU
time are profiled. Needs root.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from benchmarks import sink
from benchmarks.live import child_of, memory
from benchmarks.machine import described
from benchmarks.measure import table
from benchmarks.notified import notified

_SIGNALS = "tcp,exec,http,cpu,offcpu,alloc"
_BUSY = "while True: [bytearray(1 << 10) for _ in range(100)]"
_TIMEOUT = 120.0


def main() -> None:
    """Run once, and look at the end."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bpftrace", default="bpftrace")
    parser.add_argument("--seconds", type=float, default=20.0)
    arguments = parser.parse_args()
    print(described(arguments.bpftrace), flush=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        sink.started() as receiver,
        subprocess.Popen([sys.executable, "-c", _BUSY]) as busy,
        subprocess.Popen(
            [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1"],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as server,
    ):
        assert server.stdout
        port = int(server.stdout.readline().split(" port ")[1].split()[0])
        try:
            ours, theirs = _peaks(Path(folder), receiver, busy.pid, port, arguments)
        finally:
            busy.kill()
            server.kill()
    print(table(("all built-in signals", "peak MB"), [["our process", ours / 1e6], ["bpftrace", theirs / 1e6]]))


def _peaks(folder: Path, receiver: sink.Sink, busy: int, port: int, arguments: argparse.Namespace) -> tuple[int, int]:
    command = [sys.executable, "-m", "orchestrator", "run", _SIGNALS, "--set", f"alloc.pid={busy}"]
    command += ["--bpftrace", arguments.bpftrace, "--interval", "2s", "--otlp-endpoint", receiver.url]
    with notified(folder / "notify") as ready:
        run = subprocess.Popen(command, cwd=folder, env=ready.environment)
        ready.wait(_TIMEOUT)
    until = time.monotonic() + arguments.seconds
    while time.monotonic() < until:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/") as answer:
            answer.read()
        subprocess.run(["/bin/true"], check=True)
    peaks = memory(run.pid, "VmHWM"), memory(child_of(run.pid), "VmHWM")
    run.terminate()
    run.wait(_TIMEOUT)
    return peaks


if __name__ == "__main__":
    main()
