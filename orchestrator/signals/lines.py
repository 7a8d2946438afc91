"""Lines and values that a program prints for people -> log records, by the manifest's ``prints``.

A line can come in pieces: ``time("%H:%M:%S ")``, then ``printf("%d ", pid)``, then ``join(args->argv)``. In JSON each
statement is a record of its own; in text only the whole line is there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from config.manifest import Field, Piece, Print
from orchestrator.signals.attributes import Setter, compile_attribute, number
from orchestrator.signals.clock import TIMES, Moment
from orchestrator.signals.model import AttributeValue, LogRecord
from orchestrator.signals.series import is_number
from orchestrator.signals.tables import Table
from orchestrator.signals.values import as_text, readable
from parsers.keys import number_or_text
from parsers.printf import UNSURE, Conversion, Kind, PrintfMatcher, parse_format
from parsers.records import Data
from parsers.strftime import time_pattern

__all__ = ("LineReader",)

_KINDS: dict[str, Kind] = {"comm": "comm", "word": "word", "address": "address"}
# Pieces of a line that does not end are given up as a line of their own beyond this.
_MOST_PIECES = 256
# A piece that has not come after so long was lost.
_LATE_NANOSECONDS = 1_000_000_000


class LineReader:
    """Reads what one program prints. ``name`` is the event name of what no rule knows.

    ``whole_lines``: the records come from text output, in which the statements of a line are one.
    """

    def __init__(self, prints: Sequence[Print], name: str, *, whole_lines: bool) -> None:
        self._name = name
        pieces = [piece for one in prints for piece in (_whole(one) if whole_lines else _compile(one))]
        # Banners and headers say the same always: they need no match, and keep out of the way of what does.
        self._constant = {piece.constant: piece for piece in pieces if piece.constant is not None}
        self._candidates: dict[str, list[_CompiledPiece]] = {}
        for piece in _distinct(piece for piece in pieces if piece.constant is None):
            self._candidates.setdefault("printf" if whole_lines else piece.kind, []).append(piece)
        self._has_rules = bool(prints)
        self._table: Table | None = None
        self._pending: _Line | None = None
        self._moment = Moment(0, 0)
        self._owed: list[_CompiledPiece] = []
        self._owed_until = 0

    def text(self, kind: str, text: str, moment: Moment) -> Iterator[LogRecord]:
        """The records that a piece of text completes; it is a whole line if it ends one."""
        piece: _CompiledPiece | None = self._constant.get(text)
        values: Sequence[Any] = ()
        if piece is None:
            piece, values = _best(self._candidates.get(kind, ()), text)
        is_anyones = self._take_owed(piece, moment)
        if self._pending is not None and (is_anyones or not self._pending.can_have(piece)):
            self._owe(self._pending)
            yield from self.flush()
        self._moment = moment
        line = self._pending or _Line()
        self._pending = None
        line.add(text, piece, values)
        ends = piece.ends if piece is not None else kind == "join" or text.endswith("\n")
        if ends or is_anyones or line.pieces >= _MOST_PIECES:
            yield from self._record(line, moment)
        else:
            self._pending = line

    def _owe(self, line: _Line) -> None:
        """Remember that the rest of a line is still to come: another CPU's came in between.

        Until then, or until it must have been lost, nothing tells whose line a piece goes on with.
        """
        if line.last is not None and line.last.has_next:
            if not self._owed:
                self._owed_until = self._moment.unix + _LATE_NANOSECONDS
            self._owed.append(line.last)

    def _take_owed(self, piece: _CompiledPiece | None, moment: Moment) -> bool:
        """Whether ``piece`` goes on with one of several lines that were begun."""
        if moment.unix > self._owed_until:
            self._owed = []
        owed = next((last for last in self._owed if piece is not None and last.shape in piece.follows), None)
        if owed is None:
            return False
        self._owed.remove(owed)
        return True

    def value(self, data: Data, moment: Moment) -> Iterator[LogRecord]:
        """The record of a printed value, which ends a line that was begun before it."""
        values = self._candidates.get("print", ())
        fitting = [(piece, elements) for piece in values if (elements := piece.elements(data)) is not None]
        best = max((piece.certainty for piece, _ in fitting), default=None)
        fitting = [(piece, elements) for piece, elements in fitting if piece.certainty == best]
        found = fitting[0] if len(fitting) == 1 else (None, ())
        if self._pending is not None and not self._pending.can_have(found[0]):
            yield from self.flush()
        line, self._pending = self._pending or _Line(), None
        line.add(as_text(data), *found)
        yield from self._record(line, moment)

    def flush(self) -> Iterator[LogRecord]:
        """The record of a line that was begun and will not be ended."""
        line, self._pending = self._pending, None
        if line is not None:
            yield from self._record(line, self._moment)

    def _read_row(self, text: str, attributes: dict[str, AttributeValue]) -> None:
        """Read a line under a header, where there is no rule for it."""
        table = Table.of(text)
        if table is not None:
            self._table = table
        elif self._table is not None:
            attributes.update(self._table.row(text))

    def _record(self, line: _Line, moment: Moment) -> Iterator[LogRecord]:
        body = readable(line.text.strip("\r\n"))
        if not body.strip() or line.name == _ONLY_TIME:
            return
        if not self._has_rules and line.text.endswith("\n"):
            self._read_row(body, line.attributes)
        time = moment.unix if line.nsecs is None else moment.to_unix(line.nsecs)
        time = time if time in TIMES else moment.unix
        name = line.name or self._name
        yield LogRecord(time, moment.unix, name, line.severity, body, line.attributes, line.fields)


# A line that is nothing but a time heads what follows; that has times of its own.
_ONLY_TIME = ""


@dataclass(slots=True)
class _Line:
    """What of a line has come so far."""

    text: str = ""
    name: str | None = None
    severity: str = "info"
    nsecs: int | None = None
    attributes: dict[str, AttributeValue] = field(default_factory=dict)
    fields: dict[str, AttributeValue] = field(default_factory=dict)
    pieces: int = 0
    first: _CompiledPiece | None = None
    last: _CompiledPiece | None = None

    def can_have(self, piece: _CompiledPiece | None) -> bool:
        """Whether ``piece`` can go on with this line, or begins another one while this one waits for its end."""
        if piece is None or self.last is None:
            return True
        if not piece.begins:
            return self.last.shape in piece.follows
        return not self.last.has_next and piece is not self.first

    def add(self, text: str, piece: _CompiledPiece | None, values: Sequence[Any]) -> None:
        """Add a piece and what it tells."""
        self.text += text
        self.pieces += 1
        self.first, self.last = self.first or piece, piece or self.last
        if piece is None:
            return
        if not self.name:
            self.name, self.severity = piece.name, piece.severity
        self.attributes.update(piece.attributes)
        for (rule, put), value in zip(piece.setters, values, strict=piece.constant is None):
            if value is UNSURE or rule.equals is not None:
                continue
            # What is of another kind than its rule says stands in the body.
            with contextlib.suppress(ValueError, TypeError, AttributeError):
                self._take(rule, put, value)

    def _take(self, rule: Field, put: Setter, value: Any) -> None:
        if rule.type == "time":
            self.nsecs = number(value)
            return
        # 0.24 and later print an integer above 2^53 as text.
        is_text = rule.type == "any" and isinstance(value, str)
        value = number(value) if rule.type == "int" or (is_text and is_number(value)) else value
        if rule.name is not None:
            self.fields[rule.name] = value
        if rule.attribute or rule.also:
            put(value, self.attributes)


class _CompiledPiece:
    """One of the statements that print a line, or all of them. ``has_next``: another one follows for certain."""

    def __init__(self, rule: Print, pieces: Sequence[Piece], *, begins: bool, has_next: bool) -> None:
        self.name: str | None = rule.name
        self.severity: str = rule.severity
        self.attributes: Mapping[str, AttributeValue] = rule.attributes
        self.begins, self.has_next = begins, has_next
        self.follows: set[Any] = set()
        self.fields = [field for piece in pieces for field in _fields(piece)]
        self.setters: list[tuple[Field, Setter]] = [
            (field, compile_attribute(field, is_number=field.type == "int")) for field in self.fields
        ]
        # Of several statements that could have printed a value: that with constants, and a tuple before an array.
        self.certainty = (sum(field.equals is not None for field in self.fields), len(self.fields) > 1)
        first = pieces[0]
        self._time = time_pattern(first.time) if first.time else None
        rest = pieces[1:] if first.time else pieces
        self.kind = "time" if not rest else "join" if first.join else "print" if first.print else "printf"
        if self.kind == "time" and (first.time or "").endswith("\n"):
            self.name = _ONLY_TIME
        text = "".join(map(_as_format, rest))
        self.ends = self.kind in {"join", "print"} or (text or first.time or "").endswith("\n")
        self._matcher = PrintfMatcher(text, [_KINDS.get(field.type, "any") for field in self.fields]) if rest else None
        self.constant = _constant(text, self.fields) if self.kind == "printf" and self._time is None else None
        self.specific = (
            (self._matcher.literal_size if self._matcher else 0)
            + len(first.time or "")
            + sum(len(field.equals or "") for field in self.fields)
        )
        # What prints the same cannot be told apart.
        self.shape = (self.kind, first.time, text, tuple((field.equals, field.type) for field in self.fields))

    def leave_out(self, other: _CompiledPiece) -> None:
        """Forget what ``other``, which prints the same, would say in another way."""
        if (self.name, self.severity, self.attributes) != (other.name, other.severity, other.attributes):
            self.name, self.severity, self.attributes = None, "info", {}
        for index, (mine, others) in enumerate(zip(self.fields, other.fields, strict=True)):
            if mine != others:
                self.setters[index] = (Field(), _nothing)
        self.begins = self.begins or other.begins
        self.follows |= other.follows
        self.has_next = self.has_next and other.has_next

    def match(self, text: str) -> Sequence[Any] | None:
        """The values in ``text``; None if it was not printed by this."""
        if self._time is not None:
            found = self._time.match(text)
            if found is None:
                return None
            text = text[found.end() :]
        if self._matcher is None:
            return () if not text else None
        # In JSON, join() says nothing of the newline that it ends with.
        values = self._matcher.match(text + "\n" if self.kind == "join" and not text.endswith("\n") else text)
        if values is None or not self._has_constants(values):
            return None
        return [
            _as_it_comes(value) if field.type == "any" else value
            for field, value in zip(self.fields, values, strict=True)
        ]

    def elements(self, data: Data) -> Sequence[Data] | None:
        """The values of a printed value; None if it cannot be this one's. What is no tuple may be an array."""
        elements = data if isinstance(data, list) and len(self.fields) > 1 else [data]
        return elements if len(elements) == len(self.fields) and self._has_constants(elements) else None

    def _has_constants(self, values: Sequence[Any]) -> bool:
        return all(
            field.equals is None or value is UNSURE or field.equals == str(value)
            for field, value in zip(self.fields, values, strict=True)
        )


