"""The printing statements of a program -> lines, and what stands in them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby

from msgspec import structs

from config.manifest import Field, Piece, Print
from orchestrator.inference.annotations import check_words
from orchestrator.inference.meaning import Meaning, Scope, meaning_of, unique
from orchestrator.signals.names import identifier
from parsers.escapes import storable
from parsers.literals import unescape
from parsers.printf import Conversion, parse_format
from parsers.script import Call, Script

__all__ = ("infer_prints",)

_PRINTING = {"printf", "time", "join", "print"}
_TIME_FORMAT = "%H:%M:%S\n"
_WORDS = ("fields", "name", "severity")
_NUMBERS = set("diuxXop")


def infer_prints(program: str, script: Script) -> list[Print]:
    """The lines that a program prints: statements that follow each other without a branch share one."""
    found: list[Print] = []
    for (probe, _), group in groupby(_statements(script), key=lambda call: (call.probe, call.block)):
        scope = Scope(script, probe)
        for calls in _lines(list(group)):
            pieces = [_piece(call, scope) for call in calls]
            line = Print(name=_event_name(program, script, probe), pieces=_numbered_pieces(pieces))
            found.append(_annotated(line, script, calls))
    return _renamed(found)


def _numbered_pieces(pieces: Sequence[Piece]) -> list[Piece]:
    """The pieces of a line, the second value of a name numbered."""
    meanings = iter(unique([Meaning(field.attribute) for piece in pieces for field in piece.fields]))
    return [
        structs.replace(
            piece, fields=[structs.replace(field, attribute=next(meanings).attribute) for field in piece.fields]
        )
        for piece in pieces
    ]


def _statements(script: Script) -> Iterator[Call]:
    """What prints something else than a map, and can be understood."""
    for call in script.calls:
        if call.function == "print" and (not call.arguments or re.match(r"@\w*\s*$", call.arguments[0])):
            continue
        if call.function in {"printf", "time"} and not all(text.startswith('"') for text in call.arguments[:1]):
            continue
        if call.function == "printf" and not _is_format(call):
            continue
        if call.function in _PRINTING:
            yield call


def _is_format(call: Call) -> bool:
    try:
        parse_format(_format_of(call))
    except ValueError:
        return False
    return bool(call.arguments)


def _lines(calls: Sequence[Call]) -> Iterator[list[Call]]:
    """Cut where a line ends."""
    line: list[Call] = []
    for call in calls:
        line.append(call)
        if call.function in {"join", "print"} or _format_of(call).endswith("\n"):
            yield line
            line = []
    if line:
        yield line


def _format_of(call: Call) -> str:
    """The format of printf() or time(); bytes that are no UTF-8 could not be written in a manifest."""
    return storable(unescape(call.arguments[0])) if call.arguments else _TIME_FORMAT


def _annotated(found: Print, script: Script, calls: Sequence[Call]) -> Print:
    """The line with what ``// otlp: printf name=... fields=...`` before its first statement says of it."""
    before = [one for one in script.annotations if one.target == "printf" and one.line <= calls[0].line]
    if not before or any(before[-1].line <= call.line < calls[0].line for call in script.calls):
        return found
    words = before[-1].words
    check_words(before[-1], _WORDS)
    names = iter([name.strip() for name in words.get("fields", "").split(",")])
    pieces = [
        structs.replace(
            piece,
            fields=[structs.replace(field, attribute=next(names, "") or field.attribute) for field in piece.fields],
        )
        for piece in found.pieces
    ]
    return structs.replace(
        found, name=words.get("name", found.name), severity=words.get("severity", found.severity), pieces=pieces
    )


def _piece(call: Call, scope: Scope) -> Piece:
    if call.function == "time":
        return Piece(time=_format_of(call))
    if call.function == "join":
        return Piece(join=True, fields=[Field(attribute=_argument_name(call), type="string")])
    if call.function == "print":
        return Piece(print=True, fields=_value_fields(call.arguments[0], scope))
    return _printf(call, scope)


def _argument_name(call: Call) -> str:
    """join(args->argv) holds the arguments of an execution; other arrays are named as they are written."""
    words = re.findall(r"\w+", call.arguments[0]) if call.arguments else []
    return "process.command_line" if words[-1:] == ["argv"] else f"ebpf.{identifier(words[-1] if words else 'join')}"


