"""The kernel's monotonic nanoseconds -> Unix nanoseconds."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ("Clock",)


class Clock:
    """Unix time = ``nsecs`` + (CLOCK_REALTIME - CLOCK_MONOTONIC); the difference moves (NTP, suspend), so ``sync()``.

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
        self.sync()

    def sync(self) -> None:
        """Read both clocks: of five bracketed readings the tightest."""
        readings = []
        for _ in range(5):
            before, unix, after = self._monotonic(), self._realtime(), self._monotonic()
            readings.append((after - before, unix - (before + after) // 2))
        self._offset = min(readings)[1]

    def to_unix(self, nsecs: int) -> int:
        """Unix nanoseconds of a kernel time."""
        return nsecs + self._offset

    def now(self) -> int:
        """Unix nanoseconds now, on the same scale."""
        return self._monotonic() + self._offset
