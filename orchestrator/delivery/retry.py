"""When to try again: back-off with jitter, and what the receiver asks for (specification, protocol/otlp.md)."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

__all__ = ("Backoff",)

_FIRST_DELAY = 1.0
_MAX_DELAY = 30.0
# A receiver that asks for more than this has made a mistake, or wants to be rid of us.
_MOST_ASKED = 3600.0
_SPREAD = (0.8, 1.2)  # so that many hosts do not come back to a receiver at once


class Backoff:
    """Seconds until the next attempt. ``monotonic`` and ``jitter`` are for tests."""

    def __init__(
        self,
        monotonic: Callable[[], float] = time.monotonic,
        jitter: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._monotonic, self._jitter = monotonic, jitter
        self._delay = _FIRST_DELAY
        self._until = 0.0

    def failed(self, retry_after: float | None) -> None:
        """An attempt failed that may be made again, after what the receiver asked for, if it did: an hour at most."""
        pause = min(self._delay * self._jitter(*_SPREAD), _MAX_DELAY)
        self._until = self._monotonic() + max(pause, min(retry_after or 0.0, _MOST_ASKED))
        self._delay = min(2 * self._delay, _MAX_DELAY)

    def succeeded(self) -> None:
        """The receiver is there."""
        self._delay, self._until = _FIRST_DELAY, 0.0

    def left(self) -> float:
        """Seconds to wait, 0 or less if it is time."""
        return self._until - self._monotonic()
