from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest

from orchestrator.signals.model import HistogramPoint, NumberPoint
from orchestrator.signals.series import Bounds, Kind, MapRecord, is_number, kind_of, pairs
from parsers.records import Bucket, Entry, Hist, Map, Stats, TimeSeries

MAP, STATS, HIST, TSERIES = Map("m", ()), Stats("m", ()), Hist("m", ()), TimeSeries("m", ())
STATISTICS = {"count": 4, "average": 7, "total": 30}
# 2026-11-23 06:14:50 two hours east of Greenwich.
PRINTED = 1_795_407_290_000_000_000
SECOND = 10**9
DAY = 86_400 * SECOND


def kind(record: MapRecord, instrument: str, scale: str = "1") -> Kind:
    found = kind_of(record, instrument, Fraction(scale), Bounds())
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("record", "instruments"),
    [
        (MAP, {"counter", "updowncounter", "gauge"}),
        (STATS, {"gauge", "histogram"}),
        (HIST, {"histogram"}),
        (TSERIES, {"gauge"}),
    ],
)
def test_what_can_be_made_of_a_map(record: MapRecord, instruments: set[str]) -> None:
    made = {
        instrument
        for instrument in ("counter", "updowncounter", "gauge", "histogram")
        if kind_of(record, instrument, Fraction(1), Bounds()) is not None
    }
    assert made == instruments


def test_pairs_of_every_record() -> None:
    buckets = (Bucket(0, 1, 2),)
    assert list(pairs(Map("m", (Entry("a", 1), Entry("a", 2))))) == [("a", 1), ("a", 2)]
    assert list(pairs(Stats("m", (Entry(None, 5),)))) == [(None, 5)]
    assert list(pairs(Hist("m", (("a", buckets),)))) == [("a", buckets)]
    assert list(pairs(TimeSeries("m", ((None, (("06:14:50", 3),)),)))) == [(None, (("06:14:50", 3),))]


@pytest.mark.parametrize(
    ("value", "answer"),
    [
        (5, True),
        (-5, True),
        (True, True),
        ("9007199254740993", True),
        ("-9223372036854775808", True),
        ("18446744073709551615", True),
        ("42", False),  # a number that fits a double is printed as one: this is text
        ("123456789012345678901", False),
        ("9007199254740993 ", False),
        ("comm", False),
        ("", False),
        (1.5, False),
        (None, False),
        ([1], False),
        ({"count": 1}, False),
    ],
)
def test_is_number(value: Any, answer: bool) -> None:
    assert is_number(value) is answer


@pytest.mark.parametrize(
    ("record", "instrument", "first", "second", "together"),
    [
        (MAP, "counter", 3, "9007199254740993", 9007199254740996),
        (MAP, "updowncounter", 3, -5, -2),
        (MAP, "gauge", 3, -5, -5),  # what comes later holds
        (STATS, "gauge", 3, 4, 4),  # avg()
        (STATS, "gauge", STATISTICS, {"count": 1, "average": -2, "total": -2}, -2),
    ],
)
def test_numbers_that_come_together(record: MapRecord, instrument: str, first: Any, second: Any, together: int) -> None:
    algebra = kind(record, instrument)
    joined = algebra.add(algebra.read(first, PRINTED), algebra.read(second, PRINTED))
    assert algebra.points([{"a": 1}], [joined]) == [NumberPoint({"a": 1}, together)]


def test_stats_come_together_as_count_and_sum() -> None:
    algebra = kind(STATS, "histogram", "1e-3")
    joined = algebra.add(
        algebra.read(STATISTICS, PRINTED), algebra.read({"count": 2, "average": 50, "total": "100"}, PRINTED)
    )
    assert algebra.points([{}], [joined]) == [HistogramPoint({}, [], [6], 0.13)]


def test_histograms_come_together_bucket_by_bucket() -> None:
    algebra = kind(HIST, "histogram")
    first = algebra.read((Bucket(None, -1, 1), Bucket(0, 1, 2), Bucket(4, None, 3)), PRINTED)
    second = algebra.read((Bucket(0, 1, 10), Bucket(2, 3, 20), Bucket(4, None, 30)), PRINTED)
    (point,) = algebra.points([{}], [algebra.add(first, second)])
    assert (list(point.bounds), list(point.counts)) == ([-1.0, 1.0, 3.0], [1, 12, 20, 33])
    assert point.sum is None


@pytest.mark.parametrize(
    ("record", "instrument", "value"),
    [
        (MAP, "counter", "many"),
        (MAP, "counter", [1, 2]),
        (MAP, "gauge", None),
        (MAP, "gauge", 1.5),
        (STATS, "gauge", {"count": 1, "total": 3}),
        (STATS, "gauge", "x"),
        (STATS, "histogram", 5),  # avg()
        (STATS, "histogram", {"count": 1, "average": 3}),
        (STATS, "histogram", {"count": "x", "average": 3, "total": 3}),
        (TSERIES, "gauge", (("yesterday", 1),)),
        (TSERIES, "gauge", (("06:14:50", "x"),)),
        (TSERIES, "gauge", (("25:00:00", 1),)),
    ],
)
def test_a_value_of_another_shape(record: MapRecord, instrument: str, value: Any) -> None:
    with pytest.raises((ValueError, TypeError, KeyError)):
        kind(record, instrument).read(value, PRINTED)


