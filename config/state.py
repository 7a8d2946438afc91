"""Where what must outlive a run is kept."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

__all__ = ("state_directory",)

_NAME = "bpftrace-orchestrator"


def state_directory(environ: Mapping[str, str], uid: int) -> Path:
    """The folder for our state; nothing is made.

    What systemd says (``STATE_DIRECTORY``, systemd.exec(5); the first, if there are several), /var/lib for root, and
    for others what the XDG Base Directory Specification says.
    """
    if given := environ.get("STATE_DIRECTORY", "").partition(":")[0]:
        return Path(given)
    if uid == 0:
        return Path("/var/lib") / _NAME
    home = environ.get("XDG_STATE_HOME", "")
    return (Path(home) if home.startswith("/") else Path(environ.get("HOME", "/")) / ".local/state") / _NAME
