r"""Undoes what bpftrace does to bytes on their way into JSON.

Text that is no UTF-8 is kept exactly, as Python's ``surrogateescape`` does it: byte ff is ``\udcff``.
"""

from __future__ import annotations

import re
from typing import TypeVar

__all__ = ("HAS_BYTE_ESCAPE", "HAS_UNICODE_ESCAPE", "byte_escapes_to_surrogates", "join_surrogates", "to_bytes")

T = TypeVar("T")

# On x86_64 bpftrace 0.17 to 0.27 write a byte above 7f, a negative char, as \uffffffXX: `é` is \uffffffc3\uffffffa9.
# A backslash of the data is doubled (`\\uffffffc3`), so an escape has an even number of backslashes before it.
HAS_BYTE_ESCAPE = b"\\uffffff"
_BYTE_ESCAPE = re.compile(rb"(?<!\\)((?:\\\\)*)\\uffffff([89a-f][0-9a-f])")
HAS_UNICODE_ESCAPE = re.compile(rb"(?<!\\)(?:\\\\)*\\u")


def byte_escapes_to_surrogates(line: bytes) -> bytes:
    r"""Rewrite ``\uffffffc3`` of a raw JSON line as ``\udcc3``, which a JSON parser reads as that one byte."""
    previous = None
    while previous != line:  # neighbours share the character that the look-behind wants to see
        previous, line = line, _BYTE_ESCAPE.sub(rb"\1\\udc\2", line)
    return line


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
