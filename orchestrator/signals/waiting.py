"""What has begun and waits for its end, by key: any number under one key, a bounded number in all."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

__all__ = ("Waiting",)

T = TypeVar("T")


class Waiting(Generic[T]):
    """Items are added in the order of their times. ``last``: of those under one key, the last one is taken first.

    Every operation is O(1), except that ``expire`` takes as long as there are items to give up.
    """

    def __init__(self, most: int, *, last: bool = False) -> None:
        self._most, self._last = most, last
        self._count = 0
        self._items: OrderedDict[int, tuple[int, Hashable, T]] = OrderedDict()  # the oldest first
        self._by_key: dict[Hashable, deque[int]] = {}

    def __len__(self) -> int:
        return len(self._items)

    def add(self, key: Hashable, time: int, item: T) -> T | None:
        """Let ``item`` wait; return the oldest of all, if it has to be given up for it."""
        self._count += 1
        self._items[self._count] = (time, key, item)
        self._by_key.setdefault(key, deque()).append(self._count)
        return self._drop_oldest() if len(self._items) > self._most else None

    def take(self, key: Hashable, until: int) -> T | None:
        """The item under ``key`` whose turn it is, if it began until then."""
        numbers = self._by_key.get(key)
        if numbers is None or self._items[numbers[-1 if self._last else 0]][0] > until:
            return None
        number = numbers.pop() if self._last else numbers.popleft()
        if not numbers:
            del self._by_key[key]
        return self._items.pop(number)[2]

    def expire(self, before: int) -> Iterator[T]:
        """Give up what began before that time."""
        while self._items and next(iter(self._items.values()))[0] < before:
            yield self._drop_oldest()

    def _drop_oldest(self) -> T:
        _, (_, key, item) = self._items.popitem(last=False)
        numbers = self._by_key[key]
        numbers.popleft()  # the oldest of all is the oldest of its key
        if not numbers:
            del self._by_key[key]
        return item
