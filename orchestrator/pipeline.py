"""Records of one bpftrace -> log records, metrics, profiles and spans of its signals.

Either of the signals of a joined program, or of one program that has the process for itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from orchestrator.bpftrace import program
from orchestrator.catalog import Signal
from orchestrator.limits import Limits
from orchestrator.signal_state import SignalState, own_reader
from orchestrator.signals import sizes
from orchestrator.signals.active_spans import ActiveSpans
from orchestrator.signals.attributes import number
from orchestrator.signals.clock import STEP, TIMES, Moment
from orchestrator.signals.model import LogRecord, Metric, Profile, Scope, Span
from orchestrator.signals.rebase import Rebase
from orchestrator.signals.sampling import Sampler
from orchestrator.signals.series import MapRecord
from orchestrator.sink import Sink
from orchestrator.telemetry import OWN_SCOPE, Restarts, SignalCounts, StreamCounts, own_metrics
from orchestrator.thinning import Thinning
from parsers.event_lines import Shape
from parsers.records import (
    AttachedProbes,
    Hist,
    LostEvents,
    Map,
    Problem,
    Record,
    Rows,
    Stats,
    Text,
    TimeSeries,
    Unknown,
    Unparsed,
    Value,
)

if TYPE_CHECKING:
    from orchestrator.signals.programs import ProgramReader

__all__ = ("OWN_SCOPE", "Pipeline")

_KEPT_PROBLEMS = 100
_TICK_NANOSECONDS = 200_000_000
# 0.23 and later say so of every delete(@m[key]) without such a key; nothing is lost by it.
_NOTHING_TO_DELETE = "map_delete_elem returned -2"


class Pipeline:
    """Feed it the records of one process in order; it gives the sink what they mean.

    ``whole_lines``: the records come from text output. ``as_written`` is to be set where no marks will come.
    ``marks`` counts the snapshots that were begun. ``restarts``: in place of how many it is, to be set
    where that is known. ``more_metrics``: what our own metrics have that is not counted here, from one Unix nanosecond
    to another, to be set.
    """

    def __init__(self, signals: Sequence[Signal], limits: Limits, sink: Sink, *, whole_lines: bool = False) -> None:
        self.stream = StreamCounts()
        active = ActiveSpans()
        self._states = [SignalState(signal, limits.string, self.stream.stacks, active) for signal in signals]
        self._by_tag = {tag: state for state in self._states for tag in state.events.tags}
        self._by_map = {name: state for state in self._states for name in state.metrics.maps}
        self._by_emitted = {state.emitted_map: state for state in self._states if state.emitted_map}
        self._by_stacks = {name: state for state in self._states for name in state.stacks}
        self._own = own_reader(signals, self.stream.stacks, whole_lines=whole_lines)
        self._map_keys = limits.map_keys
        self._sink = sink
        self._sampler: Sampler | None = None
        self.more_metrics: Callable[[int, int], list[Metric]] | None = None
        self._moment = Moment(0, 0)
        self._snapshot: dict[str, MapRecord] | None = None
        self._last: dict[str, MapRecord] = {}
        self._loose: dict[str, MapRecord] = {}
        self._final: set[str] = set()
        self._start: int | None = None
        self._ready_time: int | None = None
        self._snapshot_time = 0
        self._sent_time = 0
        self._turn_time = 0
        self._rebase = Rebase()
        self._printed: set[str] = set()
        self._left: dict[str, MapRecord] = {}
        self._ticked = 0
        self._stop_time = 0
        self.as_written = False
        self.ended = False
        self.marks = 0
        self.restarts: Restarts | None = None
        self.probes: int | None = None
        self.ready = False
        self.gated = False
        self.stopped = False

    def limit(self, sampler: Sampler) -> None:
        """Thin events where there are too many; to be called once, before anything is fed."""
        self._sampler = sampler
        self._sink = Thinning(self._sink, sampler, {state.scope: state.counts for state in self._states})

    @property
    def shapes(self) -> dict[str, Shape]:
        """The events that may come as ``Rows``: none where log records are told in which span they happened."""
        has_spans = any(state.spans.has_any for state in self._states)
        return {} if has_spans else {tag: shape for state in self._states for tag, shape in state.events.shapes.items()}

    @property
    def counts(self) -> dict[str, SignalCounts]:
        """The event counts of each signal."""
        return {state.name: state.counts for state in self._states}

    @property
    def start(self) -> int | None:
        """Since when sums are counted, in Unix nanoseconds; None before anything has come."""
        return self._start

    @property
    def seconds(self) -> float:
        """How long all probes were attached, by the kernel's clock, as far as is known."""
        until = self._stop_time or self._snapshot_time
        return max(0, until - self._ready_time) / 1e9 if self._ready_time is not None else 0.0

    def feed(self, records: Sequence[Record], moment: Moment) -> None:
        """Take records that were read at one moment."""
        self._follow(moment)
        self.tick(moment.unix)
        if self._start is None and records:
            self._start = moment.unix
        for record in records:
            _HANDLERS[type(record)](self, record)
        self._flush_loose()

    def _follow(self, moment: Moment) -> None:
        """Take the wall clock as it is now; what is not over goes by it too, if it was set."""
        step = moment.offset - self._moment.offset
        self._moment = moment
        if self._start is None or abs(step) < STEP:
            return
        if self._ready_time is not None:
            self._ready_time += step
        self._snapshot_time, self._turn_time = self._snapshot_time + step, self._turn_time + step
        self._stop_time = self._stop_time and self._stop_time + step
        if step < 0:
            self._start = max(self._start, self._sent_time) + step
            self._rebase.begin(self._start)
            self._sent_time = 0

    @property
    def timed(self) -> bool:
        """Whether all that comes has a time of its own; not what a program prints that knows nothing of us."""
        manifests = [state.manifest for state in self._states]
        return self._own is None or all(manifest.events and not manifest.prints for manifest in manifests)

    def tick(self, now: int) -> None:
        """Let time pass (Unix nanoseconds): spans held back leave, and what has waited for too long is given up."""
        if self._sampler is not None:
            self._sampler.advance(now)
        if abs(now - self._ticked) >= _TICK_NANOSECONDS:  # the clock may have been set back
            self._ticked = now
            for state in self._states:
                self._spans(state, state.spans.expire(now))

    def close(self) -> None:
        """Take the maps that bpftrace printed when it ended as the last snapshot."""
        for state in self._states:
            self._spans(state, state.spans.close())
        self._count_spans()
        if self._own is not None:
            self._logs(self._own.flush())
            self._snapshot_time = max(self._snapshot_time, self._moment.unix)
            self._snapshot = None
            self._profiles(self._states[0], self._own.close(self._start or 0, self._snapshot_time))
            self._finish_snapshot(final=True)
        elif self.ended and self._snapshot is not None:
            self._read_left(self._snapshot)
            for state in self._states:
                for reader in dict.fromkeys(state.stacks.values()):
                    self._profiles(state, reader.take(self._start or 0, self._snapshot_time))
            self._finish_snapshot(final=True)

    def _value(self, record: Value) -> None:
        data = record.data
        tag = data[0] if isinstance(data, list) and data and isinstance(data[0], str) else None
        state = self._by_tag.get(tag) if tag is not None else None
        if state is not None:
            self._event(state, record)
        elif tag == program.MARK:
            self._mark(record)
        elif self._own is not None:
            self._logs(self._own.value(data, self._moment))
        else:
            self._unparsed(record)

    def _rows(self, record: Rows) -> None:
        state = self._by_tag[record.tag]
        state.counts.received += len(record.rows)
        self._sink.events(state.scope, state.events.read_rows(record, self._moment))

    def _event(self, state: SignalState, record: Value) -> None:
        try:
            data = cast("list[Any]", record.data)
            event = state.events.read_value(data, self._moment)
        except (ValueError, TypeError, IndexError):
            self._unparsed(record)
            return
        if event is not None:
            state.counts.received += 1
            self._operation(state, str(data[0]), event)

    def _operation(self, state: SignalState, event: str, record: LogRecord) -> None:
        """A log record, a span or a part of one, or several of these."""
        log, spans = state.spans.take(event, record, self._moment)
        if log is not None:
            self._sink.log(state.scope, log)
        self._spans(state, spans)

    def _text(self, record: Text) -> None:
        state = self._by_tag.get(record.text.partition(" ")[0])
        if state is None and self._own is not None:
            self._logs(self._own.text(record.kind, record.text, self._moment))
            return
        try:
            if record.kind != "printf" or state is None:
                raise ValueError
            state.events.read_text(record.text)
        except ValueError:
            self._unparsed(record)

    def _logs(self, records: Iterable[LogRecord]) -> None:
        """Log records of the program that has the process for itself."""
        (state,) = self._states
        for record in records:
            state.counts.received += state.counts.emitted is None  # else it counts the events that it emits
            self._operation(state, record.event_name, record)

    def _mark(self, record: Value) -> None:
        try:
            _, what, nsecs = cast("list[Any]", record.data)
            time = self._moment.to_unix(number(nsecs))
            if time not in TIMES:
                raise ValueError
        except (ValueError, TypeError):
            self._unparsed(record)
            return
        if what == program.BEGIN:
            self._start = time
        elif what == program.READY:
            self._ready(time)
        elif what == program.GATE:
            self.gated = True
        elif what == program.STOP:
            self.stopped, self._stop_time = True, time
        elif what == program.TURN:
            self._turn_time = time
            self._printed.clear()
        elif what in (program.SNAPSHOT, program.END):
            self._snapshot, self._snapshot_time = {}, time
            self.marks += 1
            self.ended = what == program.END
        elif what == program.SNAPSHOT_END and self._snapshot is not None:
            self._finish_snapshot(final=False)

    def _ready(self, time: int) -> None:
        self.ready, self._ready_time = True, time
        self._sent_time = time
        # Zeros, so that a destination that takes nothing is known from the beginning.
        self._leave({OWN_SCOPE: self._own_metrics(time)})

    def _count_spans(self) -> None:
        for state in self._states:
            state.counts.spans_lost, state.counts.spans_incomplete = state.spans.lost, state.spans.incomplete

    def _own_metrics(self, time: int) -> list[Metric]:
        self._count_spans()
        start = self._start or 0
        restarts = [] if self.restarts is None else [self.restarts.metric(self.counts, start, time)]
        more = [] if self.more_metrics is None else self.more_metrics(start, time)
        return own_metrics(self.counts, self.stream, start, time) + restarts + more

    def _map(self, record: MapRecord) -> None:
        if record.name in self._by_stacks and self._own is None:
            self._stack_map(self._by_stacks[record.name], record)
        elif self._snapshot is not None:
            self._snapshot[record.name] = record
        elif self._own is not None and not self._is_repeated(self._own, record):
            self._logs(self._own.flush())  # printf("a second: "); print(@x);
            if self.ended:
                self._final.add(record.name)
            if record.name in self._loose:
                self._flush_loose()
            self._loose[record.name] = record
        if sizes.entries(record) >= self._map_keys and self._own is None:
            message = f"@{record.name} is full ({self._map_keys:,} entries): what came after that is not counted"
            self.stream.problems[message] = 1

    def _stack_map(self, state: SignalState, record: MapRecord) -> None:
        """A map whose turn is over: all of it came before the turn went to the other one.

        At the end bpftrace prints both, and what is left of them belongs together.
        """
        if self.ended:
            self._left[record.name] = record
            return
        self._printed.add(record.name)
        reader = state.stacks[record.name]
        self.stream.unread_entries += reader.read(record)
        self._profiles(state, reader.take(self._start or 0, self._turn_time))

    def _read_left(self, last: Mapping[str, MapRecord]) -> None:
        """Add what is left of stack maps at the end, where it is certain that it was not printed before.

        Told to end, bpftrace does nothing any more of what it was asked for: a map that it was printing then is not
        emptied, and comes again.
        """
        is_over = program.READY_MAP in last and program.PRINTING not in last
        for name, record in self._left.items():
            if is_over or name not in self._printed:
                self.stream.unread_entries += self._by_stacks[name].stacks[name].read(record)

    def _spans(self, state: SignalState, spans: Iterable[Span]) -> None:
        for span in spans:
            self._sink.span(state.scope, span)

    def _profiles(self, state: SignalState, profiles: Iterable[Profile]) -> None:
        for profile in profiles:
            self._sink.profile(state.scope, profile)

    def _is_repeated(self, own: ProgramReader, record: MapRecord) -> bool:
        """Whether a map that we print in snapshots was printed by the program too, perhaps in part or divided.

        What comes after the last snapshot is the program's END, print(@m, 10) for one, and bpftrace's own print of all
        maps. It counts where it holds more than the snapshot did. Of a map that the program clears, what END prints
        is printed again by bpftrace if END did not clear it.
        """
        if own.is_cleared(record.name) and record.name in self._final:
            return True
        if not own.is_snapshot(record.name) or not self.ready or self.as_written:
            return False
        return not self.ended or sizes.size(record) <= sizes.size(self._last.get(record.name))

    def _flush_loose(self) -> None:
        """Give on the maps that came outside of snapshots."""
        if self._loose:
            metrics = self._read_maps(self._loose, self._moment.unix)
            self._loose = {}
            if metrics:
                self._leave(metrics)

    def _finish_snapshot(self, *, final: bool) -> None:
        metrics = self._read_maps(self._snapshot or {}, self._snapshot_time)
        if self._snapshot is not None:
            self._last, self._snapshot = self._snapshot, None
        for state in self._states:
            state.counts.compare(self._snapshot_time - self._moment.offset, final=final)
            if made := state.spans.metrics(self._start or 0, self._snapshot_time):
                metrics.setdefault(state.scope, []).extend(made)
        metrics[OWN_SCOPE] = self._own_metrics(self._snapshot_time)
        self._sent_time = self._snapshot_time
        self._leave(metrics)

    def _leave(self, metrics: dict[Scope, list[Metric]]) -> None:
        self._sink.metrics(self._rebase.apply(metrics))

    def _read_maps(self, records: Mapping[str, MapRecord], time: int) -> dict[Scope, list[Metric]]:
        start = self._start or 0
        metrics: dict[Scope, list[Metric]] = {}
        for name, record in records.items():
            if name in self._by_emitted and isinstance(record, Map):
                self._by_emitted[name].counts.emitted = sizes.total(record)
            elif self._own is not None:
                self._read_own(self._own, record, start, time, metrics)
            elif name in self._by_map:
                state = self._by_map[name]
                metric, unread = state.metrics.read(record, start, time)
                self.stream.unread_entries += unread
                if metric is not None:
                    metrics.setdefault(state.scope, []).append(metric)
        return metrics

    def _read_own(
        self, own: ProgramReader, record: MapRecord, start: int, time: int, metrics: dict[Scope, list[Metric]]
    ) -> None:
        if record.name.startswith(program.OWN):
            return
        (state,) = self._states
        reading = own.map(record, start, time)
        self.stream.unread_entries += reading.unread
        self._logs(reading.logs)
        self._profiles(state, reading.profiles)
        if reading.metric is not None:
            metrics.setdefault(state.scope, []).append(reading.metric)

    def _problem(self, record: Problem) -> None:
        report = self._own.problem(record.kind, record.message, self._moment) if self._own is not None else None
        if report is not None:
            self._logs([report])
            return
        if record.message.startswith(_NOTHING_TO_DELETE):
            return
        problems = self.stream.problems
        if record.message in problems or len(problems) < _KEPT_PROBLEMS:
            problems[record.message] = problems.get(record.message, 0) + 1

    def _attached(self, record: AttachedProbes) -> None:
        self.probes = record.count
        if self.as_written:  # no mark of ours will come
            self._ready(self._moment.unix)

    def _lost(self, record: LostEvents) -> None:
        self.stream.reported_lost += record.count

    def _unparsed(self, record: Record) -> None:
        self.stream.unparsed += 1
        self.stream.first_unparsed = self.stream.first_unparsed or str(record)[:200]

    def _not_read(self, record: Unparsed) -> None:
        if self._own is not None and record.line and not record.line.startswith(b"{"):
            # What a child of system() says goes straight to standard output.
            text = record.line.decode("utf-8", "surrogateescape")
            self._logs(self._own.text("output", text + "\n", self._moment))
        else:
            self._unparsed(record)

    def _unknown(self, _record: Record) -> None:
        self.stream.unknown += 1


_HANDLERS: dict[type, Callable[[Pipeline, Any], None]] = {
    Value: Pipeline._value,
    Rows: Pipeline._rows,
    Text: Pipeline._text,
    Map: Pipeline._map,
    Hist: Pipeline._map,
    Stats: Pipeline._map,
    TimeSeries: Pipeline._map,
    Problem: Pipeline._problem,
    AttachedProbes: Pipeline._attached,
    LostEvents: Pipeline._lost,
    Unparsed: Pipeline._not_read,
    Unknown: Pipeline._unknown,
}
