"""One table for each version of bpftrace: what the capture's program printed, as records."""

from __future__ import annotations

import json
from typing import Any

import pytest

from parsers.escapes import to_bytes
from parsers.json_output import JsonDecoder
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
    TimeSeries,
    Unknown,
    Unparsed,
    Value,
)
from parsers.stream import OutputStream
from tests.parsers.feeding import ATTACHED, DATA, captured, read, read_captured, read_line

CAPTURES = sorted(f"{path.parent.name}/{path.stem}" for path in DATA.glob("0.*/*.json"))
OLD, MIDDLE, LATER, NEW = "0.11.3", "0.17.0", "0.23.2", "0.27.1"
ALL = (OLD, MIDDLE, NEW)
# Plain text on stdout: bpftrace's own, and the `no` that a command printed without a newline.
UNREADABLE = {b"No probes to attach", b"no"}


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
    assert not [record for record in records if isinstance(record, Unknown)]


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
    assert scalar("t", "05:41") in read_captured(MIDDLE, "strftime")


def test_values_without_quotes_in_maps_and_tuples() -> None:
    assert read_captured(MIDDLE, "unquoted") == [
        Value([1, "22:13, 23", "x, y", "No such file or directory"]),
        Value("Argument list too long"),
        keyed("e", {"a, b": [1, "22:13:49"]}),
        keyed("k", {"1": "Monday, 23 November", "2": 22}),
        scalar("t", "22:13"),
    ]


@pytest.mark.parametrize(("version", "address"), [(MIDDLE, "6C:6F:00:00:00:00"), (LATER, "00:00:00:00:00:00")])
def test_hardware_addresses_have_no_quotes_either(version: str, address: str) -> None:
    assert read_captured(version, "macaddr") == [
        Value(address),
        Value([1, address, "x"]),
        keyed("k", {address: 1}),
        keyed("m", {"1": address}),
    ]


@pytest.mark.parametrize(
    ("line", "record"),
    [
        (b'{"type": "value", "data": unified:/,cpu:/a b}', Value("unified:/,cpu:/a b")),
        (b'{"type": "value", "data": [1,05:41:19]}', Value([1, "05:41:19"])),
        (b'{"type": "value", "data": ["], [05:41",05:41]}', Value(["], [05:41", "05:41"])),
        (b'{"type": "value", "data": 0xffff888100000000}', Value("0xffff888100000000")),
        (b'{"type": "value", "data": {"p": 05:41, "q": [1,2]}}', Value({"p": "05:41", "q": [1, 2]})),
        (b'{"type": "map", "data": {"@c": {"\\"1\\": ": unified:/,cpu:/, "2": unified:/}}}', None),
    ],
)
def test_values_without_quotes(line: bytes, record: Record | None) -> None:
    expected = record or keyed("c", {'"1": ': "unified:/,cpu:/", "2": "unified:/"})
    assert read_line(line, MIDDLE) == expected


@pytest.mark.parametrize("word", [b"NaN", b"Infinity", b"-Infinity", b"1e999", b"[1,NaN]", b'{"a": Infinity}'])
def test_what_is_no_finite_number_is_unparsed(word: bytes) -> None:
    for kind in (b'{"type": "value", "data": %b}', b'{"type": "map", "data": {"@a": %b}}'):
        assert isinstance(read_line(kind % word), Unparsed)


@pytest.mark.parametrize("number", [2**53 + 1, 2**63 - 1, -(2**63), 2**64 - 1, 2**80, 0])
def test_integers_are_exact(number: int) -> None:
    for line in (b'{"type": "value", "data": [1,%d]}', b'{"type": "value", "data": ["\\u0001",%d]}'):
        record = read_line(line % number)
        assert isinstance(record, Value)
        assert isinstance(record.data, list)
        assert record.data[1] == number
        assert type(record.data[1]) is int
    assert read_line(b'{"type": "map", "data": {"@a": {"x": %d}}}' % number) == keyed("a", {"x": number})


