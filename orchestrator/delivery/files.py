"""Requests -> a file of OTLP JSON lines, one request a line (specification, protocol/file-exporter.md)."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import BinaryIO

from orchestrator.delivery.transport import Request
from orchestrator.otlp.json_format import to_json

__all__ = ("JsonLines",)


class JsonLines:
    """Writes requests to ``path``, or to standard output for ``-``. Made readable by its owner only."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.requests = 0
        self._file: BinaryIO
        if path == "-":
            self._file = sys.stdout.buffer
        else:
            descriptor = os.open(Path(path), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
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
