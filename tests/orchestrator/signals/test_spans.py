from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.manifest import Keep, SpanMetric
from config.manifest import Span as Rule
from orchestrator.signals.clock import Moment
from orchestrator.signals.model import HistogramPoint, LogRecord, NumberPoint, Span, SpanContext
from orchestrator.signals.reorder import SLACK
from orchestrator.signals.spans import SpanReader

MS, SECOND = 1_000_000, 1_000_000_000
BASE = 1_700_000_000 * SECOND
NOW = Moment(BASE, BASE)
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
HEADER = f"00-{TRACE}-{PARENT}-01"


def record(time: int, attributes: dict[str, Any] | None = None, **fields: Any) -> LogRecord:
    return LogRecord(BASE + time, BASE + time, "ebpf.x", "info", "", attributes or {}, fields)


def whole(**words: Any) -> Rule:
    return Rule(**{"name": "query", "event": "query", "duration": "took", **words})


def pair(**words: Any) -> Rule:
    return Rule(**{"name": "call", "event": "begin", "end": "end", "key": ["tid"], **words})


def reader(*rules: Rule) -> SpanReader:
    ids = count(1)
    return SpanReader(rules, bits=lambda _: next(ids))


def run(spans: SpanReader, *events: tuple[str, LogRecord]) -> list[Span]:
    found = [span for event, one in events for span in spans.take(event, one, NOW)]
    return [*found, *spans.close()]


def times(found: Sequence[Span]) -> list[tuple[int, int]]:
    return [(span.start_unix_nano - BASE, span.end_unix_nano - BASE) for span in found]


def counts(spans: SpanReader) -> dict[str, int]:
    """Those that are not zero."""
    everything = {name: getattr(spans.counts, name) for name in spans.counts.__slots__}
    return {name: number for name, number in everything.items() if number}


def test_which_events_are_wanted_and_stay_log_records() -> None:
    spans = reader(whole(), pair(log=True), whole(event="other", log=False))
    assert spans.events == {"query", "begin", "end", "other"}
    kept = {event: spans.keeps_log(event) for event in ("query", "begin", "end", "other", "another")}
    assert kept == {"query": False, "begin": True, "end": True, "other": False, "another": True}
    assert run(spans, ("another", record(1))) == []


@pytest.mark.parametrize(("time", "start", "end"), [("end", 1000, 5000), ("start", 5000, 9000)])
@pytest.mark.parametrize("duration", [4000, "4000", 4e-6])
def test_an_event_that_is_a_span(time: str, start: int, end: int, duration: float | str) -> None:
    spans = reader(whole(time=time, kind="client", attributes={"a": 1}))
    (span,) = spans.take("query", record(5000, {"b": 2}, took=duration), NOW)
    assert span == Span(
        SpanContext((1).to_bytes(16, "big"), (2).to_bytes(8, "big"), 0x103),
        None,
        "query",
        "client",
        BASE + start,
        BASE + end,
        {"a": 1, "b": 2},
    )
    assert counts(spans) == {"completed": 1, "kept": 1}


def test_the_duration_may_be_an_attribute() -> None:
    assert times(run(reader(whole()), ("query", record(9, {"took": 4})))) == [(5, 9)]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"took": -1},
        {"took": "x"},
        {"took": None},
        {"took": float("nan")},
        {"took": float("inf")},
        {"took": [1]},
        {"took": 2**63},
        {"took": BASE * 2},
    ],
)
def test_a_duration_of_another_world(fields: dict[str, Any]) -> None:
    spans = reader(whole())
    assert run(spans, ("query", record(5, **fields))) == []
    assert counts(spans) == {"unreadable": 1}


def test_two_events_that_pair() -> None:
    spans = reader(pair(name="{method}", attributes={"x": "constant"}))
    begin = record(1000, {"method": "GET", "state": "begun"}, tid=7)
    end = record(4000, {"status": 200, "state": "ended"}, tid=7)
    (span,) = run(spans, ("begin", begin), ("end", end))
    assert (span.name, *times([span])) == ("GET", (1000, 4000))
    assert span.attributes == {"x": "constant", "method": "GET", "status": 200, "state": "ended"}
    assert counts(spans) == {"completed": 1, "kept": 1}


