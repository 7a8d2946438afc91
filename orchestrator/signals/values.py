"""A value of JSON output -> the text in which bpftrace shows it to a person."""

from __future__ import annotations

from parsers.escapes import to_bytes
from parsers.records import Data

__all__ = ("as_text", "readable")


def as_text(value: Data) -> str:
    """A list is a tuple to bpftrace: ``(1, x)``; a struct is ``{ .p = 7 }``."""
    if isinstance(value, list):
        return f"({', '.join(as_text(item) for item in value)})"
    if isinstance(value, dict):
        return "{ " + ", ".join(f".{name} = {as_text(item)}" for name, item in value.items()) + " }"
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def readable(text: str) -> str:
    r"""``text`` as a record's body: bytes that are no UTF-8 are shown as ``\xff``; attributes hold them exactly."""
    return text if text.isascii() else to_bytes(text).decode("utf-8", "backslashreplace")
