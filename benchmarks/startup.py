"""What starting costs: CPU of `--help`, what `run` adds to bare bpftrace, and what cron pays for a short capture.

    python -m benchmarks.startup [--bpftrace PATH] [--rounds 5]     (as root)

Both times of a pair are taken one after the other, so that a noisy machine disturbs both; medians are printed.
"""

from __future__ import annotations

import argparse
import os
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.measure import Spent, median, run
from config.parameters import resolve_parameters
from orchestrator.bpftrace.launch import Launch
from orchestrator.catalog import find_signals
from orchestrator.host import Host

TARGETS = "tcp,exec"


def cpu_of(*command: str) -> float:
    """User and system seconds of one command."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def bare(bpftrace: str) -> float:
    """Seconds from starting bpftrace, with the program that `run` would start, to its ready mark."""
    signals, host = find_signals(TARGETS), Host()
    values = resolve_parameters({signal.name: signal.manifest for signal in signals}, [])
    rendered = {signal.name: signal.render(values[signal.name], host) for signal in signals}
    text = Launch(bpftrace, os.environ, rendered, {}, 10.0).program(signals)
    start = time.monotonic()
    limits = {"BPFTRACE_STRLEN": "200", "BPFTRACE_MAX_STRLEN": "200"}
    process = subprocess.Popen(
        [bpftrace, "-f", "json", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **limits},
    )
    assert process.stdin and process.stdout  # noqa: PT018
    process.stdin.write(text.encode())
    process.stdin.close()
    next(line for line in process.stdout if b'"ready"' in line)
    seconds = time.monotonic() - start
    process.kill()
    process.stdout.read()
    process.stdout.close()
    process.wait()
    return seconds


def ours(bpftrace: str) -> float:
    """Seconds from starting `orchestrate run` to its READY=1."""
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(Path(folder) / "notify"))
        start = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-m", "orchestrator", "run", TARGETS, "--bpftrace", bpftrace, "--output", "/dev/null"],
            stderr=subprocess.DEVNULL,
            env={**os.environ, "NOTIFY_SOCKET": str(Path(folder) / "notify")},
        )
        listener.recv(100)
        seconds = time.monotonic() - start
        process.terminate()
        process.wait()
    return seconds


def capture(bpftrace: str) -> Spent:
    """`orchestrate run --duration 1s`, with bpftrace, to a file."""
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder) / "out.jsonl")
        command = [sys.executable, "-m", "orchestrator", "run", TARGETS, "--duration", "1s", "--output", file]
        return run([*command, "--bpftrace", bpftrace])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bpftrace", default="bpftrace")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    helps = [cpu_of(sys.executable, "-m", "orchestrator", "--help") for _ in range(arguments.rounds)]
    nothing = [cpu_of(sys.executable, "-c", "pass") for _ in range(arguments.rounds)]
    print(f"--help: {statistics.median(helps):.3f} s CPU, bare interpreter {statistics.median(nothing):.3f} s")
    measure: tuple[Callable[[str], float], ...] = (bare, ours)
    pairs = [tuple(one(arguments.bpftrace) for one in measure) for _ in range(arguments.rounds)]
    alone, with_us = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(f"ready: bare bpftrace {alone:.3f} s, run {with_us:.3f} s, added {with_us - alone:.3f} s")
    spent = median([capture(arguments.bpftrace) for _ in range(arguments.rounds)])
    cost = f"{spent.wall:.3f} s, CPU {spent.cpu:.3f} s with bpftrace's, peak {spent.peak / 1e6:.0f} MB of one of both"
    print(f"a capture of 1 s: {cost}")


if __name__ == "__main__":
    main()
