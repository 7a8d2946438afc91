"""Programs whose events are spans, their own and those of signals, through the whole pipeline."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from config.manifest import Event, Field, Manifest, Metric, Piece, Print, Span, SpanMetric
from orchestrator.catalog import Signal
from orchestrator.limits import Limits
from orchestrator.pipeline import OWN_SCOPE, Pipeline
from orchestrator.report import losses
from orchestrator.signals.clock import Moment
from orchestrator.signals.model import LogRecord
from orchestrator.signals.model import Span as Made
from parsers.stream import OutputStream
from tests.orchestrator.collecting import Collected, histograms, numbers, values

LIMITS = Limits(string=200, map_keys=16384, pages=64)
SECOND = 1_000_000_000
OFFSET = 1_700_000_000 * SECOND
SCOPE = "bpftrace-orchestrator/calls"
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"

TIME, TID = Field(type="time"), Field(name="tid")
EVENTS = {
    "begin": Event(name="ebpf.begin", fields=[TIME, TID, Field(attribute="user.name", type="string")]),
    "end": Event(name="ebpf.end", fields=[TIME, TID, Field(attribute="error.type", decode="errno_error")]),
    "note": Event(name="ebpf.note", fields=[TIME, Field(attribute="thread.id")]),
}
CALL = Span(
    name="call {user.name}",
    event="begin",
    end="end",
    key=["tid"],
    metrics=[SpanMetric(name="app.call.duration", description="Calls", attributes=["error.type"], bounds=(0.001, 0.1))],
)
QUERY = Print(
    name="ebpf.query",
    pieces=[
        Piece(
            printf="query %llu took %llu ns for %s %s\n",
            fields=[
                Field(type="time"),
                Field(name="took"),
                Field(attribute="db.query.summary", type="word"),
                Field(name="context", type="word"),
            ],
        )
    ],
)
OWN = Manifest(
    summary="Calls",
    process="own",
    events=EVENTS,
    prints=[QUERY],
    spans=[CALL, Span(name="{db.query.summary}", event="ebpf.query", duration="took", kind="client", parent="context")],
)
SHARED = Manifest(
    summary="Calls",
    events=EVENTS,
    emitted="calls_emitted",
    spans=[CALL],
    metrics={"calls_n": Metric(name="ebpf.calls", instrument="counter", unit="{call}", description="d")},
)


def value(*data: Any) -> str:
    return json.dumps({"type": "value", "data": data})


def printed(text: str) -> str:
    return json.dumps({"type": "printf", "data": text})


class Calls:
    """The pipeline of one program; times in nanoseconds since the host was started."""

    def __init__(self, manifest: Manifest, *others: Signal) -> None:
        self.sink = Collected()
        signals = [Signal("calls", Path("calls.bt"), "", manifest), *others]
        self.pipeline = Pipeline(signals, LIMITS, self.sink)
        self._stream = OutputStream()
        self.feed(value("orchestrator", "begin", 1), value("orchestrator", "ready", 2), at=3)

    def feed(self, *lines: str, at: int) -> Calls:
        data = "".join(f"{line}\n" for line in lines).encode()
        self.pipeline.feed(self._stream.feed(data), Moment(OFFSET + at, OFFSET))
        return self

    def close(self, *, at: int = 60 * SECOND, emitted: int = 0, killed: bool = False) -> Calls:
        if not killed:
            total = json.dumps({"type": "map", "data": {"@calls_emitted": emitted}})
            self.feed(value("orchestrator", "end", at), *([total] if emitted else []), at=at)
        self.pipeline.close()
        return self

    @property
    def spans(self) -> list[Made]:
        assert {scope for scope, _ in self.sink.spans} <= {SCOPE}
        return [span for _, span in self.sink.spans]

    @property
    def logs(self) -> list[LogRecord]:
        return [record for _, record in self.sink.logs]

    def own(self, name: str) -> dict[Any, int | float]:
        metrics = self.sink.snapshots[-1][OWN_SCOPE.name]
        return values(metrics[name], "ebpf.signal", "error.type") if name in metrics else {}


@pytest.mark.parametrize("manifest", [OWN, SHARED], ids=["own", "shared"])
def test_two_events_become_a_span_and_no_log_records(manifest: Manifest) -> None:
    calls = Calls(manifest).feed(value("begin", 100, 7, "ann"), value("end", 5_000_100, 7, -2), at=6_000_000)
    calls.close(emitted=2)
    (span,) = calls.spans
    assert (span.name, span.kind) == ("call ann", "internal")
    assert (span.start_unix_nano, span.end_unix_nano) == (OFFSET + 100, OFFSET + 5_000_100)
    assert span.attributes == {"user.name": "ann", "error.type": "ENOENT"}
    assert calls.logs == []
    counts = calls.pipeline.counts["calls"]
    assert (counts.received, counts.lost, calls.pipeline.stream.unparsed) == (2, 0, 0)


@pytest.mark.parametrize("manifest", [OWN, SHARED], ids=["own", "shared"])
def test_what_happens_meanwhile_on_the_thread_is_told_to_belong_to_it(manifest: Manifest) -> None:
    calls = Calls(manifest).feed(
        value("note", 90, 7),
        value("begin", 100, 7, "ann"),
        value("note", 200, 7),
        value("note", 210, 8),
        value("end", 300, 7, 0),
        value("note", 310, 7),
        at=400,
    )
    calls.close(emitted=6)
    (span,) = calls.spans
    contexts = {record.time_unix_nano - OFFSET: record.context for record in calls.logs}
    assert contexts == {90: None, 200: span.context, 210: None, 310: None}


def test_log_records_of_another_signal_belong_to_the_span_of_their_thread() -> None:
    events = {"opened": Event(name="ebpf.opened", fields=[Field(type="time"), Field(attribute="thread.id")])}
    other = Signal("files", Path("files.bt"), "", Manifest(summary="Files", events=events))
    calls = Calls(SHARED, other).feed(value("begin", 100, 7, "ann"), value("opened", 200, 7), at=250)
    calls.feed(value("end", 300, 7, 0), at=400).close(emitted=2)
    ((scope, record),) = calls.sink.logs
    assert (scope, record.context) == ("bpftrace-orchestrator/files", calls.spans[0].context)


def test_a_printed_line_is_a_span_whose_parent_it_tells() -> None:
    line = f"query 9000 took 4000 ns for select 00-{TRACE}-{PARENT}-01\n"
    calls = Calls(OWN).feed(printed(line), printed("something else\n"), at=9500).close()
    (span,) = calls.spans
    assert (span.name, span.kind, span.attributes) == ("select", "client", {"db.query.summary": "select"})
    assert (span.start_unix_nano, span.end_unix_nano) == (OFFSET + 5000, OFFSET + 9000)
    assert span.parent is not None
    assert (span.context.trace_id.hex(), span.parent.span_id.hex()) == (TRACE, PARENT)
    assert [record.body for record in calls.logs] == ["something else"]


def test_a_line_whose_duration_makes_no_sense_is_counted() -> None:
    line = "query 9000 took 18446744073709551615 ns for select -\n"
    calls = Calls(OWN).feed(printed(line), at=9500).close()
    assert (calls.spans, calls.logs) == ([], [])
    assert calls.own("ebpf_spans_dropped_total") == {("calls", "unreadable"): 1}
    assert losses(calls.pipeline) == [
        "calls: 1 spans were lost (unreadable); "
        "their events lack a key, a duration or a time that makes sense: mend the manifest"
    ]


def test_a_span_leaves_while_the_program_runs() -> None:
    """A second after it has ended by the kernel's clock; time passes also when nothing is printed."""
    calls = Calls(OWN).feed(value("begin", 100, 7, "ann"), value("end", 300, 7, 0), at=400)
    assert calls.spans == []
    calls.pipeline.tick(OFFSET + 2 * SECOND)
    assert len(calls.spans) == 1


