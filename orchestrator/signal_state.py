"""What is known of one signal while it is read, and the reader of a program that has the process for itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from orchestrator import __version__
from orchestrator.catalog import Signal
from orchestrator.signals.active_spans import ActiveSpans
from orchestrator.signals.logs import EventReader
from orchestrator.signals.metrics import MetricReader
from orchestrator.signals.model import Scope
from orchestrator.signals.operations import Operations
from orchestrator.signals.stacks import StackCounts, StackReader
from orchestrator.telemetry import SignalCounts

if TYPE_CHECKING:
    from orchestrator.signals.programs import ProgramReader

__all__ = ("SignalState", "own_reader")


class SignalState:
    """The readers of what its manifest says, and its counts."""

    def __init__(self, signal: Signal, string_limit: int, stack_counts: StackCounts, active: ActiveSpans) -> None:
        self.stacks: dict[str, StackReader] = {}
        for map_name, rule in signal.manifest.stacks.items():
            reader = StackReader(rule, stack_counts)
            self.stacks.update({name: reader for name in (map_name, rule.twin) if name})
        self.name, self.manifest = signal.name, signal.manifest
        self.scope = Scope(f"bpftrace-orchestrator/{signal.name}", __version__)
        self.events = EventReader(signal.manifest.events, string_limit)
        self.spans = Operations(signal.manifest, active)
        self.metrics = MetricReader(signal.manifest.metrics)
        self.counts = SignalCounts(emitted=0 if signal.manifest.emitted else None)
        self.emitted_map = signal.manifest.emitted


def own_reader(signals: Sequence[Signal], counts: StackCounts, *, whole_lines: bool) -> ProgramReader | None:
    """The reader of a program that has the process for itself; None for signals that share one.

    ``whole_lines``: its records come from text output.
    """
    own = next((signal for signal in signals if signal.manifest.process == "own"), None)
    if own is None:
        return None
    from orchestrator.signals.programs import ProgramReader  # noqa: PLC0415 - built-in signals do without

    return ProgramReader(own.name, own.manifest, counts, whole_lines=whole_lines)
