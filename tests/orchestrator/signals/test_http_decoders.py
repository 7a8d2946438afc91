from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.signals.decoders import DECODERS
from orchestrator.signals.http_decoders import redacted_query

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
REQUEST = f"GET /a/b?user=me&key=x HTTP/1.1\r\nHost: h\r\ntraceparent: {TRACEPARENT}\r\n\r\nbody"
HTTP = [name for name in DECODERS if name.startswith("http_") or name == "traceparent"]


def printed(text: str) -> list[Any]:
    """The ways in which bpftrace prints a buffer, and text."""
    data = text.encode("utf-8", "surrogateescape")
    escaped = "".join(chr(byte) if 0x20 <= byte < 0x7F else f"\\x{byte:02x}" for byte in data)
    return [text, data, escaped, data.hex(" "), [byte - 256 if byte > 127 else byte for byte in data]]


@pytest.mark.parametrize("value", printed(REQUEST))
def test_a_request_in_any_print(value: Any) -> None:
    assert DECODERS["http_method"](value) == "GET"
    assert DECODERS["http_path"](value) == "/a/b"
    assert DECODERS["http_query"](value) == "user=REDACTED&key=REDACTED"
    assert DECODERS["traceparent"](value) == TRACEPARENT
    assert DECODERS["http_status"](value) is None


@pytest.mark.parametrize("value", printed("HTTP/1.1 503 Service Unavailable\r\nServer: x\r\n\r\n"))
def test_an_answer_in_any_print(value: Any) -> None:
    assert DECODERS["http_status"](value) == 503
    assert DECODERS["http_server_error"](value) == "503"
    assert DECODERS["http_client_error"](value) == "503"
    assert [DECODERS[name](value) for name in ("http_method", "http_path", "http_query", "traceparent")] == [None] * 4


@pytest.mark.parametrize(
    ("text", "method", "path", "query"),
    [
        ("POST /submit HTTP/1.0\r\n", "POST", "/submit", None),
        ("\r\nPUT / HTTP/1.1\r\n", "PUT", "/", None),
        ("GET http://example.com/x?y=z HTTP/1.1", "GET", "/x", "y=REDACTED"),
        ("GET http://example.com HTTP/1.1", "GET", "/", None),
        ("GET http://example.com?a=b HTTP/1.1", "GET", "/", "a=REDACTED"),
        ("CONNECT example.com:443 HTTP/1.1", "CONNECT", None, None),
        ("OPTIONS * HTTP/1.1", "OPTIONS", "*", None),
        ("QUERY /s HTTP/1.1", "QUERY", "/s", None),
        ("BREW /pot HTTP/1.1", "_OTHER", "/pot", None),
        ("get /lower HTTP/1.1", "_OTHER", "/lower", None),
        ("GET /cut/of", "GET", "/cut/of", None),
        ("GET /x?a=1&b", "GET", "/x", "a=REDACTED&REDACTED"),
        ("GET /x? HTTP/1.1", "GET", "/x", None),
        ("GET /x#part?no HTTP/1.1", "GET", "/x", None),
        ("GET /a/../b?c=/d?e HTTP/1.1", "GET", "/a/../b", "c=REDACTED"),
        ("GET /caf\u00e9/\udcff HTTP/1.1", "GET", "/caf\u00e9/\udcff", None),
        ("GET", "GET", None, None),
        ("/path?a=b", None, "/path", "a=REDACTED"),
        ("/path with a blank", None, "/path", None),
        ("BREW /pot", None, None, None),
        ("BREW", None, None, None),
        ("GET ", None, None, None),
        ("GE", None, None, None),
        ("GET relative HTTP/1.1", "GET", "relative", None),
        ("GET relative", None, None, None),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", None, None, None),
        ("SSH-2.0-OpenSSH_9.2\r\n", None, None, None),
        ("\x16\x03\x01\x02", None, None, None),
        ("", None, None, None),
        ("the GET /x HTTP/1.1", None, None, None),
    ],
)
def test_first_lines(text: str, method: str | None, path: str | None, query: str | None) -> None:
    found = tuple(DECODERS[name](text) for name in ("http_method", "http_path", "http_query"))
    assert found == (method, path, query)


