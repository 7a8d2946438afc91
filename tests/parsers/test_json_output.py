"""One table for each version of bpftrace: what the capture's program printed, as records."""

from __future__ import annotations

from typing import Any

import pytest

from parsers.escapes import to_bytes
from parsers.records import (
    AttachedProbes,
    Bucket,
    Data,
    Entry,
    Hist,
    LostEvents,
    Map,
    Problem,
    Record,
    Stats,
    Text,
    Unknown,
    Unparsed,
    Value,
)
from tests.parsers.feeding import ATTACHED, DATA, captured, read, read_captured, read_line

CAPTURES = sorted(f"{path.parent.name}/{path.stem}" for path in DATA.glob("0.*/*.json"))
OLD, MIDDLE, NEW = "0.11.3", "0.17.0", "0.27.1"
ALL = (OLD, MIDDLE, NEW)
# What the facts name as unreadable: plain text on stdout, and an unquoted strftime() inside a map of 0.17.
UNREADABLE = {b"No probes to attach", b'{"type": "map", "data": {"@t": 05:41}}'}


def scalar(name: str, value: Any) -> Map:
    return Map(name, (Entry(None, value),))


def keyed(name: str, values: dict[str, Any]) -> Map:
    return Map(name, tuple(Entry(key, value) for key, value in values.items()))


def by_name(records: list[Record]) -> dict[str, Any]:
    return {record.name: record for record in records if isinstance(record, (Map, Hist, Stats))}


@pytest.mark.parametrize("capture", CAPTURES)
def test_every_capture_is_read(capture: str) -> None:
    version, _, case = capture.partition("/")
    records = read(captured(version, case))
    assert records
    assert {record.line for record in records if isinstance(record, Unparsed)} <= UNREADABLE
    assert {record.kind for record in records if isinstance(record, Unknown)} <= {"tseries"}


@pytest.mark.parametrize(
    ("version", "case", "probes"), [(OLD, "hist", 1), (MIDDLE, "strftime", 1), (NEW, "tseries", 2)]
)
def test_attached_probes_has_two_shapes(version: str, case: str, probes: int) -> None:
    assert read(captured(version, case))[0] == AttachedProbes(probes)


@pytest.mark.parametrize(("version", "true"), [(OLD, 1), (MIDDLE, 1), (NEW, True)])
def test_value_of_every_kind(version: str, true: int | bool) -> None:
    values: list[Any] = [1, -7, 'str "q" nl\n', [1, "x", [2, -3]], true]
    records = read_captured(version, "print-value")
    assert records[:5] == [Value(value) for value in values]
    assert isinstance(records[5], Value)
    assert records[5].data in (9007199254740993, "9007199254740993")
    assert type(records[4].data) is type(true) if isinstance(records[4], Value) else False


def test_value_of_a_struct() -> None:
    inner: Data = {"p": 7, "mac": [222, 173, 190, 239, 0, 1]}
    records = read_captured(NEW, "print-struct")
    assert records[2] == Value('na"me,\x01é')
    assert records[3] == Value(inner)
    assert isinstance(records[4], Value)
    assert isinstance(records[4].data, dict)
    assert records[4].data["bar"] == inner
    assert records[4].data["big"] == "-9007199254740993"
    assert keyed("b", {"7": inner}) in records


def test_value_of_buf_differs_by_version() -> None:
    assert read_captured(MIDDLE, "print-buf")[0] == Value('\\x01\\x02AB\\xff\\x00z\\x0a"\\')
    assert read_captured(NEW, "print-buf")[0] == Value([1, 2, 65, 66, -1, 0, 122, 10, 34, 92])


def test_value_of_unquoted_strftime() -> None:
    assert read_captured(MIDDLE, "strftime")[1] == Value("2026-11-23T05:41:19")
    assert read_captured(NEW, "strftime")[1] == Value("2026-11-23T05:41:20")


