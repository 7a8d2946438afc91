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

from config.manifest import Event, Part
from orchestrator.signals.attributes import compile_attribute, number
from orchestrator.signals.clock import TIMES, Moment
from orchestrator.signals.model import AttributeValue, LogRecord
from orchestrator.text import join_arguments, printable
from parsers.escapes import to_bytes

__all__ = ("TRUNCATED", "EventReader")

# Lists the attributes of a record that are not whole.
TRUNCATED = "ebpf.truncated"
_PLACEHOLDER = re.compile(r"\{([a-z_.]+)\}")
# Parts that wait for their event; they wait for microseconds, unless it was lost, which the program's own count of
# its events tells, or was never printed because the probes were being detached.
_WAITING = 4096

Pieces = dict[int, bytes]
Identity = tuple[int, int]


class EventReader:
    """Reads the events of one signal. ``string_limit``: bytes at which bpftrace cuts a string (BPFTRACE_STRLEN)."""

    def __init__(self, events: Mapping[str, Event], string_limit: int) -> None:
        self._events = {tag: _CompiledEvent(event, string_limit) for tag, event in events.items()}
        self._part_tags = {tag for event in events.values() for tag in event.parts}
        self._waiting: OrderedDict[Identity, dict[str, Pieces]] = OrderedDict()

    @property
    def tags(self) -> set[str]:
        """The tags that this reader understands, those of parts included."""
        return self._part_tags | self._events.keys()

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


class _CompiledEvent:
    """An event's rules turned into functions, once."""

    def __init__(self, event: Event, string_limit: int) -> None:
        self._event = event
        self._names = [field.name for field in event.fields]
        self._time = next(index for index, field in enumerate(event.fields) if field.type == "time")
        self._setters = [
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

    def has_parts(self, data: Sequence[Any]) -> bool:
        """Whether parts were printed before it. Of two events of one time and pid only one may have any."""
        sizes = self._sizes
        return len(sizes) < len(self._parts) or any(number(data[index]) for index in sizes.values())

    def read(self, data: Sequence[Any], parts: Mapping[str, Pieces], moment: Moment) -> LogRecord:
        values = data[1:]
        if len(values) != len(self._names):
            raise ValueError(f"{data[0]} has {len(values)} fields, {len(self._names)} expected")
        attributes: dict[str, AttributeValue] = dict(self._event.attributes)
        for index, put in self._setters:
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
        time = moment.to_unix(number(values[self._time]))
        if time not in TIMES:
            raise ValueError("no time of this world")
        return LogRecord(
            time,
            moment.unix,
            self._event.name,
            self._event.severity,
            _body(self._event.body, attributes),
            attributes,
            named,
        )


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


def _show(value: AttributeValue | None) -> str:
    if value is None:
        return "-"
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value) if isinstance(value, (int, Mapping)) else join_arguments(value)


def _body(template: str, attributes: Mapping[str, AttributeValue]) -> str:
    return _PLACEHOLDER.sub(lambda match: _show(attributes.get(match[1])), template)
