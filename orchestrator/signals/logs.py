"""Printed events -> log records, by the manifest's ``events``.

An event is a tuple ``[TAG, FIELD, ...]``. Its parts come before it, on the same CPU and so in order, joined to it by
time and pid: ``TAG TIME PID OFFSET HEX`` (printf) or ``[TAG, TIME, PID, INDEX, TEXT]``.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any

from config.manifest import Event, Field, Part
from orchestrator.signals.attributes import compile_attribute, is_plain, number
from orchestrator.signals.clock import TIMES, Moment
from orchestrator.signals.decoders import INPUTS, UNFAILING
from orchestrator.signals.event_batch import EventBatch
from orchestrator.signals.model import AttributeValue, LogRecord
from orchestrator.text import join_arguments, printable
from parsers.escapes import to_bytes
from parsers.event_lines import FieldType, Shape
from parsers.records import Rows

__all__ = ("PLACEHOLDER", "TRUNCATED", "CompiledEvent", "EventReader", "show")

# Lists the attributes of a record that are not whole.
TRUNCATED = "ebpf.truncated"
# What stands in a body for an attribute.
PLACEHOLDER = re.compile(r"\{([a-z_.]+)\}")
# Parts that wait for their event; they wait for microseconds, unless it was lost, which the program's own count of
# its events tells, or was never printed because the probes were being detached.
_WAITING = 4096

# The types of fields that can be read in batches.
_TYPES: dict[str, FieldType] = {
    "time": "time",
    "int": "int",
    "string": "string",
    "comm": "string",
    "word": "string",
    "address": "string",
}

Pieces = dict[int, bytes]
Identity = tuple[int, int]


class EventReader:
    """Reads the events of one signal. ``string_limit``: bytes at which bpftrace cuts a string (BPFTRACE_STRLEN)."""

    def __init__(self, events: Mapping[str, Event], string_limit: int) -> None:
        self._events = {tag: CompiledEvent(event, string_limit) for tag, event in events.items()}
        self._part_tags = {tag for event in events.values() for tag in event.parts}
        self._waiting: OrderedDict[Identity, dict[str, Pieces]] = OrderedDict()

    @property
    def tags(self) -> set[str]:
        """The tags that this reader understands, those of parts included."""
        return self._part_tags | self._events.keys()

    @property
    def shapes(self) -> dict[str, Shape]:
        """What events look like that can be read in batches, by their tags."""
        shapes = {tag: event.shape for tag, event in self._events.items()}
        return {tag: shape for tag, shape in shapes.items() if shape is not None}

    def read_rows(self, rows: Rows, moment: Moment) -> EventBatch:
        """Events whose shapes these are. Their times make sense, if ``moment`` does."""
        return EventBatch(self._events[rows.tag], rows, moment)

    def read_value(self, data: Sequence[Any], moment: Moment) -> LogRecord | None:
        """Return the log record of an event, None for a part of one. Raises ValueError for the wrong shape."""
        tag = data[0]
        if tag in self._part_tags:
            _, time, pid, position, text = data
            if not isinstance(text, str):
                raise ValueError(f"{tag} holds no text")
            self._keep(tag, (number(time), number(pid)), number(position), to_bytes(text))
            return None
        event = self._events[tag]
        parts = self._waiting.pop((number(data[1]), number(data[2])), {}) if event.has_parts(data) else {}
        return event.read(data, parts, moment)

    def read_text(self, text: str) -> None:
        """Keep a part that was printed as ``TAG TIME PID OFFSET HEX``. Raises ValueError for anything else."""
        tag, time, pid, offset, data = text.rstrip("\n").split(" ", 4)
        self._keep(tag, (int(time), int(pid)), int(offset), bytes.fromhex(data))

    def _keep(self, tag: str, identity: Identity, position: int, data: bytes) -> None:
        self._waiting.setdefault(identity, {}).setdefault(tag, {})[position] = data
        if len(self._waiting) > _WAITING:
            self._waiting.popitem(last=False)


class CompiledEvent:
    """An event's rules turned into functions, once. ``time``: which of its fields is its time."""

    def __init__(self, event: Event, string_limit: int) -> None:
        self.rule = event
        self._names = [field.name for field in event.fields]
        self.time = next(index for index, field in enumerate(event.fields) if field.type == "time")
        # What puts a value among the attributes, by where in the event it stands.
        self.setters = [
            (index, compile_attribute(field, is_number=field.type == "int"))
            for index, field in enumerate(event.fields)
            if field.type != "time" and (field.attribute or field.also)
        ]
        self._fields = [
            (index, field.name, field.type == "int")
            for index, field in enumerate(event.fields)
            if field.name is not None and field.type != "time"
        ]
        self._parts = [
            (tag, part, compile_attribute(part, is_number=False), string_limit) for tag, part in event.parts.items()
        ]
        # Where in the tuple the size of each part stands, if it stands there.
        self._sizes = {tag: self._names.index(part.size) + 1 for tag, part in event.parts.items() if part.size}

    @property
    def shape(self) -> Shape | None:
        """What it looks like, if each of its attributes comes of one field that is read without fail."""
        fields = self.rule.fields
        names = [*self.rule.attributes, *(name for field in fields for name in (field.attribute, *field.also) if name)]
        types = [_TYPES.get(field.type) for field in fields]
        shape = [kind for kind in types if kind is not None]
        if self.rule.parts or len(set(names)) < len(names) or len(shape) < len(types) or types.count("time") != 1:
            return None
        ends_in_text = is_plain(fields[-1]) and not PLACEHOLDER.search(self.rule.body)
        return Shape(shape, ends_in_text) if all(map(_never_fails, fields, shape)) else None

    def has_parts(self, data: Sequence[Any]) -> bool:
        """Whether parts were printed before it. Of two events of one time and pid only one may have any."""
        sizes = self._sizes
        return len(sizes) < len(self._parts) or any(number(data[index]) for index in sizes.values())

    def read(self, data: Sequence[Any], parts: Mapping[str, Pieces], moment: Moment) -> LogRecord:
        """The log record of ``[TAG, FIELD, ...]``. Raises ValueError or TypeError for the wrong shape."""
        values = data[1:]
        if len(values) != len(self._names):
            raise ValueError(f"{data[0]} has {len(values)} fields, {len(self._names)} expected")
        attributes: dict[str, AttributeValue] = dict(self.rule.attributes)
        for index, put in self.setters:
            put(values[index], attributes)
        named = {name: number(values[index]) if is_number else values[index] for index, name, is_number in self._fields}
        truncated = []
        for tag, part, put, string_limit in self._parts:
            size = number(data[self._sizes[tag]]) if tag in self._sizes else None
            joined, whole = _join(parts.get(tag, {}), part, size, string_limit)
            if joined:
                put(joined, attributes)
            if part.name is not None:
                named[part.name] = joined
            if not whole and part.attribute and tag in parts:
                truncated.append(part.attribute)
                for name in [name for name, decoder in part.also.items() if decoder == "length"]:
                    attributes.pop(name, None)
        if truncated:
            attributes[TRUNCATED] = truncated
        time = moment.to_unix(number(values[self.time]))
        if time not in TIMES:
            raise ValueError("no time of this world")
        return LogRecord(
            time,
            moment.unix,
            self.rule.name,
            self.rule.severity,
            _body(self.rule.body, attributes),
            attributes,
            named,
        )


