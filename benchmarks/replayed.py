"""A recorded stream of events to OTLP log records over HTTP/protobuf: ours, and other ways to do the same.

    python -m benchmarks.replayed [--events 1000000] [--runs 1] [--without-collector]

CPU time of whole processes, less that of the same process with no events. Ours is also tried with each path new.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks import sink, streams
from benchmarks.machine import described
from benchmarks.measure import Spent, run, table
from benchmarks.peers import collector

HEAD = ("way", "us CPU an event", "times ours", "once, ms CPU", "peak MB")
_HERE = Path(__file__).parent
_Way = Callable[[Path, sink.Sink], Spent]


def ours(events: Path, receiver: sink.Sink) -> Spent:
    """`orchestrate replay`."""
    command = [sys.executable, "-m", "orchestrator", "replay", str(events), "--script", str(_HERE / "open.bt")]
    return run([*command, "--otlp-endpoint", receiver.url, "--otlp-protocol", "http/protobuf"])


def plain(events: Path, receiver: sink.Sink) -> Spent:
    """`json.loads`, the SDK's Logger and exporter."""
    return run([sys.executable, _HERE / "peers" / "plain_python.py", "--endpoint", receiver.url], stdin=events)


def through_collector(parser: str, binary: Path) -> _Way:
    """The Collector's file_log receiver with a parser. It does not end by itself: it is told how many are to arrive."""

    def way(events: Path, receiver: sink.Sink) -> Spent:
        return collector.measure(binary, events, int(events.name.split("-")[1]), receiver, parser)

    return way


def measured(way: _Way, folder: Path, count: int, *, new_paths: bool = False) -> tuple[float, float, int]:
    """Microseconds of CPU for each event, seconds that are paid once, peak memory in bytes; all arrive.

    Ours fails by itself where not all were delivered, and is faster than a receiver that reads what it gets.
    """
    spent = []
    for number in (100, count):
        events = folder / f"events-{number}-{new_paths}.json"
        if not events.exists():
            streams.write(events, streams.events(number, new_paths=new_paths))
        with sink.started(parse=way is not ours) as receiver:
            spent.append(way(events, receiver))
            assert receiver.counts().log_records in (number, None)
    few, many = spent
    return (many.cpu - few.cpu) / (count - 100) * 1e6, few.cpu, many.peak


def main() -> None:
    """Measure all ways in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--without-collector", action="store_true", help="it is built first, which needs Go")
    arguments = parser.parse_args()
    print(described(), flush=True)
    ways: dict[str, tuple[_Way, int, bool]] = {
        "orchestrate replay": (ours, arguments.events, False),
        "orchestrate replay, each path new": (ours, arguments.events, True),
        "json.loads, SDK Logger, OTLP exporter": (plain, arguments.events // 10, False),
    }
    if not arguments.without_collector:
        binary = collector.build()
        for kind in ("json", "regex"):
            ways[f"Collector, file_log and {kind}_parser"] = (through_collector(kind, binary), arguments.events, False)
    with tempfile.TemporaryDirectory() as folder:
        found: dict[str, list[tuple[float, float, int]]] = {name: [] for name in ways}
        for _ in range(arguments.runs):
            for name, (way, count, new_paths) in ways.items():
                found[name].append(measured(way, Path(folder), count, new_paths=new_paths))
    base = statistics.median(each for each, _, _ in found["orchestrate replay"])
    rows: list[list[str | float]] = [
        [
            name,
            statistics.median(each for each, _, _ in runs),
            statistics.median(each for each, _, _ in runs) / base,
            statistics.median(once for _, once, _ in runs) * 1e3,
            statistics.median(peak for _, _, peak in runs) / 1e6,
        ]
        for name, runs in found.items()
    ]
    print(table(HEAD, rows))


if __name__ == "__main__":
    main()
