"""What the words of the manifest language are made of: one printed value, and the attribute that it becomes."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

__all__ = ("Attribute", "Attributes", "Closed", "Field", "Given", "Key", "KeyType", "NonEmpty", "Number", "Version")

NonEmpty = Annotated[str, Meta(min_length=1)]
Version = Annotated[str, Meta(pattern=r"^[0-9]{1,4}\.[0-9]{1,4}$")]
Number = Annotated[str, Meta(pattern=r"^[0-9]{1,18}(\.[0-9]{1,18})?(e[+-]?[0-9]{1,2})?$")]
# Values that never change: on a metric or log record as they stand.
Attributes = dict[str, str | int | float | bool]
# A value, or the name of the parameter that has it.
Given = int | str
KeyType = Literal["any", "int", "string", "stack", "kstack", "ustack", "caller"]


class Closed(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """A mapping in which no other words may stand."""


class Attribute(Closed, frozen=True):
    """One value that bpftrace prints, and the attribute that it becomes.

    ``values`` names numbers, ``decode`` a decoder; ``default`` is what an undecodable value becomes; ``omit`` is the
    value that stands for none; ``also`` derives further attributes, each by a decoder, of what ``decode`` gives if it
    is there, else of the value.
    """

    attribute: str | None = None
    values: dict[int, str] = {}
    decode: str | None = None
    default: str | None = None
    omit: int | str | None = None
    also: dict[str, str] = {}


class Key(Attribute, frozen=True):
    """One part of a map's key, in the order of the program.

    A ``stack`` is one of which it is not known whether it is a ``kstack`` or ``ustack``. A ``caller`` is the usym() of
    a return address: the frame that a ustack leaves out behind its first one, if it is taken where a function begins
    and has not set its frame pointer up. ``any`` is a number if it looks like one, else text.
    """

    type: KeyType = "int"


class Field(Attribute, frozen=True):
    """One element of an event's tuple, or one argument of a printf, in the order of the program.

    ``time`` is in nanoseconds of the kernel's monotonic clock. A field with a ``name`` can be used by others of the
    manifest, as it was printed; with a name only it is not exported. ``scale`` turns it into the unit of its
    attribute. What a text can be helps to find it in a printed line: ``comm`` (at most 15 bytes), ``word`` (no blanks)
    or ``address`` (IP). A value with ``equals`` is always this one, and tells a printed tuple from others. ``any`` is a
    number or text, as it comes.
    """

    type: Literal["any", "int", "string", "comm", "word", "address", "time"] = "int"
    name: str | None = None
    scale: Number | None = None
    equals: str | None = None
