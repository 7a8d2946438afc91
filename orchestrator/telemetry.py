"""What every stage received, lost and could not read -> numbers for a person, and our own metrics."""

from __future__ import annotations

from dataclasses import dataclass, field

from orchestrator.signals.model import Metric, NumberPoint

__all__ = ("SignalCounts", "StreamCounts", "own_metrics")


@dataclass(slots=True)
class SignalCounts:
    """Events of one signal. ``emitted`` is the kernel's own count, None for a signal that prints none."""

    received: int = 0
    emitted: int | None = None
    lost: int = 0
    _emitted_before: int = 0

    def compare(self, *, final: bool) -> None:
        """Set ``lost`` from what was emitted and received.

        While the program runs, events are on their way: what is surely lost is what was emitted by the last snapshot
        and has not been received by this one. At the end everything has arrived.
        """
        emitted = self.emitted or 0
        due = emitted if final else self._emitted_before
        self.lost = max(self.lost, due - self.received)
        self._emitted_before = emitted


@dataclass(slots=True)
class StreamCounts:
    """What was in the output of one bpftrace besides events."""

    unparsed: int = 0
    unknown: int = 0
    orphans: int = 0
    unread_entries: int = 0
    reported_lost: int = 0
    dropped_lines: int = 0
    problems: dict[str, int] = field(default_factory=dict)


def own_metrics(signals: dict[str, SignalCounts], stream: StreamCounts, start: int, time: int) -> list[Metric]:
    """Our own metrics, cumulative since ``start``."""
    processed = [NumberPoint({"ebpf.signal": name}, counts.received) for name, counts in signals.items()]
    dropped = [
        NumberPoint({"ebpf.signal": name, "error.type": "lost"}, counts.lost)
        for name, counts in signals.items()
        if counts.emitted is not None
    ]
    dropped.append(NumberPoint({"error.type": "unparsed"}, stream.unparsed + stream.orphans + stream.unread_entries))
    dropped.append(NumberPoint({"error.type": "overrun"}, stream.dropped_lines))
    return [
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
            "ebpf_events_dropped_total",
            "{event}",
            "Events that the kernel emitted and that were lost, could not be read, or came faster than we read",
            "counter",
            start,
            time,
            dropped,
        ),
    ]
