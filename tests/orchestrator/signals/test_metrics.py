from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.manifest import Key
from config.manifest import Metric as Rule
from orchestrator.catalog import load_signal
from orchestrator.signals.metrics import OVERFLOW, MetricReader
from orchestrator.signals.model import HistogramPoint, Metric, NumberPoint
from orchestrator.signals.series import MapRecord
from parsers.records import Bucket, Entry, Hist, Map, Stats, TimeSeries
from tests.orchestrator.collecting import histograms, numbers
from tests.parsers.feeding import read_captured

START, TIME = 1_000, 2_000


def signal_reader(name: str) -> MetricReader:
    return MetricReader(load_signal(name).manifest.metrics)


def one(*, lenient: bool = False, **fields: Any) -> MetricReader:
    """A reader with one rule, for the map ``m``."""
    rule: dict[str, Any] = {"name": "ebpf.m", "instrument": "counter", "unit": "1", "description": "d", **fields}
    return MetricReader({"m": Rule(**rule)}, lenient=lenient)


def read(reader: MetricReader, record: MapRecord, unread: int = 0) -> Metric:
    metric, not_read = reader.read(record, START, TIME)
    assert not_read == unread
    assert metric is not None
    return metric


def counts(name: str, values: Mapping[str | None, Any]) -> Map:
    return Map(name, tuple(Entry(key, value) for key, value in values.items()))


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
    (point,) = histograms(read(signal_reader("tcp"), Hist("tcp_rtt", (("1,443", (Bucket(16, 31, 2),)),))))
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
    (point,) = histograms(read(signal_reader("tcp"), Hist("tcp_rtt", (("1,443", (bucket,)),))))
    index = list(point.counts).index(1)
    assert sum(point.counts) == 1
    assert (point.bounds[index] if index < len(point.bounds) else None) == bound


def test_histogram_bounds_do_not_depend_on_what_was_seen() -> None:
    reader = signal_reader("tcp")
    (first,) = histograms(read(reader, Hist("tcp_rtt", (("1,443", (Bucket(1, 1, 1),)),))))
    (second,) = histograms(read(reader, Hist("tcp_rtt", (("1,443", (Bucket(1, 1, 1), Bucket(1024, 2047, 5))),))))
    assert first.bounds == second.bounds


def test_histogram_of_lhist_takes_its_bounds_from_the_buckets() -> None:
    buckets = (Bucket(None, -1, 1), Bucket(0, 1, 2), Bucket(2, 3, 0), Bucket(4, None, 5))
    (point,) = histograms(read(one(instrument="histogram"), Hist("m", ((None, buckets),))))
    assert list(point.bounds) == [-1.0, 1.0, 3.0]
    assert list(point.counts) == [1, 2, 0, 5]


