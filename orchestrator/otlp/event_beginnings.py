"""LogRecords up to a text that ends them: the same fields come again and again, and so do texts of the same size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from operator import getitem
from typing import Any

from orchestrator.otlp.wire import Memo

__all__ = ("Beginnings",)

# Above so many all are forgotten. One that is made costs as much as it saves the next dozen records; if fewer came for
# each of them, none is made for so many records.
_MOST, _PAYS, _RESTING = 8192, 16, 500_000


class Beginnings:
    """``make`` gives that of a row, for a text of so many bytes."""

    def __init__(self, make: Callable[[Any, int], bytes]) -> None:
        self._make = make
        self._known = Memo[Any, Memo[int, bytes]](lambda row: Memo(partial(self._begin, row)))
        self._made = self._taken = self._resting = 0

    def take(self, rows: Sequence[Any], sizes: Iterable[int]) -> list[bytes] | None:
        """That of each row; None while it does not pay to remember them."""
        if self._resting > 0:
            self._resting -= len(rows)
            return None
        self._taken += len(rows)
        found = list(map(getitem, map(self._known.__getitem__, rows), sizes))
        if self._made > _MOST:
            self._forget()
        return found

    def _begin(self, row: Any, size: int) -> bytes:
        self._made += 1
        return self._make(row, size)

    def _forget(self) -> None:
        if self._taken < _PAYS * self._made:
            self._resting = _RESTING
        self._known.clear()
        self._made = self._taken = 0
