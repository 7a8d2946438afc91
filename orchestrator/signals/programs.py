"""Everything that a program with a process of its own prints -> log records, metrics and profiles.

What the manifest does not know, because it was inferred or there is no source, is read by what the records are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from config.manifest import Manifest
from config.manifest import Metric as Rule
from orchestrator.signals.clock import Moment
from orchestrator.signals.keys import KeyReader
from orchestrator.signals.lines import LineReader
from orchestrator.signals.metrics import MetricReader
from orchestrator.signals.model import LogRecord, Metric, Profile
from orchestrator.signals.names import metric_name
from orchestrator.signals.series import MapRecord, is_number, pairs
from orchestrator.signals.stacks import UNKNOWN_STACKS, StackCounts, StackReader, has_stacks
from orchestrator.signals.values import as_text, readable
from parsers.records import Data, Entry, Hist, Map, Stats

__all__ = ("MapReading", "ProgramReader")

_SEVERITIES = {"errorf": "error", "warnf": "warn"}


@dataclass(slots=True)
class MapReading:
    """What one printed map became."""

    metric: Metric | None = None
    logs: list[LogRecord] = field(default_factory=list)
    unread: int = 0
    profiles: list[Profile] = field(default_factory=list)


class ProgramReader:
    """Reads the output of one program. ``whole_lines``: it is text, in which the statements of a line are one."""

    def __init__(self, name: str, manifest: Manifest, counts: StackCounts, *, whole_lines: bool) -> None:
        self._name, self._manifest, self._counts = name, manifest, counts
        self._stacks: dict[str, StackReader] = {}
        self._lines = LineReader(manifest.prints, metric_name(name, ""), whole_lines=whole_lines)
        self._metrics = MetricReader(manifest.metrics, lenient=True)
        self._texts = {
            map_name: (rule.name, KeyReader(rule.keys, lenient=True)) for map_name, rule in manifest.texts.items()
        }

    def text(self, kind: str, text: str, moment: Moment) -> Iterator[LogRecord]:
        """The log records that a piece of text completes."""
        return self._lines.text(kind, text, moment)

    def value(self, data: Data, moment: Moment) -> Iterator[LogRecord]:
        """The log record of a printed value."""
        return self._lines.value(data, moment)

    def problem(self, kind: str, message: str, moment: Moment) -> LogRecord | None:
        """The log record of what the program itself reports, by errorf() or warnf()."""
        if kind not in _SEVERITIES:
            return None
        name = f"{metric_name(self._name, '')}.{kind}"
        return LogRecord(moment.unix, moment.unix, name, _SEVERITIES[kind], readable(message.rstrip("\n")), {})

    def flush(self) -> Iterator[LogRecord]:
        """The log record of a line that was never ended."""
        return self._lines.flush()

    def is_snapshot(self, name: str) -> bool:
        """Whether a map is printed by us, every interval and at the end."""
        rule = self._manifest.metrics.get(name)
        return rule is not None and rule.snapshot and not rule.cleared

    def is_cleared(self, name: str) -> bool:
        """Whether the program empties a map after it has printed it."""
        rule = self._manifest.metrics.get(name) or self._manifest.stacks.get(name)
        return rule is not None and rule.cleared

    def close(self, start: int, time: int) -> list[Profile]:
        """The profiles of the maps that are never emptied: the last print of each holds all."""
        return [profile for reader in self._stacks.values() for profile in reader.take(start, time)]

    def map(self, record: MapRecord, start: int, time: int) -> MapReading:
        """What a printed map is."""
        if record.name in self._manifest.stacks or has_stacks(record):
            return self._stack_map(record, start, time)
        if not isinstance(record, Map):
            return self._metric(record, start, time)
        text = self._manifest.texts.get(record.name)
        if text is not None and not text.keys and any(key is not None for key, _ in record.entries):
            # A struct looks like a map with keys: {"@s": {"a": 1, "b": 2}}
            record = Map(record.name, (Entry(None, {key or "": value for key, value in record.entries}),))
        numbers = tuple(entry for entry in record.entries if is_number(entry[1]))
        reading = self._metric(Map(record.name, numbers, record.separator), start, time) if numbers else MapReading()
        texts = [entry for entry in record.entries if not is_number(entry[1])]
        reading.logs = [self._text(record, key, value, time) for key, value in texts]
        return reading

    def _stack_map(self, record: MapRecord, start: int, time: int) -> MapReading:
        rule = self._manifest.stacks.get(record.name, UNKNOWN_STACKS)
        if not rule.profiles:
            self._counts.unmade[record.name] = len(pairs(record))
            return MapReading()
        reader = self._stacks.get(record.name)
        if reader is None:
            reader = self._stacks[record.name] = StackReader(rule, self._counts, lenient=True)
        if not rule.cleared:
            return MapReading(unread=reader.replace(record))
        unread = reader.read(record)
        return MapReading(unread=unread, profiles=reader.take(start, time))

    def _metric(self, record: MapRecord, start: int, time: int) -> MapReading:
        if record.name not in self._metrics.maps:
            self._metrics.add(record.name, _rule_of(self._name, record))
        metric, unread = self._metrics.read(record, start, time)
        return MapReading(metric, unread=unread)

    def _text(self, record: Map, key: str | None, value: Data, time: int) -> LogRecord:
        name, keys = self._texts.setdefault(record.name, (metric_name(self._name, record.name), KeyReader([])))
        attributes = {} if key is None else keys.read(key, record.separator)
        shown = as_text(value)
        place = "" if key is None else f"[{key}]"
        body = readable(f"@{record.name}{place}: {shown}")
        return LogRecord(time, time, name, "info", body, {**attributes, "ebpf.value": shown})


def _rule_of(program: str, record: MapRecord) -> Rule:
    """What a map of which nothing is known is: whether it counts cannot be told from what is printed."""
    is_histogram = isinstance(record, Hist) or (
        isinstance(record, Stats) and any(isinstance(value, dict) for _, value in pairs(record))
    )
    return Rule(
        name=metric_name(program, record.name),
        instrument="histogram" if is_histogram else "gauge",
        unit="1",
        description=f"@{record.name}",
    )
