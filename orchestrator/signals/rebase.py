"""Sums that begin anew where the wall clock was set back.

bpftrace's sums are of the whole run, and OTLP's have a start. A clock that is set back would give them times before
those of points that have left already, or even before their start: sorted by time they would fall. So they begin anew,
as the data model has it for a reset (opentelemetry.io/docs/specs/otel/metrics/data-model, "Resets and Gaps"): with a
start by the new clock, and without what they had come to when the clock was set.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import replace

from orchestrator.signals.model import Attributes, HistogramPoint, Metric, NumberPoint, Scope

__all__ = ("Rebase",)

_ADDED_UP = ("counter", "histogram")
Point = NumberPoint | HistogramPoint
_Key = tuple[Scope, str]


class Rebase:
    """Everything leaves through it; until the first step, as it came."""

    def __init__(self) -> None:
        self._start: int | None = None
        self._last: dict[_Key, Metric] = {}
        self._base: dict[_Key, dict[Hashable, Point]] = {}

    def begin(self, start: int) -> None:
        """Let sums count from here on, which is ``start`` by the new clock (Unix nanoseconds)."""
        self._start = start
        self._base = {
            key: {_identity(point.attributes): point for point in metric.points} for key, metric in self._last.items()
        }

    def apply(self, metrics: Mapping[Scope, list[Metric]]) -> dict[Scope, list[Metric]]:
        """What is to leave in place of ``metrics``."""
        found: dict[Scope, list[Metric]] = {}
        for scope, items in metrics.items():
            self._last.update({(scope, metric.name): metric for metric in items if metric.instrument in _ADDED_UP})
            found[scope] = [self._rebased(scope, metric) for metric in items]
        return found

    def _rebased(self, scope: Scope, metric: Metric) -> Metric:
        if self._start is None:
            return metric
        base = self._base.get((scope, metric.name), {}) if metric.instrument in _ADDED_UP else {}
        points = [_less(point, base.get(_identity(point.attributes))) for point in metric.points] if base else None
        return replace(metric, start_unix_nano=self._start, points=metric.points if points is None else points)


def _identity(attributes: Attributes) -> Hashable:
    return frozenset(attributes.items())


def _less(point: Point, base: Point | None) -> Point:
    """What was added since ``base``. A sum that has fallen was cleared by its program, and counts from nothing."""
    if isinstance(point, NumberPoint) and isinstance(base, NumberPoint):
        return point._replace(value=point.value - base.value) if point.value >= base.value else point
    if isinstance(point, HistogramPoint) and isinstance(base, HistogramPoint):
        before = dict(zip([*base.bounds, None], base.counts, strict=True))  # bounds may have come since
        ends = [*point.bounds, None]
        counts = [count - before.get(end, 0) for end, count in zip(ends, point.counts, strict=True)]
        if min(counts) < 0:
            return point
        total = None if point.sum is None else point.sum - (base.sum or 0)
        return replace(point, counts=counts, sum=total)
    return point
