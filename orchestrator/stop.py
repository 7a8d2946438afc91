"""When a run is to end."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator

__all__ = ("Stop",)


class Stop:
    """Set by SIGINT, SIGTERM and SIGHUP, or by ourselves when going on makes no sense."""

    def __init__(self) -> None:
        self._requests = 0

    def __call__(self) -> bool:
        """Whether it is to end."""
        return self._requests > 0

    def request(self, *_: object) -> None:
        """A signal handler: nothing in it may wait."""
        self._requests += 1

    def insisted(self) -> bool:
        """Whether it was asked for more than once: then nothing is waited for any more."""
        return self._requests > 1

    @contextlib.contextmanager
    def on_signals(self) -> Iterator[None]:
        """Listen to signals."""
        numbers = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # not under nohup
            numbers.append(signal.SIGHUP)
        before = {number: signal.signal(number, self.request) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
