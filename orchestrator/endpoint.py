"""Whether something listens where the data is to go: a TCP connection, and nothing sent."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

from orchestrator.checks import Check

__all__ = ("endpoint_check",)

_PORTS = {"http": 80, "https": 443, "": 4317}


def _address(url: str) -> tuple[str, int] | None:
    """Host and port of ``http://collector:4318/v1/traces`` or ``collector:4317``."""
    try:
        parts = urlsplit(url if "://" in url else f"//{url}")
        port = parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return None
    return (parts.hostname, port) if parts.hostname and port else None


def endpoint_check(url: str, timeout: float = 3.0) -> Check:
    """Connect to the endpoint, and say what to look at if that fails; what the URL holds in secrets is not shown."""
    address = _address(url)
    if address is None:
        return Check("endpoint", "fail", "the URL has no host or no valid port", "give http://HOST:4318 or HOST:4317")
    name = f"{address[0]}:{address[1]}"
    try:
        socket.create_connection(address, timeout).close()
    except socket.gaierror:
        return Check("endpoint", "fail", f"{address[0]} has no address", "check the name, and DNS on this host")
    except TimeoutError:
        mend = "check firewalls and routes between here and there"
        return Check("endpoint", "fail", f"{name} gave no answer in {timeout:g} s", mend)
    except OSError as error:
        mend = "start the Collector, or correct the port (4317 gRPC, 4318 HTTP)"
        return Check("endpoint", "fail", f"{name} cannot be reached: {error.strerror or error}", mend)
    return Check("endpoint", "ok", f"{name} accepts connections", "")