def _fields(piece: Piece) -> list[Field]:
    """The fields of a statement; nothing is said of the last ones of a printf that has more."""
    if piece.printf is None:
        return piece.fields
    arguments = sum(isinstance(part, Conversion) for part in parse_format(piece.printf))
    return [*piece.fields, *[Field()] * (arguments - len(piece.fields))]


def _compile(rule: Print) -> list[_CompiledPiece]:
    last = len(rule.pieces) - 1
    compiled = [
        _CompiledPiece(rule, [piece], begins=index == 0, has_next=index < last)
        for index, piece in enumerate(rule.pieces)
    ]
    for before, after in pairwise(compiled):
        after.follows.add(before.shape)
    return compiled


def _whole(rule: Print) -> Iterator[_CompiledPiece]:
    """A line as one piece; not one that does not end, or that holds a time somewhere else than first."""
    line = _CompiledPiece(rule, rule.pieces, begins=True, has_next=False)
    if line.ends and not any(piece.time for piece in rule.pieces[1:]):
        yield line


def _distinct(pieces: Iterable[_CompiledPiece]) -> Iterable[_CompiledPiece]:
    """One piece for all that print the same."""
    found: dict[Any, _CompiledPiece] = {}
    for piece in pieces:
        known = found.setdefault(piece.shape, piece)
        if known is not piece:
            known.leave_out(piece)
    return found.values()


