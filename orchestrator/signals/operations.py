"""Events of a signal -> its spans, whichever way its manifest says so, and the log records that are left."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING

from config.manifest import Manifest
from orchestrator.signals.active_spans import ActiveSpans, thread_of
from orchestrator.signals.clock import Moment
from orchestrator.signals.model import LogRecord, Metric, Span

if TYPE_CHECKING:
    from orchestrator.signals.exchanges import ExchangeReader
    from orchestrator.signals.spans import SpanReader

__all__ = ("Operations",)

_LOST = ("evicted", "dropped", "unreadable")
_INCOMPLETE = ("unpaired_ends", "timed_out", "waiting", "unpaired", "unseen")


class Operations:
    """What a signal's events are besides log records. ``active``: which spans are open, of all signals of a process."""

    def __init__(self, manifest: Manifest, active: ActiveSpans) -> None:
        self._active = active
        self.spans = _span_reader(manifest, active) if manifest.spans else None
        self.exchanges = [] if not manifest.exchanges else _exchange_readers(manifest)
        self._by_event = {event: reader for reader in self.exchanges for event in reader.events}

    def take(self, event: str, record: LogRecord, moment: Moment) -> tuple[LogRecord | None, Sequence[Span]]:
        """The log record that ``record`` is, unless it is a part of spans only, and the spans that it completes.

        ``event`` is its tag, or the name of the printed line.
        """
        if event in self._by_event:
            return None, list(self._by_event[event].take(event, record, moment))
        if self.spans is None or event not in self.spans.events:
            return self._in_context(record, moment), ()
        spans = list(self.spans.take(event, record, moment))
        return (self._in_context(record, moment) if self.spans.keeps_log(event) else None), spans

    def _in_context(self, record: LogRecord, moment: Moment) -> LogRecord:
        """With the span that is open on its thread, where that is certain."""
        thread = thread_of(record)
        context = None if thread is None else self._active.context_of(thread, record.time_unix_nano - moment.offset)
        return record if context is None else replace(record, context=context)

    @property
    def has_any(self) -> bool:
        """Whether there can be spans at all."""
        return bool(self._readers)

    def expire(self, now: int) -> Iterator[Span]:
        """The spans that leave now that it is so late (Unix nanoseconds)."""
        return chain.from_iterable(reader.expire(now) for reader in self._readers)

    def close(self) -> Iterator[Span]:
        """The spans that were held back."""
        return chain.from_iterable(reader.close() for reader in self._readers)

    def metrics(self, start: int, time: int) -> list[Metric]:
        """The metrics of all spans."""
        return [metric for reader in self._readers for metric in reader.metrics(start, time)]

    @property
    def lost(self) -> dict[str, int]:
        """What became no span because something was lost, or there was too much of it, by cause."""
        return self._count(_LOST)

    @property
    def incomplete(self) -> dict[str, int]:
        """What became no span because its other half was not seen, by cause."""
        return self._count(_INCOMPLETE)

    def _count(self, causes: Iterable[str]) -> dict[str, int]:
        counts = [reader.counts for reader in self._readers]
        found = {cause: sum(getattr(one, cause, 0) for one in counts) for cause in causes}
        return {cause: count for cause, count in found.items() if count}

    @property
    def _readers(self) -> list[SpanReader | ExchangeReader]:
        return [*([self.spans] if self.spans is not None else []), *self.exchanges]


def _span_reader(manifest: Manifest, active: ActiveSpans) -> SpanReader:
    from orchestrator.signals.spans import SpanReader  # noqa: PLC0415 - where there are any

    return SpanReader(manifest.spans, active)


def _exchange_readers(manifest: Manifest) -> list[ExchangeReader]:
    from orchestrator.signals.exchanges import ExchangeReader  # noqa: PLC0415 - where there are any

    return [ExchangeReader(tag, rule) for tag, rule in manifest.exchanges.items()]
