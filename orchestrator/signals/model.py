"""OTLP's data as plain types, before it is encoded (opentelemetry-proto 1.10: metrics, logs, profiles and traces).

Text that is no UTF-8 is a ``str`` with surrogate escapes; the encoder turns it into bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeAlias, overload

__all__ = (
    "KERNEL",
    "AttributeValue",
    "Attributes",
    "Frame",
    "FrameType",
    "HistogramPoint",
    "Instrument",
    "LogRecord",
    "Metric",
    "NumberPoint",
    "NumberPoints",
    "Profile",
    "Sample",
    "Scope",
    "Series",
    "Span",
    "SpanContext",
    "SpanKind",
    "ValueType",
)

# The module of the kernel's own frames.
KERNEL = "[kernel.kallsyms]"
# A sequence or mapping holds the same again.
AttributeValue: TypeAlias = str | int | float | bool | Sequence[Any] | Mapping[str, Any]
Attributes: TypeAlias = Mapping[str, AttributeValue]
Instrument = Literal["counter", "updowncounter", "gauge", "histogram"]
FrameType = Literal["kernel", "native", ""]
SpanKind = Literal["internal", "server", "client", "producer", "consumer"]


@dataclass(frozen=True, slots=True)
class Scope:
    """What made the data: an InstrumentationScope."""

    name: str
    version: str


@dataclass(frozen=True, slots=True)
class SpanContext:
    """What tells a span from all others: ``trace_id`` of 16 bytes, ``span_id`` of 8, neither all zeros.

    ``flags``: the trace-flags of W3C Trace Context in the low 8 bits; 0x100 says that it is known whether the context
    came from elsewhere, 0x200 that it did (opentelemetry/proto/trace/v1/trace.proto, SpanFlags).
    """

    trace_id: bytes
    span_id: bytes
    flags: int = 0


@dataclass(frozen=True, slots=True)
class LogRecord:
    """One event. Times in Unix nanoseconds: when it happened, and when we read it.

    ``fields`` has what the manifest names but does not export; spans are made by it. ``context``: the span in which
    it happened.
    """

    time_unix_nano: int
    observed_time_unix_nano: int
    event_name: str
    severity: str
    body: str
    attributes: Attributes
    fields: Attributes = field(default_factory=dict)
    context: SpanContext | None = None


@dataclass(frozen=True, slots=True)
class Span:
    """One operation, in Unix nanoseconds. It has failed if ``attributes`` holds ``error.type``.

    ``trace_state`` is that of W3C Trace Context: what OpenTelemetry says there of sampling, or nothing.
    """

    context: SpanContext
    parent: SpanContext | None
    name: str
    kind: SpanKind
    start_unix_nano: int
    end_unix_nano: int
    attributes: Attributes
    links: Sequence[SpanContext] = ()
    trace_state: str = ""


class Frame(NamedTuple):
    """One frame of a stack: ``name`` is empty where there is no symbol, ``address`` 0 where it is not known.

    ``type`` is the ``profile.frame.type``, empty where it is not known; ``module`` the file or kernel module.
    """

    name: str
    address: int = 0
    type: FrameType = ""
    module: str = ""


@dataclass(frozen=True, slots=True)
class Sample:
    """What one stack (leaf first) of one process, thread or CPU adds up to."""

    stack: tuple[Frame, ...]
    value: int
    attributes: Attributes


@dataclass(frozen=True, slots=True)
class ValueType:
    """What a number counts (``cpu``) and in which unit (``nanoseconds``)."""

    type: str
    unit: str


@dataclass(frozen=True, slots=True)
class Profile:
    """The samples of one type in one window of time; no two of them have the same stack and attributes.

    ``period`` is in the unit of ``period_type``: what one sample of the program stands for; None where there is none.
    """

    sample_type: ValueType
    period_type: ValueType | None
    period: int
    time_unix_nano: int
    duration_nano: int
    samples: Sequence[Sample]


class Series(dict[str, AttributeValue]):
    """The attributes of a series that comes with every snapshot. ``encoded``: what an encoder has made of them."""

    __slots__ = ("encoded",)
    encoded: bytes

    def __init__(self, attributes: Attributes) -> None:
        super().__init__(attributes)
        self.encoded = b""


class NumberPoint(NamedTuple):
    """One series of a counter or gauge; ``time_unix_nano`` where it is not that of its metric."""

    attributes: Attributes
    value: int | float
    time_unix_nano: int | None = None


class NumberPoints(Sequence[NumberPoint]):
    """The points of many series at one time, in two columns: points are made where they are asked for."""

    __slots__ = ("series", "values")

    def __init__(self, series: Sequence[Attributes], values: Sequence[int | float]) -> None:
        self.series, self.values = series, values

    def __len__(self) -> int:
        return len(self.series)

    @overload
    def __getitem__(self, index: int) -> NumberPoint: ...
    @overload
    def __getitem__(self, index: slice) -> NumberPoints: ...
    def __getitem__(self, index: int | slice) -> NumberPoint | NumberPoints:
        if isinstance(index, slice):
            return NumberPoints(self.series[index], self.values[index])
        return NumberPoint(self.series[index], self.values[index])

    def __eq__(self, other: object) -> bool:
        return list(self) == list(other) if isinstance(other, Sequence) else NotImplemented

    __hash__ = None  # type: ignore[assignment]


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
