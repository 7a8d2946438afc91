from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from config.manifest import Field, Key, Manifest, Metric, Piece, Print, StackMap, StackProfile, TextMap
from orchestrator.signals.clock import Moment
from orchestrator.signals.model import LogRecord
from orchestrator.signals.programs import MapReading, ProgramReader
from orchestrator.signals.series import MapRecord
from orchestrator.signals.stacks import StackCounts
from parsers.records import Bucket, Data, Entry, Hist, Map, Stats, TimeSeries
from tests.orchestrator.collecting import folded, histograms, numbers

START, NOW = 1_700_000_000_000_000_000, 1_700_000_010_000_000_000
MOMENT = Moment(unix=NOW, offset=START)
PID = Key(attribute="process.pid")
COMM = Key(attribute="thread.name", type="string")
NOTHING = Manifest(summary="Mine", process="own")


def manifest(**words: Any) -> Manifest:
    return Manifest(summary="Mine", process="own", **words)


def metric(instrument: Any = "counter", **words: Any) -> Metric:
    return Metric(name="ebpf.calls", instrument=instrument, unit="1", description="Calls", **words)


def reader(known: Manifest = NOTHING, name: str = "mine", *, whole_lines: bool = False) -> ProgramReader:
    return ProgramReader(name, known, StackCounts(), whole_lines=whole_lines)


def read(record: MapRecord, known: Manifest = NOTHING) -> MapReading:
    return reader(known).map(record, START, NOW)


def entries(**values: Data) -> tuple[Entry, ...]:
    return tuple(Entry(key, value) for key, value in values.items())


def scalar(value: Data) -> tuple[Entry, ...]:
    return (Entry(None, value),)


def told(records: list[LogRecord]) -> list[tuple[str, str, dict[str, Any]]]:
    return [(record.event_name, record.body, dict(record.attributes)) for record in records]


# Without a manifest.


def test_whether_an_unknown_map_counts_is_not_known() -> None:
    found = read(Map("reads", scalar(5)))
    assert found.metric is not None
    assert (found.metric.name, found.metric.instrument, found.metric.unit, found.metric.description) == (
        "ebpf.mine.reads",
        "gauge",
        "1",
        "@reads",
    )
    assert (found.metric.start_unix_nano, found.metric.time_unix_nano) == (START, NOW)
    assert numbers(found.metric) == [({}, 5)]
    assert (found.logs, found.unread, found.profiles) == ([], 0, [])


def test_the_key_of_an_unknown_map_is_one_attribute() -> None:
    found = read(Map("reads", (Entry("a,1", 5), Entry("b,2", "9007199254740993"))))
    assert numbers(found.metric) == [({"ebpf.key": "a,1"}, 5), ({"ebpf.key": "b,2"}, 2**53 + 1)]


@pytest.mark.parametrize(
    ("program", "map_name", "name"),
    [
        ("mine", "", "ebpf.mine"),
        ("mine", "Reads", "ebpf.mine.reads"),
        ("My Tool-2", "a_b", "ebpf.my_tool_2.a_b"),
        ("\u6f22", "a", "ebpf.x.a"),
    ],
)
def test_names(program: str, map_name: str, name: str) -> None:
    found = reader(NOTHING, program).map(Map(map_name, scalar(5)), START, NOW)
    assert found.metric is not None
    assert found.metric.name == name


def test_averages_of_an_unknown_map_are_a_gauge() -> None:
    found = read(Stats("a", entries(sh=7)))
    assert found.metric is not None
    assert found.metric.instrument == "gauge"
    assert numbers(found.metric) == [({"ebpf.key": "sh"}, 7)]


def test_stats_of_an_unknown_map_are_a_histogram() -> None:
    found = read(Stats("s", entries(sh={"count": 2, "average": 3, "total": 7})))
    ((point),) = histograms(found.metric)
    assert (point.attributes, list(point.bounds), list(point.counts), point.sum) == ({"ebpf.key": "sh"}, [], [2], 7.0)


