"""What bpftrace can say, one frozen type for each kind of output record.

The names are bpftrace's own (``src/output/json.cpp``). A keyed map arrives as ``Entry`` pairs and not as a dict: the
same stack can be printed twice as two equal keys of one JSON object, and both count. The parts of a key are joined by
``separator``: "," in JSON, ", " in text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias, Union

__all__ = (
    "AttachedProbes",
    "Bucket",
    "Entry",
    "Hist",
    "LostEvents",
    "Map",
    "Problem",
    "Record",
    "Rows",
    "Stats",
    "Text",
    "TimeSeries",
    "Unknown",
    "Unparsed",
    "Value",
)

Scalar: TypeAlias = int | float | str | bool | None
Data: TypeAlias = Scalar | list["Data"] | dict[str, "Data"]


@dataclass(frozen=True, slots=True)
class AttachedProbes:
    """``{"type": "attached_probes", "data": {"probes": 2}}``; printed before attaching up to 0.23, after it since."""

    count: int


@dataclass(frozen=True, slots=True)
class Value:
    """``{"type": "value", "data": ["exec", 651996824598, 42]}`` from ``print(expression)``."""

    data: Data


@dataclass(frozen=True, slots=True)
class Rows:
    """Values with the tag of one event, in order; each row has an attribute for each field behind the tag.

    Or for each but the first, which is in ``times``, and perhaps the last, which is in ``texts`` as bytes: then a row
    may come again and again.
    """

    tag: str
    rows: Sequence[Any]
    times: Sequence[int] = ()
    texts: Sequence[bytes] = ()


class Entry(NamedTuple):
    """One key of a map as printed (parts joined, nothing escaped) and its value; key None: not keyed."""

    key: str | None
    value: Data


@dataclass(frozen=True, slots=True)
class Map:
    """``{"type": "map", "data": {"@c": {"a,1": 5}}}``: counts, sums and last values."""

    name: str
    entries: Sequence[tuple[str | None, Data]]
    separator: str = ","


@dataclass(frozen=True, slots=True)
class Stats:
    """``{"type": "stats", "data": {"@s": {"count": 2, "average": 7, "total": 15}}}``, or a bare number for avg()."""

    name: str
    entries: Sequence[tuple[str | None, Data]]
    separator: str = ","


class Bucket(NamedTuple):
    """Values from ``min`` to ``max``, both inclusive; None where the range is open."""

    min: int | None
    max: int | None
    count: int  # type: ignore[assignment]  # what a tuple has of that name is not called

    @classmethod
    def of(cls, low: int | None, high: int | None, count: int) -> Bucket:
        """One as it is printed."""
        # Up to 0.19 a hist() has all of 2147483648 and more in its last bucket, whose bounds overflowed.
        return cls(1 << 31, None, count) if (low, high) == (-(1 << 31), 0) else cls(low, high, count)


@dataclass(frozen=True, slots=True)
class Hist:
    """A ``hist()`` or ``lhist()`` map: buckets per key, ascending; the key is None for a map without keys."""

    name: str
    series: tuple[tuple[str | None, tuple[Bucket, ...]], ...]
    separator: str = ","


@dataclass(frozen=True, slots=True)
class TimeSeries:
    """A ``tseries()`` map (0.24 and later): per key the intervals that have a value, each with its start.

    A start is a date and time in UTC, nanoseconds at its end: ``2026-11-23 06:14:50.200000000``. Text output gives the
    time of day only, in the zone of the host: ``06:14:51.600``.
    """

    name: str
    series: tuple[tuple[str | None, tuple[tuple[str, int], ...]], ...]
    separator: str = ","


@dataclass(frozen=True, slots=True)
class Text:
    """Free text: ``kind`` is printf, time, cat, join or syscall; ``text`` keeps its newlines."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class LostEvents:
    """Events that found the ring full. Exact up to 0.23, not the truth since: compare with a count from the kernel."""

    count: int


@dataclass(frozen=True, slots=True)
class Problem:
    """What went wrong at run time: ``kind`` is helper_error, runtime_error, errorf warnf; in text error, warning."""

    kind: str
    message: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """A record of a type that this parser does not know (a newer bpftrace), kept as it came."""

    kind: str
    data: Data


@dataclass(frozen=True, slots=True)
class Unparsed:
    """A line that could not be read: the line, at most its first 4096 bytes, and why."""

    line: bytes
    reason: str


Record = Union[AttachedProbes, Value, Rows, Map, Stats, Hist, TimeSeries, Text, LostEvents, Problem, Unknown, Unparsed]