def _printf(call: Call, scope: Scope) -> Piece:
    text = _format_of(call)
    conversions = [item for item in parse_format(text) if isinstance(item, Conversion)]
    meanings = [meaning_of(argument, scope) for argument in call.arguments[1:]]
    meanings = [*meanings, *[Meaning(None)] * len(conversions)][: len(conversions)]
    fields = [
        _field(meaning, item, index) for index, (meaning, item) in enumerate(zip(meanings, conversions, strict=True), 1)
    ]
    return Piece(printf=text, fields=fields)


def _field(meaning: Meaning, conversion: Conversion, index: int) -> Field:
    if meaning.literal is not None:  # it never changes: the body has it
        is_number = conversion.letter in _NUMBERS
        return Field(type="int" if is_number else "string", equals=_printed(meaning.literal, conversion))
    attribute = meaning.attribute or f"ebpf.field_{index}"
    if conversion.letter in _NUMBERS:
        return Field(attribute=attribute, type="time" if meaning.type == "time" else "int", scale=meaning.scale)
    kind = meaning.type if meaning.type in {"comm", "word", "address"} else "string"
    return Field(attribute=attribute, type=kind)


def _printed(literal: str, conversion: Conversion) -> str | None:
    """How a constant is printed, where that is just as it is written."""
    if conversion.letter in "diu":
        return literal if re.fullmatch(r"0|[1-9]\d{0,17}", literal) else None
    return literal if conversion.letter == "s" and conversion.precision is None else None


def _value_fields(expression: str, scope: Scope) -> list[Field]:
    """The elements of a printed tuple, or the one value."""
    tuple_of = scope.definition(expression) if expression.startswith("$") else None
    elements = _elements(tuple_of or expression)
    elements = elements if len(elements) > 1 else [expression]
    meanings = [meaning_of(element, scope) for element in elements]
    return [
        Field(type="any", equals=meaning.literal)
        if meaning.literal is not None
        else Field(
            attribute=meaning.attribute or f"ebpf.field_{index}",
            type="time" if meaning.type == "time" else "any",
            scale=meaning.scale,
        )
        for index, meaning in enumerate(meanings, 1)
    ]


def _elements(expression: str) -> list[str]:
    """``(1, (2, 3))`` -> 1 and (2, 3); what is no tuple is one element."""
    text = expression.strip()
    if not (text.startswith("(") and text.endswith(")")):
        return [text]
    parts, depth, start = [], 0, 1
    for match in re.finditer(r'"(?:\\.|[^"\\])*"|[()\[\],]', text):
        depth += (match[0] in "([") - (match[0] in ")]")
        if match[0] == "," and depth == 1:
            parts.append(text[start : match.start()].strip())
            start = match.end()
        elif depth == 0 and match.end() != len(text):
            return [text]  # (a) + (b)
    return [*parts, text[start:-1].strip()] if parts else [text]


def _event_name(program: str, script: Script, probe: int) -> str:
    """``ebpf.PROGRAM.PROBE``: tracepoint:syscalls:sys_exit_open -> sys_exit_open, interval:s:1 -> interval."""
    points = script.probes[probe].attach_points if probe >= 0 else ()
    parts = (points[0].split(":") if points else []) or ["macro"]
    parts = [part for part in parts if not part.isdigit()] or parts
    last = parts[0] if parts[0] in {"interval", "i", "profile", "p"} else parts[-1]
    return f"ebpf.{identifier(program)}.{identifier(last)}"


def _renamed(prints: Sequence[Print]) -> list[Print]:
    """Lines with other fields have other names: a name stands for one set of attributes."""
    names: dict[str, list[set[str]]] = {}
    found = []
    for one in prints:
        attributes = {field.attribute for piece in one.pieces for field in piece.fields if field.attribute}
        known = names.setdefault(one.name, [])
        if attributes not in known:
            known.append(attributes)
        index = known.index(attributes)
        found.append(
            one if not index else Print(name=f"{one.name}_{index + 1}", pieces=one.pieces, severity=one.severity)
        )
    return found