def test_null_is_a_value() -> None:
    assert read_line(b'{"type": "value", "data": null}') == Value(None)
    assert read_line(b'{"type": "map", "data": {"@a": {"x": null}}}') == keyed("a", {"x": None})


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
    assert [value for _, value in maps[""].entries] == [3, 4]
    assert [value for _, value in maps["p"].entries] == [6, 8]
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


@pytest.mark.parametrize("version", [OLD, MIDDLE, LATER, NEW])
def test_hist_without_values(version: str) -> None:
    """After zero(); 0.11 to 0.15 write nothing where the buckets belong."""
    assert read_captured(version, "hist-empty") == [
        Hist("h", ((None, ()),)),
        Hist("k", (("a", ()), ("b", ()))),
        Hist("l", (("a", ()),)),
    ]


@pytest.mark.parametrize("version", [OLD, MIDDLE])
def test_hist_of_large_values_is_open_above_in_old_versions(version: str) -> None:
    """5,000,000,000 and 2**62 are both counted as `{"min": -2147483648, "max": 0, "count": 1}`."""
    scalar_hist, keyed_hist = read_captured(version, "hist-large")
    assert isinstance(scalar_hist, Hist)
    assert scalar_hist.series[0][1][-2:] == (Bucket(2**30, 2**31 - 1, 1), Bucket(2**31, None, 1))
    assert keyed_hist == Hist("k", (("a", (Bucket(2**31, None, 1),)), ("b", (Bucket(2, 3, 1),))))


def test_hist_of_large_values() -> None:
    assert read_captured(LATER, "hist-large") == [
        Hist("h", ((None, (Bucket(2**32, 2**33 - 1, 1),)),)),
        Hist("k", (("a", (Bucket(2**62, 2**63 - 1, 1),)), ("b", (Bucket(2, 3, 1),)))),
    ]
    line = b'{"type": "hist", "data": {"@g": [{"min": 4611686018427387904, "max": "9223372036854775807", "count": 1}]}}'
    assert read_line(line) == Hist("g", ((None, (Bucket(2**62, 2**63 - 1, 1),)),))


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
    assert sorted(to_bytes(key or "") for key, _ in maps["c"].entries) == sorted(WEIRD_COMMS)
    assert sorted(to_bytes(key) for key, _ in maps["h"].series) == sorted(WEIRD_COMMS)
    assert {to_bytes(key or "") for key, _ in maps["m"].entries} == {comm + b",1" for comm in WEIRD_COMMS}


def read_as(version: tuple[int, ...] | None, data: bytes) -> dict[str, Any]:
    stream = OutputStream(version=version)
    return by_name(stream.feed(data) + stream.close())


@pytest.mark.parametrize("version", [None, (0, 23), (0, 22, 1)])
def test_keys_that_are_escaped_twice(version: tuple[int, ...] | None) -> None:
    """0.22 and 0.23: `{"@c": {"nl\\\\nx": 1}}`."""
    maps = read_as(version, captured(LATER, "weird-comm"))
    for name in ("c", "s", "a"):
        assert sorted(to_bytes(key or "") for key, _ in maps[name].entries) == sorted(WEIRD_COMMS)
    assert sorted(to_bytes(key) for key, _ in maps["h"].series) == sorted(WEIRD_COMMS)
    assert {to_bytes(key or "") for key, _ in maps["m"].entries} == {comm + b",1" for comm in WEIRD_COMMS}
    assert maps["last"] == scalar("last", "emoji😀")
    assert maps["t"] == scalar("t", ["emoji😀", "emoji😀"])

    stacks = read_as(version, captured(LATER, "kstack"))
    ((key, _),) = stacks["k"].entries
    assert key is not None
    assert key.split() == ["perf_syscall_enter+397", "syscall_trace_enter+384", "do_syscall_64+506"]
    assert str(stacks["m"].entries[0][0]).endswith("\n,é")
    nested = read_as(version, captured(LATER, "nested-key"))
    assert nested["nk"] == keyed("nk", {'1,[2,"x"\n"]': 7})
    assert nested["s"] == keyed("s", {'"q",1': 2})
    assert nested["x"] == keyed("x", {"1,a\\nb": 3})


LITERAL = b'{"type": "map", "data": {"@f": {"a\\\\nb": 1}}}\n'


