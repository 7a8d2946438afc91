"""Lines of ``print((TAG, FIELD, ...))`` whose fields are known -> rows, many lines in one pass.

It reads what ``JsonDecoder`` would read of such lines, and nothing else: whatever is not exactly so is left to it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby, repeat
from operator import itemgetter
from typing import Annotated, Any, Literal, NamedTuple, Union, cast

import msgspec
from msgspec import Meta

from parsers.framing import lines_of
from parsers.records import Rows

__all__ = ("FieldType", "RowDecoder", "Shape", "row_field")

FieldType = Literal["time", "int", "string"]
# Times are the kernel's nanoseconds since it was started, to which those from 1970 to then can be added. An integer is
# one that OTLP can hold.
_Time = Annotated[int, Meta(ge=0, lt=2**62)]
_TYPES: dict[FieldType, Any] = {
    "time": _Time,
    "int": Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)],
    "string": str,
}
_PREFIX = b'{"type": "value", "data": ["%b",'
_MOST_KNOWN = 4096
# If more than one line in so many has values that were not seen before, or so many lines have, the block is read
# another way, and so are the next ones: one, then four times as many each time, as what is new to a stream that has
# just begun may come again and again. What has not come again by then is forgotten, and all begins anew.
_OFTEN, _MOST_NEW, _MOST_RESTING = 4, 512, 1024


class Shape(NamedTuple):
    """The types of an event's fields; ``ends_in_text``: its last one may be told apart from the rest as it is."""

    fields: Sequence[FieldType]
    ends_in_text: bool = False


def row_field(index: int) -> str:
    """What the attribute of a row is called that holds the ``index``-th field of its event."""
    return f"field_{index}"


class RowDecoder:
    """``shapes``: those of the events, by their tags.

    Numbers may be strings, as 0.24 and later send those that a double cannot hold: ``"9007199254740993"``.
    """

    def __init__(self, shapes: Mapping[str, Shape]) -> None:
        self._tags = {_row_type(tag, shape.fields): tag for tag, shape in shapes.items()}
        self._prefixes = tuple(_PREFIX % tag.encode() for tag in shapes)
        self._splitters = {_PREFIX % tag.encode(): list(_splitters(tag, shape)) for tag, shape in shapes.items()}
        self._decoder = _line_decoder(list(self._tags))

    def decode(self, block: bytes) -> list[Rows] | None:
        """Read a block of nothing but such lines, by tag; None if there is anything else in it.

        Text in other bytes than ASCII is escaped in a way of bpftrace's own, and is not read here either.
        """
        for prefix, splitters in self._splitters.items():
            if block.startswith(prefix):
                for splitter in splitters:
                    if (rows := splitter.split(block)) is not None:
                        return [rows]
        return self._decode(block) if _is_plain(block) else None

    def _decode(self, block: bytes) -> list[Rows] | None:
        try:
            lines = self._decoder.decode_lines(block)
        except msgspec.MsgspecError:
            return None
        if len(lines) != block.count(b"\n"):
            return None
        found: dict[type, list[Any]] = {}
        for line in lines:
            row = line.data
            found.setdefault(row.__class__, []).append(row)
        return [Rows(self._tags[kind], rows) for kind, rows in found.items()]

    def split(self, block: bytes) -> Iterator[tuple[bool, list[bytes]]]:
        """The lines of a block, those that look like such lines apart from others, in order."""
        for is_event, lines in groupby(lines_of(block), self._is_event):
            yield is_event, list(lines)

    def _is_event(self, line: bytes) -> bool:
        return line.startswith(self._prefixes) and _is_plain(line)


