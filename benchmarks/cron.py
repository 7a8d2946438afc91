"""Captures of a second one after the other, as cron starts them, and what is left of them on the host.

    python -m benchmarks.cron [--bpftrace PATH] [--captures 1000]

Each is `orchestrate run exec --duration 1s` to a receiver that takes all. Compared are, after the first and after the
last one: processes that have our mark in their environment, BPF programs of the whole host, what stands in /tmp, and
all files in the state directory and the working directory. So nothing else should trace or use /tmp meanwhile. Needs
root. It ends with 1 if a capture failed or something is left.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import fields
from pathlib import Path

from benchmarks import sink
from benchmarks.leftovers import Leftovers, look
from benchmarks.machine import described
from benchmarks.measure import Spent, reap, table

_SETTLE_SECONDS = 30.0
_SHOWN = 5


class Cron:
    """Captures in a folder of their own."""

    def __init__(self, folder: Path, url: str, bpftrace: str) -> None:
        self._state, self._work = folder / "state", folder / "work"
        for path in (self._state, self._work):
            path.mkdir()
        self._command = [sys.executable, "-m", "orchestrator", "run", "exec", "--duration", "1s"]
        self._command += ["--bpftrace", bpftrace, "--otlp-endpoint", url]
        self._environment = {**os.environ, "STATE_DIRECTORY": str(self._state)}
        self.failed = 0
        self.spent: list[Spent] = []

    def capture(self) -> None:
        """Do one."""
        began = time.perf_counter()
        process = subprocess.Popen(
            self._command, cwd=self._work, env=self._environment, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            self.spent.append(reap(process, began))
        except subprocess.CalledProcessError:
            self.failed += 1

    def left(self) -> Leftovers:
        """What there is of them."""
        return look(f"STATE_DIRECTORY={self._state}", self._state, self._work)

    def settled(self, before: Leftovers) -> Leftovers:
        """The same, once it is as before or some time has passed: the kernel frees programs in its own time."""
        until = time.monotonic() + _SETTLE_SECONDS
        while _more(before, now := self.left()) and time.monotonic() < until:
            time.sleep(0.5)
        return now


def _more(before: Leftovers, after: Leftovers) -> dict[str, list[str]]:
    """What is there that was not before, by its kind."""
    found = {
        field.name: sorted(map(str, getattr(after, field.name) - getattr(before, field.name)))
        for field in fields(Leftovers)
    }
    return {name: new for name, new in found.items() if new}


def main() -> int:
    """Run them all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bpftrace", default="bpftrace")
    parser.add_argument("--captures", type=int, default=1000)
    arguments = parser.parse_args()
    print(described(arguments.bpftrace), flush=True)
    with tempfile.TemporaryDirectory() as folder, sink.started() as receiver:
        cron = Cron(Path(folder), receiver.url, arguments.bpftrace)
        cron.capture()
        before = cron.left()
        for _ in range(arguments.captures - 1):
            cron.capture()
        after = cron.settled(before)
    more = _more(before, after)
    rows = [
        [
            field.name,
            *(f"{len(getattr(when, field.name)):,}" for when in (before, after)),
            f"{len(more.get(field.name, ())):,}",
        ]
        for field in fields(Leftovers)
    ]
    print(table(("", "after the first", "after the last", "new"), rows))
    walls, cpu = [one.wall for one in cron.spent], [one.cpu for one in cron.spent]
    print(f"\n{len(cron.spent):,} captures, {cron.failed:,} failed; ", end="")
    print(f"seconds each: {statistics.median(walls):.2f} (at most {max(walls):.2f}), CPU {statistics.median(cpu):.2f}")
    for name, new in more.items():
        print(f"new {name}: {', '.join(new[:_SHOWN])}")
    return 1 if more or cron.failed else 0


if __name__ == "__main__":
    sys.exit(main())
