from __future__ import annotations

from typing import Any

import pytest

from config.manifest import Event, Exchange, Field, Manifest, Part, Span, SpanMetric, SpanShape
from orchestrator.signals.active_spans import ActiveSpans
from orchestrator.signals.clock import Moment
from orchestrator.signals.model import LogRecord
from orchestrator.signals.model import Span as Made
from orchestrator.signals.operations import Operations

SECOND = 1_000_000_000
BASE = 1_700_000_000 * SECOND
NOW = Moment(BASE, BASE)
CALL = Span(name="call", event="begin", end="end", key=["tid"])
QUERY = Span(name="query", event="query", duration="took")
SHAPE = SpanShape(name="{method}")


def record(time: int, attributes: dict[str, Any] | None = None, **fields: Any) -> LogRecord:
    return LogRecord(BASE + time, BASE + time, "ebpf.x", "info", "said", attributes or {}, fields)


class Operating:
    """The operations of one signal, and what became of its events."""

    def __init__(self, *spans: Span, active: ActiveSpans | None = None, **words: Any) -> None:
        manifest = Manifest(summary="s", spans=list(spans), **words)
        self.operations = Operations(manifest, ActiveSpans() if active is None else active)
        self.logs: list[LogRecord] = []
        self.spans: list[Made] = []

    def take(self, event: str, one: LogRecord) -> Operating:
        log, spans = self.operations.take(event, one, NOW)
        self.logs += [] if log is None else [log]
        self.spans += spans
        return self

    def close(self) -> Operating:
        self.spans += self.operations.close()
        return self


def test_events_of_a_signal_without_spans_are_log_records_as_they_are() -> None:
    one = record(5, {"thread.id": 7})
    found = Operating().take("begin", one).close()
    assert (found.logs, found.spans) == ([one], [])
    assert (found.operations.lost, found.operations.incomplete, found.operations.metrics(1, 2)) == ({}, {}, [])


@pytest.mark.parametrize("where", [{"attributes": {"thread.id": 7}}, {"tid": 7}])
def test_a_log_record_belongs_to_the_span_that_is_open_on_its_thread(where: dict[str, Any]) -> None:
    found = Operating(CALL).take("begin", record(10, tid=7)).take("note", record(15, **where))
    found.take("end", record(20, tid=7)).close()
    (log,), (span,) = found.logs, found.spans
    assert log.context == span.context
    assert (log.body, log.time_unix_nano) == ("said", BASE + 15)


@pytest.mark.parametrize(
    ("time", "fields"),
    [(9, {"tid": 7}), (21, {"tid": 7}), (15, {"tid": 8}), (15, {}), (15, {"tid": "7"})],
    ids=["before it", "behind it", "another thread", "no thread", "a thread of another kind"],
)
def test_a_log_record_of_which_that_is_not_certain_belongs_to_none(time: int, fields: dict[str, Any]) -> None:
    found = Operating(CALL).take("begin", record(10, tid=7)).take("end", record(20, tid=7))
    assert found.take("note", record(time, **fields)).logs[0].context is None


def test_a_span_that_leaves_late_has_had_its_context_from_the_beginning() -> None:
    """A span leaves a second after its end, in case that an earlier event is still to come; its log records do not."""
    found = Operating(CALL).take("begin", record(10, tid=7)).take("note", record(15, tid=7))
    assert (len(found.logs), found.spans) == (1, [])
    found.take("end", record(20, tid=7)).spans += found.operations.expire(BASE + 2 * SECOND)
    assert found.spans[0].context == found.logs[0].context


def test_a_wall_clock_that_is_set_meanwhile_takes_no_log_record_out_of_its_span() -> None:
    found = Operating(CALL).take("begin", record(10, tid=7))
    hour = 3600 * SECOND
    log, _ = found.operations.take("note", record(15 - hour, tid=7), Moment(BASE - hour, BASE - hour))
    found.take("end", record(20, tid=7)).close()
    assert log is not None
    assert log.context == found.spans[0].context


def test_log_records_of_another_signal_of_the_same_process_belong_to_it_too() -> None:
    active = ActiveSpans()
    mine, other = Operating(CALL, active=active), Operating(active=active)
    mine.take("begin", record(10, tid=7))
    other.take("opened", record(15, {"thread.id": 7}))
    assert other.logs[0].context == mine.take("end", record(20, tid=7)).close().spans[0].context


