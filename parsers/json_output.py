"""One line of ``bpftrace -f json`` -> one record.

A line is ``{"type": T, "data": D}``; a table keyed by T says how D is read. Nothing raises out of here: what cannot
be read is an ``Unparsed`` record.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import msgspec

from parsers import escapes
from parsers.records import (
    AttachedProbes,
    Bucket,
    Entry,
    Hist,
    LostEvents,
    Map,
    Problem,
    Record,
    Stats,
    Text,
    Unknown,
    Unparsed,
    Value,
)

__all__ = ("JsonDecoder",)

# The line that print((...)) makes, in every version: by far the most frequent one, so it has a way of its own.
_VALUE_PREFIX = b'{"type": "value", "data": '
_HIST_PREFIX = b'{"type": "hist"'
# Inside a key the quote would be escaped (`, \"count\"`), so this is the writer's own.
_HIST_COUNT = re.compile(rb', "count": ([0-9a-f]+)\}')
# 0.17 writes strftime() values without quotes: {"type": "value", "data": 2026-11-23T05:41:19}
_UNQUOTED = re.compile(rb'(\{"type": "value", "data": )([^"\[{\s][^"]*)\}')
_KEPT_OF_A_BAD_LINE = 4096
_STATS = ["count", "average", "total"]


class _Pairs(list[tuple[str, Any]]):
    """A JSON object with its keys in order, doubles included."""


class _ValueLine(msgspec.Struct, gc=False):
    data: Any


class JsonDecoder:
    r"""Reads lines in order; it has to see all of a stream, because 0.24 to 0.27 change their numbers on the way.

    These versions switch the output stream to hexadecimal for a ``\\u00XX`` escape and never back: every ``count`` of
    a hist printed later is hexadecimal (12 is ``c``, 16 is ``10``), all other numbers are right. They are known by
    their ``attached_probes`` record, the first one of a stream, which has a ``count`` of its own since 0.24.
    """

    def __init__(self) -> None:
        self._value_line = msgspec.json.Decoder(_ValueLine)
        self._pairs = json.JSONDecoder(object_pairs_hook=_Pairs, strict=False)
        self._sticky_hex = False
        self._hex_now = False

    def decode(self, line: bytes) -> Record | None:
        """Return the record of ``line``; None for the blank lines that bpftrace prints before its last maps."""
        if not line or line.isspace():
            return None
        try:
            if line.startswith(_VALUE_PREFIX) and b"\\u" not in line and line.isascii():
                return Value(self._value_line.decode(line).data)
            return self._decode_any(line)
        except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
            return _rescue(line) or Unparsed(line[:_KEPT_OF_A_BAD_LINE], f"{type(error).__name__}: {error}"[:200])

    def _decode_any(self, line: bytes) -> Record:
        if line.startswith(_HIST_PREFIX):
            line = self._plain_counts(line)
        elif self._sticky_hex and not self._hex_now:
            self._hex_now = bool(escapes.HAS_UNICODE_ESCAPE.search(line))
        if escapes.HAS_BYTE_ESCAPE in line:
            line = escapes.byte_escapes_to_surrogates(line)
        text = line.decode("utf-8", "surrogateescape")
        record = self._pairs.decode(text)
        if "\\udc" in text or not text.isascii():
            record = _rejoin(record)
        if not isinstance(record, _Pairs):
            raise TypeError("not a JSON object")
        fields = dict(record)
        kind = fields["type"]
        if kind == "attached_probes":
            self._sticky_hex = "count" in fields
        return _READERS.get(kind, _read_unknown)(fields)

    def _plain_counts(self, line: bytes) -> bytes:
        """Rewrite the hexadecimal counts of a hist line in decimal, from the place on where the stream turned."""
        if not self._sticky_hex:
            return line
        turn = 0
        if not self._hex_now:
            escape = escapes.HAS_UNICODE_ESCAPE.search(line)
            if escape is None:
                return line
            self._hex_now, turn = True, escape.start()
        decimal = _HIST_COUNT.sub(lambda match: b', "count": %d}' % int(match[1], 16), line[turn:])
        return line[:turn] + decimal


def _rescue(line: bytes) -> Record | None:
    match = _UNQUOTED.fullmatch(line)
    return Value(match[2].decode("utf-8", "surrogateescape")) if match else None


def _rejoin(data: Any) -> Any:
    if isinstance(data, _Pairs):
        return _Pairs((_rejoin(key), _rejoin(value)) for key, value in data)
    if isinstance(data, list):
        return [_rejoin(item) for item in data]
    return escapes.join_surrogates(data)


def _plain(data: Any) -> Any:
    """Pairs -> dict, for values whose keys cannot be doubled (structs)."""
    if isinstance(data, _Pairs):
        return {key: _plain(value) for key, value in data}
    if isinstance(data, list):
        return [_plain(item) for item in data]
    return data


def _integer(value: Any) -> int:
    """An integer; 0.24 and later send one that a double cannot hold as a string: ``"9007199254740993"``."""
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise TypeError(f"not an integer: {value!r:.40}")
    return int(value)


def _read_attached_probes(fields: dict[str, Any]) -> Record:
    return AttachedProbes(_integer(dict(fields["data"])["probes"]))


def _read_value(fields: dict[str, Any]) -> Record:
    return Value(_plain(fields["data"]))


def _only_map(data: Any) -> tuple[str, Any]:
    """``{"@name": VALUE}`` -> name without its ``@``, value."""
    ((name, value),) = data
    if not name.startswith("@"):
        raise ValueError("not a map")
    return name[1:], value


def _entries(value: Any) -> tuple[Entry, ...]:
    if isinstance(value, _Pairs):
        return tuple(Entry(key, _plain(item)) for key, item in value)
    return (Entry(None, _plain(value)),)


def _read_map(fields: dict[str, Any]) -> Record:
    name, value = _only_map(fields["data"])
    return Map(name, _entries(value))


def _read_stats(fields: dict[str, Any]) -> Record:
    name, value = _only_map(fields["data"])
    # With a map behind one of these names it is a key, of a process called so.
    if isinstance(value, _Pairs) and [key for key, _ in value] == _STATS and not isinstance(value[0][1], _Pairs):
        return Stats(name, (Entry(None, dict(value)),))
    return Stats(name, _entries(value))


def _buckets(value: list[Any]) -> tuple[Bucket, ...]:
    def edge(bucket: dict[str, Any], side: str) -> int | None:
        return _integer(bucket[side]) if side in bucket else None

    return tuple(
        Bucket(edge(bucket, "min"), edge(bucket, "max"), _integer(bucket["count"])) for bucket in map(dict, value)
    )


def _read_hist(fields: dict[str, Any]) -> Record:
    name, value = _only_map(fields["data"])
    if isinstance(value, _Pairs):
        return Hist(name, tuple((key, _buckets(buckets)) for key, buckets in value))
    return Hist(name, ((None, _buckets(value)),))


def _read_text(fields: dict[str, Any]) -> Record:
    if not isinstance(fields["data"], str):
        raise TypeError("text expected")
    return Text(fields["type"], fields["data"])


def _read_lost_events(fields: dict[str, Any]) -> Record:
    return LostEvents(_integer(dict(fields["data"])["events"]))


def _read_problem(fields: dict[str, Any]) -> Record:
    kind = fields["type"]
    if kind == "helper_error":  # {"helper": "map_update_elem", "retcode": -7, "line": 1, "col": 31}; no "data"
        return Problem(kind, f"{fields.get('helper')} returned {fields.get('retcode')}")
    message = fields.get("msg", fields.get("data"))
    return Problem(kind, message if isinstance(message, str) else str(_plain(message)))


def _read_unknown(fields: dict[str, Any]) -> Record:
    if not isinstance(fields["type"], str):
        raise TypeError("record without a type")
    return Unknown(fields["type"], {key: _plain(value) for key, value in fields.items() if key != "type"})


_READERS: dict[str, Callable[[dict[str, Any]], Record]] = {
    "attached_probes": _read_attached_probes,
    "value": _read_value,
    "map": _read_map,
    "stats": _read_stats,
    "hist": _read_hist,
    "printf": _read_text,
    "time": _read_text,
    "cat": _read_text,
    "join": _read_text,
    "syscall": _read_text,
    "lost_events": _read_lost_events,
    "helper_error": _read_problem,
    "runtime_error": _read_problem,
    "errorf": _read_problem,
    "warnf": _read_problem,
}
