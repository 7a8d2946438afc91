from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.manifest import Key
from config.manifest import Metric as Rule
from orchestrator.catalog import load_signal
from orchestrator.signals.metrics import OVERFLOW, MetricReader
from orchestrator.signals.model import HistogramPoint, Metric, NumberPoint
from parsers.records import Bucket, Entry, Hist, Map

START, TIME = 1_000, 2_000


def signal_reader(name: str) -> MetricReader:
    return MetricReader(load_signal(name).manifest.metrics)


def one(**fields: Any) -> MetricReader:
    """A reader with one rule, for the map ``m``."""
    rule: dict[str, Any] = {"name": "ebpf.m", "instrument": "counter", "unit": "1", "description": "d", **fields}
    return MetricReader({"m": Rule(**rule)})


def read(reader: MetricReader, record: Map | Hist, unread: int = 0) -> Metric:
    metric, not_read = reader.read(record, START, TIME)
    assert not_read == unread
    assert metric is not None
    return metric


def counts(name: str, values: Mapping[str | None, Any]) -> Map:
    return Map(name, tuple(Entry(key, value) for key, value in values.items()))


def numbers(metric: Metric) -> list[tuple[dict[str, Any], int | float]]:
    points = [point for point in metric.points if isinstance(point, NumberPoint)]
    assert len(points) == len(metric.points)
    return [(dict(point.attributes), point.value) for point in points]


def histogram(metric: Metric) -> list[HistogramPoint]:
    points = [point for point in metric.points if isinstance(point, HistogramPoint)]
    assert len(points) == len(metric.points)
    return points


def test_maps_are_those_of_the_manifest() -> None:
    assert signal_reader("exec").maps == {"exec_calls"}
    assert "tcp_connections" in signal_reader("tcp").maps
    assert "tcp_emitted" not in signal_reader("tcp").maps


def test_counter_of_tcp() -> None:
    record = counts("tcp_connections", {"1,4,443": 3, "0,6,22": "9007199254740993"})
    metric = read(signal_reader("tcp"), record)
    assert (metric.name, metric.unit, metric.instrument) == (
        "system.network.tcp.connection.successes",
        "{connection}",
        "counter",
    )
    assert (metric.start_unix_nano, metric.time_unix_nano) == (START, TIME)
    tcp = {"network.transport": "tcp"}
    assert numbers(metric) == [
        (tcp | {"network.tcp.handshake.role": "active", "network.type": "ipv4", "server.port": 443}, 3),
        (tcp | {"network.tcp.handshake.role": "passive", "network.type": "ipv6", "server.port": 22}, 9007199254740993),
    ]


def test_counter_with_errors_of_tcp() -> None:
    metric = read(signal_reader("tcp"), counts("tcp_failures", {"1,4,9,111": 1, "1,4,9,0": 2}))
    assert [attributes["error.type"] for attributes, _ in numbers(metric)] == ["ECONNREFUSED", "_OTHER"]


def test_counter_of_exec_leaves_the_error_of_a_success_out() -> None:
    metric = read(signal_reader("exec"), counts("exec_calls", {"-13": 1, "0": 81, "-2": 462}))
    assert numbers(metric) == [({"error.type": "EACCES"}, 1), ({}, 81), ({"error.type": "ENOENT"}, 462)]


def test_counter_without_keys() -> None:
    assert numbers(read(one(), counts("m", {None: 7}))) == [({}, 7)]
    assert numbers(read(one(attributes={"a": "b"}), counts("m", {None: 7}))) == [({"a": "b"}, 7)]


@pytest.mark.parametrize(
    ("scale", "value", "expected"),
    [
        ("1", 5, 5),
        ("1", 2**63 - 1, 2**63 - 1),
        ("1", 2**64 - 1, float(2**64 - 1)),
        ("1e-6", 1, 1e-06),
        ("1e-9", 3, 3e-09),
        ("0.001", 1, 0.001),
        ("4096", 3, 12288.0),
    ],
)
def test_scale(scale: str, value: int, expected: float) -> None:
    ((_, found),) = numbers(read(one(scale=scale), counts("m", {None: value})))
    assert found == expected
    assert type(found) is type(expected)


def test_keys_may_hold_a_name_with_commas() -> None:
    keys = [Key(attribute="process.pid"), Key(attribute="thread.name", type="string")]
    metric = read(one(keys=keys), counts("m", {"7,a,b": 1, "-1,": 2}))
    assert [attributes for attributes, _ in numbers(metric)] == [
        {"process.pid": 7, "thread.name": "a,b"},
        {"process.pid": -1, "thread.name": ""},
    ]


