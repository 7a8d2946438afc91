"""The words for spans: an event that is one, two events that pair, and the conversations of a protocol."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from config.words import Attributes, Closed, Given, NonEmpty

__all__ = ("END_FIELDS", "SEGMENT_FIELDS", "Exchange", "Keep", "Span", "SpanMetric", "SpanShape")

_Count = Annotated[int, Meta(ge=1)]
_Seconds = Annotated[float, Meta(gt=0)]
# Advice of the semantic conventions for http.server.request.duration, in seconds.
_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)


class Keep(Closed, frozen=True):
    """Which spans leave. Metrics count all of them.

    ``min_duration``: in nanoseconds, or the name of a parameter. ``only``: attribute -> the parameter with its wanted
    values, separated by commas (``404``, ``5xx``, ``>=400``, ``GET``; empty: all). ``one_in``: of so many traces one
    is kept, whole: it is chosen by its trace id.
    """

    min_duration: Given = 0
    only: dict[str, str] = {}
    one_in: Given = 1


class SpanMetric(Closed, frozen=True):
    """A metric of all spans of a rule: their ``count`` as a counter, or their ``duration`` in seconds as a histogram.

    ``attributes``: those of the span that tell its series apart.
    """

    name: NonEmpty
    description: NonEmpty
    of: Literal["duration", "count"] = "duration"
    unit: NonEmpty = "s"
    attributes: list[str] = []
    bounds: tuple[float, ...] = _BOUNDS
    limit: _Count = 1000


class SpanShape(Closed, frozen=True, kw_only=True):
    """What all spans of a rule are.

    ``name`` may hold ``{attributes}`` and ``{fields}``. ``parent`` and ``links`` name fields or attributes that hold a
    W3C ``traceparent``; invalid ones count for nothing. A span that has the attribute ``error.type`` has failed.
    """

    name: NonEmpty
    kind: Literal["internal", "server", "client", "producer", "consumer"] = "internal"
    attributes: Attributes = {}
    parent: str | None = None
    links: list[str] = []
    keep: Keep = Keep()
    metrics: list[SpanMetric] = []


class Span(SpanShape, frozen=True, kw_only=True):
    """An event that is a span, or two events that pair. An event is a tag, or the name of a printed line.

    A whole one has ``duration``: the field with its nanoseconds, or an attribute scaled to seconds; and ``time`` says
    which of its ends the event's time is. With ``end``, the event that ends it, ``event`` begins it: both have the
    fields or attributes ``key``, with the same values. Of several that wait under one key the first one is taken
    (``fifo``), or the last (``lifo``). One that has waited for ``timeout`` seconds, or the oldest above ``waiting``, is
    given up and counted.
    ``log``: its events leave as log records too.
    """

    event: NonEmpty
    duration: str | None = None
    time: Literal["start", "end"] = "end"
    end: NonEmpty | None = None
    key: list[str] = []
    order: Literal["fifo", "lifo"] = "fifo"
    timeout: _Seconds = 60.0
    waiting: _Count = 10_000
    log: bool = False


# connection: a number that no two connections have at a time. outgoing: 1 written, 0 read. position: bytes of that
# direction before this segment. size: bytes of this one; 0 tells the position alone. entered: when the system call was
# entered; the event's own time is when it returned. last: when the segment before it returned, 0 if there was none; all
# by the kernel's clock. data: its first bytes, a part.
SEGMENT_FIELDS = ("connection", "outgoing", "position", "size", "entered", "last", "data")
# The bytes of both directions in all.
END_FIELDS = ("connection", "last", "received", "sent")
# Of each protocol.
OPTIONS = {"http1": ("query",)}


class Exchange(Closed, frozen=True):
    """The segments of connections that speak ``protocol``: its requests and answers become spans.

    The event is what one system call transferred, and ``end`` the one that ends a connection; ``SEGMENT_FIELDS`` and
    ``END_FIELDS`` name what they have to tell. ``options``: parameters by the protocol's option.
    """

    protocol: Literal["http1"]
    end: NonEmpty
    server: SpanShape
    client: SpanShape
    options: dict[str, Given] = {}
    timeout: _Seconds = 60.0
    connections: _Count = 10_000
