"""What is written fast is, message by message, what protobuf writes."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.logs.v1 import logs_pb2

from config.manifest import Event
from orchestrator.otlp.event_encoder import EventEncoder
from orchestrator.otlp.logs import encode_records
from orchestrator.signals.clock import Moment
from orchestrator.signals.event_batch import EventBatch
from orchestrator.signals.logs import EventReader
from orchestrator.signals.sampling import ADJUSTED_COUNT, Picked
from parsers.event_lines import row_field
from parsers.records import Rows

MOMENT = Moment(1_800_000_000_000_000_000, 1_700_000_000_000_000_000)
PLAIN = """
{"name": "ebpf.file.open", "fields": [
  {"name": "time", "type": "time"}, {"attribute": "process.pid"}, {"attribute": "thread.name", "type": "string"},
  {"attribute": "ebpf.size"}, {"attribute": "file.path", "type": "string"}]}
"""
# Every word that a field can have, a body of changing and of fixed parts, and the time in the middle.
RICH = """
{"name": "ebpf.file.open", "severity": "warn", "body": "{thread.name} {error.type}: {ebpf.kind} {ebpf.nothing}",
 "attributes": {"ebpf.kind": "k", "ebpf.number": 7},
 "fields": [
  {"attribute": "process.pid"}, {"attribute": "thread.name", "type": "string", "also": {"ebpf.base": "basename"}},
  {"name": "time", "type": "time"}, {"attribute": "ebpf.duration", "scale": "1e-9"},
  {"attribute": "ebpf.code", "omit": -1, "also": {"error.type": "errno_error"}},
  {"attribute": "network.peer.address", "type": "string", "decode": "address",
   "also": {"network.type": "address_family"}},
  {"attribute": "ebpf.family", "values": {"2": "two"}, "default": "other"}, {"name": "unused"}]}
