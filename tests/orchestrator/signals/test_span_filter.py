from __future__ import annotations

from typing import Any

import pytest

from config.manifest import Keep
from orchestrator.signals.model import Span, SpanContext
from orchestrator.signals.span_filter import SpanFilter, matcher


def span(duration: int = 5, randomness: int = 0, **attributes: Any) -> Span:
    trace_id = b"\xff" * 9 + randomness.to_bytes(7, "big")
    return Span(SpanContext(trace_id, b"\1" * 8), None, "x", "internal", 100, 100 + duration, attributes)


@pytest.mark.parametrize(
    ("text", "fitting", "others"),
    [
        ("404", [404, 404.0, "404"], [400, 4040, True, "4", None, "4xx", [404]]),
        ("5xx", [500, 503, 599, "502"], [499, 600, 50, 5, 5000, "5xy", True]),
        ("50x", [500, 509], [510, 500_0]),
        (">=400", [400, 404, 503, "404", 400.5], [399, "GET", True, None]),
        ("> 400", [401], [400]),
        ("<500", [499, -1, 0], [500]),
        ("<=0.5", [0.5, 0, "0.25"], [0.51]),
        ("GET", ["GET"], ["get", "GETS", "", None]),
        ("GET,POST", ["GET", "POST"], ["PUT", "GET,POST"]),
        (" GET , 5xx ,>=1000", ["GET", 500, 1000], [404]),
        ("-1", [-1, "-1"], [1]),
        ("true", [True, "true"], [False, 1]),
        (">=abc", [">=abc"], [1, "abc"]),
        (",", [], ["", 0]),
    ],
)
def test_what_fits(text: str, fitting: list[Any], others: list[Any]) -> None:
    fits = matcher(text)
    assert [value for value in fitting if not fits(value)] == []
    assert [value for value in others if fits(value)] == []


@pytest.mark.parametrize(
    ("keep", "kept"),
    [
        (Keep(), True),
        (Keep(min_duration=5), True),
        (Keep(min_duration=6), False),
        (Keep(only={"a": "1"}), True),
        (Keep(only={"a": "2"}), False),
        (Keep(only={"a": ""}), True),
        (Keep(only={"b": ""}), True),
        (Keep(only={"b": "1"}), False),
        (Keep(only={"a": "1", "c": "x,y"}), True),
        (Keep(only={"a": "1", "c": "y"}), False),
        (Keep(min_duration=5, only={"a": "0"}), False),
    ],
)
def test_which_spans_leave(keep: Keep, kept: bool) -> None:
    assert SpanFilter(keep).keeps(span(a=1, c="x")) is kept


# Thresholds as the specification has them: (1 - probability) * 2^56, without trailing zeros.
@pytest.mark.parametrize(
    ("one_in", "state", "least"),
    [
        (1, "", 0),
        (2, "ot=th:8", 1 << 55),
        (4, "ot=th:c", 3 << 54),
        (16, "ot=th:f", 15 << 52),
        (3, "ot=th:aaaaaaaaaaaaab", 0xAAAAAAAAAAAAAB),
        (10, "ot=th:e6666666666666", 0xE6666666666666),
        (100, "ot=th:fd70a3d70a3d71", 0xFD70A3D70A3D71),
        (2**56, "ot=th:ffffffffffffff", 2**56 - 1),
        (2**80, "ot=th:ffffffffffffff", 2**56 - 1),
    ],
)
def test_one_in_so_many_traces_by_the_last_seven_bytes_of_their_ids(one_in: int, state: str, least: int) -> None:
    chosen = SpanFilter(Keep(one_in=one_in))
    assert chosen.trace_state == state
    assert chosen.keeps(span(randomness=least))
    assert chosen.keeps(span(randomness=2**56 - 1))
    if least:
        assert not chosen.keeps(span(randomness=least - 1))
        assert not chosen.keeps(span())


@pytest.mark.parametrize("one_in", [0, -3])
def test_a_number_that_makes_no_sense_keeps_all(one_in: int) -> None:
    assert SpanFilter(Keep(one_in=one_in)).keeps(span())