def test_events_in_the_order_in_which_cpus_are_read_pair_all_the_same() -> None:
    calls = Calls(OWN).feed(value("end", 300, 7, 0), value("begin", 100, 7, "ann"), at=400).close()
    assert [(span.start_unix_nano - OFFSET, span.end_unix_nano - OFFSET) for span in calls.spans] == [(100, 300)]


@pytest.mark.parametrize("killed", [False, True])
def test_what_became_no_span_is_told(killed: bool) -> None:
    calls = Calls(SHARED).feed(value("end", 50, 8, 0), value("begin", 100, 7, "ann"), at=400)
    calls.close(emitted=2, killed=killed)
    assert calls.pipeline.counts["calls"].spans_incomplete == {"unpaired_ends": 1, "waiting": 1}
    if not killed:
        assert calls.own("ebpf_spans_incomplete_total") == {
            ("calls", "unpaired_ends"): 1,
            ("calls", "waiting"): 1,
        }
    assert losses(calls.pipeline) == []  # it began before the program was attached, or goes on


def test_signals_without_spans_say_nothing_of_them() -> None:
    calls = Calls(Manifest(summary="s", events=EVENTS, process="own")).feed(value("begin", 1, 7, "a"), at=2).close()
    assert not [name for name in calls.sink.snapshots[-1][OWN_SCOPE.name] if "spans" in name]


def test_metrics_of_spans_are_sent_with_each_snapshot_and_count_all() -> None:
    calls = Calls(SHARED).feed(value("begin", 100, 7, "ann"), value("end", 2_000_100, 7, 0), at=3_000_000)
    calls.feed(
        value("orchestrator", "snapshot", 5 * SECOND), value("orchestrator", "snapshot_end", 5 * SECOND), at=5 * SECOND
    )
    # What came with the snapshot leaves only behind it.
    calls.feed(value("begin", 6 * SECOND, 7, "ann"), value("end", 6 * SECOND + 500_000, 7, -13), at=7 * SECOND)
    calls.close(emitted=4)
    metric = calls.sink.snapshots[-1][SCOPE]["app.call.duration"]
    assert (metric.start_unix_nano, metric.time_unix_nano) == (OFFSET + 1, OFFSET + 60 * SECOND)
    found = {point.attributes.get("error.type"): list(point.counts) for point in histograms(metric)}
    assert found == {None: [0, 1, 0], "EACCES": [1, 0, 0]}


def test_the_metrics_of_maps_and_of_spans_are_of_one_signal() -> None:
    calls = Calls(SHARED).feed(value("begin", 100, 7, "ann"), value("end", 2_000_100, 7, 0), at=3_000_000)
    end = [value("orchestrator", "end", SECOND), json.dumps({"type": "map", "data": {"@calls_n": 5}})]
    calls.feed(*end, at=SECOND)
    calls.pipeline.close()
    found = calls.sink.snapshots[-1][SCOPE]
    assert numbers(found["ebpf.calls"]) == [({}, 5)]
    assert [sum(point.counts) for point in histograms(found["app.call.duration"])] == [1]