"""
_TIME = '{"name": "time", "type": "time"}, '
RICH_FROM_TIME = RICH.replace(_TIME, "").replace('"fields": [', '"fields": [' + _TIME)
NUMBERS = st.one_of(st.integers(-(2**63), 2**63 - 1), st.integers(-3, 130))
TEXTS = st.text(st.characters(min_codepoint=1, max_codepoint=0x7E), max_size=200)
FEW_TEXTS = st.sampled_from(["", "a", "::ffff:127.0.0.1", "/usr/bin/x", "{file.path}"])
KINDS = {"time": st.integers(0, 2**61), "int": NUMBERS, "string": st.one_of(TEXTS, FEW_TEXTS)}


def reader(event: str) -> EventReader:
    return EventReader({"open": msgspec.json.decode(event, type=Event, strict=False)}, 200)


def batches_of(event: str, data: list[list[tuple[Any, ...]]]) -> list[EventBatch]:
    read = reader(event)
    row = msgspec.defstruct("Row", [row_field(index) for index in range(len(read.shapes["open"].fields))])
    return [read.read_rows(Rows("open", [row(*values) for values in rows]), MOMENT) for rows in data]


def shared_batches_of(event: str, data: list[list[tuple[Any, ...]]], *, apart: bool = True) -> list[EventBatch]:
    """The same as they come when their rows are shared: with all but their times, and their texts if ``apart``."""
    read = reader(event)
    end = len(read.shapes["open"].fields) - apart
    row = msgspec.defstruct("Row", [row_field(index) for index in range(1, end)], eq=False)
    known: dict[tuple[Any, ...], Any] = {}
    return [
        read.read_rows(
            Rows(
                "open",
                [known.setdefault(values[1:end], row(*values[1:end])) for values in rows],
                [values[0] for values in rows],
                [values[-1].encode() for values in rows] if apart else (),
            ),
            MOMENT,
        )
        for rows in data
    ]


def whole_batches_of(event: str, data: list[list[tuple[Any, ...]]]) -> list[EventBatch]:
    return shared_batches_of(event, data, apart=False)


def rows_of(event: str, *, few: bool) -> st.SearchStrategy[list[list[tuple[Any, ...]]]]:
    """Batches of events, whose values come again and again, or do not."""
    kinds = reader(event).shapes["open"].fields
    pool = {kind: st.sampled_from([3, 4]) if kind == "int" else FEW_TEXTS for kind in ("int", "string")} if few else {}
    row = st.tuples(*(pool.get(kind, KINDS[kind]) for kind in kinds))
    return st.lists(st.lists(row, max_size=40), max_size=3)


def check(batches: list[EventBatch]) -> None:
    encoders: dict[Any, EventEncoder] = {}
    for batch in batches:
        encoder = encoders.setdefault(0, EventEncoder(batch.event))
        parts = encoder.encode(batch)
        for part in parts:  # a request that is too large can be divided between any two
            assert len(logs_pb2.ScopeLogs.FromString(part.body).log_records) == part.count <= 128
        encoded = b"".join(part.body for part in parts)
        parsed = logs_pb2.ScopeLogs.FromString(encoded)
        assert len(parsed.log_records) == len(batch)
        # The same messages, with the fields of each in another order.
        assert parsed.SerializeToString() == encode_records(batch.records())
        assert parsed.ByteSize() == len(encoded)


@settings(max_examples=300)
@given(st.one_of(rows_of(PLAIN, few=True), rows_of(PLAIN, few=False)))
def test_plain_fields(data: list[list[tuple[Any, ...]]]) -> None:
    check(batches_of(PLAIN, data))
    fresh = batches_of(PLAIN, data)
    for shared in (shared_batches_of(PLAIN, data), whole_batches_of(PLAIN, data)):
        assert [batch.records() for batch in shared] == [batch.records() for batch in fresh]
        check(shared)


@settings(max_examples=300)
@given(st.one_of(rows_of(RICH, few=True), rows_of(RICH, few=False)))
def test_all_words_of_fields(data: list[list[tuple[Any, ...]]]) -> None:
    check(batches_of(RICH, data))


@settings(max_examples=200)
@given(st.one_of(rows_of(RICH_FROM_TIME, few=True), rows_of(RICH_FROM_TIME, few=False)))
def test_all_words_of_fields_in_shared_rows(data: list[list[tuple[Any, ...]]]) -> None:
    whole, fresh = whole_batches_of(RICH_FROM_TIME, data), batches_of(RICH_FROM_TIME, data)
    assert [batch.records() for batch in whole] == [batch.records() for batch in fresh]
    check(whole)


def test_a_long_stream_whose_values_begin_to_change() -> None:
    """Fields that changed slowly at first do not any more; caches are bounded, and forget."""
    rows = [(1000 + number, 1, "comm", 5, "/same") for number in range(3000)]
    rows += [(5000 + number, number, f"comm{number}", number * 1000, f"/new/{number}") for number in range(12_000)]
    data = [rows[begin : begin + 500] for begin in range(0, len(rows), 500)]
    check(batches_of(PLAIN, data))
    check(shared_batches_of(PLAIN, data))
    check(whole_batches_of(PLAIN, data))


def test_what_cannot_be_read_in_batches_is_not() -> None:
    """An attribute of two fields, a decoder that can fail, a field of any type, parts."""
    time = '{"name": "time", "type": "time"}'
    for field in (
        '{"attribute": "a"}, {"attribute": "a"}',
        '{"attribute": "a", "type": "string", "decode": "http_method"}',
        '{"attribute": "a", "type": "string", "decode": "errno"}',
        '{"attribute": "a", "type": "any"}',
    ):
        assert reader(f'{{"name": "x", "fields": [{time}, {field}]}}').shapes == {}
    parts = '"parts": {"p": {"attribute": "b", "decode": "argv"}}'
    assert reader(f'{{"name": "x", "fields": [{time}, {{"attribute": "a"}}], {parts}}}').shapes == {}


def test_only_a_plain_text_at_the_end_is_told_apart() -> None:
    assert reader(PLAIN).shapes["open"].ends_in_text
    assert not reader(RICH).shapes["open"].ends_in_text
    assert not reader(PLAIN.replace('"fields"', '"body": "{file.path}", "fields"')).shapes["open"].ends_in_text
    assert not reader(PLAIN.replace('"file.path"', '"file.path", "omit": ""')).shapes["open"].ends_in_text


@settings(max_examples=200)
@given(rows_of(RICH, few=True), st.integers(2, 2**40), st.integers(1, 9), st.integers(0, 3))
def test_events_that_stand_for_several(data: list[list[tuple[Any, ...]]], weight: int, every: int, first: int) -> None:
    """The same messages as protobuf's, and none but those that were picked."""
    for batch in batches_of(RICH, data):
        kept = len(range(first, len(batch), every))
        parts = list(batch.thinned(Picked(first, every, weight, kept)))
        check(parts)
        records = [record for part in parts for record in part.records()]
        counts = [record.attributes.get(ADJUSTED_COUNT, 1) for record in records]
        assert counts == [weight, *[every] * (kept - 1)][:kept]
        assert [record.fields for record in records] == [record.fields for record in batch.records()[first::every]]


def test_events_that_stand_for_several_in_shared_rows() -> None:
    rows = [(1000 + number, 1, "comm", 5, f"/path/{number}") for number in range(100)]
    for batch in (*shared_batches_of(PLAIN, [rows]), *whole_batches_of(PLAIN, [rows])):
        (part,) = batch.thinned(Picked(9, 10, 10, 10))
        check([batch, part])
        paths = [record.attributes["file.path"] for record in part.records()]
        assert paths == [f"/path/{n}" for n in range(9, 100, 10)]
        assert {one.weight for one in part.parts(3)} == {10}
