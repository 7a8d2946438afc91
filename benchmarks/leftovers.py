"""What a command may leave on a host: processes, files, BPF programs."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ("Leftovers", "look")

# bpf(2): the system call's number, and the command that gives the id after one.
_BPF = {"x86_64": 321, "aarch64": 280}
_PROG_GET_NEXT_ID = 11
_ATTRIBUTES = 128


@dataclass(frozen=True, slots=True)
class Leftovers:
    """What is there: ids of BPF programs, pids that have our mark in their environment, names in folders."""

    programs: frozenset[int]
    processes: frozenset[int]
    files: frozenset[str]


def look(mark: str, *folders: Path) -> Leftovers:
    """See what is there now; of /tmp only what stands in it, of other ``folders`` all that is below."""
    here = {str(path) for folder in folders for path in folder.rglob("*")}
    return Leftovers(
        frozenset(_programs()),
        frozenset(_marked(mark)),
        frozenset(here | {str(path) for path in Path("/tmp").iterdir()}),
    )


def _programs() -> Iterator[int]:
    """All that are loaded. Raises OSError, but for the end of the list."""
    libc = ctypes.CDLL(None, use_errno=True)
    number = 0
    while True:
        attributes = ctypes.create_string_buffer(struct.pack("=II", number, 0), _ATTRIBUTES)
        if libc.syscall(_BPF[platform.machine()], _PROG_GET_NEXT_ID, attributes, _ATTRIBUTES) != 0:
            error = ctypes.get_errno()
            if error == 2:  # ENOENT: there is none after it
                return
            raise OSError(error, os.strerror(error))
        number = struct.unpack_from("=II", attributes.raw)[1]
        yield number


def _marked(mark: str) -> Iterator[int]:
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):  # it has just ended
                if mark.encode() in (folder / "environ").read_bytes():
                    yield int(folder.name)
