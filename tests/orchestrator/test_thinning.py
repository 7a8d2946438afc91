"""A pipeline above its limit: what leaves says how many events it stands for, and the rest is counted."""

from __future__ import annotations

import pytest

from orchestrator.catalog import load_signal
from orchestrator.limits import Limits
from orchestrator.pipeline import OWN_SCOPE, Pipeline
from orchestrator.report import left_out, losses
from orchestrator.signals.clock import Moment
from orchestrator.signals.model import Scope, Span, SpanContext
from orchestrator.signals.sampling import ADJUSTED_COUNT, Sampler
from orchestrator.telemetry import SignalCounts
from orchestrator.thinning import Thinning
from parsers.stream import OutputStream
from tests.orchestrator.collecting import Collected, values

BEGIN = 1_700_000_000_000_000_000
HALF = 500_000_000
DROPPED = "ebpf_events_dropped_total"


def lines(count: int, time: int) -> bytes:
    """Exits of as many processes as the manifest of exec has them."""
    fields = load_signal("exec").manifest.events["exec_exit"].fields
    row = ",".join({"time": str(time), "int": "7"}.get(field.type, '"x"') for field in fields)
    return b'{"type": "value", "data": ["exec_exit",%s]}\n' % row.encode() * count


def mark(what: str, time: int) -> bytes:
    return b'{"type": "value", "data": ["orchestrator","%s",%d]}\n' % (what.encode(), time)


@pytest.mark.parametrize("in_batches", [True, False])
def test_all_that_came_is_in_what_leaves_and_in_what_is_told(in_batches: bool) -> None:
    sink, sampler = Collected(), Sampler(1000)
    pipeline = Pipeline([load_signal("exec")], Limits(200, 16384, 64), sink)
    pipeline.limit(sampler)
    stream = OutputStream(shapes=pipeline.shapes if in_batches else None)
    moments = [BEGIN + number * HALF for number in range(10)]
    pipeline.feed(stream.feed(mark("begin", 1) + mark("ready", 2)), Moment(BEGIN, BEGIN))
    for moment in moments:
        pipeline.feed(stream.feed(lines(9_999, 5)), Moment(moment, BEGIN))
    emitted = b'{"type": "map", "data": {"@exec_emitted": 99990}}\n'
    pipeline.feed(stream.feed(mark("end", 9) + emitted), Moment(moments[-1], BEGIN))
    pipeline.close()

    thinned = pipeline.counts["exec"].events_thinned
    records = [record for _, record in sink.logs]
    assert 4_000 < len(records) < 8_000
    stands = sum(int(str(record.attributes.get(ADJUSTED_COUNT, 1))) for record in records)
    assert stands + thinned.remainder == 99_990
    assert stands >= 99_990 * 0.98
    own = sink.snapshots[-1][OWN_SCOPE.name][DROPPED]
    assert values(own, "ebpf.signal", "error.type")["exec", "sampled"] == 99_990 - len(records)
    assert pipeline.counts["exec"].lost == 0
    assert losses(pipeline) == []
    (said,) = left_out([pipeline], "max_events_per_sec 1000")
    assert said.startswith(f"exec: {99_990 - len(records):,} of 99,990 events were left out (max_events_per_sec 1000)")


def test_nothing_is_said_of_a_pipeline_below_its_limit() -> None:
    sink = Collected()
    pipeline = Pipeline([load_signal("exec")], Limits(200, 16384, 64), sink)
    pipeline.limit(Sampler(1000))
    stream = OutputStream(shapes=pipeline.shapes)
    pipeline.feed(stream.feed(lines(500, 5)), Moment(BEGIN, BEGIN))
    assert len(sink.logs) == 500
    assert not any(ADJUSTED_COUNT in record.attributes for _, record in sink.logs)
    assert left_out([pipeline], "max_events_per_sec 1000") == []


def test_whole_spans_are_thinned_each_kind_by_itself() -> None:
    sink, sampler, counts, scope = Collected(), Sampler(100), SignalCounts(), Scope("http", "1")
    thinning = Thinning(sink, sampler, {scope: counts})
    context = SpanContext(b"t" * 16, b"s" * 8)
    for second in range(1, 11):
        sampler.advance(BEGIN + second * 2 * HALF)
        for _ in range(1000):
            thinning.span(scope, Span(context, None, "GET", "server", 1, 2, {"k": "v"}))
            thinning.span(scope, Span(context, None, "GET", "client", 1, 2, {"k": "v"}))
    assert all(span.attributes["k"] == "v" for _, span in sink.spans)
    for kind in ("server", "client"):
        spans = [span for _, span in sink.spans if span.kind == kind]
        assert 9_900 <= sum(int(str(span.attributes.get(ADJUSTED_COUNT, 1))) for span in spans) <= 10_000
    assert counts.spans_thinned.left_out == 20_000 - len(sink.spans)
    assert counts.events_thinned.received == 0
