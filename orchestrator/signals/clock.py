"""The kernel's monotonic nanoseconds -> Unix nanoseconds.

All that is read has the wall clock of its reading. If that is set while a run lasts, what follows has the new time
within a second. Forwards, sums keep their start. Backwards, they begin anew (``signals/rebase.py``), so that no point
is older than its start and none of a sum is less than one before it. A span that is open then has the step in its
duration, or is counted as lost if that makes it negative.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ("STEP", "TIMES", "Clock", "Moment")

TIMES = range(2**63)  # Unix nanoseconds, until the year 2262

# A wall clock that goes back by so much between two readings was set; by less, the points of no series can change
# their order, as snapshots are further apart.
STEP = 100_000_000

_SYNC_NANOSECONDS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Moment:
    """When records were read (Unix nanoseconds), and ``offset``: Unix nanoseconds less the kernel's monotonic ones."""

    unix: int
    offset: int

    def to_unix(self, nsecs: int) -> int:
        """Unix nanoseconds of a kernel time."""
        return nsecs + self.offset


class Clock:
    """Unix time = ``nsecs`` + (CLOCK_REALTIME - CLOCK_MONOTONIC); the difference moves (NTP, suspend).

    It is read again each second.

    ``nsecs`` of bpftrace is CLOCK_MONOTONIC (bpf_ktime_get_ns).
    """

    def __init__(
        self,
        monotonic: Callable[[], int] = time.monotonic_ns,
        realtime: Callable[[], int] = time.time_ns,
    ) -> None:
        self._monotonic = monotonic
        self._realtime = realtime
        self._offset = 0
        self._synced = 0

    def moment(self) -> Moment:
        """Now."""
        now = self._monotonic()
        if not self._synced or now - self._synced >= _SYNC_NANOSECONDS:
            self._sync()
            self._synced = now
        return Moment(now + self._offset, self._offset)

    def _sync(self) -> None:
        """Read both clocks: of five bracketed readings the tightest."""
        readings = []
        for _ in range(5):
            before, unix, after = self._monotonic(), self._realtime(), self._monotonic()
            readings.append((after - before, unix - (before + after) // 2))
        self._offset = min(readings)[1]
