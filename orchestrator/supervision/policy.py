"""What tracing took -> what is to be done about it: nothing, fewer events, fewer signals, or the end. Pure.

CPU is judged by its average over 30 seconds, as bursts are no harm; memory by two readings in a row. After each step
it is judged anew by what came after it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

__all__ = (
    "CPU_SECONDS",
    "LEAST_FACTOR",
    "STEP_SECONDS",
    "Action",
    "AtLimit",
    "Decision",
    "Policy",
    "Reading",
    "costliest",
)

Action = Literal["sample", "restore", "stop_costliest", "stop"]
AtLimit = Literal["sample", "stop_costliest", "stop"]

CPU_SECONDS, STEP_SECONDS = 30.0, 10.0
_MEMORY_READINGS = 2
# Events are thinned to that part of their rate at most.
LEAST_FACTOR = 1 / 64
# What allows for more again is this part of the limit, for as long as CPU is averaged over.
_LOW = 0.8


class Reading(NamedTuple):
    """``seconds``: when, on any clock that does not go back; ``cpu``: seconds spent until then; ``memory``: bytes."""

    seconds: float
    cpu: float
    memory: int


@dataclass(frozen=True, slots=True)
class Decision:
    """``limit`` is the setting that says ``allowed``, and ``measured`` what was seen of it.

    ``factor``: the part of the event rate that is left, for ``sample`` and ``restore``.
    """

    action: Action
    limit: Literal["max_cpu_percent", "max_memory_mb"]
    measured: float
    allowed: float
    factor: float = 1.0


@dataclass(slots=True)
class Policy:
    """``cpu_percent`` (of ``cpus`` CPUs together) and ``memory_mb``: the limits, 0 for none."""

    cpu_percent: float
    memory_mb: float
    at_limit: AtLimit
    cpus: int
    factor: float = 1.0
    _readings: deque[Reading] = field(default_factory=deque)
    _wanted_seconds: float = CPU_SECONDS
    _step: float = float("-inf")

    def see(self, reading: Reading) -> Decision | None:
        """Take one more reading; what is to be done now."""
        self._readings.append(reading)
        while len(self._readings) > 2 and self._readings[1].seconds <= reading.seconds - CPU_SECONDS:
            self._readings.popleft()
        above = self._above()
        if above is not None:
            return self._act(above)
        return self._restore() if self.factor < 1 else None

    @property
    def percent(self) -> float | None:
        """CPU time since the oldest reading that counts, of all CPUs; None before there are two."""
        if not self._readings:
            return None
        first, last = self._readings[0], self._readings[-1]
        seconds = last.seconds - first.seconds
        return 100 * (last.cpu - first.cpu) / seconds / self.cpus if seconds > 0 else None

    def _above(self) -> Decision | None:
        """What is above its limit, with no action yet."""
        first, last = self._readings[0], self._readings[-1]
        percent = self.percent
        is_long = last.seconds - first.seconds >= self._wanted_seconds
        if self.cpu_percent and is_long and percent is not None and percent > self.cpu_percent:
            return Decision(self.at_limit, "max_cpu_percent", percent, self.cpu_percent)
        recent = [reading.memory / 1e6 for reading in self._readings][-_MEMORY_READINGS:]
        if self.memory_mb and len(recent) == _MEMORY_READINGS and min(recent) > self.memory_mb:
            return Decision(self.at_limit, "max_memory_mb", recent[-1], self.memory_mb)
        return None

    def _act(self, found: Decision) -> Decision | None:
        if self._readings[-1].seconds - self._step < STEP_SECONDS:
            return None
        if self.at_limit != "sample":
            self._stepped(self.factor, CPU_SECONDS)
            return found
        if self.factor <= LEAST_FACTOR:
            return None
        self._stepped(self.factor / 2, STEP_SECONDS)
        return replace(found, factor=self.factor)

    def _restore(self) -> Decision | None:
        """Twice as many events, once all has been low for as long as CPU is averaged over."""
        first, last, percent = self._readings[0], self._readings[-1], self.percent or 0.0
        memory = max(reading.memory for reading in self._readings) / 1e6
        is_low = not self.cpu_percent or percent < _LOW * self.cpu_percent
        is_small = not self.memory_mb or memory < _LOW * self.memory_mb
        if last.seconds - first.seconds < CPU_SECONDS or not (is_low and is_small):
            return None
        self._stepped(min(1.0, self.factor * 2), STEP_SECONDS)
        if self.cpu_percent:
            return Decision("restore", "max_cpu_percent", percent, self.cpu_percent, self.factor)
        return Decision("restore", "max_memory_mb", memory, self.memory_mb, self.factor)

    def _stepped(self, factor: float, wanted_seconds: float) -> None:
        """What comes next is judged by what comes after now."""
        last = self._readings[-1]
        self.factor, self._step, self._wanted_seconds = factor, last.seconds, wanted_seconds
        self._readings.clear()
        self._readings.append(last._replace(memory=0))


def costliest(run_times: Mapping[str, float], events: Mapping[str, int]) -> str | None:
    """The signal whose programs ran longest, or, where no run time is known, the one with most events.

    ``events`` has all signals that there are; None if there are none.
    """
    known = {name: run_times.get(name, 0.0) for name in events}
    costs: Mapping[str, float] = known if any(known.values()) else events
    return max(costs, key=lambda name: costs[name], default=None)
