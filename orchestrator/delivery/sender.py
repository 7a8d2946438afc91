"""The thread that sends: requests wait in memory while the network takes its time, and nobody waits for them.

What cannot be sent is kept in a file of OTLP JSON lines, which any Collector can read later.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Hashable

from orchestrator.delivery.files import JsonLines
from orchestrator.delivery.retry import send_with_retry
from orchestrator.delivery.transport import Outcome, Request, Status, Transport

__all__ = ("Sender",)

_QUEUE_LIMIT = 64 << 20
_RETRY_FOR = 60.0
_ATTEMPT_TIMEOUT = 10.0
_LAST_SECONDS = 2.0
_POLL_SECONDS = 0.05
_MOST_SAID = 100


class Sender(threading.Thread):
    """Sends requests in order. ``fallback`` opens the file for what cannot be sent, when there is something.

    ``say`` is called with each new problem, once, and with a bounded number of them; counts are in items.
    """

    def __init__(
        self, open_transport: Callable[[], Transport], fallback: Callable[[], JsonLines], say: Callable[[str], None]
    ) -> None:
        super().__init__(daemon=True, name="sender")
        self._open = open_transport
        self._open_fallback = fallback
        self._say = say
        self._said: set[Hashable] = set()
        self._queue: deque[Request] = deque()
        self._in_flight: Request | None = None
        self._size = 0
        self._changed = threading.Condition()
        self._keeping = threading.Lock()  # submit() keeps as well, on another thread
        self._stop_retrying = threading.Event()
        self._closing: float | None = None
        self._reached = False
        self.kept: JsonLines | None = None
        self.sent = 0
        self.rejected = 0
        self.kept_items = 0
        self.lost_items = 0

    def submit(self, request: Request) -> None:
        """Queue a request; when too much waits already, it goes to the file at once."""
        with self._changed:
            if self._size + len(request.body) <= _QUEUE_LIMIT:
                self._queue.append(request)
                self._size += len(request.body)
                self._changed.notify()
                return
        self._keep(request, "more waits to be sent than memory is there for")

    def finish(self, grace: float, hurry: Callable[[], bool] = lambda: False) -> None:
        """Send what waits, for at most ``grace`` seconds (2 where the endpoint was never reached); keep the rest.

        ``hurry`` is asked often: when it says so, waiting ends.
        """
        with self._changed:
            self._closing = time.monotonic() + (grace if self._reached or not self._said else min(grace, 2.0))
            self._changed.notify()
        while self.is_alive() and time.monotonic() < self._closing and not hurry():
            self.join(_POLL_SECONDS)
        self._stop_retrying.set()
        self.join(_LAST_SECONDS)
        if self.is_alive():  # in an attempt that does not end: what it holds may or may not have arrived
            self._abandon()
        if self.kept is not None:
            self.kept.close()

    def _abandon(self) -> None:
        with self._changed:
            left = [*filter(None, [self._in_flight]), *self._queue]
            self._queue.clear()
        for request in left:
            self._keep(request, "the receiver did not answer in time")

    def run(self) -> None:
        """Send until told to finish and nothing is left."""
        transport = self._open()
        try:
            while (request := self._next()) is not None:
                try:
                    self._deliver(transport, request)
                except Exception as error:  # a fault of ours must not lose what waits behind it
                    self._keep(request, f"{transport.endpoint}: {type(error).__name__}: {error}")
        finally:
            transport.close()

    def _next(self) -> Request | None:
        with self._changed:
            self._in_flight = None
            while not self._queue:
                if self._closing is not None:
                    return None
                self._changed.wait()
            self._in_flight = request = self._queue.popleft()
            self._size -= len(request.body)
            return request

    def _deliver(self, transport: Transport, request: Request) -> None:
        if self._stop_retrying.is_set() and not self._reached:
            self._keep(request, "")
            return
        deadline = time.monotonic() + _RETRY_FOR
        outcome = send_with_retry(
            _Watched(transport, self._watch),
            request,
            timeout=_ATTEMPT_TIMEOUT,
            deadline=deadline if self._closing is None else min(deadline, self._closing),
            sleep=self._stop_retrying.wait,
        )
        if outcome.status is Status.ACCEPTED:
            self.sent += request.items - outcome.rejected
            self.rejected += outcome.rejected
        else:
            self._keep(request, "")

    def _watch(self, endpoint: str, outcome: Outcome) -> None:
        """After every attempt: tell a person what is wrong as soon as it is known."""
        if outcome.status is Status.ACCEPTED:
            self._reached = True
        if outcome.message:
            shown = outcome.message
            # What a receiver says of a signal that it does not have may hold the number of each request.
            topic = (endpoint, outcome.missing) if outcome.missing else None
            self._tell(shown if endpoint in shown else f"{endpoint}: {shown}", topic)

    def _tell(self, message: str, topic: Hashable = None) -> None:
        """Say what was not said yet; ``topic`` is what makes two messages the same, if not their words."""
        topic = message if topic is None else topic
        if topic in self._said or len(self._said) > _MOST_SAID:
            return
        self._said.add(topic)
        self._say(message if len(self._said) <= _MOST_SAID else "there is more that is wrong, which is not said")

    def _keep(self, request: Request, reason: str) -> None:
        if reason:
            self._tell(reason)
        try:
            with self._keeping:
                if self.kept is None:
                    self.kept = self._open_fallback()
                self.kept.write(request)
                self.kept_items += request.items
        except OSError as error:
            self.lost_items += request.items
            self._tell(f"what was not sent could not be kept either: {error}")


class _Watched:
    """A transport that shows every outcome to someone."""

    def __init__(self, transport: Transport, watch: Callable[[str, Outcome], None]) -> None:
        self._transport = transport
        self._watch = watch
        self.endpoint = transport.endpoint

    def send(self, request: Request, timeout: float) -> Outcome:
        outcome = self._transport.send(request, timeout)
        self._watch(self.endpoint, outcome)
        return outcome

    def close(self) -> None:
        self._transport.close()
