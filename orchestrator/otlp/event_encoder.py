"""Events of one kind -> LogRecords in protobuf's wire format, the same messages that protobuf itself would write.

What never changes is written once. Of what comes again and again all is remembered. Else fields that change slowly
(pid, thread, user) are written together and remembered by their tuple; which those are is seen from the events. The
rest goes column by column (``event_columns``).

What differs from record to record comes last, and so the time does: fields may stand in any order (protobuf.dev,
"Encoding", "Field Order").
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice, repeat
from operator import add, attrgetter, getitem
from typing import Any

from opentelemetry.proto.logs.v1 import logs_pb2

from orchestrator.otlp.event_beginnings import Beginnings
from orchestrator.otlp.event_body import encode_body
from orchestrator.otlp.event_columns import (
    Column,
    Segment,
    column_of,
    distinct,
    encode_attributes,
    encode_value,
    text_heads,
)
from orchestrator.otlp.logs import EncodedRecords, encode_records, severity_of
from orchestrator.otlp.wire import Memo, delimited
from orchestrator.signals.clock import Moment
from orchestrator.signals.event_batch import EventBatch
from orchestrator.signals.logs import CompiledEvent
from parsers.event_lines import row_field
from parsers.records import Rows

__all__ = ("EventEncoder",)

# ScopeLogs {2: log_records}; LogRecord {1: time_unix_nano}, a fixed64.
_LOG_RECORDS, _TIME_TAG = 2, b"\x09"
# Of so many events it is seen which fields change slowly, and again after so many more.
_SAMPLE, _SAMPLE_AGAIN = 2048, 200_000
# Fields change slowly if an event in so many, or fewer, has values that were not seen before.
_SLOW = 4
_FEW = 4
# Records that are joined together. ``bytes.join`` notes 80 bytes for each piece (a Py_buffer; CPython's
# Objects/stringlib/join.h): for thousands at once that is more than what they hold, and leaves a CPU's own cache.
_TOGETHER = 128


@dataclass(frozen=True, slots=True)
class _Source:
    """A field with attributes: what a row calls it, and how its values are written, as columns and one by one."""

    name: str
    column: Column
    written: Memo[Any, bytes]


class EventEncoder:
    """Writes batches of one event."""

    def __init__(self, event: CompiledEvent) -> None:
        rule = event.rule
        fields = rule.fields
        self._sources = [
            _Source(
                row_field(index),
                column_of(fields[index], put, is_number=fields[index].type == "int"),
                Memo(partial(encode_value, put)),
            )
            for index, put in event.setters
        ]
        self._time = attrgetter(row_field(event.time))
        severity, constants = severity_of(rule.severity).SerializeToString(), encode_attributes(dict(rule.attributes))
        body = encode_body(event)
        name = logs_pb2.LogRecord(event_name=rule.name).SerializeToString()
        self._start = severity + (body if isinstance(body, bytes) else b"") + constants + name
        self._first: list[Segment] = [] if isinstance(body, bytes) else [body]
        self._shared = Memo[Any, bytes](self._write_shared)
        self._beginnings = Memo[int, Beginnings](lambda tail: Beginnings(partial(self._begin, tail)))
        self._whole = Memo[int, Memo[Any, bytes]](lambda tail: Memo(partial(self._write_whole, tail)))
        self._heads = Memo[int, Memo[int, bytes]](lambda tail: Memo(lambda size: delimited(_LOG_RECORDS, size + tail)))
        self._text_heads = text_heads(fields[-1].attribute or "")
        self._text_sizes = Memo[int, int](lambda size: size + len(self._text_heads[size]))
        self._segments: list[Segment] = []
        self._made: dict[tuple[bool, tuple[str, ...]], Segment] = {}
        self._sample: list[Any] = []
        self._planned = self._since = 0

    def encode(self, batch: EventBatch) -> list[EncodedRecords]:
        """The LogRecords of a batch, at most 128 together."""
        if len(batch) < _FEW:
            return [EncodedRecords(encode_records(batch.records()), len(batch))]
        last = logs_pb2.LogRecord(observed_time_unix_nano=batch.moment.unix).SerializeToString()
        if constants := batch.constants:
            last = encode_attributes(constants) + last
        rows = batch.rows
        if not rows.times:
            return self._encode_columns(rows.rows, _offset(batch.moment, self._time(rows.rows[0])), last)
        encode = self._encode_shared if rows.texts else self._encode_whole
        return encode(rows, _offset(batch.moment, rows.times[0]), last)

    def _encode_columns(self, rows: Sequence[Any], offset: int, last: bytes) -> list[EncodedRecords]:
        self._plan(rows)
        count = len(rows)
        tails = _tails(map(self._time, rows), offset, last)
        columns = _in_two([segment(rows) for segment in (*self._first, *self._segments)])
        first, rest = (list(islice(column, count)) for column in columns)  # some never end
        fixed = len(self._start) + len(tails[0])
        heads = map(self._heads[fixed].__getitem__, map(add, map(len, first), map(len, rest)))
        return _joined([heads, [self._start] * count, first, rest], tails)

    def _encode_shared(self, rows: Rows, offset: int, last: bytes) -> list[EncodedRecords]:
        """Rows that come again and again, and a text that may be another one each time."""
        tails = _tails(rows.times, offset, last)
        lengths = list(map(len, rows.texts))
        beginnings = self._beginnings[len(tails[0])].take(rows.rows, lengths)
        if beginnings is not None:
            return _joined([beginnings, rows.texts], tails)
        shared = list(map(self._shared.__getitem__, rows.rows))
        sizes = map(add, map(len, shared), map(self._text_sizes.__getitem__, lengths))
        heads = map(self._heads[len(tails[0])].__getitem__, sizes)
        before = map(self._text_heads.__getitem__, lengths)
        return _joined([heads, shared, before, rows.texts], tails)

    def _encode_whole(self, rows: Rows, offset: int, last: bytes) -> list[EncodedRecords]:
        """Rows that come again and again with all that they hold."""
        tails = _tails(rows.times, offset, last)
        return _joined([map(self._whole[len(tails[0])].__getitem__, rows.rows)], tails)

    def _write_whole(self, tail: int, row: Any) -> bytes:
        """A LogRecord that ``tail`` more bytes make whole."""
        body = b"".join(next(iter(segment([row]))) for segment in self._first)
        record = self._start + body + _attributes(self._sources, row)
        return delimited(_LOG_RECORDS, len(record) + tail) + record

    def _begin(self, tail: int, row: Any, size: int) -> bytes:
        """A LogRecord that a text of ``size`` bytes and ``tail`` more bytes make whole."""
        shared = self._shared[row]
        return self._heads[tail][len(shared) + self._text_sizes[size]] + shared + self._text_heads[size]

    def _write_shared(self, row: Any) -> bytes:
        """All but the last one of the attributes, which is the text."""
        return self._start + _attributes(self._sources[:-1], row)

    def _plan(self, rows: Sequence[Any]) -> None:
        """See which fields change slowly: at once, with more of a sample, and again after many more events."""
        self._since += len(rows)
        if self._since >= _SAMPLE_AGAIN:
            self._sample, self._planned, self._since = [], 0, 0
        if self._planned < _SAMPLE:
            self._sample += rows[: _SAMPLE - len(self._sample)]
            if len(self._sample) >= min(2 * self._planned, _SAMPLE):
                self._planned = len(self._sample)
                self._segments = [self._segment(*found) for found in _grouped(self._sources, self._sample)]

    def _segment(self, group: list[_Source], is_slow: bool) -> Segment:
        """What was made before for the same fields has its memory."""
        key = is_slow, tuple(source.name for source in group)
        if key not in self._made:
            self._made[key] = _slow(group) if is_slow else _fast(group[0])
        return self._made[key]


def _tails(times: Iterable[int], offset: int, last: bytes) -> list[bytes]:
    """The ends of records: ``last``, and the time."""
    tail = last + _TIME_TAG
    pack = struct.Struct(f"<{len(tail)}sQ").pack
    return list(map(pack, repeat(tail), map(add, times, repeat(offset))))


def _joined(columns: Sequence[Iterable[bytes]], tails: Sequence[bytes]) -> list[EncodedRecords]:
    """Records of a piece of each column and a tail, so many together."""
    each = len(columns) + 1
    pieces = [b""] * (each * len(tails))
    for place, column in enumerate([*columns, tails]):
        pieces[place::each] = column
    step = each * _TOGETHER
    groups = (pieces[begin : begin + step] for begin in range(0, len(pieces), step))
    return [EncodedRecords(b"".join(group), len(group) // each) for group in groups]


def _offset(moment: Moment, time: int) -> int:
    """What is to be added to this time, and others of the kernel that were read then, to make them Unix times."""
    return moment.to_unix(time) - time


def _in_two(columns: Sequence[Iterable[bytes]]) -> tuple[Iterable[bytes], Iterable[bytes]]:
    """The first column, and the others as one."""
    if len(columns) < 2:
        return columns[0] if columns else repeat(b""), repeat(b"")
    return columns[0], columns[1] if len(columns) == 2 else map(b"".join, zip(*columns[1:]))  # noqa: B905


def _grouped(sources: Sequence[_Source], sample: Sequence[Any]) -> Iterator[tuple[list[_Source], bool]]:
    """Sources in their order, neighbours together as long as few of their tuples differ, and whether few do."""
    most = len(sample) // _SLOW
    group: list[_Source] = []
    values: list[list[Any]] = []
    for source in sources:
        column = list(map(attrgetter(source.name), sample))
        if distinct([*values, column]) <= most:
            group.append(source)
            values.append(column)
            continue
        if group:
            yield group, True
        is_slow = distinct([column]) <= most
        group, values = ([source], [column]) if is_slow else ([], [])
        if not is_slow:
            yield [source], False
    if group:
        yield group, True


def _fast(source: _Source) -> Segment:
    get, column = attrgetter(source.name), source.column
    return lambda rows: column(map(get, rows))


def _slow(group: Sequence[_Source]) -> Segment:
    """The fields of a group, by their values together."""
    get = attrgetter(*(source.name for source in group))
    known = [source.written for source in group]
    written = known[0] if len(group) == 1 else Memo(lambda values: b"".join(map(getitem, known, values)))
    return lambda rows: map(written.__getitem__, map(get, rows))


def _attributes(sources: Iterable[_Source], row: Any) -> bytes:
    """Those of one row."""
    return b"".join([source.written[getattr(row, source.name)] for source in sources])
