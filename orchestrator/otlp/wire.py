"""Protobuf's wire format, for what is written without its library (protobuf.dev, "Encoding")."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

__all__ = ("Memo", "delimited", "read_varint", "varint")

Key = TypeVar("Key")
Value = TypeVar("Value")
_MOST = 4096


class Memo(dict[Key, Value]):
    """``memo[key]`` is ``make(key)``, made once for as long as it is kept. Above a bound all is forgotten.

    A dict, so that ``map(memo.__getitem__, keys)`` runs without Python where the keys are known.
    """

    def __init__(self, make: Callable[[Key], Value]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, key: Key) -> Value:
        if len(self) >= _MOST:
            self.clear()
        made = self[key] = self._make(key)
        return made


def varint(number: int) -> bytes:
    """A base 128 varint; one of an int64 below zero has ten bytes."""
    number &= 0xFFFF_FFFF_FFFF_FFFF
    made = bytearray()
    while number > 0x7F:
        made.append(number & 0x7F | 0x80)
        number >>= 7
    made.append(number)
    return bytes(made)


def read_varint(data: bytes, place: int) -> tuple[int, int]:
    """The varint that begins at a place, and the place behind it. Raises IndexError where the data ends."""
    byte = data[place]
    if byte < 0x80:
        return byte, place + 1
    number, shift = byte & 0x7F, 7
    while True:
        place += 1
        byte = data[place]
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, place + 1
        shift += 7


def delimited(number: int, size: int) -> bytes:
    """What stands before ``size`` bytes of field ``number``: a string, bytes or a message."""
    return varint(number << 3 | 2) + varint(size)
