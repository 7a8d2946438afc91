"""Records of one bpftrace -> log records and metrics of its signals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from orchestrator import __version__, program
from orchestrator.catalog import Signal
from orchestrator.limits import Limits
from orchestrator.signals.attributes import number
from orchestrator.signals.clock import Clock
from orchestrator.signals.logs import EventReader
from orchestrator.signals.metrics import MetricReader
from orchestrator.signals.model import LogRecord, Metric, Scope
from orchestrator.telemetry import SignalCounts, StreamCounts, own_metrics
from parsers.records import (
    AttachedProbes,
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

__all__ = ("OWN_SCOPE", "Pipeline", "Sink")

OWN_SCOPE = Scope("bpftrace-orchestrator", __version__)
_KEPT_PROBLEMS = 100


class Sink(Protocol):
    """Where signal data goes."""

    def log(self, scope: Scope, record: LogRecord) -> None:
        """Take one log record."""

    def metrics(self, metrics: dict[Scope, list[Metric]]) -> None:
        """Take all metrics of one snapshot."""


class _SignalState:
    def __init__(self, signal: Signal, string_limit: int) -> None:
        self.name = signal.name
        self.scope = Scope(f"bpftrace-orchestrator/{signal.name}", __version__)
        self.events = EventReader(signal.manifest.events, string_limit)
        self.metrics = MetricReader(signal.manifest.metrics)
        self.counts = SignalCounts(emitted=0 if signal.manifest.emitted else None)
        self.emitted_map = signal.manifest.emitted


class Pipeline:
    """Feed it the records of a joined program in order; it gives the sink what they mean."""

    def __init__(self, signals: Sequence[Signal], limits: Limits, clock: Clock, sink: Sink) -> None:
        self._states = [_SignalState(signal, limits.string) for signal in signals]
        self._by_tag = {tag: state for state in self._states for tag in state.events.tags}
        self._by_map = {name: state for state in self._states for name in state.metrics.maps}
        self._by_emitted = {state.emitted_map: state for state in self._states if state.emitted_map}
        self._clock = clock
        self._map_keys = limits.map_keys
        self._sink = sink
        self._snapshot: dict[str, Map | Hist] | None = None
        self._snapshot_nsecs = 0
        self._start_nsecs = 0
        self._ready_nsecs = 0
        self._stop_nsecs = 0
        self.ended = False
        self.stream = StreamCounts()
        self.probes: int | None = None
        self.ready = False
        self.gated = False
        self.stopped = False

    @property
    def counts(self) -> dict[str, SignalCounts]:
        """The event counts of each signal."""
        return {state.name: state.counts for state in self._states}

    @property
    def seconds(self) -> float:
        """How long all probes were attached, by the kernel's clock, as far as is known."""
        until = self._stop_nsecs or self._snapshot_nsecs
        return max(0, until - self._ready_nsecs) / 1e9 if self.ready else 0.0

    def feed(self, records: Sequence[Record]) -> None:
        """Take records as they come."""
        for record in records:
            _HANDLERS[type(record)](self, record)

    def close(self) -> None:
        """Take the maps that bpftrace printed when it ended as the last snapshot."""
        if self.ended and self._snapshot is not None:
            self._finish_snapshot(final=True)

    def _value(self, record: Value) -> None:
        data = record.data
        if not isinstance(data, list) or not data or not isinstance(data[0], str):
            self._unparsed(record)
            return
        state = self._by_tag.get(data[0])
        if state is not None:
            try:
                event = state.events.read_value(data, self._clock.to_unix, self._clock.now())
            except (ValueError, TypeError, IndexError):
                self._unparsed(record)
                return
            if event is not None:
                state.counts.received += 1
                self._sink.log(state.scope, event)
        elif data[0] == program.MARK:
            self._mark(record, data)
        else:
            self._unparsed(record)

    def _text(self, record: Text) -> None:
        state = self._by_tag.get(record.text.partition(" ")[0])
        try:
            if record.kind != "printf" or state is None:
                raise ValueError
            state.events.read_text(record.text)
        except ValueError:
            self._unparsed(record)

    def _mark(self, record: Value, data: Sequence[Any]) -> None:
        try:
            what, nsecs = data[1], number(data[2])
        except (ValueError, TypeError, IndexError):
            self._unparsed(record)
            return
        if what == program.BEGIN:
            self._start_nsecs = nsecs
        elif what == program.READY:
            self.ready = True
            self._ready_nsecs = nsecs
            # Zeros, so that a destination that takes nothing is known from the beginning.
            self._sink.metrics({OWN_SCOPE: self._own_metrics(nsecs)})
        elif what == program.GATE:
            self.gated = True
        elif what == program.STOP:
            self.stopped, self._stop_nsecs = True, nsecs
        elif what in (program.SNAPSHOT, program.END):
            self._snapshot, self._snapshot_nsecs = {}, nsecs
            self.ended = what == program.END
        elif what == program.SNAPSHOT_END and self._snapshot is not None:
            self._finish_snapshot(final=False)

    def _own_metrics(self, nsecs: int) -> list[Metric]:
        start, time = self._clock.to_unix(self._start_nsecs), self._clock.to_unix(nsecs)
        return own_metrics(self.counts, self.stream, start, time)

    def _map(self, record: Map | Hist) -> None:
        if self._snapshot is None:
            return
        self._snapshot[record.name] = record
        if _entries(record) >= self._map_keys:
            message = f"@{record.name} is full ({self._map_keys:,} entries): what came after that is not counted"
            self.stream.problems[message] = 1

    def _finish_snapshot(self, *, final: bool) -> None:
        self._clock.sync()
        start, time = self._clock.to_unix(self._start_nsecs), self._clock.to_unix(self._snapshot_nsecs)
        metrics: dict[Scope, list[Metric]] = {}
        for name, record in (self._snapshot or {}).items():
            if name in self._by_emitted and isinstance(record, Map):
                self._by_emitted[name].counts.emitted = _total(record)
            elif name in self._by_map:
                state = self._by_map[name]
                metric, unread = state.metrics.read(record, start, time)
                self.stream.unread_entries += unread
                if metric is not None:
                    metrics.setdefault(state.scope, []).append(metric)
        self._snapshot = None
        for state in self._states:
            state.counts.compare(self._snapshot_nsecs, final=final)
        metrics[OWN_SCOPE] = self._own_metrics(self._snapshot_nsecs)
        self._sink.metrics(metrics)

    def _problem(self, record: Problem) -> None:
        problems = self.stream.problems
        if record.message in problems or len(problems) < _KEPT_PROBLEMS:
            problems[record.message] = problems.get(record.message, 0) + 1

    def _attached(self, record: AttachedProbes) -> None:
        self.probes = record.count

    def _lost(self, record: LostEvents) -> None:
        self.stream.reported_lost += record.count

    def _unparsed(self, record: Record) -> None:
        self.stream.unparsed += 1
        self.stream.first_unparsed = self.stream.first_unparsed or str(record)[:200]

    def _stats(self, record: Stats) -> None:
        if record.name in self._by_map:
            self.stream.problems[f"@{record.name} comes from avg() or stats(), which no metric can be made of"] = 1

    def _unknown(self, _record: Record) -> None:
        self.stream.unknown += 1


def _entries(record: Map | Hist) -> int:
    """How many entries of the kernel's map were printed: every non-empty bucket of a keyed histogram is one."""
    if isinstance(record, Map):
        return len(record.entries)
    return sum(bool(bucket.count) for _, buckets in record.series for bucket in buckets)


def _total(record: Map) -> int:
    """The value of a scalar count; 0.27 prints an unset one as nothing."""
    return sum(value for entry in record.entries if isinstance(value := entry.value, int))


_HANDLERS: dict[type, Callable[[Pipeline, Any], None]] = {
    Value: Pipeline._value,
    Text: Pipeline._text,
    Map: Pipeline._map,
    Hist: Pipeline._map,
    Problem: Pipeline._problem,
    AttachedProbes: Pipeline._attached,
    LostEvents: Pipeline._lost,
    Unparsed: Pipeline._unparsed,
    Unknown: Pipeline._unknown,
    Stats: Pipeline._stats,
}
