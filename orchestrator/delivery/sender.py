"""The thread that sends: requests wait for a receiver that takes its time, and nobody waits for them.

As long as the receiver answers, they wait in memory. What it cannot take now goes to disk (the spool) and is tried
again from there, in order, by this run or a later one.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Hashable
from pathlib import Path

from config.otlp import Signal
from orchestrator.delivery.backlog import Backlog, Item
from orchestrator.delivery.counts import DeliveryCounts
from orchestrator.delivery.ledger import KILLED, UNANSWERED, Ledger, Losses, add_losses, merged, reap
from orchestrator.delivery.retry import Backoff
from orchestrator.delivery.spool import Entry, Spool
from orchestrator.delivery.transport import Outcome, Request, Status, Transport

__all__ = ("Sender",)

# Why items are lost, besides what spool and ledger have; why they were not delivered.
_NO_ROOM, _REFUSED = "no room", "refused"
_FATES = {KILLED: "in memory, which are lost", UNANSWERED: "on their way, which may have arrived"}
_REJECTED, _UNAVAILABLE = "rejected", "unavailable"
_ATTEMPT_TIMEOUT = 10.0
_IDLE_SECONDS = 1.0
_LAST_SECONDS = 2.0
_POLL_SECONDS = 0.05
_MOST_SAID = 100


class Sender(threading.Thread):
    """Sends what earlier runs left in the ``spool``, and what ``submit`` adds.

    ``say`` is called with each new problem, once, and with a bounded number of them. Without a spool, what does not fit
    into memory is lost. ``name`` is the receiver's, for a person. ``everyones``: there is nothing of our own, all that
    is in the spool is to be sent.
    """

    def __init__(
        self,
        open_transport: Callable[[], Transport],
        spool: Spool | None,
        say: Callable[[str], None],
        *,
        name: str = "the receiver",
        everyones: bool = False,
    ) -> None:
        super().__init__(daemon=True, name="sender")
        self._open, self._spool, self._say, self.receiver = open_transport, spool, say, name
        self._said: set[Hashable] = set()
        self._ledger = None if everyones else self._open_ledger()
        self._backlog = Backlog(spool, self._ledger, everyones=everyones)
        if spool is not None:
            spool.dropped = self._drop
        self._backoff = Backoff()
        self._news = threading.Condition()
        self._has_news = False
        self._is_told_to_end = False
        self._closing: float | None = None
        self._reached = False
        self._unwritten: Losses = {}
        self._writing = threading.Lock()
        self.counts = DeliveryCounts()
        self.waiting = 0

    def _open_ledger(self) -> Ledger | None:
        if self._spool is None:
            return None
        try:
            return Ledger(self._spool.folder, self._spool.run)
        except OSError as error:
            self._say(f"{self._spool.folder}: {error.strerror}; should we be killed, nobody will know what was lost")
            return None

    def submit(self, request: Request) -> None:
        """Take a request. Waits neither for the network nor, but where memory is full, for the disk."""
        if not self._backlog.add(request):
            self._lose(request, _NO_ROOM)
        self._wake()

    def expect(self, signal: Signal, items: int) -> None:
        """Items are about to come: should we be killed before they are delivered or kept, they are missed."""
        if self._ledger is not None:
            self._ledger.take(signal, items)

    @property
    def is_behind(self) -> bool:
        """Whether more waits than should: whoever can wait does so now."""
        return self._backlog.is_behind

    @property
    def queue(self) -> tuple[int, int]:
        """What waits in memory: bytes, and requests."""
        return self._backlog.size, self._backlog.requests

    @property
    def folder(self) -> Path | None:
        """Where what cannot be sent waits on disk."""
        return self._spool.folder if self._spool is not None else None

    @property
    def is_waiting(self) -> bool:
        """Whether the receiver was away, and it is not yet time to try again."""
        return self._backoff.left() > 0

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits."""
        return self._backlog.is_empty

    def finish(self, grace: float, hurry: Callable[[], bool] = lambda: False) -> None:
        """Send what waits, for at most ``grace`` seconds (2 where the endpoint was never reached); keep the rest.

        ``hurry`` is asked often: when it says so, waiting ends.
        """
        self._closing = time.monotonic() + (grace if self._reached or not self._said else min(grace, 2.0))
        self._wake()
        while self.is_alive() and time.monotonic() < self._closing and not hurry():
            self.join(_POLL_SECONDS)
        self._is_told_to_end = True
        self._wake()
        self.join(_LAST_SECONDS)
        if self.is_alive():
            self._tell("the receiver did not answer in time: what was sent last may have arrived, and will come again")
        self._persist()
        for request in self._backlog.left():
            self._lose(request, _NO_ROOM)
        self._write_losses()
        self.waiting = _items_of(self._spool)
        if self._ledger is not None:
            self._ledger.close()
        if self._spool is not None:
            self._spool.close()

    def run(self) -> None:
        """Send until told to finish and nothing is left."""
        self._tell_of_the_killed()
        with contextlib.closing(self._open()) as transport:
            while not self._is_over():
                self._turn(transport)

    def _turn(self, transport: Transport) -> None:
        try:
            self._do_next(transport)
        except OSError as error:  # of the spool: what is on disk cannot be read, or not be removed
            self._tell(f"{error.filename or self.folder}: {error.strerror}; what waits there may come twice")
            self._backoff.failed(None)

    def _do_next(self, transport: Transport) -> None:
        if (pause := self._backoff.left()) > 0:
            self._persist()
            self._wait(pause)
        elif (item := self._backlog.first()) is None:
            self._wait(_IDLE_SECONDS)
        else:
            self._deliver(transport, item)

    def _is_over(self) -> bool:
        if self._is_told_to_end:
            return True
        return self._closing is not None and (time.monotonic() >= self._closing or self._backlog.is_empty)

    def _wait(self, seconds: float) -> None:
        if self._closing is not None:
            seconds = min(seconds, max(self._closing - time.monotonic(), 0.0))
        with self._news:
            if not self._has_news:
                self._news.wait(seconds)
            self._has_news = False

    def _wake(self) -> None:
        with self._news:
            self._has_news = True
            self._news.notify()

    def _deliver(self, transport: Transport, item: Item) -> None:
        self._mark(item)
        outcome = self._attempt(transport, item.request)
        if outcome.status is Status.RETRYABLE:
            self._mark(None)
            self._backlog.again()
            self._backoff.failed(outcome.retry_after)
            return
        self._backoff.succeeded()
        request = item.request
        if outcome.status is Status.ACCEPTED:
            self._reached = True
            self._count_accepted(request, outcome.rejected)
            self._forget(item)
        elif _is_needless(request, outcome):
            self._forget(item)
        elif self._backlog.refused(item):
            self.counts.refused += request.items
            self.counts.fail(_REFUSED, request.signal, request.items)
        else:
            self._lose(request, _REFUSED)
        self._mark(None)

    def _count_accepted(self, request: Request, rejected: int) -> None:
        self.counts.delivered[request.signal] += request.items - rejected
        if rejected:
            self.counts.rejected += rejected
            self.counts.fail(_REJECTED, request.signal, rejected)
            self._record(_REJECTED, request.signal, rejected)

    def _forget(self, item: Item) -> None:
        self._backlog.done(item)
        if item.entry is None:
            self._settle(item.request)

    def _attempt(self, transport: Transport, request: Request) -> Outcome:
        timeout = _ATTEMPT_TIMEOUT
        if self._closing is not None:
            timeout = max(min(timeout, self._closing - time.monotonic()), 0.001)
        began = time.monotonic()
        try:
            outcome = transport.send(request, timeout)
        except Exception as error:  # a fault of ours must not lose what waits behind it
            outcome = Outcome(Status.REJECTED, request.items, f"{type(error).__name__}: {error}")
        self.counts.attempts += 1
        self.counts.failures += outcome.status is not Status.ACCEPTED
        self.counts.attempt(request.signal, _error_of(outcome), time.monotonic() - began)
        if outcome.message and not _is_needless(request, outcome):
            shown = outcome.message
            # What a receiver says of a signal that it does not have may hold the number of each request.
            topic = (transport.endpoint, outcome.missing) if outcome.missing else None
            self._tell(shown if transport.endpoint in shown else f"{transport.endpoint}: {shown}", topic)
        return outcome

    def _persist(self) -> None:
        error = self._backlog.persist()
        if error is not None and self._spool is not None:
            self._tell(f"{self._spool.folder}: {error.strerror}; what cannot be sent now waits in memory")

    def _tell_of_the_killed(self) -> None:
        if self._spool is None:
            return
        with contextlib.suppress(OSError):
            for cause, signals in reap(self._spool.folder).items():
                for signal, count in signals.items():
                    self.counts.fail(cause, signal, count)
                items = ", ".join(f"{count:,} items of {signal}" for signal, count in signals.items())
                self._say(f"a run that was killed had {items} {_FATES[cause]}")

    def _lose(self, request: Request, cause: str) -> None:
        self.counts.lose(cause, request.signal, request.items)
        self.counts.fail(cause, request.signal, request.items)
        self._record(cause, request.signal, request.items)
        self._settle(request)

    def _mark(self, item: Item | None) -> None:
        """Tell the ledger what is on its way: nobody knows whether it arrives if we are killed now."""
        if self._ledger is None or (item is not None and item.entry is not None):
            return
        if item is None:
            self._ledger.sending(0, "logs", 0)
        else:
            self._ledger.sending(item.number or 0, item.request.signal, item.request.items)

    def _settle(self, request: Request) -> None:
        if self._ledger is not None:
            self._ledger.settle(request.signal, request.items)

    def _drop(self, entry: Entry, cause: str) -> None:
        """Count what the spool has given up, of whichever run it was; what was refused has failed before."""
        self.counts.lose(cause, entry.signal, entry.items)
        if not entry.is_refused:
            self.counts.fail(cause, entry.signal, entry.items)
        self._record(cause, entry.signal, entry.items)

    def _record(self, cause: str, signal: str, items: int) -> None:
        """Write a loss into the tally; where the disk is full, with the next one or at the end."""
        with self._writing:  # submit() on another thread may lose something too
            self._unwritten = merged(self._unwritten, {cause: {signal: items}})
        self._write_losses()

    def _write_losses(self) -> None:
        if self._spool is None:
            return
        with self._writing, contextlib.suppress(OSError):
            if self._unwritten:
                add_losses(self._spool.folder, self._unwritten)
                self._unwritten = {}

    def _tell(self, message: str, topic: Hashable = None) -> None:
        """Say what was not said yet; ``topic`` is what makes two messages the same, if not their words."""
        topic = message if topic is None else topic
        if topic in self._said or len(self._said) > _MOST_SAID:
            return
        self._said.add(topic)
        self._say(message if len(self._said) <= _MOST_SAID else "there is more that is wrong, which is not said")


def _is_needless(request: Request, outcome: Outcome) -> bool:
    """Whether what was refused is nothing that this receiver has a place for, or needs."""
    return request.optional and outcome.missing == request.signal


def _error_of(outcome: Outcome) -> str:
    if outcome.status is Status.ACCEPTED:
        return _REJECTED if outcome.rejected else ""
    return _UNAVAILABLE if outcome.status is Status.RETRYABLE else _REFUSED


def _items_of(spool: Spool | None) -> int:
    """How many items of this run wait on disk."""
    entries = spool.waiting() if spool is not None else []
    return sum(entry.items for entry in entries if spool is not None and entry.run == spool.run)
