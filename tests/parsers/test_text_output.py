"""Lines as bpftrace 0.11, 0.17 and 0.27 print them, blanks at their ends included, and the records that they are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    TimeSeries,
    Unparsed,
)
from parsers.text_output import TextDecoder

FULL = "|@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@|"
HALF = "|@@@@@@@@@@@@@@@@@@@@@@@@@@                          |"
NONE = "|                                                    |"


def read(data: bytes) -> list[Record]:
    *lines, rest = data.split(b"\n")
    decoder = TextDecoder()
    return [record for line in lines for record in decoder.feed(line)] + decoder.close(rest)


def read_lines(*lines: str) -> list[Record]:
    return read("".join(line + "\n" for line in lines).encode("utf-8", "surrogateescape"))


def scalar(name: str, value: Data) -> Map:
    return Map(name, (Entry(None, value),), ", ")


def keyed(name: str, *entries: tuple[str, Any]) -> Map:
    return Map(name, tuple(Entry(key, value) for key, value in entries), ", ")


def stats(name: str, *entries: tuple[str | None, int, int, int]) -> Stats:
    def entry(key: str | None, count: int, average: int, total: int) -> Entry:
        return Entry(key, {"count": count, "average": average, "total": total})

    return Stats(name, tuple(entry(*values) for values in entries), ", ")


def hist(name: str, *series: tuple[str | None, list[tuple[int | None, int | None, int]]]) -> Hist:
    return Hist(name, tuple((key, tuple(Bucket(*bucket) for bucket in buckets)) for key, buckets in series), ", ")


def text(line: str) -> Text:
    return Text("printf", line + "\n")


@pytest.mark.parametrize(
    ("line", "record"),
    [
        ("Attaching 1 probe...", AttachedProbes(1)),
        ("Attaching 12 probes...", AttachedProbes(12)),
        ("Attached 1 probe", AttachedProbes(1)),
        ("Attached 10 probes", AttachedProbes(10)),
        ("Lost 174926 events", LostEvents(174926)),
        ("WARNING: Could not read functions from ...", Problem("warning", "Could not read functions from ...")),
        ("ERROR: No matches for kprobe vfs_read.", Problem("error", "No matches for kprobe vfs_read.")),
        ("Attaching BPF to ...", text("Attaching BPF to ...")),
        ("TIME      PID    COMMAND", text("TIME      PID    COMMAND")),
        (
            "07:23:03  27923  getent                0 localhost",
            text("07:23:03  27923  getent                0 localhost"),
        ),
        ("(a,b, 1)", text("(a,b, 1)")),
        ("[5]                    1 " + FULL, text("[5]                    1 " + FULL)),
        ("        do_syscall_64+506", text("        do_syscall_64+506")),
        ("@nobody wants this", text("@nobody wants this")),
        ("@@@@", text("@@@@")),
        ("@", text("@")),
        ("\udcff\udcfe\udc80bad", text("\udcff\udcfe\udc80bad")),
    ],
)
def test_lines_that_stand_alone(line: str, record: Record) -> None:
    assert read_lines(line) == [record]


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("@: 5", 5),
        ("@: -9223372036854775807", -(2**63) + 1),
        ("@: 18446744073709551615", 2**64 - 1),
        ("@: 0", 0),
        ("@: 007", "007"),
        ("@: -", "-"),
        ("@: true", True),
        ("@: false", False),
        ("@: hi", "hi"),
        ("@:  lead trail ", " lead trail "),
        ("@: 0x7fff3d106900", "0x7fff3d106900"),
        ("@: fevent", "fevent"),
        ("@: 127.0.0.1", "127.0.0.1"),
        ("@: 05:41", "05:41"),
        ('@: \\x01\\x02AB\\xff\\x00z\\x0a"\\', '\\x01\\x02AB\\xff\\x00z\\x0a"\\'),
        ("@: (1, two, (3, four))", [1, "two", [3, "four"]]),
        ("@: (a,b, 1)", ["a,b", 1]),
        ("@: ( lead trail , 1)", [" lead trail ", 1]),
        ("@: ((par), 1)", ["(par)", 1]),
        ("@: ([x]: 1, 1)", ["[x]: 1", 1]),
        ("@: (, true)", ["", True]),
        ("@: (par)", "(par)"),
        ("@: (1, 2", "(1, 2"),
        ("@: [1,-2,3]", [1, -2, 3]),
        ("@: [true,0x10,[1,2]]", [True, "0x10", [1, 2]]),
        ("@: [x]", "[x]"),
        ("@: { .p = 7, .mac = [222,173,190,239,0,1] }", {"p": 7, "mac": [222, 173, 190, 239, 0, 1]}),
        (
            '@: { .x = -3, .name = na"me,\x01é, .bar = { .p = 7, .mac = [1,2] }, .next = 0x7fff3d106900, .t = (1, a) }',
            {"x": -3, "name": 'na"me,\x01é', "bar": {"p": 7, "mac": [1, 2]}, "next": "0x7fff3d106900", "t": [1, "a"]},
        ),
        ('@: {"a":1}', '{"a":1}'),
        ("@: {not: (a, struct", "{not: (a, struct"),
    ],
)
def test_values(line: str, value: Data) -> None:
    assert read_lines(line) == [scalar("", value)]
    (record,) = read_lines(line.replace("@", "@c[k, 1]", 1))
    assert record == keyed("c", ("k, 1", value))
    assert isinstance(record, Map)
    assert type(record.entries[0][1]) is type(value)


@pytest.mark.parametrize(
    ("line", "key", "value"),
    [
        ("@c[]: 3", "", 3),
        ("@c[-2]: 20", "-2", 20),
        ("@c[bpftrace, true, -7]: 1", "bpftrace, true, -7", 1),
        ("@c[1, (2, x)]: 7", "1, (2, x)", 7),
        ("@c[[x]: 1]: 1", "[x]: 1", 1),
        ("@c[[x]: 1, 1]: 2", "[x]: 1, 1", 2),
        ("@c[k]: [x]: y", "k", "[x]: y"),
        ("@c[ lead trail ]: 1", " lead trail ", 1),
        ("@c[<frozen _collections_abc>, <lambda>]: 1", "<frozen _collections_abc>, <lambda>", 1),
        ("@c[\udcff\udcfe\udc80bad]: 1", "\udcff\udcfe\udc80bad", 1),
        ("@c[tab\tcr\r]: 1", "tab\tcr\r", 1),
        ("@c[nl\nx]: 1", "nl\nx", 1),
        ("@backlog[backlog limit]: histogram of backlog size", "backlog limit", "histogram of backlog size"),
    ],
)
def test_keys_are_kept_as_printed(line: str, key: str, value: Data) -> None:
    assert read_lines(line) == [keyed(line[1 : line.index("[")], (key, value))]


def test_entries_of_a_map_are_one_record() -> None:
    assert read_lines("@a: 1", "@c[x]: 1", "@c[y]: 2", "@d[x]: 1", "text", "@d[y]: 1", "", "@d[z]: 1", "") == [
        scalar("a", 1),
        keyed("c", ("x", 1), ("y", 2)),
        keyed("d", ("x", 1)),
        text("text"),
        keyed("d", ("y", 1)),
        keyed("d", ("z", 1)),
    ]


def test_a_map_that_is_printed_again_is_another_record() -> None:
    assert read_lines("@: 2", "@: 3") == [scalar("", 2), scalar("", 3)]
    assert read_lines("@[1]: 2", "@[1]: 3", "@[1]: 2") == [keyed("", ("1", count)) for count in (2, 3, 2)]
    assert read_lines("@x[1]: 10", "@x[2]: 20", "@x[3]: 30", "@x[2]: 20", "@x[3]: 30") == [
        keyed("x", ("1", 10), ("2", 20), ("3", 30)),
        keyed("x", ("2", 20), ("3", 30)),
    ]


def test_a_stack_that_two_processes_share_is_twice_in_one_record() -> None:
    stack = ("@[", "        fevent+0", "        level1+9")
    key = "\n        fevent+0\n        level1+9\n"
    assert read_lines(*stack, "]: 3", *stack, "]: 4", *stack, "]: 1") == [
        keyed("", (key, 3), (key, 4)),
        keyed("", (key, 1)),
    ]


def test_values_without_a_newline_between_them() -> None:
    line = "@func_ssl[23826]: 0x7f9c0f193430@func_ssl[23840]: 0x7f90f738e430"
    assert read_lines(line) == [keyed("func_ssl", ("23826", "0x7f9c0f193430"), ("23840", "0x7f90f738e430"))]
    assert read_lines("@[1]: ::@[2]: 127.0.0.1") == [keyed("", ("1", "::"), ("2", "127.0.0.1"))]
    assert read_lines("@s[1]: see @s[2]") == [keyed("s", ("1", "see @s[2]"))]


@pytest.mark.parametrize(
    ("lines", "record"),
    [
        (["@st: count 2, average -7, total -15", ""], stats("st", (None, 2, -7, -15))),
        (["@st: { .count = 2, .average = 7, .total = 15 }"], stats("st", (None, 2, 7, 15))),
        (
            ["@sk[a]: count 1, average 3, total 3", "@sk[b c]: count 2, average 9, total 19", ""],
            stats("sk", ("a", 1, 3, 3), ("b c", 2, 9, 19)),
        ),
        (
            ["@sk[a]: { .count = 1, .average = 3, .total = 3 }", "@sk[b]: { .count = 2, .average = 9, .total = 19 }"],
            stats("sk", ("a", 1, 3, 3), ("b", 2, 9, 19)),
        ),
        (["@s: { .count = 2, .average = x, .total = 15 }"], scalar("s", {"count": 2, "average": "x", "total": 15})),
        (["@s: count me"], scalar("s", "count me")),
    ],
)
def test_stats(lines: list[str], record: Record) -> None:
    assert read_lines(*lines) == [record]


@pytest.mark.parametrize(
    ("label", "low", "high"),
    [
        ("(..., 0)", None, -1),
        ("[0]", 0, 0),
        ("[1]", 1, 1),
        ("[2, 4)", 2, 3),
        ("[5, 6)", 5, 5),
        ("[10, ...)", 10, None),
        ("[1000, ...)", 1000, None),
        ("[-10, -8)", -10, -9),
        ("(..., -1K)", None, -1025),
        ("[512, 1K)", 512, 2**10 - 1),
        ("[512K, 1M)", 2**19, 2**20 - 1),
        ("[3K, 4K)", 3 * 2**10, 2**12 - 1),
        ("[512M, 1G)", 2**29, 2**30 - 1),
        ("[512G, 1T)", 2**39, 2**40 - 1),
        ("[512T, 1P)", 2**49, 2**50 - 1),
        ("[512P, 1E)", 2**59, 2**60 - 1),
        ("[4E, 8E)", 2**62, 2**63 - 1),
        ("[1048576T, 2097152T)", 2**60, 2**61 - 1),  # up to 0.20
    ],
)
def test_buckets(label: str, low: int | None, high: int | None) -> None:
    for header in ("@h: ", "@h:"):
        bar = f"{label:<16}{7:>8} {HALF}"
        assert read_lines(header, bar, "") == [hist("h", (None, [(low, high, 7)]))]


def test_hist_of_several_keys_is_one_record() -> None:
    for blank in (" ", ""):
        assert read_lines(
            "@h:" + blank,
            "[4, 8)                 1 " + FULL,
            "[8, 16)                0 " + NONE,
            "[16, 32)               1 " + FULL,
            "",
            "@hk[a]:" + blank,
            "[4, 8)                 1 " + FULL,
            "",
            "@hk[b c]:" + blank,
            "[4, 8)                 1 " + HALF,
            "[8, 16)                2 " + FULL,
            "",
            "@n: 1",
        ) == [
            hist("h", (None, [(4, 7, 1), (8, 15, 0), (16, 31, 1)])),
            hist("hk", ("a", [(4, 7, 1)]), ("b c", [(4, 7, 1), (8, 15, 2)])),
            scalar("n", 1),
        ]


def test_hist_that_is_printed_again_is_another_record() -> None:
    bar = "[4, 8)                 2 " + FULL
    assert read_lines("@: ", bar, "", "@: ", bar, "", "", "", "@: ", bar, "") == [hist("", (None, [(4, 7, 2)]))] * 3
    assert read_lines("@h[k]:", bar, "", "@h[k]:", bar, "") == [hist("h", ("k", [(4, 7, 2)]))] * 2
    assert read_lines("@h[k]:", bar, "", "", "", "@h[l]:", bar, "") == [
        hist("h", ("k", [(4, 7, 2)])),
        hist("h", ("l", [(4, 7, 2)])),
    ]


def test_hist_without_buckets_has_no_blank_in_its_header() -> None:
    assert read_lines("@h:", "", "@n: 1") == [hist("h", (None, [])), scalar("n", 1)]


def test_hist_with_a_stack_in_its_key() -> None:
    lines = [
        "@usecs[",
        "        blk_account_io_start+329",
        "        __submit_bio+161",
        "]:",
        "[8K, 16K)  21 " + FULL,
        "",
    ]
    key = "\n        blk_account_io_start+329\n        __submit_bio+161\n"
    assert read_lines(*lines) == [hist("usecs", (key, [(8192, 16383, 21)]))]


@pytest.mark.parametrize(
    ("lines", "key"),
    [
        (["@[", "    spinny+42", "    main+430", "]: 5"], "\n    spinny+42\n    main+430\n"),
        (["@[", "        spinny+42", "]: 5"], "\n        spinny+42\n"),
        (["@[", "\tffffffff814b2b2d perf_syscall_enter+397", "]: 5"], "\n\tffffffff814b2b2d perf_syscall_enter+397\n"),
        (["@[", "55b60150d169", "]: 5"], "\n55b60150d169\n"),
        (["@[", "    level1+9", ", a,b]: 5"], "\n    level1+9\n, a,b"),
        (["@[, ", "    0x7f95dd216a80", ", python3, 1]: 5"], ", \n    0x7f95dd216a80\n, python3, 1"),
        (["@[", ", ", "        0x7f67920dea80", ", x, true]: 5"], "\n, \n        0x7f67920dea80\n, x, true"),
        (["@[", "    std::map<int, A>::operator[](int)+5", "]: 5"], "\n    std::map<int, A>::operator[](int)+5\n"),
        (["@[", *["    f+1"] * 500, "]: 5"], "\n" + "    f+1\n" * 500),
    ],
)
def test_keys_of_several_lines(lines: list[str], key: str) -> None:
    assert read_lines(*lines, "@n: 1") == [keyed("", (key, 5)), scalar("n", 1)]


def test_what_only_begins_as_a_key_is_text() -> None:
    assert read_lines("@ab[c", "more", "@n: 1") == [text("@ab[c"), text("more"), scalar("n", 1)]
    lines = ["@ab[c", *["more"] * 100]
    assert read_lines(*lines) == [text(line) for line in lines]


def test_stacks_as_values() -> None:
    frames = ["        perf_syscall_enter+397", "        syscall_trace_enter+384"]
    stack = "\n        perf_syscall_enter+397\n        syscall_trace_enter+384\n"
    assert read_lines("@v: ", *frames, "", "@w: 1") == [scalar("v", stack), scalar("w", 1)]
    perf = ["@v: ", "\t55d7a59a5169 fevent+0 (/opt/demo/bin/tgt)", ""]
    assert read_lines(*perf) == [scalar("v", "\n\t55d7a59a5169 fevent+0 (/opt/demo/bin/tgt)\n")]
    for blank in ([], [""]):  # before 0.24, and since
        assert read_lines("@v[1]: ", *frames, *blank, "@v[2]: ", *frames, "") == [
            keyed("v", ("1", stack), ("2", stack))
        ]


def test_empty_strings() -> None:
    assert read_lines("@empty: ", "@n: 1") == [scalar("empty", ""), scalar("n", 1)]
    assert read_lines("@s[1]: ", "@s[2]: x", "") == [keyed("s", ("1", ""), ("2", "x"))]


def test_tseries() -> None:
    assert read_lines(
        "@k[a]:",
        "                   2                                                   4",
        "hh:mm:ss.ns        |___________________________________________________|",
        "06:14:51.000000000 |                         *                         | 3",
        "                   v___________________________________________________v",
        "                   2                                                   4",
        "",
        "@n: 4",
        "@t:",
        "             -6                                                  8",
        "hh:mm:ss.ms  |___________________________________________________|",
        "06:14:51.600 *                      .                            | -6",
        "06:14:51.700 |                      .                            | -",
        "06:14:51.900 |                      .                            * 8",
        "             v___________________________________________________v",
        "             -6                                                  8",
        "",
        "@none:",
        "<no data>",
        "text",
    ) == [
        TimeSeries("k", (("a", (("06:14:51.000000000", 3),)),), ", "),
        scalar("n", 4),
        TimeSeries("t", ((None, (("06:14:51.600", -6), ("06:14:51.900", 8))),), ", "),
        TimeSeries("none", ((None, ()),), ", "),
        text("text"),
    ]


def test_echo_of_the_terminal_and_its_line_ends() -> None:
    bars = ["@h: ", "[4, 8)  1 |@|", ""]
    lines = ["Attaching 1 probe...", "x", "^C", "", *bars, "@[", "    f+1", "]: 5", "^C^C@c: 5", "^C"]
    assert read_lines(*(line + "\r" for line in lines)) == [
        AttachedProbes(1),
        text("x"),
        hist("h", (None, [(4, 7, 1)])),
        keyed("", ("\n    f+1\n", 5)),
        scalar("c", 5),
    ]
    assert read(b"^Cnot an echo\n") == [text("^Cnot an echo")]


def test_notices_of_the_compiler_are_text() -> None:
    lines = ["stdin:1:77-85: WARNING: Failed to probe_read_str: Bad address (-14)", "BEGIN { @a[1] = 1; }", "   ~~~~~"]
    assert read_lines(*lines) == [text(line) for line in lines]


def test_records_come_out_as_soon_as_they_are_complete() -> None:
    decoder = TextDecoder()
    assert decoder.feed(b"text") == [text("text")]
    assert decoder.feed(b"@a: 1") == [scalar("a", 1)]
    assert decoder.feed(b"@c[1]: 1") == []
    assert decoder.feed(b"@c[2]: 2") == []
    assert decoder.feed(b"") == [keyed("c", ("1", 1), ("2", 2))]
    assert decoder.feed(b"@h: ") == []
    assert decoder.feed(b"[4, 8)                 1 " + FULL.encode()) == []
    assert decoder.feed(b"") == [hist("h", (None, [(4, 7, 1)]))]
    assert decoder.close() == []


@pytest.mark.parametrize(
    ("data", "records"),
    [
        ("text", [Text("printf", "text")]),
        ("@c: 12", [Unparsed(b"@c: 12", "cut off at its end")]),
        ("@", [Unparsed(b"@", "cut off at its end")]),
        ("@c[1]: 1\n@c[2]: 12", [keyed("c", ("1", 1)), Unparsed(b"@c[2]: 12", "cut off at its end")]),
        ("@h: \n", [Unparsed(b"@h: ", "cut off at its end")]),
        ("@[\n    f+1\n    g+", [Unparsed(b"@[\n    f+1\n    g+", "cut off at its end")]),
        ("@v: \n        f+1\n", [Unparsed(b"@v: \n        f+1", "cut off at its end")]),
        ("@h: \n[1]  5 |@|\n[2, 4)  1", [hist("h", (None, [(1, 1, 5)])), Unparsed(b"[2, 4)  1", "cut off at its end")]),
        ("@h: \n[1]  5 |@|\n", [hist("h", (None, [(1, 1, 5)]))]),
        ("@user: nobody wants this, but", [Unparsed(b"@user: nobody wants this, but", "cut off at its end")]),
    ],
)
def test_the_end_is_missing(data: str, records: list[Record]) -> None:
    assert read(data.encode()) == records


SAMPLE = f"""\
Attaching 2 probes...
é 07:23:03 getent
@c[a, 1]: 512
@c[b, 22]: 1024
@m[
    level1+9
    main+383
, a,b]: 17
@nl[n
l]: 12