def test_entries_that_can_not_be_read_are_counted() -> None:
    record = counts(
        "tcp_connections", {"1,4,443": 3, "1,4": 1, "x,4,1": 1, "1,4,80": "many", "1,4,81": [1, 2], None: 4}
    )
    reader = signal_reader("tcp")
    assert [value for _, value in numbers(read(reader, record, unread=5))] == [3]
    assert [value for _, value in numbers(read(reader, record, unread=5))] == [3]


def test_an_empty_map_is_no_metric() -> None:
    assert signal_reader("tcp").read(Map("tcp_connections", ()), START, TIME) == (None, 0)
    assert signal_reader("tcp").read(Hist("tcp_rtt", ()), START, TIME) == (None, 0)
    assert signal_reader("tcp").read(counts("tcp_connections", {"?": 1}), START, TIME) == (None, 1)


# What hist() of microseconds means in seconds: it counts [2^k, 2^(k+1)-1], whose upper end is inclusive.
SECONDS = [
    0.0,
    1e-06,
    3e-06,
    7e-06,
    1.5e-05,
    3.1e-05,
    6.3e-05,
    0.000127,
    0.000255,
    0.000511,
    0.001023,
    0.002047,
    0.004095,
]


def test_histogram_bounds_are_the_decimals_one_expects() -> None:
    (point,) = histogram(read(signal_reader("tcp"), Hist("tcp_rtt", (("1,443", (Bucket(16, 31, 2),)),))))
    assert list(point.bounds[: len(SECONDS)]) == SECONDS
    assert point.bounds[-1] == 67.108863
    assert len(point.bounds) == 27
    assert point.attributes == {"network.transport": "tcp", "network.tcp.handshake.role": "active", "server.port": 443}


@pytest.mark.parametrize(
    ("bucket", "bound"),
    [
        (Bucket(None, -1, 1), 0.0),
        (Bucket(0, 0, 1), 0.0),
        (Bucket(1, 1, 1), 1e-06),
        (Bucket(2, 3, 1), 3e-06),
        (Bucket(4096, 8191, 1), 0.008191),
        (Bucket(33554432, 67108863, 1), 67.108863),
        (Bucket(67108864, 134217727, 1), None),
        (Bucket(10, None, 1), None),
    ],
)
def test_histogram_puts_a_bucket_below_its_inclusive_end(bucket: Bucket, bound: float | None) -> None:
    (point,) = histogram(read(signal_reader("tcp"), Hist("tcp_rtt", (("1,443", (bucket,)),))))
    index = list(point.counts).index(1)
    assert sum(point.counts) == 1
    assert (point.bounds[index] if index < len(point.bounds) else None) == bound


def test_histogram_bounds_do_not_depend_on_what_was_seen() -> None:
    reader = signal_reader("tcp")
    (first,) = histogram(read(reader, Hist("tcp_rtt", (("1,443", (Bucket(1, 1, 1),)),))))
    (second,) = histogram(read(reader, Hist("tcp_rtt", (("1,443", (Bucket(1, 1, 1), Bucket(1024, 2047, 5))),))))
    assert first.bounds == second.bounds


def test_histogram_of_lhist_takes_its_bounds_from_the_buckets() -> None:
    buckets = (Bucket(None, -1, 1), Bucket(0, 1, 2), Bucket(2, 3, 0), Bucket(4, None, 5))
    (point,) = histogram(read(one(instrument="histogram"), Hist("m", ((None, buckets),))))
    assert list(point.bounds) == [-1.0, 1.0, 3.0]
    assert list(point.counts) == [1, 2, 0, 5]


def test_histogram_without_range_has_the_bounds_of_all_series_and_keeps_them() -> None:
    reader = one(instrument="histogram", keys=[Key(attribute="server.port")])
    first = read(reader, Hist("m", (("1", (Bucket(1, 1, 1),)), ("2", (Bucket(4, 7, 2),)))))
    assert [(list(point.bounds), list(point.counts)) for point in histogram(first)] == [
        ([1.0, 7.0], [1, 0, 0]),
        ([1.0, 7.0], [0, 2, 0]),
    ]
    second = read(reader, Hist("m", (("1", (Bucket(2, 3, 4),)),)))
    assert [(list(point.bounds), list(point.counts)) for point in histogram(second)] == [
        ([1.0, 3.0, 7.0], [0, 4, 0, 0])
    ]


@pytest.mark.parametrize(
    ("low_high", "bounds"),
    [
        ((1, 7), [0, 1, 3, 7]),
        ((0, 3), [0, 1, 3]),
        ((4, 10), [3, 7, 15]),
        ((1024, 1024), [1023, 2047]),
        ((5, 5), [3, 7]),
    ],
)
def test_histogram_range_has_buckets_for_both_its_ends(low_high: tuple[int, int], bounds: list[int]) -> None:
    reader = one(instrument="histogram", range=low_high)
    (point,) = histogram(read(reader, Hist("m", ((None, (Bucket(4, 7, 1),)),))))
    assert list(point.bounds) == bounds


