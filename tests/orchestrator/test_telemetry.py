from __future__ import annotations

import pytest

from orchestrator.signals.model import NumberPoint
from orchestrator.telemetry import Restarts, SignalCounts, StreamCounts, own_metrics

SECOND = 1_000_000_000


@pytest.mark.parametrize(
    ("snapshots", "lost"),
    [
        ([(10, 0, 0), (20, 10, 10)], 0),
        # On their way for a while: half a second between the snapshots, everything is here in the end.
        ([(10, 10, 8), (10.5, 20, 9), (11, 30, 30)], 0),
        # Ten seconds later they are due.
        ([(10, 10, 7), (20, 20, 9)], 1),
        ([(10, 10, 7), (15, 15, 7), (19, 20, 7), (21, 25, 9)], 1),
        ([(10, 10, 7), (20, 20, 9), (30, 30, 25)], 1),
        ([(10, 10, 12)], 0),
    ],
)
def test_compare_counts_only_what_is_due(snapshots: list[tuple[float, int, int]], lost: int) -> None:
    counts = SignalCounts()
    for seconds, emitted, received in snapshots:
        counts.emitted, counts.received = emitted, received
        counts.compare(int(seconds * SECOND), final=False)
    assert counts.lost == lost


def test_compare_at_the_end_is_exact() -> None:
    counts = SignalCounts(emitted=10, received=7)
    counts.compare(SECOND, final=False)
    assert counts.lost == 0
    counts.compare(2 * SECOND, final=True)
    assert counts.lost == 3


def test_compare_without_events() -> None:
    counts = SignalCounts()
    counts.compare(SECOND, final=True)
    assert (counts.emitted, counts.lost) == (None, 0)


def test_own_metrics() -> None:
    signals = {"exec": SignalCounts(received=7, emitted=10, lost=3), "disk": SignalCounts()}
    stream = StreamCounts(unparsed=11, unread_entries=100, dropped_lines=5)
    processed, dropped = own_metrics(signals, stream, 1, 2)
    assert processed.name == "ebpf_events_processed_total"
    assert processed.points == [NumberPoint({"ebpf.signal": "exec"}, 7), NumberPoint({"ebpf.signal": "disk"}, 0)]
    assert dropped.name == "ebpf_events_dropped_total"
    assert dropped.points == [
        NumberPoint({"ebpf.signal": "exec", "error.type": "lost"}, 3),
        NumberPoint({"error.type": "unparsed"}, 111),
        NumberPoint({"error.type": "overrun"}, 5),
    ]
    for metric in (processed, dropped):
        assert metric.instrument == "counter"
        assert (metric.start_unix_nano, metric.time_unix_nano) == (1, 2)


def test_own_metrics_of_spans_have_a_series_for_each_cause() -> None:
    signals = {
        "http": SignalCounts(spans_lost={"dropped": 2, "unreadable": 1}, spans_incomplete={"unpaired": 4}),
        "calls": SignalCounts(spans_lost={"evicted": 3}),
        "tcp": SignalCounts(),
    }
    _, _, dropped, incomplete = own_metrics(signals, StreamCounts(), 1, 2)
    assert (dropped.name, dropped.unit) == ("ebpf_spans_dropped_total", "{span}")
    assert dropped.points == [
        NumberPoint({"ebpf.signal": "http", "error.type": "dropped"}, 2),
        NumberPoint({"ebpf.signal": "http", "error.type": "unreadable"}, 1),
        NumberPoint({"ebpf.signal": "calls", "error.type": "evicted"}, 3),
    ]
    assert (incomplete.name, incomplete.unit) == ("ebpf_spans_incomplete_total", "{span}")
    assert incomplete.points == [NumberPoint({"ebpf.signal": "http", "error.type": "unpaired"}, 4)]


def test_own_metrics_of_stacks_tell_how_many_are_not_whole() -> None:
    stream = StreamCounts()
    stream.stacks.stacks, stream.stacks.unresolved, stream.stacks.truncated = 100, 7, 2
    stream.stacks.missing = 3
    _, _, stacks = own_metrics({"cpu": SignalCounts()}, stream, 1, 2)
    assert (stacks.name, stacks.unit, stacks.instrument) == ("ebpf_stacks_incomplete_total", "{stack}", "counter")
    assert stacks.points == [
        NumberPoint({"ebpf.stack.state": "unresolved"}, 7),
        NumberPoint({"ebpf.stack.state": "truncated"}, 2),
        NumberPoint({"ebpf.stack.state": "missing"}, 3),
    ]


@pytest.mark.parametrize(("since", "start", "expected"), [(None, 50, 50), (10, 50, 10), (10, 5, 5)])
def test_restarts_count_since_the_first_start_unless_the_clock_was_set_back(
    since: int | None, start: int, expected: int
) -> None:
    metric = Restarts(3, since).metric(["tcp", "exec"], start, 60)
    assert (metric.start_unix_nano, metric.time_unix_nano) == (expected, 60)
    assert metric.points == [NumberPoint({"ebpf.signal": name}, 3) for name in ("tcp", "exec")]
