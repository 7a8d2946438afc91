"""One rule of a manifest's ``spans``: the event that is a span, or the two that begin and end one."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import isfinite
from typing import Any

from config.manifest import Span as Rule
from orchestrator.signals.active_spans import THREAD_NAMES, ActiveSpans
from orchestrator.signals.attributes import hashable, number
from orchestrator.signals.clock import TIMES
from orchestrator.signals.model import LogRecord, Span
from orchestrator.signals.span_shape import Identity, Shape
from orchestrator.signals.traceparent import Bits
from orchestrator.signals.waiting import Waiting

__all__ = ("Half", "PairedSpans", "SpanCounts", "WholeSpans")

_MISSING = object()
_NANOSECONDS = 10**9


@dataclass(slots=True)
class SpanCounts:
    """What became of events that are spans, or halves of them.

    ``completed`` spans, of which ``kept`` have left; ``unpaired_ends`` without a beginning (it may have been before
    the program was attached); beginnings that were given up after their ``timeout``, ``evicted`` because too many
    waited, or are ``waiting`` still when all has come to an end; and ``unreadable`` events, without a key or duration
    that makes sense.
    """

    completed: int = 0
    kept: int = 0
    unpaired_ends: int = 0
    timed_out: int = 0
    evicted: int = 0
    waiting: int = 0
    unreadable: int = 0


@dataclass(frozen=True, slots=True)
class Half:
    """A beginning (with its identity, if it can be known yet) or an end; ``time`` is the kernel's."""

    record: LogRecord
    time: int
    key: tuple[Hashable, ...]
    is_end: bool
    identity: Identity | None = None


class WholeSpans:
    """Reads events that are spans."""

    def __init__(self, rule: Rule, bits: Bits) -> None:
        self._duration = rule.duration or ""
        self._is_end = rule.time == "end"
        self.shape = Shape(rule, bits)

    def span(self, record: LogRecord) -> Span:
        """The span of an event. Raises ValueError or TypeError if it has no duration, or one of another world."""
        duration = _nanoseconds(_value(record, self._duration))
        time = record.time_unix_nano
        start, end = (time - duration, time) if self._is_end else (time, time + duration)
        if duration < 0 or start not in TIMES or end not in TIMES:
            raise ValueError("no duration of this world")
        return self.shape.span(record.attributes, record.fields, start, end)


class PairedSpans:
    """Pairs beginnings and ends. What comes is first read (``half``), and paired when its turn comes (``pair``).

    All times are the kernel's but those of the spans: Unix time is set now and then, also between two halves.
    """

    def __init__(self, rule: Rule, bits: Bits, counts: SpanCounts, active: ActiveSpans) -> None:
        self._rule, self._counts, self._active = rule, counts, active
        self._is_lifo = rule.order == "lifo"
        self._waiting: Waiting[Half] = Waiting(rule.waiting, last=self._is_lifo)
        self._timeout = round(rule.timeout * 1e9)
        # Both halves have the same key: so they are of one thread if it is part of it.
        self._thread = next((index for index, name in enumerate(rule.key) if name in THREAD_NAMES), None)
        self.shape = Shape(rule, bits)

    def half(self, record: LogRecord, time: int, *, is_end: bool) -> Half:
        """Read one of the two events, as soon as it comes. Raises ValueError or TypeError if it has no key."""
        key = tuple(hashable(_value(record, name)) for name in self._rule.key)
        half = Half(record, time, key, is_end, None if is_end else self._begin(record))
        tid = self._tid(half)
        if tid is not None and is_end:
            self._active.end(tid, (id(self), key), time, last=self._is_lifo)
        elif tid is not None and half.identity is not None:
            self._active.begin(tid, half.identity.context, time, (id(self), key))
        return half

    def pair(self, half: Half) -> Iterator[Span]:
        """The span that the next event in time completes."""
        self.expire(half.time)
        if not half.is_end:
            evicted = self._waiting.add(half.key, half.time, half)
            if evicted is not None:
                self._counts.evicted += 1
                self._forget(evicted)
            return
        begun = self._waiting.take(half.key, half.time)
        if begun is None:
            self._counts.unpaired_ends += 1
        else:
            yield self._span(begun, half)

    def expire(self, now: int) -> None:
        """Give up what has waited for longer than the rule's timeout."""
        for begun in self._waiting.expire(now - self._timeout):
            self._counts.timed_out += 1
            self._forget(begun)

    @property
    def waiting(self) -> int:
        """How many beginnings wait for their end."""
        return len(self._waiting)

    def _begin(self, record: LogRecord) -> Identity | None:
        """The identity of a span that begins; None if its parent is told by its end, if at all."""
        identity = self.shape.identity(record.attributes, record.fields)
        return None if self._rule.parent is not None and identity.parent is None else identity

    def _span(self, begun: Half, ended: Half) -> Span:
        first, last = begun.record, ended.record
        return self.shape.span(
            {**first.attributes, **last.attributes},
            {**first.fields, **last.fields},
            first.time_unix_nano,
            first.time_unix_nano + ended.time - begun.time,
            begun.identity,
        )

    def _forget(self, begun: Half) -> None:
        tid = self._tid(begun)
        if tid is not None and begun.identity is not None:
            self._active.forget(tid, begun.identity.context)

    def _tid(self, half: Half) -> int | None:
        tid = None if self._thread is None else half.key[self._thread]
        return tid if isinstance(tid, int) else None


def _value(record: LogRecord, name: str) -> Any:
    """A field, as it was printed, or an attribute. Raises ValueError if there is neither."""
    value = record.fields.get(name, record.attributes.get(name, _MISSING))
    if value is _MISSING:
        raise ValueError(f"no {name}")
    return value


def _nanoseconds(value: Any) -> int:
    """A duration as it was printed, in nanoseconds; or in seconds, if it is an attribute that was scaled to them."""
    return round(Fraction(value) * _NANOSECONDS) if isinstance(value, float) and isfinite(value) else number(value)
