"""What a run took and what became of it, kept so that a run that was killed cannot hide what died with it.

Each run has a small file beside what it keeps for a destination: for each signal, how many items it has taken and for
how many it is known what became of them (delivered, kept, refused or counted as lost), and the request that is just
being sent or brought onto disk. The file is mapped into memory, which outlives ``kill -9``, and locked while the run
lives. A run that ends removes it; what one leaves behind is read by whoever comes next, and the difference goes into
the tally of losses.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import get_args

import msgspec

from config.otlp import Signal
from orchestrator.delivery.spool import write_file

__all__ = ("KILLED", "UNANSWERED", "Ledger", "Losses", "add_losses", "merged", "read_losses", "reap")

# What a killed run had in memory; of that, what it was just sending: the receiver may have it.
KILLED, UNANSWERED = "killed", "unanswered"
_SUFFIX = ".ledger"
_SIGNALS: tuple[Signal, ...] = get_args(Signal)
_COUNT = len(_SIGNALS)
# For each signal what was taken, then what is settled; of the request that is being sent, then of the one that is being
# kept, its number (0: none), the place of its signal, and its items.
_FORM = struct.Struct(f"<{2 * _COUNT + 6}Q")
_SETTLED, _SENDING, _KEEPING = _COUNT, 2 * _COUNT, 2 * _COUNT + 3

# Items by cause and signal.
Losses = dict[str, dict[str, int]]


class Ledger:
    """The counts of one run at one destination. Raises OSError where its file cannot be made."""

    def __init__(self, folder: Path, run: str) -> None:
        self._path = folder / f"{run}{_SUFFIX}"
        self._descriptor = _make(self._path)
        try:  # a file with holes would end us by SIGBUS where the disk is full
            os.posix_fallocate(self._descriptor, 0, _FORM.size)
        except OSError:
            os.close(self._descriptor)
            self._path.unlink()
            raise
        self._map = mmap.mmap(self._descriptor, _FORM.size)
        self._values = [0] * (2 * _COUNT + 6)

    def take(self, signal: Signal, items: int) -> None:
        """Items were read that are to be delivered."""
        self._values[_SIGNALS.index(signal)] += items
        self._write()

    def settle(self, signal: Signal, items: int) -> None:
        """It is known what became of items."""
        self._values[_SETTLED + _SIGNALS.index(signal)] += items
        self._write()

    def sending(self, number: int, signal: Signal, items: int) -> None:
        """This request is being sent; 0: none is any more."""
        self._mark(_SENDING, number, signal, items)

    def keeping(self, number: int, signal: Signal, items: int) -> None:
        """This request is being brought onto disk; 0: none is any more."""
        self._mark(_KEEPING, number, signal, items)

    def close(self) -> None:
        """The run has told all that there is to tell."""
        self._map.close()
        with contextlib.suppress(OSError):
            self._path.unlink()
        os.close(self._descriptor)

    def _mark(self, place: int, number: int, signal: Signal, items: int) -> None:
        self._values[place : place + 3] = number, _SIGNALS.index(signal), items
        self._write()

    def _write(self) -> None:
        if not self._map.closed:  # an attempt may end after the run
            _FORM.pack_into(self._map, 0, *self._values)


def _make(path: Path) -> int:
    """A locked file; anew if somebody took it for a dead run's before it was locked."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return descriptor
        os.close(descriptor)


def reap(folder: Path) -> Losses:
    """Add what killed runs have taken with them to the tally of this destination; returns what was found."""
    losses: Losses = {}
    for path in sorted(folder.glob(f"*{_SUFFIX}")):
        losses = merged(losses, _settle_dead(path))
    return losses


def merged(one: Losses, other: Losses) -> Losses:
    """The sums of both."""
    found: Losses = {}
    for losses in (one, other):
        for cause, signals in losses.items():
            row = found.setdefault(cause, {})
            for signal, items in signals.items():
                row[signal] = row.get(signal, 0) + items
    return found


def add_losses(folder: Path, losses: Losses) -> None:
    """Add to the tally of a destination. Raises OSError."""
    with _locked(folder / "losses.lock"):
        write_file(folder, "losses.json", [msgspec.json.encode(merged(read_losses(folder), losses)), b"\n"])


def read_losses(folder: Path) -> Losses:
    """The tally: everything that was ever lost on its way to this destination."""
    try:
        return msgspec.json.decode((folder / "losses.json").read_bytes(), type=Losses)
    except (FileNotFoundError, msgspec.MsgspecError):
        return {}


def _settle_dead(path: Path) -> Losses:
    """Tally what a run that lives no more left unsettled, and remove its file; nothing of one that lives.

    Whoever is killed in between leaves a loss that is counted again: better than one that is not counted.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return {}
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not path.exists():  # another was faster
            return {}
        values = _FORM.unpack(os.read(descriptor, _FORM.size).ljust(_FORM.size, b"\0"))
        if losses := _left(path, values):
            add_losses(path.parent, losses)
        path.unlink()
    except OSError:
        return {}
    finally:
        os.close(descriptor)
    return losses


def _left(path: Path, values: Sequence[int]) -> Losses:
    left = [taken - settled for taken, settled in zip(values[:_COUNT], values[_SETTLED:_SENDING], strict=True)]
    number, signal, items = values[_KEEPING : _KEEPING + 3]
    files = path.parent.glob(f"{path.stem}-{number:012d}-*") if number and signal < _COUNT else ()
    if any(file.suffix != ".unfinished" for file in files):
        left[signal] -= items
    unanswered = [0] * _COUNT
    number, signal, items = values[_SENDING:_KEEPING]
    if number and signal < _COUNT:
        unanswered[signal] = min(items, left[signal])
        left[signal] -= unanswered[signal]
    return {cause: row for cause, row in ((KILLED, _named(left)), (UNANSWERED, _named(unanswered))) if row}


def _named(counts: Sequence[int]) -> dict[str, int]:
    return {signal: items for signal, items in zip(_SIGNALS, counts, strict=True) if items > 0}


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
