"""What the first bytes of an HTTP/1 message say, for programs that print them: more pure functions for the decoders.

A value is the head of a message or its beginning, or what one field of it holds, in any way in which bpftrace prints
text or bytes. What is cut says what can be known. Nothing is said of what is not HTTP.
"""

from __future__ import annotations

import re
from typing import Any

from orchestrator.signals.buffers import to_buffer, to_text
from orchestrator.signals.traceparent import parse_traceparent

__all__ = (
    "METHODS",
    "OTHER_METHOD",
    "http_client_error",
    "http_method",
    "http_path",
    "http_query",
    "http_server_error",
    "http_status",
    "redacted_query",
    "traceparent",
)

# What http.request.method can be, RFC 9110, RFC 5789 and QUERY; any other method would make names without end.
METHODS = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"})
OTHER_METHOD = "_OTHER"
_METHODS = frozenset(method.encode() for method in METHODS)
_REDACTED = "REDACTED"  # semantic conventions, url.query

# GET /index.html?a=b HTTP/1.1
_REQUEST = re.compile(rb"(?:\r?\n)?([!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}) ([^\0-\x20\x7f]+)( HTTP/1\.[01])?")
# http://example.com/index.html, as it is sent to a proxy
_ABSOLUTE = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")
# HTTP/1.1 404 Not Found
_STATUS = re.compile(rb"HTTP/1\.[01] ([1-9]\d\d)(?:[ \r\n]|\Z)")
_TRACEPARENT = re.compile(rb"^traceparent:[ \t]*([^\r\n]*?)[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
_HEAD_END = re.compile(rb"\r?\n\r?\n")


def http_method(value: Any) -> str | None:
    """``GET /x HTTP/1.1`` or ``GET`` -> GET; BREW -> _OTHER, if HTTP stands behind it."""
    data = to_buffer(value)
    if data in _METHODS:
        return data.decode()
    request = _request(data)
    if request is None:
        return None
    return request[0].decode() if request[0] in _METHODS else OTHER_METHOD


def http_path(value: Any) -> str | None:
    """``GET http://host/a?b HTTP/1.1`` or ``/a?b`` -> /a."""
    target = _target(to_buffer(value))
    return to_text(re.split(rb"[?#]", target, maxsplit=1)[0] or b"/") if target is not None else None


def http_query(value: Any) -> str | None:
    """``GET /a?user=me&key=x HTTP/1.1`` -> user=REDACTED&key=REDACTED."""
    target = _target(to_buffer(value)) or b""
    return redacted_query(to_text(target.partition(b"#")[0].partition(b"?")[2])) or None


def redacted_query(query: str) -> str:
    """``query`` without its values: anything may be secret, also a word that stands alone."""
    return "&".join(_redacted(parameter) for parameter in query.split("&")) if query else ""


def _redacted(parameter: str) -> str:
    # A token alone may end in `=` or `==`, as base64 does: that is no name.
    name, _, value = parameter.partition("=")
    return f"{name}={_REDACTED}" if value.strip("=") else parameter and _REDACTED


def http_status(value: Any) -> int | None:
    """``HTTP/1.1 404 Not Found`` -> 404."""
    found = _STATUS.match(to_buffer(value))
    return int(found[1]) if found else None


def http_server_error(value: Any) -> str | None:
    """``HTTP/1.1 503 ...`` or 503 -> 503: what error.type is of a server's answer, which fails from 500 on."""
    return _error(value, 500)


def http_client_error(value: Any) -> str | None:
    """``HTTP/1.1 404 ...`` or 404 -> 404: what error.type is of an answer to a client, which fails from 400 on."""
    return _error(value, 400)


def _error(value: Any, least: int) -> str | None:
    status = value if isinstance(value, int) else http_status(value)
    return str(status) if status is not None and status >= least else None


def traceparent(value: Any) -> str | None:
    """The only header of this name in a request's head, or a value that is one, if it is valid."""
    data = to_buffer(value)
    head = _HEAD_END.split(data, maxsplit=1)[0]
    found = _TRACEPARENT.findall(head) or [data]
    text = to_text(found[0])
    return text if len(found) == 1 and parse_traceparent(text) else None


def _request(data: bytes) -> tuple[bytes, bytes] | None:
    """The method and target of a request's first line; a known method needs no version behind it."""
    found = _REQUEST.match(data)
    if found is None:
        return None
    method, target, version = found.groups()
    is_known = method in _METHODS and (method == b"CONNECT" or target[:1] in b"/*" or _ABSOLUTE.match(target))
    return (method, target) if is_known or version else None


def _target(data: bytes) -> bytes | None:
    """What was asked for, from its path on; None if that is a connection."""
    request = _request(data)
    if request is None:
        target = re.split(rb"[\0-\x20\x7f]", data, maxsplit=1)[0]
        return target if target.startswith(b"/") else None
    method, target = request
    return None if method == b"CONNECT" else _ABSOLUTE.sub(b"", target, count=1)