class _Splitter(ABC):
    """Reads lines of one event by their commas: ``PREFIX TIME,REST``. A REST that comes again is not decoded again.

    ``fields``: those that are decoded.
    """

    def __init__(self, tag: str, fields: Sequence[FieldType]) -> None:
        self._tag = tag
        self._prefix = _PREFIX % tag.encode()
        self._row = _line_decoder([_row_type(tag, fields, first=1)])
        self._known = _Known(self._read)
        self._times: msgspec.json.Decoder[list[int]] = msgspec.json.Decoder(list[_Time], strict=False)
        self._resting, self._rest = 0, 1

    def split(self, block: bytes) -> Rows | None:
        """Read a block that begins with such a line; None if one of its lines is none, or if most are new."""
        if self._resting:
            self._resting -= 1
            return None
        # Times of one block have the same number of digits, but for one block in years.
        begin = len(self._prefix)
        end = block.find(b",", begin)
        parts = self._cut(block, end)
        if parts is None or b"".join(map(itemgetter(slice(begin)), parts.lines)) != self._prefix * len(parts.lines):
            return None
        times = b",".join(map(itemgetter(slice(begin, end)), parts.lines))
        if b"\n" in times:  # two lines, each of them broken: blanks may stand around a number
            return None
        self._known.left = min(len(parts.rests) // _OFTEN, _MOST_NEW)
        try:
            numbers = self._times.decode(b"[%b]" % times)
            rows = list(map(self._known.__getitem__, parts.rests))
        except msgspec.MsgspecError:  # no times, other fields
            return None
        except _TooManyError:
            self._begin_rest()
            return None
        self._rest = 1
        return Rows(self._tag, rows, numbers, parts.texts) if len(numbers) == len(rows) else None

    def _begin_rest(self) -> None:
        self._resting, self._rest = self._rest, 4 * self._rest
        if self._rest > _MOST_RESTING:
            self._rest = 1
            self._known.clear()

    @abstractmethod
    def _cut(self, block: bytes, end: int) -> _Parts | None:
        """The parts of each line; its time ends at ``end``. None if that cannot be told."""

    def _read(self, rest: bytes) -> Any:
        """The row of what stands behind a time. Raises MsgspecError."""
        if not _is_plain(rest):
            raise msgspec.DecodeError("read elsewhere")
        return self._row.decode(b"%b%b" % (self._prefix[:-1], rest)).data


class _Parts(NamedTuple):
    """Of each line: what its time can be cut from, what is decoded, and the text that is not."""

    lines: Sequence[bytes]
    rests: Sequence[bytes]
    texts: Sequence[bytes] = ()


class _WholeLines(_Splitter):
    """All that stands behind the time is one REST: the same happens again and again."""

    def _cut(self, block: bytes, end: int) -> _Parts:
        lines = block.split(b"\n")
        del lines[-1]
        return _Parts(lines, list(map(itemgetter(slice(end, None)), lines)))


class _TextsApart(_Splitter):
    """``PREFIX TIME,REST,"TEXT"]}``: a text is another one each time, and the REST (pid, thread, user) is not.

    The text is not decoded at all: without a backslash it stands for itself, and the last quote begins it.
    """

    def _cut(self, block: bytes, end: int) -> _Parts | None:
        if b"\\" in block or not block.isascii():
            return None
        lines = block.split(b'"]}\n')
        if lines.pop():
            return None
        apart = list(map(bytes.rpartition, map(itemgetter(slice(end, None)), lines), repeat(b'"')))
        texts = list(map(itemgetter(2), apart))
        if b"\n" in b"".join(texts):  # two lines, each of them broken
            return None
        return _Parts(lines, list(map(itemgetter(0), apart)), texts)

    def _read(self, rest: bytes) -> Any:
        if not rest.endswith(b","):
            raise msgspec.DecodeError("a text is read elsewhere that stands for itself")
        return super()._read(rest[:-1] + b"]}")


class _TooManyError(Exception):
    """Of what was not known yet."""


class _Known(dict[bytes, Any]):
    """Rows by the text that they were made of; ``left``: how many more may be made. Above a bound all is forgotten."""

    def __init__(self, make: Callable[[bytes], Any]) -> None:
        super().__init__()
        self._make = make
        self.left = 0

    def __missing__(self, text: bytes) -> Any:
        if not self.left:
            raise _TooManyError
        self.left -= 1
        if len(self) >= _MOST_KNOWN:
            self.clear()
        row = self[text] = self._make(text)
        return row


def _is_plain(text: bytes) -> bool:
    """Whether nothing in it has to be read in bpftrace's own way."""
    return text.isascii() and b"\\u" not in text


def _splitters(tag: str, shape: Shape) -> Iterator[_Splitter]:
    """The ways to read many lines of an event by their commas, the fastest first."""
    time, *fields = shape.fields
    if time == "time" and fields:
        yield _WholeLines(tag, fields)
        if shape.ends_in_text and len(fields) > 1:
            yield _TextsApart(tag, fields[:-1])


def _line_decoder(rows: Sequence[type]) -> msgspec.json.Decoder[Any]:
    """Reads ``{"type": "value", "data": ROW}``."""
    data = Union[tuple(rows)]  # type: ignore[valid-type]  # made at run time
    line = msgspec.defstruct("ValueLine", [("data", data)], tag_field="type", tag="value", gc=False)
    return msgspec.json.Decoder(line, strict=False)


def _row_type(tag: str, fields: Sequence[FieldType], first: int = 0) -> type:
    """``["TAG", 651996824598, 42, "comm"]``: no more and no fewer elements. Rows are themselves and no others."""
    return cast(
        "type",
        msgspec.defstruct(
            f"Row_{tag}",
            [(row_field(index), _TYPES[kind]) for index, kind in enumerate(fields, first)],
            array_like=True,
            tag=tag,
            gc=False,
            eq=False,
            forbid_unknown_fields=True,
        ),
    )