def test_histogram_without_range_has_the_bounds_of_all_series_and_keeps_them() -> None:
    reader = one(instrument="histogram", keys=[Key(attribute="server.port")])
    first = read(reader, Hist("m", (("1", (Bucket(1, 1, 1),)), ("2", (Bucket(4, 7, 2),)))))
    assert [(list(point.bounds), list(point.counts)) for point in histograms(first)] == [
        ([1.0, 7.0], [1, 0, 0]),
        ([1.0, 7.0], [0, 2, 0]),
    ]
    second = read(reader, Hist("m", (("1", (Bucket(2, 3, 4),)),)))
    assert [(list(point.bounds), list(point.counts)) for point in histograms(second)] == [
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
    (point,) = histograms(read(reader, Hist("m", ((None, (Bucket(4, 7, 1),)),))))
    assert list(point.bounds) == bounds


@given(st.lists(st.tuples(st.integers(-1, 40), st.integers(0, 2**40)), max_size=20))
def test_histogram_counts_every_value_once(buckets: list[tuple[int, int]]) -> None:
    printed = tuple(
        Bucket(1 << power, (2 << power) - 1, count) if power >= 0 else Bucket(0, 0, count) for power, count in buckets
    )
    (point,) = histograms(read(signal_reader("tcp"), Hist("tcp_duration", (("1,443", printed),))))
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
    assert [(dict(point.attributes), list(point.counts)) for point in histograms(metric)] == [
        ({"a": "b", "server.port": 1}, [0, 1, 0, 1, 0]),
        ({"a": "b", OVERFLOW: True}, [0, 5, 0, 2, 0]),
    ]


def test_lhist_keeps_its_own_edges_where_a_range_of_hist_was_given() -> None:
    """lhist(12, 0, 100, 10): buckets [10, 19] and so on, which no power of two ends."""
    reader = one(instrument="histogram", range=(1, 100))
    metric = read(reader, Hist("m", ((None, (Bucket(10, 19, 3), Bucket(20, 29, 1))),)))
    (point,) = histograms(metric)
    assert (list(point.bounds), list(point.counts)) == ([19.0, 29.0], [3, 1, 0])


def test_a_map_of_another_kind_than_its_metric_is_unread() -> None:
    counter, histogram = one(), one(instrument="histogram")
    assert counter.read(Hist("m", ((None, (Bucket(1, 1, 1),)),)), START, TIME) == (None, 1)
    assert histogram.read(counts("m", {None: 1}), START, TIME) == (None, 1)


STAT: dict[str, Any] = {"count": 4, "average": 7, "total": 30}


def stats(values: Mapping[str | None, Any]) -> Stats:
    return Stats("m", tuple(Entry(key, value) for key, value in values.items()))


def test_stats_are_a_histogram_with_count_and_sum() -> None:
    reader = one(instrument="histogram", unit="s", scale="1e-6", keys=[Key(attribute="thread.name", type="string")])
    metric = read(reader, stats({"a": STAT, "b": {"count": 1, "average": -3, "total": -3}}))
    assert histograms(metric) == [
        HistogramPoint({"thread.name": "a"}, [], [4], 3e-05),
        HistogramPoint({"thread.name": "b"}, [], [1], -3e-06),
    ]


def test_stats_are_a_gauge_of_the_average() -> None:
    assert numbers(read(one(instrument="gauge", scale="10"), stats({None: STAT}))) == [({}, 70.0)]


def test_an_average_is_a_gauge() -> None:
    metric = read(one(instrument="gauge", keys=[Key(attribute="process.pid")]), stats({"7": 5, "8": -7}))
    assert numbers(metric) == [({"process.pid": 7}, 5), ({"process.pid": 8}, -7)]
    assert one(instrument="histogram").read(stats({None: 5}), START, TIME) == (None, 1)
    assert one(instrument="counter").read(stats({None: 5}), START, TIME) == (None, 1)


def test_real_stats() -> None:
    """As 0.27 printed them."""
    records = {record.name: record for record in read_captured("0.27.1", "stats") if isinstance(record, Stats)}
    gauge, histogram = one(instrument="gauge"), one(instrument="histogram")
    assert numbers(read(gauge, replace(records["ak"], name="m"))) == [({"ebpf.key": "a"}, 3), ({"ebpf.key": "b"}, 9)]
    assert histograms(read(histogram, replace(records["nst"], name="m"))) == [HistogramPoint({}, [], [2], -15.0)]


def test_stats_of_series_above_the_limit_are_folded() -> None:
    metric = read(limited(1, instrument="histogram"), stats({"1": STAT, "2": STAT, "3": STAT}))
    assert histograms(metric) == [
        HistogramPoint({"a": "b", "server.port": 1}, [], [4], 30.0),
        HistogramPoint({"a": "b", OVERFLOW: True}, [], [8], 60.0),
    ]


def tseries(**series: dict[str, int]) -> TimeSeries:
    return TimeSeries("m", tuple((key, tuple(intervals.items())) for key, intervals in series.items()))


def test_a_time_series_has_points_with_times_of_their_own(set_zone: Callable[[str], None]) -> None:
    set_zone("EAST-2")
    reader = one(instrument="gauge", keys=[Key(attribute="thread.name", type="string")])
    metric = read(reader, tseries(a={"2026-11-23 04:14:50.200000000": 7, "2026-11-23 04:14:50.500000000": 8}))
    assert (metric.instrument, metric.time_unix_nano) == ("gauge", TIME)
    assert list(metric.points) == [
        NumberPoint({"thread.name": "a"}, 7, 1_795_407_290_200_000_000),
        NumberPoint({"thread.name": "a"}, 8, 1_795_407_290_500_000_000),
    ]


def test_an_interval_of_a_time_series_is_sent_once(set_zone: Callable[[str], None]) -> None:
    set_zone("UTC0")
    reader = one(instrument="gauge", keys=[Key(attribute="thread.name", type="string")])
    first, second, third = (f"2026-11-23 06:14:5{second}.000000000" for second in range(3))
    assert len(read(reader, tseries(a={first: 7, second: 8}, b={first: 1})).points) == 3
    assert reader.read(tseries(a={first: 7, second: 8}, b={first: 1}), START, TIME) == (None, 0)
    later = read(reader, tseries(a={first: 7, second: 9, third: 1}, b={first: 1}))
    assert numbers(later) == [({"thread.name": "a"}, 9), ({"thread.name": "a"}, 1)]


def test_a_map_that_is_cleared_is_added_up_over_its_prints() -> None:
    reader = one(cleared=True, keys=[Key(attribute="process.pid")])
    assert numbers(read(reader, counts("m", {"1": 5, "2": 1}))) == [({"process.pid": 1}, 5), ({"process.pid": 2}, 1)]
    # A key that did not come again keeps what it had.
    assert numbers(read(reader, counts("m", {"1": 2, "3": 4}))) == [
        ({"process.pid": 1}, 7),
        ({"process.pid": 2}, 1),
        ({"process.pid": 3}, 4),
    ]
    assert [value for _, value in numbers(read(reader, Map("m", ())))] == [7, 1, 4]


def test_a_gauge_that_is_cleared_is_not_added_up() -> None:
    reader = one(instrument="gauge", cleared=True)
    read(reader, counts("m", {"a": 5, "b": 1}))
    assert numbers(read(reader, counts("m", {"a": 2}))) == [({"ebpf.key": "a"}, 2)]


def test_a_histogram_that_is_cleared_is_added_up_over_its_prints() -> None:
    reader = one(instrument="histogram", cleared=True, range=(1, 7))
    read(reader, Hist("m", (("a", (Bucket(1, 1, 5), Bucket(4, 7, 1))),)))
    metric = read(reader, Hist("m", (("a", (Bucket(1, 1, 2), Bucket(8, 15, 3))), ("b", (Bucket(2, 3, 4),)))))
    assert [(point.attributes, list(point.bounds), list(point.counts)) for point in histograms(metric)] == [
        ({"ebpf.key": "a"}, [0.0, 1.0, 3.0, 7.0], [0, 7, 0, 1, 3]),
        ({"ebpf.key": "b"}, [0.0, 1.0, 3.0, 7.0], [0, 0, 4, 0, 0]),
    ]


def test_an_lhist_that_is_cleared_keeps_its_counts_when_new_edges_come() -> None:
    reader = one(instrument="histogram", cleared=True)
    read(reader, Hist("m", ((None, (Bucket(10, 19, 3),)),)))
    (point,) = histograms(read(reader, Hist("m", ((None, (Bucket(None, 9, 1), Bucket(30, None, 2))),))))
    assert (list(point.bounds), list(point.counts)) == ([9.0, 19.0], [1, 3, 2])


def test_stats_that_are_cleared_are_added_up_over_their_prints() -> None:
    reader = one(instrument="histogram", cleared=True)
    read(reader, stats({None: STAT}))
    assert histograms(read(reader, stats({None: {"count": 1, "average": 2, "total": 2}}))) == [
        HistogramPoint({}, [], [5], 32.0)
    ]


def test_what_is_folded_of_a_map_that_is_cleared_is_added_up_too() -> None:
    reader = limited(1, cleared=True)
    read(reader, counts("m", {"1": 1, "2": 2}))
    assert numbers(read(reader, counts("m", {"2": 20, "3": 30, "1": 10}))) == [
        ({"a": "b", "server.port": 1}, 11),
        ({"a": "b", OVERFLOW: True}, 52),
    ]


def test_a_map_that_is_not_cleared_is_not_added_up() -> None:
    reader = one()
    read(reader, counts("m", {None: 5}))
    assert numbers(read(reader, counts("m", {None: 7}))) == [({}, 7)]


def test_a_key_that_is_printed_twice_counts_twice() -> None:
    """As 0.17 prints stacks of two processes that look alike."""
    keys = [Key(attribute="code.function.name", type="string")]
    record = Map("m", (Entry("fevent", 3), Entry("main", 1), Entry("fevent", 4)))
    assert numbers(read(one(keys=keys), record)) == [
        ({"code.function.name": "fevent"}, 7),
        ({"code.function.name": "main"}, 1),
    ]
    buckets = (Bucket(1, 1, 2), Bucket(2, 3, 1))
    metric = read(one(instrument="histogram", keys=keys), Hist("m", (("fevent", buckets), ("fevent", buckets[:1]))))
    assert [list(point.counts) for point in histograms(metric)] == [[4, 1, 0]]
    metric = read(one(instrument="histogram", keys=keys), Stats("m", (Entry("fevent", STAT), Entry("fevent", STAT))))
    assert histograms(metric) == [HistogramPoint({"code.function.name": "fevent"}, [], [8], 60.0)]


def test_a_keyed_map_without_rules_has_its_key_as_one_attribute() -> None:
    metric = read(one(attributes={"a": "b"}), counts("m", {"1,x": 5, "2,y": 6}))
    assert numbers(metric) == [({"a": "b", "ebpf.key": "1,x"}, 5), ({"a": "b", "ebpf.key": "2,y"}, 6)]


def test_the_whole_key_tells_the_series_apart() -> None:
    """Or the summary shows numbers of nothing."""
    assert list(read(one(), counts("m", {"1,x": 5})).dimensions) == ["ebpf.key"]


PAIR = [Key(attribute="thread.name", type="string"), Key(attribute="process.pid")]


def test_a_lenient_reader_keeps_keys_of_another_shape_whole() -> None:
    record = counts("m", {"sh,7": 1, "sh": 2, "sh,x": 3})
    assert numbers(read(one(lenient=True, keys=PAIR), record)) == [
        ({"thread.name": "sh", "process.pid": 7}, 1),
        ({"ebpf.key": "sh"}, 2),
        ({"ebpf.key": "sh,x"}, 3),
    ]
    assert numbers(read(one(keys=PAIR), record, unread=2)) == [({"thread.name": "sh", "process.pid": 7}, 1)]


def test_a_key_is_cut_at_the_separator_of_its_output() -> None:
    record = Map("m", (Entry("sh, 7", 1),), separator=", ")
    assert numbers(read(one(keys=PAIR), record)) == [({"thread.name": "sh", "process.pid": 7}, 1)]


def test_a_map_can_be_learned_later() -> None:
    reader = MetricReader({}, lenient=True)
    reader.add("m", Rule(name="ebpf.m", instrument="counter", unit="1", description="d", keys=PAIR))
    assert reader.maps == {"m"}
    assert numbers(read(reader, counts("m", {"a": 1}))) == [({"ebpf.key": "a"}, 1)]
