"""The files of the corpus, and what they hold in a form that can be compared."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, TypeAlias

from config.manifest import Manifest
from orchestrator.catalog import Signal, inferred_signal
from orchestrator.limits import LIMITS
from orchestrator.pipeline import OWN_SCOPE, Pipeline
from orchestrator.signals.clock import Moment
from orchestrator.signals.event_batch import EventBatch
from orchestrator.signals.model import (
    AttributeValue,
    HistogramPoint,
    LogRecord,
    Metric,
    NumberPoint,
    Profile,
    Scope,
    Span,
)
from parsers.records import Record
from parsers.stream import OutputStream, TextStream
from tests.tools.profile_rules import check_profile

ROOT = Path(__file__).parents[1] / "data" / "corpus"
VERSIONS = ("0.11.3", "0.17.0", "0.27.1")
# 2027-01-15: any time after the outputs were made.
MOMENT = Moment(1_800_000_000_000_000_000, 0)

Format: TypeAlias = Literal["json", "text"]
FORMATS: tuple[Format, Format] = ("json", "text")
SUFFIXES: Mapping[Format, str] = {"json": ".json", "text": ".txt"}

Value: TypeAlias = AttributeValue
Attributes: TypeAlias = tuple[tuple[str, Value], ...]
# value; or bounds, counts, sum
Point: TypeAlias = "int | float | tuple[tuple[float, ...], tuple[int, ...], float | None]"


@dataclass(frozen=True)
class Event:
    name: str
    body: str
    attributes: Attributes = ()


@dataclass(frozen=True)
class Series:
    """The last state of a metric."""

    name: str
    instrument: str
    unit: str
    points: tuple[tuple[Attributes, Point], ...]


@dataclass(frozen=True)
class Stack:
    """A sample: what it counts, its frames, leaf first, and how much."""

    type: str
    frames: tuple[str, ...]
    attributes: Attributes
    value: int


@dataclass(frozen=True)
class Telemetry:
    """What a pipeline made of one output: events in order, metrics by name, samples by type and stack."""

    events: tuple[Event, ...] = ()
    metrics: tuple[Series, ...] = ()
    stacks: tuple[Stack, ...] = ()

    def lines(self) -> list[str]:
        """All of it, a line each, so that 1, 1.0, True and "1" differ."""
        return [
            *(f"event {one.name} {one.body!r} {dict(one.attributes)}" for one in self.events),
            *(
                f"{metric.instrument} {metric.name} {metric.unit} {dict(attributes)} {point}"
                for metric in self.metrics
                for attributes, point in metric.points
            ),
            *(f"{one.type} {';'.join(one.frames)} {dict(one.attributes)} {one.value}" for one in self.stacks),
        ]

    def names(self) -> set[str]:
        return {one.name for one in self.events} | {one.name for one in self.metrics}


class Kept:
    """A sink that keeps everything."""

    def __init__(self) -> None:
        self.logs: list[tuple[Scope, LogRecord]] = []
        self.snapshots: list[dict[Scope, list[Metric]]] = []
        self.profiles: list[Profile] = []

    def log(self, scope: Scope, record: LogRecord) -> None:
        self.logs.append((scope, record))

    def events(self, scope: Scope, batch: EventBatch) -> None:
        for record in batch.records():
            self.log(scope, record)

    def metrics(self, metrics: dict[Scope, list[Metric]]) -> None:
        self.snapshots.append(metrics)

    def profile(self, _scope: Scope, profile: Profile) -> None:
        check_profile(profile)
        self.profiles.append(profile)

    def span(self, _scope: Scope, _span: Span) -> None:
        raise AssertionError("no program of the corpus has a manifest with spans")


def cases(*suffixes: str) -> list[str]:
    """The cases that have a file with one of these suffixes."""
    return sorted({path.stem for path in ROOT.glob("*/*") if path.suffix in suffixes})


def path_of(version: str, case: str, suffix: str) -> Path:
    return ROOT / version / f"{case}{suffix}"


def has(version: str, case: str, kind: Format) -> bool:
    return path_of(version, case, SUFFIXES[kind]).is_file()


def read_records(version: str, case: str, kind: Format) -> list[Record]:
    stream = OutputStream() if kind == "json" else TextStream()
    return [*stream.feed(path_of(version, case, SUFFIXES[kind]).read_bytes()), *stream.close()]


@cache
def exit_codes(version: str, case: str) -> dict[str, int]:
    """``## json rc=0``, a line above what the command said on standard error, for each format."""
    path = path_of(version, case, ".err")
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    found = re.findall(r"^## (json|text) rc=(-?\d+)$", text, re.MULTILINE)
    return {kind: int(code) for kind, code in found}


def ran(version: str, case: str, kind: Format) -> bool:
    """Whether there is the output of a run that came to its end; ``exit(7)`` is one, too."""
    return has(version, case, kind) and exit_codes(version, case).get(kind) in {0, 7}


def signal_of(version: str, case: str) -> Signal:
    """What the program's source tells; nothing where it is not here, as with bpftrace's own tools."""
    path = path_of(version, case, ".bt")
    if path.is_file():
        return inferred_signal(Path(path.name), path.read_text(encoding="utf-8"))
    return Signal(case, Path(path.name), "", Manifest(summary=f"What {case} printed", process="own"))


@cache
def fed(version: str, case: str, kind: Format) -> tuple[Pipeline, Kept]:
    """A pipeline that has read the whole output, and what it gave."""
    sink = Kept()
    pipeline = Pipeline([signal_of(version, case)], LIMITS, sink, whole_lines=kind == "text")
    pipeline.as_written = True
    pipeline.feed(read_records(version, case, kind), MOMENT)
    pipeline.close()
    return pipeline, sink


@cache
def telemetry(version: str, case: str, kind: Format) -> Telemetry:
    _, sink = fed(version, case, kind)
    last = {
        metric.name: metric
        for snapshot in sink.snapshots
        for scope, metrics in snapshot.items()
        if scope != OWN_SCOPE
        for metric in metrics
    }
    return Telemetry(
        tuple(_event(record) for _, record in sink.logs),
        tuple(_series(last[name]) for name in sorted(last)),
        tuple(sorted((one for profile in sink.profiles for one in _stacks(profile)), key=repr)),
    )


def _stacks(profile: Profile) -> list[Stack]:
    kind = f"{profile.sample_type.type}/{profile.sample_type.unit}"
    return [
        Stack(
            kind,
            tuple(frame.name or hex(frame.address) for frame in sample.stack),
            tuple(sorted(sample.attributes.items())),
            sample.value,
        )
        for sample in profile.samples
    ]


def _event(record: LogRecord) -> Event:
    return Event(record.event_name, record.body, tuple(sorted(record.attributes.items())))


def _series(metric: Metric) -> Series:
    points = sorted(((_attributes(point), _point(point)) for point in metric.points), key=repr)
    return Series(metric.name, metric.instrument, metric.unit, tuple(points))


def _attributes(point: NumberPoint | HistogramPoint) -> Attributes:
    return tuple(sorted(point.attributes.items()))


def _point(point: NumberPoint | HistogramPoint) -> Point:
    if isinstance(point, NumberPoint):
        return point.value
    return tuple(point.bounds), tuple(point.counts), point.sum