@pytest.mark.parametrize("log", [False, True])
def test_the_events_of_spans_are_log_records_only_where_that_is_wanted(log: bool) -> None:
    found = Operating(Span(name="call", event="begin", end="end", key=["tid"], log=log), QUERY)
    found.take("begin", record(10, tid=7)).take("query", record(15, took=3, tid=7)).take("end", record(20, tid=7))
    found.close()
    assert [span.name for span in found.spans] == ["query", "call"]
    assert [one.time_unix_nano - BASE for one in found.logs] == ([10, 20] if log else [])
    if log:
        assert {one.context for one in found.logs} == {found.spans[1].context}


def test_what_became_no_span_is_counted_by_its_cause() -> None:
    narrow = Span(name="call", event="begin", end="end", key=["tid"], waiting=1, timeout=1.0)
    found = Operating(narrow, QUERY)
    found.take("query", record(5, took="soon"))
    for time, tid in ((10, 1), (11, 2)):  # the second takes the place of the first
        found.take("begin", record(time, tid=tid))
    found.take("end", record(20, tid=3))
    found.take("begin", record(3 * SECOND, tid=4))  # the second's time is over
    found.close()
    assert found.operations.lost == {"evicted": 1, "unreadable": 1}
    assert found.operations.incomplete == {"unpaired_ends": 1, "timed_out": 1, "waiting": 1}
    assert found.spans == []


def test_metrics_are_those_of_all_rules() -> None:
    def counting(name: str) -> list[SpanMetric]:
        return [SpanMetric(name=name, description="d", of="count", unit="{call}")]

    found = Operating(
        Span(name="a", event="a", duration="took", metrics=counting("ebpf.a")),
        Span(name="b", event="b", duration="took", metrics=counting("ebpf.b")),
    )
    found.take("a", record(5, took=1)).take("b", record(5, took=1)).take("b", record(6, took=1))
    metrics = found.operations.metrics(BASE, BASE + 9)
    assert [(metric.name, metric.points[0].value) for metric in metrics] == [  # type: ignore[union-attr]
        ("ebpf.a", 1),
        ("ebpf.b", 2),
    ]


# Conversations.

EVENTS = {
    "data": Event(name="ebpf.data", fields=[Field(type="time")], parts={"bytes": Part(name="data", size="captured")}),
    "closed": Event(name="ebpf.closed", fields=[Field(type="time")]),
}
TALK = Exchange(protocol="http1", end="closed", server=SHAPE, client=SHAPE, connections=1)


def segment(time: int, connection: int, outgoing: int, data: bytes, last: int = 0) -> LogRecord:
    where: dict[str, Any] = {"connection": connection, "outgoing": outgoing, "position": 0, "size": len(data)}
    return record(time, data=data, entered=time - 1, last=last, **where)


def test_segments_of_connections_are_spans_and_no_log_records() -> None:
    found = Operating(exchanges={"data": TALK}, events=EVENTS)
    found.take("data", segment(10, 1, 0, b"GET / HTTP/1.1\r\n\r\n"))
    found.take("data", segment(20, 1, 1, b"HTTP/1.1 204 No Content\r\n\r\n", last=10))
    found.take("closed", record(30, connection=1, last=20, received=18, sent=27)).close()
    assert found.logs == []
    (span,) = found.spans
    assert (span.name, span.start_unix_nano, span.end_unix_nano) == ("GET", BASE + 10, BASE + 20)
    assert (found.operations.lost, found.operations.incomplete) == ({}, {})


def test_what_became_no_exchange_is_counted_by_its_cause() -> None:
    found = Operating(exchanges={"data": TALK}, events=EVENTS)
    found.take("data", record(5, connection="none"))
    found.take("data", segment(10, 1, 0, b"GET /a HTTP/1.1\r\n\r\n"))
    found.take("data", segment(20, 2, 0, b"GET /b HTTP/1.1\r\n\r\n"))  # there is room for one connection only
    found.close()
    assert found.operations.lost == {"dropped": 1, "unreadable": 1}
    assert found.operations.incomplete == {"waiting": 2}
    assert found.spans == []


def test_spans_and_exchanges_of_one_signal_stand_side_by_side() -> None:
    found = Operating(QUERY, exchanges={"data": TALK}, events=EVENTS)
    found.take("query", record(5, took=3)).take("data", segment(10, 1, 0, b"GET /a HTTP/1.1\r\n\r\n"))
    found.take("data", segment(20, 1, 1, b"HTTP/1.1 204 No Content\r\n\r\n", last=10))
    found.take("note", record(21)).close()
    assert [span.name for span in found.spans] == ["query", "GET"]
    assert len(found.logs) == 1
