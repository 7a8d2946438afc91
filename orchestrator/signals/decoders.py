"""What a number or text of the kernel is called: tiny pure functions in one table, named by the manifests.

A decoder returns None where there is nothing to say; the attribute is then left out, or gets its default.
"""

from __future__ import annotations

import errno as errno_names
import signal as signal_names
from collections.abc import Callable
from typing import Any

from orchestrator.signals.model import AttributeValue
from orchestrator.signals.syscalls import syscall_name

__all__ = ("DECODERS", "INPUTS", "Decoder")

# Of two names for one number Python prefers the other one than include/uapi/asm-generic/errno.h.
_ERRNO = {**errno_names.errorcode, errno_names.EDEADLK: "EDEADLK", errno_names.EOPNOTSUPP: "EOPNOTSUPP"}

Decoder = Callable[[Any], "AttributeValue | None"]


def _errno(number: int) -> str | None:
    """``-2`` or ``2`` -> ENOENT."""
    return _ERRNO.get(abs(number), str(abs(number))) if number else None


def _signal(number: int) -> str | None:
    """``9`` -> SIGKILL; real-time signals by their distance from the first."""
    if number <= 0:
        return None
    try:
        return signal_names.Signals(number).name
    except ValueError:
        return f"SIGRTMIN+{number - signal_names.SIGRTMIN}" if number > signal_names.SIGRTMIN else str(number)


def _address(text: str) -> str | None:
    """``::ffff:127.0.0.1`` -> 127.0.0.1: an IPv4 address in an IPv6 socket is one all the same."""
    return text.removeprefix("::ffff:") if "." in text else text or None


def _address_family(text: str) -> str | None:
    return ("ipv4" if "." in text else "ipv6") if text else None


def _family(number: int) -> str | None:
    """``2`` (AF_INET) -> ipv4, ``10`` (AF_INET6) -> ipv6."""
    return {2: "ipv4", 10: "ipv6"}.get(number)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _c_string(data: bytes) -> str | None:
    return _text(data.partition(b"\0")[0]) or None


def _argv(data: bytes) -> list[str]:
    r"""``/bin/echo\\0one\\0`` -> [/bin/echo, one]; the last one may be cut."""
    return [_text(argument) for argument in data.removesuffix(b"\0").split(b"\0")] if data else []


def _basename(path: str) -> str | None:
    return path.rpartition("/")[2] or None


DECODERS: dict[str, Decoder] = {
    "address": _address,
    "address_family": _address_family,
    "argv": _argv,
    "basename": _basename,
    "c_string": _c_string,
    "errno": _errno,
    "family": _family,
    "length": len,
    "same": lambda value: value,
    "signal": _signal,
    "syscall": syscall_name,
}

# What a decoder takes, where that is not any value: a number, text, or the bytes of an event's part.
INPUTS: dict[str, str] = {
    "address": "string",
    "address_family": "string",
    "argv": "bytes",
    "basename": "string",
    "c_string": "bytes",
    "errno": "int",
    "family": "int",
    "signal": "int",
    "syscall": "int",
}
