from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from orchestrator.signals.model import (
    HistogramPoint,
    Instrument,
    Metric,
    NumberPoint,
    NumberPoints,
    Scope,
    Series,
)
from orchestrator.signals.rebase import Rebase

SCOPE, OTHER = Scope("s", "1"), Scope("o", "1")
A, B = Series({"k": "a"}), Series({"k": "b"})


def metric(points: Sequence[Any], instrument: Instrument = "counter", start: int = 100, time: int = 200) -> Metric:
    return Metric("m", "1", "", instrument, start, time, points)


def through(rebase: Rebase, points: Sequence[Any], instrument: Instrument = "counter", scope: Scope = SCOPE) -> Metric:
    (found,) = rebase.apply({scope: [metric(points, instrument)]})[scope]
    return found


def numbers(*values: int) -> NumberPoints:
    return NumberPoints([A, B][: len(values)], values)


def test_nothing_changes_before_a_step() -> None:
    given = {SCOPE: [metric(numbers(1, 2))]}
    assert Rebase().apply(given) == given


def test_sums_count_from_the_step_on() -> None:
    rebase = Rebase()
    through(rebase, numbers(5))
    through(rebase, numbers(7))
    rebase.begin(50)
    found = through(rebase, numbers(10, 4))
    assert found.start_unix_nano == 50
    assert list(found.points) == [NumberPoint(A, 3), NumberPoint(B, 4)]
    assert list(through(rebase, numbers(12, 4)).points) == [NumberPoint(A, 5), NumberPoint(B, 4)]


def test_a_second_step_starts_from_what_the_kernel_counted() -> None:
    rebase = Rebase()
    through(rebase, numbers(5))
    rebase.begin(50)
    through(rebase, numbers(8))
    rebase.begin(20)
    found = through(rebase, numbers(9))
    assert (found.start_unix_nano, list(found.points)) == (20, [NumberPoint(A, 1)])


@pytest.mark.parametrize("instrument", ["gauge", "updowncounter"])
def test_what_is_not_added_up_stays(instrument: Instrument) -> None:
    rebase = Rebase()
    through(rebase, numbers(5), instrument)
    rebase.begin(50)
    found = through(rebase, numbers(7), instrument)
    assert (found.start_unix_nano, list(found.points)) == (50, [NumberPoint(A, 7)])


def test_histograms_with_buckets_that_came_later() -> None:
    rebase = Rebase()
    through(rebase, [HistogramPoint(A, [1.0, 4.0], [3, 2, 1])], "histogram")
    rebase.begin(50)
    found = through(rebase, [HistogramPoint(A, [1.0, 2.0, 4.0], [3, 7, 5, 2])], "histogram")
    assert list(found.points) == [HistogramPoint(A, [1.0, 2.0, 4.0], [0, 7, 3, 1])]


def test_histograms_without_buckets() -> None:
    rebase = Rebase()
    through(rebase, [HistogramPoint(A, [], [2], 10.0)], "histogram")
    rebase.begin(50)
    found = through(rebase, [HistogramPoint(A, [], [5], 25.0)], "histogram")
    assert list(found.points) == [HistogramPoint(A, [], [3], 15.0)]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([NumberPoint(A, 9)], [NumberPoint(A, 2)]),
        ([HistogramPoint(A, [1.0], [9, 0])], [HistogramPoint(A, [1.0], [2, 5])]),
    ],
)
def test_what_a_program_has_cleared_is_never_negative(before: list[Any], after: list[Any]) -> None:
    rebase = Rebase()
    through(rebase, before)
    rebase.begin(50)
    assert list(through(rebase, after).points) == after


def test_each_scope_has_its_own() -> None:
    rebase = Rebase()
    through(rebase, numbers(5))
    rebase.begin(50)
    assert list(through(rebase, numbers(7), scope=OTHER).points) == [NumberPoint(A, 7)]
