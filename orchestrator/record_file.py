"""The file of ``--record``: begun for each bpftrace that is tried, and gone on with by each that comes after."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, BinaryIO

from orchestrator.errors import UsageError

if TYPE_CHECKING:
    from orchestrator.catalog import Signal
    from orchestrator.limits import Limits
    from orchestrator.recording import Recorder
    from orchestrator.signals.model import AttributeValue

__all__ = ("RecordFile", "open_record")


class RecordFile:
    """A file, or none: then nothing is recorded."""

    def __init__(self, file: BinaryIO | None) -> None:
        self._file = file
        self._beginning = None if file is None else _place(file)
        self._about: tuple[Mapping[str, AttributeValue], tuple[int, ...] | None, str | None] = {}, None, None

    def describe(
        self, resource: Mapping[str, AttributeValue], version: tuple[int, ...] | None, kernel_build_id: str | None
    ) -> None:
        """Say what every recording is to say of its host: its Resource, bpftrace's version, the kernel's build id."""
        self._about = resource, version, kernel_build_id

    def begin(self, signals: Sequence[Signal], limits: Limits, *, again: bool) -> Recorder | None:
        """What records a bpftrace. ``again``: it takes the place of another, whose recording stays. Raises OSError."""
        if self._file is None:
            return None

        from orchestrator.recording import Header, Recorder  # noqa: PLC0415

        if self._beginning is not None and not again:
            self._file.seek(self._beginning)
            self._file.truncate()
        resource, version, build_id = self._about
        recorder = Recorder(self._file)
        recorder.begin(Header.of(signals, resource, limits, version, build_id), again=again or bool(self._beginning))
        return recorder


@contextlib.contextmanager
def open_record(path: str | None, *, again: bool) -> Iterator[RecordFile]:
    """``again``: this process has written to it before, and goes on. Raises UsageError."""
    if path is None:
        yield RecordFile(None)
        return
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | (0 if again else os.O_TRUNC), 0o600)
    except OSError as error:
        raise UsageError(f"--record {path}: {error.strerror}") from None
    with os.fdopen(descriptor, "wb", buffering=0) as file:
        with contextlib.suppress(OSError):  # a pipe has no end
            file.seek(0, os.SEEK_END)
        yield RecordFile(file)


def _place(file: BinaryIO) -> int | None:
    """Where the next byte would go; None for a pipe or device, which has no beginning."""
    try:
        place = file.seek(0, os.SEEK_CUR)
        file.truncate()
    except OSError:
        return None
    return place
