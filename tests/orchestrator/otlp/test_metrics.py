from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1 import metrics_pb2

from config.manifest import Metric as Rule
from orchestrator.otlp.common import SCHEMA_URL, make_resource
from orchestrator.otlp.metrics import encode_metrics
from orchestrator.signals.metrics import MetricReader
from orchestrator.signals.model import HistogramPoint, Instrument, Metric, NumberPoint, NumberPoints, Scope, Series
from parsers.records import Entry, Map

SCOPE = Scope("bpftrace-orchestrator/tcp", "1.2.3")
START, TIME = 1_700_000_000_000_000_001, 1_700_000_005_000_000_002


def metric(instrument: Instrument, points: Sequence[NumberPoint | HistogramPoint]) -> Metric:
    return Metric("ebpf.m", "By", "What it is", instrument, START, TIME, points)


def encode(*metrics: Metric) -> Sequence[metrics_pb2.Metric]:
    body = b"".join(encode_metrics(make_resource({"host.name": "box"}), {SCOPE: metrics}))
    (resource_metrics,) = ExportMetricsServiceRequest.FromString(body).resource_metrics
    assert resource_metrics.schema_url == SCHEMA_URL
    assert resource_metrics.resource.attributes[0].value.string_value == "box"
    (scope_metrics,) = resource_metrics.scope_metrics
    assert (scope_metrics.scope.name, scope_metrics.scope.version) == (SCOPE.name, "1.2.3")
    return scope_metrics.metrics


@pytest.mark.parametrize(("instrument", "monotonic"), [("counter", True), ("updowncounter", False)])
def test_counters_are_cumulative_sums(instrument: Instrument, monotonic: bool) -> None:
    points = [
        NumberPoint({"server.port": 443}, 5),
        NumberPoint({"otel.metric.overflow": True}, 1.5),
        NumberPoint({}, 0),
    ]
    (encoded,) = encode(metric(instrument, points))
    assert (encoded.name, encoded.unit, encoded.description) == ("ebpf.m", "By", "What it is")
    assert encoded.WhichOneof("data") == "sum"
    assert encoded.sum.is_monotonic is monotonic
    assert encoded.sum.aggregation_temporality == metrics_pb2.AGGREGATION_TEMPORALITY_CUMULATIVE
    first, second, third = encoded.sum.data_points
    assert {(point.start_time_unix_nano, point.time_unix_nano) for point in (first, second, third)} == {(START, TIME)}
    assert (first.WhichOneof("value"), first.as_int) == ("as_int", 5)
    assert (second.WhichOneof("value"), second.as_double) == ("as_double", 1.5)
    assert (third.WhichOneof("value"), third.as_int) == ("as_int", 0)
    assert [(pair.key, pair.value.int_value) for pair in first.attributes] == [("server.port", 443)]
    assert second.attributes[0].value.bool_value is True
    assert not third.attributes


def test_gauges_have_no_start() -> None:
    (encoded,) = encode(metric("gauge", [NumberPoint({}, -7)]))
    assert encoded.WhichOneof("data") == "gauge"
    (point,) = encoded.gauge.data_points
    assert (point.start_time_unix_nano, point.time_unix_nano, point.as_int) == (0, TIME, -7)


def test_points_of_a_gauge_may_have_times_of_their_own() -> None:
    (encoded,) = encode(metric("gauge", [NumberPoint({}, 1, 5), NumberPoint({}, 2), NumberPoint({}, 3, 0)]))
    assert [point.time_unix_nano for point in encoded.gauge.data_points] == [5, TIME, 0]


def test_histograms_of_which_only_count_and_sum_are_known() -> None:
    (encoded,) = encode(metric("histogram", [HistogramPoint({}, [], [4], -1.5), HistogramPoint({}, [], [0], 0.0)]))
    first, second = encoded.histogram.data_points
    assert (list(first.explicit_bounds), list(first.bucket_counts)) == ([], [4])
    assert (first.count, first.HasField("sum"), first.sum) == (4, True, -1.5)
    assert (second.count, second.HasField("sum"), second.sum) == (0, True, 0.0)


def test_histograms() -> None:
    (encoded,) = encode(metric("histogram", [HistogramPoint({"server.port": 1}, [0.001, 0.003], [1, 0, 5])]))
    assert encoded.histogram.aggregation_temporality == metrics_pb2.AGGREGATION_TEMPORALITY_CUMULATIVE
    (point,) = encoded.histogram.data_points
    assert (point.start_time_unix_nano, point.time_unix_nano) == (START, TIME)
    assert list(point.explicit_bounds) == [0.001, 0.003]
    assert list(point.bucket_counts) == [1, 0, 5]
    assert point.count == 6
    assert not point.HasField("sum")
    assert point.attributes[0].key == "server.port"


