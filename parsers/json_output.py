"""One line of ``bpftrace -f json`` -> its record.

A record is ``{"type": T, "data": D}``; a table keyed by T says how D is read. Nothing raises out of here: what cannot
be read is an ``Unparsed`` record.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any, NoReturn

import msgspec

from parsers import escapes
from parsers.map_lines import HIST_PREFIX, MAP_PREFIX, decode_hist, decode_map
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
    TimeSeries,
    Unknown,
    Unparsed,
    Value,
)

__all__ = ("JsonDecoder",)

# The line that print((...)) makes, in every version: by far the most frequent one, so it has a way of its own.
_VALUE_PREFIX = b'{"type": "value", "data": '
_FEW_BRACKETS = 16
# What may hold a token without its quotes, or an empty place: `{"@t": 05:41}`, `{"@h": }`.
_MENDABLE = tuple(b'{"type": "%b", "data": ' % kind for kind in (b"value", b"map", b"hist", b"tseries"))
# A record's beginning, and whether it could be a struct of ours inside another record: `[1, {"type": "x"}]`.
_BEGINNING = re.compile(rb'(?P<inside>[,:\[] *)?(?P<record>\{"type": ")')
_STRING_OR_BRACE = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"?|[{}]', re.DOTALL)
_DIGITS = re.compile(r"-?[0-9]+")
_BEGINNINGS_TRIED = 8
_KEPT_OF_A_BAD_LINE = 4096
_DEEPEST = 64
_STATS = ["count", "average", "total"]


class _Pairs(list[tuple[str, Any]]):
    """A JSON object with its keys in order, doubles included."""


class _ValueLine(msgspec.Struct, gc=False):
    data: Any


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"not a number of bpftrace's: {text:.40}")
    return number


def _refuse(word: str) -> NoReturn:
    """NaN and Infinity, which Python's reader would take."""
    raise ValueError(f"not a number of bpftrace's: {word}")


class JsonDecoder:
    """Reads lines in order; it has to see all of a stream, because 0.24 to 0.27 change their numbers on the way.

    ``version`` is bpftrace's, ``(0, 17)``, if it is known. Most of what differs shows in the output: 0.24 and later
    begin with an ``attached_probes`` record that has a ``count`` of its own. What does not show is whether map keys
    are escaped twice, as by 0.22 and 0.23: without a version they are read so, until one comes that cannot be.
    """

    def __init__(self, version: tuple[int, ...] | None = None) -> None:
        self._value_line = msgspec.json.Decoder(_ValueLine)
        self._objects = json.JSONDecoder(
            object_pairs_hook=_Pairs, parse_float=_finite, parse_constant=_refuse, strict=False
        )
        self._version = version
        self._radix = escapes.Radix(None if version is None else version >= (0, 24))
        self._keys_twice = _escapes_keys_twice(version)

    def decode_all(self, line: bytes) -> list[Record]:
        """Return the records of ``line``, with what else stands on it as ``Unparsed``.

        bpftrace ends each record with a newline, but the command that it runs for ``-c`` has the same output and need
        not: ``hello{"type": "value", "data": 1}``. Nothing tells a record that such a command prints from a real one.
        """
        record = self.decode(line)
        if isinstance(record, Unparsed):
            return self._split(line) or [record]
        return [] if record is None else [record]

    def decode(self, line: bytes) -> Record | None:
        """Return the record that ``line`` is; None for the blank lines that bpftrace prints before its last maps."""
        if line.startswith(_VALUE_PREFIX) and b"\\u" not in line and line.isascii() and _is_shallow(line):
            try:
                return Value(self._value_line.decode(line).data)
            except msgspec.DecodeError:
                return self._decode_slowly(line)
        if line.startswith(MAP_PREFIX) and (record := decode_map(line)) is not None:
            return record
        if line.startswith(HIST_PREFIX) and not self._radix.turned and (hist := decode_hist(line)) is not None:
            return hist
        return self._decode_slowly(line) if line and not line.isspace() else None

    def _decode_slowly(self, line: bytes) -> Record:
        try:
            return self._decode_any(line.strip())
        except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
            return Unparsed(line[:_KEPT_OF_A_BAD_LINE], f"{type(error).__name__}: {error}"[:200])

    def _decode_any(self, line: bytes) -> Record:
        plain, radix = self._radix.decimal(line)
        if escapes.HAS_BYTE_ESCAPE in plain:
            plain = escapes.byte_escapes_to_surrogates(plain)
        fields = self._read(plain.decode("utf-8", "surrogateescape"), line.startswith(_MENDABLE))
        kind = fields["type"]
        if self._keys_twice and b"\\" in line and kind in _KEYED and not radix.turns:
            self._unescape_keys(fields, line.isascii())
        record = _READERS.get(kind, _read_unknown)(fields)
        # Only what could be read tells how the stream goes on: foreign text may hold anything.
        self._radix = radix
        if kind == "attached_probes":  # a new bpftrace, if it is not the first
            self._radix = escapes.Radix("count" in fields)
            self._keys_twice = _escapes_keys_twice(self._version)
        return record

    def _read(self, text: str, mendable: bool) -> dict[str, Any]:
        try:
            record = self._objects.decode(text)
        except json.JSONDecodeError:
            if not mendable:
                raise
            record = self._objects.decode(escapes.quote_bare_tokens(text))
        if "\\u" in text or not text.isascii():
            record = _rejoin(record)
        return _object(record)

    def _unescape_keys(self, fields: dict[str, Any], ascii_only: bool) -> None:
        """``{"@name": {KEY: VALUE, ...}}`` with each KEY as it was."""
        name, value = _only_map(fields["data"])
        if not isinstance(value, _Pairs):
            return
        # Where a byte above 7f is escaped, it is so twice.
        if all(escapes.is_escaped_key(key) and (key.isascii() or not ascii_only) for key, _ in value):
            value = _Pairs((escapes.unescape_key(key), item) for key, item in value)
            fields["data"] = _Pairs([("@" + name, value)])
        else:
            self._keys_twice = False

    def _split(self, line: bytes) -> list[Record]:
        """The records of a line that holds other text too; none if there are none."""
        records: list[Record] = []
        done = tried = 0
        cut = False
        for match in _BEGINNING.finditer(line):
            start = match.start("record")
            if start < done or (cut and match["inside"]):
                continue
            record = self._decode_object(line, start)
            if record is not None:
                records += [*_foreign(line[done:start]), record[0]]
                done, cut = record[1], False
            elif (tried := tried + 1) == _BEGINNINGS_TRIED:
                break
            else:
                cut = True
        return [*records, *_foreign(line[done:])] if records else []

    def _decode_object(self, line: bytes, start: int) -> tuple[Record, int] | None:
        """The whole record, of a type that is known, that begins at ``start``, and where it ends."""
        end = _object_end(line, start)
        record = self.decode(line[start:end]) if end else None
        return None if end is None or record is None or isinstance(record, (Unknown, Unparsed)) else (record, end)