@given(st.lists(st.tuples(st.integers(-1, 40), st.integers(0, 2**40)), max_size=20))
def test_histogram_counts_every_value_once(buckets: list[tuple[int, int]]) -> None:
    printed = tuple(
        Bucket(1 << power, (2 << power) - 1, count) if power >= 0 else Bucket(0, 0, count) for power, count in buckets
    )
    (point,) = histogram(read(signal_reader("tcp"), Hist("tcp_duration", (("1,443", printed),))))
    assert len(point.counts) == len(point.bounds) + 1
    assert sum(point.counts) == sum(count for _, count in buckets)
    assert list(point.bounds) == sorted(set(point.bounds))


def limited(limit: int, **fields: Any) -> MetricReader:
    return one(keys=[Key(attribute="server.port")], limit=limit, attributes={"a": "b"}, **fields)


def test_series_above_the_limit_are_folded() -> None:
    metric = read(limited(2), counts("m", {"1": 1, "2": 2, "3": 3, "4": 4}))
    assert numbers(metric) == [
        ({"a": "b", "server.port": 1}, 1),
        ({"a": "b", "server.port": 2}, 2),
        ({"a": "b", OVERFLOW: True}, 7),
    ]
    assert OVERFLOW == "otel.metric.overflow"


def test_a_series_at_the_limit_is_not_folded() -> None:
    metric = read(limited(2), counts("m", {"1": 1, "2": 2}))
    assert all(OVERFLOW not in attributes for attributes, _ in numbers(metric))


def test_the_same_series_are_folded_in_every_snapshot() -> None:
    reader = limited(2)
    read(reader, counts("m", {"1": 1, "2": 2, "3": 3}))
    # bpftrace prints a map in no order, and new keys come before old ones.
    second = numbers(read(reader, counts("m", {"5": 9, "3": 30, "2": 20, "1": 10})))
    assert {attributes.get("server.port", OVERFLOW): value for attributes, value in second} == {
        1: 10,
        2: 20,
        OVERFLOW: 39,
    }


@given(st.lists(st.dictionaries(st.integers(0, 9), st.integers(0, 100)), min_size=1, max_size=5), st.integers(1, 4))
def test_series_never_fall(steps: list[dict[int, int]], limit: int) -> None:
    """As long as those of the map do."""
    reader, values, before = limited(limit), dict[str | None, int](), dict[Any, float]()
    for step in steps:
        for port, more in step.items():
            values[str(port)] = values.get(str(port), 0) + more
        metric, _ = reader.read(counts("m", dict(sorted(values.items(), reverse=len(step) % 2 == 0))), START, TIME)
        now = (
            {attributes.get("server.port", OVERFLOW): value for attributes, value in numbers(metric)} if metric else {}
        )
        assert all(now[series] >= value for series, value in before.items())
        assert sum(now.values()) == sum(values.values())
        assert len(now) <= limit + 1
        before = now


def test_histograms_above_the_limit_are_folded() -> None:
    series = tuple((str(port), (Bucket(1, 1, port), Bucket(4, 7, 1))) for port in (1, 2, 3))
    metric = read(limited(1, instrument="histogram", range=(1, 7)), Hist("m", series))
    assert [(dict(point.attributes), list(point.counts)) for point in histogram(metric)] == [
        ({"a": "b", "server.port": 1}, [0, 1, 0, 1, 0]),
        ({"a": "b", OVERFLOW: True}, [0, 5, 0, 2, 0]),
    ]


def test_lhist_keeps_its_own_edges_where_a_range_of_hist_was_given() -> None:
    """lhist(12, 0, 100, 10): buckets [10, 19] and so on, which no power of two ends."""
    reader = one(instrument="histogram", range=(1, 100))
    metric = read(reader, Hist("m", ((None, (Bucket(10, 19, 3), Bucket(20, 29, 1))),)))
    (point,) = histogram(metric)
    assert (list(point.bounds), list(point.counts)) == ([19.0, 29.0], [3, 1, 0])


def test_a_map_of_another_kind_than_its_metric_is_unread() -> None:
    counter, histograms = one(), one(instrument="histogram")
    assert counter.read(Hist("m", ((None, (Bucket(1, 1, 1),)),)), START, TIME) == (None, 1)
    assert histograms.read(counts("m", {None: 1}), START, TIME) == (None, 1)