def test_buckets_of_an_unknown_map_are_a_histogram() -> None:
    buckets = (Bucket(0, 0, 1), Bucket(1, 1, 0), Bucket(2, 3, 4), Bucket(4, None, 2))
    for key, attributes in ((None, {}), ("sh", {"ebpf.key": "sh"})):
        (point,) = histograms(read(Hist("h", ((key, buckets),))).metric)
        assert (point.attributes, list(point.bounds), list(point.counts)) == (attributes, [0, 1, 3], [1, 0, 4, 2])


def test_intervals_of_an_unknown_map_are_a_gauge_at_their_own_times(set_zone: Callable[[str], None]) -> None:
    set_zone("UTC0")
    found = read(TimeSeries("t", ((None, (("2023-11-14 22:13:25.500000000", 7),)),)))
    assert found.metric is not None
    (point,) = found.metric.points
    assert point.time_unix_nano == START + 5_500_000_000  # type: ignore[union-attr]


@pytest.mark.parametrize("record", [Map("m", ()), Stats("m", ()), Hist("m", ()), TimeSeries("m", ())])
def test_an_empty_map_says_nothing(record: MapRecord) -> None:
    assert read(record) == MapReading()


def test_an_unknown_map_keeps_what_it_was_at_first() -> None:
    """A counter and a gauge of one name would be refused."""
    mine = reader()
    first = mine.map(Map("m", scalar(5)), START, NOW).metric
    second = mine.map(Map("m", entries(a=5)), START, NOW).metric
    assert first is not None
    assert second is not None
    assert (first.name, first.instrument) == (second.name, second.instrument)


# Text.


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("bash", "bash"),
        ("a b\nc", "a b\nc"),
        ("007", "007"),
        ("12", "12"),
        ("", ""),
        ([1, "x"], "(1, x)"),
        ({"p": 7, "q": "x"}, "{ .p = 7, .q = x }"),
        (None, ""),
        (1.5, "1.5"),
    ],
)
def test_what_is_no_number_is_a_log_record(value: Data, shown: str) -> None:
    found = read(Map("name", scalar(value)))
    assert found.metric is None
    assert told(found.logs) == [("ebpf.mine.name", f"@name: {shown}", {"ebpf.value": shown})]
    (record,) = found.logs
    assert (record.time_unix_nano, record.observed_time_unix_nano, record.severity) == (NOW, NOW, "info")


def test_text_maps_have_keys_and_names() -> None:
    known = manifest(texts={"name": TextMap(name="ebpf.named", keys=[PID, COMM])})
    record = Map("name", (Entry("7,a,b", "x"), Entry("8,sh", "y")))
    assert told(read(record, known).logs) == [
        ("ebpf.named", "@name[7,a,b]: x", {"process.pid": 7, "thread.name": "a,b", "ebpf.value": "x"}),
        ("ebpf.named", "@name[8,sh]: y", {"process.pid": 8, "thread.name": "sh", "ebpf.value": "y"}),
    ]


def test_keys_of_text_output_are_apart_by_a_blank() -> None:
    known = manifest(texts={"name": TextMap(name="ebpf.named", keys=[PID, COMM])})
    (record,) = read(Map("name", (Entry("7, a", "x"),), ", "), known).logs
    assert record.attributes == {"process.pid": 7, "thread.name": "a", "ebpf.value": "x"}


def test_a_key_of_another_shape_is_kept_whole() -> None:
    known = manifest(texts={"name": TextMap(name="ebpf.named", keys=[PID, COMM])})
    (record,) = read(Map("name", entries(sh="x")), known).logs
    assert record.attributes == {"ebpf.key": "sh", "ebpf.value": "x"}


def test_bytes_that_are_no_text_are_exact_in_attributes_and_shown_in_the_body() -> None:
    (record,) = read(Map("name", (Entry("\udcfe", "a\udcff\u00e9"),))).logs
    assert record.body == "@name[\\xfe]: a\\xff\u00e9"
    assert record.attributes == {"ebpf.key": "\udcfe", "ebpf.value": "a\udcff\u00e9"}