def test_the_key_is_all_of_its_values_from_fields_and_attributes() -> None:
    spans = reader(pair(key=["tid", "thread.name", "list"]))
    found = run(
        spans,
        ("begin", record(1, {"thread.name": "a", "list": [1]}, tid=7)),
        ("begin", record(2, {"thread.name": "b", "list": [1]}, tid=7)),
        ("begin", record(3, {"thread.name": "b", "list": [2]}, tid=7)),
        ("end", record(4, {"thread.name": "b", "list": [1]}, tid=7)),
        ("end", record(5, {"thread.name": "b", "list": [1]}, tid=8)),
    )
    assert times(found) == [(2, 4)]
    assert counts(spans) == {"completed": 1, "kept": 1, "unpaired_ends": 1, "waiting": 2}


def test_without_a_key_nothing_pairs() -> None:
    spans = reader(pair())
    assert run(spans, ("begin", record(1)), ("end", record(2)), ("begin", record(3, tid={"a": 1}))) == []
    assert counts(spans) == {"unreadable": 2, "waiting": 1}


@pytest.mark.parametrize(
    ("order", "expected"), [("fifo", [(1, 4), (2, 5), (3, 6)]), ("lifo", [(3, 4), (2, 5), (1, 6)])]
)
def test_first_or_last(order: str, expected: list[tuple[int, int]]) -> None:
    events = [("begin", record(time, tid=7)) for time in (1, 2, 3)] + [
        ("end", record(time, tid=7)) for time in (4, 5, 6)
    ]
    assert times(run(reader(pair(order=order)), *events)) == expected


def test_an_end_that_is_read_before_its_beginning() -> None:
    spans = reader(pair())
    assert times(run(spans, ("end", record(5 * MS, tid=7)), ("begin", record(1 * MS, tid=7)))) == [(1 * MS, 5 * MS)]
    assert counts(spans) == {"completed": 1, "kept": 1}


def test_a_thread_that_moves_between_two_cpus_whose_buffers_are_read_in_turn() -> None:
    """The end of the second call is read first: it is not given the beginning of the first one."""
    spans = reader(pair())
    second_cpu = [("end", record(40, tid=7))]
    first_cpu = [("begin", record(10, tid=7)), ("end", record(20, tid=7)), ("begin", record(30, tid=7))]
    assert times(run(spans, *second_cpu, *first_cpu)) == [(10, 20), (30, 40)]


def test_spans_are_held_back_for_no_longer_than_is_needed() -> None:
    spans = reader(pair())
    assert list(spans.take("begin", record(0, tid=7), NOW)) == []
    assert list(spans.take("end", record(5 * MS, tid=7), NOW)) == []
    assert list(spans.expire(BASE + SLACK)) == []
    assert times(list(spans.expire(BASE + SLACK + 5 * MS))) == [(0, 5 * MS)]
    assert list(spans.take("begin", record(10 * SECOND, tid=8), NOW)) == []
    assert list(spans.take("end", record(10 * SECOND + 1, tid=8), NOW)) == []
    assert times(list(spans.take("begin", record(12 * SECOND, tid=8), NOW))) == [(10 * SECOND, 10 * SECOND + 1)]


def test_ends_without_a_beginning_are_counted() -> None:
    spans = reader(pair())
    assert run(spans, ("end", record(1, tid=7)), ("end", record(2, tid=8))) == []
    assert counts(spans) == {"unpaired_ends": 2}


def test_what_has_waited_for_too_long_is_given_up() -> None:
    spans = reader(pair(timeout=60.0))
    events = [("begin", record(0, tid=7)), ("begin", record(1, tid=8))]
    ends = [("end", record(60 * SECOND, tid=7)), ("end", record(60 * SECOND + 2, tid=8))]
    assert times(run(spans, *events, *ends)) == [(0, 60 * SECOND)]
    assert counts(spans) == {"completed": 1, "kept": 1, "timed_out": 1, "unpaired_ends": 1}


