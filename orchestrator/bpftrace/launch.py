"""How a bpftrace of ours is started. Light to import: everything that reads its output comes after it has started."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.bpftrace.binary import environment
from orchestrator.bpftrace.process import BpftraceProcess
from orchestrator.bpftrace.program import has_intervals, instrument, join_programs
from orchestrator.bpftrace.terminal_process import TerminalProcess
from orchestrator.catalog import Signal
from orchestrator.limits import LIMITS

if TYPE_CHECKING:
    from orchestrator.bpftrace.sudo import Sudo

__all__ = ("Launch",)


@dataclass(frozen=True, slots=True)
class Launch:
    """What every bpftrace of a run is started with.

    ``rendered`` holds the program of each signal by name, ``arguments`` the positional parameters of those that have
    any. ``unsafe``: programs with a process of their own may change the system, by system() for one. ``sudo`` starts
    bpftrace where we may not; ``drops``: we may start it, but shall not be root any more when it is to end.
    """

    path: str
    environment: Mapping[str, str]
    rendered: Mapping[str, str]
    arguments: Mapping[str, Sequence[str]]
    interval: float
    unsafe: bool = False
    sudo: Sudo | None = None
    drops: bool = False

    def start(self, signals: Sequence[Signal], *, as_written: bool = False) -> BpftraceProcess:
        """Start the program of ``signals``, read from standard input: a wrapper may see other files than we.

        ``as_written``: without anything of ours in it; of one signal only.
        """
        own = signals[0] if signals[0].manifest.process == "own" else None
        # The strings of a stranger's program share the stack with all else that it has there: their size is its own.
        limits = environment(self.environment, None if own else LIMITS.string, LIMITS.map_keys, LIMITS.pages)
        flags = ["--unsafe"] if own and self.unsafe else []
        program = self.rendered[signals[0].name] if as_written else self.program(signals)
        argv = [self.path, "-f", "json", *flags, "-", *(self.arguments.get(own.name, ()) if own else ())]
        if self.sudo is not None:
            return self.sudo.start(argv, program, limits, joined=own is None)
        return (TerminalProcess if self.drops else BpftraceProcess)(argv, program, limits)

    def program(self, signals: Sequence[Signal]) -> str:
        """The program of ``signals``: joined, or the one that has a process for itself."""
        first = signals[0]
        if first.manifest.process == "own":
            return instrument(self.rendered[first.name], first.snapshot_maps, self.interval)
        return join_programs(self.rendered, signals, self.interval)

    def has_intervals(self, signals: Sequence[Signal]) -> bool:
        """Whether the program of ``signals`` marks each snapshot, if it was not started as written."""
        first = signals[0]
        return first.manifest.process == "shared" or has_intervals(self.rendered[first.name])
