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
    "PRINTING",
    "READY",
    "READY_MAP",
    "SNAPSHOT",
    "SNAPSHOT_END",
    "STOP",
    "STOP_SIGNAL",
    "TURN",
    "has_intervals",
    "instrument",
    "join_programs",
)

MARK = "orchestrator"
BEGIN, GATE, READY, SNAPSHOT, SNAPSHOT_END = "begin", "gate", "ready", "snapshot", "snapshot_end"
STOP, END, TURN = "stop", "end", "turn"
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
# 0 while the first map of a pair that takes turns is filled, 1 while the second is.
_TURN = f"{OWN}turn"
# Has a key from when a map is to be printed until it has been, which can take seconds: symbols are looked up then.
PRINTING = f"{OWN}printing"
# 1 once all probes are attached; bpftrace prints its maps by name when it ends, so this one comes after the one above.
READY_MAP = f"{OWN}ready"
_LEAST_PHASE_MS = 200


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
        f"{_turns(signals, rendered, interval)}"
        f"{_intervals(prints, interval)}"
    )


def _turns(signals: Sequence[Signal], rendered: Mapping[str, str], interval: float) -> str:
    """The probe that empties stack maps without losing a sample, in four phases, twice an interval.

    The turn goes to the second map; when nobody can be writing to the first one any more it is printed and cleared;
    then the same the other way round. A map that is printed and cleared while it is filled loses what comes between.
    bpftrace does what it is asked for in order, some time later: it has printed when the map that says so is empty.
    """
    pairs = [
        (first, second)
        for one in signals
        for first, second in one.turns
        if first in map_names(rendered[one.name]) and second in map_names(rendered[one.name])
    ]
    if not pairs:
        return ""
    empty = [" ".join(f"print(@{name}); clear(@{name});" for name in names) for names in zip(*pairs, strict=True)]
    first, second = (f"@{PRINTING}[0] = 1; {prints} clear(@{PRINTING});" for prints in empty)
    phases = (f"@{_TURN} = 1; {_mark(TURN)}", first, f"@{_TURN} = 0; {_mark(TURN)}", second)
    steps = " ".join(f"if ($phase == {number % 4}) {{ {step} }}" for number, step in enumerate(phases, 1))
    phase_ms = max(_LEAST_PHASE_MS, round(interval * 1000 / 2))
    return f"interval:ms:{phase_ms} /@{PRINTING}[0] == 0/ {{ @{OWN}phase++; $phase = @{OWN}phase % 4; {steps} }}\n"


def _intervals(prints: str, interval: float) -> str:
    """The probes that print all maps, and say that all probes are attached."""
    return (
        f"interval:ms:{round(interval * 1000)} {{ {_mark(SNAPSHOT)} {prints} {_mark(SNAPSHOT_END)} }}\n"
        f"interval:ms:{_READY_MS} {{ if (@{READY_MAP} == 0) {{ @{READY_MAP} = 1; {_mark(READY)} }} }}\n"
    )


def instrument(rendered: str, snapshots: Sequence[str], interval: float) -> str:
    """A program that has a process for itself, with marks, and with a print of the maps ``snapshots`` every interval.

    They are printed once more before the program's own END, which may clear them. Nothing else of it is changed, and
    its lines keep their numbers. A program that has nothing but BEGIN and END stays so: new versions end it by
    themselves.
    """
    prints = " ".join(f"print(@{name});" for name in snapshots)
    only_begins = not has_intervals(rendered)
    program = insert_into(rendered, "BEGIN", _mark(BEGIN) + (f" {_mark(READY)}" if only_begins else ""))
    program = insert_into(program, "END", f"{_mark(END)} {prints} {_mark(SNAPSHOT_END)}")
    return program if only_begins else f"{program}\n{_intervals(prints, interval)}"


def has_intervals(rendered: str) -> bool:
    """Whether a program that has a process for itself gets our intervals, and so a mark of each snapshot."""
    return not {probe.upper() for probe in probes_used(rendered)} <= {"BEGIN", "END"}


def _used(names: Sequence[str], program: str) -> list[str]:
    """Maps that are in the rendered program: printing another one would be an error."""
    used = map_names(program)
    return [name for name in names if name in used]
