"""Two runs of the same job at one time: the second one waits, is skipped, or runs beside the first.

Whoever runs holds a lock (flock(2)) on a file of the job in the state directory. The kernel frees it when the process
ends, however that happens.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

from config.settings import Overlap
from config.state import state_directory
from orchestrator.delivery.spool import private_folder
from orchestrator.errors import HostError, OverlapError
from orchestrator.options import Options
from orchestrator.terminal import Terminal

__all__ = ("guard", "job_of")

_FOLDER = "jobs"


def job_of(options: Options, config: str | None) -> str:
    """What tells a job from all others: its programs, its config file and its parameters, in 32 hexadecimal digits."""
    job = {
        "programs": sorted([signal.name, str(signal.path.resolve())] for signal in options.signals),
        "config": str(Path(config).resolve()) if config else None,
        "parameters": options.values,
    }
    return hashlib.sha256(json.dumps(job, sort_keys=True).encode()).hexdigest()[:32]


@contextlib.contextmanager
def guard(overlap: Overlap, job: str) -> Iterator[None]:
    """Hold the job's lock; not for ``run``, which takes none and is seen by nobody.

    Raises OverlapError where the run is to be skipped, or is told to end while it waits; HostError where there can be
    no lock.
    """
    path = state_directory(os.environ, os.geteuid()) / _FOLDER / f"{job}.lock"
    with _held(path, overlap):
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                path.unlink()  # while it is held: whoever waits for it looks whether it is still there


@contextlib.contextmanager
def _held(path: Path, overlap: Overlap) -> Iterator[None]:
    try:
        private_folder(path.parent)
        descriptor = _lock(path, overlap)
    except OSError as error:
        raise HostError(
            f"--on-overlap {overlap}: {path} cannot be locked: {error.strerror}; set STATE_DIRECTORY to another folder"
        ) from None
    try:
        yield
    finally:
        os.close(descriptor)


def _lock(path: Path, overlap: Overlap) -> int:
    """A descriptor of the file that stands there, locked."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            _wait_for(descriptor, overlap)
            if _is_there(descriptor, path):
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _wait_for(descriptor: int, overlap: Overlap) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(descriptor, 20, 0).decode(errors="replace").strip() or "unknown"
        if overlap == "skip":
            raise OverlapError(f"skipped: this job runs already (pid {holder})") from None
        try:
            Terminal().say(f"orchestrate: this job runs already (pid {holder}): waiting for its end")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except KeyboardInterrupt:
            raise OverlapError(f"stopped while it waited for the end of pid {holder}: nothing was traced") from None


def _is_there(descriptor: int, path: Path) -> bool:
    """Whether the file has not been taken away since it was opened."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path, follow_symlinks=False))
    except FileNotFoundError:
        return False
