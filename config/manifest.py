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
    "Piece",
    "Print",
    "StackMap",
    "StringParameter",
    "TextMap",
)

NonEmpty = Annotated[str, Meta(min_length=1)]
Version = Annotated[str, Meta(pattern=r"^[0-9]{1,4}\.[0-9]{1,4}$")]
Number = Annotated[str, Meta(pattern=r"^[0-9]{1,18}(\.[0-9]{1,18})?(e[+-]?[0-9]{1,2})?$")]
# Values that never change: on a metric or log record as they stand.
Attributes = dict[str, str | int | float | bool]


class _Closed(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
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
    """One part of a map's key, in the order of the program.

    A ``stack`` is a kstack or ustack; ``any`` is a number if it looks like one, else text.
    """

    type: Literal["any", "int", "string", "stack"] = "int"


class Field(Attribute, frozen=True):
    """One element of an event's tuple, or one argument of a printf, in the order of the program.

    ``time`` is in nanoseconds of the kernel's monotonic clock. A field with a ``name`` only can be used by others of
    the manifest (``size``) and is not exported. ``scale`` turns it into the unit of its attribute. What a text can be
    helps to find it in a printed line: ``comm`` (at most 15 bytes), ``word`` (no blanks) or ``address`` (IP). A value
    with ``equals`` is always this one, and tells a printed tuple from others. ``any`` is a number or text, as it comes.
    """

    type: Literal["any", "int", "string", "comm", "word", "address", "time"] = "int"
    name: str | None = None
    scale: Number | None = None
    equals: str | None = None


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


class Piece(_Closed, frozen=True):
    """One statement that prints a line, or a part of one; exactly one of the first four says which.

    ``printf``: its format. ``time``: its strftime format. ``join``: an array of strings, joined by blanks. ``print``:
    an expression, with a field for each element if it is a tuple. ``fields``: what its values are.
    """

    printf: str | None = None
    time: str | None = None
    join: bool = False
    print: bool = False
    fields: list[Field] = []


class Print(_Closed, frozen=True):
    """A line that the program prints, by the pieces that it is made of: a log record with the line as its body."""

    name: NonEmpty
    pieces: Annotated[list[Piece], Meta(min_length=1)]
    severity: Literal["debug", "info", "warn", "error"] = "info"
    attributes: Attributes = {}


class TextMap(_Closed, frozen=True):
    """A map whose values are no numbers (text, tuples, structs): a log record for each entry when it is printed."""

    name: NonEmpty
    keys: list[Key] = []


class StackMap(_Closed, frozen=True):
    """A map with stacks in its keys; they are counted."""

    keys: list[Key]


class Metric(_Closed, frozen=True):
    """What a map of the program is: ``count()`` and ``sum()`` are counters, ``hist()`` and ``lhist()`` histograms.

    ``stats()`` is a histogram without buckets (count and sum) or a gauge (the average); ``avg()``, ``min()``,
    ``max()``, ``tseries()`` and last values are gauges. ``scale`` turns the printed number into ``unit``. ``range``:
    the smallest and largest value for which a histogram has buckets of its own (they are the same at every interval).
    ``limit``: series before the rest is folded into one. Without ``keys`` the key of a keyed map is one attribute.

    ``cleared``: the program empties the map after it has printed it, so what it prints is added up. ``snapshot``:
    whether the map is printed every interval as well as when the program prints it; never done to a cleared one.
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
    cleared: bool = False
    snapshot: bool = True


class Manifest(_Closed, frozen=True):
    """A signal: ``NAME.yaml`` beside ``NAME.bt``.

    ``metrics``, ``texts`` and ``stacks`` are keyed by map (without ``@``), ``events`` by tag, the first element of
    their tuple; ``prints`` are the lines of a program that prints for people. ``emitted`` is the map in which the
    program counts the events that it prints, so that their loss is known.

    ``process: own`` is for programs that were written without us: they are not joined with others.
    """

    summary: NonEmpty
    traces: str = ""
    cost: str = ""
    kernel: Version | None = None
    bpftrace: Version | None = None
    process: Literal["shared", "own"] = "shared"
    parameters: dict[str, Parameter] = {}
    host: dict[str, HostFact] = {}
    emitted: str | None = None
    metrics: dict[str, Metric] = {}
    events: dict[str, Event] = {}
    prints: list[Print] = []
    texts: dict[str, TextMap] = {}
    stacks: dict[str, StackMap] = {}
