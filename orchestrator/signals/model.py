"""OTLP's data as plain types, before it is encoded (opentelemetry-proto 1.10, metrics.proto and logs.proto).

Text that is no UTF-8 is a ``str`` with surrogate escapes; the encoder turns it into bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

__all__ = (
    "AttributeValue",
    "Attributes",
    "HistogramPoint",
    "Instrument",
    "LogRecord",
    "Metric",
    "NumberPoint",
    "Scope",
)

# A sequence or mapping holds the same again.
AttributeValue: TypeAlias = str | int | float | bool | Sequence[Any] | Mapping[str, Any]
Attributes: TypeAlias = Mapping[str, AttributeValue]
Instrument = Literal["counter", "updowncounter", "gauge", "histogram"]


@dataclass(frozen=True, slots=True)
class Scope:
    """What made the data: an InstrumentationScope."""

    name: str
    version: str


@dataclass(frozen=True, slots=True)
class LogRecord:
    """One event. Times in Unix nanoseconds: when it happened, and when we read it."""

    time_unix_nano: int
    observed_time_unix_nano: int
    event_name: str
    severity: str
    body: str
    attributes: Attributes


@dataclass(frozen=True, slots=True)
class NumberPoint:
    """One series of a counter or gauge; ``time_unix_nano`` where it is not that of its metric."""

    attributes: Attributes
    value: int | float
    time_unix_nano: int | None = None


@dataclass(frozen=True, slots=True)
class HistogramPoint:
    """One series of a histogram: ``counts[i]`` values up to and including ``bounds[i]``, the last one above them all.

    bpftrace's hist() keeps no ``sum``; its stats() keeps nothing else: no bounds, and one count.
    """

    attributes: Attributes
    bounds: Sequence[float]
    counts: Sequence[int]
    sum: float | None = None


@dataclass(frozen=True, slots=True)
class Metric:
    """All series of one instrument at one time; cumulative since ``start_unix_nano``.

    ``dimensions``: the attributes that tell the series apart, most telling first; for showing them.
    """

    name: str
    unit: str
    description: str
    instrument: Instrument
    start_unix_nano: int
    time_unix_nano: int
    points: Sequence[NumberPoint | HistogramPoint]
    dimensions: Sequence[str] = ()
