r"""The text of a printed stack -> its frames.

One frame a line, the leaf first; blanks before them differ by version. Without a symbol a frame is its address:

    \n    _PyEval_EvalFrameDefault+18276\n    0x7f388dc16a80\n     bpftrace's own mode
    \n\tffffffff81e0011f do_syscall_64+95 ([kernel.kallsyms])\n      kstack(perf), ustack(perf)
    \n55b103b1a169\n55b103b1a1b4\n                                 kstack(raw), ustack(raw)
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

__all__ = ("StackFrame", "parse_stack")

# The last `+DIGITS` ends the symbol: `operator+(A const&, A const&)+12`. Behind it a module or source line may stand.
_SYMBOL = re.compile(r"(?P<name>.+)\+(?P<offset>\d+)(?: (?P<rest>.*))?")
_ADDRESS = re.compile(r"0x([0-9a-fA-F]{1,16})")
_RAW = re.compile(r"[0-9a-f]{8,16}")
# In map keys 0.24 and later leave the blanks out: `ffffffff814b2b2dperf_syscall_enter+397`. Addresses of the kernel
# have 16 digits, those of shared objects and of programs that can be anywhere 12, those of other programs mostly 6.
_PERF = re.compile(
    r"(?:(?P<spaced>[0-9a-f]{1,16}) |(?P<packed>ffff[0-9a-f]{12}|[57][0-9a-f]{11}|[0-9a-f]{6}))"
    r"(?P<what>.*?) ?(?:\((?P<module>[^()]*(?:\(deleted\))?)\))?"
)
_UNKNOWN = {"[unknown]", "0x0", "0", ""}


@dataclass(frozen=True, slots=True)
class StackFrame:
    """``name`` is empty where there is no symbol; ``address`` 0 and ``module`` empty where they were not printed."""

    name: str
    address: int = 0
    module: str = ""


def parse_stack(text: str) -> tuple[StackFrame, ...]:
    """The frames of a stack, leaf first; none of an empty one. 0.23 writes newlines as a backslash and an n in keys.

    A chain of frame pointers can end in a return address of 0, which is no frame.
    """
    lines = text.replace("\\n", "\n").split("\n")
    frames = (_frame(line) for line in lines if line and not line.isspace())
    return tuple(frame for frame in frames if frame.name or frame.address)


@lru_cache(maxsize=1 << 14)
def _frame(line: str) -> StackFrame:
    text = line.strip()
    if (address := _ADDRESS.fullmatch(text)) is not None:
        return StackFrame("", int(address[1], 16))
    if line.startswith("\t") and (perf := _PERF.fullmatch(text)) is not None:
        return StackFrame(_name(perf["what"]), int(perf["spaced"] or perf["packed"], 16), perf["module"] or "")
    if _RAW.fullmatch(text):
        return StackFrame("", int(text, 16))
    return StackFrame(_name(text))


def _name(text: str) -> str:
    """The symbol without its offset."""
    if text in _UNKNOWN or _ADDRESS.fullmatch(text):
        return ""
    match = _SYMBOL.fullmatch(text)
    return match["name"] if match else text
