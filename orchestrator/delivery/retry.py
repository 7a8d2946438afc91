"""Sends one request until it is delivered, refused, or its time is over."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from orchestrator.delivery.transport import Outcome, Request, Status, Transport

__all__ = ("send_with_retry",)

_FIRST_DELAY = 1.0
_MAX_DELAY = 30.0
_SPREAD = (0.8, 1.2)  # so that many hosts do not come back to a receiver at once


def send_with_retry(  # noqa: PLR0913  # the clock and the dice are for tests
    transport: Transport,
    request: Request,
    *,
    timeout: float,
    deadline: float,
    sleep: Callable[[float], bool],
    monotonic: Callable[[], float] = time.monotonic,
    jitter: Callable[[float, float], float] = random.uniform,
) -> Outcome:
    """Return the outcome of the last attempt; only a RETRYABLE one is followed by another.

    ``timeout``: seconds for one attempt. ``deadline``: where the monotonic clock ends all, attempts and waiting; there
    is no waiting for an attempt that would come too late. ``sleep``: waits, and returns True to stop
    (``threading.Event.wait``). A partial success was accepted: sending it again would double what was taken.
    """
    outcome = Outcome(Status.RETRYABLE, 0, "no time was left to send")
    delay = _FIRST_DELAY
    while (left := deadline - monotonic()) > 0:
        outcome = transport.send(request, min(timeout, left))
        if outcome.status is not Status.RETRYABLE:
            break
        pause = max(min(delay * jitter(*_SPREAD), _MAX_DELAY), outcome.retry_after or 0.0)
        if monotonic() + pause >= deadline or sleep(pause):
            break
        delay *= 2
    return outcome
