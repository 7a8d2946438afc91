"""Makes anything safe to show: nothing that a process was named can move a cursor or start a line of its own."""

from __future__ import annotations

import shlex
from collections.abc import Iterable

__all__ = ("join_arguments", "printable")


def _escape(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # surrogateescape: a byte that is no UTF-8
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x100:
        return {"\n": "\\n", "\t": "\\t", "\r": "\\r"}.get(character, f"\\x{code:02x}")
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def printable(text: str) -> str:
    r"""``text`` with everything that is no printable character written as ``\n``, ``\x1b``, ``\u202e``."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else _escape(character) for character in text)


def join_arguments(arguments: Iterable[str]) -> str:
    """An argument list as one would type it in a shell, on one line."""
    return " ".join(printable(shlex.quote(argument)) for argument in arguments)
