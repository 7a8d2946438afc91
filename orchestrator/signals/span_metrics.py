"""Metrics of spans, by the manifest's ``metrics`` of a rule: of all its spans, those too that do not leave."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from config.manifest import SpanMetric
from orchestrator.signals.attributes import hashable
from orchestrator.signals.metrics import OVERFLOW
from orchestrator.signals.model import AttributeValue, HistogramPoint, Instrument, Metric, NumberPoint, Span

__all__ = ("SpanMetrics",)


class SpanMetrics:
    """Adds up the metrics of one rule's spans; they are cumulative."""

    def __init__(self, rules: Sequence[SpanMetric]) -> None:
        self._metrics = [_SpanMetric(rule) for rule in rules]

    def add(self, span: Span) -> None:
        """Count a span."""
        for metric in self._metrics:
            metric.add(span)

    def read(self, start: int, time: int) -> list[Metric]:
        """All that have a series, since ``start`` (Unix nanoseconds)."""
        return [metric.read(start, time) for metric in self._metrics if metric.series]


@dataclass(slots=True)
class _Series:
    """One series: how many spans, in each bucket and in all, and how many nanoseconds they took together."""

    attributes: Mapping[str, AttributeValue]
    counts: list[int]
    nanoseconds: int = 0


class _SpanMetric:
    def __init__(self, rule: SpanMetric) -> None:
        self._rule = rule
        self._bounds = rule.bounds if rule.of == "duration" else ()
        # Durations are whole nanoseconds, and so are the bounds then: 0.3 s is not above a bound of 0.3.
        self._ends = [round(bound * 1e9) for bound in self._bounds]
        self._series: dict[tuple[Any, ...], _Series] = {}
        self._rest: _Series | None = None

    @property
    def series(self) -> list[_Series]:
        """All series, that of the rest last."""
        return [*self._series.values(), *([self._rest] if self._rest is not None else [])]

    def add(self, span: Span) -> None:
        series = self._series_of(span.attributes)
        duration = span.end_unix_nano - span.start_unix_nano
        # OTLP's bounds are upper-inclusive; what is found is the first one that is not below the value.
        series.counts[bisect_left(self._ends, duration)] += 1
        series.nanoseconds += duration

    def read(self, start: int, time: int) -> Metric:
        rule = self._rule
        instrument: Instrument = "histogram" if rule.of == "duration" else "counter"
        point = self._histogram if rule.of == "duration" else _count
        points = [point(series) for series in self.series]
        return Metric(rule.name, rule.unit, rule.description, instrument, start, time, points, tuple(rule.attributes))

    def _series_of(self, attributes: Mapping[str, AttributeValue]) -> _Series:
        key: tuple[Any, ...] = tuple(map(attributes.get, self._rule.attributes))
        try:
            found = self._series.get(key)
        except TypeError:  # a list
            key = tuple(map(hashable, key))
            found = self._series.get(key)
        if found is None and len(self._series) < self._rule.limit:
            chosen = {name: attributes[name] for name in self._rule.attributes if name in attributes}
            found = self._series[key] = self._new(chosen)
        elif found is None:
            found = self._rest = self._rest or self._new({OVERFLOW: True})
        return found

    def _new(self, attributes: Mapping[str, AttributeValue]) -> _Series:
        return _Series(attributes, [0] * (len(self._ends) + 1))

    def _histogram(self, series: _Series) -> HistogramPoint:
        return HistogramPoint(series.attributes, self._bounds, tuple(series.counts), series.nanoseconds / 1e9)


def _count(series: _Series) -> NumberPoint:
    return NumberPoint(series.attributes, sum(series.counts))