def _escapes_keys_twice(version: tuple[int, ...] | None) -> bool:
    return version is None or (0, 22) <= version < (0, 24)


def _is_shallow(line: bytes) -> bool:
    return line.count(b"[") + line.count(b"{") <= _FEW_BRACKETS


def _object_end(line: bytes, start: int) -> int | None:
    depth = 0
    for match in _STRING_OR_BRACE.finditer(line, start):
        depth += {b"{": 1, b"}": -1}.get(match[0], 0)
        if not depth:
            return match.end()
    return None


def _foreign(text: bytes) -> list[Record]:
    return [Unparsed(text[:_KEPT_OF_A_BAD_LINE], "not bpftrace's own")] if text.strip() else []


def _rejoin(data: Any) -> Any:
    if isinstance(data, _Pairs):
        return _Pairs((_rejoin(key), _rejoin(value)) for key, value in data)
    if isinstance(data, list):
        return [_rejoin(item) for item in data]
    return escapes.join_surrogates(data)


def _plain(data: Any, depth: int = 0) -> Any:
    """Pairs -> dict, for values whose keys cannot be doubled (structs)."""
    if depth > _DEEPEST:
        raise ValueError("nested too deeply")
    if isinstance(data, _Pairs):
        return {key: _plain(value, depth + 1) for key, value in data}
    if isinstance(data, list):
        return [_plain(item, depth + 1) for item in data]
    return data


def _object(data: Any) -> dict[str, Any]:
    if not isinstance(data, _Pairs):
        raise TypeError("not a JSON object")
    return dict(data)


def _integer(value: Any) -> int:
    """An integer; 0.24 and later send one that a double cannot hold as a string: ``"9007199254740993"``."""
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise TypeError(f"not an integer: {value!r:.40}")
    if isinstance(value, str) and not _DIGITS.fullmatch(value):
        raise ValueError(f"not an integer: {value!r:.40}")
    return int(value)


def _only_map(data: Any) -> tuple[str, Any]:
    """``{"@name": VALUE}`` -> name without its ``@``, value."""
    if not isinstance(data, _Pairs):
        raise TypeError("not a JSON object")
    ((name, value),) = data
    if not name.startswith("@"):
        raise ValueError("not a map")
    return name[1:], value


