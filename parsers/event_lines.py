"""Lines of ``print((TAG, FIELD, ...))`` whose fields are known -> rows, many lines in one pass.

It reads what ``JsonDecoder`` would read of such lines, and nothing else: whatever is not exactly so is left to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
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
# If more than one line in so many has values that were not seen before, the next blocks are read another way: one,
# then twice as many each time, as what is new to a stream that has just begun may come again and again.
_OFTEN, _MOST_RESTING = 4, 64


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
        self._splitters = {
            _PREFIX % tag.encode(): _Splitter(tag, shape.fields) for tag, shape in shapes.items() if _splits(shape)
        }
        data = Union[tuple(self._tags)]  # type: ignore[valid-type]  # made at run time
        line = msgspec.defstruct("ValueLine", [("data", data)], tag_field="type", tag="value", gc=False)
        self._decoder = msgspec.json.Decoder(line, strict=False)

    def decode(self, block: bytes) -> list[Rows] | None:
        """Read a block of nothing but such lines, by tag; None if there is anything else in it.

        Text in other bytes than ASCII is escaped in a way of bpftrace's own, and is not read here either.
        """
        if not block.isascii():
            return None
        if b"\\" not in block:
            for prefix, splitter in self._splitters.items():
                if block.startswith(prefix) and (rows := splitter.split(block)) is not None:
                    return [rows]
        elif b"\\u" in block:
            return None
        return self._decode(block)

    def _decode(self, block: bytes) -> list[Rows] | None:
        try:
            lines = cast("list[Any]", self._decoder.decode_lines(block))
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
        return line.startswith(self._prefixes) and b"\\u" not in line and line.isascii()


class _Splitter:
    """Reads lines of one event by their commas: ``PREFIX TIME,REST,"TEXT"]}``.

    What stands between the time and the text (pid, thread, user) comes again and again: it is decoded once, and its
    row shared. The text is not decoded at all, for without a backslash it stands for itself.
    """

    def __init__(self, tag: str, fields: Sequence[FieldType]) -> None:
        self._tag = tag
        self._prefix = _PREFIX % tag.encode()
        decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(_row_type(tag, fields[1:-1], first=1), strict=False)
        self._known = _Known(lambda rest: decoder.decode(b'["%b"%b]' % (tag.encode(), rest)))
        self._times: msgspec.json.Decoder[list[int]] = msgspec.json.Decoder(list[_Time])
        self._resting, self._rest = 0, 1

    def split(self, block: bytes) -> Rows | None:
        """Read a block that begins with such a line; None if one of its lines is none, or if most are new."""
        if self._resting:
            self._resting -= 1
            return None
        lines = block.split(b'"]}\n')
        if lines.pop() or block.count(self._prefix) != len(lines):
            return None
        # Times of one block have the same number of digits, but for one block in years.
        begin, end = len(self._prefix), lines[0].find(b",", len(self._prefix))
        times: list[bytes] = []
        rests: list[bytes] = []
        texts: list[bytes] = []
        for line in lines:
            fields, _, text = line.rpartition(b',"')
            times.append(fields[begin:end])
            rests.append(fields[end:])
            texts.append(text)
        return self._rows(times, rests, texts)

    def _rows(self, times: Sequence[bytes], rests: Sequence[bytes], texts: Sequence[bytes]) -> Rows | None:
        if b'"' in b"".join(texts):
            return None
        made = self._known.made
        try:
            numbers = self._times.decode(b"[%b]" % b",".join(times))
            rows = list(map(self._known.__getitem__, rests))
        except msgspec.MsgspecError:  # no times, other fields
            return None
        if self._known.made - made > len(rows) // _OFTEN:
            self._resting, self._rest = self._rest, min(2 * self._rest, _MOST_RESTING)
        else:
            self._rest = 1
        return Rows(self._tag, rows, numbers, texts) if len(numbers) == len(rows) else None


class _Known(dict[bytes, Any]):
    """Rows by the text that they were made of. Above a bound all is forgotten."""

    def __init__(self, make: Callable[[bytes], Any]) -> None:
        super().__init__()
        self._make = make
        self.made = 0

    def __missing__(self, text: bytes) -> Any:
        if len(self) >= _MOST_KNOWN:
            self.clear()
        self.made += 1
        row = self[text] = self._make(text)
        return row


def _splits(shape: Shape) -> bool:
    return shape.ends_in_text and len(shape.fields) > 2 and shape.fields[0] == "time" and shape.fields[-1] == "string"


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
