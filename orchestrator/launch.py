"""How a bpftrace of ours is started. Light to import: everything that reads its output comes after it has started."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orchestrator.bpftrace import environment
from orchestrator.catalog import Signal
from orchestrator.limits import LIMITS
from orchestrator.process import BpftraceProcess
from orchestrator.program import join_programs

__all__ = ("Launch",)


@dataclass(frozen=True, slots=True)
class Launch:
    """What every bpftrace of a run is started with; ``rendered`` holds the program of each signal by name."""

    path: str
    environment: Mapping[str, str]
    rendered: Mapping[str, str]
    interval: float

    def start(self, signals: Sequence[Signal]) -> BpftraceProcess:
        """Start the joined program of ``signals``, read from standard input: a wrapper may see other files than we."""
        limits = environment(self.environment, *LIMITS)
        return BpftraceProcess([self.path, "-f", "json", "-"], self.program(signals), limits)

    def program(self, signals: Sequence[Signal]) -> str:
        """The joined program of ``signals``."""
        return join_programs(self.rendered, signals, self.interval)
