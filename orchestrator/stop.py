"""When a run is to end."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator

__all__ = ("Stop",)


class Stop:
    """Set by SIGINT, SIGTERM and SIGHUP, or by ourselves when going on makes no sense.

    ``began``: when tracing did, by time.monotonic(). ``goes_on``: another run comes after this one. ``wake`` is called
    with each request, to end a wait.
    """

    def __init__(self) -> None:
        self._requests = 0
        self.began: float | None = None
        self.goes_on = False
        self.wake: Callable[[], None] = _nothing

    def __call__(self) -> bool:
        """Whether it is to end."""
        return self._requests > 0

    def request(self, *_: object) -> None:
        """A signal handler: nothing in it may wait."""
        self._requests += 1
        self.wake()

    @contextlib.contextmanager
    def waking(self, wake: Callable[[], None]) -> Iterator[None]:
        """End waits by ``wake``, and none of those that come afterwards: they are for the last words."""
        self.wake = wake
        try:
            yield
        finally:
            self.wake = _nothing

    def insisted(self) -> bool:
        """Whether it was asked for more than once: then nothing is waited for any more."""
        return self._requests > 1

    @contextlib.contextmanager
    def on_signals(self) -> Iterator[None]:
        """Listen to signals."""
        before = {number: signal.signal(number, self.request) for number in self._numbers()}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _numbers(self) -> list[signal.Signals]:
        """What asks for the end."""
        hangup = [] if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else [signal.SIGHUP]  # under nohup
        return [signal.SIGINT, signal.SIGTERM, *hangup]


def _nothing() -> None:
    """Nobody waits."""
