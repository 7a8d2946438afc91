"""Segments as http.bt prints them -> spans, through the whole pipeline and the built-in manifest."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest

from config.parameters import Assignment, resolve_parameters
from orchestrator.catalog import Signal, load_signal
from orchestrator.limits import Limits
from orchestrator.pipeline import Pipeline
from orchestrator.signals.clock import Moment
from orchestrator.signals.model import Span
from parsers.records import Value
from tests.orchestrator.collecting import Collected, histograms, numbers

LIMITS = Limits(string=200, map_keys=16384, pages=64)
OFFSET = 1_700_000_000_000_000_000
SECOND = 1_000_000_000
TRACE = "0af7651916cd43dd8448eb211c80319c"
REQUEST = (
    f"GET /a/b?user=me&key=x HTTP/1.1\r\nHost: example.com:8080\r\ntraceparent: 00-{TRACE}-b7ad6b7169203331-01\r\n\r\n"
)
ANSWER = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
SERVER, CLIENT = 1, 2


def http(**settings: str) -> Signal:
    signal = load_signal("http")
    given = [Assignment(name, text, "--set") for name, text in settings.items()]
    return signal.resolved(resolve_parameters({"http": signal.manifest}, given)["http"])


class Wire:
    """Prints what the kernel's program would print of one connection; times are in milliseconds."""

    def __init__(self, signal: Signal | None = None) -> None:
        self.sink = Collected()
        self.pipeline = Pipeline([signal or http()], LIMITS, self.sink)
        self._numbers = count(0x7000)

    def connection(self, role: int, pid: int = 42) -> Line:
        return Line(self, role, pid, next(self._numbers))

    def feed(self, *data: Any, time: int) -> None:
        self.pipeline.feed([Value(list(data))], Moment(OFFSET + time, OFFSET))

    def close(self) -> list[Span]:
        self.feed("orchestrator", "end", 100 * SECOND, time=100 * SECOND)
        self.pipeline.close()
        return [span for _, span in self.sink.spans]


class Line:
    def __init__(self, wire: Wire, role: int, pid: int, number: int) -> None:
        self._wire, self._role, self._pid, self._number = wire, role, pid, number
        self._positions, self._last = [0, 0], 0

    def move(self, milliseconds: float, out: int, text: str, *, size: int | None = None, untold: int = 0) -> Line:
        """One system call of a tenth of a millisecond that ends then.

        ``untold``: how many bytes went the other way before it, of which it is told only now that they did.
        """
        returned = round(milliseconds * 1e6)
        size = len(text) if size is None else size
        for offset in range(0, len(text), 190):
            piece = text[offset : offset + 196]
            self._wire.feed("http_bytes", returned, self._pid, offset, piece, time=returned)
        if untold:
            self._positions[1 - out] += untold
            self._tell(returned, 1 - out, 0, 0)
        self._tell(returned, out, size, len(text))
        self._positions[out] += size
        self._last = returned
        return self

    def _tell(self, returned: int, out: int, size: int, captured: int) -> None:
        addresses = ("::ffff:10.0.0.1", "::ffff:10.0.0.2")
        self._wire.feed(
            *("http_data", returned, self._pid, 7, self._number, out, self._role, 8080, 40000, *addresses),
            *(self._positions[out], size, captured, self._last, returned - 100_000, "nginx"),
            time=returned,
        )

    def end(self, milliseconds: float) -> Line:
        time = round(milliseconds * 1e6)
        received, sent = self._positions
        self._wire.feed("http_end", time, self._pid, self._number, self._last, received, sent, time=time)
        return self


