"""Lines that are read in one pass give what they give one by one."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsers.event_lines import Shape
from parsers.records import Record, Rows, Unparsed, Value
from parsers.stream import OutputStream

SHAPES = {
    "open": Shape(["time", "int", "string", "string"], ends_in_text=True),
    "rename": Shape(["time", "int", "string", "string"]),
    "short": Shape(["time", "int", "string"], ends_in_text=True),
    "exit": Shape(["time", "int"]),
}


def line(*data: Any) -> bytes:
    return f'{{"type": "value", "data": {json.dumps(data, separators=(",", ":"))}}}\n'.encode()


def values_of(rows: Rows) -> list[list[Any]]:
    fields: list[list[Any]] = [list(msgspec.structs.astuple(row)) for row in rows.rows]
    if rows.texts:
        fields = [[*row, text.decode()] for row, text in zip(fields, rows.texts, strict=True)]
    if rows.times:
        fields = [[time, *row] for time, row in zip(rows.times, fields, strict=True)]
    return [[rows.tag, *row] for row in fields]


def values(records: list[Record]) -> dict[str, list[Any]]:
    """What was read by tag, rows as the values that they are: lines of different tags may change places."""
    found: dict[str, list[Any]] = {}
    for record in records:
        if isinstance(record, Rows):
            found.setdefault(record.tag, []).extend(values_of(record))
        elif isinstance(record, Value) and isinstance(record.data, list) and record.data[0] in SHAPES:
            found.setdefault(str(record.data[0]), []).append(record.data)
        else:
            found.setdefault("", []).append(record)
    return found


def both(stream: bytes) -> tuple[list[Record], list[Record]]:
    return OutputStream(shapes=SHAPES).feed(stream), OutputStream().feed(stream)


def test_many_lines_are_read_as_rows() -> None:
    """Also where a name holds what lines are cut at."""
    lines = line("open", 1, 42, "a,b", "/etc/passwd") * 9 + line("open", 3, -1, ',"', '"],[,"') + line("exit", 2, 0)
    rows, plain = both(lines)
    assert [type(record) for record in rows] == [Rows, Rows]
    assert values(rows) == values(plain)


def test_what_comes_again_is_the_same_row() -> None:
    """With all but its time, whatever stands in it; as long as most has come before."""
    again = line("rename", 1, 42, "sh", '/a",b')
    (rows,) = OutputStream(shapes=SHAPES).feed(again * 3 + again.replace(b",1,", b",2,"))
    assert isinstance(rows, Rows)
    assert rows.rows[0] is rows.rows[3]
    assert (rows.times, rows.texts) == ([1, 1, 1, 2], ())


def test_where_texts_differ_the_rest_is_the_same_row() -> None:
    (rows,) = OutputStream(shapes=SHAPES).feed(
        b"".join(line("open", number, 42, "sh", f"/a,{number}") for number in range(4))
    )
    assert isinstance(rows, Rows)
    assert rows.rows[0] is rows.rows[3]
    assert (rows.times, rows.texts) == ([0, 1, 2, 3], [b"/a,0", b"/a,1", b"/a,2", b"/a,3"])


@pytest.mark.parametrize("fields", [("/a",), ("sh", "/a")])
def test_a_stream_in_which_nothing_comes_again_is_read_as_well(fields: tuple[str, ...]) -> None:
    tag = "open" if len(fields) > 1 else "short"
    lines = [line(tag, number, number, *fields) for number in range(5000)]
    stream = OutputStream(shapes=SHAPES)
    records = [record for begin in range(0, 5000, 50) for record in stream.feed(b"".join(lines[begin : begin + 50]))]
    assert values(records) == values(OutputStream().feed(b"".join(lines)))


def test_times_that_came_as_strings_are_shared_too() -> None:
    lines = [line("exit", str(9007199254740993 + number), 0) for number in range(4)]
    (rows,) = OutputStream(shapes=SHAPES).feed(b"".join(lines))
    assert isinstance(rows, Rows)
    assert rows.times == [9007199254740993 + number for number in range(4)]


def test_numbers_that_came_as_strings_are_numbers() -> None:
    (rows,) = OutputStream(shapes=SHAPES).feed(line("exit", "9007199254740993", "-9007199254740993"))
    assert isinstance(rows, Rows)
    assert values_of(rows) == [["exit", 9007199254740993, -9007199254740993]]


@pytest.mark.parametrize(
    "bad",
    [
        line("open", 1, 42, "sh"),
        line("open", 1, 42, "sh", "x", 5),
        line("open", 1, "y", "sh", "x"),
        line("open", -1, 42, "sh", "x"),
        line("open", 1, 2**63, "sh", "x"),
        line("open", 1, [2], "sh", "x"),
        line("open", 2**62, 42, "sh", "x"),
        line("open", "", 42, "sh", "x"),
        b'{"type": "value", "data": ["open",,2,"sh","x"]}\n',
        b'{"type": "value", "data": ["open",1_0,2,"sh","x"]}\n',
        b'{"type": "value", "data": ["open",1,2,"sh""x"]}\n',
        b'{"type": "value", "data": ["open",1,2,"sh","x"y"]}\n',
        line("other", 1),
        line("oben", 1, 42, "sh", "x"),
        b'{"type": "valve", "data": ["open",1,42,"sh","x"]}\n',
        b'{"type": "value", "date": ["open",1,42,"sh","x"]}\n',
        b'{"type": "value", "data": ["open",1,2,"sh","x"]}{"type": "value", "data": ["open",3,4,"sh","y"]}\n',
        b'{"type": "value", "data": ["open",1,2,"sh","x"]\n',
        b'{"type": "value", "data": ["open",1,2,"sh","\\uffffffc3\\uffffffa9"]}\n',
        '{"type": "value", "data": ["open",1,2,"sh","\u00e9"]}\n'.encode(),
        b'{"type": "value", "data": ["open",1,2,"sh","\xff"]}\n',
        b'{"type": "printf", "data": "hello\\n"}\n',
        b'{"type": "map", "data": {"@x": 1}}\n',
        b"not JSON\n",
        b"\n",
    ],
)
def test_a_line_that_is_none_of_them_costs_nothing_but_itself(bad: bytes) -> None:
    good = line("open", 1, 42, "sh", "x")
    rows, plain = both(good * 3 + bad + good * 2)
    assert sum(len(record.rows) for record in rows if isinstance(record, Rows)) == 5
    assert [record for record in rows if not isinstance(record, Rows)] == OutputStream().feed(bad)
    assert len(plain) == 5 + len(OutputStream().feed(bad))


@pytest.mark.parametrize("place", [b"6519", b"/etc"])
def test_two_broken_lines_are_not_one_event(place: bytes) -> None:
    """A time may have blanks around it in JSON, and a text that is not decoded could hold anything."""
    good = line("open", 651996824598, 42, "sh", "/etc/passwd")
    bad = good.replace(place, b"\n" + place[1:])
    rows, plain = both(good * 3 + bad + good * 2)
    assert len(values(rows)["open"]) == 5
    assert values(rows) == values(plain)
    assert sum(isinstance(record, Unparsed) for record in rows) == 2


TEXTS = st.text(st.characters(min_codepoint=1, max_codepoint=0x2FF), max_size=12)
NAMES = st.sampled_from(["sh", "a,b", ',"', "]}", ""])
LINES = st.one_of(
    st.builds(line, st.just("open"), st.integers(0, 2**61), st.integers(-(2**63), 2**63 - 1), NAMES, TEXTS),
    st.builds(line, st.just("open"), st.integers(0, 2**61), st.just(7), st.just("sh"), TEXTS),
    st.builds(line, st.just("rename"), st.integers(0, 2**61), st.just(7), NAMES, NAMES),
    st.builds(line, st.just("exit"), st.integers(0, 2**61), st.integers(-3, 3)),
    st.builds(line, st.just("orchestrator"), st.just("snapshot"), st.integers(0, 9)),
    st.sampled_from([b"\n", b"noise\n", b'{"type": "value", "data": ["open",1]}\n', b'{"type": "value", "data": 7}\n']),
)


@given(st.lists(LINES, max_size=30), st.lists(st.integers(0, 2000), max_size=6))
def test_rows_are_what_single_lines_are_however_the_chunks_fall(lines: list[bytes], cuts: list[int]) -> None:
    data = b"".join(lines)
    stream, plain, begin = OutputStream(shapes=SHAPES), OutputStream(), 0
    rows: list[Record] = []
    expected: list[Record] = []
    for end in [*sorted(cut for cut in cuts if cut < len(data)), len(data)]:
        rows += stream.feed(data[begin:end])
        expected += plain.feed(data[begin:end])
        begin = end
    unread = [record for record in expected if isinstance(record, Unparsed)]
    assert [record for record in rows if isinstance(record, Unparsed)] == unread
    assert values(rows) == values(expected)
