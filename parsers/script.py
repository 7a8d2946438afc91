"""Reads what a bpftrace program says about its output: its probes, its maps, what it prints and its parameters.

Any program from 0.9 to 0.27 can be read, and any text at all: what is not understood is left out and listed in
``Script.problems``. Nothing is checked beyond that; bpftrace does it better. Both branches of an ``#ifdef`` are read,
and C macros are not expanded.

A comment can say what a map or a line of output means, on a line of its own inside it::

    // otlp: @usecs name=ebpf.block.latency unit=us keys=device,op description="Block I/O latency"
    // otlp: printf name=ebpf.exec          (the next printf or print)
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import takewhile
from typing import NamedTuple

import pyparsing as pp

from parsers.literals import unescape
from parsers.script_grammar import MAX_LENGTH, Code, Problem, Section, Span, Token, group, lex, sections

__all__ = ("Annotation", "Call", "MapAssignment", "Parameter", "Probe", "Script", "read_script")

MAX_PROBLEMS = 50

_AGGREGATES = frozenset({"count", "sum", "min", "max", "avg", "stats", "hist", "lhist", "tseries"})
_CALLS = frozenset(
    {"printf", "print", "time", "join", "cat", "system", "errorf", "warnf", "debugf"}
    | {"clear", "zero", "delete", "exit"},
)
_NAMES_A_MAP = frozenset({"print", "clear", "zero", "delete"})  # their first argument is a map and not its value
_STEPS = ("++", "--")
_ASSIGNMENTS = ("=", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", "<<=", ">>=")
_BOUNDS = (";", "{", "}")  # what stands before a statement

# otlp: @usecs name=ebpf.block.latency keys=device,op description="Block I/O latency"
_TARGET = pp.Regex(r"@(?:[A-Za-z_]\w*)?(?!\S)|printf?(?!\S)", re.ASCII)
_PAIR = pp.Regex(r'(?P<key>[A-Za-z_][\w.-]*)=(?P<value>"[^"\\]*(?:\\.[^"\\]*)*"(?!\S)|[^\s"]\S*)', as_match=True)
_ANNOTATION = (pp.Suppress("otlp:") + _TARGET + pp.ZeroOrMore(_PAIR) + pp.StringEnd()).parse_with_tabs()

_POSITIONAL = re.compile(r"\$0*([1-9][0-9]*)")
_STRING = re.compile(r'"[^"\\\n]*(?:\\[^\n][^"\\\n]*)*"')
_COMMENT = re.compile(r"/\*.*\*/", re.DOTALL)

# The names in `biolatency.bt  Block I/O`, `biolatency   Block I/O`, `opensnoop Trace`, `tcplife - Trace`, `- Trace`.
_TOOL_NAME = re.compile(
    r"""\A(?: [\w.-]+\.bt\b[\s:]* | [\w.-]+(?:\t|\s\s)\s* | [a-z][\w.-]*\s(?=[A-Z][a-z])
        | [\w.-]+\s+(?=[-\u2013\u2014]) )?
          (?: [-\u2013\u2014]+\s+ )?""",
    re.VERBOSE,
)
_NO_SUMMARY = re.compile(r"[\W_]*\Z|otlp:|SPDX-|Copyright\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Probe:
    """``attach_points /predicate/ { ... }``; an attach point is as written, ``tracepoint:syscalls:sys_exit_open*``."""

    attach_points: tuple[str, ...]
    predicate: str | None
    line: int


@dataclass(frozen=True, slots=True)
class MapAssignment:
    """``@map[keys] operator function(arguments)``; expressions are as written, with single blanks.

    ``map`` has no ``@`` and is "" for the map without a name. ``operator`` is "++" and "--" on both sides of the map.
    ``function`` is an aggregation (count, sum, min, max, avg, stats, hist, lhist, tseries) or None; then ``arguments``
    is the right side, if there is one. ``probe`` is an index into ``Script.probes``, -1 in a macro or function.
    """

    map: str
    keys: tuple[str, ...]
    operator: str
    function: str | None
    arguments: tuple[str, ...]
    probe: int
    line: int


@dataclass(frozen=True, slots=True)
class Call:
    """A call that prints, changes maps or ends: printf, print, time, join, cat, clear, delete, exit and the like.

    Calls one after the other with the same ``block`` run one after the other: no branch, loop or other block stands
    between them. String literals are as written, adjacent ones joined.
    """

    function: str
    arguments: tuple[str, ...]
    probe: int
    block: int
    line: int


@dataclass(frozen=True, slots=True)
class Parameter:
    """``getopt("name", default)``, or ``$1`` with the name "1"; the default is the text of the literal.

    ``is_flag``: true or false, that is ``getopt("name")`` or a default of true or false. ``is_string``: the default is
    a string, or ``str($1)`` is asked for.
    """

    name: str
    default: str | None
    is_flag: bool
    is_string: bool


@dataclass(frozen=True, slots=True)
class Annotation:
    """``otlp: target key=value key="more words"`` in a comment; the target is "@map", or "printf" for the next one."""

    target: str
    words: dict[str, str]
    line: int


@dataclass(frozen=True, slots=True)
class Script:
    """What a program says. ``variables`` has what is first assigned to a variable: (probe, "$name") -> expression.

    ``reads`` are the maps whose values are used: in expressions, conditions, keys, arguments and ``for`` loops.
    """

    probes: tuple[Probe, ...]
    assignments: tuple[MapAssignment, ...]
    calls: tuple[Call, ...]
    parameters: tuple[Parameter, ...]
    annotations: tuple[Annotation, ...]
    reads: frozenset[str]
    variables: Mapping[tuple[int, str], str]
    summary: str
    has_config_block: bool
    includes: bool
    problems: tuple[str, ...]
    _maps: tuple[str, ...] = field(default=(), repr=False)

    def maps(self) -> tuple[str, ...]:
        """All maps in order of appearance, without their ``@``; those of macros are arguments and not counted."""
        return self._maps


class _Region(NamedTuple):
    """The tokens of a predicate or body, and the index of its probe: -1 for a macro or function."""

    probe: int
    span: Span
    is_macro: bool = False

    def indices(self) -> range:
        return range(*self.span)


def read_script(source: str) -> Script:
    """Read a program. Raises nothing: what cannot be read is left out and listed in ``Script.problems``."""
    words = list(lex(source.removeprefix("\ufeff")))
    code, problems = group(word for word in words if word.kind not in {"comment", "directive"})
    parts = list(sections(code))
    regions = list(_regions(parts))
    own = {part.name for part in parts if part.name}
    annotations = list(_annotations(words))
    problems += [*_problems_of_words(words), *_problems_of_parts(parts), *_problems_of_code(code, regions)]
    problems += [found for found in annotations if isinstance(found, Problem)]
    if len(source) > MAX_LENGTH:
        problems.append(Problem(words[-1].line if words else 1, f"only {MAX_LENGTH} characters are read"))
    return Script(
        probes=tuple(_probe(code, part) for part in parts if part.kind == "probe"),
        assignments=tuple(found for region in regions for found in _assignments(code, region)),
        calls=tuple(found for region in regions for found in _calls(code, region, own)),
        parameters=tuple(_parameters(code)),
        annotations=tuple(found for found in annotations if isinstance(found, Annotation)),
        reads=frozenset(code.tokens[index].text[1:] for region in regions for index in _reads(code, region)),
        variables=_variables(code, regions),
        summary=_summary(words),
        has_config_block=any(part.kind == "config" for part in parts),
        includes=any(re.match(r"#\s*include\b", word.text) for word in words if word.kind == "directive"),
        problems=_listed(problems),
        _maps=_maps(code, parts, regions),
    )


def _regions(parts: Iterable[Section]) -> Iterator[_Region]:
    probe = -1
    for part in parts:
        probe += part.kind == "probe"
        if part.predicate:
            yield _Region(probe, part.predicate)
        if part.kind in {"probe", "macro", "fn"}:
            yield _Region(probe if part.kind == "probe" else -1, part.body, is_macro=part.kind == "macro")


def _probe(code: Code, part: Section) -> Probe:
    return Probe(part.attach_points, code.text(part.predicate) if part.predicate else None, part.line)


# Maps


def _after_map(code: Code, index: int) -> int:
    """After ``@map`` or ``@map[keys]``; what follows that, ``[0]`` or ``.field``, takes a part of the value."""
    return code.after(index + 1) if code.has(index + 1, "[") else index + 1


def _assignments(code: Code, region: _Region) -> Iterator[MapAssignment]:
    for index in region.indices():
        after = _after_map(code, index) if code.kind(index) == "map" else -1
        if code.has(after, *_ASSIGNMENTS, *_STEPS):
            yield _assignment(code, region, index, after)
        elif after > 0 and code.has(index - 1, *_STEPS):
            yield _assignment(code, region, index, index - 1)


def _assignment(code: Code, region: _Region, index: int, operator: int) -> MapAssignment:
    token, symbol = code.tokens[index], code.tokens[operator].text
    keys = code.split(Span(index + 2, code.closes[index + 1])) if code.has(index + 1, "[") else ()
    function, arguments = (None, ()) if symbol in _STEPS else _assigned(code, _right_side(code, region, operator))
    return MapAssignment(token.text[1:], keys, symbol, function, arguments, region.probe, token.line)


def _assigned(code: Code, right: Span) -> tuple[str | None, tuple[str, ...]]:
    call = code.call(right)
    return call if call is not None and call[0] in _AGGREGATES else (None, (code.text(right),))


def _right_side(code: Code, region: _Region, equals: int) -> Span:
    """What is assigned: up to the end of the statement, or to the next assignment if a semicolon is missing."""
    first = equals + 1
    return Span(first, code.seek(Span(first, region.span.last), {";", "}", ")", "]", ",", *_ASSIGNMENTS}))


def _reads(code: Code, region: _Region) -> Iterator[int]:
    """The maps whose value is used; in a macro they are arguments, and the map is read where it is passed."""
    named = set(_named_maps(code, region))
    for index in region.indices():
        is_candidate = code.kind(index) == "map" and index not in named and not region.is_macro
        if is_candidate and _is_value(code, index):
            yield index


def _is_value(code: Code, index: int) -> bool:
    """Whether a map is neither assigned to nor counted up or down in a statement of its own."""
    after = _after_map(code, index)
    if code.has(after, *_ASSIGNMENTS):
        return False
    first, last = index - code.has(index - 1, *_STEPS), after + code.has(after, *_STEPS)
    is_step = (first, last) != (index, after)
    return not (is_step and code.has(first - 1, *_BOUNDS) and code.has(last, *_BOUNDS))


def _named_maps(code: Code, region: _Region) -> Iterator[int]:
    """``@x`` of ``print(@x)``, ``clear(@x)``, ``delete(@x, key)``, ``delete(@x[key])``: named and not read."""
    for index in region.indices():
        if code.has(index, *_NAMES_A_MAP) and code.has(index + 1, "("):
            yield from _maps_named_by(code, index)


def _maps_named_by(code: Code, index: int) -> Iterator[int]:
    """The first argument; up to 0.21 ``delete(@x[key], @y[key])`` names several."""
    argument, is_first = index + 2, True
    while code.kind(argument) == "map" and code.has(after := _after_map(code, argument), ",", ")"):
        if not is_first and not code.has(argument + 1, "["):
            return
        yield argument
        if not code.has(index, "delete") or not code.has(argument + 1, "["):
            return
        argument, is_first = after + 1, False


def _maps(code: Code, parts: Iterable[Section], regions: Iterable[_Region]) -> tuple[str, ...]:
    declared = [part.body.first for part in parts if part.kind == "let"]
    used = [index for region in regions if not region.is_macro for index in region.indices()]
    found = (code.tokens[index] for index in sorted(declared + used) if code.kind(index) == "map")
    return tuple(dict.fromkeys(token.text[1:] for token in found))


# Calls, variables, parameters


def _calls(code: Code, region: _Region, own: Collection[str]) -> Iterator[Call]:
    """The number of a block is the index of the token that begins it.

    A call inside a statement may depend on a condition (``$x ? printf("a") : printf("b")``): it has a block of its own.
    A macro or function of the program itself may print, so a block ends there too.
    """
    block = region.span.first - 1
    for index in region.indices():
        if code.has(index, "{", "}") or (code.has(index, *own) and code.has(index - 1, *_BOUNDS)):
            block = index
        elif _is_call(code, index):
            is_statement = code.has(index - 1, *_BOUNDS)
            token, arguments = code.tokens[index], code.split(Span(index + 2, code.closes[index + 1]))
            yield Call(token.text, arguments, region.probe, block if is_statement else index, token.line)
            block = block if is_statement else index + 1


def _is_call(code: Code, index: int) -> bool:
    return code.has(index, *_CALLS) and code.has(index + 1, "(") and not code.has(index - 1, ".", "->")


def _variables(code: Code, regions: Iterable[_Region]) -> dict[tuple[int, str], str]:
    variables: dict[tuple[int, str], str] = {}
    for region in regions:
        for index in region.indices():
            key = (region.probe, code.tokens[index].text)
            equals = _equals(code, index) if code.kind(index) == "variable" and key not in variables else 0
            if equals:
                variables[key] = code.text(_right_side(code, region, equals))
    return variables


def _equals(code: Code, index: int) -> int:
    """The ``=`` of ``$x = 1`` and ``let $x : uint64 = 1``; 0 if there is none."""
    if code.has(index - 1, "let") and code.has(index + 1, ":"):
        end = code.seek(Span(index + 2, min(index + 20, len(code.tokens))), {"=", ";", "}"})
        return end if code.has(end, "=") else 0
    return index + 1 if code.has(index + 1, "=") else 0


def _parameters(code: Code) -> Iterable[Parameter]:
    found: dict[str, Parameter] = {}
    for parameter in (used for index in range(len(code.tokens)) for used in _parameters_at(code, index)):
        known = found.setdefault(parameter.name, parameter)
        if parameter.is_string:
            found[parameter.name] = replace(known, is_string=True)
    return found.values()


def _parameters_at(code: Code, index: int) -> Iterator[Parameter]:
    token = code.tokens[index]
    if token.kind in {"variable", "path"}:
        is_string = code.has(index - 2, "str") and code.has(index - 1, "(") and code.has(index + 1, ",", ")")
        for number in _POSITIONAL.findall(token.text):
            yield Parameter(number, None, is_flag=False, is_string=is_string)
    elif token.text == "getopt" and code.has(index + 1, "("):
        arguments = code.split(Span(index + 2, code.closes[index + 1]))
        if arguments and arguments[0].startswith('"'):
            yield _getopt(unescape(arguments[0]), arguments[1] if len(arguments) > 1 else None)


def _getopt(name: str, default: str | None) -> Parameter:
    is_flag = default in {None, "true", "false"}
    return Parameter(name, default, is_flag, is_string=default is not None and default.startswith('"'))


# Comments


def _lines(comment: Token) -> Iterator[tuple[int, str]]:
    """The lines of a comment with their numbers, without the stars and blanks before them."""
    text = comment.text[2:].removesuffix("*/") if comment.text.startswith("/*") else comment.text[2:]
    for offset, line in enumerate(text.split("\n")):
        yield comment.line + offset, line.lstrip(" \t*").rstrip()


def _annotations(words: Iterable[Token]) -> Iterator[Annotation | Problem]:
    for word in words:
        for line, text in _lines(word) if word.kind == "comment" else ():
            if text.startswith("otlp:"):
                yield _annotation(text, line)


def _annotation(text: str, line: int) -> Annotation | Problem:
    try:
        target, *pairs = _ANNOTATION.parse_string(text)
    except pp.ParseException:
        return Problem(line, 'not an annotation: otlp: @MAP or printf, then KEY=VALUE or KEY="VALUE" each')
    words = {pair["key"]: unescape(pair["value"]) if pair["value"][0] == '"' else pair["value"] for pair in pairs}
    if len(words) < len(pairs):
        return Problem(line, "the annotation says one key twice")
    return Annotation("printf" if target == "print" else target, words, line)


def _summary(words: Iterable[Token]) -> str:
    """The first line of the comments at the beginning that says something, without the name of the tool."""
    leading = takewhile(lambda word: word.kind in {"comment", "directive"}, words)
    lines = (line for word in leading if word.kind == "comment" for _, line in _lines(word))
    said = (_TOOL_NAME.sub("", line, count=1) for line in lines if not _NO_SUMMARY.match(line))
    return next((" ".join(line.split()) for line in said if line), "")


# Problems


def _problems_of_words(words: Iterable[Token]) -> Iterator[Problem]:
    for word in words:
        if word.kind == "string" and not _STRING.fullmatch(word.text):
            yield Problem(word.line, "the string is not closed")
        elif word.kind == "comment" and word.text.startswith("/*") and not _COMMENT.fullmatch(word.text):
            yield Problem(word.line, "the comment is not closed")


def _problems_of_parts(parts: Iterable[Section]) -> Iterator[Problem]:
    return (Problem(part.line, part.problem) for part in parts if part.problem)


def _problems_of_code(code: Code, regions: Iterable[_Region]) -> Iterator[Problem]:
    for index in (index for region in regions for index in region.indices()):
        token = code.tokens[index]
        if token.kind == "junk":
            yield Problem(token.line, f"unexpected {token.text[:20]!a}")


def _listed(problems: Iterable[Problem]) -> tuple[str, ...]:
    lines = [f"line {line}: {message}" for line, message in sorted(set(problems))]
    return (*lines[:MAX_PROBLEMS], *([f"and {len(lines) - MAX_PROBLEMS} more"] if len(lines) > MAX_PROBLEMS else []))
