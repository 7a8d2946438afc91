"""What the printed values of maps add up to: one small algebra for each kind of map.

An item is what one series holds. ``read`` makes it from a printed value, ``add`` joins what came twice (a key that is
printed twice, a map that was cleared in between, series folded into one), ``point`` is what leaves.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from fractions import Fraction
from typing import Any, Protocol

from orchestrator.signals.attributes import INT64, number
from orchestrator.signals.model import AttributeValue, HistogramPoint, NumberPoint, NumberPoints
from parsers.records import Hist, Map, Stats, TimeSeries

__all__ = ("Bounds", "Kind", "MapRecord", "is_number", "kind_of", "pairs")

MapRecord = Map | Stats | Hist | TimeSeries
# A number above 2^53, the first that a double cannot hold, has 16 digits.
_INTEGER = re.compile(r"-?\d{16,20}")
Attributes = Mapping[str, AttributeValue]


def pairs(record: MapRecord) -> Sequence[tuple[str | None, Any]]:
    """The keys of a printed map, each with its value."""
    if isinstance(record, (Hist, TimeSeries)):
        return record.series
    return record.entries


def is_number(value: Any) -> bool:
    """Whether a printed value is an integer; a large one comes as a string (0.24 and later)."""
    return isinstance(value, int) or (isinstance(value, str) and _INTEGER.fullmatch(value) is not None)


class Kind(Protocol):
    """How the values of one sort of map are read, added and sent. ``of_integers``: an integer is its own item."""

    of_integers: bool

    def read(self, value: Any, time: int) -> Any:
        """The item of a value printed at ``time``; ValueError, TypeError or KeyError for another shape."""

    def add(self, one: Any, other: Any) -> Any:
        """Both as one item; ``other`` came later."""

    def points(self, series: Sequence[Attributes], items: Sequence[Any]) -> Sequence[Any]:
        """What leaves: of each series its item."""


class _Numbers:
    """count(), sum(): what comes together is added."""

    of_integers = True

    def __init__(self, scale: Fraction) -> None:
        self._scale = scale

    def read(self, value: Any, time: int) -> int:  # noqa: ARG002
        return number(value)

    def add(self, one: int, other: int) -> int:
        return one + other

    def points(self, series: Sequence[Attributes], items: Sequence[int]) -> Sequence[Any]:
        if self._scale == 1 and all(map(INT64.__contains__, items)):
            return NumberPoints(series, items)
        return NumberPoints(series, [scaled(item, self._scale) for item in items])


class _Last(_Numbers):
    """Last values, min(), max(), avg(): what comes later holds. Of stats() it is the average."""

    def read(self, value: Any, time: int) -> int:  # noqa: ARG002
        return number(value["average"] if isinstance(value, dict) else value)

    def add(self, one: int, other: int) -> int:  # noqa: ARG002 - the later one
        return other


class Bounds:
    """The bounds of one histogram metric; all its series have the same ones, and they only ever grow."""

    def __init__(self, low: int | None = None, high: int | None = None) -> None:
        self._bounds = [] if low is None or high is None else _log2_bounds(low, high)
        self._is_fixed = bool(self._bounds)

    def of(self, ends: Iterable[int | None]) -> list[int]:
        """The bounds, when buckets with these inclusive upper ends have come."""
        edges = {end for end in ends if end is not None}
        if self._is_fixed and not all(self._has(edge) for edge in edges):
            self._is_fixed, self._bounds = False, []  # lhist() has edges of its own
        if not self._is_fixed:
            self._bounds = sorted(edges.union(self._bounds))
        return self._bounds

    def _has(self, edge: int) -> bool:
        """Whether a bucket ends at a bound, or beyond them all."""
        if not self._bounds[0] < edge <= self._bounds[-1]:
            return True
        return self._bounds[bisect_left(self._bounds, edge)] == edge


class _Buckets:
    """hist(), lhist(): counts by the inclusive upper end of their bucket, None for the last open one."""

    of_integers = False

    def __init__(self, scale: Fraction, bounds: Bounds) -> None:
        self._scale, self._bounds = scale, bounds

    def read(self, value: Any, time: int) -> dict[int | None, int]:  # noqa: ARG002
        counts: dict[int | None, int] = {}
        for bucket in value:
            counts[bucket.max] = counts.get(bucket.max, 0) + bucket.count
        return counts

    def add(self, one: dict[int | None, int], other: dict[int | None, int]) -> dict[int | None, int]:
        return {end: one.get(end, 0) + other.get(end, 0) for end in one.keys() | other.keys()}

    def points(self, series: Sequence[Attributes], items: Sequence[dict[int | None, int]]) -> Sequence[Any]:
        ends = self._bounds.of(end for counts in items for end in counts)
        # The inclusive upper end of a bucket is OTLP's upper-inclusive bound; as a fraction it is scaled without error.
        bounds = [float(end * self._scale) for end in ends]
        return [
            HistogramPoint(attributes, bounds, _place(counts, ends))
            for attributes, counts in zip(series, items, strict=True)
        ]


class _Totals:
    """stats(): a histogram of which count and sum are known, and nothing else."""

    of_integers = False

    def __init__(self, scale: Fraction) -> None:
        self._scale = scale

    def read(self, value: Any, time: int) -> tuple[int, int]:  # noqa: ARG002
        return number(value["count"]), number(value["total"])

    def add(self, one: tuple[int, int], other: tuple[int, int]) -> tuple[int, int]:
        return one[0] + other[0], one[1] + other[1]

    def points(self, series: Sequence[Attributes], items: Sequence[tuple[int, int]]) -> Sequence[Any]:
        return [
            HistogramPoint(attributes, [], [count], float(total * self._scale))
            for attributes, (count, total) in zip(series, items, strict=True)
        ]


class _Intervals:
    """tseries(): a value for each interval, at its own time; each leaves once, and again if it changed."""

    of_integers = False

    def __init__(self, scale: Fraction) -> None:
        self._scale = scale
        self._sent: dict[frozenset[Any], tuple[int, int]] = {}

    def read(self, value: Any, time: int) -> list[tuple[int, int]]:
        return [(_start_time(start, time), number(item)) for start, item in value]

    def add(self, one: list[tuple[int, int]], other: list[tuple[int, int]]) -> list[tuple[int, int]]:
        return sorted({**dict(one), **dict(other)}.items())

    def points(self, series: Sequence[Attributes], items: Sequence[list[tuple[int, int]]]) -> Sequence[Any]:
        points: list[Any] = []
        for attributes, intervals in zip(series, items, strict=True):
            identity = frozenset(attributes.items())
            sent = self._sent.get(identity, (0, 0))
            new = [interval for interval in intervals if interval[0] >= sent[0] and interval != sent]
            points += [NumberPoint(attributes, scaled(value, self._scale), time) for time, value in new]
            self._sent[identity] = max(new, default=sent)
        return points


def _start_time(text: str, time: int) -> int:
    """``2026-11-23 06:14:50.200000000``, or without the date, of this host's zone -> Unix nanoseconds.

    One without a date is the last such time of day up to ``time``.
    """
    whole, _, fraction = text.partition(".")
    nanoseconds = int(fraction.ljust(9, "0") or 0)
    if " " in whole:
        start = datetime.strptime(whole, "%Y-%m-%d %H:%M:%S").replace(tzinfo=timezone.utc)
        return int(start.timestamp()) * 10**9 + nanoseconds
    printed = datetime.fromtimestamp(time // 10**9)
    clock = datetime.strptime(whole, "%H:%M:%S").time()
    found = datetime.combine(printed.date(), clock)
    if found > printed + timedelta(seconds=1):
        found -= timedelta(days=1)
    return int(found.timestamp()) * 10**9 + nanoseconds


# What prints a map, and the instrument -> how its values are read.
_KINDS: dict[tuple[type[MapRecord], str], Callable[[Fraction, Bounds], Kind]] = {
    (Map, "counter"): lambda scale, _: _Numbers(scale),
    (Map, "updowncounter"): lambda scale, _: _Numbers(scale),
    (Map, "gauge"): lambda scale, _: _Last(scale),
    (Stats, "gauge"): lambda scale, _: _Last(scale),
    (Stats, "histogram"): lambda scale, _: _Totals(scale),
    (Hist, "histogram"): _Buckets,
    (TimeSeries, "gauge"): lambda scale, _: _Intervals(scale),
}


def kind_of(record: MapRecord, instrument: str, scale: Fraction, bounds: Bounds) -> Kind | None:
    """How ``record`` is read for an instrument; None if no such metric can be made of it."""
    make = _KINDS.get((type(record), instrument))
    return make(scale, bounds) if make else None


def scaled(value: int, scale: Fraction) -> int | float:
    """OTLP's integers are signed 64 bit: what does not fit is a double."""
    return value if scale == 1 and value in INT64 else float(value * scale)


def _place(counts: Mapping[int | None, int], ends: Sequence[int]) -> list[int]:
    placed = [0] * (len(ends) + 1)
    for end, count in counts.items():
        placed[len(ends) if end is None else bisect_left(ends, end)] += count
    return placed


def _log2_bounds(low: int, high: int) -> list[int]:
    """The upper ends of hist()'s buckets [2^k, 2^(k+1)-1], from below ``low`` to the one with ``high``."""
    bounds = [(1 << max(0, low.bit_length() - 1)) - 1]
    while bounds[-1] < high:
        bounds.append(bounds[-1] * 2 + 1)
    return bounds