def test_numbers_and_text_of_one_map_become_both() -> None:
    for known in (
        NOTHING,
        manifest(metrics={"m": metric("gauge", keys=[COMM])}),
        manifest(texts={"m": TextMap(name="t", keys=[COMM])}),
    ):
        found = read(Map("m", entries(a=1, b="x", c=True, d=None)), known)
        assert [value for _, value in numbers(found.metric)] == [1, 1]
        assert [record.body for record in found.logs] == ["@m[b]: x", "@m[d]: "]
        assert found.unread == 0


# With a manifest.


def test_a_known_map_is_what_the_manifest_says() -> None:
    known = manifest(metrics={"calls": metric(keys=[PID], attributes={"ebpf.kind": "x"}, scale="1e-3")})
    found = read(Map("calls", (Entry("7", 2500), Entry("8", 1))), known)
    assert found.metric is not None
    assert (found.metric.name, found.metric.instrument, found.metric.description) == ("ebpf.calls", "counter", "Calls")
    assert numbers(found.metric) == [
        ({"ebpf.kind": "x", "process.pid": 7}, 2.5),
        ({"ebpf.kind": "x", "process.pid": 8}, 0.001),
    ]


def test_what_no_such_metric_can_be_made_of_is_counted() -> None:
    known = manifest(metrics={"calls": metric("counter")})
    found = read(Hist("calls", ((None, (Bucket(0, 0, 1),)),)), known)
    assert (found.metric, found.unread) == (None, 1)


@pytest.mark.parametrize(
    ("words", "snapshot", "cleared"),
    [
        ({}, True, False),
        ({"snapshot": False}, False, False),
        ({"cleared": True}, False, True),
        ({"cleared": True, "snapshot": False}, False, True),
    ],
)
def test_which_maps_are_printed_by_us(words: dict[str, bool], snapshot: bool, cleared: bool) -> None:
    mine = reader(manifest(metrics={"calls": metric(**words)}, texts={"name": TextMap(name="t")}))
    assert (mine.is_snapshot("calls"), mine.is_cleared("calls")) == (snapshot, cleared)
    for other in ("name", "unknown", ""):
        assert (mine.is_snapshot(other), mine.is_cleared(other)) == (False, False)


def test_what_is_emptied_in_between_is_added_up() -> None:
    mine = reader(manifest(metrics={"calls": metric(keys=[COMM], cleared=True)}))
    shown = [{"a": 5}, {"a": 2, "b": 1}, {}, {"b": 3}]
    found = [mine.map(Map("calls", entries(**values)), START, NOW).metric for values in shown]
    series = [{attributes["thread.name"]: value for attributes, value in numbers(one)} for one in found if one]
    assert series[0] == {"a": 5}
    assert series[-1] == {"a": 7, "b": 4}


EVENTS = StackProfile(type="events", unit="count")
STACK = "\n    f+1\n    main+2\n"


@pytest.mark.parametrize(
    ("record", "known", "expected"),
    [
        (
            Map("k", (Entry(f"{STACK},sh", 3), Entry(f"{STACK},b", 4))),
            manifest(stacks={"k": StackMap(keys=[Key(type="ustack"), COMM], profiles=[EVENTS])}),
            {"main;f": 7},
        ),
        (
            Hist("k", ((f"{STACK},sh", (Bucket(0, 1, 2), Bucket(2, 3, 5))),)),
            manifest(stacks={"k": StackMap(keys=[Key(type="ustack"), COMM], profiles=[EVENTS])}),
            {"main;f": 7},
        ),
        (Map("other", (Entry(STACK, 3), Entry("\n    g+1\n", 4))), NOTHING, {"main;f": 3, "g": 4}),
        (Map("other", (Entry(f",{STACK},a,b,1", 3),)), NOTHING, {"main;f": 3}),
    ],
)
def test_what_a_stack_map_holds_at_the_end_is_a_profile(
    record: MapRecord, known: Manifest, expected: dict[str, int]
) -> None:
    here = reader(known)
    assert here.map(record, START, NOW) == MapReading()
    assert here.map(record, START, NOW) == MapReading()  # bpftrace prints all maps once more at its end
    (profile,) = here.close(START, NOW)
    assert folded(profile) == expected
    assert (profile.time_unix_nano, profile.duration_nano) == (START, NOW - START)