def _read_attached_probes(fields: dict[str, Any]) -> Record:
    return AttachedProbes(_number_of(fields, "probes"))


def _read_lost_events(fields: dict[str, Any]) -> Record:
    return LostEvents(_number_of(fields, "events"))


def _number_of(fields: dict[str, Any], name: str) -> int:
    """``"data": {"probes": 2}``; 0.24 and later have ``"count": 2`` too, a build before 0.24.0 had only that."""
    return _integer(_object(fields["data"])[name] if "data" in fields else fields["count"])


def _read_value(fields: dict[str, Any]) -> Record:
    return Value(_plain(fields["data"]))


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
        return Stats(name, (Entry(None, _plain(value)),))
    return Stats(name, _entries(value))


def _series(value: Any, read: Callable[[Any], Any]) -> tuple[tuple[str | None, Any], ...]:
    """``[...]`` or ``{KEY: [...], ...}``; null stands for the empty ones of 0.11 to 0.15."""
    if isinstance(value, _Pairs):
        return tuple((key, read(item or [])) for key, item in value)
    return ((None, read(value or [])),)


def _buckets(value: Any) -> tuple[Bucket, ...]:
    return tuple(map(_bucket, value))


def _bucket(value: Any) -> Bucket:
    """``{"min": 4, "max": 7, "count": 1}``; where the range is open, min or max is missing."""
    fields = _object(value)
    low = _integer(fields["min"]) if "min" in fields else None
    high = _integer(fields["max"]) if "max" in fields else None
    return Bucket.of(low, high, _integer(fields["count"]))


def _read_hist(fields: dict[str, Any]) -> Record:
    name, value = _only_map(fields["data"])
    return Hist(name, _series(value, _buckets))


def _intervals(value: Any) -> tuple[tuple[str, int], ...]:
    """``[{"interval_start":"2026-11-23 06:14:50.200000000","value":7}, ...]``; 0.24 has null for an empty one."""
    intervals = [_object(item) for item in value]
    return tuple(
        (str(item["interval_start"]), _integer(item["value"])) for item in intervals if item["value"] is not None
    )


def _read_tseries(fields: dict[str, Any]) -> Record:
    name, value = _only_map(fields["data"])
    return TimeSeries(name, _series(value, _intervals))


def _read_text(fields: dict[str, Any]) -> Record:
    if not isinstance(fields["data"], str):
        raise TypeError("text expected")
    return Text(fields["type"], fields["data"])


def _read_message(fields: dict[str, Any]) -> Record:
    message = fields.get("msg", fields.get("data"))
    return Problem(fields["type"], message if isinstance(message, str) else str(_plain(message)))


def _read_runtime_error(fields: dict[str, Any]) -> Record:
    return Problem("runtime_error", f"{_plain(fields['msg'])}{_where(fields)}")


def _read_helper_error(fields: dict[str, Any]) -> Record:
    """``{"helper": "map_update_elem", "retcode": -7, "line": 1, "col": 31}``, 0.23 and later ``"msg"``; no "data"."""
    why = f": {_plain(fields['msg'])}" if "msg" in fields else ""
    return Problem(
        "helper_error", f"{_plain(fields['helper'])} returned {_integer(fields['retcode'])}{why}{_where(fields)}"
    )


def _where(fields: dict[str, Any]) -> str:
    """``"filename": "x.bt", "line": 1, "col": 9``; no file name up to 0.23."""
    place = ":".join(str(_plain(fields[name])) for name in ("filename", "line", "col") if name in fields)
    return f" at {place}" if place else ""


def _read_unknown(fields: dict[str, Any]) -> Record:
    if not isinstance(fields["type"], str):
        raise TypeError("record without a type")
    return Unknown(fields["type"], {key: _plain(value) for key, value in fields.items() if key != "type"})


_KEYED = frozenset({"map", "hist", "stats"})
_READERS: dict[str, Callable[[dict[str, Any]], Record]] = {
    "attached_probes": _read_attached_probes,
    "value": _read_value,
    "map": _read_map,
    "stats": _read_stats,
    "hist": _read_hist,
    "tseries": _read_tseries,
    "printf": _read_text,
    "time": _read_text,
    "cat": _read_text,
    "join": _read_text,
    "syscall": _read_text,
    "lost_events": _read_lost_events,
    "helper_error": _read_helper_error,
    "runtime_error": _read_runtime_error,
    "errorf": _read_message,
    "warnf": _read_message,
}
