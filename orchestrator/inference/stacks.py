"""A map with stacks in its keys -> which profiles its values are, by what is assigned to it and where."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from config.manifest import StackProfile
from parsers.script import MapAssignment, Probe

__all__ = ("depth_of", "profiles_of")

# `profile:hz:99`, `profile:ms:10`
_SAMPLED = re.compile(r"p(?:rofile)?:(?P<unit>hz|s|ms|us):(?P<number>\d+)")
_TICKS = {"s": 1, "ms": 1_000, "us": 1_000_000}
# What OTLP calls the units of the semantic conventions, in profiles.
_UNITS = {"ns": "nanoseconds", "us": "microseconds", "ms": "milliseconds", "s": "seconds", "By": "bytes"}
_DEPTH = re.compile(r"[ku]stack\s*\((?:[^()]*,)?\s*(\d+)\s*\)")
_MOST_FRAMES = 127  # of bpftrace, and of the kernel unless kernel.perf_event_max_stack says otherwise
_EVENTS = StackProfile(type="events", unit="count")


def profiles_of(
    assignments: Sequence[MapAssignment], probes: Sequence[Probe], name: str, unit: str
) -> list[StackProfile]:
    """The profiles of a map; none if its values cannot be added up.

    ``name`` and ``unit`` are those of what is added up by sum() and stats(), the unit in UCUM.
    """
    functions = {one.function or one.operator for one in assignments}
    amount = StackProfile(type=name, unit=_UNITS.get(unit, "count"), value="total")
    if functions <= {"count", "++"}:
        return [_counted(probes[one.probe] for one in assignments if one.probe >= 0)]
    if functions <= {"sum", "+="}:
        return [amount]
    if functions == {"stats"}:
        return [_EVENTS, amount]
    return [_EVENTS] if functions <= {"hist", "lhist"} else []


def _counted(probes: Iterable[Probe]) -> StackProfile:
    """Samples of the CPU's time if a timer of each CPU counts, else events."""
    points = {point for probe in probes for point in probe.attach_points}
    timers = [_SAMPLED.fullmatch(point) for point in points]
    if len(timers) != 1 or timers[0] is None or not int(timers[0]["number"]):
        return _EVENTS
    number, unit = int(timers[0]["number"]), timers[0]["unit"]
    period = round(1e9 / number) if unit == "hz" else number * 1_000_000_000 // _TICKS[unit]
    return StackProfile(type="samples", unit="count", period_type="cpu", period_unit="nanoseconds", period=period)


def depth_of(keys: Iterable[str]) -> int:
    """The most frames that a stack in such a key can have."""
    depths = [int(match[1]) if (match := _DEPTH.search(key)) else _MOST_FRAMES for key in keys if "stack" in key]
    return max((depth for depth in depths if depth), default=_MOST_FRAMES)
