"""Whether a bpftrace still does what it is there for: a snapshot every interval."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ("Pulse",)

_LEAST_SECONDS = 10.0
_INTERVALS = 3
# Looking up the symbols of many stacks takes long, and says nothing meanwhile: who works so hard is waited for.
_BUSY = 0.1
_MOST_EXTENSIONS = 5
# We may be stopped ourselves, or a whole machine: time in which nobody looked does not count. A turn of a run in which
# nothing comes is shorter (_PUMP_SECONDS of the supervisor).
_LONGEST_LOOK = 2.0


class Pulse:
    """Ask it often. ``interval``: seconds between two snapshots; ``cpu``: seconds of CPU that bpftrace has used."""

    def __init__(self, interval: float, cpu: Callable[[], float], now: Callable[[], float] = time.monotonic) -> None:
        self._limit = max(_INTERVALS * interval, _LEAST_SECONDS)
        self._cpu, self._now = cpu, now
        self._marks = -1
        self._looked = now()
        self._used = self.quiet = 0.0
        self._extensions = 0

    def has_stopped(self, marks: int, *, more: bool) -> bool:
        """Whether it is to be given up, after ``marks`` snapshots. ``more``: what was read may not be all there is."""
        now = self._now()
        self.quiet += min(now - self._looked, _LONGEST_LOOK)
        self._looked = now
        if marks != self._marks:
            self._marks, self.quiet, self._extensions, self._used = marks, 0.0, 0, self._cpu()
        if more or self.quiet < self._limit * (1 + self._extensions):
            return False
        used, before = self._cpu(), self._used
        self._used = used
        self._extensions += 1
        return used - before < _BUSY * self._limit or self._extensions > _MOST_EXTENSIONS
