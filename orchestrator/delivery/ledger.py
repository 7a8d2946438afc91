"""What a run took and what became of it, kept so that a run that was killed cannot hide what died with it.

Each run has a small file beside what it keeps for a destination: for each signal, how many items it has taken and for
how many it is known what became of them (delivered, kept, refused or counted as lost). The file is mapped into memory,
which outlives ``kill -9``, and locked while the run lives. A run that ends removes it; what one leaves behind is read
by whoever comes next, and the difference goes into the tally of losses.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import get_args

import msgspec

from config.otlp import Signal

__all__ = ("KILLED", "Ledger", "Losses", "add_losses", "read_losses", "reap")

KILLED = "killed"
_SUFFIX = ".ledger"
_SIGNALS: tuple[Signal, ...] = get_args(Signal)
# Taken and settled, for each signal.
_FORM = struct.Struct(f"<{2 * len(_SIGNALS)}Q")

# Items by cause and signal.
Losses = dict[str, dict[str, int]]


class Ledger:
    """The counts of one run at one destination. Raises OSError where its file cannot be made."""

    def __init__(self, folder: Path, run: str) -> None:
        self._path = folder / f"{run}{_SUFFIX}"
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        os.ftruncate(self._descriptor, _FORM.size)
        self._map = mmap.mmap(self._descriptor, _FORM.size)
        self._taken, self._settled = [0] * len(_SIGNALS), [0] * len(_SIGNALS)

    def take(self, signal: Signal, items: int) -> None:
        """Items were read that are to be delivered."""
        self._add(self._taken, signal, items)

    def settle(self, signal: Signal, items: int) -> None:
        """It is known what became of items."""
        self._add(self._settled, signal, items)

    def close(self) -> None:
        """The run has told all that there is to tell."""
        self._map.close()
        with contextlib.suppress(OSError):
            self._path.unlink()
        os.close(self._descriptor)

    def _add(self, counts: list[int], signal: Signal, items: int) -> None:
        counts[_SIGNALS.index(signal)] += items
        if self._map.closed:  # an attempt that ended after the run
            return
        _FORM.pack_into(self._map, 0, *self._taken, *self._settled)


def reap(folder: Path) -> Losses:
    """Add what killed runs have taken with them to the tally of this destination; returns what was found."""
    found: dict[str, int] = {}
    for path in sorted(folder.glob(f"*{_SUFFIX}")):
        for signal, items in _unsettled(path).items():
            found[signal] = found.get(signal, 0) + items
    losses = {KILLED: found} if found else {}
    if losses:
        add_losses(folder, losses)
    return losses


def add_losses(folder: Path, losses: Losses) -> None:
    """Add to the tally of a destination. Raises OSError."""
    with _locked(folder / "losses.lock"):
        known = read_losses(folder)
        for cause, signals in losses.items():
            row = known.setdefault(cause, {})
            for signal, items in signals.items():
                row[signal] = row.get(signal, 0) + items
        unfinished = folder / "losses.json.unfinished"
        unfinished.touch(0o600)
        unfinished.write_bytes(msgspec.json.encode(known) + b"\n")
        unfinished.rename(folder / "losses.json")


def read_losses(folder: Path) -> Losses:
    """The tally: everything that was ever lost on its way to this destination."""
    try:
        return msgspec.json.decode((folder / "losses.json").read_bytes(), type=Losses)
    except (FileNotFoundError, msgspec.MsgspecError):
        return {}


def _unsettled(path: Path) -> Mapping[str, int]:
    """What a run that lives no more left unsettled; nothing of one that lives. Its file is removed."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return {}
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not path.exists():  # another was faster
            return {}
        counts = _FORM.unpack(os.read(descriptor, _FORM.size).ljust(_FORM.size, b"\0"))
        path.unlink()
    except OSError:
        return {}
    finally:
        os.close(descriptor)
    taken, settled = counts[: len(_SIGNALS)], counts[len(_SIGNALS) :]
    left = {signal: one - other for signal, one, other in zip(_SIGNALS, taken, settled, strict=True)}
    return {signal: items for signal, items in left.items() if items > 0}


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
