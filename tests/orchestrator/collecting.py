"""A sink that keeps what a pipeline gives it."""

from __future__ import annotations

from typing import Any

from orchestrator.signals.event_batch import EventBatch
from orchestrator.signals.model import HistogramPoint, LogRecord, Metric, NumberPoint, Profile, Scope, Span
from tests.tools.profile_rules import check_profile


class Collected:
    """A sink that keeps everything."""

    def __init__(self) -> None:
        self.logs: list[tuple[str, LogRecord]] = []
        self.snapshots: list[dict[str, dict[str, Metric]]] = []
        self.profiles: list[tuple[str, Profile]] = []
        self.spans: list[tuple[str, Span]] = []

    def log(self, scope: Scope, record: LogRecord) -> None:
        self.logs.append((scope.name, record))

    def events(self, scope: Scope, batch: EventBatch) -> None:
        for record in batch.records():
            self.log(scope, record)

    def metrics(self, metrics: dict[Scope, list[Metric]]) -> None:
        self.snapshots.append({scope.name: {item.name: item for item in items} for scope, items in metrics.items()})

    def profile(self, scope: Scope, profile: Profile) -> None:
        check_profile(profile)
        self.profiles.append((scope.name, profile))

    def span(self, scope: Scope, span: Span) -> None:
        self.spans.append((scope.name, span))

    def named(self, event: str) -> list[LogRecord]:
        return [record for _, record in self.logs if record.event_name == event]


def folded(profile: Profile) -> dict[str, int]:
    """The samples as flame graphs want them, root first; attributes left out."""
    found: dict[str, int] = {}
    for sample in profile.samples:
        stack = ";".join(frame.name or hex(frame.address) for frame in reversed(sample.stack))
        found[stack] = found.get(stack, 0) + sample.value
    return found


def values(metric: Metric, *names: str) -> dict[Any, int | float]:
    """The value of each series, by the values of these attributes."""
    points = [point for point in metric.points if isinstance(point, NumberPoint)]
    assert len(points) == len(metric.points)
    return {tuple(point.attributes.get(name) for name in names): point.value for point in points}


def numbers(metric: Metric | None) -> list[tuple[dict[str, Any], int | float]]:
    """The attributes and the value of each series, as they come."""
    assert metric is not None
    points = [point for point in metric.points if isinstance(point, NumberPoint)]
    assert len(points) == len(metric.points)
    return [(dict(point.attributes), point.value) for point in points]


def histograms(metric: Metric | None) -> list[HistogramPoint]:
    assert metric is not None
    points = [point for point in metric.points if isinstance(point, HistogramPoint)]
    assert len(points) == len(metric.points)
    return points