def _nothing(_value: Any, _attributes: dict[str, AttributeValue]) -> None:
    """Say nothing of a value."""


def _as_it_comes(value: Any) -> Any:
    """A number or a boolean that was printed as text, by print()."""
    if value in {"true", "false"}:
        return value == "true"
    return number_or_text(value) if isinstance(value, str) else value


def _as_format(piece: Piece) -> str:
    """The printf format that would print the same."""
    if piece.join:
        return "%s\n"
    if piece.print:
        text = ", ".join("%s" for _ in piece.fields)
        return f"({text})\n" if len(piece.fields) > 1 else f"{text}\n"
    return piece.printf or ""


def _constant(text: str, fields: Sequence[Field]) -> str | None:
    """What a format always prints, all arguments being constants; None if that is not so, or not certain."""
    if any(field.equals is None for field in fields):
        return None
    arguments = tuple(int(field.equals or "0") if field.type == "int" else field.equals for field in fields)
    try:
        return text % arguments
    except (ValueError, TypeError):
        return None


def _best(pieces: Iterable[_CompiledPiece], text: str) -> tuple[_CompiledPiece | None, Sequence[Any]]:
    """The piece that fits ``text`` best: the one with most text of its own; none if two do that differ in meaning."""
    fitting: list[tuple[_CompiledPiece, Sequence[Any]]] = []
    most = -1
    for piece in pieces:
        if piece.specific >= most and (values := piece.match(text)) is not None:
            fitting = [*(fitting if piece.specific == most else ()), (piece, values)]
            most = piece.specific
    if not fitting or any(_meaning(*one) != _meaning(*fitting[0]) for one in fitting[1:]):
        return None, ()
    return fitting[0]


def _meaning(piece: _CompiledPiece, values: Sequence[Any]) -> tuple[Any, ...]:
    line = _Line()
    line.add("", piece, values)
    return line.name, line.severity, line.nsecs, line.attributes, line.fields
