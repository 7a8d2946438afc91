"""Events that are spans -> spans and their metrics, by the manifest's ``spans``."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from config.manifest import Span as Rule
from orchestrator.signals.active_spans import ActiveSpans
from orchestrator.signals.clock import Moment
from orchestrator.signals.model import LogRecord, Metric, Span
from orchestrator.signals.reorder import Reorder
from orchestrator.signals.span_events import Half, PairedSpans, SpanCounts, WholeSpans
from orchestrator.signals.span_shape import Shape
from orchestrator.signals.traceparent import Bits

__all__ = ("SpanReader",)


class SpanReader:
    """Reads the spans of one signal: give it each record of its ``events`` (tags, and names of printed lines).

    ``active`` is told of those whose two halves are certain to be of one thread, by the kernel's times.

    Halves of spans are held back for a second, until no CPU can have an earlier one: an end that is read before its
    beginning finds it, and none is given the beginning of another. ``bits``: the source of random ids.
    """

    def __init__(
        self, rules: Sequence[Rule], active: ActiveSpans | None = None, bits: Bits = random.getrandbits
    ) -> None:
        self.counts = SpanCounts()
        self.active = ActiveSpans() if active is None else active
        self._whole: dict[str, list[WholeSpans]] = {}
        self._halves: dict[str, list[tuple[PairedSpans, bool]]] = {}
        self._pairs: list[PairedSpans] = []
        self._shapes: list[Shape] = []
        self._logged = {event for rule in rules if rule.log for event in (rule.event, rule.end)}
        self._offset = 0
        self._order: Reorder[tuple[PairedSpans, Half]] = Reorder()
        for rule in rules:
            self._learn(rule, bits)
        self.events = self._whole.keys() | self._halves.keys()

    def _learn(self, rule: Rule, bits: Bits) -> None:
        if rule.end is None:
            whole = WholeSpans(rule, bits)
            self._whole.setdefault(rule.event, []).append(whole)
            self._shapes.append(whole.shape)
            return
        pairs = PairedSpans(rule, bits, self.counts, self.active)
        self._halves.setdefault(rule.event, []).append((pairs, False))
        self._halves.setdefault(rule.end, []).append((pairs, True))
        self._pairs.append(pairs)
        self._shapes.append(pairs.shape)

    def keeps_log(self, event: str) -> bool:
        """Whether the records of an event leave as log records too."""
        return event in self._logged or event not in self.events

    def take(self, event: str, record: LogRecord, moment: Moment) -> Iterator[Span]:
        """The spans that leave now that ``record`` has come; ``moment``: that when it was read."""
        self._offset = moment.offset
        time = record.time_unix_nano - moment.offset
        for whole in self._whole.get(event, ()):
            try:
                span = whole.span(record)
            except (ValueError, TypeError):
                self.counts.unreadable += 1
            else:
                yield from self._leave(whole.shape, span)
        for pairs, is_end in self._halves.get(event, ()):
            try:
                half = pairs.half(record, time, is_end=is_end)
            except (ValueError, TypeError):
                self.counts.unreadable += 1
            else:
                yield from self._pair(self._order.add(time, (pairs, half)))

    def expire(self, now_unix_nano: int) -> Iterator[Span]:
        """The spans that leave now that it is so late, by the clock of the records; beginnings are given up."""
        now = now_unix_nano - self._offset
        yield from self._pair(self._order.until(now))
        for pairs in self._pairs:
            pairs.expire(now)

    def close(self) -> Iterator[Span]:
        """The spans that were held back; what still waits is counted."""
        yield from self._pair(self._order.rest())
        self.counts.waiting = sum(pairs.waiting for pairs in self._pairs)

    def metrics(self, start: int, time: int) -> list[Metric]:
        """The metrics of all spans that were completed since ``start``."""
        return [metric for shape in self._shapes for metric in shape.metrics.read(start, time)]

    def _pair(self, due: Iterator[tuple[PairedSpans, Half]]) -> Iterator[Span]:
        for pairs, half in due:
            for span in pairs.pair(half):
                yield from self._leave(pairs.shape, span)

    def _leave(self, shape: Shape, span: Span) -> Iterator[Span]:
        self.counts.completed += 1
        shape.metrics.add(span)
        if shape.keeps(span):
            self.counts.kept += 1
            yield span
