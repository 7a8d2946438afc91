"""Requests that wait on disk for their receiver: one file each, in the order in which they are to be sent.

``<directory>/<destination>/<run>-<number>-<signal>-<items>.otlp`` holds the bytes of one request. A file is written
under another name, synced and renamed, so what has its name is whole, whatever ends the process. Many processes may
add; the one that holds the lock sends. A refused request becomes ``.refused``: it is kept, but not sent again unless
asked for. All of it is for its owner only.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import cast, get_args

from config.otlp import Signal
from orchestrator.delivery.transport import Request

__all__ = ("Entry", "Spool", "SpoolLimits", "private_folder", "read_entries", "write_file")

_WAITING, _REFUSED, _UNFINISHED = ".otlp", ".refused", ".unfinished"
_SIGNALS = get_args(Signal)
# What a crash has left of a file that was being written is no request; nobody writes one for so long.
_UNFINISHED_SECONDS = 60.0
# Others add to the same folder: its size is measured anew after so long.
_MEASURE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class SpoolLimits:
    """Of one destination: bytes on disk, and seconds for which a request is worth sending."""

    size: int
    age: float


@dataclass(frozen=True, slots=True, order=True)
class Entry:
    """One request on disk. Their order is that of sending: by run, then as made. ``changed``: in Unix seconds."""

    name: str
    folder: Path
    signal: Signal
    items: int
    size: int
    changed: float

    @classmethod
    def of(cls, found: os.DirEntry[str]) -> Entry | None:
        """The entry that a file is; None if it is none, or just gone."""
        stem, _, kind = found.name.rpartition(".")
        parts = stem.split("-")
        if f".{kind}" not in (_WAITING, _REFUSED) or len(parts) != 5 or parts[3] not in _SIGNALS:
            return None
        try:
            status, signal = found.stat(), cast("Signal", parts[3])
            return cls(found.name, Path(found.path).parent, signal, int(parts[4]), status.st_size, status.st_mtime)
        except (OSError, ValueError):
            return None

    @property
    def path(self) -> Path:
        """The file."""
        return self.folder / self.name

    @property
    def run(self) -> str:
        """The run that made it."""
        return "-".join(self.name.split("-")[:2])

    @property
    def is_refused(self) -> bool:
        """Whether a receiver did not take it."""
        return self.name.endswith(_REFUSED)

    def read(self) -> Request:
        """The request. Raises OSError, FileNotFoundError if it was dropped meanwhile."""
        return Request(self.signal, [self.path.read_bytes()], self.items)


class Spool:
    """The folder of one destination, as seen by one run. Its methods may be called from any thread.

    ``dropped`` is called with each entry that was given up, and why: ``spool full`` or ``too old``. The one whose name
    is ``held`` is being sent, and is not given up.
    """

    dropped: Callable[[Entry, str], None]
    held: str | None

    def __init__(self, folder: Path, run: str, limits: SpoolLimits) -> None:
        self.folder, self.run = folder, run
        self._limits = limits
        self.dropped, self.held = lambda _entry, _cause: None, None
        self._busy = threading.RLock()
        self._size, self._measured = 0, 0.0
        self._lock: int | None = None

    def add(self, request: Request, number: int, *, refused: bool = False) -> None:
        """Keep a request, the ``number``-th of this run. Raises OSError (disk full)."""
        name = f"{self.run}-{number:012d}-{request.signal}-{request.items}{_REFUSED if refused else _WAITING}"
        if request.size > self._limits.size:
            raise OSError(errno.EFBIG, "a request is larger than spool.max_mb")
        with self._busy:
            self._make_room(request.size)
            write_file(self.folder, name, request.pieces)
            self._size += request.size

    def entries(self) -> list[Entry]:
        """All that waits and all that was refused, in order of sending. None of it is older than the limit."""
        entries = read_entries(self.folder)
        oldest = time.time() - self._limits.age
        for entry in entries:
            if entry.changed < oldest:
                self._drop(entry, "too old")
        return [entry for entry in entries if entry.changed >= oldest]

    def waiting(self) -> list[Entry]:
        """What is to be sent, in order."""
        return [entry for entry in self.entries() if not entry.is_refused]

    def remove(self, entry: Entry) -> None:
        """Forget what was delivered."""
        with self._busy, contextlib.suppress(FileNotFoundError):
            entry.path.unlink()
            self._size -= entry.size

    def refuse(self, entry: Entry) -> None:
        """Keep what a receiver did not take, out of the way."""
        with contextlib.suppress(FileNotFoundError):
            entry.path.rename(entry.path.with_suffix(_REFUSED))

    def restore(self) -> None:
        """Let what was refused be sent again."""
        for entry in self.entries():
            if entry.is_refused:
                with contextlib.suppress(FileNotFoundError):
                    entry.path.rename(entry.path.with_suffix(_WAITING))

    def lock(self) -> bool:
        """Whether we are the one that sends, until ``close``. Raises OSError if there is no folder."""
        if self._lock is None:
            descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(descriptor)
                return False
            self._lock = descriptor
        return True

    def close(self) -> None:
        """Let others send."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _make_room(self, size: int) -> None:
        """Drop the oldest, the refused ones before all others, until there is room for so many bytes."""
        if time.monotonic() - self._measured > _MEASURE_SECONDS or self._size + size > self._limits.size:
            entries = sorted(self.entries(), key=lambda entry: (not entry.is_refused, entry.name))
            self._size, self._measured = sum(entry.size for entry in entries), time.monotonic()
            for entry in entries:
                if self._size + size <= self._limits.size:
                    break
                self._drop(entry, "spool full")

    def _drop(self, entry: Entry, cause: str) -> None:
        if entry.name == self.held:
            return
        with contextlib.suppress(FileNotFoundError):  # another process was faster, and counts it
            entry.path.unlink()
            self._size -= entry.size
            self.dropped(entry, cause)


def read_entries(folder: Path) -> list[Entry]:
    """All requests in a folder, in order of sending. What a crash has left unfinished is removed."""
    entries = []
    with contextlib.suppress(FileNotFoundError), os.scandir(folder) as found:
        for one in found:
            if one.name.endswith(_UNFINISHED):
                _remove_unfinished(one)
            elif (entry := Entry.of(one)) is not None:
                entries.append(entry)
    return sorted(entries)


def private_folder(path: Path) -> None:
    """Make a folder, and those above it that are missing, for its owner only. Raises OSError."""
    for folder in reversed([path, *path.parents]):
        if not folder.exists():
            folder.mkdir(mode=0o700, exist_ok=True)


def write_file(folder: Path, name: str, pieces: Iterable[bytes]) -> None:
    """All of it or nothing: a file that has its name is on disk. Raises OSError."""
    private_folder(folder)
    unfinished = folder / f"{name}.{os.getpid()}{_UNFINISHED}"
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.writelines(pieces)
            file.flush()
            os.fsync(file.fileno())
        unfinished.rename(folder / name)
    except OSError:
        with contextlib.suppress(OSError):
            unfinished.unlink()
        raise
    _sync(folder)


def _sync(folder: Path) -> None:
    """Make the name last too. The file is there whether this is possible or not."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _remove_unfinished(found: os.DirEntry[str]) -> None:
    with contextlib.suppress(OSError):
        if time.time() - found.stat().st_mtime > _UNFINISHED_SECONDS:
            os.unlink(found.path)