@pytest.mark.parametrize(("version", "maximum"), [(OLD, 2**63 - 1), (MIDDLE, 2**64 - 1)])
def test_map_scalars_are_exact_integers(version: str, maximum: int) -> None:
    assert read_captured(version, "map-scalar") == [
        scalar("a", 1),
        scalar("big", 9007199254740993),
        scalar("empty", ""),
        scalar("i8", -1),
        scalar("max", 9223372036854775807),
        scalar("min", -9223372036854775807),
        scalar("neg", -5),
        scalar("str", "hi"),
        scalar("u64", maximum),
        scalar("zero", 0),
    ]


def test_map_integers_that_a_double_cannot_hold_are_strings_in_new_versions() -> None:
    maps = by_name(read_captured(NEW, "map-scalar"))
    assert maps["big"] == scalar("big", "9007199254740993")
    assert maps["u64"] == scalar("u64", "18446744073709551615")
    assert maps["neg"] == scalar("neg", -5)


@pytest.mark.parametrize(("version", "true", "blank"), [(OLD, "1", " "), (MIDDLE, "1", " "), (NEW, "true", "")])
def test_map_keys_are_text_with_commas(version: str, true: str, blank: str) -> None:
    maps = by_name(read_captured(version, "map-keyed"))
    assert maps["int"] == keyed("int", {"1": 10, "-2": 20})
    assert maps["mixed"] == keyed("mixed", {f"bpftrace,{true},-7": 1})
    assert maps["multi"] == keyed("multi", {"1,x": 5, f"2,y{blank}z": 6})
    assert set(maps["str"].entries) == {Entry("a", 1), Entry(f"b{blank}c", 2), Entry("", 3)}


def test_map_of_tuples_and_tuple_keys() -> None:
    assert read_captured(NEW, "map-tuple") == [
        keyed("kv", {"k": [1, "two"]}),
        keyed("tk", {"1,x": 5}),
        scalar("val", [1, "two", [3, "four"]]),
    ]
    assert read_captured(NEW, "map-tuple-nestedkey") == [keyed("nk", {"1,(2,x)": 7})]


@pytest.mark.parametrize(("version", "true", "key"), [(OLD, 1, "1"), (MIDDLE, 1, "1"), (NEW, True, "true")])
def test_booleans_are_words_in_new_versions(version: str, true: int | bool, key: str) -> None:
    assert read_captured(version, "bool-enum") == [
        Value(true),
        Value(true),
        Text("printf", "1\n"),
        Value([true, 2]),
        scalar("b", true),
        keyed("k", {key: 1}),
    ]


@pytest.mark.parametrize("line", [b'{"type": "map", "data": {"@a": {}}}', b'{"type": "map", "data": {"@": {}}}'])
def test_map_without_entries(line: bytes) -> None:
    record = read_line(line)
    assert isinstance(record, Map)
    assert record.entries == ()


@pytest.mark.parametrize("version", ALL)
def test_map_keeps_equal_keys_of_stacks(version: str) -> None:
    maps = by_name(read_captured(version, "dupkeys-ustack"))
    assert [entry.value for entry in maps[""].entries] == [3, 4]
    assert [entry.value for entry in maps["p"].entries] == [6, 8]
    assert maps["us"] == Map("us", (Entry("fevent", 3), Entry("fevent", 4)))


@pytest.mark.parametrize("version", ALL)
def test_hist_buckets_are_inclusive_and_open_below(version: str) -> None:
    (hist, *_) = [record for record in read_captured(version, "hist") if isinstance(record, Hist)]
    ((key, buckets),) = hist.series
    assert (hist.name, key) == ("h", None)
    assert buckets[:6] == (
        Bucket(None, -1, 1),
        Bucket(0, 0, 1),
        Bucket(1, 1, 1),
        Bucket(2, 3, 2),
        Bucket(4, 7, 0),
        Bucket(8, 15, 0),
    )
    assert buckets[8] == Bucket(64, 127, 1)


@pytest.mark.parametrize("version", ALL)
def test_lhist_has_open_ends(version: str) -> None:
    assert read_captured(version, "lhist") == [
        Hist("big", ((None, (Bucket(2048, 3071, 1), Bucket(3072, 4095, 0), Bucket(4096, 5119, 1))),)),
        Hist(
            "l",
            (
                (
                    None,
                    (
                        Bucket(None, -1, 1),
                        Bucket(0, 1, 1),
                        Bucket(2, 3, 1),
                        Bucket(4, 5, 0),
                        Bucket(6, 7, 0),
                        Bucket(8, 9, 1),
                        Bucket(10, None, 2),
                    ),
                ),
            ),
        ),
        Hist("lk", (("a", (Bucket(5, 5, 1),)), ("b", (Bucket(7, 7, 1), Bucket(8, 8, 0), Bucket(9, 9, 1))))),
    ]