@pytest.mark.parametrize("version", [(0, 11), (0, 17), (0, 21, 3), (0, 24), (0, 27, 1)])
def test_keys_are_escaped_once_by_versions_known(version: tuple[int, ...]) -> None:
    for attached in (b"", ATTACHED[NEW if version >= (0, 24) else MIDDLE]):
        assert read_as(version, attached + LITERAL)["f"] == keyed("f", {"a\\nb": 1})


@pytest.mark.parametrize(
    "proof",
    [
        b'{"type": "map", "data": {"@": {"dev-disk\\\\x2dby": 1}}}\n',
        b'{"type": "map", "data": {"@": {"back\\\\slash": 1, "a\\nb": 1}}}\n',
        b'{"type": "hist", "data": {"@": {"q\\"uo\\\\te": []}}}\n',
        b'{"type": "stats", "data": {"@": {"\\\\n\\uffffffc3\\uffffffa9": 1}}}\n',
        ATTACHED[NEW],
    ],
)
def test_keys_are_escaped_once_where_a_key_shows_it(proof: bytes) -> None:
    assert read_as(None, proof + LITERAL)["f"] == keyed("f", {"a\\nb": 1})
    assert read_as(None, LITERAL)["f"] == keyed("f", {"a\nb": 1})
    assert read_as(None, proof + ATTACHED[LATER] + LITERAL)["f"] == keyed("f", {"a\nb": 1})


def test_hostile_process_names_do_not_change_counts_of_new_versions() -> None:
    maps = by_name(read_captured(NEW, "weird-comm"))
    assert {count for _, buckets in maps["h"].series for count in buckets} == {Bucket(8, 15, 1)}
    assert {value for _, value in maps["m"].entries} == {2}


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


def test_everything_else_that_turns_hexadecimal() -> None:
    """0.27, after an escape: `"value":1e`, `"value":ffffffffffffffec`, and `"events": 30bda` for 199,642."""
    start = "2026-11-23 22:13:51.000000000"
    records = read_captured(NEW, "sticky-hex-others")
    assert records[1:] == [
        Hist("h", ((None, (Bucket(4, 7, 1),)),)),
        TimeSeries("k", (("ab,1", ((start, 30),)),)),
        Stats("s", (Entry(None, {"count": 1, "average": 30, "total": 30}),)),
        TimeSeries("t", ((None, ((start, -20),)),)),
    ]
    lost = [record.count for record in read_captured(NEW, "sticky-hex-lost") if isinstance(record, LostEvents)]
    assert lost[:4] == [0x7B3, 0xD35D, 0x2E1B, 0x30BDA]


@pytest.mark.parametrize(
    ("line", "decimal", "hexadecimal"),
    [
        (TEN, Hist("h", ((None, (Bucket(4, 7, 10),)),)), Hist("h", ((None, (Bucket(4, 7, 16),)),))),
        (b'{"type": "lost_events", "count": 10, "data": {"events": 10}}\n', LostEvents(10), LostEvents(16)),
        (
            b'{"type": "tseries", "data": {"@t": [{"interval_start":"s","value":10}]}}\n',
            TimeSeries("t", ((None, (("s", 10),)),)),
            TimeSeries("t", ((None, (("s", 16),)),)),
        ),
    ],
)
def test_numbers_that_are_valid_either_way(line: bytes, decimal: Record, hexadecimal: Record) -> None:
    assert read(ATTACHED[NEW] + line)[-1] == decimal
    assert read(ATTACHED[NEW] + ESCAPE + line)[-1] == hexadecimal


C = b'{"type": "hist", "data": {"@h": [{"min": 4, "max": 7, "count": c}]}}\n'


def test_a_hexadecimal_word_proves_a_stream_whose_beginning_is_unseen() -> None:
    """bpftrace -q says nothing of probes, and a capture may begin anywhere."""
    twelve, ten, sixteen = (Hist("h", ((None, (Bucket(4, 7, count),)),)) for count in (12, 10, 16))
    assert read(C + TEN) == [twelve, sixteen]
    assert read(TEN + C + TEN) == [ten, twelve, sixteen]
    assert read(ATTACHED[NEW] + TEN + C + TEN)[1:] == [ten, twelve, sixteen]
    assert read_captured(NEW, "quiet-sticky-hex")[-2:] == [
        Hist("h", (("é", (Bucket(8, 15, 12),)),)),
        Hist("l", ((None, (Bucket(3, 3, 12),)),)),
    ]


