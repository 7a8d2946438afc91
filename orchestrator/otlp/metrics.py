"""Metrics -> ExportMetricsServiceRequest (opentelemetry/proto/metrics/v1/metrics.proto, v1.10)."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain, repeat
from typing import cast

from opentelemetry.proto.metrics.v1 import metrics_pb2
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from orchestrator.otlp.common import add_attributes, signed, unsigned
from orchestrator.otlp.envelope import ITEMS, encode_request
from orchestrator.otlp.wire import Memo, delimited
from orchestrator.signals.model import Attributes, HistogramPoint, Metric, NumberPoint, NumberPoints, Scope, Series

__all__ = ("encode_metrics",)

_CUMULATIVE = metrics_pb2.AGGREGATION_TEMPORALITY_CUMULATIVE
# Metric {5: gauge, 7: sum, 9: histogram}.
_GAUGE, _SUM, _HISTOGRAM = 5, 7, 9
# Sum and Gauge {1: data_points}; NumberDataPoint {4: as_double, 6: as_int}, a double and an sfixed64.
_DATA_POINTS, _AS_DOUBLE, _AS_INT = 1, b"\x21", b"\x31"
_NUMBER_SIZE = 9
_HEAD = Memo[int, bytes](lambda size: delimited(_DATA_POINTS, size))


def encode_metrics(resource: Resource, metrics: Mapping[Scope, Iterable[Metric]]) -> list[bytes]:
    """One request with the metrics of each scope, in pieces."""
    pieces = {scope: [piece for metric in items for piece in _encode(metric)] for scope, items in metrics.items()}
    return encode_request(resource, pieces)


def _encode(metric: Metric) -> list[bytes]:
    """A Metric as a ScopeMetrics holds it, in pieces."""
    number, points, rest = _ENCODE[metric.instrument](metric)
    about = metrics_pb2.Metric(name=metric.name, unit=metric.unit, description=metric.description).SerializeToString()
    head = delimited(number, len(points) + len(rest))
    return [delimited(ITEMS, len(about) + len(head) + len(points) + len(rest)), about, head, points, rest]


_Parts = tuple[int, bytes, bytes]


def _encode_sum(metric: Metric) -> _Parts:
    rest = metrics_pb2.Sum(aggregation_temporality=_CUMULATIVE, is_monotonic=metric.instrument == "counter")
    return _SUM, _number_points(metric, metric.start_unix_nano), rest.SerializeToString()


def _encode_gauge(metric: Metric) -> _Parts:
    return _GAUGE, _number_points(metric, 0), b""


def _number_points(metric: Metric, start: int) -> bytes:
    """The data points as a Sum or Gauge holds them, fields in the order of their numbers: there can be thousands."""
    points = cast("Sequence[NumberPoint]", metric.points)
    shared = _times(start, metric.time_unix_nano)
    if isinstance(points, NumberPoints):
        attributes, values = points.series, points.values
        times = [shared] * len(points)
    else:
        attributes, values = [point.attributes for point in points], [point.value for point in points]
        times = [shared if one.time_unix_nano is None else _times(start, one.time_unix_nano) for one in points]
    encoded = [one.encoded or _remember(one) if type(one) is Series else _attributes(one) for one in attributes]
    sizes = [len(time) + len(one) + _NUMBER_SIZE for time, one in zip(times, encoded, strict=True)]
    tags, numbers = _numbers(values)
    pieces = zip(map(_HEAD.__getitem__, sizes), times, tags, numbers, encoded)  # noqa: B905 - tags may never end
    return b"".join(chain.from_iterable(pieces))


def _numbers(values: Sequence[int | float]) -> tuple[Iterable[bytes], Iterable[bytes]]:
    """Their tags, and themselves."""
    if float not in set(map(type, values)):
        packed = struct.pack(f"<{len(values)}q", *map(signed, cast("Sequence[int]", values)))
        return repeat(_AS_INT), chain.from_iterable(struct.iter_unpack("8s", packed))
    tags = [_AS_DOUBLE if isinstance(value, float) else _AS_INT for value in values]
    return tags, [
        struct.pack("<d", value) if isinstance(value, float) else struct.pack("<q", signed(value)) for value in values
    ]


def _remember(series: Series) -> bytes:
    series.encoded = _attributes(series)
    return series.encoded


def _times(start: int, time: int) -> bytes:
    return metrics_pb2.NumberDataPoint(
        start_time_unix_nano=unsigned(start), time_unix_nano=unsigned(time)
    ).SerializeToString()


def _attributes(attributes: Attributes) -> bytes:
    """Those of a NumberDataPoint."""
    point = metrics_pb2.NumberDataPoint()
    add_attributes(point.attributes, attributes)
    return point.SerializeToString()


def _encode_histogram(metric: Metric) -> _Parts:
    histogram = metrics_pb2.Histogram()
    for point in metric.points:
        assert isinstance(point, HistogramPoint)  # noqa: S101 - narrows the type; the instrument decides it
        counts = [unsigned(count) for count in point.counts]
        data_point = histogram.data_points.add(
            start_time_unix_nano=unsigned(metric.start_unix_nano),
            time_unix_nano=unsigned(metric.time_unix_nano),
            count=unsigned(sum(counts)),
        )
        data_point.explicit_bounds.extend(point.bounds)
        data_point.bucket_counts.extend(counts)
        if point.sum is not None:
            data_point.sum = point.sum
        add_attributes(data_point.attributes, point.attributes)
    rest = metrics_pb2.Histogram(aggregation_temporality=_CUMULATIVE)
    return _HISTOGRAM, histogram.SerializeToString(), rest.SerializeToString()


_ENCODE: dict[str, Callable[[Metric], _Parts]] = {
    "counter": _encode_sum,
    "updowncounter": _encode_sum,
    "gauge": _encode_gauge,
    "histogram": _encode_histogram,
}
