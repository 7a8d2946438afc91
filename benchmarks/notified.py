"""When a run of ours has attached all probes: it says so as systemd wants it (sd_notify(3))."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Notified:
    """Start a run with this environment, then wait."""

    environment: Mapping[str, str]
    listening: socket.socket

    def wait(self, timeout: float) -> None:
        """Wait until all probes are attached. Raises TimeoutError."""
        self.listening.settimeout(timeout)
        assert self.listening.recv(100) == b"READY=1"


@contextmanager
def notified(path: Path) -> Iterator[Notified]:
    """Listen at a path, while the block lasts."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(path))
        yield Notified({**os.environ, "NOTIFY_SOCKET": str(path)}, listening)