@pytest.mark.parametrize("version", [MIDDLE, LATER])
def test_a_hexadecimal_word_is_nothing_that_old_versions_write(version: str) -> None:
    _, broken, hist = read(ATTACHED[version] + C + TEN)
    assert isinstance(broken, Unparsed)
    assert hist == Hist("h", ((None, (Bucket(4, 7, 10),)),))


@pytest.mark.parametrize(("comma", "count"), [(b",", 16), (b", ", 10)])
def test_a_stream_whose_beginning_is_unseen_is_known_by_its_commas(comma: bytes, count: int) -> None:
    """0.24 and later write `},{` between buckets, 0.23 `}, {`."""
    buckets = comma.join([b'{"max": -1, "count": 10}', b'{"min": 0, "max": 0, "count": 10}'])
    record = read(ESCAPE + b'{"type": "hist", "data": {"@h": [' + buckets + b"]}}\n" + TEN)[-1]
    assert record == Hist("h", ((None, (Bucket(4, 7, count),)),))


def test_hist_counts_that_turn_inside_the_first_line_seen() -> None:
    line = (
        b'{"type": "hist", "data": {"@h": {"a": [{"min": 4, "max": 7, "count": 10}], '
        b'"b\\u0001": [{"min": 4, "max": 7, "count": c}]}}}\n'
    )
    assert read(line) == [Hist("h", (("a", (Bucket(4, 7, 10),)), ("b\x01", (Bucket(4, 7, 12),))))]


@pytest.mark.parametrize(
    "foreign", [b'a line of another program\\u0041"\n', b'{"type": "printf", "data": \\u0041}\n', b"hello \\u0041 "]
)
def test_hist_counts_stay_decimal_for_an_escape_that_is_not_bpftraces(foreign: bytes) -> None:
    assert read(ATTACHED[NEW] + foreign + TEN)[-1] == Hist("h", ((None, (Bucket(4, 7, 10),)),))


def test_hist_counts_begin_anew_with_a_new_bpftrace() -> None:
    assert read(ATTACHED[NEW] + ESCAPE + ATTACHED[NEW] + TEN)[-1] == Hist("h", ((None, (Bucket(4, 7, 10),)),))


def test_other_numbers_stay_decimal_after_an_escape() -> None:
    lines = b'{"type": "map", "data": {"@c": {"a": 10}}}\n{"type": "value", "data": [10,"x"]}\n'
    assert read(ATTACHED[NEW] + ESCAPE + lines)[-2:] == [keyed("c", {"a": 10}), Value([10, "x"])]


def test_lost_events() -> None:
    assert LostEvents(125940) in read_captured(NEW, "lost-events")
    assert read_line(b'{"type": "lost_events", "data": {"events": 3}}', MIDDLE) == LostEvents(3)


def test_helper_error_has_three_shapes() -> None:
    assert read_captured(MIDDLE, "helper-error")[0] == Problem("helper_error", "map_delete_elem returned -2 at 1:33")
    assert read_captured(LATER, "helper-error")[0] == Problem(
        "helper_error",
        "map_delete_elem returned -2: Can't delete map element because it does not exist. at 1:22",
    )
    problems = [record for record in read_captured(NEW, "map-full") if isinstance(record, Problem)]
    assert problems == [
        Problem("helper_error", f"map_update_elem returned -7: Argument list too long at map-full.bt:1:{column}")
        for column in (31, 42, 89, 104)
    ]


def test_tseries() -> None:
    starts = [f"2026-11-23 06:14:{second}00000000" for second in ("50.2", "50.5", "50.7", "51.0")]
    assert read_captured(NEW, "tseries") == [
        TimeSeries("k", (("a", (("2026-11-23 06:14:50.000000000", 3),)),)),
        scalar("n", 4),
        TimeSeries("t", ((None, tuple((start, 7) for start in starts)),)),
    ]


