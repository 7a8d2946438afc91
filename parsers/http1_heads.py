r"""The head of an HTTP/1 message -> what it says: its first line, and how its body ends (RFC 9112).

Strict about the first line, because a tracer sees bytes that are not HTTP at all, and lenient about the rest: lines end
with ``\r\n`` or ``\n``, and header lines that mean nothing here may be anything. Text that is no UTF-8 is kept as
``surrogateescape`` does it.
"""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = (
    "HEAD_END",
    "KNOWN_METHODS",
    "AnswerHead",
    "RequestHead",
    "may_begin_answer",
    "may_begin_request",
    "read_answer",
    "read_request",
)

HEAD_END = re.compile(rb"\n\r?\n")
# RFC 9110, RFC 5789 (PATCH), the QUERY method, WebDAV, and PURGE, which caches know.
_METHODS = b"CONNECT DELETE GET HEAD OPTIONS PATCH POST PUT QUERY TRACE PURGE"
_WEBDAV_METHODS = b"ACL COPY LOCK MKCALENDAR MKCOL MOVE PROPFIND PROPPATCH REPORT SEARCH UNLOCK"
KNOWN_METHODS = frozenset((_METHODS + b" " + _WEBDAV_METHODS).decode().split())


class RequestHead(NamedTuple):
    """``GET /a?b HTTP/1.1`` and the headers of it that were captured whole.

    ``version`` is "1.0" or "1.1", "" if the line was cut before it. ``headers`` has the first value of each of host,
    user-agent, content-type and content-length, by lower-case name; ``traceparent`` has all values.
    ``size`` in bytes is None if the head was ``cut``. ``length`` of the body is None if it is not known.
    """

    method: str
    target: str
    version: str
    headers: dict[str, str]
    traceparent: tuple[str, ...]
    size: int | None
    length: int | None
    chunked: bool

    @property
    def cut(self) -> bool:
        """Whether bytes of the head were not captured."""
        return self.size is None


class AnswerHead(NamedTuple):
    """``HTTP/1.1 200 OK``; ``size``, ``length`` and ``chunked`` are those of a request."""

    status: int
    size: int | None
    length: int | None
    chunked: bool

    @property
    def cut(self) -> bool:
        """Whether bytes of the head were not captured."""
        return self.size is None


# Any method of upper-case letters, not only the registered ones: with a version behind it the line is HTTP's.
# A target is a path, "*", a URI or host:port (RFC 9112, 3.2).
_REQUEST = re.compile(rb"([A-Z][A-Z-]{2,19}) ((?:/|\*(?= )|[^\0-\x20\x7f/:]+:)[^\0-\x20\x7f]*) HTTP/1\.([01])\r?\n")
_ANSWER = re.compile(rb"HTTP/1\.[01] ([1-9]\d\d)(?: [^\0-\x08\n-\x1f\x7f]*)?\r?\n")
# A line that is longer than what was captured: no version tells that it is HTTP's, so the method and target must.
_CUT_REQUEST = re.compile(
    rb"(GET|HEAD|POST|PUT|DELETE|OPTIONS|PATCH) ((?:/|https?://)[^\0-\x20\x7f]*)(?: [HTP/1.]*[01]?\r?)?\Z"
)
_CUT_REQUEST_AT_LEAST = 128  # bytes; a shorter one was cut by a NUL, which no line has
# Names that look like those below, which a dict tells apart faster than a pattern with all of them.
_REQUEST_FIELD = re.compile(rb"\n([HhUuTtCc][A-Za-z-]{3,16}):([^\r\n]*)(?=\r?\n)")
_ANSWER_FIELD = re.compile(rb"\n([TtCc][A-Za-z-]{13,16}):([^\r\n]*)(?=\r?\n)")
_KEPT = {name.encode(): name for name in ("host", "user-agent", "content-type", "content-length")}
_LENGTH = re.compile(rb"[0-9]{1,18}")


