"""How frames and threads are called, the same in every format."""

from __future__ import annotations

from orchestrator.signals.model import Frame, Sample
from orchestrator.text import printable

__all__ = ("frame_name", "frames", "thread_name")

# As perf calls it, and with it flamegraph.pl.
_UNKNOWN = "[unknown]"


def frame_name(frame: Frame) -> str:
    """The symbol, or the address of a frame without one. Bytes that are no text are escaped."""
    return printable(frame.name) or (f"{frame.address:#x}" if frame.address else _UNKNOWN)


def frames(stack: tuple[Frame, ...]) -> tuple[Frame, ...]:
    """The frames of a stack, leaf first; one that is not known where there is none, so that its value is shown."""
    return stack or (Frame(""),)


def thread_name(sample: Sample) -> str:
    """The command name of the thread; empty where there is none."""
    name = sample.attributes.get("thread.name", "")
    return printable(name) if isinstance(name, str) else ""
