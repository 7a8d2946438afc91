"""Whatever bytes a process gives itself as name come back exactly, and change nothing that stands beside them.

The writer here does what bpftrace's does, version by version, and shares no code with the parser. That it is right is
shown by captures.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from parsers.records import AttachedProbes, Bucket, Entry, Hist, LostEvents, Map, Record, Stats, Text, Value
from parsers.stream import OutputStream
from tests.parsers.feeding import captured

_SHORT = {0x22: b'\\"', 0x5C: b"\\\\", 0x0A: b"\\n", 0x0D: b"\\r", 0x09: b"\\t"}


@dataclass
class Writer:
    """bpftrace of one version on one kind of machine; ``signed`` is how it takes a char, as on x86_64."""

    version: tuple[int, int]
    signed: bool = True
    hexadecimal: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        high = self.signed and self.version >= (0, 12)
        coded = {byte: b"\\u%04x" % byte for byte in range(0x20)}
        coded |= {byte: b"\\u%08x" % (0xFFFFFF00 + byte) for byte in range(0x80, 0x100) if high}
        self._turning = frozenset(coded.keys() - _SHORT.keys())
        self._table = [_SHORT.get(byte) or coded.get(byte) or bytes([byte]) for byte in range(0x100)]

    def escape(self, data: bytes) -> bytes:
        self.hexadecimal |= self.version >= (0, 24) and not self._turning.isdisjoint(data)
        return b"".join(map(self._table.__getitem__, data))

    def key(self, *parts: bytes) -> bytes:
        if self.version >= (0, 24):
            return self.escape(self.plain_key(*parts))
        if self.version >= (0, 22):
            return self.escape(b",".join(map(self.escape, parts)))
        return self.escape(b",".join(parts))

    def plain_key(self, *parts: bytes) -> bytes:
        """What can be known of a key: from 0.24 on its blanks are gone, and the parentheses around all of it."""
        if self.version < (0, 24):
            return b",".join(parts)
        text = parts[0] if len(parts) == 1 else b"(" + b", ".join(parts) + b")"
        return (text[1:-1] if len(text) > 1 and (text[:1], text[-1:]) == (b"(", b")") else text).replace(b" ", b"")

    def bare(self, number: int) -> bytes:
        return b"%x" % number if self.hexadecimal else b"%d" % number

    def attached(self) -> bytes:
        count = b'"count": 2, ' if self.version >= (0, 24) else b""
        return b'{"type": "attached_probes", %b"data": {"probes": 2}}\n' % count

    def buckets(self, first: int, second: int) -> bytes:
        comma = b"," if self.version >= (0, 24) else b", "
        low = b'{"max": -1, "count": %b}' % self.bare(first)
        return b"[" + low + comma + b'{"min": 0, "max": 0, "count": %b}]' % self.bare(second)

    def lost(self, number: int) -> bytes:
        count = b'"count": %b, ' % self.bare(number) if self.version >= (0, 24) else b""
        return b'{"type": "lost_events", %b"data": {"events": %b}}\n' % (count, self.bare(number))


def text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def write(writer: Writer, first: bytes, second: bytes, number: int) -> tuple[bytes, list[Record]]:
    """Records of every kind that can hold a name, and what must be read of them."""
    escape, key = writer.escape, writer.key

    def plain(*parts: bytes) -> str:
        return text(writer.plain_key(*parts))

    stats = b'{"count": 1, "average": %d, "total": %d}' % (number, number)
    lines = [
        writer.attached(),
        b'{"type": "value", "data": ["t",%d,"%b",%d,"%b"]}\n' % (number, escape(first), number, escape(second)),
        writer.lost(number),
        b'{"type": "printf", "data": "%b|%b\\n"}\n' % (escape(first), escape(second)),
        b'{"type": "map", "data": {"@m": {"%b": %d, "%b": 6}}}\n' % (key(first, b"7"), number, key(b"8", second)),
        b'{"type": "hist", "data": {"@h": {"%b": %b, ' % (key(first), writer.buckets(number, 16)),
        b'"%b": %b}}}\n' % (key(second), writer.buckets(10, number)),
        b'{"type": "stats", "data": {"@s": {"%b": %b}}}\n' % (key(second, first), stats),
        b'{"type": "map", "data": {"@v": "%b"}}\n' % escape(second),
        writer.lost(16),
        b'{"type": "value", "data": %d}\n' % number,
    ]
    return b"".join(lines), [
        AttachedProbes(2),
        Value(["t", number, text(first), number, text(second)]),
        LostEvents(number),
        Text("printf", text(first + b"|" + second + b"\n")),
        Map("m", (Entry(plain(first, b"7"), number), Entry(plain(b"8", second), 6))),
        Hist(
            "h",
            (
                (plain(first), (Bucket(None, -1, number), Bucket(0, 0, 16))),
                (plain(second), (Bucket(None, -1, 10), Bucket(0, 0, number))),
            ),
        ),
        Stats("s", (Entry(plain(second, first), {"count": 1, "average": number, "total": number}),)),
        Map("v", (Entry(None, text(second)),)),
        LostEvents(16),
        Value(number),
    ]


def read(data: bytes, version: tuple[int, int] | None, cuts: list[int] | None = None) -> list[Record]:
    stream = OutputStream(version=version)
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts or []), len(data)]
    return [record for start, end in pairwise(places) for record in stream.feed(data[start:end])] + stream.close()


# What an attacker would make a name of: pieces of records, of escapes, of UTF-8; ends of strings and lines.
FORGERIES = [
    b'"}\n{"type": "value", "data": ["t",1,"forged"]}\n',
    b'{"type": "attached_probes", "data": {"probes": 9}}',
    b'"}{"type": "value", "data": 1}',
    b'", "count": c}',
    b'"}]}, "x": [{"min": 1, "max": 1, "count": ff}',
    b'},{"min": 1',
    b"\\u0001",
    b"\\uffffffc3",
    b"\\\\uffffffc3\\",
    b"\\udcc3",
    b"\\ud800",
    b"a\\nb",
    b"\\x2d",
    b"\n",
    b"\r\n",
    b"\x00",
    b"\x1f",
    b"\x1b[2J",
    b"\x7f",
    b"\xc3",
    b"\xa9",
    b"\xff",
    b"\xed\xa0\x80",
    "é, 日本語😀\u2028".encode(),
    b"(par)",
    b" ",
    b",",
    b"@m[",
    b"{}[]:",
    b"NaN",
    b"05:41",
    b"null",
]
names = st.one_of(
    st.binary(max_size=40),
    st.lists(st.sampled_from([*FORGERIES, b'"', b"\\", b"}", b"]", b"u", b"ffffff", b"c3"]), max_size=8).map(b"".join),
)
WRITERS = [(0, 11), (0, 17), (0, 21), (0, 22), (0, 23), (0, 24), (0, 27)]
numbers = st.sampled_from([1, 9, 10, 12, 16, 255, 4096, 10**9])


@pytest.mark.parametrize("signed", [True, False], ids=["x86_64", "arm64"])
@pytest.mark.parametrize("version", WRITERS)
@given(names, names, numbers, st.lists(st.integers(0, 4096), max_size=6))
@example(b"\\\xc3\\\\\xa9", b"\\uffffffc3", 10, [])
@example(b"(a)", b"(b", 16, [5])
@example(b"", b"", 12, [])
def test_any_name_comes_back_and_changes_nothing_beside_it(
    version: tuple[int, int], signed: bool, first: bytes, second: bytes, number: int, cuts: list[int]
) -> None:
    data, records = write(Writer(version, signed), first, second, number)
    assert read(data, version) == records
    assert read(data, version, cuts) == records


@pytest.mark.parametrize("version", WRITERS)
@given(names, names, numbers)
def test_any_name_comes_back_where_the_version_is_not_known(
    version: tuple[int, int], first: bytes, second: bytes, number: int
) -> None:
    """But for a key with a backslash from before 0.22, which looks like one of 0.22 or 0.23."""
    if version < (0, 22):
        first, second = first.replace(b"\\", b"/"), second.replace(b"\\", b"/")
    data, records = write(Writer(version), first, second, number)
    assert read(data, None) == records


@pytest.mark.parametrize("version", WRITERS)
def test_a_name_of_a_megabyte(version: tuple[int, int]) -> None:
    name = b"".join(FORGERIES)
    name *= (1 << 20) // len(name) + 1
    writer = Writer(version)
    lines = [
        writer.attached(),
        b'{"type": "value", "data": "%b"}\n' % writer.escape(name),
        b'{"type": "map", "data": {"@m": {"%b": 1}}}\n' % writer.key(name, b"7"),
        b'{"type": "value", "data": 1}\n',
    ]
    key = text(writer.plain_key(name, b"7"))
    assert read(b"".join(lines), version, [1000, 1_000_000]) == [
        AttachedProbes(2),
        Value(text(name)),
        Map("m", (Entry(key, 1),)),
        Value(1),
    ]


@given(names, st.integers(0, 4096), st.integers(0, 4096))
def test_a_gap_loses_the_lines_around_it_only(name: bytes, place: int, size: int) -> None:
    writer = Writer((0, 17))
    line = b'{"type": "value", "data": "%b"}\n' % writer.escape(name)
    data = b"".join(b'{"type": "value", "data": %d}\n' % number + line for number in range(8))
    start = place % len(data)
    end = min(len(data), start + size)
    stream = OutputStream()
    before = stream.feed(data[:start])
    stream.gap()
    after = stream.feed(data[end:]) + stream.close()
    whole = read(data, None)
    assert before == whole[: data[:start].count(b"\n")]
    assert after == whole[len(whole) - data[end:].count(b"\n") :][1:] if data[end:].count(b"\n") else after == []


@pytest.mark.parametrize(
    ("writer", "capture"),
    [
        (Writer((0, 11)), "0.11.3"),
        (Writer((0, 17)), "0.17.0"),
        (Writer((0, 23)), "0.23.2"),
        (Writer((0, 27)), "0.27.1"),
    ],
)
def test_the_writer_writes_what_bpftrace_does(writer: Writer, capture: str) -> None:
    data = captured(capture, "weird-comm")
    lines = data.splitlines()
    assert data.startswith(writer.attached().replace(b"2", b"1"))
    for comm in (
        b'q"uo\\te',
        b"nl\nx",
        b"c\x01\x1f\x7ftl",
        b"tab\tcr\r",
        b"\xff\xfe\x80bad",
        "emoji😀".encode(),
        b"(par)",
    ):
        assert b'{"type": "value", "data": "%b"}' % writer.escape(comm) in lines
        (one,) = (line for line in lines if line.startswith(b'{"type": "map", "data": {"@c": '))
        (two,) = (line for line in lines if line.startswith(b'{"type": "map", "data": {"@m": '))
        (hist,) = (line for line in lines if line.startswith(b'{"type": "hist", '))
        assert b'"%b": 1' % writer.key(comm) in one
        assert b'"%b": 2' % writer.key(comm, b"1") in two
        assert b'"%b": [{"min": 8, "max": 15, "count": 1}]' % writer.key(comm) in hist
    assert (b'"count": c}' in captured("0.27.1", "weird-sticky-hex")) is (
        writer.version < (0, 24) or writer.hexadecimal
    )
