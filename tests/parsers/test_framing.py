from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsers.framing import LineFramer, lines_of


def split_at(data: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in pairwise(places)]


@pytest.mark.parametrize(
    ("chunks", "lines", "rest"),
    [
        ([b"a\nb\n"], [b"a", b"b"], b""),
        ([b"a", b"b", b"c\n"], [b"abc"], b""),
        ([b"a\n\n\nb\n"], [b"a", b"", b"", b"b"], b""),
        ([b"a\nb"], [b"a"], b"b"),
        ([b"a", b"\n", b"b"], [b"a"], b"b"),
        ([b"", b""], [], b""),
        ([b"a\r\n"], [b"a\r"], b""),
    ],
)
def test_feed_cuts_at_newlines(chunks: list[bytes], lines: list[bytes], rest: bytes) -> None:
    framer = LineFramer()
    assert [line for chunk in chunks for line in lines_of(framer.feed(chunk))] == lines
    assert framer.close() == rest
    assert framer.close() == b""


@given(st.binary(), st.lists(st.integers(min_value=0)))
def test_feed_loses_no_byte_however_the_chunks_fall(data: bytes, cuts: list[int]) -> None:
    framer = LineFramer()
    lines = [line for chunk in split_at(data, cuts) for line in lines_of(framer.feed(chunk))]
    assert b"\n".join([*lines, framer.close()]) == data


@pytest.mark.parametrize("size", [1, 3, 10, 100])
def test_feed_drops_and_counts_a_line_above_the_limit(size: int) -> None:
    data = b"12345\n" + b"x" * 40 + b"\n67890\n"
    framer = LineFramer(max_line=5)
    chunks = [data[start : start + size] for start in range(0, len(data), size)]
    assert [line for chunk in chunks for line in lines_of(framer.feed(chunk))] == [b"12345", b"67890"]
    assert framer.oversized == 1


@given(st.binary(), st.lists(st.integers(min_value=0)))
def test_feed_applies_the_limit_however_the_chunks_fall(data: bytes, cuts: list[int]) -> None:
    framer = LineFramer(max_line=3)
    lines = [line for chunk in split_at(data, cuts) for line in lines_of(framer.feed(chunk))]
    whole = data.split(b"\n")[:-1]
    assert lines == [line for line in whole if len(line) <= 3]
    rest = framer.close()
    assert framer.oversized == sum(len(line) > 3 for line in data.split(b"\n"))
    assert rest in (data.split(b"\n")[-1], b"")


def test_feed_keeps_no_more_than_the_limit_of_an_endless_line() -> None:
    framer = LineFramer(max_line=1000)
    for _ in range(1000):
        assert framer.feed(b"x" * 100) == b""
    assert framer.oversized == 1
    assert framer.close() == b""


def test_gap_drops_both_halves_and_nothing_else() -> None:
    framer = LineFramer()
    assert framer.feed(b"first\nsecond begins") == b"first\n"
    framer.gap()
    assert framer.feed(b"fourth ends\nfifth\n") == b"fifth\n"
    assert framer.oversized == 0


def test_gap_at_the_end_leaves_nothing() -> None:
    framer = LineFramer()
    framer.feed(b"half")
    framer.gap()
    framer.feed(b"other half")
    assert framer.close() == b""
    assert framer.feed(b"next stream\n") == b"next stream\n"