def test_a_server_span() -> None:
    wire = Wire()
    wire.connection(SERVER).move(1000, 0, REQUEST).move(1150, 1, ANSWER)
    (span,) = wire.close()
    assert (span.name, span.kind) == ("GET", "server")
    assert (span.start_unix_nano, span.end_unix_nano) == (OFFSET + SECOND, OFFSET + 1_150_000_000)
    assert span.context.trace_id.hex() == TRACE
    assert span.parent is not None
    assert span.parent.span_id.hex() == "b7ad6b7169203331"
    assert span.attributes == {
        "process.pid": 42,
        "thread.id": 7,
        "thread.name": "nginx",
        "network.local.address": "10.0.0.1",
        "network.local.port": 8080,
        "network.peer.address": "10.0.0.2",
        "network.peer.port": 40000,
        "network.type": "ipv4",
        "network.protocol.version": "1.1",
        "client.address": "10.0.0.2",
        "server.address": "example.com",
        "server.port": 8080,
        "http.request.method": "GET",
        "url.scheme": "http",
        "url.path": "/a/b",
        "url.query": "user=REDACTED&key=REDACTED",
        "http.response.status_code": 200,
        "http.request.size": len(REQUEST),
        "http.response.size": len(ANSWER),
        "http.request.body.size": 0,
        "http.response.body.size": 5,
    }


def test_a_client_span_lasts_from_the_call_that_sends_to_the_one_that_reads() -> None:
    wire = Wire()
    wire.connection(CLIENT).move(1000, 1, "POST /x?q=1 HTTP/1.1\r\nHost: api:9\r\nContent-Length: 0\r\n\r\n").move(
        1020, 0, ANSWER.replace("200 OK", "404 Not Found")
    )
    (span,) = wire.close()
    assert (span.name, span.kind) == ("POST", "client")
    assert (span.start_unix_nano, span.end_unix_nano) == (OFFSET + SECOND - 100_000, OFFSET + 1_020_000_000)
    assert span.attributes["url.full"] == "http://api:9/x?q=REDACTED"
    assert (span.attributes["server.address"], span.attributes["server.port"]) == ("api", 9)
    assert span.attributes["error.type"] == "404"
    assert span.parent is None


@pytest.mark.parametrize(
    ("role", "status", "error"),
    [(SERVER, 404, None), (SERVER, 500, "500"), (CLIENT, 302, None), (CLIENT, 404, "404"), (CLIENT, 503, "503")],
)
def test_whose_failure_an_answer_is(role: int, status: int, error: str | None) -> None:
    wire = Wire()
    asking = int(role == CLIENT)
    answer = f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n"
    wire.connection(role).move(1, asking, "GET / HTTP/1.1\r\n\r\n").move(2, 1 - asking, answer)
    (span,) = wire.close()
    assert span.attributes["http.response.status_code"] == status
    assert span.attributes.get("error.type") == error


@pytest.mark.parametrize(
    ("query", "expected"), [("none", None), ("names", "user=REDACTED&key=REDACTED"), ("full", "user=me&key=x")]
)
def test_what_is_kept_of_the_query(query: str, expected: str | None) -> None:
    wire = Wire(http(query=query))
    wire.connection(SERVER).move(1, 0, REQUEST).move(2, 1, ANSWER)
    (span,) = wire.close()
    assert span.attributes.get("url.query") == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("GET http://u:p@proxied/x?a=b HTTP/1.1", "http://REDACTED:REDACTED@proxied/x?a=REDACTED"),
        ("GET / HTTP/1.0", "http://10.0.0.2:40000/"),
        ("OPTIONS * HTTP/1.1", "http://10.0.0.2:40000"),
    ],
)
def test_the_url_of_a_client(line: str, expected: str) -> None:
    wire = Wire()
    wire.connection(CLIENT).move(1, 1, f"{line}\r\n\r\n").move(2, 0, ANSWER)
    (span,) = wire.close()
    assert span.attributes["url.full"] == expected


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (r"/a\x41%20b", r"/a\x41%20b"),
        ("/a/../b#f?x", "/a/../b"),
        ("http://proxied", "/"),
        ("http://proxied?a=b", "/"),
        ("*", None),
    ],
)
def test_the_path_is_as_it_was_sent(target: str, path: str | None) -> None:
    wire = Wire()
    wire.connection(SERVER).move(1, 0, f"GET {target} HTTP/1.1\r\n\r\n").move(2, 1, ANSWER)
    (span,) = wire.close()
    assert span.attributes.get("url.path") == path


