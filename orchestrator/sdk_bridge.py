"""What the SDK's meter has collected -> metrics as all others of ours; pure."""

from __future__ import annotations

from opentelemetry.sdk.metrics.export import Gauge, MetricsData, NumberDataPoint, Sum
from opentelemetry.sdk.metrics.export import Metric as SdkMetric

from orchestrator.signals.model import Instrument, Metric, NumberPoint

__all__ = ("metrics_of",)


def metrics_of(data: MetricsData | None, start: int) -> list[Metric]:
    """The sums and gauges in what a reader gave; None (the SDK is disabled) has none.

    ``start``: since when the sums count, in Unix nanoseconds. The SDK would say: since it was asked to observe them.
    """
    if data is None:
        return []
    return [
        _metric(metric, metric.data, start)
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if isinstance(metric.data, (Sum, Gauge)) and metric.data.data_points
    ]


def _metric(metric: SdkMetric, data: Sum | Gauge, start: int) -> Metric:
    points = [_point(point) for point in data.data_points]
    time = max(point.time_unix_nano for point in data.data_points)
    about = (metric.name, metric.unit or "", metric.description or "", _instrument(data))
    return Metric(*about, min(start, time), time, points)  # a clock that was set back: nothing began in the future


def _point(point: NumberDataPoint) -> NumberPoint:
    found = {key: value for key, value in (point.attributes or {}).items() if isinstance(value, (str, int))}
    return NumberPoint(found, point.value)


def _instrument(data: Sum | Gauge) -> Instrument:
    if isinstance(data, Gauge):
        return "gauge"
    return "counter" if data.is_monotonic else "updowncounter"
