"""Reads as much of a .bt program as running it needs: its ``getopt()`` parameters, probes and maps.

``getopt("name", default)`` is bpftrace's own word for a parameter since 0.24. Here its value is put in its place as a
literal, so that older versions run the same program.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache

__all__ = (
    "getopt_defaults",
    "insert_into",
    "map_names",
    "positional_parameters",
    "probes_used",
    "render",
    "string_literal",
    "without_dead_probes",
)

# Comments and strings first, so that nothing inside them is taken for code.
_LEXEME = re.compile(
    r"""(?P<comment>//[^\n]*|/\*.*?\*/)
      | (?P<getopt>\bgetopt\s*\(\s*"(?P<name>[^"]*)"
            \s*(?:,\s*(?P<default>"(?:\\.|[^"\\])*"|-?\w+)\s*(?:,\s*"(?:\\.|[^"\\])*"\s*)?)?\))
      | (?P<string>"(?:\\.|[^"\\])*")
      | (?P<map>@[A-Za-z_]\w*)
      | (?P<brace>[{}])""",
    re.VERBOSE | re.DOTALL,
)
# `PROBE[, PROBE] [/PREDICATE/]` before a body; a slash of a probe (uprobe:/lib/...) has no blank before it.
_HEAD = re.compile(r"(?P<probes>[^{]*?)(?:\s/(?P<predicate>.*)/)?\s*", re.DOTALL)
# The first condition of a predicate, if it is a number by now: `0 && x`, `3 & 1 && x`, `1`.
_CONSTANT = re.compile(r"\s*(\d+)(?:\s*&\s*(\d+))?\s*(?:&&|\Z)")

# `#!/usr/bin/env bpftrace`, `#include <linux/fs.h>`, `#define A \\` with what continues it.
_DIRECTIVE = re.compile(r"^[ \t]*#(?:\\\n|[^\n])*", re.MULTILINE)
_INSIDE = re.compile(r'"(?:\\.|[^"\\])*"|\([^()"]*\)')


def string_literal(text: str) -> str:
    """``text`` as a bpftrace string literal. It must be printable ASCII: what else could end or change the literal."""
    if not (text.isascii() and (text.isprintable() or not text)):
        raise ValueError("only printable ASCII characters can be passed to bpftrace")
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _lexemes(source: str, kind: str) -> Iterator[re.Match[str]]:
    return (match for match in _LEXEME.finditer(source) if match.lastgroup == kind or match[kind])


def getopt_defaults(source: str) -> dict[str, str]:
    """The parameters that the program asks for, each with the literal text of its default; a flag is 0 by default."""
    return {match["name"]: match["default"] or "0" for match in _lexemes(source, "getopt")}


def render(source: str, values: Mapping[str, int | str]) -> str:
    """Put ``values`` in place of the ``getopt()`` calls; a missing one raises KeyError."""

    def literal(match: re.Match[str]) -> str:
        if not match["getopt"]:
            return match[0]
        value = values[match["name"]]
        if isinstance(value, bool):  # true to bpftrace 0.24 and later, 1 to those that do not know the word
            return f"(1 == {int(value)})"
        if isinstance(value, str):
            # Only what the program says itself may be any text.
            return string_literal(value) if value.isascii() and value.isprintable() else match["default"]
        return str(int(value))

    return _LEXEME.sub(literal, source)


@lru_cache(maxsize=64)
def map_names(source: str) -> tuple[str, ...]:
    """The maps of a program without their ``@``, in order of appearance."""
    return tuple(dict.fromkeys(match["map"][1:] for match in _lexemes(source, "map")))


def _blocks(source: str) -> Iterator[tuple[str, str]]:
    """Yield (head, body with braces) for each probe; what stands before the first probe's comments stays with it."""
    depth = start = body = 0
    for match in _lexemes(source, "brace"):
        depth += 1 if match["brace"] == "{" else -1
        if depth == 1 and match["brace"] == "{":
            body = match.start()
        elif depth == 0:
            yield source[start:body], source[body : match.end()]
            start = match.end()
    yield source[start:], ""


def _head(text: str) -> tuple[str, str | None]:
    code = _LEXEME.sub(lambda match: "" if match["comment"] else match[0], text)
    code = _DIRECTIVE.sub("", code).lstrip("; \n")  # a struct before it may end in a semicolon
    match = _HEAD.fullmatch(code.strip())
    return (match["probes"].strip(), match["predicate"]) if match else (code.strip(), None)


def _is_dead(predicate: str | None) -> bool:
    """Whether one of the leading conditions is the constant 0."""
    position, outside = 0, predicate or ""
    while (shorter := _INSIDE.sub("", outside)) != outside:
        outside = shorter
    if "||" in outside:  # binds weaker than &&: `0 && x || y` may be true
        return False
    while predicate is not None and (match := _CONSTANT.match(predicate, position)):
        if not int(match[1]) & int(match[2] or -1):
            return True
        position = match.end()
    return False


def without_dead_probes(source: str) -> str:
    """Leave out the probes whose predicate begins with a constant 0: they could do nothing but cost.

    So a program can hold code for one kernel or one wish only: ``/getopt("btf", 0) && .../ { ... }``. bpftrace never
    sees the block where it would not compile.
    """
    return "".join(head + body for head, body in _blocks(source) if not body or not _is_dead(_head(head)[1]))


def insert_into(source: str, probe: str, code: str) -> str:
    """Put ``code`` at the beginning of the program's ``probe`` (BEGIN or END), or add such a probe at its end."""
    position = 0
    for head, body in _blocks(source):
        names, predicate = _head(head)
        points = [name.strip() for name in names.split(",")]
        end = position + len(head) + len(body)
        if body and probe in map(str.upper, points):
            others = [name for name in points if name.upper() != probe]
            if others or predicate is not None:
                return f"{source[:position]}{_split(head, others, predicate, probe, code, body)}{source[end:]}"
            opened = position + len(head) + 1
            return f"{source[:opened]} {code}{source[opened:]}"
        position = end
    return f"{source}\n{probe} {{ {code} }}\n"


def _split(  # noqa: PLR0913, PLR0917 - the parts of one statement
    head: str, others: list[str], predicate: str | None, probe: str, code: str, body: str
) -> str:
    """``END, interval:s:5 /x/ { y }`` with ``code`` in END alone, whether x is true or not; y stays with both."""
    directives = "".join(f"{line}\n" for line in _DIRECTIVE.findall(head))
    condition = f" /{predicate}/ " if predicate is not None else " "
    rest = f"{', '.join(others)}{condition}{body}\n" if others else ""
    inner = f"if ({predicate}) {body}" if predicate is not None else body[1:-1]
    return f"{directives}{rest}{probe} {{ {code} {inner} }}\n"


def positional_parameters(source: str) -> list[str]:
    """The numbers of ``$1``, ``$2``, ... that the program asks for."""
    code = _LEXEME.sub(lambda match: "" if match["comment"] or match["string"] else match[0], source)
    return list(dict.fromkeys(re.findall(r"\$([1-9]\d*)", code)))


def probes_used(source: str) -> list[str]:
    """The attach points of a program, ``tracepoint:sched:sched_process_exec`` and the like, without doubles."""
    names = (name.strip() for head, body in _blocks(source) if body for name in _head(head)[0].split(","))
    return list(dict.fromkeys(name for name in names if name))