def test_methods_without_a_convention() -> None:
    wire = Wire()
    wire.connection(SERVER).move(1, 0, "PROPFIND /x HTTP/1.1\r\n\r\n").move(2, 1, ANSWER)
    (span,) = wire.close()
    assert span.name == "HTTP"
    assert span.attributes["http.request.method"] == "_OTHER"
    assert span.attributes["http.request.method_original"] == "PROPFIND"


def test_a_request_without_an_answer() -> None:
    wire = Wire()
    wire.connection(SERVER).move(1, 0, "GET / HTTP/1.1\r\n\r\n").end(5)
    (span,) = wire.close()
    assert span.attributes["error.type"] == "no_response"
    assert "http.response.status_code" not in span.attributes
    assert span.end_unix_nano == OFFSET + 5_000_000


def test_segments_of_two_cpus_that_are_read_in_the_wrong_order() -> None:
    wire = Wire()
    answering = Line(wire, SERVER, 42, 1)
    answering._last = 1_000_000
    answering.move(2, 1, ANSWER)
    asking = Line(wire, SERVER, 42, 1).move(1, 0, "GET / HTTP/1.1\r\n\r\n")
    asking._positions, asking._last = [18, len(ANSWER)], 2_000_000
    asking.end(3)
    (span,) = wire.close()
    assert span.attributes["http.response.status_code"] == 200


def test_a_connection_whose_end_was_lost_has_no_answers_of_the_next_one() -> None:
    wire = Wire()
    Line(wire, SERVER, 42, 1).move(1, 0, "GET /first HTTP/1.1\r\n\r\n")
    Line(wire, SERVER, 42, 1).move(2, 0, "GET /second HTTP/1.1\r\n\r\n").move(3, 1, ANSWER).end(4)
    answered = [span.attributes["url.path"] for span in wire.close() if "http.response.status_code" in span.attributes]
    assert answered == ["/second"]


def test_what_was_not_told_is_told_at_the_time_of_what_ends_it() -> None:
    """Both events have the time and the process of the call, and the bytes between them are of the second one."""
    wire = Wire()
    line = wire.connection(CLIENT).move(1, 1, "GET /large HTTP/1.1\r\n\r\n")
    line.move(2, 0, "HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n")
    line.move(5, 1, "GET /next HTTP/1.1\r\n\r\n", untold=9000).move(6, 0, ANSWER)
    found = {span.attributes["url.path"]: span.attributes["http.response.body.size"] for span in wire.close()}
    assert found == {"/large": 9000, "/next": 5}


def test_filters_leave_the_metrics_whole() -> None:
    wire = Wire(http(status=">=400", min_duration="50ms"))
    for index, status in enumerate((200, 500, 404, 500)):
        answer = f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n"
        start = 1000 * (index + 1)
        lasts = 10 if status == 404 else 100
        wire.connection(SERVER).move(start, 0, "GET / HTTP/1.1\r\n\r\n").move(start + lasts, 1, answer)
    spans = wire.close()
    assert [span.attributes["http.response.status_code"] for span in spans] == [500, 500]
    metrics = wire.sink.snapshots[-1]["bpftrace-orchestrator/http"]
    counts = {
        attributes["http.response.status_code"]: (attributes["server.port"], value)
        for attributes, value in numbers(metrics["ebpf.http.server.requests"])
    }
    assert counts == {200: (8080, 1), 500: (8080, 2), 404: (8080, 1)}
    points = histograms(metrics["http.server.request.duration"])
    assert sum(sum(point.counts) for point in points) == 4
    assert points[0].bounds == (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)


def test_segments_are_no_log_records() -> None:
    wire = Wire()
    wire.connection(SERVER).move(1, 0, REQUEST).move(2, 1, ANSWER).end(3)
    wire.close()
    assert wire.sink.logs == []
    assert wire.pipeline.counts["http"].received == 3