@given(st.lists(st.integers(0, 2**50), min_size=1, max_size=64))
def test_histograms_hold_the_invariants_of_the_protocol(counts: list[int]) -> None:
    bounds = [float(index) for index in range(len(counts) - 1)]
    ((point,),) = [
        one.histogram.data_points for one in encode(metric("histogram", [HistogramPoint({}, bounds, counts)]))
    ]
    assert len(point.explicit_bounds) + 1 == len(point.bucket_counts)
    assert point.count == sum(point.bucket_counts) == sum(counts)


@pytest.mark.parametrize("value", [2**63 - 1, 2**63, 2**64 - 1, "18446744073709551615", -(2**63)])
def test_any_64_bit_number_of_a_map_can_be_sent(value: int | str) -> None:
    rule = Rule(name="ebpf.m", instrument="counter", unit="1", description="d")
    read, unread = MetricReader({"m": rule}).read(Map("m", (Entry(None, value),)), START, TIME)
    assert read is not None
    assert unread == 0
    (encoded,) = encode(read)
    (point,) = encoded.sum.data_points
    assert (point.as_int or point.as_double) == pytest.approx(int(value))


def test_metrics_of_several_scopes_stay_apart() -> None:
    other = Scope("bpftrace-orchestrator/exec", "1.2.3")
    gauge = metric("gauge", [NumberPoint({}, 1)])
    body = b"".join(encode_metrics(make_resource({}), {SCOPE: [gauge, gauge], other: [gauge]}))
    (resource_metrics,) = ExportMetricsServiceRequest.FromString(body).resource_metrics
    assert [(item.scope.name, len(item.metrics)) for item in resource_metrics.scope_metrics] == [
        (SCOPE.name, 2),
        (other.name, 1),
    ]


@pytest.mark.parametrize(("number", "kept"), [(2**63, 2**63 - 1), (2**80, 2**63 - 1), (-(2**80), -(2**63))])
def test_integers_that_do_not_fit(number: int, kept: int) -> None:
    counter, gauge = encode(
        metric("counter", [NumberPoint({}, number)]), metric("gauge", [NumberPoint({}, number, time_unix_nano=-1)])
    )
    assert (counter.sum.data_points[0].as_int, gauge.gauge.data_points[0].as_int) == (kept, kept)
    assert gauge.gauge.data_points[0].time_unix_nano == 0


def test_counts_that_do_not_fit() -> None:
    (encoded,) = encode(metric("histogram", [HistogramPoint({}, [1.0], [-5, 2**64], None)]))
    (point,) = encoded.histogram.data_points
    assert (point.count, [*point.bucket_counts]) == (2**64 - 1, [0, 2**64 - 1])


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
VALUES = st.one_of(st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False))
POINTS = st.lists(
    st.builds(
        NumberPoint,
        st.dictionaries(TEXTS, st.one_of(TEXTS, st.integers(-9, 9), st.booleans()), max_size=3),
        VALUES,
        st.one_of(st.none(), st.integers(0, 2**63)),
    ),
    max_size=9,
)


@given(st.sampled_from(["counter", "updowncounter", "gauge"]), POINTS, st.integers(0, 2**63))
def test_bytes_are_those_that_protobuf_writes(instrument: Instrument, points: list[NumberPoint], start: int) -> None:
    metrics = {Scope("s", "1"): [Metric("m", "By", "What", instrument, start, start + 1, points)]}
    encoded = b"".join(encode_metrics(make_resource({"a": 1}), metrics))
    request = ExportMetricsServiceRequest.FromString(encoded)
    assert request.SerializeToString() == encoded
    (metric,) = request.resource_metrics[0].scope_metrics[0].metrics
    written = metric.gauge.data_points if instrument == "gauge" else metric.sum.data_points
    assert [(point.as_double if point.HasField("as_double") else point.as_int) for point in written] == [
        point.value for point in points
    ]
    assert [point.time_unix_nano for point in written] == [
        start + 1 if point.time_unix_nano is None else point.time_unix_nano for point in points
    ]


def test_columns_are_written_as_points_are_also_when_their_series_come_again() -> None:
    series = [Series({"a": number}) for number in range(3)] + [Series({})]
    columns = NumberPoints(series, [1, -2, 2**62, 0])
    for _ in range(2):
        made = [
            b"".join(
                encode_metrics(make_resource({}), {Scope("s", "1"): [Metric("m", "1", "d", "counter", 1, 2, points)]})
            )
            for points in (columns, [NumberPoint(dict(one.attributes), one.value) for one in columns])
        ]
        assert made[0] == made[1]
