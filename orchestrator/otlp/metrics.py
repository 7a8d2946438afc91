"""Metrics -> ExportMetricsServiceRequest (opentelemetry/proto/metrics/v1/metrics.proto, v1.10)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1 import metrics_pb2
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from orchestrator.otlp.common import SCHEMA_URL, add_attributes, make_scope, signed, unsigned
from orchestrator.signals.model import HistogramPoint, Metric, NumberPoint, Scope

__all__ = ("encode_metrics",)

_CUMULATIVE = metrics_pb2.AGGREGATION_TEMPORALITY_CUMULATIVE


def encode_metrics(resource: Resource, metrics: Mapping[Scope, Iterable[Metric]]) -> bytes:
    """One request with the metrics of each scope."""
    request = ExportMetricsServiceRequest()
    resource_metrics = request.resource_metrics.add(schema_url=SCHEMA_URL)
    resource_metrics.resource.CopyFrom(resource)
    for scope, items in metrics.items():
        scope_metrics = resource_metrics.scope_metrics.add(schema_url=SCHEMA_URL)
        scope_metrics.scope.CopyFrom(make_scope(scope))
        for metric in items:
            target = scope_metrics.metrics.add(name=metric.name, unit=metric.unit, description=metric.description)
            _FILL[metric.instrument](target, metric)
    return request.SerializeToString()


def _fill_sum(target: metrics_pb2.Metric, metric: Metric) -> None:
    target.sum.aggregation_temporality = _CUMULATIVE
    target.sum.is_monotonic = metric.instrument == "counter"
    _add_numbers(target.sum.data_points, metric, metric.start_unix_nano)


def _fill_gauge(target: metrics_pb2.Metric, metric: Metric) -> None:
    _add_numbers(target.gauge.data_points, metric, 0)


def _add_numbers(data_points: Any, metric: Metric, start: int) -> None:
    for point in metric.points:
        assert isinstance(point, NumberPoint)  # noqa: S101 - narrows the type; the instrument decides it
        time = metric.time_unix_nano if point.time_unix_nano is None else point.time_unix_nano
        data_point = data_points.add(start_time_unix_nano=unsigned(start), time_unix_nano=unsigned(time))
        if isinstance(point.value, float):
            data_point.as_double = point.value
        else:
            data_point.as_int = signed(point.value)
        add_attributes(data_point.attributes, point.attributes)


def _fill_histogram(target: metrics_pb2.Metric, metric: Metric) -> None:
    target.histogram.aggregation_temporality = _CUMULATIVE
    for point in metric.points:
        assert isinstance(point, HistogramPoint)  # noqa: S101 - narrows the type; the instrument decides it
        counts = [unsigned(count) for count in point.counts]
        data_point = target.histogram.data_points.add(
            start_time_unix_nano=unsigned(metric.start_unix_nano),
            time_unix_nano=unsigned(metric.time_unix_nano),
            count=unsigned(sum(counts)),
        )
        data_point.explicit_bounds.extend(point.bounds)
        data_point.bucket_counts.extend(counts)
        if point.sum is not None:
            data_point.sum = point.sum
        add_attributes(data_point.attributes, point.attributes)


_FILL: dict[str, Callable[[metrics_pb2.Metric, Metric], None]] = {
    "counter": _fill_sum,
    "updowncounter": _fill_sum,
    "gauge": _fill_gauge,
    "histogram": _fill_histogram,
}
