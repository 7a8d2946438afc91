"""What a number or text of the kernel is called: tiny pure functions in one table, named by the manifests.

A decoder returns None where there is nothing to say; the attribute is then left out, or gets its default.
"""

from __future__ import annotations

import errno as errno_names
import signal as signal_names
from collections.abc import Callable
from typing import Any

from orchestrator.signals import http_decoders
from orchestrator.signals.buffers import to_buffer, to_text
from orchestrator.signals.model import AttributeValue
from orchestrator.signals.syscalls import syscall_name

__all__ = ("DECODERS", "INPUTS", "UNFAILING", "Decoder")

# Of two names for one number Python prefers the other one than include/uapi/asm-generic/errno.h.
_ERRNO = {**errno_names.errorcode, errno_names.EDEADLK: "EDEADLK", errno_names.EOPNOTSUPP: "EOPNOTSUPP"}

_MAX_ERRNO = 4095  # include/linux/err.h
# AF_INET and AF_INET6 -> where the address stands.
_ADDRESSES = {2: slice(4, 8), 10: slice(8, 24)}
_MAPPED = bytes(10) + b"\xff\xff"  # ::ffff:127.0.0.1, an IPv4 address in an IPv6 socket

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


def _errno_error(code: int) -> str | None:
    """``-2``, as a system call returns it -> ENOENT; 0 and more is no error, and neither is an address."""
    return _errno(code) if -_MAX_ERRNO <= code < 0 else None


def _socket_address(value: Any) -> tuple[bytes, int] | None:
    """The address and port of a struct sockaddr_in or sockaddr_in6, of either byte order.

    Its family is in the host's order, the rest in the network's (include/uapi/linux/in.h, in6.h).
    """
    data = to_buffer(value)
    for family, place in _ADDRESSES.items():
        if data[:2] in (family.to_bytes(2, "little"), family.to_bytes(2, "big")) and len(data) >= place.stop:
            return data[place], int.from_bytes(data[2:4], "big")
    return None


def _sockaddr(value: Any) -> str | None:
    found = _socket_address(value)
    if found is None:
        return None
    import ipaddress  # noqa: PLC0415 - built-in signals do without

    return str(ipaddress.ip_address(found[0].removeprefix(_MAPPED)))


def _sockaddr_port(value: Any) -> int | None:
    found = _socket_address(value)
    return found[1] or None if found else None


def _c_string(data: bytes) -> str | None:
    return to_text(data.partition(b"\0")[0]) or None


def _argv(data: bytes) -> list[str]:
    r"""``/bin/echo\\0one\\0`` -> [/bin/echo, one]; the last one may be cut."""
    return [to_text(argument) for argument in data.removesuffix(b"\0").split(b"\0")] if data else []


def _basename(path: str) -> str | None:
    return path.rpartition("/")[2] or None


DECODERS: dict[str, Decoder] = {
    "address": _address,
    "address_family": _address_family,
    "argv": _argv,
    "basename": _basename,
    "c_string": _c_string,
    "errno": _errno,
    "errno_error": _errno_error,
    "family": _family,
    "http_client_error": http_decoders.http_client_error,
    "http_method": http_decoders.http_method,
    "http_path": http_decoders.http_path,
    "http_query": http_decoders.http_query,
    "http_server_error": http_decoders.http_server_error,
    "http_status": http_decoders.http_status,
    "length": len,
    "same": lambda value: value,
    "signal": _signal,
    "sockaddr": _sockaddr,
    "sockaddr_port": _sockaddr_port,
    "syscall": syscall_name,
    "traceparent": http_decoders.traceparent,
}

_TEXT = ("string", "bytes", "any")

# Those that make something, or nothing, of each value that they take.
UNFAILING = {"address", "address_family", "basename", "errno", "errno_error", "family", "same", "signal", "syscall"}

# What a decoder takes, where that is not any value: a number, text, or the bytes of an event's part.
INPUTS: dict[str, tuple[str, ...]] = {
    "address": ("string",),
    "address_family": ("string",),
    "argv": ("bytes",),
    "basename": ("string",),
    "c_string": ("bytes",),
    "errno": ("int",),
    "errno_error": ("int",),
    "family": ("int",),
    "http_client_error": (*_TEXT, "int"),
    "http_method": _TEXT,
    "http_path": _TEXT,
    "http_query": _TEXT,
    "http_server_error": (*_TEXT, "int"),
    "http_status": _TEXT,
    "signal": ("int",),
    "sockaddr": _TEXT,
    "sockaddr_port": _TEXT,
    "syscall": ("int",),
    "traceparent": _TEXT,
}
