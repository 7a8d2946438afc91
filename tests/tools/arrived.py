"""What bpftrace printed, read from a recording, and whether all of it arrived in the telemetry.

The recording is read by Python's own JSON parser as far as that can, and not by ours: it is our parsers that are held
against it.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from orchestrator.recording import HEADER_PREFIX, OURS
from parsers.records import Hist, Map, Record, Stats, Text, TimeSeries, Unparsed
from parsers.stream import OutputStream
from tests.live.harness import Telemetry, attributes
from tests.tools.workloads import Lines, Point, Truth

_MARK = "orchestrator"
_TEXTS = {"printf", "time", "join", "cat", "syscall"}
_MAPS = {"map", "hist", "stats", "tseries"}
_LARGE = re.compile(r"-?\d{16,20}")
# A metric's description begins with its map: `@usecs = hist(...)`, `@[func] = count()`.
_MAP_OF = re.compile(r"@(\w*)")


class Pairs(list[tuple[str, Any]]):
    """A JSON object with all its keys."""


class PrintedMap(NamedTuple):
    """One print of a map; ``snapshot``: by us."""

    kind: str
    name: str
    entries: list[tuple[str, Any]]
    snapshot: bool


@dataclass
class Printed:
    """A recording. ``odd``: lines that are no JSON to Python, which our own parser had to read."""

    types: Counter[str] = field(default_factory=Counter)
    texts: list[tuple[str, str]] = field(default_factory=list)
    maps: list[PrintedMap] = field(default_factory=list)
    cleared: set[str] = field(default_factory=set)
    stacks: set[str] = field(default_factory=set)
    odd: int = 0

    @property
    def lines_in_pieces(self) -> list[str]:
        """The pieces of all lines of more than one statement that have text of their own."""
        found: list[str] = []
        line: list[str] = []
        for kind, text in self.texts:
            line.append(text)
            if kind == "join" or text.endswith("\n"):
                found += line if len(line) > 1 else []
                line = []
        return found

    @property
    def stack_amount(self) -> int:
        """What the stacks in the last print of each map that has any add up to."""
        last = {one.name: one for one in self.maps}
        return sum(
            _number_of(value)
            for one in last.values()
            if one.name in self.stacks or any(_is_stack(key) for key, _ in one.entries)
            for _, value in one.entries
        )

    @classmethod
    def read(cls, path: Path) -> Printed:
        self, snapshot = cls(), False
        for line in path.read_bytes().split(b"\n"):
            if line.startswith(HEADER_PREFIX):
                manifest = json.loads(line)["signals"][0]["manifest"]
                self.cleared = {name for name, one in manifest.get("metrics", {}).items() if one.get("cleared")}
                self.stacks = set(manifest.get("stacks", {}))
            elif line.strip() and not line.startswith(OURS):
                snapshot = self._add(line, snapshot=snapshot)
        return self

    def _add(self, line: bytes, *, snapshot: bool) -> bool:
        try:
            record = json.loads(line.decode("utf-8", "surrogateescape"), object_pairs_hook=Pairs, strict=False)
        except ValueError:
            self._add_odd(line, snapshot=snapshot)
            return snapshot
        fields = dict(record)
        kind: str = fields["type"]
        data: Any = fields.get("data")
        if kind == "value" and isinstance(data, list) and data[:1] == [_MARK]:
            return data[1] in {"snapshot", "end"} or (snapshot and data[1] != "snapshot_end")
        if kind in _MAPS:
            ((name, value),) = data
            if name.startswith(f"@{_MARK}_"):
                return snapshot
            keyed = isinstance(value, Pairs) and [key for key, _ in value] != ["count", "average", "total"]
            self.maps.append(PrintedMap(kind, name[1:], list(value) if keyed else [("", value)], snapshot))
        elif kind in _TEXTS:
            self.texts.append((kind, data))
        elif kind == "value":
            self.texts.append((kind, _shown(data)))
        self.types[kind] += 1
        return snapshot

    def _add_odd(self, line: bytes, *, snapshot: bool) -> None:
        self.odd += 1
        for record in [*(stream := OutputStream()).feed(line + b"\n"), *stream.close()]:
            self.types[type(record).__name__.lower()] += 1
            self._add_record(record, snapshot=snapshot)

    def _add_record(self, record: Record, *, snapshot: bool) -> None:
        if isinstance(record, Text):
            self.texts.append((record.kind, record.text))
        elif isinstance(record, Unparsed):
            self.texts.append(("output", record.line.decode("utf-8", "surrogateescape") + "\n"))
        elif isinstance(record, (Map, Stats)):
            entries = [(key or "", value) for key, value in record.entries]
            self.maps.append(PrintedMap("map", record.name, entries, snapshot))
        elif isinstance(record, Hist):
            series = [
                (key or "", [{"min": one.min, "max": one.max, "count": one.count} for one in buckets])
                for key, buckets in record.series
            ]
            self.maps.append(PrintedMap("hist", record.name, list(series), snapshot))
        elif isinstance(record, TimeSeries):
            raise NotImplementedError


def _shown(data: Any) -> str:
    """A value as bpftrace shows it: ``(1, x)``, ``{ .p = 7 }``."""
    if isinstance(data, Pairs):
        return "{ " + ", ".join(f".{name} = {_shown(item)}" for name, item in data) + " }\n"
    if isinstance(data, list):
        return "(" + ", ".join(_shown(item).rstrip("\n") for item in data) + ")\n"
    return f"{str(data).lower() if isinstance(data, bool) else data}\n"


@dataclass(frozen=True)
class Event:
    """The log records of one event name: how many, how many of them with attributes, and with how many."""

    name: str
    count: int
    typed: int
    attributes: int


@dataclass
class Series:
    """One metric: its points by their attributes, each the last of its series."""

    kind: str
    name_of_map: str
    points: dict[tuple[tuple[str, Any], ...], Any] = field(default_factory=dict)

    def matching(self, wanted: dict[str, Any]) -> int:
        """The sum of values, or counts, of the points with these attributes."""
        return sum(_amount(point) for found, point in self.points.items() if wanted.items() <= dict(found).items())


class Arrived:
    """What was delivered."""

    def __init__(self, path: Path) -> None:
        telemetry = Telemetry.read(path.read_text())
        self.logs = [(_text(log.body), log.event_name, found) for found, log in telemetry.logs]
        self.profiles = telemetry.profiles
        self.metrics: dict[str, Series] = {}
        self.dropped: dict[str, int] = {}
        for metric in [one for snapshot in telemetry.snapshots for one in snapshot.values()]:
            kind = str(metric.WhichOneof("data"))
            points = getattr(metric, kind).data_points
            if metric.name == "ebpf_events_dropped_total":
                self.dropped = {attributes(point.attributes)["error.type"]: point.as_int for point in points}
            elif not metric.name.startswith("ebpf_"):  # those of orchestrate's own
                name_of_map = (_MAP_OF.match(metric.description) or [""] * 2)[1]
                kind = "counter" if kind == "sum" and metric.sum.is_monotonic else kind
                series = self.metrics.setdefault(metric.name, Series(kind, name_of_map))
                series.points.update({tuple(attributes(point.attributes).items()): point for point in points})

    @property
    def events(self) -> list[Event]:
        """By name, in order of appearance."""
        groups: dict[str, list[dict[str, Any]]] = {}
        for _, name, found in self.logs:
            groups.setdefault(name, []).append(found)
        return [Event(name, len(group), sum(map(bool, group)), max(map(len, group))) for name, group in groups.items()]


def _text(body: Any) -> str:
    kind = body.WhichOneof("value")
    value = getattr(body, kind) if kind else ""
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value)


def _amount(point: Any) -> int:
    if hasattr(point, "bucket_counts"):
        return int(point.count)
    return int(point.as_int if point.WhichOneof("value") == "as_int" else point.as_double)


def missing(printed: Printed, arrived: Arrived) -> list[str]:
    """What was printed and did not arrive, or arrived as something else; a sentence each."""
    shown = Counter(body for kind in printed.maps for body in _text_entries(kind))
    bodies = []
    for body, _, _ in arrived.logs:
        if shown[body] > 0:
            shown[body] -= 1
        else:
            bodies.append(body)
    return [
        *(f"no log record for {body!r}" for body, count in shown.items() if count),
        *_missing_text(printed.texts, bodies),
        *_missing_numbers(printed, arrived),
    ]


def _text_entries(printed: PrintedMap) -> Iterator[str]:
    if printed.kind == "map":
        for key, value in printed.entries:
            if not _is_number(value) and not _is_stack(key):
                yield f"@{printed.name}{f'[{key}]' if key else ''}: " + _shown(value).rstrip("\n")


def _is_number(value: Any) -> bool:
    return isinstance(value, int) or (isinstance(value, str) and _LARGE.fullmatch(value) is not None)


def _is_stack(key: str) -> bool:
    return key.startswith(("\n", "\\n"))


def _missing_text(texts: Sequence[tuple[str, str]], bodies: Sequence[str]) -> Iterator[str]:
    """All that was printed must stand in the bodies in its order, and nothing else; blanks and newlines apart.

    A line that is nothing but a time heads what follows, and has become the time of that.
    """
    rest, position = "".join("".join(bodies).split()), 0
    for kind, text in texts:
        shown = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        wanted = "".join(shown.split())
        if rest.startswith(wanted, position):
            position += len(wanted)
        elif kind == "time" and text.endswith("\n"):
            continue
        elif (found := rest.find(wanted, position)) >= 0:
            yield f"printed by nobody: {rest[position:found]!r:.200}"
            position = found + len(wanted)
        else:
            yield f"not in any log record: {kind} {text!r:.200}"
    if position < len(rest):
        yield f"printed by nobody: {rest[position:]!r:.200}"


def _missing_numbers(printed: Printed, arrived: Arrived) -> Iterator[str]:
    for name in dict.fromkeys(one.name for one in printed.maps):
        prints = [one for one in printed.maps if one.name == name]
        metric = next((one for one in arrived.metrics.values() if one.name_of_map == name), None)
        points = {_parts(found): point for found, point in metric.points.items()} if metric else {}
        folded = any("otel.metric.overflow" in dict(found) for found in (metric.points if metric else ()))
        snapshots = [one for one in prints if one.snapshot]
        partly = bool(snapshots) and len(prints[-1].entries) < len(snapshots[-1].entries)
        for key, values in _values(prints, printed.stacks).items():
            point = points.get(_parts_of_key(key))
            if point is None:
                if not folded:
                    yield f"no data point for @{name}[{key}] = {values[-1][1]!r:.100}"
            elif _amount(point) not in _allowed(values, cleared=name in printed.cleared, partly=partly):
                yield f"@{name}[{key}] was printed as {values!r:.300} and arrived as {_amount(point)}"


def _values(prints: Sequence[PrintedMap], stacks: set[str]) -> dict[str, list[tuple[bool, int]]]:
    """The amounts that each key was printed with, and whether by us; keys that look the same are one."""
    values: dict[str, list[tuple[bool, int]]] = {}
    for one in prints:
        amounts: Counter[str] = Counter()
        for key, value in one.entries:
            if one.name not in stacks and not _is_stack(key) and (one.kind != "map" or _is_number(value)):
                amounts[key] += _number_of(value)
        for key, amount in amounts.items():
            values.setdefault(key, []).append((one.snapshot, amount))
    return values


def _number_of(value: Any) -> int:
    """A number, the count of stats(), or the sum of a histogram's buckets."""
    if isinstance(value, Pairs):
        return int(dict(value)["count"])
    if isinstance(value, list):
        return sum(int(dict(bucket)["count"]) for bucket in value)
    return int(value)