def _never_fails(field: Field, kind: FieldType) -> bool:
    """Whether the attributes of a field can be made of any value of its type."""
    derived = "string" if field.decode else kind
    steps = [*([(field.decode, kind)] if field.decode else []), *((name, derived) for name in field.also.values())]
    return all(decoder in UNFAILING and takes in INPUTS.get(decoder, (takes,)) for decoder, takes in steps)


def _join(pieces: Pieces, part: Part, size: int | None, string_limit: int) -> tuple[bytes, bool]:
    """Put the pieces together; say whether nothing is missing."""
    return _join_bytes(pieces, size) if size is not None else _join_strings(pieces, part.limit, string_limit)


def _join_bytes(pieces: Pieces, size: int) -> tuple[bytes, bool]:
    """Pieces at byte offsets; what follows a missing one is dropped. They may overlap."""
    joined = b""
    for offset in sorted(pieces):
        if offset > len(joined):
            return joined, False
        joined = joined[:offset] + pieces[offset]
    return joined[:size], len(joined) >= size


def _join_strings(pieces: Pieces, limit: int | None, string_limit: int) -> tuple[bytes, bool]:
    """One string a piece, each ended by a NUL as the kernel has them; what follows a missing one is dropped."""
    count = min(len(pieces), limit or len(pieces))
    strings = [_uncut(pieces[index], string_limit) for index in takewhile(pieces.__contains__, range(count))]
    whole = len(strings) == len(pieces) and all(whole for _, whole in strings)
    return b"".join(text + b"\0" for text, _ in strings), whole


def _uncut(text: bytes, string_limit: int) -> tuple[bytes, bool]:
    """A string, and whether it is whole: up to 0.23 it is cut at the limit less 1, later at the limit, with `..`."""
    if len(text) == string_limit + 2 and text.endswith(b".."):
        return text[:-2], False
    return text, len(text) < string_limit - 1


def show(value: AttributeValue | None) -> str:
    """What stands for ``value`` in a body."""
    if value is None:
        return "-"
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value) if isinstance(value, (int, Mapping)) else join_arguments(value)


def _body(template: str, attributes: Mapping[str, AttributeValue]) -> str:
    return PLACEHOLDER.sub(lambda match: show(attributes.get(match[1])), template)
