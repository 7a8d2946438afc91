"""What `http` and `cpu` cost those who are traced: ratios from runs in pairs, with and without.

    python benchmarks/cost.py [--bpftrace PATH] [--rounds 5]     (as root; needs nginx and wrk)

- nginx, one worker, a small answer over connections that are kept: the CPU time that a request costs the worker, and
  the requests a second that wrk gets. wrk, bpftrace and we share the CPUs with it, so the second tells of the machine.
- reads of /dev/zero, which are no HTTP: nanoseconds of CPU each. That is what every such system call of a host pays.
- a loop that uses one CPU: turns per CPU second, with `cpu` at 99 Hz.

The two of a pair follow each other, so that a noisy machine disturbs both; medians of the pairs' ratios are printed.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

SECONDS = 3
_NGINX = """
worker_processes 1; daemon off; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
  access_log off; keepalive_requests 10000000;
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{ listen 127.0.0.1:{port}; location / {{ return 200 "a small answer\\n"; }} }}
}}
"""
_READS = """
import os, time
zero = os.open("/dev/zero", os.O_RDONLY)
begin, count = time.process_time_ns(), 400_000
for _ in range(count):
    os.read(zero, 1)
print((time.process_time_ns() - begin) / count)
"""
_LOOP = f"""
import time
begin, turns = time.process_time(), 0
while time.process_time() - begin < {SECONDS}:
    for _ in range(10_000):
        pass
    turns += 1
print(turns / (time.process_time() - begin))
"""


@contextmanager
def tracing(bpftrace: str, *arguments: str) -> Iterator[None]:
    """`orchestrate run` while the block lasts."""
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready:
        ready.bind(str(Path(folder) / "notify"))
        process = subprocess.Popen(
            [sys.executable, "-m", "orchestrator", "run", *arguments, "--bpftrace", bpftrace, "--output", "/dev/null"],
            stderr=subprocess.DEVNULL,
            env={**os.environ, "NOTIFY_SOCKET": str(Path(folder) / "notify")},
        )
        ready.recv(100)
        try:
            yield
        finally:
            process.terminate()
            process.wait()


@contextmanager
def nginx() -> Iterator[tuple[int, int]]:
    """The port of an nginx, and the pid of its worker."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        config = Path(folder) / "nginx.conf"
        config.write_text(_NGINX.format(folder=folder, port=port))
        process = subprocess.Popen(["nginx", "-p", folder, "-c", config], stderr=subprocess.DEVNULL)
        try:
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                except OSError:
                    time.sleep(0.05)
            yield port, int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text())
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


def loaded(port: int) -> float:
    """How many requests wrk makes over four connections."""
    command = ["wrk", "--threads", "1", "--connections", "4", "--duration", f"{SECONDS}s", f"http://127.0.0.1:{port}/"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"(\d+) requests in", shown)
    assert found, shown
    return float(found[1])


def request_cost(port: int, worker: int) -> float:
    """Microseconds of the worker's CPU that a request takes."""
    begin, requests = _cpu(worker), loaded(port)
    return (_cpu(worker) - begin) / 1000 / requests


def _cpu(pid: int) -> int:
    # The first number of schedstat: nanoseconds on a CPU.
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0])


def printed(program: str) -> float:
    """The number that a Python program prints."""
    return float(subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout)


def compare(what: str, rounds: int, bpftrace: str, run: tuple[str, ...], measure: Callable[[], float]) -> None:
    """Print the median of both, and of the ratio of the pairs."""
    pairs = []
    for _ in range(rounds):
        pair = []
        for context in (nullcontext(), tracing(bpftrace, *run)):
            with context:
                pair.append(measure())
        pairs.append(pair)
    without, traced = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratios = sorted(pair[1] / pair[0] for pair in pairs)
    print(
        f"{what}: {without:,.1f} without, {traced:,.1f} with; ratio {statistics.median(ratios):.3f} "
        f"({ratios[0]:.3f} to {ratios[-1]:.3f})",
        flush=True,
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bpftrace", default="bpftrace")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    os.environ["PATH"] += ":/usr/sbin"
    for tool in ("nginx", "wrk"):
        if shutil.which(tool) is None:
            parser.error(f"{tool} is not installed: apt-get install {tool}")
    rounds, bpftrace = arguments.rounds, arguments.bpftrace
    with nginx() as (port, worker):
        for what, traced in (("nginx", port), ("nginx, another port traced", 1)):
            http = ("http", "--set", "client=false", "--set", f"ports={traced}")
            compare(f"{what}, us of CPU per request", rounds, bpftrace, http, lambda: request_cost(port, worker))
            compare(f"{what}, requests/s", rounds, bpftrace, http, lambda: loaded(port) / SECONDS)
    compare("read of /dev/zero, ns", rounds, bpftrace, ("http",), lambda: printed(_READS))
    compare("busy loop, turns per CPU second", rounds, bpftrace, ("cpu",), lambda: printed(_LOOP))


if __name__ == "__main__":
    main()
