from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from parsers.records import AttachedProbes, Entry, Map, Record, Unparsed, Value
from parsers.stream import OutputStream
from tests.parsers.feeding import captured, read

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
                b'{"type": "value", "data": 1}',
                b'{"type": "value", "data": 05:41}',
                b'{"type": "tseries", "data": {"@t": [{"interval_start":"s","value":1e}]}}\n',
                b'{"type": "map", "data": {"@k": {"a\\\\n": 1}}}\n',
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
    # A line gives one record, and two more for each record that stands on it with other text.
    assert len(whole) <= data.count(b"\n") + 1 + 2 * data.count(b'{"type": "')


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


def test_a_last_line_of_several_records_without_its_newline() -> None:
    stream = OutputStream()
    assert stream.feed(b'hello{"type": "value", "data": 1}') == []
    assert stream.close() == [Unparsed(b"hello", "not bpftrace's own"), Value(1)]
    assert stream.close() == []


def test_the_version_is_told_where_the_stream_cannot_tell() -> None:
    line = b'{"type": "map", "data": {"@k": {"a\\\\nb": 1}}}\n'
    for version, key in ((None, "a\nb"), ((0, 17), "a\\nb"), ((0, 23), "a\nb")):
        assert OutputStream(version=version).feed(line) == [Map("k", (Entry(key, 1),))]


def test_a_killed_bpftrace_and_its_successor_in_one_file() -> None:
    assert read(b'{"type": "map", "data": {"@a": {"x": 1, "y{"type": "attached_probes", "data": {"probes": 2}}\n') == [
        Unparsed(b'{"type": "map", "data": {"@a": {"x": 1, "y', "not bpftrace's own"),
        AttachedProbes(2),
    ]
