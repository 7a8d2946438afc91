"""A run of ours that is looked at while it works: memory, open descriptors, CPU."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.live import child_of, cpu_seconds, memory
from benchmarks.notified import notified
from benchmarks.unlimited import unlimited

__all__ = ("Sample", "Watched", "sampled", "watched")

_TIMEOUT = 900.0


@dataclass(frozen=True, slots=True)
class Sample:
    """Seconds since the first one; resident bytes, open descriptors and CPU seconds of our process; bpftrace's CPU."""

    at: float
    memory: int
    descriptors: int
    ours: float
    bpftrace: float


@dataclass(frozen=True, slots=True)
class Watched:
    """A run that has attached its probes."""

    process: subprocess.Popen[str]

    def sample(self, began: float) -> Sample:
        """Look at it now; ``began`` as time.monotonic() has it."""
        pid = self.process.pid
        at = time.monotonic() - began
        descriptors = len(os.listdir(f"/proc/{pid}/fd"))
        return Sample(at, memory(pid), descriptors, cpu_seconds(pid), cpu_seconds(child_of(pid)))

    def end(self) -> str:
        """Let it come to its end; what it said."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.communicate(timeout=_TIMEOUT)[1]


@contextmanager
def watched(folder: Path, program: Path, url: str, bpftrace: str, *arguments: str) -> Iterator[Watched]:
    """A run that sends to ``url``, with state and working directory of its own, while the block lasts."""
    command = [sys.executable, "-m", "orchestrator", "run", str(program), *arguments, "--bpftrace", bpftrace]
    command += ["--config", str(unlimited(folder)), "--otlp-endpoint", url, "--otlp-protocol", "http/protobuf"]
    with notified(folder / "notify") as ready:
        environment = {**ready.environment, "STATE_DIRECTORY": str(folder / "state")}
        run = subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True, env=environment)
        try:
            ready.wait(_TIMEOUT)
            yield Watched(run)
        finally:
            run.kill()
            run.communicate()


@contextmanager
def sampled(run: Watched, every: float) -> Iterator[list[Sample]]:
    """Samples while the block lasts: one at its beginning, one at its end, and in between."""
    began = time.monotonic()
    samples = [run.sample(began)]
    over = threading.Event()

    def look() -> None:
        while not over.wait(every):
            samples.append(run.sample(began))

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield samples
    finally:
        over.set()
        looking.join()
        samples.append(run.sample(began))
