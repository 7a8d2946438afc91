"""Requests -> a file of OTLP JSON lines, one request a line (specification, protocol/file-exporter.md)."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import BinaryIO

from orchestrator.delivery.transport import Request
from orchestrator.otlp.json_format import to_json

__all__ = ("JsonLines", "new_file")

_SAME_SECOND = 100


class JsonLines:
    """Writes requests to ``path``, or to standard output for ``-``. Made readable by its owner only.

    ``fresh``: an existing file is not written over; FileExistsError is raised. ``again``: it is continued.
    """

    def __init__(self, path: str, *, fresh: bool = False, again: bool = False) -> None:
        self.path = path
        self.requests = 0
        self._file: BinaryIO
        if path == "-":
            self._file = sys.stdout.buffer
        else:
            how = os.O_EXCL if fresh else os.O_APPEND if again else os.O_TRUNC
            descriptor = os.open(Path(path), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | how, 0o600)
            self._file = os.fdopen(descriptor, "wb")

    def write(self, request: Request) -> None:
        """Append one line. Raises OSError (disk full, broken pipe)."""
        self._file.write(to_json(request.signal, request.body) + b"\n")
        self._file.flush()
        self.requests += 1

    def close(self) -> None:
        """Close the file; standard output stays open."""
        if self.path != "-":
            self._file.close()


def new_file(stem: str) -> JsonLines:
    """``STEM.jsonl``, or ``STEM-2.jsonl`` and so on where another run of the same second has it already."""
    for number in range(1, _SAME_SECOND):
        try:
            return JsonLines(f"{stem}.jsonl" if number == 1 else f"{stem}-{number}.jsonl", fresh=True)
        except FileExistsError:
            continue
    raise FileExistsError(17, "too many files of this second", stem)
