"""HTTP exchanges out of what a tracer delivers, which here is made as the kernel makes it: see ``Wire``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parsers.http1 import Connection, Counters, Exchange, Segment

CAPTURED = 1024  # bytes of a run in one direction
GET = b"GET /a?b=1 HTTP/1.1\r\nHost: example.org\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass
class Wire:
    """A connection between system calls and tracer: a call takes 5 ns and begins 5 ns after the one before it.

    Segments that begin a run or hold captured bytes are delivered, others are not.
    """

    server: bool = True
    captured: int = CAPTURED
    now: int = 0
    last: int = 0
    positions: dict[bool, int] = field(default_factory=lambda: {False: 0, True: 0})
    run: bool | None = None
    budget: int = 0
    segments: list[Segment] = field(default_factory=list)

    def call(self, outgoing: bool, data: bytes) -> Wire:
        fresh, self.run = self.run is not outgoing, outgoing
        self.budget = self.captured if fresh else self.budget
        captured = data[: self.budget].split(b"\0")[0]
        self.budget -= min(len(data), self.budget)
        self.now += 10
        if fresh or captured:
            entered = self.now - 5
            segment = Segment(outgoing, self.positions[outgoing], len(data), captured, entered, self.now, self.last)
            self.segments.append(segment)
        self.positions[outgoing] += len(data)
        self.last = self.now
        return self

    def ask(self, *pieces: bytes) -> Wire:
        for piece in pieces:
            self.call(not self.server, piece)
        return self

    def answer(self, *pieces: bytes) -> Wire:
        for piece in pieces:
            self.call(self.server, piece)
        return self

    def news(self, outgoing: bool) -> Wire:
        self.segments.append(Segment(outgoing, self.positions[outgoing], 0, b"", 0, 0, self.last))
        return self

    def feed(self, connection: Connection | None = None) -> list[Exchange]:
        connection = connection or Connection()
        fed = [exchange for segment in self.segments for exchange in connection.feed(segment, segment.position)]
        self.segments.clear()
        return fed

    def end(self, connection: Connection) -> list[Exchange]:
        return connection.end(self.now + 100, self.last, self.positions[False], self.positions[True])

    def whole(self, connection: Connection | None = None) -> list[Exchange]:
        connection = connection or Connection()
        return self.feed(connection) + self.end(connection)


def line(exchange: Exchange) -> tuple[str, str, int | None]:
    return exchange.method, exchange.target, exchange.status


def lines(exchanges: Iterable[Exchange]) -> list[tuple[str, str, int | None]]:
    return [line(exchange) for exchange in exchanges]


def sizes(exchange: Exchange) -> tuple[int | None, ...]:
    return (
        exchange.request_size,
        exchange.request_body_size,
        exchange.response_size,
        exchange.response_body_size,
    )


def answer(body: bytes, status: int = 200, headers: bytes = b"") -> bytes:
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n%b\r\n%b" % (status, len(body), headers, body)


def pieces(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[start:end] for start, end in pairwise(places)]


def pieces_behind_head(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    head, blank, body = data.partition(b"\r\n\r\n")
    first, *others = pieces(b"-" + body, cuts)
    return [head + blank + first[1:], *others]


def singly(data: bytes) -> list[bytes]:
    return [bytes([byte]) for byte in data]


def test_server_measures_from_the_read_to_the_write() -> None:
    request = (
        b"POST /p?q HTTP/1.1\r\nHOST:  example.org \r\nUser-Agent: curl/8\r\nContent-Type: text/plain\r\n"
        b"Traceparent: 00-a\r\nCookie: secret\r\ntraceparent: 00-b\r\nContent-Length: 3\r\n\r\nabc"
    )
    connection = Connection()
    assert [connection.feed(segment, "in") for segment in Wire().ask(request).segments] == [[]]
    (exchange,) = connection.feed(Segment(True, 0, len(OK), OK, 30, 40, 10), "out")
    headers = {"host": "example.org", "user-agent": "curl/8", "content-type": "text/plain", "content-length": "3"}
    assert exchange == Exchange(
        server=True,
        method="POST",
        target="/p?q",
        version="1.1",
        request_headers=headers,
        traceparent=("00-a", "00-b"),
        truncated=False,
        status=200,
        start=10,
        end=40,
        complete=True,
        aborted=False,
        request_size=len(request),
        response_size=len(OK),
        request_body_size=3,
        response_body_size=2,
        context="in",
        answer_context="out",
    )


def test_client_measures_from_the_write_to_the_last_read() -> None:
    (exchange,) = Wire(server=False).ask(GET).answer(OK[:20], OK[20:]).feed()
    assert (exchange.server, exchange.start, exchange.end) == (False, 5, 30)


@pytest.mark.parametrize("server", [True, False])
@pytest.mark.parametrize(
    ("request_", "answer_", "expected"),
    [
        (GET, OK, (0, 2)),
        (GET.replace(b"\r\n", b"\n"), OK.replace(b"\r\n", b"\n"), (0, 2)),
        (b"\r\n" + GET, OK, (0, 2)),
        (b"HEAD / HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", (0, 0)),
        (GET, b"HTTP/1.1 304\r\nContent-Length: 99\r\n\r\n", (0, 0)),
        (GET, b"HTTP/1.1 204 No Content\r\n\r\n", (0, 0)),
        (GET, b"HTTP/1.1 999 \r\nContent-Length: 2, 2\r\n\r\nab", (0, 2)),
        (
            b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\ntransfer-encoding: Chunked\r\n\r\n"
            b"3;x=y\r\nabc\r\n00a\r\n0123456789\r\n0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"2 \r\nok\r\n0\r\nTrailer: 1\r\nOther: 2\r\n\r\n",
            (13, 2),
        ),
        (b"M-SEARCH * HTTP/1.0\r\n\r\n", answer(b""), (0, 0)),
    ],
)
def test_message_ends_where_its_head_says(
    request_: bytes, answer_: bytes, expected: tuple[int, ...], server: bool
) -> None:
    for asked, answered in (([request_], [answer_]), (singly(request_), singly(answer_))):
        wire = Wire(server).ask(*asked).answer(*answered)
        (exchange,) = wire.feed()
        assert (exchange.request_body_size, exchange.response_body_size) == expected
        assert (exchange.request_size, exchange.response_size) == (len(request_.lstrip()), len(answer_))
        assert (exchange.end, exchange.complete, exchange.truncated) == (wire.now, True, False)


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.0 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
    ],
)
def test_answer_without_a_length_lasts_until_the_connection_ends(head: bytes) -> None:
    connection = Connection()
    wire = Wire().ask(GET).answer(head + b"abc", b"def\n" * 1000, b"x" * 50)
    assert wire.feed(connection) == []
    (exchange,) = wire.end(connection)
    assert (exchange.end, exchange.complete, exchange.response_body_size) == (wire.now, True, 4053)


def test_interim_answers_do_not_end_an_exchange() -> None:
    request = b"PUT / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
    wire = Wire().ask(request).answer(b"HTTP/1.1 100 Continue\r\n\r\n").ask(b"hello")
    (exchange,) = wire.answer(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + answer(b"", 201)).feed()
    assert (exchange.status, exchange.request_size, exchange.response_size) == (201, len(request) + 5, 37)


@pytest.mark.parametrize(
    ("request_", "answer_", "status"),
    [
        (b"GET /ws HTTP/1.1\r\nUpgrade: websocket\r\n\r\n", b"HTTP/1.1 101 Switching Protocols\r\n\r\n", 101),
        (b"CONNECT a:443 HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 Connection established\r\n\r\n", 200),
    ],
)
def test_nothing_is_http_after_a_switch_of_protocols(request_: bytes, answer_: bytes, status: int) -> None:
    connection = Connection()
    wire = Wire().ask(request_).answer(answer_ + OK)
    (exchange,) = wire.feed(connection)
    assert (exchange.status, exchange.end, exchange.complete, exchange.response_body_size) == (status, 20, True, 0)
    assert wire.ask(GET).answer(OK).whole(connection) == []


def test_refused_connect_is_an_exchange_like_others() -> None:
    refused = Wire().ask(b"CONNECT a:443 HTTP/1.1\r\n\r\n").answer(answer(b"no", 407)).ask(GET).answer(OK)
    assert lines(refused.feed()) == [("CONNECT", "a:443", 407), ("GET", "/a?b=1", 200)]


@pytest.mark.parametrize("server", [True, False])
def test_pipelined_answers_pair_first_in_first_out(server: bool) -> None:
    requests = [
        b"%b /%d HTTP/1.1\r\n\r\n" % (method, number) for number, method in enumerate((b"GET", b"HEAD", b"PUT"))
    ]
    expected = [("GET", "/0", 200), ("HEAD", "/1", 201), ("PUT", "/2", 202)]
    head = b"HTTP/1.1 201 X\r\nContent-Length: 77\r\n\r\n"
    answers = [answer(b"abc"), head, answer(b"", 202)]
    assert lines(Wire(server).ask(b"".join(requests)).answer(b"".join(answers)).feed()) == expected
    assert lines(Wire(server).ask(*requests).answer(*answers).feed()) == expected
    asked = b"".join(requests)
    split = Wire(server).ask(asked[:25]).answer(answers[0]).ask(asked[25:]).answer(answers[1][:9])
    split.answer(answers[1][9:] + answers[2])
    assert lines(split.feed()) == expected


def test_pipelined_requests_beyond_what_is_captured_shift_no_pair() -> None:
    counters = Counters()
    connection = Connection(counters)
    wire = Wire()
    for batch in range(2):
        requests = [b"GET /%d/%02d HTTP/1.1\r\n\r\n" % (batch, number) for number in range(16)]
        answers = [answer(b"x" * 250, 200 + number) for number in range(16)]
        wire.ask(b"".join(requests)).answer(b"".join(answers))
    seen = wire.whole(connection)
    assert [exchange.target for exchange in seen] == [
        f"/{batch}/{number:02}" for batch in (0, 1) for number in range(4)
    ]
    assert all(exchange.status == 200 + int(exchange.target[3:]) for exchange in seen)
    assert counters.unseen == 24


@pytest.mark.parametrize("server", [True, False])
def test_large_answer_is_complete_when_news_says_so(server: bool) -> None:
    connection = Connection()
    wire = Wire(server).ask(GET).answer(answer(b"x" * 100_000)[:5000])
    wire.answer(*[b"x" * 5000] * 18)
    assert wire.news(server).feed(connection) == []
    wire.answer(answer(b"x" * 100_000)[95_000:])
    last = wire.now
    wire.now += 1000
    (exchange,) = wire.news(server).feed(connection)
    assert (exchange.end, exchange.complete, exchange.response_body_size) == (last, True, 100_000)


@pytest.mark.parametrize("server", [True, False])
@pytest.mark.parametrize("framing", [b"Content-Length: 50003", b"Transfer-Encoding: chunked"])
def test_large_answer_is_complete_when_the_next_request_comes(framing: bytes, server: bool) -> None:
    connection = Connection()
    wire = Wire(server).ask(GET).answer(b"HTTP/1.1 200 OK\r\n%b\r\n\r\nabc" % framing, *[b"x" * 10_000] * 5)
    last = wire.now
    (exchange,) = wire.ask(b"GET /next HTTP/1.1\r\n\r\n").feed(connection)
    assert (exchange.target, exchange.end, exchange.complete) == ("/a?b=1", last, True)
    assert lines(wire.answer(OK).whole(connection)) == [("GET", "/next", 200)]
    assert connection.counters == Counters()


def test_request_behind_a_large_answer_ends_none_that_still_passes() -> None:
    connection = Connection()
    wire = Wire().ask(GET).answer(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n", b"x" * 10)
    assert wire.ask(b"GET /next HTTP/1.1\r\n\r\n").feed(connection) == []
    exchanges = wire.answer(b"x" * 40 + OK).feed(connection)
    assert lines(exchanges) == [("GET", "/a?b=1", 200), ("GET", "/next", 200)]
    assert [exchange.end for exchange in exchanges] == [wire.now, wire.now]


def test_large_answer_of_pipelined_requests_ends_where_its_length_says() -> None:
    connection = Connection()
    wire = Wire(server=False).ask(GET, b"GET /2 HTTP/1.1\r\n\r\n")
    wire.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 30000\r\n\r\n", *[b"x" * 10_000] * 2)
    assert wire.ask(b"GET /3 HTTP/1.1\r\n\r\n").feed(connection) == []
    exchanges = wire.answer(b"x" * 10_000 + answer(b"", 202)).answer(answer(b"", 203)).feed(connection)
    assert lines(exchanges) == [("GET", "/a?b=1", 200)], "the second answer's head was not captured"
    assert exchanges[0].end == wire.now - 10
    assert wire.end(connection) == []
    assert connection.counters.unseen == 2


@pytest.mark.parametrize(
    ("body", "aborted"),
    [
        ([b"x" * 5000, b"x" * 5000], False),
        ([b"x" * 5000, b"x" * 4999], True),
        ([b"x" * 100], True),
    ],
)
def test_answer_is_complete_at_the_end_of_the_connection_if_all_of_it_passed(body: list[bytes], aborted: bool) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n"
    wire = Wire().ask(GET).answer(head, *body)
    passed = wire.now
    (exchange,) = wire.whole()
    assert (exchange.status, exchange.complete, exchange.aborted) == (200, not aborted, aborted)
    # One that is cut off lasts until the connection closes, and is as large as what has passed of it.
    assert exchange.end > passed if aborted else exchange.end == passed
    assert exchange.response_body_size == sum(map(len, body))
    assert exchange.response_size == len(head) + sum(map(len, body))


def test_chunked_answer_that_the_connection_ends_is_not_complete() -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    (exchange,) = Wire().ask(GET).answer(head + b"5\r\nab").whole()
    assert (exchange.complete, exchange.aborted) == (False, True)
    assert (exchange.response_size, exchange.response_body_size) == (len(head) + 5, 2)


def test_a_request_is_unanswered_if_the_connection_closed_and_given_up_if_it_did_not() -> None:
    (closed,) = Wire().ask(GET).whole()
    assert (closed.status, closed.aborted) == (None, True)
    connection = Connection()
    for segment in Wire().ask(GET).segments:
        connection.feed(segment)
    (left,) = connection.flush()
    assert (left.status, left.aborted) == (None, False)


@pytest.mark.parametrize("tail", [[b"yyyyy\r\n0\r\n\r\n"], [b"yyyyy\r\n", b"0\r\n\r\n"]])
def test_last_chunk_behind_bytes_that_were_not_captured_ends_an_answer(tail: list[bytes]) -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    wire = Wire().ask(GET).answer(head, b"3\r\na\0b\r\n5\r\n", *tail)
    (exchange,) = wire.feed()
    assert (exchange.end, exchange.complete) == (wire.now, True)
    assert exchange.response_size == wire.positions[True]


def test_nul_in_a_chunk_hides_nothing_but_itself() -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    wire = Wire().ask(GET).answer(head + b"ff\r\nabc\0" + b"d" * 200, b"d" * 51 + b"\r\n0\r\n", b"\r\n" + answer(b""))
    (exchange,) = wire.ask(GET).feed()
    assert exchange.response_body_size == 255


@pytest.mark.parametrize("framing", [b"Content-Length: 20000", b"Transfer-Encoding: chunked"])
def test_large_request_passes_before_or_after_its_answer(framing: bytes) -> None:
    head, body = b"POST / HTTP/1.1\r\n%b\r\n\r\n" % framing, [b"x" * 10_000, b"x" * 10_000]
    for wire in (
        Wire().ask(head, *body).answer(OK).ask(GET).answer(answer(b"", 201)),
        Wire().ask(head).answer(OK).ask(*body, GET).ask(GET).answer(answer(b"", 201)),
        Wire().ask(head, body[0]).answer(OK).ask(body[1]).ask(b"x").answer(answer(b"", 201)),
    ):
        connection = Connection()
        exchange = wire.feed(connection)[0]
        assert line(exchange) == ("POST", "/", 200)
        assert exchange.request_body_size == (20_000 if b"Length" in framing else None)


def test_body_that_looks_like_http_is_a_body() -> None:
    wire = Wire().ask(b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(GET), GET)
    assert lines(wire.answer(answer(OK, 201)[:40]).answer(answer(OK, 201)[40:]).whole()) == [("POST", "/", 201)]


@pytest.mark.parametrize("server", [True, False])
def test_head_longer_than_what_is_captured_keeps_its_line(server: bool) -> None:
    request = b"GET /long HTTP/1.1\r\nHost: a\r\nCookie: %b\r\nUser-Agent: lost\r\n\r\n" % (b"c" * 3000)
    reply = b"HTTP/1.1 404 X\r\nContent-Length: 5\r\nSet-Cookie: %b\r\n\r\nabcde" % (b"c" * 3000)
    connection = Connection()
    wire = Wire(server).ask(request).answer(reply)
    assert wire.feed(connection) == []
    (exchange,) = wire.ask(GET).feed(connection)
    assert line(exchange) == ("GET", "/long", 404)
    assert (exchange.truncated, exchange.request_headers, exchange.end) == (True, {"host": "a"}, 20)
    assert sizes(exchange) == (len(request), None, len(reply), 5)
    assert lines(wire.answer(OK).feed(connection)) == [("GET", "/a?b=1", 200)]


def test_line_longer_than_what_is_captured_keeps_its_beginning() -> None:
    (exchange,) = Wire().ask(b"GET /%b HTTP/1.1\r\n\r\n" % (b"q" * 2000)).answer(OK).feed()
    assert (exchange.target, exchange.version, exchange.truncated) == ("/" + "q" * 1019, "", True)


def test_text_that_is_no_utf8_is_kept() -> None:
    (exchange,) = Wire().ask(b"GET /\xc3\xa9\xff HTTP/1.1\r\nHost: \xff\r\n\r\n").answer(OK).feed()
    assert (exchange.target, exchange.request_headers["host"]) == ("/é\udcff", "\udcff")


@pytest.mark.parametrize(
    "data",
    [
        b"get / HTTP/1.1\r\n\r\n",
        b"GET  / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1 \r\n\r\n",
        b"GET /a b HTTP/1.1\r\n\r\n",
        b"GET /\x7f HTTP/1.1\r\n\r\n",
        b"GET example.org HTTP/1.1\r\n\r\n",
        b"AAA ! HTTP/1.1\r\n\r\n",
        b"GET / HTTP/2.0\r\n\r\n",
        b"GET / HTTP/1.2\r\n\r\n",
        b"GET /\r\n\r\n",
        b" GET / HTTP/1.1\r\n\r\n",
        b"G1T / HTTP/1.1\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"OPTIONS rtsp://a RTSP/1.0\r\n\r\n",
        b"INVITE sip:a SIP/2.0\r\n\r\n",
        b"GET /\0" + b"x" * 500,
        b"EHLO example.org\r\n",
        b"\x16\x03\x01\x02\x00\x01",
    ],
)
def test_bytes_that_are_no_request_are_skipped_up_to_the_next_one(data: bytes) -> None:
    connection = Connection()
    wire = Wire().ask(data, GET).answer(OK)
    assert wire.feed(connection) == []
    assert connection.counters.unpaired == 1
    assert connection.counters.skipped == len(data) + len(GET) + len(b"ok")
    assert lines(wire.ask(GET).answer(OK).feed(connection)) == [("GET", "/a?b=1", 200)]


@pytest.mark.parametrize(
    "data",
    [b"HTTP/1.1 20 OK\r\n\r\n", b"HTTP/1.1  200 OK\r\n\r\n", b"HTTP/2 200\r\n\r\n", b"HTTP/1.1 200\0", b"220 hi\r\n"],
)
def test_bytes_that_are_no_answer_leave_their_request_unseen(data: bytes) -> None:
    counters = Counters()
    wire = Wire(server=False).ask(GET).answer(data).ask(b"GET /2 HTTP/1.1\r\n\r\n").answer(OK)
    assert lines(wire.whole(Connection(counters))) == [("GET", "/2", 200)]
    assert (counters.unseen, counters.skipped) == (1, len(data))


def test_answer_to_a_request_before_the_tracer_came_is_counted() -> None:
    connection = Connection()
    wire = Wire().answer(OK).ask(GET).answer(OK)
    assert lines(wire.feed(connection)) == [("GET", "/a?b=1", 200)]
    assert connection.counters.unpaired == 1


def test_request_without_an_answer_ends_with_the_connection() -> None:
    wire = Wire().ask(GET)
    (exchange,) = wire.whole()
    assert (exchange.status, exchange.start, exchange.end, exchange.complete) == (None, 10, 110, False)
    assert exchange.answer_context is None


def test_request_whose_answer_was_not_captured_is_not_called_unanswered() -> None:
    connection = Connection()
    wire = Wire().ask(GET)
    wire.feed(connection)
    wire.answer(OK).segments.clear()
    assert wire.end(connection) == []
    assert connection.counters.unseen == 1


def test_answer_to_half_a_head_is_an_answer() -> None:
    (exchange,) = Wire().ask(b"GET /slow HTTP/1.1\r\nHost: a\r\nUser").answer(answer(b"", 408)).feed()
    assert (line(exchange), exchange.truncated) == (("GET", "/slow", 408), True)


def test_expire_gives_up_what_waits_too_long() -> None:
    connection = Connection()
    wire = Wire().ask(GET, b"GET /2 HTTP/1.1\r\n\r\n").answer(b"HTTP/1.1 200 OK\r\n\r\nab")
    assert wire.feed(connection) == []
    assert connection.expire(119, 100) == []
    (second,) = connection.expire(121, 100)
    assert (line(second), second.end, second.complete) == (("GET", "/2", None), 121, False)
    (first,) = connection.expire(131, 100)
    assert (line(first), first.end, first.complete) == (("GET", "/a?b=1", 200), 30, False)
    assert connection.expire(10_000, 100) == []
    assert wire.end(connection) == []


def test_late_answer_to_an_expired_request_is_no_answer_to_the_next() -> None:
    connection = Connection()
    wire = Wire().ask(GET)
    wire.feed(connection)
    assert lines(connection.expire(200, 100)) == [("GET", "/a?b=1", None)]
    wire.ask(b"GET /2 HTTP/1.1\r\n\r\n").answer(answer(b"", 201)).answer(answer(b"", 202))
    wire.run = None
    assert wire.feed(connection) == []
    assert connection.counters.unpaired == 1


def test_waiting_requests_are_bounded() -> None:
    connection = Connection(max_waiting=3)
    wire = Wire().ask(*[b"GET /%d HTTP/1.1\r\n\r\n" % number for number in range(5)])
    assert wire.feed(connection) == []
    assert connection.counters.evicted == 2
    assert lines(connection.flush()) == [("GET", f"/{number}", None) for number in (2, 3, 4)]
    assert connection.flush() == wire.ask(GET).answer(OK).whole(connection) == []


def test_endless_head_is_cut() -> None:
    connection = Connection()
    head = b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 10_000
    for start in range(0, len(head), 100):
        piece = head[start : start + 100]
        assert connection.feed(Segment(False, start, len(piece), piece, start, start + 1, start - 99)) == []
    (exchange,) = connection.feed(Segment(True, 0, len(OK), OK, len(head), len(head) + 1, 0))
    assert (line(exchange), exchange.truncated, exchange.request_size) == (("GET", "/", 200), True, None)


def test_segments_seen_twice_count_once() -> None:
    wire = Wire().ask(GET, GET[:20], GET[20:]).answer(OK + OK)
    connection = Connection()
    seen = [exchange for segment in wire.segments for _ in range(2) for exchange in connection.feed(segment)]
    assert lines(seen) == [("GET", "/a?b=1", 200)] * 2


# One exchange as its two sides mean it.
@dataclass(frozen=True)
class Talk:
    request: bytes
    answers: tuple[bytes, ...]
    line: tuple[str, str, int]
    until_close: bool


HOSTILE = [GET, OK, b"\r\n\r\n", b"0\r\n\r", b"\0", b"x" * 700, b"HTTP/1.1 ", b"POST /"]
BODIES = st.lists(st.sampled_from(HOSTILE), max_size=4).map(b"".join)
PADDINGS = st.sampled_from([0, 0, 0, 10, 900, 1100, 3000])
# Those whose end stays known when segments are lost, and that do not look like a head when that is.
SMALL_BODIES = st.sampled_from([b"", b"abc", b"x" * 300])
CUTS = st.lists(st.integers(0, 10_000), max_size=5)


def framed(draw: st.DrawFn, body: bytes, small: bool) -> tuple[bytes, bytes]:
    if small or draw(st.booleans()):
        return b"Content-Length: %d\r\n" % len(body), body
    parts = [b"%x\r\n%b\r\n" % (len(part), part) for part in pieces(body, draw(st.lists(st.integers(0, 5000))))]
    return b"Transfer-Encoding: chunked\r\n", b"".join(parts) + b"0\r\n\r\n"


@st.composite
def talks(draw: st.DrawFn, number: int, last: bool, small: bool) -> Talk:
    bodies, paddings = (SMALL_BODIES, st.just(10)) if small else (BODIES, PADDINGS)
    method = draw(st.sampled_from(["GET", "HEAD", "POST", "PUT", "PROPFIND"]))
    status = draw(st.sampled_from([200, 201, 204, 304, 404, 500]))
    target = f"/{number}/{draw(st.sampled_from(['', 'a?b=c', 'é']))}"
    header, body = framed(draw, draw(bodies), small) if method in ("POST", "PUT") else (b"", b"")
    padding = b"Cookie: %b\r\n" % (b"c" * draw(paddings))
    request = f"{method} {target} HTTP/1.1\r\n".encode() + padding + header + b"\r\n" + body
    until_close = last and draw(st.booleans())
    header, body = (b"", draw(bodies)) if until_close else framed(draw, draw(bodies), small)
    if method == "HEAD" or status in (204, 304):
        body = b""
    padding = b"Set-Cookie: %b\r\n" % (b"c" * draw(paddings))
    reply = b"HTTP/1.1 %d X\r\n" % status + padding + header + b"\r\n" + body
    interim = (b"HTTP/1.1 100 Continue\r\n\r\n",) * draw(st.integers(0, 1))
    return Talk(request, (*interim, reply), (method, target, status), until_close)


@st.composite
def conversations(draw: st.DrawFn, small: bool = False) -> list[Talk]:
    count = draw(st.integers(1, 5))
    return [draw(talks(number, number == count - 1, small)) for number in range(count)]


@settings(deadline=None)
@given(conversations(), st.booleans(), st.data())
def test_exchanges_are_the_same_however_they_are_cut(talk: list[Talk], server: bool, data: st.DataObject) -> None:
    counters, wire = Counters(), Wire(server)
    expected = []
    for each in talk:
        start = wire.now + (10 if server else 5)
        wire.ask(*pieces(each.request, data.draw(CUTS)))
        wire.answer(*pieces(b"".join(each.answers), data.draw(CUTS)))
        for outgoing in data.draw(st.lists(st.booleans(), max_size=2)):
            wire.news(outgoing)
        expected.append((*each.line, start, wire.now))
    exchanges = wire.whole(Connection(counters))
    assert [(*line(exchange), exchange.start, exchange.end) for exchange in exchanges] == expected
    assert counters == Counters()
    for exchange, each in zip(exchanges, talk, strict=True):
        assert exchange.request_size in (len(each.request), None)
        assert exchange.response_size in (len(each.answers[-1]), None)
        assert exchange.complete


@settings(deadline=None)
@given(conversations(), st.booleans(), st.lists(st.booleans(), max_size=20), st.data())
def test_pipelined_exchanges_are_the_same_however_they_are_mixed(
    talk: list[Talk], server: bool, turns: list[bool], data: st.DataObject
) -> None:
    talk = [each for each in talk if b"\0" not in each.request + each.answers[-1]]
    asked = pieces(b"".join(each.request for each in talk), data.draw(CUTS))
    wire = Wire(server, captured=1 << 20)  # what is not captured, is in doubt where more than one request waits
    answers = [(each, piece) for each in talk for piece in pieces(b"".join(each.answers), data.draw(CUTS))]
    due = {each.line: sum(len(before.request) for before in talk[: number + 1]) for number, each in enumerate(talk)}
    while asked or answers:
        can_answer = answers and due[answers[0][0].line] <= wire.positions[not server]
        if asked and not (can_answer and turns and turns.pop()):
            wire.ask(asked.pop(0))
        else:
            wire.answer(answers.pop(0)[1])
    assert lines(wire.whole()) == [each.line for each in talk]


@settings(deadline=None)
@given(conversations(small=True), st.booleans(), st.data())
def test_lost_segments_mix_no_exchanges_up(talk: list[Talk], server: bool, data: st.DataObject) -> None:
    wire = Wire(server)
    for each in talk:
        wire.ask(*pieces_behind_head(each.request, data.draw(CUTS)))
        wire.answer(*pieces_behind_head(b"".join(each.answers), data.draw(CUTS)))
    wire.segments = [segment for segment in wire.segments if data.draw(st.integers(0, 3))]
    seen = [(method, target, status) for method, target, status in lines(wire.whole()) if status]
    true = iter(each.line for each in talk)
    assert all(each in true for each in seen)


random_bytes = st.binary(max_size=300).filter(lambda data: b" HTTP/1." not in data)


@given(st.lists(st.tuples(st.booleans(), random_bytes, st.integers(0, 400), st.integers(-50, 50))))
def test_bytes_at_random_are_no_exchange(calls: list[tuple[bool, bytes, int, int]]) -> None:
    connection = Connection()
    now, positions = 0, {False: 0, True: 0}
    for outgoing, data, size, shift in calls:
        now += 10
        segment = Segment(outgoing, max(positions[outgoing] + shift, 0), size, data, now - 5, now, now - 10)
        positions[outgoing] += size
        assert connection.feed(segment) == []
        assert connection.expire(now, 5) == []
    assert connection.end(now, now, positions[False], positions[True]) == []


GRAINS = [
    *HOSTILE,
    GET[:20],
    GET[20:],
    OK[:30],
    OK[30:],
    b"HTTP/1.1 101 \r\n\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"\n",
]


@given(
    st.lists(
        st.tuples(
            st.booleans(),
            st.lists(st.sampled_from(GRAINS), max_size=5).map(b"".join),
            st.integers(-9, 99),
            st.integers(-50, 50),
            st.integers(-20, 20),
        )
    )
)
def test_pieces_of_http_at_random_raise_nothing(calls: list[tuple[bool, bytes, int, int, int]]) -> None:
    connection = Connection(max_waiting=2)
    now, positions, seen = 0, {False: 0, True: 0}, 0
    for outgoing, data, more, shift, before in calls:
        now += 10
        size = max(len(data) + more, 0)
        position = positions[outgoing] = max(positions[outgoing] + (shift if shift > 30 else 0), 0)
        seen += len(connection.feed(Segment(outgoing, position, size, data, now - 5, now, now + before)))
        positions[outgoing] += size
        seen += len(connection.expire(now, 100))
    seen += len(connection.end(now, now, positions[False], positions[True]))
    assert seen <= sum(data.count(b"HTTP/1.1") for _, data, *_ in calls)