@pytest.mark.parametrize(
    ("data", "series"),
    [
        (b"[]", ((None, ()),)),
        (b'{"a": [], "b": [{"interval_start":"s","value":-1}]}', (("a", ()), ("b", (("s", -1),)))),
        (b'[{"interval_start":"s","value":"9007199254740993"}]', ((None, (("s", 9007199254740993),)),)),
        # 0.24: no quotes, no commas between, null where nothing came.
        (
            b'[{"interval_start":2025-07-18 12:34:56.200000000,"value":7}'
            b'{"interval_start":2025-07-18 12:34:56.300000000,"value":null}'
            b'{"interval_start":2025-07-18 12:34:56.400000000,"value":-8}]',
            ((None, (("2025-07-18 12:34:56.200000000", 7), ("2025-07-18 12:34:56.400000000", -8))),),
        ),
    ],
)
def test_tseries_of_every_shape(data: bytes, series: Any) -> None:
    assert read_line(b'{"type": "tseries", "data": {"@t": %b}}' % data) == TimeSeries("t", series)


@pytest.mark.parametrize("version", [OLD, MIDDLE, LATER])
def test_a_record_behind_the_output_of_a_command(version: str) -> None:
    """-c /usr/bin/printf: `no{"type": "value", "data": 1}`."""
    _, foreign, first, second = read(captured(version, "command-output"))
    assert foreign == Unparsed(b"no", "not bpftrace's own")
    assert [first, second] == [Value(1), Value([2, "x"])]


def test_attached_probes_behind_the_output_of_a_command() -> None:
    assert read(captured(NEW, "command-output")) == [
        Unparsed(b"no", "not bpftrace's own"),
        AttachedProbes(3),
        Value(1),
        Value([2, "x"]),
    ]


ONE, TWO = b'{"type": "value", "data": [1,"}{\\\\"]}', b'{"type": "map", "data": {"@a": 2}}'
FIRST, SECOND = Value([1, "}{\\"]), scalar("a", 2)


def foreign(text: bytes) -> Unparsed:
    return Unparsed(text, "not bpftrace's own")


@pytest.mark.parametrize(
    ("line", "records"),
    [
        (ONE + TWO, [FIRST, SECOND]),
        (ONE + b"  " + TWO + b" ", [FIRST, SECOND]),
        (ONE + b"rest", [FIRST, foreign(b"rest")]),
        (b"result: " + ONE, [foreign(b"result: "), FIRST]),
        (b'a "quote ' + ONE + b'"' + TWO + b"}", [foreign(b'a "quote '), FIRST, foreign(b'"'), SECOND, foreign(b"}")]),
        (ONE[:-9] + TWO, [foreign(ONE[:-9]), SECOND]),
        (ONE[:-9] + TWO + b", " + ONE, [foreign(ONE[:-9]), SECOND, foreign(b", "), FIRST]),
        (b'{"type": "' + ONE, [foreign(b'{"type": "'), FIRST]),
        (b'x{"type": "value", "data": {"type": "map"}}', [foreign(b"x"), Value({"type": "map"})]),
        (b'x{"type": "value", "data": 05:41}', [foreign(b"x"), Value("05:41")]),
        (b"\xff\x00\x1b[1m" + TWO, [foreign(b"\xff\x00\x1b[1m"), SECOND]),
    ],
)
def test_records_on_a_line_with_other_text(line: bytes, records: list[Record]) -> None:
    assert read(line + b"\n") == records


@pytest.mark.parametrize(
    "line",
    [
        # Cut lines: the struct inside is not a record of its own.
        b'{"type": "value", "data": [1,{"type": "value", "data": 5}',
        b'{"type": "map", "data": {"@a": {"type": "value", "data": 5}',
        b'{"type": "map", "data": {"@a": {"k": [ {"type": "value", "data": 5}',
        # A program that writes JSON of its own.
        b'INFO {"type": "request", "data": 5}',
        b'INFO {"type": "printf", "data": 5}',
    ],
)
def test_no_record_is_made_of_a_part(line: bytes) -> None:
    record = read_line(line)
    assert isinstance(record, Unparsed)
    assert record.line == line


