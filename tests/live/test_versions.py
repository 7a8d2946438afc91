"""What four versions of bpftrace print today, from the oldest that is read on: JSON and text, record by record."""

from __future__ import annotations

import subprocess

import pytest

from parsers.records import (
    AttachedProbes,
    Bucket,
    Entry,
    Hist,
    Map,
    Record,
    Stats,
    Text,
    Unknown,
    Unparsed,
    Value,
)
from parsers.stream import OutputStream, TextStream
from tests.live.conftest import TOOLS, lack
from tests.live.harness import TIMEOUT

PROGRAM = r"""
BEGIN {
  printf("%-4d|%s\n", 42, "q\"uo\\te");
  print((1, "y"));
  @count["ab", 1] = count(); @count["ab", 1] = count();
  @hist = hist(5); @hist = hist(1024);
  @lhist = lhist(7, 0, 10, 2);
  @stats["k"] = stats(4); @stats["k"] = stats(8);
  @avg = avg(4);
  @last = 9007199254740993;
  exit();
}
"""
MAPS = {
    "count": Map("count", (Entry("ab,1", 2),)),
    "hist": Hist("hist", ((None, (Bucket(4, 7, 1), Bucket(1024, 2047, 1))),)),
    "lhist": Hist("lhist", ((None, (Bucket(6, 7, 1),)),)),
    "stats": Stats("stats", (Entry("k", {"count": 2, "average": 6, "total": 12}),)),
    "avg": Stats("avg", (Entry(None, 4),)),
    "last": Map("last", (Entry(None, 9007199254740993),)),
}


@pytest.fixture(scope="module", params=["host", "bullseye", "trixie", "sid"])
def version(request: pytest.FixtureRequest) -> str:
    path = "bpftrace"
    if request.param != "host":
        made = subprocess.run([TOOLS / "bpftrace-suite", request.param], capture_output=True, text=True, check=False)
        if made.returncode:
            lack(f"no bpftrace of {request.param}: {made.stderr}")
        path = made.stdout.strip()
    told = subprocess.run([path, "--version"], capture_output=True, text=True, check=True, timeout=TIMEOUT).stdout
    assert request.param != "bullseye" or " v0.11." in told
    return path


def output(version: str, form: str, program: str = PROGRAM) -> bytes:
    command = [version, "-f", form, "-e", program]
    return subprocess.run(command, capture_output=True, check=True, timeout=TIMEOUT).stdout


def without_empty_buckets(record: Hist) -> Hist:
    return Hist(
        record.name,
        tuple((key, tuple(bucket for bucket in buckets if bucket.count)) for key, buckets in record.series),
    )


def maps(records: list[Record]) -> dict[str, Record]:
    found: dict[str, Record] = {}
    for record in records:
        if isinstance(record, (Map, Stats, Hist)):
            assert record.name not in found
            found[record.name] = without_empty_buckets(record) if isinstance(record, Hist) else record
    return found


def test_json(version: str) -> None:
    stream = OutputStream()
    records = [*stream.feed(output(version, "json")), *stream.close()]
    assert not [record for record in records if isinstance(record, (Unparsed, Unknown))]
    assert [record for record in records if isinstance(record, AttachedProbes)] == [AttachedProbes(1)]
    assert [record for record in records if isinstance(record, Text)] == [Text("printf", '42  |q"uo\\te\n')]
    assert [record for record in records if isinstance(record, Value)] == [Value([1, "y"])]
    found = maps(records)
    last = found.pop("last")
    assert isinstance(last, Map)
    assert [int(str(value)) for _, value in last.entries] == [9007199254740993]  # 0.24 and later: as text
    assert found == {name: record for name, record in MAPS.items() if name != "last"}


def test_text(version: str) -> None:
    stream = TextStream()
    records = [*stream.feed(output(version, "text")), *stream.close()]
    assert not [record for record in records if isinstance(record, (Unparsed, Unknown))]
    lines = [record.text for record in records if isinstance(record, Text)]
    assert lines == ['42  |q"uo\\te\n', "(1, y)\n"]
    found = maps(records)
    assert found["count"] == Map("count", (Entry("ab, 1", 2),), ", ")
    assert found["avg"] == Map("avg", (Entry(None, 4),), ", ")  # nothing tells an average from a count
    for name in ("hist", "lhist", "stats", "last"):
        expected, record = MAPS[name], found[name]
        assert isinstance(record, (Map, Stats, Hist))
        assert isinstance(expected, (Map, Stats, Hist))
        given = record.series if isinstance(record, Hist) else record.entries
        assert given == (expected.series if isinstance(expected, Hist) else expected.entries)


def test_a_stack_is_one_key(version: str) -> None:
    program = "BEGIN { @k[kstack(2), 7] = count(); exit(); }"
    for form, kind in (("json", OutputStream()), ("text", TextStream())):
        records = [*kind.feed(output(version, form, program)), *kind.close()]
        (record,) = maps(records).values()
        assert isinstance(record, Map)
        ((key, value),) = record.entries
        assert value == 1
        assert key is not None
        assert key.endswith("7")