def _allowed(values: Sequence[tuple[bool, int]], *, cleared: bool, partly: bool) -> Sequence[int]:
    """All prints together where each begins anew; else what was printed last.

    ``partly``: the program prints a part of the map at its end, which may have counted on since our last snapshot.
    """
    amounts = [amount for _, amount in values]
    if cleared:
        return [sum(amounts), amounts[-1]]
    ours = [amount for snapshot, amount in values if snapshot]
    return range(ours[-1], max(amounts) + 1) if ours and partly else [amounts[-1]]


def _parts(found: tuple[tuple[str, Any], ...]) -> tuple[str, ...]:
    return _parts_of_key(",".join(str(value) for _, value in found))


def _parts_of_key(key: str) -> tuple[str, ...]:
    return tuple(sorted({"true": "1", "false": "0"}.get(part, part) for part in key.split(",")))


def untrue(truth: Truth, printed: Printed, arrived: Arrived) -> tuple[list[str], int]:
    """What the workload did and the telemetry does not say, a sentence each; and how many lines were mixed up.

    A line that is printed in pieces can be cut by one that another CPU prints at that moment, and nothing tells: up
    to a quarter of the lines in pieces may have got attributes of another one.
    """
    problems: list[str] = []
    mixed: list[str] = []
    pieces = printed.lines_in_pieces
    in_pieces = 0
    for one in truth:
        if isinstance(one, Point):
            problems += _point(one, arrived)
            continue
        found = [(body, given) for body, _, given in arrived.logs if one.text in body]
        if len(found) < one.count or (len(found) > one.count and not one.at_least):
            problems.append(f"{len(found)} log records with {one.text!r} instead of {one.count}")
        cut = any(one.text in line for line in pieces)
        in_pieces += len(found) if cut else 0
        wrong = [body for body, given in found if not one.attributes.items() <= given.items()]
        (mixed if cut else problems).extend(f"{body!r} has not {one.attributes}" for body in wrong)
    return (problems, len(mixed)) if 4 * len(mixed) <= in_pieces else ([*problems, *mixed], 0)


def _point(truth: Point, arrived: Arrived) -> Iterator[str]:
    metric = arrived.metrics.get(truth.metric)
    amount = metric.matching(truth.attributes) if metric else 0
    if amount < truth.least:
        yield f"{truth.metric} {truth.attributes} is {amount} and not {truth.least} or more"


def seen(truth: Truth, recording: bytes) -> bool:
    """Whether all of the workload that is printed only once stands in a recording; all else is printed at the end."""
    printed: Counter[str] = Counter()
    for match in re.finditer(rb'^\{"type": "map", "data": \{"@(\w*)": (\d+)\}\}', recording, re.MULTILINE):
        printed[match[1].decode()] += int(match[2])
    header = recording.partition(b"\n")[0]
    for one in truth:
        if isinstance(one, Lines) and recording.count(one.text.encode()) < one.count:
            return False
        if isinstance(one, Point) and b'"cleared":true' in header and max(printed.values(), default=0) < one.least:
            return False
    return True
