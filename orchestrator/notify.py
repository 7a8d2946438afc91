"""Tells systemd (``Type=notify``), or whoever set NOTIFY_SOCKET, how far we are: sd_notify(3)."""

from __future__ import annotations

import contextlib
import os
import socket

__all__ = ("notify",)


def notify(state: str) -> None:
    """Send ``READY=1`` or ``STOPPING=1``; nothing happens where nobody listens."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path:
        return
    address = "\0" + path[1:] if path.startswith("@") else path
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.sendto(state.encode(), address)
