"""The manifest language: what a signal is, what its parameters may be, and what its maps and events mean.

The types below are the schema, closed at every level; ``config/manifest.schema.json`` is made from them.
"""

from __future__ import annotations

from typing import Annotated, Literal, Union

from msgspec import Meta

from config.profiles import StackMap, StackProfile
from config.spans import Exchange, Keep, Span, SpanMetric, SpanShape
from config.words import Attribute, Attributes, Closed, Field, Key, NonEmpty, Number, Version

__all__ = (
    "Attribute",
    "BoolParameter",
    "ChoiceParameter",
    "DurationParameter",
    "Event",
    "Exchange",
    "Field",
    "HostFact",
    "IntParameter",
    "IntsParameter",
    "Keep",
    "Key",
    "Manifest",
    "Metric",
    "Parameter",
    "Part",
    "Piece",
    "Print",
    "Span",
    "SpanMetric",
    "SpanShape",
    "StackMap",
    "StackProfile",
    "StringParameter",
    "TextMap",
)


class IntParameter(Closed, frozen=True, tag="int", tag_field="type"):
    """A whole number; ``range`` holds both of its ends, and ``never`` those in it that are refused all the same."""

    help: NonEmpty
    default: int
    range: tuple[int, int] | None = None
    never: list[int] = []


class IntsParameter(Closed, frozen=True, tag="ints", tag_field="type"):
    """Up to ``most`` whole numbers, separated by commas.

    The program asks for ``getopt("NAME.0", 0)``, ``getopt("NAME.1", 0)`` and so on, and sees 0 where there is none.
    """

    help: NonEmpty
    most: Annotated[int, Meta(ge=1, le=16)]
    range: tuple[int, int]
    default: str = ""


class DurationParameter(Closed, frozen=True, tag="duration", tag_field="type"):
    """A duration (``100ms``); the program sees nanoseconds."""

    help: NonEmpty
    default: str


class BoolParameter(Closed, frozen=True, tag="bool", tag_field="type"):
    """Yes or no; the program sees 1 or 0."""

    help: NonEmpty
    default: bool


class ChoiceParameter(Closed, frozen=True, tag="choice", tag_field="type"):
    """One of a few words; the program sees the number behind it."""

    help: NonEmpty
    default: str
    choices: dict[str, int]


class StringParameter(Closed, frozen=True, tag="string", tag_field="type"):
    """Text that matches ``pattern`` as a whole; the program sees it as a string literal.

    ``expected`` says in words what the pattern is.
    """

    help: NonEmpty
    default: str
    pattern: str
    expected: str = ""


Parameter = Union[IntParameter, IntsParameter, DurationParameter, BoolParameter, ChoiceParameter, StringParameter]


class HostFact(Closed, frozen=True):
    """Something about the host that the program needs to know: 1 if it is so, else 0.

    ``btf``: whether the kernel describes its types (``required``: without it the signal cannot run).
    ``tracepoint`` with ``field`` or ``without``: whether it exists and has, or has not, that field. Where tracefs is
    hidden from us it is so in kernels ``since`` or ``before`` a version.
    """

    btf: bool | Literal["required"] | None = None
    tracepoint: str | None = None
    field: str | None = None
    without: str | None = None
    since: Version | None = None
    before: Version | None = None


class Part(Attribute, frozen=True):
    """Bytes of an event that come in pieces before it: ``TAG TIME PID POSITION DATA``.

    From ``printf("TAG %llu %d %d %rh")`` pieces are bytes at an offset; ``size`` is the field that tells how many there
    are in all, and so are the texts of ``print((TAG, TIME, PID, POSITION, TEXT))`` if there is a ``size``. Without one
    each of them is a string by itself, the INDEXth, of which ``limit`` at most come. A part with a ``name`` can be used
    by others of the manifest, as bytes; with a name only it is not exported.
    """

    name: str | None = None
    size: str | None = None
    limit: int | None = None


class Event(Closed, frozen=True):
    """What a ``print(("TAG", ...))`` of the program is: a log record."""

    name: NonEmpty
    fields: list[Field]
    severity: Literal["debug", "info", "warn", "error"] = "info"
    body: str = ""
    attributes: Attributes = {}
    parts: dict[str, Part] = {}


class Piece(Closed, frozen=True):
    """One statement that prints a line, or a part of one; exactly one of the first four says which.

    ``printf``: its format. ``time``: its strftime format. ``join``: an array of strings, joined by blanks. ``print``:
    an expression, with a field for each element if it is a tuple. ``fields``: what its values are.
    """

    printf: str | None = None
    time: str | None = None
    join: bool = False
    print: bool = False
    fields: list[Field] = []


class Print(Closed, frozen=True):
    """A line that the program prints, by the pieces that it is made of: a log record with the line as its body."""

    name: NonEmpty
    pieces: Annotated[list[Piece], Meta(min_length=1)]
    severity: Literal["debug", "info", "warn", "error"] = "info"
    attributes: Attributes = {}


class TextMap(Closed, frozen=True):
    """A map whose values are no numbers (text, tuples, structs): a log record for each entry when it is printed."""

    name: NonEmpty
    keys: list[Key] = []


class Metric(Closed, frozen=True):
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


class Manifest(Closed, frozen=True):
    """A signal: ``NAME.yaml`` beside ``NAME.bt``.

    ``metrics``, ``texts`` and ``stacks`` are keyed by map (without ``@``), ``events`` by tag, the first element of
    their tuple; ``prints`` are the lines of a program that prints for people. ``spans`` says which events are spans,
    ``exchanges``, by tag, which of them are segments of connections. ``emitted`` is the map in which the program counts
    the events that it prints, so that their loss is known.

    ``before``: what is different with a bpftrace older than a version, by that version; ``check`` says it.

    ``process: own`` is for programs that were written without us: they are not joined with others.
    """

    summary: NonEmpty
    traces: str = ""
    cost: str = ""
    kernel: Version | None = None
    bpftrace: Version | None = None
    before: dict[Version, NonEmpty] = {}
    process: Literal["shared", "own"] = "shared"
    parameters: dict[str, Parameter] = {}
    host: dict[str, HostFact] = {}
    emitted: str | None = None
    metrics: dict[str, Metric] = {}
    events: dict[str, Event] = {}
    prints: list[Print] = []
    texts: dict[str, TextMap] = {}
    stacks: dict[str, StackMap] = {}
    spans: list[Span] = []
    exchanges: dict[str, Exchange] = {}
