"""String literals and calls of bpftrace's language as values."""

from __future__ import annotations

import re

from parsers.script_grammar import Span, group, lex

__all__ = ("call_of", "unescape")

_LITERAL = re.compile(r'"([^"\\]*(?:\\.[^"\\]*)*)"?', re.DOTALL)
_ESCAPE = re.compile(r"\\(?:([0-7]{1,3})|[xX]([0-9a-fA-F]{1,2})|(.))", re.DOTALL)
_CHARACTERS = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\"}
_BYTES = re.compile("[\udc80-\udcff]+")
_KEYWORDS = frozenset({"if", "unless", "while", "unroll", "for"})


def unescape(literal: str) -> str:
    r"""The text that a literal stands for; adjacent literals (``"a" "b"``) are one text.

    Escapes are those of bpftrace: ``\n \t \r \" \\``, ``\101`` (octal) and ``\x41``; others stay as they are. Escaped
    bytes beyond 7f are read as UTF-8; those that are none are kept as Python's ``surrogateescape`` does it.
    """
    text = "".join(_ESCAPE.sub(_character, body) for body in _LITERAL.findall(literal))
    return _BYTES.sub(lambda run: run[0].encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape"), text)


def _character(escape: re.Match[str]) -> str:
    octal, hexadecimal, other = escape.groups()
    if other is not None:
        return _CHARACTERS.get(other, escape[0])
    code = int(octal, 8) & 0xFF if octal else int(hexadecimal, 16)
    return chr(code) if code < 0x80 else chr(0xDC00 + code)


def call_of(expression: str) -> tuple[str, tuple[str, ...]] | None:
    """The name and arguments of a call: ``str(args->filename, 16)`` is ``("str", ("args->filename", "16"))``.

    None if the expression is not exactly one call.
    """
    code, problems = group(word for word in lex(expression) if word.kind not in {"comment", "directive"})
    call = code.call(Span(0, len(code.tokens)))
    return None if call is None or problems or call[0] in _KEYWORDS else call
