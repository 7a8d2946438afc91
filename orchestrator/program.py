"""Rendered signals -> a bpftrace program that tells when it is ready, and prints its maps between two marks.

A mark is ``print(("orchestrator", WHAT, nsecs))``. bpftrace escapes strings, so no process can forge one.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence

from orchestrator.catalog import Signal
from parsers.source import insert_into, map_names, probes_used

__all__ = (
    "BEGIN",
    "END",
    "GATE",
    "MARK",
    "OWN",
    "READY",
    "SNAPSHOT",
    "SNAPSHOT_END",
    "STOP",
    "STOP_SIGNAL",
    "instrument",
    "join_programs",
)

MARK = "orchestrator"
BEGIN, GATE, READY, SNAPSHOT, SNAPSHOT_END = "begin", "gate", "ready", "snapshot", "snapshot_end"
STOP, END = "stop", "end"
# Our own maps begin with this.
OWN = f"{MARK}_"
# Sending this to bpftrace does nothing to it, but the kernel's tracepoint of it closes the gate below.
STOP_SIGNAL = signal.SIGWINCH
# Intervals are attached after tracepoints and in their order, so the first tick of the last one means that all probes
# are attached. Up to 0.23 bpftrace says so itself before it attaches any.
_READY_MS = 20
# bpftrace may drop events that it reads after it was told to end. So programs that emit events look at this map, and
# emit nothing any more before bpftrace is told: then all that was emitted has been read, and none of it is lost.
_GATE = f"{OWN}end"


def _mark(what: str) -> str:
    return f'print(("{MARK}", "{what}", nsecs));'


def _has_gate(rendered: Mapping[str, str], signals: Sequence[Signal]) -> bool:
    """Whether a program of ``signals`` emits events only as long as the gate is open."""
    return any(_GATE in map_names(rendered[one.name]) for one in signals)


def join_programs(rendered: Mapping[str, str], signals: Sequence[Signal], interval: float) -> str:
    """The joined program. ``rendered`` holds the program of each signal by name; ``interval`` is in seconds.

    Nothing is cleared but, at the end, what means nothing outside: bpftrace prints every map when it ends.
    """
    names = [(one, rendered[one.name]) for one in signals]
    prints = " ".join(f"print(@{name});" for one, text in names for name in _used(one.exported_maps, text))
    clears = " ".join(f"clear(@{name});" for one, text in names for name in _used(one.scratch_maps, text))
    programs = "\n".join(text for _, text in names)
    begin, gate = "", ""
    if _has_gate(rendered, signals):
        begin = f"@{OWN}self = pid; @{_GATE} = 0; {_mark(GATE)} "
        gate = (
            f"tracepoint:signal:signal_generate /args->sig == {int(STOP_SIGNAL)} && (uint64)args->pid == @{OWN}self/ "
            f"{{ @{_GATE} = 1; {_mark(STOP)} }}\n"
        )
    return (
        f"BEGIN {{ {begin}{_mark(BEGIN)} }}\n"
        f"{programs}\n"
        f"{gate}"
        f"END {{ {_mark(END)} {clears} }}\n"
        f"{_intervals(prints, interval)}"
    )


def _intervals(prints: str, interval: float) -> str:
    """The probes that print all maps, and say that all probes are attached."""
    return (
        f"interval:ms:{round(interval * 1000)} {{ {_mark(SNAPSHOT)} {prints} {_mark(SNAPSHOT_END)} }}\n"
        f"interval:ms:{_READY_MS} {{ if (@{OWN}ready == 0) {{ @{OWN}ready = 1; {_mark(READY)} }} }}\n"
    )


def instrument(rendered: str, snapshots: Sequence[str], interval: float) -> str:
    """A program that has a process for itself, with marks, and with a print of the maps ``snapshots`` every interval.

    They are printed once more before the program's own END, which may clear them. Nothing else of it is changed, and
    its lines keep their numbers. A program that has nothing but BEGIN and END stays so: new versions end it by
    themselves.
    """
    prints = " ".join(f"print(@{name});" for name in snapshots)
    only_begins = {probe.upper() for probe in probes_used(rendered)} <= {"BEGIN", "END"}
    program = insert_into(rendered, "BEGIN", _mark(BEGIN) + (f" {_mark(READY)}" if only_begins else ""))
    program = insert_into(program, "END", f"{_mark(END)} {prints} {_mark(SNAPSHOT_END)}")
    return program if only_begins else f"{program}\n{_intervals(prints, interval)}"


def _used(names: Sequence[str], program: str) -> list[str]:
    """Maps that are in the rendered program: printing another one would be an error."""
    used = map_names(program)
    return [name for name in names if name in used]
