"""Whether we stay as we were: memory, descriptors and CPU over time, and every event accounted for.

    python -m benchmarks.soak [--bpftrace PATH] [--minutes 30] [--rate 10000] [--samples 15]

load.c makes the events, to a receiver in another process that counts log records. CPU is that since the line before,
in percent of one CPU and for each event. Needs root and a C compiler. It ends with 1 if an event is not accounted for.
"""

from __future__ import annotations

import argparse
import itertools
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks import sink
from benchmarks.live import Load, compile_load
from benchmarks.machine import described
from benchmarks.measure import table
from benchmarks.watched import Sample, sampled, watched

_HEAD = ("minute", "RSS MB", "descriptors", "ours %", "ours us", "bpftrace %")
_HERE = Path(__file__).parent
_PATHS = 200
_LOST = re.compile(r"([\d,]+) log records were lost \(([a-z ]+)")
_LOST_BEFORE = re.compile(r"([\d,]+) of ([\d,]+) events were lost between")


def rows(samples: Sequence[Sample], rate: int) -> list[list[str | float]]:
    """One for each sample but the first."""
    return [
        [
            late.at / 60,
            late.memory / 1e6,
            str(late.descriptors),
            (late.ours - early.ours) / (late.at - early.at) * 100,
            (late.ours - early.ours) / (late.at - early.at) / rate * 1e6,
            (late.bpftrace - early.bpftrace) / (late.at - early.at) * 100,
        ]
        for early, late in itertools.pairwise(samples)
        if late.at - early.at > 1
    ]


def account(happened: int, received: int, said: str) -> list[tuple[str, int]]:
    """Where each event is, by what the run says of its losses; the last line is what is left."""
    before = sum(_number(found[1]) for found in _LOST_BEFORE.finditer(said))
    lost = [(f"lost by us: {found[2].strip()}", _number(found[1])) for found in _LOST.finditer(said)]
    left = happened - before - received - sum(count for _, count in lost)
    return [
        ("happened", happened),
        ("lost by bpftrace, as the kernel counts", before),
        *lost,
        ("received", received),
        ("not accounted for", left),
    ]


def _number(text: str) -> int:
    return int(text.replace(",", ""))


def main() -> int:
    """Run once."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bpftrace", default="bpftrace")
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--rate", type=int, default=10_000)
    parser.add_argument("--samples", type=int, default=15)
    arguments = parser.parse_args()
    print(described(arguments.bpftrace), flush=True)
    seconds = round(arguments.minutes * 60)
    with tempfile.TemporaryDirectory() as name, sink.started(parse=True) as receiver:
        folder = Path(name)
        load = Load(compile_load(folder), arguments.rate, _PATHS)
        with watched(folder, _HERE / "open.bt", receiver.url, arguments.bpftrace, *load.parameter) as run:
            warm = load.make(1, run.process.pid, receiver)[0]
            with sampled(run, seconds / arguments.samples) as samples:
                happened = load.make(seconds, run.process.pid, receiver)[0]
            said = run.end()
        received = receiver.counts().log_records or 0
    print(table(_HEAD, rows(samples, arguments.rate)))
    lines = account(warm + happened, received, said)
    print("", table(("events", "in all"), [[what, f"{count:,}"] for what, count in lines]), sep="\n")
    print("", said.strip(), sep="\n")
    return 1 if lines[-1][1] else 0


if __name__ == "__main__":
    sys.exit(main())
