"""What waits for one receiver: in memory as long as all goes well, on disk when it does not; always in order."""

from __future__ import annotations

import errno
import threading
from collections import deque
from dataclasses import dataclass

from orchestrator.delivery.ledger import Ledger
from orchestrator.delivery.spool import Entry, Spool
from orchestrator.delivery.transport import Request

__all__ = ("Backlog", "Item")

# Of requests in memory: what a receiver that hangs holds up in the ten seconds of an attempt, at 1.5 MB/s.
_LIMIT = 16 << 20


@dataclass(frozen=True, slots=True)
class Item:
    """The next request; ``number`` is its place among those of this run, None for one of another run."""

    request: Request
    number: int | None
    entry: Entry | None = None


class Backlog:
    """Numbers requests and gives them out in order. Its methods may be called from any thread.

    Those of earlier runs come first. What is on disk is only sent by the one process that has the spool's lock; until
    ours is sent, what came after it waits. Without a ``spool`` all is in memory. ``ledger`` is told of what is brought
    onto disk. ``everyones``: it is empty when nobody's requests wait.
    """

    def __init__(
        self, spool: Spool | None, ledger: Ledger | None, *, limit: int = _LIMIT, everyones: bool = False
    ) -> None:
        self.spool = spool
        self._ledger, self._limit, self._everyones = ledger, limit, everyones
        self._on_disk = 0
        self._memory: deque[tuple[int, Request]] = deque()
        self._disk: deque[Entry] = deque()
        # Those that were sent, or refused, and cannot be removed: the disk is read-only now.
        self._settled_on_disk: set[str] = set()
        self._may_have_more = spool is not None
        self._number = self._size = 0
        self._busy = threading.RLock()
        # Of those that bring something onto disk; taken after ``_busy``, if that is held too.
        self._writing, self._persisting = threading.Lock(), threading.Lock()

    @property
    def size(self) -> int:
        """Bytes in memory."""
        return self._size

    @property
    def requests(self) -> int:
        """Requests in memory."""
        return len(self._memory)

    @property
    def is_behind(self) -> bool:
        """Whether so much waits, in memory and of this run on disk, that whoever can wait should."""
        return self._size > self._limit // 2 or self._on_disk > self._limit

    def add(self, request: Request) -> bool:
        """Take a request, onto disk where memory is full; whether that was possible."""
        with self._busy:
            self._number += 1
            if self._size + request.size <= self._limit:
                self._memory.append((self._number, request))
                self._size += request.size
                return True
            return self._keep(self._number, request) is None

    def first(self) -> Item | None:
        """The next one to be sent; None if there is none, or if another process is sending ours."""
        with self._busy:
            while (entry := self._first_on_disk()) is not None:
                if self._memory and entry.run == self._run and self._memory[0][0] < _number(entry):
                    break
                try:
                    self._hold(entry)
                    return Item(entry.read(), _number(entry) if entry.run == self._run else None, entry)
                except FileNotFoundError:  # dropped, to make room
                    self._disk.popleft()
            if self._is_behind() or not self._memory:
                return None
            number, request = self._memory[0]
            return Item(request, number)

    def done(self, item: Item) -> None:
        """Forget what was delivered. Raises OSError if it stays on disk; it is not given out again."""
        self._leave(item, refused=False)

    def refused(self, item: Item) -> bool:
        """Keep apart what the receiver did not take; whether it could be kept. Raises OSError as ``done`` does."""
        return self._leave(item, refused=True)

    def again(self) -> None:
        """What was given out last is to be sent again; until then it can be dropped as all else can."""
        self._hold(None)

    def persist(self) -> OSError | None:
        """Bring onto disk what is in memory, as far as that is possible; returns what went wrong.

        Nobody who adds a request waits for that.
        """
        with self._persisting:
            while (first := self._first_in_memory()) is not None:
                if (error := self._keep(*first)) is not None:
                    return error
                with self._busy:
                    self._forget(first[0])
                    self._disk.clear()  # this one may come before what was found there
        return None

    def left(self) -> list[Request]:
        """Take what is in memory out of it."""
        with self._busy:
            left = [request for _, request in self._memory]
            self._memory.clear()
            self._size = 0
            return left

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits here; unless it is everyone's, others' requests do not count."""
        with self._busy:
            return not self._memory and not self._has_on_disk()

    @property
    def _run(self) -> str:
        return self.spool.run if self.spool is not None else ""

    def _keep(self, number: int, request: Request, *, refused: bool = False) -> OSError | None:
        if self.spool is None:
            return OSError(errno.ENOENT, "there is no spool")
        with self._writing:
            if self._ledger is not None:
                self._ledger.keeping(number, request.signal, request.items)
            try:
                self.spool.add(request, number, refused=refused)
            except OSError as error:
                self._settled(request, 0)
                return error
            self._settled(request, request.items)
            if not refused:
                self._may_have_more = True
                self._on_disk += request.size
        return None

    def _settled(self, request: Request, items: int) -> None:
        if self._ledger is not None:
            self._ledger.settle(request.signal, items)
            self._ledger.keeping(0, request.signal, 0)

    def _first_on_disk(self) -> Entry | None:
        if self.spool is None or not self._may_have_more or not self._has_lock():
            return None
        if not self._disk:
            self._disk.extend(self._waiting())
        if not self._disk:
            self._may_have_more = False
            self.spool.close()  # others' requests are not looked for again: whoever has some is to send them
            return None
        return self._disk[0]

    def _has_lock(self) -> bool:
        try:
            return self.spool is not None and self.spool.lock()
        except OSError:  # no folder yet
            return False

    def _is_behind(self) -> bool:
        """Whether requests of ours are on disk that come before those in memory, and that another process sends."""
        return self._may_have_more and not self._has_lock() and self._has_on_disk()

    def _has_on_disk(self) -> bool:
        if self.spool is None or not self._may_have_more:
            return False
        return any(self._everyones or entry.run == self._run for entry in self._waiting())

    def _waiting(self) -> list[Entry]:
        """What is on disk now: others may have sent or dropped what we have kept."""
        found = self.spool.waiting() if self.spool is not None else []
        entries = [entry for entry in found if entry.name not in self._settled_on_disk]
        self._on_disk = sum(entry.size for entry in entries if entry.run == self._run)
        return entries

    def _hold(self, entry: Entry | None) -> None:
        if self.spool is not None:
            self.spool.held = entry.name if entry is not None else None

    def _leave(self, item: Item, *, refused: bool) -> bool:
        with self._busy:
            if item.entry is None:
                self._forget(item.number)
                return not refused or self._keep(item.number or 0, item.request, refused=True) is None
            if self._disk and self._disk[0] == item.entry:
                self._disk.popleft()
            if item.number is not None:
                self._on_disk -= item.entry.size
            self._hold(None)
            if self.spool is not None:
                self._settled_on_disk.add(item.entry.name)
                (self.spool.refuse if refused else self.spool.remove)(item.entry)
                self._settled_on_disk.discard(item.entry.name)
            return True

    def _first_in_memory(self) -> tuple[int, Request] | None:
        with self._busy:
            return self._memory[0] if self._memory else None

    def _forget(self, number: int | None) -> None:
        """Take the first out of memory, if it is that one: at the end it may have been kept meanwhile."""
        if self._memory and self._memory[0][0] == number:
            _, request = self._memory.popleft()
            self._size -= request.size


def _number(entry: Entry) -> int:
    return int(entry.name.split("-")[2])