def test_time_alone_gives_up_too() -> None:
    spans = reader(pair(timeout=1.0))
    assert list(spans.take("begin", record(0, tid=7), NOW)) == []
    assert list(spans.expire(BASE + SECOND)) == []
    assert counts(spans) == {}
    assert list(spans.expire(BASE + SECOND + 1)) == []
    assert counts(spans) == {"timed_out": 1}


def test_a_clock_that_was_set_back_gives_nothing_up() -> None:
    spans = reader(pair(timeout=60.0))
    hour = 3600 * SECOND
    events = [("begin", record(hour, tid=1)), ("end", record(hour + 5, tid=1))]
    events += [("begin", record(0, tid=2)), ("end", record(5, tid=2))]
    assert times(run(spans, *events)) == [(hour, hour + 5), (0, 5)]


def stepped(time: int, step: int, **fields: Any) -> tuple[LogRecord, Moment]:
    """An event at a kernel time, read when the wall clock had been set forward by ``step``."""
    moment = Moment(BASE + step + time, BASE + step)
    return LogRecord(moment.unix, moment.unix, "ebpf.x", "info", "", {}, fields), moment


@pytest.mark.parametrize("step", [50 * SECOND, -50 * SECOND, -5 * SECOND])
def test_a_wall_clock_that_is_set_meanwhile_changes_no_span(step: int) -> None:
    spans = reader(pair(timeout=10.0))
    found = [*spans.take("begin", *stepped(100 * SECOND, 0, tid=7))]
    context = spans.active.context_of(7, 101 * SECOND)
    found += spans.take("end", *stepped(102 * SECOND, step, tid=7))
    assert spans.active.context_of(7, 101 * SECOND) == context is not None
    assert spans.active.context_of(7, 103 * SECOND) is None
    found += spans.expire(BASE + step + 104 * SECOND)
    assert times(found) == [(100 * SECOND, 102 * SECOND)]
    assert counts(spans) == {"completed": 1, "kept": 1}


def test_time_passes_by_the_last_offset() -> None:
    spans = reader(pair(timeout=60.0))
    assert [*spans.take("begin", *stepped(100 * SECOND, 0, tid=7))] == []
    assert [*spans.take("begin", *stepped(101 * SECOND, 3600 * SECOND, tid=8))] == []
    assert [*spans.expire(BASE + (3600 + 160) * SECOND)] == []
    assert counts(spans) == {}
    assert [*spans.expire(BASE + (3600 + 161) * SECOND)] == []
    assert counts(spans) == {"timed_out": 1}


def test_above_the_bound_the_oldest_is_given_up() -> None:
    spans = reader(pair(waiting=2))
    events = [("begin", record(tid, tid=tid)) for tid in (1, 2, 3)] + [
        ("end", record(10 + tid, tid=tid)) for tid in (1, 2, 3)
    ]
    assert times(run(spans, *events)) == [(2, 12), (3, 13)]
    assert counts(spans) == {"completed": 2, "kept": 2, "evicted": 1, "unpaired_ends": 1}


def test_a_parent_that_its_beginning_tells() -> None:
    spans = reader(pair(parent="tp", links=["tp"]))
    found = run(spans, ("begin", record(1, tid=7, tp=HEADER)), ("end", record(2, tid=7, tp="")))
    assert [(span.context.trace_id.hex(), span.parent and span.parent.span_id.hex()) for span in found] == [
        (TRACE, PARENT)
    ]
    assert found[0].links == ()  # the end's values win


def test_a_parent_that_its_end_tells() -> None:
    spans = reader(pair(parent="tp", key=["tid"]))
    found = run(spans, ("begin", record(1, tid=7)), ("end", record(2, tid=7, tp=HEADER)))
    assert [(span.context.trace_id.hex(), span.parent and span.parent.span_id.hex()) for span in found] == [
        (TRACE, PARENT)
    ]


