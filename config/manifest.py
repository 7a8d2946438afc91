"""The manifest language: what a signal is, what its parameters may be, and what its maps and events mean.

The types below are the schema, closed at every level; ``config/manifest.schema.json`` is made from them.
"""

from __future__ import annotations

from typing import Annotated, Literal, Union

import msgspec
from msgspec import Meta

__all__ = (
    "Attribute",
    "BoolParameter",
    "ChoiceParameter",
    "Event",
    "Field",
    "HostFact",
    "IntParameter",
    "Key",
    "Manifest",
    "Metric",
    "Parameter",
    "Part",
    "StringParameter",
)

NonEmpty = Annotated[str, Meta(min_length=1)]
Version = Annotated[str, Meta(pattern=r"^[0-9]{1,4}\.[0-9]{1,4}$")]
Number = Annotated[str, Meta(pattern=r"^[0-9]{1,18}(\.[0-9]{1,18})?(e[+-]?[0-9]{1,2})?$")]
# Values that never change: on a metric or log record as they stand.
Attributes = dict[str, str | int | float | bool]


class _Closed(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    pass


class IntParameter(_Closed, frozen=True, tag="int", tag_field="type"):
    """A whole number; ``range`` holds both of its ends."""

    help: NonEmpty
    default: int
    range: tuple[int, int] | None = None


class BoolParameter(_Closed, frozen=True, tag="bool", tag_field="type"):
    """Yes or no; the program sees 1 or 0."""

    help: NonEmpty
    default: bool


class ChoiceParameter(_Closed, frozen=True, tag="choice", tag_field="type"):
    """One of a few words; the program sees the number behind it."""

    help: NonEmpty
    default: str
    choices: dict[str, int]


class StringParameter(_Closed, frozen=True, tag="string", tag_field="type"):
    """Text that matches ``pattern`` as a whole; the program sees it as a string literal."""

    help: NonEmpty
    default: str
    pattern: str


Parameter = Union[IntParameter, BoolParameter, ChoiceParameter, StringParameter]


class HostFact(_Closed, frozen=True):
    """Something about the host that the program needs to know: 1 if it is so, else 0.

    ``btf``: whether the kernel describes its types (``required``: without it the signal cannot run).
    ``tracepoint`` with ``field`` or ``without``: whether it exists and has, or has not, that field.
    """

    btf: bool | Literal["required"] | None = None
    tracepoint: str | None = None
    field: str | None = None
    without: str | None = None


class Attribute(_Closed, frozen=True):
    """One value that bpftrace prints, and the attribute that it becomes.

    ``values`` names numbers, ``decode`` a decoder; ``default`` is what an undecodable value becomes; ``omit`` is the
    value that stands for none; ``also`` derives further attributes, each by a decoder.
    """

    attribute: str | None = None
    values: dict[int, str] = {}
    decode: str | None = None
    default: str | None = None
    omit: int | str | None = None
    also: dict[str, str] = {}


class Key(Attribute, frozen=True):
    """One part of a map's key, in the order of the program."""

    type: Literal["int", "string"] = "int"


class Field(Attribute, frozen=True):
    """One element of an event's tuple, in the order of the program.

    ``time`` is in nanoseconds of the kernel's monotonic clock. A field with a ``name`` only can be used by others of
    the manifest (``size``) and is not exported. ``scale`` turns it into the unit of its attribute.
    """

    type: Literal["int", "string", "time"] = "int"
    name: str | None = None
    scale: Number | None = None


class Part(Attribute, frozen=True):
    """Bytes of an event that come in pieces before it: ``TAG TIME PID POSITION DATA``.

    From ``printf("TAG %llu %d %d %rh")`` pieces are bytes at an offset; ``size`` is the field that tells how many there
    are in all. From ``print((TAG, TIME, PID, INDEX, TEXT))`` each piece is one string, of which ``limit`` at most come.
    """

    size: str | None = None
    limit: int | None = None


class Event(_Closed, frozen=True):
    """What a ``print(("TAG", ...))`` of the program is: a log record."""

    name: NonEmpty
    fields: list[Field]
    severity: Literal["debug", "info", "warn", "error"] = "info"
    body: str = ""
    attributes: Attributes = {}
    parts: dict[str, Part] = {}


class Metric(_Closed, frozen=True):
    """What a map of the program is: ``count()`` and ``sum()`` are counters, ``hist()`` and ``lhist()`` histograms.

    ``scale`` turns the printed number into ``unit``. ``range``: the smallest and largest value for which a histogram
    has buckets of its own (they are the same at every interval). ``limit``: series before the rest is folded into one.
    """

    name: NonEmpty
    instrument: Literal["counter", "updowncounter", "gauge", "histogram"]
    unit: NonEmpty
    description: NonEmpty
    keys: list[Key] = []
    attributes: Attributes = {}
    scale: Number = "1"
    range: tuple[int, int] | None = None
    limit: Annotated[int, Meta(ge=1)] = 1000


class Manifest(_Closed, frozen=True):
    """A signal: ``NAME.yaml`` beside ``NAME.bt``.

    ``metrics`` are keyed by map (without ``@``), ``events`` by tag, the first element of their tuple. ``emitted`` is
    the map in which the program counts the events that it prints, so that their loss is known.
    """

    summary: NonEmpty
    traces: NonEmpty
    cost: NonEmpty
    kernel: Version
    bpftrace: Version
    parameters: dict[str, Parameter] = {}
    host: dict[str, HostFact] = {}
    emitted: str | None = None
    metrics: dict[str, Metric] = {}
    events: dict[str, Event] = {}
