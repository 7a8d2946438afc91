r"""Bytes, in any of the ways in which bpftrace prints them.

``buf()`` is ``\x02\x00AB`` up to 0.23 and a list of signed numbers from 0.24 on; ``%rh`` is ``02 00 41 42`` and ``%rx``
``\x02\x00\x41\x42``. What is printed by ``str()`` is text.
"""

from __future__ import annotations

import re
from typing import Any

from parsers.escapes import to_bytes

__all__ = ("to_buffer", "to_text")

_HEX = re.compile(r"[0-9a-f]{2}(?: [0-9a-f]{2})+ ?", re.ASCII)
_ESCAPE = re.compile(rb"\\x([0-9a-f]{2})")


def to_buffer(value: Any) -> bytes:
    """The bytes of a printed value; none of what is no buffer and no text."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        if _HEX.fullmatch(value):
            return bytes.fromhex(value)
        return _ESCAPE.sub(lambda escape: bytes.fromhex(escape[1].decode()), to_bytes(value))
    if isinstance(value, (list, tuple)) and all(isinstance(item, int) for item in value):
        return bytes(item & 0xFF for item in value)
    return b""


def to_text(data: bytes) -> str:
    """What the bytes say; those that are no UTF-8 are kept as surrogate escapes."""
    return data.decode("utf-8", "surrogateescape")
