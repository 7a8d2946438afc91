"""What every stage received, lost and could not read -> numbers for a person, and our own metrics."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from orchestrator import __version__
from orchestrator.signals.model import Metric, NumberPoint, Scope
from orchestrator.signals.sampling import Thinned
from orchestrator.signals.stacks import StackCounts

__all__ = ("DROPPED", "OWN_SCOPE", "Restarts", "SignalCounts", "StreamCounts", "own_metrics")

# Of what we say of ourselves.
OWN_SCOPE = Scope("bpftrace-orchestrator", __version__)
# Name, unit and description of what several rooms say a part of.
DROPPED = (
    "ebpf_events_dropped_total",
    "{event}",
    "Events that the kernel emitted and that were lost, could not be read, came faster than we read, were left out as "
    "there were too many, or were not delivered",
)

_ON_THEIR_WAY = 10_000_000_000


@dataclass(slots=True)
class SignalCounts:
    """Events of one signal. ``emitted`` is the kernel's own count, None for a signal that prints none.

    ``spans_lost`` and ``spans_incomplete``: what became no span, by cause. ``..._thinned``: what became of log records
    and of spans where there is a limit.
    """

    received: int = 0
    emitted: int | None = None
    lost: int = 0
    spans_lost: dict[str, int] = field(default_factory=dict)
    spans_incomplete: dict[str, int] = field(default_factory=dict)
    events_thinned: Thinned = field(default_factory=Thinned)
    spans_thinned: Thinned = field(default_factory=Thinned)
    _history: deque[tuple[int, int]] = field(default_factory=deque)

    def compare(self, time: int, *, final: bool) -> None:
        """Set ``lost`` from what was emitted and received; ``time`` is that of the snapshot, in nanoseconds.

        While the program runs, events are on their way, longer in one CPU's buffer than in another's: what counts as
        due is what was emitted ten seconds ago. At the end everything has arrived, and the difference is exact.
        """
        emitted = self.emitted or 0
        self._history.append((time, emitted))
        while len(self._history) > 1 and self._history[1][0] <= time - _ON_THEIR_WAY:
            self._history.popleft()
        then, before = self._history[0]
        due = before if then <= time - _ON_THEIR_WAY else 0
        self.lost = max(0, emitted - self.received) if final else max(self.lost, due - self.received)


@dataclass(slots=True)
class StreamCounts:
    """What was in the output of one bpftrace besides events."""

    unparsed: int = 0
    first_unparsed: str = ""
    unknown: int = 0
    unread_entries: int = 0
    reported_lost: int = 0
    dropped_lines: int = 0
    problems: dict[str, int] = field(default_factory=dict)
    stacks: StackCounts = field(default_factory=StackCounts)


@dataclass(frozen=True, slots=True)
class Restarts:
    """How often a bpftrace was started again since a time (Unix nanoseconds; None: since this one began)."""

    count: int = 0
    since: int | None = None

    def metric(self, signals: Iterable[str], start: int, time: int) -> Metric:
        """The sum that it is; ``start`` is that of this bpftrace."""
        points = [NumberPoint({"ebpf.signal": name}, self.count) for name in signals]
        # A wall clock that was set back in between: nothing has begun in the future.
        since = start if self.since is None else min(self.since, start)
        return Metric(
            "ebpf_restarts_total", "{restart}", "How often bpftrace was started again", "counter", since, time, points
        )


def own_metrics(signals: dict[str, SignalCounts], stream: StreamCounts, start: int, time: int) -> list[Metric]:
    """Our own metrics, cumulative since ``start``."""
    processed = [NumberPoint({"ebpf.signal": name}, counts.received) for name, counts in signals.items()]
    dropped = [
        NumberPoint({"ebpf.signal": name, "error.type": "lost"}, counts.lost)
        for name, counts in signals.items()
        if counts.emitted is not None
    ]
    dropped += _sampled({name: counts.events_thinned for name, counts in signals.items()})
    dropped.append(NumberPoint({"error.type": "unparsed"}, stream.unparsed + stream.unread_entries))
    dropped.append(NumberPoint({"error.type": "overrun"}, stream.dropped_lines))
    made = [
        Metric(
            "ebpf_events_processed_total",
            "{event}",
            "Events read from bpftrace",
            "counter",
            start,
            time,
            processed,
        ),
        Metric(
            *DROPPED,
            "counter",
            start,
            time,
            dropped,
        ),
    ]
    for name, what, causes in (
        ("dropped", "Spans lost: too much waited, it made no sense, or there were too many", "spans_lost"),
        ("incomplete", "Beginnings or ends of spans without the other one", "spans_incomplete"),
    ):
        points = [
            NumberPoint({"ebpf.signal": signal, "error.type": cause}, count)
            for signal, counts in signals.items()
            for cause, count in getattr(counts, causes).items()
        ]
        if name == "dropped":
            points += _sampled({signal: counts.spans_thinned for signal, counts in signals.items()})
        if points:
            made.append(Metric(f"ebpf_spans_{name}_total", "{span}", what, "counter", start, time, points))
    stacks = stream.stacks
    if stacks.stacks:
        unsure = [
            NumberPoint({"ebpf.stack.state": "unresolved"}, stacks.unresolved),
            NumberPoint({"ebpf.stack.state": "truncated"}, stacks.truncated),
            NumberPoint({"ebpf.stack.state": "missing"}, stacks.missing),
        ]
        what = "Stacks with frames without a symbol, with as many frames as they can have, or without any"
        made.append(Metric("ebpf_stacks_incomplete_total", "{stack}", what, "counter", start, time, unsure))
    return made


def _sampled(signals: dict[str, Thinned]) -> list[NumberPoint]:
    """What was left out; what was kept says how many it stands for."""
    return [
        NumberPoint({"ebpf.signal": name, "error.type": "sampled"}, thinned.left_out)
        for name, thinned in signals.items()
        if thinned.left_out
    ]
