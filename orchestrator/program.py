"""Rendered signals -> one bpftrace program that tells when it is ready, and prints its maps between two marks.

A mark is ``print(("orchestrator", WHAT, nsecs))``. bpftrace escapes strings, so no process can forge one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from orchestrator.catalog import Signal
from parsers.source import map_names

__all__ = ("BEGIN", "END", "MARK", "READY", "SNAPSHOT", "SNAPSHOT_END", "join_programs")

MARK = "orchestrator"
BEGIN, READY, SNAPSHOT, SNAPSHOT_END, END = "begin", "ready", "snapshot", "snapshot_end", "end"
# Intervals are attached after tracepoints and in their order, so the first tick of the last one means that all probes
# are attached. Up to 0.23 bpftrace says so itself before it attaches any.
_READY_MS = 20


def _mark(what: str) -> str:
    return f'print(("{MARK}", "{what}", nsecs));'


def join_programs(rendered: Mapping[str, str], signals: Sequence[Signal], interval: float) -> str:
    """The joined program. ``rendered`` holds the program of each signal by name; ``interval`` is in seconds.

    Nothing is cleared but, at the end, what means nothing outside: bpftrace prints every map when it ends.
    """
    prints = " ".join(
        f"print(@{name});" for signal in signals for name in _used(signal.exported_maps, rendered[signal.name])
    )
    clears = " ".join(
        f"clear(@{name});" for signal in signals for name in _used(signal.scratch_maps, rendered[signal.name])
    )
    programs = "\n".join(rendered[signal.name] for signal in signals)
    return (
        f"BEGIN {{ {_mark(BEGIN)} }}\n"
        f"{programs}\n"
        f"END {{ {_mark(END)} {clears} }}\n"
        f"interval:ms:{round(interval * 1000)} {{ {_mark(SNAPSHOT)} {prints} {_mark(SNAPSHOT_END)} }}\n"
        f"interval:ms:{_READY_MS} {{ if (@{MARK}_ready == 0) {{ @{MARK}_ready = 1; {_mark(READY)} }} }}\n"
    )


def _used(names: Sequence[str], program: str) -> list[str]:
    """Maps that are in the rendered program: printing another one would be an error."""
    used = map_names(program)
    return [name for name in names if name in used]
