r"""Undoes what bpftrace does to bytes, numbers and texts on their way into JSON.

Text that is no UTF-8 is kept exactly, as Python's ``surrogateescape`` does it: byte ff is ``\udcff``.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TypeVar

__all__ = (
    "HAS_BYTE_ESCAPE",
    "HAS_UNICODE_ESCAPE",
    "Radix",
    "byte_escapes_to_surrogates",
    "is_escaped_key",
    "join_surrogates",
    "quote_bare_tokens",
    "to_bytes",
    "unescape_key",
)

T = TypeVar("T")

# On x86_64 bpftrace 0.17 to 0.27 write a byte above 7f, a negative char, as \uffffffXX: `é` is \uffffffc3\uffffffa9.
# A backslash of the data is doubled (`\\uffffffc3`), so an escape has an even number of backslashes before it.
HAS_BYTE_ESCAPE = b"\\uffffff"
_BYTE_ESCAPE = re.compile(rb"(?<!\\)((?:\\\\)*)\\uffffff([89a-f][0-9a-f])")
HAS_UNICODE_ESCAPE = re.compile(rb"(?<!\\)(?:\\\\)*\\u")

# 0.22 and 0.23 escape a map key twice: a newline is `\\n`, `é` is `\\uffffffc3\\uffffffa9`, a quote `\\\"`. When JSON's
# own escapes are undone these remain, and no other backslash; bare quotes are those of a tuple: `1,[2,"x"]`.
_KEY_ESCAPE = re.compile(r'\\(?:(?P<short>["\\nrt])|u(?P<control>00[01][0-9a-f])|uffffff(?P<byte>[89a-f][0-9a-f]))')
_ESCAPED_KEY = re.compile(
    r'[^"\\\x00-\x1f]*'
    r'(?:(?:\\(?:["\\nrt]|u00[01][0-9a-f]|uffffff[89a-f][0-9a-f])|(?<=[\[, {])"|"(?=[,\]: ]))[^"\\\x00-\x1f]*)*'
)
_SHORT = {'"': '"', "\\": "\\", "n": "\n", "r": "\r", "t": "\t"}


def byte_escapes_to_surrogates(line: bytes) -> bytes:
    r"""Rewrite ``\uffffffc3`` of a raw JSON line as ``\udcc3``, which a JSON parser reads as that one byte."""
    previous = None
    while previous != line:  # neighbours share the character that the look-behind wants to see
        previous, line = line, _BYTE_ESCAPE.sub(rb"\1\\udc\2", line)
    return line


def storable(text: str) -> str:
    """``text`` where only UTF-8 can stand: a question mark for each byte that is none."""
    return text.encode("utf-8", "replace").decode()


def to_bytes(text: str) -> bytes:
    """The bytes that ``text`` stood for in the kernel."""
    return text.encode("utf-8", "surrogateescape")


def join_surrogates(data: T) -> T:
    """Turn runs of escaped bytes that are valid UTF-8 into characters, in every string of a JSON value."""
    if isinstance(data, str):
        return to_bytes(data).decode("utf-8", "surrogateescape")  # type: ignore[return-value]
    if isinstance(data, list):
        return [join_surrogates(item) for item in data]  # type: ignore[return-value]
    if isinstance(data, tuple):
        return tuple(join_surrogates(item) for item in data)  # type: ignore[return-value]
    if isinstance(data, dict):
        return {join_surrogates(key): join_surrogates(item) for key, item in data.items()}  # type: ignore[return-value]
    return data


def is_escaped_key(key: str) -> bool:
    """Whether 0.22 or 0.23 can have written ``key``, which JSON's reader has unescaped once."""
    return _ESCAPED_KEY.fullmatch(key) is not None


def unescape_key(key: str) -> str:
    """Undo the second escaping of a map key."""

    def plain(match: re.Match[str]) -> str:
        if match["short"]:
            return _SHORT[match["short"]]
        return chr(int(match["control"], 16)) if match["control"] else chr(0xDC00 + int(match["byte"], 16))

    return join_surrogates(_KEY_ESCAPE.sub(plain, key))


# What 0.24 and later write straight to the output stream, and so in its base: the counts of a hist, the values of a
# tseries, and lost events. Inside a key the quote would be escaped (`count\": 1`), so these are the writer's own.
_BASED_LINES = (b'{"type": "hist"', b'{"type": "tseries"', b'{"type": "lost_events"')
_BASED = re.compile(rb'("(?:count|events|value)": ?)([0-9a-f]+)(?=[,}])')
_HEX_WORD = re.compile(rb'"(?:count|events|value)": ?[0-9]*[a-f][0-9a-f]*[,}]')
# `[{"max": -1, "count": 1},{"min": 0, ...` in 0.24 and later, `[{"max": -1, "count": 1}, {"min": 0, ...` before.
_OF_024 = re.compile(rb'\A\{"type": "(?:tseries"|lost_events", "count")|\},\{"m(?:in|ax)": ')
_BEFORE_024 = re.compile(rb'\A\{"type": "lost_events", "data"|\}, \{"m(?:in|ax)": ')


