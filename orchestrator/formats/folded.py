"""Profiles -> folded stacks, one line each: what flamegraph.pl, inferno and most viewers read.

    redis-server;main;aeMain;read;ksys_read_[k] 42

The root stands first, before it the thread's name. ``_[k]`` marks the kernel's frames (flamegraph.pl, "annotations").
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from orchestrator.formats.names import frame_name, frames, thread_name
from orchestrator.signals.model import Frame, Profile, Sample

__all__ = ("to_folded",)

_KERNEL = "_[k]"


def to_folded(profiles: Iterable[Profile]) -> bytes:
    """The sorted lines of profiles whose values can be added up; the process and other attributes fall away."""
    words: dict[Frame, str] = {}
    totals: Counter[str] = Counter()
    for profile in profiles:
        for sample in profile.samples:
            totals[_stack(sample, words)] += sample.value
    return "".join(f"{stack} {total}\n" for stack, total in sorted(totals.items())).encode("utf-8")


def _stack(sample: Sample, known: dict[Frame, str]) -> str:
    words = [_word(thread_name(sample))]
    for frame in reversed(frames(sample.stack)):
        word = known.get(frame)
        if word is None:
            word = known[frame] = _word(frame_name(frame)) + (_KERNEL if frame.type == "kernel" else "")
        words.append(word)
    return ";".join(filter(None, words))


def _word(name: str) -> str:
    """``;`` stands between frames; a newline is escaped in names already."""
    return name.replace(";", ":")