@pytest.mark.parametrize(("version", "blank"), [(OLD, " "), (MIDDLE, " "), (NEW, "")])
def test_stats_and_averages(version: str, blank: str) -> None:
    records = by_name(read_captured(version, "stats"))
    assert records["st"] == Stats("st", (Entry(None, {"count": 2, "average": 7, "total": 15}),))
    assert records["sk"] == Stats(
        "sk",
        (
            Entry("a", {"count": 1, "average": 3, "total": 3}),
            Entry(f"b{blank}c", {"count": 2, "average": 9, "total": 19}),
        ),
    )
    assert records["a"] == Stats("a", (Entry(None, 5),))
    assert records["ak"] == Stats("ak", (Entry("a", 3), Entry("b", 9)))
    assert records["c"] == scalar("c", 2)
    assert records["mn"] == scalar("mn", -3)


@pytest.mark.parametrize("name", ["count", "average", "total"])
def test_stats_of_a_process_called_like_a_statistic(name: str) -> None:
    one: Data = {"count": 1, "average": 3, "total": 3}
    line = f'{{"type": "stats", "data": {{"@s": {{"{name}": {{"count": 1, "average": 3, "total": 3}}}}}}}}'
    assert read_line(line.encode()) == Stats("s", (Entry(name, one),))
    assert read_line(f'{{"type": "stats", "data": {{"@a": {{"{name}": 3}}}}}}'.encode()) == Stats(
        "a", (Entry(name, 3),)
    )


@pytest.mark.parametrize("version", ALL)
def test_printf_keeps_text_and_newlines(version: str) -> None:
    texts = [record.text for record in read_captured(version, "printf") if isinstance(record, Text)]
    assert texts[:4] == ["plain line\n", "no newline", " continued\n", "two\nlines\n"]
    assert texts[5:9] == ['quote " backslash \\ tab \t cr \r end\n', 'json {"a": 1}\n', "", "utf8 é €\n"]


@pytest.mark.parametrize("version", ALL)
def test_time_and_cat(version: str) -> None:
    records = read_captured(version, "time-cat-join")
    assert [record.kind for record in records if isinstance(record, Text)][:5] == ["time", "time", "time", "cat", "cat"]
    assert records[1] == Text("time", "2026-11-23")
    assert records[3] == Text("cat", "Linux\n")


@pytest.mark.parametrize("version", [OLD, MIDDLE])
def test_join(version: str) -> None:
    records = read_captured(version, "join")
    assert records[0] == Text("join", '/bin/sh -c /bin/echo "a b" "c,d" x; /bin/true')
    assert records[3] == Text("join", "/bin/echo,a b,c,d,x")


@pytest.mark.parametrize("version", ALL)
def test_syscall(version: str) -> None:
    assert [record for record in read_captured(version, "system") if isinstance(record, Text)][-2:] == [
        Text("syscall", "nonl"),
        Text("syscall", 'q"uote\n'),
    ]


@pytest.mark.parametrize("version", ALL)
def test_bytes_that_are_no_utf8_are_kept(version: str) -> None:
    cat, syscall = read_captured(version, "binary-cat-system")[:2]
    assert isinstance(cat, Text)
    assert to_bytes(cat.text) == b"abc\xff\xfe\x00\x01z\n"
    assert isinstance(syscall, Text)
    assert to_bytes(syscall.text) == b"x\xff\x01y\n"


WEIRD_COMMS = [
    b"a,b",
    b'q"uo\\te',
    b"nl\nx",
    b"c\x01\x1f\x7ftl",
    b"tab\tcr\r",
    b"\xff\xfe\x80bad",
    "é€".encode(),
    "日本語".encode(),
    b"cut\xe2\x82",
    b" lead trail ",
    b"(par)",
    b"[x]: 1",
    b'{"a":1}',
    b"fifteen_chars_x",
    "emoji😀".encode(),
]


