"""What root reads as a program or a config must not be anybody else's to write: it would decide what root does.

Trusted are root and whoever called sudo. The folders above count too, as who can write one can put another file there.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from orchestrator.errors import UsageError

__all__ = ("read_trusted",)

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def read_trusted(path: Path) -> str:
    """The text of a file; what was judged is what is read.

    Raises UsageError, with the mend, if we are root and others can write it; OSError and UnicodeDecodeError.
    """
    with open(path, encoding="utf-8") as file:
        status = os.fstat(file.fileno())
        if os.geteuid() == 0 and stat.S_ISREG(status.st_mode):  # a pipe is the caller's own
            _judge(path, status)
        return file.read()


def _judge(path: Path, status: os.stat_result) -> None:
    real = Path(os.path.realpath(path))
    if not os.path.samestat(status, os.stat(real)):
        raise UsageError(f"{path}: was replaced while it was read; try again")
    found = [(real, status), *((folder, os.stat(folder)) for folder in real.parents)]
    for place, why in _writable(found):
        mend = f"`chown root {place}; chmod go-w {place}`"
        raise UsageError(f"{path}: root runs nothing that others can write, and {why}: {mend}")


def _writable(found: list[tuple[Path, os.stat_result]]) -> Iterator[tuple[Path, str]]:
    """What others can write, and who they are. In a sticky folder (/tmp) they can not replace what is not theirs."""
    caller = os.environ.get("SUDO_UID", "")
    trusted = {0, int(caller) if caller.isdecimal() else 0}
    for place, status in found:
        if status.st_uid not in trusted:
            yield place, f"{place} belongs to uid {status.st_uid}"
        elif status.st_mode & _OTHERS_WRITE and not (stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX):
            whose = "anybody" if status.st_mode & stat.S_IWOTH else "its group"
            yield place, f"{place} can be written by {whose}"
