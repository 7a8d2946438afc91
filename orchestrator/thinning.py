"""A sink before the sink: it lets through what ``max_events_per_sec`` allows, and counts what it leaves out.

Log records and whole spans are thinned; metrics and profiles never are, which the kernel has added up already.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from orchestrator.signals.event_batch import EventBatch
from orchestrator.signals.model import Attributes, LogRecord, Metric, Profile, Scope, Span
from orchestrator.signals.sampling import ADJUSTED_COUNT, Picked, Sampler
from orchestrator.sink import Sink
from orchestrator.telemetry import SignalCounts

__all__ = ("Thinning",)


class Thinning:
    """``counts``: those of the signals whose scopes these are."""

    def __init__(self, sink: Sink, sampler: Sampler, counts: Mapping[Scope, SignalCounts]) -> None:
        self._sink = sink
        self._sampler = sampler
        self._counts = counts

    def log(self, scope: Scope, record: LogRecord) -> None:
        """Take one log record."""
        picked = self._sampler.take(scope.name, record.event_name, 1)
        self._counts[scope].events_thinned.add(1, picked)
        if picked is None:
            self._sink.log(scope, record)
        elif picked.kept:
            self._sink.log(scope, replace(record, attributes=_weighted(record.attributes, picked)))

    def events(self, scope: Scope, batch: EventBatch) -> None:
        """Take log records of one event, many at once."""
        picked = self._sampler.take(scope.name, batch.name, len(batch))
        self._counts[scope].events_thinned.add(len(batch), picked)
        if picked is None:
            self._sink.events(scope, batch)
            return
        for part in batch.thinned(picked):
            self._sink.events(scope, part)

    def span(self, scope: Scope, span: Span) -> None:
        """Take one span."""
        picked = self._sampler.take(scope.name, f"{span.kind} spans", 1)
        self._counts[scope].spans_thinned.add(1, picked)
        if picked is None:
            self._sink.span(scope, span)
        elif picked.kept:
            self._sink.span(scope, replace(span, attributes=_weighted(span.attributes, picked)))

    def metrics(self, metrics: dict[Scope, list[Metric]]) -> None:
        """Take all metrics of one snapshot."""
        self._sink.metrics(metrics)

    def profile(self, scope: Scope, profile: Profile) -> None:
        """Take the samples of one type and window."""
        self._sink.profile(scope, profile)


def _weighted(attributes: Attributes, picked: Picked) -> Attributes:
    return attributes if picked.weight == 1 else {**attributes, ADJUSTED_COUNT: picked.weight}