def test_a_stack_map_that_is_cleared_is_a_profile_at_each_print() -> None:
    here = reader(manifest(stacks={"k": StackMap(keys=[Key(type="ustack")], profiles=[EVENTS], cleared=True)}))
    first = here.map(Map("k", (Entry(STACK, 3),)), START, NOW).profiles
    second = here.map(Map("k", (Entry(STACK, 2),)), START, NOW + 5).profiles
    assert [folded(one) for one in [*first, *second]] == [{"main;f": 3}, {"main;f": 2}]
    assert [(one.time_unix_nano, one.duration_nano) for one in [*first, *second]] == [(START, NOW - START), (NOW, 5)]
    assert here.close(START, NOW + 9) == []


def test_stacks_whose_values_cannot_be_added_up_are_counted() -> None:
    counts = StackCounts()
    known = manifest(stacks={"k": StackMap(keys=[Key(type="kstack")])})
    here = ProgramReader("mine", known, counts, whole_lines=False)
    assert here.map(Stats("k", (Entry(STACK, 3), Entry("\n    g+1\n", 4))), START, NOW) == MapReading()
    assert counts.unmade == {"k": 2}


def test_a_stack_as_a_value_is_text() -> None:
    (record,) = read(Map("v", entries(sh="\n    f+1\n    main+2\n"))).logs
    assert "main+2" in record.body


# Lines, values and problems.


def test_lines_and_values_are_called_after_the_program() -> None:
    mine = reader()
    records = [*mine.text("printf", "hello\n", MOMENT), *mine.value([1, "x"], MOMENT)]
    assert told(records) == [("ebpf.mine", "hello", {}), ("ebpf.mine", "(1, x)", {})]
    assert {record.time_unix_nano for record in records} == {NOW}


def test_lines_are_read_by_the_manifest() -> None:
    line = Print(
        name="ebpf.opened",
        pieces=[Piece(printf="opened "), Piece(printf="%s\n", fields=[Field(attribute="file.path", type="string")])],
    )
    in_pieces = reader(manifest(prints=[line]))
    assert list(in_pieces.text("printf", "opened ", MOMENT)) == []
    expected = [("ebpf.opened", "opened /x", {"file.path": "/x"})]
    assert told(list(in_pieces.text("printf", "/x\n", MOMENT))) == expected
    assert (
        told(list(reader(manifest(prints=[line]), whole_lines=True).text("printf", "opened /x\n", MOMENT))) == expected
    )


def test_a_line_that_was_never_ended() -> None:
    mine = reader()
    assert list(mine.text("printf", "Bye.", MOMENT)) == []
    assert told(list(mine.flush())) == [("ebpf.mine", "Bye.", {})]
    assert list(mine.flush()) == []


@pytest.mark.parametrize(("kind", "severity"), [("errorf", "error"), ("warnf", "warn")])
def test_what_the_program_reports(kind: str, severity: str) -> None:
    record = reader().problem(kind, "bad \udcff 5\n", MOMENT)
    assert record == LogRecord(NOW, NOW, f"ebpf.mine.{kind}", severity, "bad \\xff 5", {})


@pytest.mark.parametrize("kind", ["helper_error", "runtime_error", "warning", "error", ""])
def test_what_bpftrace_reports_is_not_of_the_program(kind: str) -> None:
    assert reader().problem(kind, "bad", MOMENT) is None