def test_what_does_not_leave_is_counted_in_the_metrics() -> None:
    metric = SpanMetric(name="m", description="d", bounds=(1.0,), attributes=["a"])
    spans = reader(
        whole(keep=Keep(min_duration=10), metrics=[metric, SpanMetric(name="n", description="d", of="count", unit="1")])
    )
    assert times(run(spans, *(("query", record(100, {"a": 1}, took=took)) for took in (5, 10, 15)))) == [
        (90, 100),
        (85, 100),
    ]
    assert counts(spans) == {"completed": 3, "kept": 2}
    histogram, counter = spans.metrics(1, 2)
    assert histogram.points == [HistogramPoint({"a": 1}, (1.0,), (3, 0), 30e-9)]
    assert counter.points == [NumberPoint({}, 3)]


def test_one_event_may_be_of_several_rules() -> None:
    spans = reader(pair(), pair(end="first_byte", name="wait"), whole(event="begin", name="whole", duration="took"))
    found = run(
        spans,
        ("begin", record(10, tid=7, took=1)),
        ("first_byte", record(20, tid=7)),
        ("end", record(30, tid=7)),
    )
    assert [(span.name, *times([span])) for span in found] == [
        ("whole", (9, 10)),
        ("wait", (10, 20)),
        ("call", (10, 30)),
    ]


def test_ids_are_unique() -> None:
    spans = SpanReader([whole(), pair()])
    found = run(spans, *(("query", record(time, took=1)) for time in range(10, 110)))
    assert len({(span.context.trace_id, span.context.span_id) for span in found}) == 100


@pytest.mark.parametrize("name", ["tid", "thread.id"])
def test_what_happens_on_its_thread_belongs_to_a_span(name: str) -> None:
    spans = reader(pair(key=[name]))
    assert list(spans.take("begin", record(10, {name: 7}), NOW)) == []
    context = spans.active.context_of(7, 15)
    assert list(spans.take("end", record(20, {name: 7}), NOW)) == []
    assert spans.active.context_of(7, 15) == context
    assert spans.active.context_of(7, 21) is None
    (span,) = spans.close()
    assert span.context == context


def test_nothing_is_certain_of_a_span_whose_ends_may_be_on_two_threads() -> None:
    spans = reader(pair(key=["request"]))
    assert list(spans.take("begin", record(10, tid=7, request=1), NOW)) == []
    assert spans.active.context_of(7, 15) is None


def test_nothing_is_certain_while_the_trace_is_not_known() -> None:
    spans = reader(pair(parent="tp"))
    assert list(spans.take("begin", record(10, tid=7), NOW)) == []
    assert spans.active.context_of(7, 15) is None
    assert list(spans.take("begin", record(10, tid=8, tp=HEADER), NOW)) == []
    context = spans.active.context_of(8, 15)
    assert context is not None
    assert context.trace_id.hex() == TRACE


def test_a_span_that_was_given_up_is_open_no_more() -> None:
    spans = reader(pair(timeout=5.0))
    assert list(spans.take("begin", record(0, tid=7), NOW)) == []
    assert spans.active.context_of(7, SECOND) is not None
    assert list(spans.expire(BASE + 6 * SECOND)) == []
    assert spans.active.context_of(7, SECOND) is None


@pytest.mark.parametrize("order", ["fifo", "lifo"])
def test_what_is_said_within_calls_of_themselves_is_what_pairs(order: str) -> None:
    """Last in, first out they nest, and what happens between the two ends belongs to the outer one."""
    spans = reader(pair(order=order))
    for event, time in (("begin", 10), ("begin", 20), ("end", 30), ("end", 40)):
        assert [*spans.take(event, record(time, tid=7), NOW)] == []
    told = [spans.active.context_of(7, time) for time in (15, 25, 35, 45)]
    made = {(span.start_unix_nano - BASE, span.end_unix_nano - BASE): span.context for span in spans.close()}
    if order == "lifo":
        assert told == [made[10, 40], made[20, 30], made[10, 40], None]
    else:
        assert told == [made[10, 30], made[20, 40], None, None]


@dataclass(frozen=True)
class Event:
    time: int
    is_end: bool
    key: int
    cpu: int