@pytest.mark.parametrize(
    ("value", "status", "server", "client"),
    [
        ("HTTP/1.1 200 OK\r\n", 200, None, None),
        ("HTTP/1.0 404 Not Found", 404, None, "404"),
        ("HTTP/1.1 399 ", 399, None, None),
        ("HTTP/1.1 400\r\n", 400, None, "400"),
        ("HTTP/1.1 499", 499, None, "499"),
        ("HTTP/1.1 500 Oh\r\n", 500, "500", "500"),
        ("HTTP/1.1 40", None, None, None),
        ("HTTP/1.1 4044 x", None, None, None),
        ("HTTP/1.1 099 x", None, None, None),
        ("HTTP/2 200", None, None, None),
        ("x HTTP/1.1 200 OK", None, None, None),
        (404, None, None, "404"),
        (503, None, "503", "503"),
        (200, None, None, None),
        (None, None, None, None),
    ],
)
def test_status_lines(value: Any, status: int | None, server: str | None, client: str | None) -> None:
    found = tuple(DECODERS[name](value) for name in ("http_status", "http_server_error", "http_client_error"))
    assert found == (status, server, client)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (TRACEPARENT, True),
        (f"GET / HTTP/1.1\r\nTraceParent:\t{TRACEPARENT} \r\nA: b\r\n\r\n", True),
        (f"GET / HTTP/1.1\ntraceparent:{TRACEPARENT}\n\n", True),
        (f"GET / HTTP/1.1\r\ntraceparent: {TRACEPARENT}", True),
        (f"GET / HTTP/1.1\r\ntraceparent: {TRACEPARENT[:-1]}", False),
        (f"GET / HTTP/1.1\r\ntraceparent: {TRACEPARENT}\r\ntraceparent: {TRACEPARENT}\r\n\r\n", False),
        (f"GET / HTTP/1.1\r\ntraceparent: {TRACEPARENT}, {TRACEPARENT}\r\n\r\n", False),
        (f"GET / HTTP/1.1\r\nx-traceparent: {TRACEPARENT}\r\n\r\n", False),
        (f"GET / HTTP/1.1\r\ntraceparent2: {TRACEPARENT}\r\n\r\n", False),
        (f"POST / HTTP/1.1\r\nA: b\r\n\r\ntraceparent: {TRACEPARENT}\r\n", False),
        (f"GET / HTTP/1.1\r\ntraceparent: {TRACEPARENT.upper()}\r\n\r\n", False),
        ("GET / HTTP/1.1\r\ntraceparent:\r\n\r\n", False),
        ("", False),
    ],
)
def test_traceparents(text: str, found: bool) -> None:
    assert DECODERS["traceparent"](text) == (TRACEPARENT if found else None)


@pytest.mark.parametrize(
    ("query", "redacted"),
    [
        ("", ""),
        ("a=1", "a=REDACTED"),
        ("a=1&b=2", "a=REDACTED&b=REDACTED"),
        ("a=1=2", "a=REDACTED"),
        ("a=", "REDACTED"),
        ("c2VjcmV0IQ==", "REDACTED"),
        ("secret", "REDACTED"),
        ("a=1&&b", "a=REDACTED&&REDACTED"),
        ("=x", "=REDACTED"),
    ],
)
def test_queries_lose_their_values(query: str, redacted: str) -> None:
    assert redacted_query(query) == redacted


@pytest.mark.parametrize("name", HTTP)
@given(value=st.one_of(st.text(), st.binary(), st.integers(), st.none(), st.lists(st.integers()), st.floats()))
def test_any_value_is_decoded_or_not(name: str, value: Any) -> None:
    DECODERS[name](value)
