from __future__ import annotations

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


def test_a_thread_with_two_at_once_is_never_certain_again() -> None:
    active = ActiveSpans()
    active.begin(7, ONE, 10)
    active.begin(7, TWO, 15)
    assert active.context_of(7, 16) is None
    active.end(7, ONE, 20)
    active.end(7, TWO, 25)
    active.begin(7, THREE, 30)
    assert active.context_of(7, 31) is None


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