@pytest.mark.parametrize("version", ALL)
def test_hostile_process_names_arrive_as_they_are(version: str) -> None:
    values = [record.data for record in read_captured(version, "weird-comm") if isinstance(record, Value)]
    assert [to_bytes(data) for data in values if isinstance(data, str)] == WEIRD_COMMS


@pytest.mark.parametrize("version", [OLD, MIDDLE])
def test_hostile_process_names_as_keys(version: str) -> None:
    maps = by_name(read_captured(version, "weird-comm"))
    assert sorted(to_bytes(entry.key) for entry in maps["c"].entries) == sorted(WEIRD_COMMS)
    assert sorted(to_bytes(key) for key, _ in maps["h"].series) == sorted(WEIRD_COMMS)
    assert {to_bytes(entry.key) for entry in maps["m"].entries} == {comm + b",1" for comm in WEIRD_COMMS}


def test_hostile_process_names_do_not_change_counts_of_new_versions() -> None:
    maps = by_name(read_captured(NEW, "weird-comm"))
    assert {count for _, buckets in maps["h"].series for count in buckets} == {Bucket(8, 15, 1)}
    assert {entry.value for entry in maps["m"].entries} == {2}


@pytest.mark.parametrize("version", ALL)
def test_hist_counts_are_right_after_an_escape(version: str) -> None:
    records = read_captured(version, "weird-sticky-hex")
    hist = Hist("h", ((None, (Bucket(8, 15, 12),)),))
    assert [record for record in records if isinstance(record, Hist)] == [hist, hist]
    assert next(record for record in records if isinstance(record, Map)) == scalar("n", 12)
    assert Stats("s", (Entry(None, {"count": 12, "average": 20, "total": 240}),)) in records


ESCAPE = b'{"type": "value", "data": "\\uffffffc3\\uffffffa9"}\n'
TEN = b'{"type": "hist", "data": {"@h": [{"min": 4, "max": 7, "count": 10}]}}\n'


@pytest.mark.parametrize(("version", "count"), [("0.17.0", 10), ("0.23.2", 10), ("0.27.1", 16)])
def test_hist_count_that_is_valid_either_way(version: str, count: int) -> None:
    assert read(ATTACHED[version] + ESCAPE + TEN)[-1] == Hist("h", ((None, (Bucket(4, 7, count),)),))
    assert read(ATTACHED[version] + TEN)[-1] == Hist("h", ((None, (Bucket(4, 7, 10),)),))


@pytest.mark.parametrize(
    "text", [b'{"type": "value", "data": "\\n\\t\\r\\"\\\\"}\n', b'{"type": "value", "data": "\\\\uffffffc3"}\n']
)
def test_hist_counts_stay_decimal_without_a_unicode_escape(text: bytes) -> None:
    assert read(ATTACHED[NEW] + text + TEN)[-1] == Hist("h", ((None, (Bucket(4, 7, 10),)),))


def test_hist_counts_turn_inside_one_line() -> None:
    line = (
        b'{"type": "hist", "data": {"@h": {"a": [{"min": 4, "max": 7, "count": 10}], '
        b'"b\\u0001": [{"min": 4, "max": 7, "count": 10},{"min": 8, "max": 15, "count": f}], '
        b'"c": [{"min": 4, "max": 7, "count": 20}]}}}\n'
    )
    assert read(ATTACHED[NEW] + line + TEN)[1:] == [
        Hist(
            "h",
            (
                ("a", (Bucket(4, 7, 10),)),
                ("b\x01", (Bucket(4, 7, 16), Bucket(8, 15, 15))),
                ("c", (Bucket(4, 7, 32),)),
            ),
        ),
        Hist("h", ((None, (Bucket(4, 7, 16),)),)),
    ]


def test_hist_key_that_looks_like_a_count_is_left_alone() -> None:
    line = b'{"type": "hist", "data": {"@h": {"x, \\"count\\": 10}": [{"min": 4, "max": 7, "count": 10}]}}}\n'
    assert read(ATTACHED[NEW] + ESCAPE + line)[-1] == Hist("h", (('x, "count": 10}', (Bucket(4, 7, 16),)),))