@t: (12, two, (34, four))
@s: {{ .count = 12, .average = 34, .total = 408 }}
@h:\x20
(..., 0)              12 {FULL}
[512, 1K)              1 {HALF}

@h2[k]:
[0]                   12 {FULL}
[1]                   34 {HALF}

@h2[l]:
[10, ...)             56 {FULL}

@ts:
             6                                                   8
hh:mm:ss.ms  |___________________________________________________|
06:14:51.600 |                         *                         | 72
06:14:51.700 |                                                   | -
06:14:51.900 |                         *                         | 73
             v___________________________________________________v
             6                                                   8

@v:\x20
        level1+9
        main+383

@f[1]: 0x7f90@f[2]: 0x7f91
^C@e:\x20
@last: 1234
Lost 123 events
""".encode()


def parts(records: list[Record]) -> Iterator[Any]:
    """Each entry, bucket and point with where it belongs, and every other record."""
    for record in records:
        if isinstance(record, (Map, Stats)):
            yield from ((type(record), record.name, entry) for entry in record.entries)
        elif isinstance(record, (Hist, TimeSeries)):
            yield from ((type(record), record.name, key, value) for key, values in record.series for value in values)
        else:
            yield record


def is_cut(record: Any) -> bool:
    return isinstance(record, Unparsed) or (isinstance(record, Text) and not record.text.endswith("\n"))


def test_a_cut_at_any_byte_invents_nothing() -> None:
    whole = list(parts(read(SAMPLE)))
    assert len(whole) == 21
    assert not any(map(is_cut, whole))
    for end in range(len(SAMPLE)):
        found = list(parts(read(SAMPLE[:end])))
        if found and is_cut(found[-1]):
            found.pop()
        assert found == whole[: len(found)]


hostile = st.lists(
    st.one_of(
        st.binary(max_size=20),
        st.sampled_from(
            [line + b"\n" for line in SAMPLE.splitlines()]
            + [b"@", b"@a", b"[", b"]", b"]: ", b":", b": ", b", ", b"(", b")", b"{ .a = ", b" }", b"\n", b"\r", b"^C"]
            + [b"@x[1]: ", b"1", b"-1", b"1K", b" |", b"@@|", b"    f+1\n", b"\t", b"\0", b"\xff", b"count 1, average "]
        ),
    ),
    max_size=30,
).map(b"".join)


@given(hostile)
def test_no_bytes_raise_and_none_of_the_text_is_lost(data: bytes) -> None:
    for record in read(data):
        if isinstance(record, Text):
            assert to_bytes(record.text.rstrip("\n")) in data


@pytest.mark.parametrize(
    "line",
    [
        b"@" * 100_000,
        b"(" * 100_000,
        b"@x: " + b"(" * 100_000,
        b"@x: " + b"(" * 8_000 + b")" * 8_000,
        b"@x: " + b"(1, " * 2_000 + b"1" + b")" * 2_000,
        b"@x: " + b"(a, " * 4_000 + b")",
        b"@x: " + b"{ .a = " * 1_000 + b" }" * 1_000,
        b"@x: " + b"[" * 8_000 + b"]" * 8_000,
        b"@x: " + b"9" * 1_000_000,
        b"@x: " + b"\0" * 1_000_000,
        b"@x[" + b"\xff" * 1_000_000 + b"]: 5",
        b"@x[" + b"]: " * 300_000 + b"x",
        b"@x[1]: " * 150_000,
        b"@x[" * 300_000,
        b"@" + b"a" * 1_000_000,
        b"^C" * 500_000,
    ],
    ids=lambda line: line[:12].decode("ascii", "replace"),
)
def test_long_and_deep_lines(line: bytes) -> None:
    for data in (line, line + b"\n", b"@h:\n" + line + b"\n", b"@k[\n" + line + b"\n]: 1\n"):
        assert all(isinstance(record, (Map, Text, Unparsed, Hist)) for record in read(data))


def test_what_is_too_deep_stays_a_string() -> None:
    deep = "(1, " * 50 + "1" + ")" * 50
    assert read_lines(f"@x: {deep}") == [scalar("x", deep)]


def test_many_lines_that_wait_for_their_end() -> None:
    lines = ["@x[", *["    f"] * 5000]
    assert read_lines(*lines) == [text(line) for line in lines]