@pytest.mark.parametrize(
    ("text", "zone", "printed", "time"),
    [
        # With a date, as in JSON: of Greenwich, whatever the zone is.
        ("2026-11-23 04:14:50.200000000", "EAST-2", PRINTED + SECOND, PRINTED + 200_000_000),
        ("2026-11-23 04:14:50.000000001", "EAST-2", 0, PRINTED + 1),
        ("2026-11-23 04:14:50", "EAST-2", PRINTED, PRINTED),
        ("2026-11-23 04:14:50.200000000", "WEST3", PRINTED, PRINTED + 200_000_000),
        ("2026-11-23 06:14:50", "EAST-2", PRINTED, PRINTED + 2 * 3600 * SECOND),
        # Without a date, as in text: the last such time of day where we are.
        ("06:14:50.200", "EAST-2", PRINTED + SECOND, PRINTED + 200_000_000),
        ("06:14:50", "EAST-2", PRINTED + DAY // 2, PRINTED),
        ("06:14:51.600", "EAST-2", PRINTED, PRINTED + 1_600_000_000),  # the interval that has just begun
        ("06:14:53.000", "EAST-2", PRINTED, PRINTED + 3 * SECOND - DAY),
        ("23:59:59.500", "EAST-2", PRINTED, PRINTED + 63_909 * SECOND + 500_000_000 - DAY),
    ],
)
def test_intervals_are_at_their_own_times(
    set_zone: Callable[[str], None], text: str, zone: str, printed: int, time: int
) -> None:
    set_zone(zone)
    algebra = kind(TSERIES, "gauge")
    assert algebra.points([{}], [algebra.read(((text, 7),), printed)]) == [NumberPoint({}, 7, time)]


class Series:
    """What one tseries() becomes, print by print; times are seconds after 06:00, each interval as it was printed."""

    def __init__(self, scale: str = "1") -> None:
        self._algebra = kind(TSERIES, "gauge", scale)

    def printed(self, **series: dict[int, int]) -> list[tuple[str, int, int | float]]:
        start = PRINTED - PRINTED % DAY  # midnight where the zone is that of Greenwich
        read = [
            (
                {"key": key},
                self._algebra.read(
                    tuple((f"06:00:{second:02}", value) for second, value in intervals.items()),
                    start + 7 * 3600 * SECOND,
                ),
            )
            for key, intervals in series.items()
        ]
        return [
            (point.attributes["key"], (point.time_unix_nano - start) // SECOND - 6 * 3600, point.value)
            for point in self._algebra.points([one for one, _ in read], [item for _, item in read])
        ]


@pytest.fixture
def series(set_zone: Callable[[str], None]) -> Series:
    set_zone("UTC0")
    return Series()


def test_an_interval_leaves_once(series: Series) -> None:
    assert series.printed(a={0: 5, 1: 7}) == [("a", 0, 5), ("a", 1, 7)]
    assert series.printed(a={0: 5, 1: 7}) == []
    assert series.printed(a={1: 7, 2: 1, 3: 1}) == [("a", 2, 1), ("a", 3, 1)]
    assert series.printed(a={}) == []


def test_every_series_has_intervals_of_its_own(series: Series) -> None:
    assert series.printed(a={5: 1}) == [("a", 5, 1)]
    assert series.printed(a={5: 1}, b={3: 2}) == [("b", 3, 2)]
    assert series.printed(a={6: 1}, b={3: 2}) == [("a", 6, 1)]


@pytest.mark.parametrize("later", [9, 3])
def test_the_interval_that_was_still_open_leaves_again_when_it_has_changed(series: Series, later: int) -> None:
    """It has grown, or, of a tseries() of least values, fallen."""
    assert series.printed(a={0: 5, 1: 7}) == [("a", 0, 5), ("a", 1, 7)]
    assert series.printed(a={0: 5, 1: later, 2: 1}) == [("a", 1, later), ("a", 2, 1)]


def test_intervals_of_a_key_that_is_printed_twice_are_joined(set_zone: Callable[[str], None]) -> None:
    set_zone("UTC0")
    algebra = kind(TSERIES, "gauge")
    one = algebra.read((("2026-11-23 06:00:00.000000000", 1), ("2026-11-23 06:00:02.000000000", 2)), PRINTED)
    other = algebra.read((("2026-11-23 06:00:01.000000000", 3),), PRINTED)
    assert [point.value for point in algebra.points([{}], [algebra.add(one, other)])] == [1, 3, 2]


def test_intervals_are_scaled(set_zone: Callable[[str], None]) -> None:
    set_zone("UTC0")
    assert Series("1e-3").printed(a={0: 5}) == [("a", 0, 0.005)]