def test_other_numbers_stay_decimal_after_an_escape() -> None:
    lines = b'{"type": "map", "data": {"@c": {"a": 10}}}\n{"type": "value", "data": [10,"x"]}\n'
    assert read(ATTACHED[NEW] + ESCAPE + lines)[-2:] == [keyed("c", {"a": 10}), Value([10, "x"])]


def test_lost_events() -> None:
    assert LostEvents(125940) in read_captured(NEW, "lost-events")
    assert read_line(b'{"type": "lost_events", "data": {"events": 3}}', MIDDLE) == LostEvents(3)


def test_helper_error_has_two_shapes() -> None:
    assert read_captured(MIDDLE, "helper-error")[0] == Problem("helper_error", "map_delete_elem returned -2")
    problems = [record for record in read_captured(NEW, "map-full") if isinstance(record, Problem)]
    assert problems == [Problem("helper_error", "map_update_elem returned -7")] * 4


def test_errorf_and_warnf() -> None:
    assert read_captured(NEW, "errorf-warnf") == [Problem("errorf", "bad 5"), Problem("warnf", "careful x\n")]


def test_runtime_error() -> None:
    line = b'{"type": "runtime_error", "msg": "Divide or modulo by 0", "filename": "x.bt", "line": 1, "col": 9}'
    assert read_line(line) == Problem("runtime_error", "Divide or modulo by 0")


def test_unknown_type_is_kept() -> None:
    record = read_line(b'{"type": "tomorrow", "data": {"@x": [1, {"a": 2}]}, "n": 3}')
    assert record == Unknown("tomorrow", {"data": {"@x": [1, {"a": 2}]}, "n": 3})
    assert [type(record) for record in read_captured(NEW, "tseries")] == [Unknown, Map, Unknown]


def test_no_probes_to_attach_is_reported() -> None:
    (record,) = read(captured(NEW, "fail-no-probes"))
    assert isinstance(record, Unparsed)
    assert record.line == b"No probes to attach"


def test_blank_lines_are_nothing() -> None:
    assert read(b"\n\n  \n") == []
    assert read(b"") == []


@pytest.mark.parametrize(
    "line",
    [
        b'{"type": "value", "data": [1,"x"',
        b'{"type": "map", "data": {"@a": {"x": 1, "y',
        b'{"type": "hist", "data": {"@h": [{"min": 4, "max": 7, "cou',
        b'{"type": "val',
        b"{",
        b'{"type": "value"}',
        b'{"type": "printf", "data": 5}',
        b'{"type": "printf"}',
        b'{"type": "map", "data": {"nomap": 5}}',
        b'{"type": "map", "data": {"@a": 1, "@b": 2}}',
        b'{"type": "hist", "data": {"@h": 5}}',
        b'{"type": "lost_events", "data": {"events": "many"}}',
        b'{"type": "lost_events", "data": {"events": true}}',
        b'{"type": ["value"], "data": 5}',
        b'{"data": 5}',
        b"[1, 2]",
        b"17",
        b"output of a child of system()",
    ],
)
def test_cut_and_foreign_lines_are_unparsed(line: bytes) -> None:
    record = read_line(line)
    assert isinstance(record, Unparsed)
    assert record.line == line
    assert record.reason


def test_unparsed_keeps_the_beginning_of_a_long_line() -> None:
    record = read_line(b"x" * 10_000)
    assert isinstance(record, Unparsed)
    assert record.line == b"x" * 4096


def test_a_deeply_nested_line_is_unparsed() -> None:
    for start in (b'{"type": "value", "data": ', b'{"type": "other", "data": '):
        record = read(start + b"[" * 20_000)[0]
        assert isinstance(record, Unparsed)


def test_a_map_of_a_megabyte_is_read() -> None:
    entries = ", ".join(f'"{number},process{number}": {number}' for number in range(40_000))
    line = f'{{"type": "map", "data": {{"@big": {{{entries}}}}}}}\n'.encode()
    assert len(line) > 1_000_000
    (record,) = read(line)
    assert isinstance(record, Map)
    assert record.entries[-1] == Entry("39999,process39999", 39999)