# What matches the first parts and ends somewhere in them, the whole text included.
def _begun(*parts: str) -> re.Pattern[bytes]:
    pattern = ""
    for part in reversed(parts):
        pattern = f"(?:{part}{pattern})?"
    return re.compile((pattern + r"\Z").encode("latin-1"))


_BEGUN_REQUEST = _begun("[A-Z]", "[A-Z-]{0,19}", " ", r"[^\0-\x20\x7f]+", " ", *"HTTP/1", r"\.", "[01]", r"\r")
_BEGUN_ANSWER = _begun(*"HTTP/1", r"\.", "[01]", " ", "[1-9]", r"\d", r"\d", r"(?: [^\0-\x08\n-\x1f\x7f]*)?", r"\r")


def may_begin_request(data: bytes) -> bool:
    """Whether more bytes can make a request's head of ``data``."""
    return bool(_REQUEST.match(data) if b"\n" in data else _BEGUN_REQUEST.match(data))


def may_begin_answer(data: bytes) -> bool:
    """Whether more bytes can make an answer's head of ``data``."""
    return bool(_ANSWER.match(data) if b"\n" in data else _BEGUN_ANSWER.match(data))


def read_request(data: bytes, size: int | None) -> RequestHead | None:
    """Read the head in the first ``size`` bytes of ``data``, all of them if it is cut (None); None if it is none."""
    line = _REQUEST.match(data)
    if not line:
        return _read_cut_request(data) if size is None else None
    method, target, minor = line.groups()
    fields = _read_fields(_REQUEST_FIELD, data, line.end(), size)
    # With neither header there is no body (RFC 9112, 6.3), but a head that is cut may have had one.
    length, chunked = _read_framing(fields, None if size is None else 0)
    return RequestHead(
        method.decode(),
        target.decode("utf-8", "surrogateescape"),
        "1.1" if minor == b"1" else "1.0",
        {name: fields[key][0].decode("utf-8", "surrogateescape") for key, name in _KEPT.items() if key in fields},
        tuple([value.decode("utf-8", "surrogateescape") for value in fields.get(b"traceparent", ())]),
        size,
        length,
        chunked,
    )


def _read_cut_request(data: bytes) -> RequestHead | None:
    line = _CUT_REQUEST.match(data) if len(data) >= _CUT_REQUEST_AT_LEAST else None
    if not line:
        return None
    return RequestHead(line[1].decode(), line[2].decode("utf-8", "surrogateescape"), "", {}, (), None, None, False)


def read_answer(data: bytes, size: int | None) -> AnswerHead | None:
    """Read the head in the first ``size`` bytes of ``data``, all of them if it is cut (None); None if it is none."""
    line = _ANSWER.match(data)
    if not line:
        return None
    length, chunked = _read_framing(_read_fields(_ANSWER_FIELD, data, line.end(), size), None)
    return AnswerHead(int(line[1]), size, length, chunked)


# All values of each header, by lower-case name.
def _read_fields(pattern: re.Pattern[bytes], data: bytes, start: int, size: int | None) -> dict[bytes, list[bytes]]:
    fields: dict[bytes, list[bytes]] = {}
    for name, value in pattern.findall(data, start - 1, len(data) if size is None else size):
        fields.setdefault(name.lower(), []).append(value.strip(b" \t"))
    return fields


# The length of the body, None if it is not known, and whether it comes in chunks. A transfer coding overrides the
# length, and two lengths that differ are none (RFC 9112, 6.3).
def _read_framing(fields: dict[bytes, list[bytes]], default: int | None) -> tuple[int | None, bool]:
    codings = fields.get(b"transfer-encoding")
    if codings:
        return None, codings[-1].lower().rpartition(b",")[2].strip() == b"chunked"
    lengths = fields.get(b"content-length")
    if not lengths:
        return default, False
    values = {value.strip() for value in b",".join(lengths).split(b",")}
    value = values.pop()
    return (int(value) if not values and _LENGTH.fullmatch(value) else None), False
