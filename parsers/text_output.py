r"""bpftrace's text output, as it is kept in a terminal's scrollback -> the records that ``-f json`` gives.

Text says less than JSON: printf(), time(), cat() and print(value) are all ``Text``, an ``avg()`` is a ``Map``, a string
of digits is a number, and nothing is escaped. What is printed over several lines is put together again: maps with many
keys, histograms, charts, stacks. A record comes out when the line behind its last one is seen. Nothing raises.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

from parsers.records import (
    AttachedProbes,
    Entry,
    Hist,
    LostEvents,
    Map,
    Problem,
    Record,
    Stats,
    Text,
    TimeSeries,
    Unparsed,
)
from parsers.text_values import MapLine, read_hist_row, read_map_line, read_tseries_row

__all__ = ("TextDecoder",)

_Kind: TypeAlias = Literal["map", "stats", "hist", "tseries"]
_RowReader: TypeAlias = Callable[[str], "list[Any] | None"]

_SEPARATOR = ", "
_KEPT_OF_A_BAD_LINE = 4096
_CUT = "cut off at its end"
# `@c: 5`, `^C`, a notice. What begins with another byte is plain text, unless it goes on with something.
_FIRST_BYTES = frozenset(b"@^ALWE")

# A terminal shows the keys that ended bpftrace: `^C` before a blank line, `^C@c: 5`.
_ECHO = re.compile(r"(?:\^C)+(?=@|\Z)")
_MAP = re.compile(r"@(?:[A-Za-z_][A-Za-z0-9_]*)?(?:[\[:]|\Z)")
_KEY = re.compile(r"@[A-Za-z0-9_]*\[")
# @k[ with a stack below, or a second one: `@[, `. Strings have newlines, too: `@c[nl` and `x]: 1`, but not as many.
_STACK_KEY = re.compile(r"@[A-Za-z0-9_]*\[(?:.*,)? ?")
_LINES_OF_A_STACK_KEY = 4096
_LINES_OF_A_STRING_KEY = 64
_CHARACTERS_OF_A_KEY = 1 << 20
# `        do_syscall_64+506`, perf: `\tffffffff814b2b2d perf_syscall_enter+397`, raw: `55b60150d169`
_FRAME = re.compile(r"(?: {8}|\t)\S.*|[0-9a-f]{6,16}")
# Up to 0.23, ksym(), usym() and ntop() as values have no newline: `@f[1]: 0x7f9c@f[2]: 0x7f90`.
_JOINED = re.compile(r".*\]: .*\S(?<!\]:)")

_TABLES: tuple[tuple[_Kind, _RowReader], ...] = (("hist", read_hist_row), ("tseries", read_tseries_row))

_NOTICE_PREFIXES = ("Attach", "Lost ", "WARNING: ", "ERROR: ")
_NOTICES: list[tuple[re.Pattern[str], Callable[[str], Record]]] = [
    (re.compile(r"Attaching ([0-9]{1,9}) probes?\.\.\."), lambda count: AttachedProbes(int(count))),
    (re.compile(r"Attached ([0-9]{1,9}) probes?"), lambda count: AttachedProbes(int(count))),  # 0.24 and later
    (re.compile(r"Lost ([0-9]{1,20}) events"), lambda count: LostEvents(int(count))),
    (re.compile(r"WARNING: (.*)"), lambda message: Problem("warning", message)),
    (re.compile(r"ERROR: (.*)"), lambda message: Problem("error", message)),
]


class _Group:
    """What is printed of one map at a time, line by line. Values of a hist and a tseries are lists that grow."""

    def __init__(self, kind: _Kind, name: str) -> None:
        self.kind = kind
        self.name = name
        self._entries: list[tuple[str | None, Any]] = []
        self._keys: set[str | None] = set()

    def takes(self, kind: _Kind, name: str, key: str | None, value: Any) -> bool:
        """Whether this entry can belong to what is here.

        From 0.13 on no blank line stands between two prints of a map: a key that is here already begins a new one.
        Only a stack can also be here twice, of two processes, and then the values ascend.
        """
        if (kind, name) != (self.kind, self.name) or key is None or None in self._keys:
            return False
        if key not in self._keys:
            return True
        last = self._entries[-1][1]
        return "\n" in key and isinstance(value, int) and isinstance(last, int) and value >= last

    def add(self, key: str | None, value: Any) -> None:
        """Add an entry; ``takes()`` has been asked."""
        self._entries.append((key, value))
        self._keys.add(key)

    def record(self) -> Record:
        """Return what is here."""
        if self.kind in ("map", "stats"):
            entries = tuple(Entry(key, value) for key, value in self._entries)
            return (Map if self.kind == "map" else Stats)(self.name, entries, _SEPARATOR)
        series = tuple((key, tuple(value)) for key, value in self._entries)
        return (Hist if self.kind == "hist" else TimeSeries)(self.name, series, _SEPARATOR)


class TextDecoder:
    """Feed it the lines in order, and ``close()`` it; both return the records that are complete."""

    def __init__(self) -> None:
        self._records: list[Record] = []
        self._group: _Group | None = None
        # What takes the next line if that goes on with what was begun; and the lines that nothing is made of yet.
        self._reader: Callable[[str], bool] | None = None
        self._waiting: list[str] = []
        self._room = (0, 0)  # lines, characters that may still be added
        self._header = MapLine("", None, "header", "")
        self._rows: list[Any] = []
        self._read_row: _RowReader = read_hist_row

    def feed(self, line: bytes) -> list[Record]:
        """Return the records that ``line``, without its newline, completes."""
        if self._reader is None and line and line[0] not in _FIRST_BYTES:
            self._plain(_decode(line))
        else:
            self._line(_without_echo(_decode(line)))
        return self._take_records()

    def close(self, rest: bytes = b"") -> list[Record]:
        """Return what is left. ``rest``, the last line, has no newline: of a map's line nobody knows if it is whole."""
        line = _without_echo(_decode(rest))
        self._flush()
        if self._waiting or (line and (self._reader or _MAP.match(line))):
            self._records.append(_unparsed([*self._waiting, line] if line else self._waiting))
        elif line and not line.isspace():
            self._records.append(Text("printf", line))
        self._reader, self._waiting = None, []
        return self._take_records()

    def _take_records(self) -> list[Record]:
        records, self._records = self._records, []
        return records

    def _line(self, line: str) -> None:
        if self._reader is not None and self._reader(line):
            return
        self._reader, self._waiting = None, []
        if _MAP.match(line):
            for part in _joined_entries(line):
                self._map_line(part)
        elif notice := _notice(line):
            self._flush()
            self._records.append(notice)
        else:
            self._plain(line)

    def _plain(self, line: str) -> None:
        self._flush()
        if line and not line.isspace():
            self._records.append(Text("printf", line + "\n"))

    def _map_line(self, line: str) -> None:
        entry = read_map_line(line)
        if entry is None and _KEY.match(line):
            lines = _LINES_OF_A_STACK_KEY if _STACK_KEY.fullmatch(line) else _LINES_OF_A_STRING_KEY
            self._room = lines, _CHARACTERS_OF_A_KEY
            self._reader, self._waiting = self._read_key, [line]
        elif entry is None:
            self._plain(line)
        elif entry.kind == "header":
            self._header = entry
            self._reader, self._waiting = self._read_below, [line]
        else:
            self._add(entry.kind, entry, entry.value)

    def _add(self, kind: _Kind, place: MapLine, value: Any) -> None:
        if self._group and not self._group.takes(kind, place.name, place.key, value):
            self._flush()
        self._group = self._group or _Group(kind, place.name)
        self._group.add(place.key, value)
        if place.key is None and kind in ("map", "stats"):
            self._flush()

    def _flush(self) -> None:
        if self._group:
            self._records.append(self._group.record())
            self._group = None

    # Readers: True if the line is theirs.

    def _read_key(self, line: str) -> bool:
        """The lines of a key, up to the one that ends it: `]: 1`, `, python3, 1]: 5`, `]:` above a hist."""
        self._room = self._room[0] - 1, self._room[1] - len(line)
        if _MAP.match(line) or min(self._room) < 0:
            for waiting in self._waiting:
                self._plain(waiting)
            return False
        self._waiting.append(line)
        if "]: " in line or line.endswith("]:"):
            key, self._reader, self._waiting = "\n".join(self._waiting), None, []
            self._map_line(key)
        return True

    def _read_below(self, line: str) -> bool:
        """The first line below `@h: ` tells what it is."""
        for kind, read_row in _TABLES:
            rows = read_row(line)
            if rows is not None:
                self._begin_rows(kind, rows, read_row)
                return True
        if _FRAME.fullmatch(line):
            self._reader = self._read_frame
            self._waiting.append(line)
            return True
        self._add_nothing()
        return False

    def _add_nothing(self) -> None:
        """`@empty: ` is an empty string, or a stack without frames; `@h:` a hist() whose buckets are all zero."""
        if self._header.value:
            self._add("map", self._header, "")
        else:
            self._add("hist", self._header, [])

    def _begin_rows(self, kind: _Kind, rows: list[Any], read_row: _RowReader) -> None:
        self._reader, self._waiting = self._read_rows, []
        self._rows, self._read_row = rows, read_row
        self._add(kind, self._header, rows)

    def _read_rows(self, line: str) -> bool:
        """The other rows, and the blank line below them. The next key of the same map may follow."""
        rows = self._read_row(line)
        if rows is not None:
            self._rows.extend(rows)
            return True
        self._reader = None
        if self._header.key is None:
            self._flush()
        return not line

    def _read_frame(self, line: str) -> bool:
        """The other frames of a stack that is a value; up to 0.23 the blank line stands below the last stack only."""
        if _FRAME.fullmatch(line):
            self._waiting.append(line)
            return True
        frames, self._reader, self._waiting = self._waiting[1:], None, []
        self._add("map", self._header, "\n" + "\n".join(frames) + "\n")
        return not line


def _decode(line: bytes) -> str:
    return line.decode("utf-8", "surrogateescape").removesuffix("\r")


def _without_echo(line: str) -> str:
    echo = _ECHO.match(line)
    return line[echo.end() :] if echo else line


def _notice(line: str) -> Record | None:
    if not line.startswith(_NOTICE_PREFIXES):
        return None
    for pattern, record in _NOTICES:
        if match := pattern.fullmatch(line):
            return record(match[1])
    return None


def _joined_entries(line: str) -> list[str]:
    name = line.partition("[")[0] + "["
    parts = line.split(name)[1:]
    return [name + part for part in parts] if len(parts) > 1 and all(map(_JOINED.fullmatch, parts)) else [line]


def _unparsed(lines: list[str]) -> Unparsed:
    whole = "\n".join(lines).encode("utf-8", "surrogateescape")
    return Unparsed(whole[:_KEPT_OF_A_BAD_LINE], _CUT)