@dataclass(frozen=True, slots=True)
class Radix:
    r"""In which base a stream writes some of its numbers.

    0.24 to 0.27 switch their output stream to hexadecimal for a ``\\u00XX`` escape and never back: of what is printed
    later, 12 is ``c`` and 16 is ``10``. ``turns`` says whether the writer does so (None: not known), ``turned`` whether
    it had reason to. A word that can only be hexadecimal proves both.
    """

    turns: bool | None = None
    turned: bool = False

    def decimal(self, line: bytes) -> tuple[bytes, Radix]:
        """Return ``line`` with such numbers in decimal, and how it goes on after it."""
        if self.turns is False:
            return line, self
        turn = 0 if self.turned else _place(HAS_UNICODE_ESCAPE.search(line))
        if not line.startswith(_BASED_LINES):
            return line, Radix(self.turns, turn is not None)
        turns = self._evidence(line)
        word = _place(_HEX_WORD.search(line)) if turns is not False else None
        if word is not None:
            turns, turn = True, turn if turn is not None and turn < word else 0
        if turns and turn is not None:
            line = line[:turn] + _BASED.sub(_in_decimal, line[turn:])
        return line, Radix(turns, turn is not None)

    def _evidence(self, line: bytes) -> bool | None:
        if self.turns is not None or _OF_024.search(line):
            return self.turns is not False
        return False if _BEFORE_024.search(line) else None


def _place(match: re.Match[bytes] | None) -> int | None:
    return match.start() if match else None


def _in_decimal(match: re.Match[bytes]) -> bytes:
    number = int(match[2], 16)
    if match[1] == b'"value":' and number >> 63:  # a negative one: ffffffffffffffec is -20
        number -= 1 << 64
    return b"%b%d" % (match[1], number)


# Strings, brackets, and what stands between them.
_PIECE = re.compile(r'(?P<string>"[^"\\]*(?:\\.[^"\\]*)*"?)|(?P<bracket>[\[\]{}])|[^"\[\]{}]+', re.DOTALL)
_SCALAR = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null|NaN|-?Infinity|")


def quote_bare_tokens(text: str) -> str:
    r"""Put quotes around what should have them in a line that is no JSON; valid JSON keeps its meaning.

    0.12 to 0.21 write strftime(), 0.16 to 0.19 strerror(), 0.15 to 0.19 cgroup_path(), 0.18 to 0.21 pointers and all
    up to 0.23 macaddr() without quotes: ``{"@t": {"1": Mon, 23 Nov, "2": 05:41}}``, ``["x",05:41,0xff]``. 0.11 to 0.15
    write nothing for an empty hist, ``{"@h": {"a": , "b": }}``, which becomes null. 0.24 leaves out what is between and
    around the intervals of a tseries: ``[{"interval_start":2026-11-23 06:14:50.2,"value":7}{"interval_start":...``.
    """
    parts: list[str] = []
    for match in _PIECE.finditer(text):
        piece, following = match[0], text[match.end() : match.end() + 1]
        if match["string"]:
            parts.append(piece)
        elif match["bracket"]:
            parts.append(",{" if piece == "{" and parts and parts[-1] == "}" else piece)
        elif piece.lstrip().startswith(":"):
            parts.append(_quoted_value(piece.strip(), following))
        else:
            parts.append(_quoted_elements(piece))
    return "".join(parts)


def _quoted(token: str) -> str:
    token = token.strip()
    return token if _SCALAR.fullmatch(token) else json.dumps(token, ensure_ascii=False)


def _quoted_value(piece: str, following: str) -> str:
    """``: 05:41`` before a bracket, ``: Mon, 23 Nov,`` before the quote of the next key."""
    token, comma = piece[1:].strip(), ""
    if following == '"' and token.endswith(","):
        token, comma = token[:-1], ", "
    elif following not in ("}", "]"):
        return piece
    return f": {_quoted(token) or 'null'}{comma}"


def _quoted_elements(piece: str) -> str:
    """``,21:54, 23,2``: the elements of a tuple have no blank behind their commas, so one with a blank is text."""
    if all(_SCALAR.fullmatch(part.strip()) for part in piece.split(",")):
        return piece
    return ",".join(map(_quoted, re.split(r",(?! )", piece)))
