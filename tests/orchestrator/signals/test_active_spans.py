from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest

from orchestrator.signals.active_spans import ActiveSpans, thread_of
from orchestrator.signals.model import LogRecord, SpanContext

ONE, TWO, THREE = (SpanContext(bytes([number]) * 16, bytes([number]) * 8, 0x103) for number in (1, 2, 3))


def test_a_thread_of_which_nothing_is_known() -> None:
    assert ActiveSpans().context_of(7, 5) is None


def test_between_its_beginning_and_its_end() -> None:
    active = ActiveSpans()
    active.begin(7, ONE, 10)
    assert [active.context_of(7, time) for time in (9, 10, 1000)] == [None, ONE, ONE]
    active.end(7, ONE, 20)
    assert [active.context_of(7, time) for time in (9, 10, 20, 21)] == [None, ONE, ONE, None]
    assert active.context_of(8, 15) is None


def test_one_after_the_other() -> None:
    active = ActiveSpans()
    for context, start in ((ONE, 10), (TWO, 20), (THREE, 30)):
        active.begin(7, context, start)
        assert active.context_of(7, start + 1) == context
        active.end(7, context, start + 5)
        assert active.context_of(7, start + 6) is None


def test_of_those_that_nest_the_innermost() -> None:
    active = ActiveSpans()
    for context, start in ((ONE, 10), (TWO, 20), (THREE, 30)):
        active.begin(7, context, start)
        assert active.context_of(7, start + 1) == context
    for context, end in ((THREE, 40), (TWO, 50), (ONE, 60)):
        active.end(7, context, end)
    assert [active.context_of(7, time) for time in range(5, 70, 10)] == [None, ONE, TWO, THREE, TWO, ONE, None]


def test_those_that_take_turns_are_in_doubt_until_none_is_open() -> None:
    active = ActiveSpans()
    active.begin(7, ONE, 10)
    active.begin(7, TWO, 15)
    active.end(7, ONE, 20)
    assert active.context_of(7, 21) is None
    active.begin(7, THREE, 22)
    assert active.context_of(7, 23) is None
    active.end(7, THREE, 24)
    active.end(7, TWO, 25)
    active.begin(7, THREE, 30)
    assert active.context_of(7, 31) == THREE


def test_one_whose_end_was_lost_is_in_doubt_until_it_is_given_up() -> None:
    active = ActiveSpans()
    active.begin(7, ONE, 10)
    active.begin(7, TWO, 15)
    active.end(7, ONE, 20)
    active.forget(7, TWO)
    active.begin(7, THREE, 30)
    assert [active.context_of(7, time) for time in (16, 21, 31)] == [ONE, None, THREE]
    active.forget(8, ONE)


def test_of_several_with_one_key_the_first_ends_or_the_last() -> None:
    for last, told in ((True, ONE), (False, None)):
        active = ActiveSpans()
        active.begin(7, ONE, 10, key="key")
        active.begin(7, TWO, 20, key="key")
        active.end(7, "key", 30, last=last)
        assert active.context_of(7, 31) == told


def test_beginnings_and_ends_in_whichever_order_they_are_read() -> None:
    for order in permutations(range(4)):
        active = ActiveSpans()
        for number in order:
            start, end = 10 + 20 * (number // 2), 20 + 20 * (number // 2)
            if number % 2:
                active.end(7, "key", end)
            else:
                active.begin(7, (ONE, TWO)[number // 2], start, key="key")
        assert [active.context_of(7, time) for time in (5, 15, 25, 35, 45)] == [None, ONE, None, TWO, None]


def test_much_that_happens_on_a_thread_is_forgotten_and_no_doubt_stays() -> None:
    active = ActiveSpans()
    active.begin(7, ONE, 10)
    for time in range(20, 10_000, 20):
        active.begin(7, TWO, time)
        assert active.context_of(7, time + 5) == TWO
        active.end(7, TWO, time + 10)
        assert active.context_of(7, time + 15) == ONE
    assert active.context_of(7, 25) is None  # too long ago
    active.end(7, ONE, 10_000)
    assert active.context_of(7, 10_001) is None


def test_what_is_read_too_late_is_doubt() -> None:
    active = ActiveSpans()
    active.begin(7, ONE, 100)
    for time in range(200, 1000, 10):
        active.end(7, "another", time)
    assert active.context_of(7, 1000) == ONE
    active.end(7, "another", 150)
    assert active.context_of(7, 1000) is None
    active.end(7, ONE, 1010)
    active.begin(7, TWO, 1020)
    assert active.context_of(7, 1030) == TWO


def test_open_spans_are_bounded() -> None:
    active = ActiveSpans()
    contexts = [SpanContext(number.to_bytes(16, "big"), number.to_bytes(8, "big")) for number in range(1, 100)]
    for start, context in enumerate(contexts):
        active.begin(7, context, start)
    assert active.context_of(7, 100) is None
    for context in reversed(contexts):
        active.end(7, context, 200)
    active.begin(7, ONE, 300)
    assert active.context_of(7, 301) == ONE


def test_the_end_of_another_span_ends_nothing() -> None:
    active = ActiveSpans()
    active.begin(7, ONE, 10)
    active.end(7, TWO, 15)
    assert active.context_of(7, 16) == ONE


def test_a_key_instead_of_a_context() -> None:
    active = ActiveSpans()
    active.begin(7, ONE, 10, key=("rule", 7))
    active.end(7, ("rule", 8), 15)
    assert active.context_of(7, 16) == ONE
    active.end(7, ("rule", 7), 20)
    assert active.context_of(7, 21) is None


def test_an_end_that_is_read_before_its_beginning() -> None:
    active = ActiveSpans()
    active.end(7, "key", 20)
    active.begin(7, ONE, 10, key="key")
    assert [active.context_of(7, time) for time in (15, 21)] == [ONE, None]
    # The next one is not ended by it.
    active.begin(7, TWO, 30, key="key")
    assert active.context_of(7, 40) == TWO


def test_an_end_before_the_beginning_in_time_is_anothers() -> None:
    active = ActiveSpans()
    active.end(7, "key", 5)
    active.begin(7, ONE, 10, key="key")
    assert active.context_of(7, 100) == ONE


def test_a_span_that_is_read_late_does_not_take_the_place_of_a_later_one() -> None:
    active = ActiveSpans()
    active.end(7, "key", 20)
    active.begin(7, TWO, 30, key="key")
    active.begin(7, ONE, 10, key="key")
    assert active.context_of(7, 35) == TWO


def test_threads_are_bounded() -> None:
    active = ActiveSpans(most=2)
    for tid in (1, 2):
        active.begin(tid, ONE, 10)
    active.begin(3, ONE, 10)
    assert [active.context_of(tid, 11) for tid in (1, 2, 3)] == [None, ONE, ONE]


@pytest.mark.parametrize(
    ("attributes", "fields", "tid"),
    [
        ({"thread.id": 7}, {}, 7),
        ({}, {"tid": 7}, 7),
        ({"thread.id": 7}, {"tid": 8}, 7),
        ({"thread.id": "7"}, {"tid": 8}, 8),
        ({"process.pid": 7}, {}, None),
    ],
)
def test_the_thread_of_a_record(attributes: dict[str, Any], fields: dict[str, Any], tid: int | None) -> None:
    assert thread_of(LogRecord(1, 2, "x", "info", "", attributes, fields)) == tid