events_of_cpus = st.lists(
    st.builds(
        Event, time=st.integers(0, 3 * SECOND), is_end=st.booleans(), key=st.integers(0, 2), cpu=st.integers(0, 3)
    ),
    max_size=40,
    unique_by=lambda event: event.time,
)


def paired(events: Sequence[Event], *, last: bool, timeout: int, most: int) -> list[tuple[int, int]]:
    """What pairs when all is known: the events in the order of their times, and a list of what waits."""
    waiting: list[Event] = []
    found = []
    for event in sorted(events, key=lambda event: event.time):
        waiting = [one for one in waiting if event.time - one.time <= timeout]
        if not event.is_end:
            waiting = [*waiting, event][-most:]
            continue
        mine = [one for one in waiting if one.key == event.key]
        if mine:
            begun = mine[-1 if last else 0]
            waiting.remove(begun)
            found.append((begun.time, event.time))
    return found


def as_read(events: Sequence[Event], delays: Sequence[int]) -> list[Event]:
    """The buffer of each CPU is in order; each CPU is read late by up to the slack."""
    in_order = sorted(events, key=lambda event: event.time)
    return sorted(in_order, key=lambda event: event.time + delays[event.cpu])


@given(
    events_of_cpus,
    st.lists(st.integers(0, SLACK - 1), min_size=4, max_size=4),
    st.sampled_from(["fifo", "lifo"]),
    st.sampled_from([0.2, 1.0, 60.0]),
    st.sampled_from([1, 2, 5, 10_000]),
)
def test_pairing_is_what_it_would_be_if_all_was_known(
    events: list[Event], delays: list[int], order: str, timeout: float, most: int
) -> None:
    spans = reader(pair(order=order, timeout=timeout, waiting=most))
    read = as_read(events, delays)
    found = run(spans, *(("end" if one.is_end else "begin", record(one.time, tid=one.key)) for one in read))
    expected = paired(events, last=order == "lifo", timeout=round(timeout * 1e9), most=most)
    assert times(found) == expected
    begins, ends = (sum(one.is_end is is_end for one in events) for is_end in (False, True))
    seen = spans.counts
    assert seen.completed == len(expected)
    assert seen.completed + seen.unpaired_ends == ends
    assert seen.completed + seen.timed_out + seen.evicted + seen.waiting == begins
    assert len({span.context.span_id for span in found}) == len(found)


@given(events_of_cpus, st.randoms(use_true_random=False))
def test_in_any_order_at_all_nothing_makes_no_sense(events: list[Event], chance: random.Random) -> None:
    """Also when events are later than anything is waited for."""
    read = sorted(events, key=lambda _: chance.random())
    spans = reader(pair(timeout=0.5))
    found: list[Span] = []
    for one in read:
        found += spans.take("end" if one.is_end else "begin", record(one.time, tid=one.key), NOW)
        if chance.random() < 0.2:
            found += spans.expire(BASE + one.time)
    found += spans.close()
    assert all(start <= end for start, end in times(found))
    assert len({span.start_unix_nano for span in found}) == len({span.end_unix_nano for span in found}) == len(found)


@given(events_of_cpus, st.lists(st.integers(0, SLACK - 1), min_size=4, max_size=4))
def test_what_is_said_of_a_thread_is_a_span_that_was_open(events: list[Event], delays: list[int]) -> None:
    """Where events of a thread come in order, a record is told to belong only to a span that holds its time."""
    in_order = as_read(events, [delays[0]] * 4)
    spans = reader(pair())
    told: list[tuple[int, SpanContext]] = []
    for one in in_order:
        for span in spans.take("end" if one.is_end else "begin", record(one.time, tid=one.key), NOW):
            assert span.end_unix_nano >= span.start_unix_nano
        for tid in range(3):
            context = spans.active.context_of(tid, one.time)
            if context is not None and tid == one.key:
                told.append((one.time, context))
    begun_at = {one.time for one in in_order if not one.is_end}
    by_context: dict[SpanContext, list[int]] = {}
    for time, context in told:
        by_context.setdefault(context, []).append(time)
    for seen in by_context.values():
        assert seen[0] in begun_at
        assert len(seen) <= 2  # its beginning and its end