def test_records_of_every_shape_without_data() -> None:
    """Builds before 0.24.0 wrote a count only."""
    assert read_line(b'{"type": "attached_probes", "count": 2}') == AttachedProbes(2)
    assert read_line(b'{"type": "lost_events", "count": 7}') == LostEvents(7)
    for kind in (b"value", b"map", b"hist", b"stats", b"tseries", b"printf", b"attached_probes", b"lost_events"):
        assert isinstance(read_line(b'{"type": "%b"}' % kind), Unparsed)


def test_decode_reads_a_line_as_one_record() -> None:
    decoder = JsonDecoder()
    assert decoder.decode(ONE) == FIRST
    assert decoder.decode(b" \t") is None
    assert isinstance(decoder.decode(b"no" + ONE), Unparsed)
    assert decoder.decode_all(b"") == []


def test_errorf_and_warnf() -> None:
    assert read_captured(NEW, "errorf-warnf") == [Problem("errorf", "bad 5"), Problem("warnf", "careful x\n")]


def test_runtime_error() -> None:
    error, _, helper, *_ = read_captured(NEW, "runtime-error")
    why = "Divide or modulo by 0 detected. This can lead to unexpected results. 1 is being used as the result."
    assert error == Problem("runtime_error", f"{why} at runtime-error.bt:1:34")
    assert helper == Problem("helper_error", "map_lookup_elem returned 0: Success at runtime-error.bt:1:49")


def test_unknown_type_is_kept() -> None:
    record = read_line(b'{"type": "tomorrow", "data": {"@x": [1, {"a": 2}]}, "n": 3}')
    assert record == Unknown("tomorrow", {"data": {"@x": [1, {"a": 2}]}, "n": 3})
    record = read_line(b'{"type": "benchmark_result", "data": {"bench:a": {"average": 5, "iters": 10}}}')
    assert record == Unknown("benchmark_result", {"data": {"bench:a": {"average": 5, "iters": 10}}})


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
        b'{"type": "lost_events", "data": {"events": "1_0"}}',
        b'{"type": "lost_events", "data": {"events": 1.5}}',
        b'{"type": "lost_events", "data": [["events", 1]]}',
        b'{"type": "map", "data": [["@a", 1]]}',
        b'{"type": "map", "data": {"@a": 1, "@a": 2}}',
        b'{"type": "hist", "data": {"@h": [[["count", 1]]]}}',
        b'{"type": "tseries", "data": {"@t": [{"value": 1}]}}',
        b'{"type": "helper_error"}',
        b'{"type": "runtime_error"}',
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


@pytest.mark.parametrize("depth", [60, 70, 500, 5_000, 100_000])
@pytest.mark.parametrize("bracket", [(b"[", b"]"), (b'{"a": ', b"}")])
def test_a_deeply_nested_line_is_unparsed(depth: int, bracket: tuple[bytes, bytes]) -> None:
    for start in (b'{"type": "value", "data": ', b'{"type": "other", "data": ', b'{"type": "map", "data": {"@a": '):
        opened = start + bracket[0] * depth
        closed = opened + b"1" + bracket[1] * depth + (b"}}" if b"map" in start else b"}")
        stream = OutputStream()
        cut, whole = stream.feed(opened + b"\n" + closed + b"\n")
        assert isinstance(cut, Unparsed)
        assert isinstance(whole, Unparsed) == (depth > 60)


def test_a_map_of_a_megabyte_is_read() -> None:
    entries = ", ".join(f'"{number},process{number}": {number}' for number in range(40_000))
    line = f'{{"type": "map", "data": {{"@big": {{{entries}}}}}}}\n'.encode()
    assert len(line) > 1_000_000
    (record,) = read(line)
    assert isinstance(record, Map)
    assert record.entries[-1] == Entry("39999,process39999", 39999)


def test_a_key_of_a_megabyte_is_read() -> None:
    key = 'a, "b": \n\\' * 100_000
    assert read_as((0, 17), b'{"type": "map", "data": {"@m": {%b: 1}}}' % json.dumps(key).encode())["m"] == keyed(
        "m", {key: 1}
    )
