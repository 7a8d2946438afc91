from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.manifest import SpanMetric
from orchestrator.signals.metrics import OVERFLOW
from orchestrator.signals.model import HistogramPoint, Metric, NumberPoint, Span, SpanContext
from orchestrator.signals.span_metrics import SpanMetrics

MS = 1_000_000


def span(duration: int, **attributes: Any) -> Span:
    return Span(SpanContext(b"\1" * 16, b"\1" * 8), None, "x", "server", 0, duration, attributes)


def rule(**words: Any) -> SpanMetric:
    return SpanMetric(**{"name": "http.server.request.duration", "description": "Requests", **words})


def read(rule: SpanMetric, *spans: Span) -> Metric:
    metrics = SpanMetrics([rule])
    for one in spans:
        metrics.add(one)
    (metric,) = metrics.read(1, 2)
    return metric


def test_nothing_is_said_before_the_first_span() -> None:
    assert SpanMetrics([rule()]).read(1, 2) == []


def test_durations_are_a_histogram_in_seconds() -> None:
    metric = read(rule(bounds=(0.1, 0.3, 1.0)), *(span(ms * MS) for ms in (100, 101, 300, 999, 1000, 1001, 0)))
    assert (metric.name, metric.unit, metric.instrument) == ("http.server.request.duration", "s", "histogram")
    assert (metric.start_unix_nano, metric.time_unix_nano) == (1, 2)
    (point,) = metric.points
    # Upper bounds belong to their bucket (metrics.proto, HistogramDataPoint.explicit_bounds).
    assert point == HistogramPoint({}, (0.1, 0.3, 1.0), (2, 2, 2, 1), 3.501)


def test_the_default_bounds_are_those_that_the_conventions_advise() -> None:
    (point,) = read(rule(), span(3 * MS)).points
    assert isinstance(point, HistogramPoint)
    expected = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10]
    assert list(point.bounds) == expected
    assert list(point.counts) == [1] + [0] * 14


def test_a_count_is_a_counter() -> None:
    metric = read(rule(name="ebpf.requests", of="count", unit="{request}"), span(1), span(2), span(3))
    assert (metric.instrument, metric.unit, list(metric.points)) == ("counter", "{request}", [NumberPoint({}, 3)])


def test_series_are_told_apart_by_the_attributes_that_are_there() -> None:
    metric = read(
        rule(of="count", unit="1", attributes=["method", "error.type"]),
        span(1, method="GET", other=1),
        span(1, method="GET", other=2),
        span(1, method="PUT", **{"error.type": "500"}),
        span(1),
    )
    assert metric.points == [
        NumberPoint({"method": "GET"}, 2),
        NumberPoint({"method": "PUT", "error.type": "500"}, 1),
        NumberPoint({}, 1),
    ]
    assert metric.dimensions == ("method", "error.type")


def test_series_above_the_limit_are_one() -> None:
    spans = [span(MS, path=str(number % 5)) for number in range(20)]
    metric = read(rule(attributes=["path"], limit=2, bounds=(1.0,)), *spans)
    assert [point.attributes for point in metric.points] == [{"path": "0"}, {"path": "1"}, {OVERFLOW: True}]
    assert [point.counts for point in metric.points if isinstance(point, HistogramPoint)] == [(4, 0), (4, 0), (12, 0)]


def test_metrics_are_cumulative() -> None:
    metrics = SpanMetrics([rule(of="count", unit="1"), rule(bounds=(1.0,))])
    metrics.add(span(MS))
    first = metrics.read(1, 2)
    metrics.add(span(MS))
    second = metrics.read(1, 3)
    assert [metric.points for metric in first] == [[NumberPoint({}, 1)], [HistogramPoint({}, (1.0,), (1, 0), 0.001)]]
    assert [metric.points for metric in second] == [[NumberPoint({}, 2)], [HistogramPoint({}, (1.0,), (2, 0), 0.002)]]


def test_an_attribute_that_is_a_list_tells_series_apart_too() -> None:
    metric = read(rule(of="count", unit="1", attributes=["a"]), span(1, a=["x"]), span(1, a=["x"]), span(1, a=["y"]))
    assert metric.points == [NumberPoint({"a": ["x"]}, 2), NumberPoint({"a": ["y"]}, 1)]


@given(st.lists(st.integers(0, 20 * 10**9)), st.lists(st.integers(1, 15_000), min_size=1, unique=True))
def test_every_span_is_in_one_bucket_and_in_the_sum(durations: list[int], milliseconds: list[int]) -> None:
    bounds = tuple(bound / 1000 for bound in sorted(milliseconds))
    if durations:
        (point,) = read(rule(bounds=bounds), *map(span, durations)).points
        assert isinstance(point, HistogramPoint)
        assert sum(point.counts) == len(durations)
        assert point.sum == pytest.approx(sum(durations) / 1e9)
        edges = [bound * MS for bound in sorted(milliseconds)]
        for index, edge in enumerate(edges):
            assert sum(point.counts[: index + 1]) == sum(duration <= edge for duration in durations)
