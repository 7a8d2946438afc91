"""Events of several CPUs, in the order in which they happened.

bpftrace reads the buffer of one CPU after that of another, so what happened first may be read later: by as much as a
buffer holds. What pairs events one by one cannot be right unless it sees them in order.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import Generic, TypeVar

__all__ = ("SLACK", "Reorder")

T = TypeVar("T")

# In nanoseconds: a buffer of bpftrace holds 64 pages for each CPU, which is less than a second of any rate at which
# it is not lost anyway.
SLACK = 1_000_000_000
_MOST = 10_000
# Events so much older than others are not late: the clock was set back.
_CLOCK_WAS_SET = 10 * SLACK


class Reorder(Generic[T]):
    """Holds items back until all that happened before them must have come.

    Of the same time, what comes first is first. At most ``most`` of them: beyond that, the oldest goes on at once.
    """

    def __init__(self, slack: int = SLACK, most: int = _MOST) -> None:
        self._slack, self._most = slack, most
        self._heap: list[tuple[int, int, T]] = []
        self._count = 0
        self._latest = 0

    def add(self, time: int, item: T) -> Iterator[T]:
        """Take an item; give those on that are due."""
        if time < self._latest - _CLOCK_WAS_SET:
            yield from self.rest()
            self._latest = time
        self._latest = max(self._latest, time)
        self._count += 1
        heapq.heappush(self._heap, (time, self._count, item))
        if len(self._heap) > self._most:
            yield heapq.heappop(self._heap)[2]
        yield from self.until(self._latest)

    def until(self, now: int) -> Iterator[T]:
        """What is due when it is ``now`` by the clock of the items."""
        while self._heap and self._heap[0][0] <= now - self._slack:
            yield heapq.heappop(self._heap)[2]

    def rest(self) -> Iterator[T]:
        """All that is held."""
        while self._heap:
            yield heapq.heappop(self._heap)[2]
