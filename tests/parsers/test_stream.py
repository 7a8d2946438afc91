from __future__ import annotations

from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st

from parsers.escapes import to_bytes
from parsers.records import Map, Record, Unparsed, Value
from parsers.stream import OutputStream
from tests.parsers.feeding import ATTACHED, captured, read

_SHORT = {0x22: '\\"', 0x5C: "\\\\", 0x0A: "\\n", 0x0D: "\\r", 0x09: "\\t"}


def escape(data: bytes) -> str:
    """As bpftrace 0.17 to 0.27 escape a string on x86_64, where a char is signed (test data: weird-comm)."""

    def one(byte: int) -> str:
        if byte in _SHORT:
            return _SHORT[byte]
        if byte >= 0x80:
            return f"\\uffffff{byte:02x}"
        return f"\\u{byte:04x}" if byte < 0x20 else chr(byte)

    return "".join(map(one, data))


def test_escape_is_what_the_captures_show() -> None:
    lines = captured("0.17.0", "weird-comm").splitlines()
    for comm in (b'q"uo\\te', b"nl\nx", b"c\x01\x1f\x7ftl", b"tab\tcr\r", b"\xff\xfe\x80bad", "emoji😀".encode()):
        assert f'{{"type": "value", "data": "{escape(comm)}"}}'.encode() in lines


# Text that looks like an escape is what a hostile name would be made of.
hostile = st.one_of(
    st.binary(max_size=64),
    st.lists(
        st.sampled_from(
            [b"\\", b"\\u", b"ffffff", b"\\uffffffc3", b"\\udcc3", b"c3", b'"', b"}", b"\n", b"\xc3", b"\xa9", b"\xff"]
        ),
        max_size=12,
    ).map(b"".join),
)


@given(hostile, hostile)
@example(b"\\\xc3\\\\\xa9", b"\\uffffffc3")
@example(b"\xed\xa0\x80", b"\xc3\xa9" * 3)
def test_any_bytes_come_through_exactly(first: bytes, second: bytes) -> None:
    value = f'{{"type": "value", "data": ["t",1,"{escape(first)}",2,"{escape(second)}"]}}\n'
    keyed = f'{{"type": "map", "data": {{"@m": {{"{escape(first)},7": 5, "{escape(second)},8": 6}}}}}}\n'
    for attached in ATTACHED.values():
        _, event, counts = read(attached + (value + keyed).encode())
        assert isinstance(event, Value)
        assert isinstance(event.data, list)
        tag, one, text, two, other = event.data
        assert (tag, one, two) == ("t", 1, 2)
        assert isinstance(text, str)
        assert isinstance(other, str)
        assert (to_bytes(text), to_bytes(other)) == (first, second)
        assert isinstance(counts, Map)
        assert [to_bytes(entry.key or "") for entry in counts.entries] == [first + b",7", second + b",8"]
        assert [entry.value for entry in counts.entries] == [5, 6]


@given(st.binary(max_size=32))
def test_raw_bytes_of_old_versions_come_through_exactly(data: bytes) -> None:
    """0.11, and all versions on arm64, write bytes above 7f as they are."""
    escaped = b"".join(bytes([byte]) if byte >= 0x80 else escape(bytes([byte])).encode() for byte in data)
    (record,) = read(b'{"type": "value", "data": "' + escaped + b'"}\n')
    assert isinstance(record, Value)
    assert isinstance(record.data, str)
    assert to_bytes(record.data) == data


lines = st.lists(
    st.one_of(
        st.binary(max_size=40),
        st.sampled_from(
            [
                b"\n",
                b'{"type": "value", "data": ',
                b'{"type": "map", "data": {"@a": ',
                b'{"type": "hist", "data": {"@h": [{"min": 1, "max": 1, "count": a}]}}\n',
                b'{"type": "stats", "data": {"@s": {"count": ',
                b'{"type": "attached_probes", "count": 1, "data": {"probes": 1}}\n',
                b'{"type": "attached_probes", "data": {}}\n',
                b'{"type": "lost_events", "data": 5}\n',
                b'{"type": "helper_error"}\n',
                b'"\\uffffffc3\\u0001"',
                b'"\\ud800"',
                b"{}",
                b"[[",
                b"1e999",
                b"-",
                b"}}\n",
                b"9" * 30,
            ]
        ),
    ),
    max_size=12,
).map(b"".join)


def feed_in_pieces(data: bytes, cuts: list[int], max_line: int) -> list[Record]:
    stream = OutputStream(max_line)
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    records = [record for start, end in pairwise(places) for record in stream.feed(data[start:end])]
    return records + stream.close()


@given(lines, st.lists(st.integers(min_value=0), max_size=8))
def test_any_bytes_in_any_pieces_give_the_same_records(data: bytes, cuts: list[int]) -> None:
    whole = feed_in_pieces(data, [], 1 << 20)
    assert feed_in_pieces(data, cuts, 1 << 20) == whole
    assert len(whole) <= data.count(b"\n") + 1


@given(lines, st.lists(st.integers(min_value=0), max_size=8))
def test_the_limit_of_a_line_holds_in_any_pieces(data: bytes, cuts: list[int]) -> None:
    def sorted_out(records: list[Record]) -> tuple[list[Record], int]:
        too_long = Unparsed(b"", "line too long")
        return [record for record in records if record != too_long], records.count(too_long)

    assert sorted_out(feed_in_pieces(data, cuts, 50)) == sorted_out(feed_in_pieces(data, [], 50))


def test_a_line_that_is_too_long_is_reported_and_its_neighbours_are_read() -> None:
    stream = OutputStream(max_line=100)
    records = stream.feed(b'{"type": "value", "data": 1}\n' + b"x" * 101 + b'\n{"type": "value", "data": 2}\n')
    assert [record for record in records if isinstance(record, Value)] == [Value(1), Value(2)]
    assert [record.reason for record in records if isinstance(record, Unparsed)] == ["line too long"]


def test_gap_loses_the_line_around_it_only() -> None:
    stream = OutputStream()
    assert stream.feed(b'{"type": "value", "data": 1}\n{"type": "val') == [Value(1)]
    stream.gap()
    assert stream.feed(b'ue", "data": 3}\n{"type": "value", "data": 4}\n') == [Value(4)]
    assert stream.close() == []


def test_a_killed_bpftrace_leaves_a_cut_line() -> None:
    whole = captured("0.27.1", "map-keyed")
    records = read(whole[:-20])
    assert records[:-1] == read(whole)[:-1]
    assert isinstance(records[-1], Unparsed)
