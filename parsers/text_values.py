"""One line of bpftrace's text output -> what stands in it; nothing here knows the lines around it.

The writers are ``src/output/text.cpp`` (0.24 and later) and ``TextOutput`` of ``src/output.cpp`` (before). None of them
escapes anything: a string with ``]: `` or ``, `` in it can look like something else, and the likelier reading is taken.
Nothing raises, and no line takes more than linear time: values nest as deep as the grammar is built, and not deeper.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

import pyparsing
from pyparsing import FollowedBy, NoMatch, ParseException, ParserElement, ParseResults, ZeroOrMore

from parsers.records import Bucket, Data

__all__ = ("MapLine", "read_hist_row", "read_map_line", "read_tseries_row")

# Deeper or longer than what bpftrace's types can hold; what is more stays a string.
_DEEPEST = 8
_LONGEST = 1 << 14


@dataclass(frozen=True, slots=True)
class MapLine:
    """``@c[a, 1]: 5``. A header has nothing behind its colon, or one blank: a hist, stack, empty string begins here."""

    name: str
    key: str | None
    kind: Literal["map", "stats", "header"]
    value: Data


# Blanks and tabs mean themselves. Each element says so itself: to say it of a whole grammar, pyparsing copies all that
# it holds, and what is nested once for every way into it.
def _regex(pattern: str) -> ParserElement:
    return pyparsing.Regex(pattern, re.DOTALL).leave_whitespace()


def _groups(pattern: str) -> ParserElement:
    """One token: the list of the groups in ``pattern``."""
    return pyparsing.Regex(pattern, re.DOTALL, as_group_list=True).leave_whitespace()


def _literal(text: str) -> ParserElement:
    return pyparsing.Literal(text).leave_whitespace()


def _whole(grammar: ParserElement) -> ParserElement:
    return (grammar + _regex(r"\Z")).parse_with_tabs()


def _read(grammar: ParserElement, line: str) -> Any:
    """The first thing that ``grammar`` finds in ``line``, or None."""
    try:
        return grammar.parse_string(line)[0]
    except ParseException:
        return None


# Values. JSON has no leading zeros, so `007` is a string. No number is above 64 bits: one of 41 digits is a string.
_NUMBER = r"-?(?:0|[1-9][0-9]{0,39})"
_WORDS: dict[str, Data] = {"true": True, "false": False}


def _to_scalar(text: str) -> Data:
    return _WORDS[text] if text in _WORDS else int(text) if re.fullmatch(_NUMBER, text) else text


def _scalar(pattern: str) -> ParserElement:
    return _regex(pattern).set_parse_action(lambda tokens: _to_scalar(tokens[0]))


def _list(opening: str, item: ParserElement, separator: str, closing: str) -> ParserElement:
    items = item + ZeroOrMore(_literal(separator) + item)
    return (_literal(opening) + items + _literal(closing)).set_parse_action(lambda tokens: [list(tokens[1::2])])


# `.name = ` and a value are two tokens between the braces and commas.
def _to_dict(tokens: ParseResults) -> dict[str, Data]:
    return {field[1:-3]: value for field, value in zip(tokens[1::3], tokens[2::3], strict=True)}


def _to_flat_tuple(tokens: ParseResults) -> list[list[Data]]:
    items = tokens[0][1:-1].split(", ")
    if len(items) == 1:
        raise ParseException("", 0, "a string with parentheses")
    return [[_to_scalar(item) for item in items]]


# A string inside brackets begins no brackets of its own, but for `(par)`: so no place is read twice at every depth.
_CLOSED = r"\([^()]*\)"
_UNOPENED = r"(?![(\[{])"
# (1, two, (3, four)): a string ends at `, ` or `)`.
_IN_TUPLE = rf"(?:{_CLOSED}|(?!, |[()]|\{{ \.).)*"
_FLAT_TUPLE = _regex(r"\([^()\[\]{}]*\)").set_parse_action(_to_flat_tuple)
# { .p = 7, .mac = [222,173], .name = a, b }
_FIELD = r"\.[A-Za-z_][A-Za-z0-9_]* = "
_IN_STRUCT = rf"(?:{_CLOSED}|(?!, {_FIELD}| \}}|\(|\{{ \.).)*"
# [222,173,190]: without blanks, and of numbers only: `[x]` is the name of a process rather than an array.
_IN_ARRAY = r"0x[0-9a-f]+|-?[0-9]+|true|false"


def _brackets(depth: int) -> ParserElement:
    if not depth:
        return NoMatch()
    inner = _brackets(depth - 1) + FollowedBy(_regex(r", |[,)\]]| \}"))
    in_tuple = _scalar(_UNOPENED + _IN_TUPLE) | inner | _scalar(_IN_TUPLE)
    in_struct = _regex(_FIELD) + (_scalar(_UNOPENED + _IN_STRUCT) | inner | _scalar(_IN_STRUCT))
    tuple_ = _list("(", in_tuple, ", ", ")").add_condition(lambda tokens: len(tokens[0]) > 1)
    array = _list("[", _scalar(_IN_ARRAY) | inner, ",", "]")
    struct = _literal("{ ") + in_struct + ZeroOrMore(_literal(", ") + in_struct) + _literal(" }")
    grammar = _FLAT_TUPLE | tuple_ | array | struct.set_parse_action(_to_dict)
    return grammar.set_name("brackets")  # else pyparsing writes out what it holds, for messages that nobody sees


_BRACKETS = _whole(_brackets(_DEEPEST))


def _read_brackets(tokens: ParseResults) -> tuple[str, Data]:
    value = _read(_BRACKETS, tokens[0])
    if value is None:
        raise ParseException("", 0, "a string with brackets")
    return "map", value


def _read_stats(tokens: ParseResults) -> tuple[str, Data]:
    return "stats", dict(zip(("count", "average", "total"), map(int, tokens[0]), strict=True))


_N = f"({_NUMBER})"
_PLAIN = _regex(rf"(?:true|false|{_NUMBER})\Z").set_parse_action(lambda tokens: ("map", _to_scalar(tokens[0])))
_STATS = _groups(rf"count {_N}, average {_N}, total {_N}\Z").set_parse_action(_read_stats)  # up to 0.23
_STATS_STRUCT = _groups(rf"\{{ \.count = {_N}, \.average = {_N}, \.total = {_N} \}}\Z").set_parse_action(_read_stats)
_NESTED = _regex(rf"[(\[{{].{{0,{_LONGEST}}}[)\]}}]\Z").set_parse_action(_read_brackets)
_STRING = _regex(r".+").set_parse_action(lambda tokens: ("map", tokens[0]))
_NOTHING = _regex(r" ?\Z").set_parse_action(lambda tokens: ("header", tokens[0]))


# `@: 5`, `@c: 5`, `@c[a, 1]: 5`; a key of several lines has its newlines in it.
def _map_line(key: str, colon: str, value: ParserElement) -> ParserElement:
    return _groups(rf"@([A-Za-z_][A-Za-z0-9_]*)?(?:\[({key})\])?{colon}") + value


def _to_map_line(tokens: ParseResults) -> MapLine:
    (name, key), (kind, value) = tokens
    return MapLine(name or "", key, kind, value)


# `@c[[x]: 1]: 1` counts a process called `[x]: 1`: a key is as long as can be, unless what is left is just a string.
_MAP_LINE = _whole(
    (
        _map_line(r".*(?=\]: )", ": ", _PLAIN | _STATS | _STATS_STRUCT | _NESTED)
        | _map_line(r".*(?=\]: ?\Z)", ":", _NOTHING)
        | _map_line(r".*?(?=\]: )", ": ", _NESTED | _STRING)
    ).set_parse_action(_to_map_line)
)


def read_map_line(line: str) -> MapLine | None:
    """Read an entry, or the header of what stands in the lines below; None if ``line`` is no line of a map."""
    result: MapLine | None = _read(_MAP_LINE, line)
    return result


# A bound of a bucket: 512, 1K (1024), -2M. It is exact.
_BOUND = rf"({_NUMBER}[KMGTPE]?)"
_UNITS = {unit: 1 << 10 * power for power, unit in enumerate("KMGTPE", 1)}


def _to_int(bound: str) -> int:
    return int(bound[:-1]) * _UNITS[bound[-1]] if bound[-1] in _UNITS else int(bound)


# One token each, (min, max): what is printed behind the comma is not in the bucket.
_BETWEEN = _groups(rf"\[{_BOUND}, {_BOUND}\)").set_parse_action(lambda t: (_to_int(t[0][0]), _to_int(t[0][1]) - 1))
_ONE_VALUE = _groups(rf"\[{_BOUND}\]").set_parse_action(lambda t: (_to_int(t[0][0]), _to_int(t[0][0])))
_BELOW = _groups(rf"\(\.\.\., {_BOUND}\)").set_parse_action(lambda t: (None, _to_int(t[0][0]) - 1))
_FROM = _groups(rf"\[{_BOUND}, \.\.\.\)").set_parse_action(lambda t: (_to_int(t[0][0]), None))
_COUNT = _groups(rf" *{_N} \|[@ ]*\|").set_parse_action(lambda t: int(t[0][0]))

# [512, 1K)              0 |                                                    |
_LABEL = _BETWEEN | _ONE_VALUE | _BELOW | _FROM
_HIST_ROW = _whole((_LABEL + _COUNT).set_parse_action(lambda t: [[Bucket(t[0][0], t[0][1], t[1])]]))


def read_hist_row(line: str) -> list[Bucket] | None:
    """Read the one bucket of a row of a hist() or lhist()."""
    result: list[Bucket] | None = _read(_HIST_ROW, line)
    return result


# A tseries() of 0.24 and later; the star may stand on the frame, and a dot marks zero:
#              6                                                   8
# hh:mm:ss.ms  |___________________________________________________|
# 06:14:51.600 |                         *                         | 7
# 06:14:51.700 |                                                   | -
#              v___________________________________________________v
_TIME = r"[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{3,9})?"
_POINT = _groups(rf"({_TIME}) [|*. ]{{53}} {_N}").set_parse_action(lambda t: [[(t[0][0], int(t[0][1]))]])
_NO_VALUE = _regex(rf"{_TIME} [|. ]{{53}} -")
_FRAME = _regex(rf"hh:mm:ss(?:\.[mun]s)? +\|_+\|| +{_NUMBER} +{_NUMBER}\Z| +v_+v|<no data>")
_TSERIES_ROW = _whole(_POINT | (_NO_VALUE | _FRAME).set_parse_action(lambda: [[]]))


def read_tseries_row(line: str) -> list[tuple[str, int]] | None:
    """Read the point of a row of a tseries(); an interval without a value has none, nor has what is around them."""
    result: list[tuple[str, int]] | None = _read(_TSERIES_ROW, line)
    return result
