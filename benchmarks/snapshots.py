"""What one snapshot of large maps costs us, from bytes to OTLP bytes, and parsing loops of others on the same maps.

    python -m benchmarks.snapshots [--rounds 15]

CPU time of this process for each snapshot, the first one (which makes the series) apart; of the others, which read the
records from a file, CPU time of the process for each record, less that of none.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks import streams
from benchmarks.machine import described
from benchmarks.measure import run, table
from config.manifest import Key, Manifest, Metric, StackMap, StackProfile
from orchestrator.catalog import Signal
from orchestrator.limits import LIMITS
from orchestrator.output import Output
from orchestrator.pipeline import Pipeline
from orchestrator.signals.clock import Moment
from orchestrator.signals.model import Instrument
from parsers.stream import OutputStream

_HERE = Path(__file__).parent
_KEYS = [Key(attribute="process.pid"), Key(attribute="thread.name", type="string")]
_SECOND, _OFFSET = 10**9, 1_700_000_000 * 10**9
_FRAMES = 30


def manifest(instrument: Instrument, limit: int) -> Manifest:
    """A signal with one metric of the map ``x``, by pid and comm."""
    metric = Metric(
        name="ebpf.x",
        instrument=instrument,
        unit="By",
        description="x",
        keys=_KEYS,
        limit=limit,
    )
    return Manifest(summary="x", metrics={"x": metric})


def numbers(keys: int) -> Callable[[int], str]:
    """A print of a map with so many keys; the numbers grow."""
    return lambda turn: _record(
        "map", ", ".join(f'"{1000 + key},proc{key % 7}": {12345 + key * turn}' for key in range(keys))
    )


def histograms(keys: int, buckets: int = 16) -> Callable[[int], str]:
    """A print of histograms for so many keys."""

    def line(turn: int) -> str:
        counts = ", ".join(
            f'{{"min": {1 << place}, "max": {(2 << place) - 1}, "count": {place * turn + 1}}}'
            for place in range(buckets)
        )
        return _record("hist", ", ".join(f'"{1000 + key},proc{key % 7}": [{counts}]' for key in range(keys)))

    return line


def stacks(count: int) -> Callable[[int], str]:
    """A print of so many user stacks of 30 frames, with pid and comm."""

    def stack(number: int) -> str:
        return "".join(f"\\n    function_{(number * 7 + frame) % 500}+{frame}" for frame in range(_FRAMES)) + "\\n"

    return lambda turn: _record(
        "map", ", ".join(f'"{stack(one)},{1000 + one % 50},proc": {turn + 1}' for one in range(count))
    )


def _record(kind: str, values: str) -> str:
    return f'{{"type": "{kind}", "data": {{"@x": {{{values}}}}}}}\n'


class _Nowhere:
    """Takes requests, and drops them."""

    def expect(self, signal: str, items: int) -> None:
        """Nothing."""

    def __call__(self, request: object) -> None:
        """Nothing."""


def snapshots(signal_manifest: Manifest, line: Callable[[int], str], rounds: int) -> Iterator[float]:
    """Seconds of CPU for each snapshot."""
    signal = Signal("x", Path("x.bt"), "", signal_manifest)
    output = Output({"service.name": "x"}, _Nowhere())
    pipeline = Pipeline([signal], LIMITS, output)
    stream = OutputStream(version=(0, 17), shapes=pipeline.shapes)
    for turn in range(rounds + 1):
        time_of = turn * _SECOND
        mark = '{{"type": "value", "data": ["orchestrator","{}",{}]}}\n'
        data = (mark.format("snapshot", time_of) + line(turn) + mark.format("snapshot_end", time_of + 1)).encode()
        began = time.process_time()
        pipeline.feed(stream.feed(data), Moment(_OFFSET + time_of, _OFFSET))
        output.flush()
        yield time.process_time() - began


def peer(script: str, keys: int, kind: str) -> float:
    """Seconds of CPU for each record of another's parsing loop."""
    many = 200
    with tempfile.TemporaryDirectory() as folder:
        spent = []
        for count in (0, many):
            file = Path(folder) / str(count)
            make = streams.maps if kind == "map" else streams.hists
            streams.write(file, make(count, keys))
            spent.append(run([sys.executable, str(_HERE / "peers" / script)], stdin=file).cpu)
    return (spent[1] - spent[0]) / many


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    print(described(), flush=True)
    stack_map = StackMap(
        keys=[Key(type="ustack"), *_KEYS], profiles=[StackProfile(type="samples", unit="count")], cleared=True
    )
    cases: dict[str, tuple[Manifest, Callable[[int], str]]] = {
        "map of 10,000 keys, all of them series": (manifest("counter", 10_000), numbers(10_000)),
        "map of 10,000 keys, 1,000 series and the rest in one": (manifest("counter", 1000), numbers(10_000)),
        "histograms of 100 keys, 16 buckets each": (manifest("histogram", 1000), histograms(100)),
        f"1,000 stacks of {_FRAMES} frames": (Manifest(summary="x", stacks={"x": stack_map}), stacks(1000)),
    }
    rows: list[list[str | float]] = []
    for name, (signal_manifest, line) in cases.items():
        first, *rest = snapshots(signal_manifest, line, arguments.rounds)
        rows.append([name, first * 1e3, statistics.median(rest) * 1e3, min(rest) * 1e3])
    print(table(("snapshot, ms CPU", "the first", "median", "least"), rows))
    others: list[list[str | float]] = [
        ["bpftrace-forwarder's loop, 1,000 keys", peer("forwarder.py", 1000, "map") * 1e3],
        ["pmdabpftrace's loop, 1,000 keys", peer("pmda.py", 1000, "map") * 1e3],
        [
            "ours, 1,000 keys",
            statistics.median(list(snapshots(manifest("counter", 1000), numbers(1000), 30))[1:]) * 1e3,
        ],
    ]
    print(table(("a record, ms CPU", "each"), others))


if __name__ == "__main__":
    main()
