"""Profiles -> speedscope's own format (https://www.speedscope.app/file-format-schema.json).

Frames stand in one table; a profile of type ``sampled`` has for each stack the numbers of its frames, root first, and a
weight. As in folded stacks the thread's name is the root.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from orchestrator.formats.names import frame_name, frames, thread_name
from orchestrator.signals.model import Frame, Profile, Sample
from orchestrator.text import printable

__all__ = ("to_speedscope",)

_SCHEMA = "https://www.speedscope.app/file-format-schema.json"
_UNITS = {"bytes", "microseconds", "milliseconds", "nanoseconds", "seconds"}


def to_speedscope(profiles: Sequence[Profile], name: str, exporter: str) -> bytes:
    """One file that holds each of ``profiles``; ``name`` is its title."""
    table = _Frames()
    document = {
        "$schema": _SCHEMA,
        "exporter": exporter,
        "name": printable(name),
        "activeProfileIndex": 0,
        "profiles": [_profile(profile, table) for profile in profiles],
        "shared": {"frames": table.entries},
    }
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8") + b"\n"


class _Frames:
    """The table of frames. A name in the kernel, in one library and in another one are three frames."""

    def __init__(self) -> None:
        self.entries: list[dict[str, str]] = []
        self._known: dict[Frame, int] = {}
        self._places: dict[tuple[str, str], int] = {}

    def path(self, sample: Sample) -> tuple[int, ...]:
        """The numbers of a sample's frames, root first."""
        thread = thread_name(sample)
        root = [self._place(thread, "")] if thread else []
        return (*root, *(self._frame(frame) for frame in reversed(frames(sample.stack))))

    def _frame(self, frame: Frame) -> int:
        known = self._known.get(frame)
        if known is None:
            known = self._known[frame] = self._place(frame_name(frame), printable(frame.module))
        return known

    def _place(self, name: str, file: str) -> int:
        number = self._places.setdefault((name, file), len(self.entries))
        if number == len(self.entries):
            self.entries.append({"name": name, "file": file} if file else {"name": name})
        return number


def _profile(profile: Profile, table: _Frames) -> dict[str, Any]:
    totals: Counter[tuple[int, ...]] = Counter()
    for sample in profile.samples:
        totals[table.path(sample)] += sample.value
    # Stacks that begin alike stand together: the view in order of "time" shows them as one.
    paths = sorted(totals, key=lambda path: [table.entries[number]["name"] for number in path])
    return {
        "type": "sampled",
        "name": _title(profile),
        "unit": profile.sample_type.unit if profile.sample_type.unit in _UNITS else "none",
        "startValue": 0,
        "endValue": sum(totals.values()),
        "samples": paths,
        "weights": [totals[path] for path in paths],
    }


def _title(profile: Profile) -> str:
    """What it counts; ``samples`` alone says nothing, so what was sampled stands behind it."""
    period_type = profile.period_type
    sampled = f" ({period_type.type})" if period_type and period_type.type != profile.sample_type.type else ""
    return printable(profile.sample_type.type + sampled)
