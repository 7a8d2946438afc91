"""What real bpftrace printed for http while clients did what is known (tests/tools/http_scenarios.py) -> the spans.

Of every exchange it is known what was asked and answered; on the loopback interface both sides see it.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import groupby
from typing import Any

import pytest

from orchestrator.limits import Limits
from orchestrator.pipeline import Pipeline
from orchestrator.signals.clock import Moment
from orchestrator.signals.model import Span
from parsers.stream import OutputStream
from tests.orchestrator.collecting import Collected, numbers
from tests.orchestrator.signals.test_exchanges import http
from tests.parsers.feeding import DATA

VERSIONS = ("0.17", "0.23", "0.27")
HTTP = http()
LIMITS = Limits(string=200, map_keys=16384, pages=64)
OFFSET = 1_700_000_000_000_000_000
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PORT, PROXY = 18180, 18181
SERVER, CLIENT = "server", "client"
SOME = -1  # a size that servers and clients of their own made up
TRACED = len(f"traceparent: 00-{TRACE}-{PARENT}-01\r\n")

Lines = Sequence[bytes]


@dataclass(frozen=True)
class Asked:
    """An exchange as one side has to tell it. Sizes are those on the wire, ``bodies`` have no framing of chunks.

    ``least``: for how many milliseconds it lasted at least on each side, because somebody slept.
    """

    path: str | None
    status: int | None
    request: int
    answer: int | None
    bodies: tuple[int | None, int | None] = (0, 2)
    method: str = "GET"
    query: str | None = None
    port: int = PORT
    traced: bool = False
    unsure: tuple[str, ...] = ()
    least: float = 0
    sides: tuple[str, ...] = (SERVER, CLIENT)


def said(path: str, status: int | None, answer: int | None = 42, **known: Any) -> Asked:
    """By the scenarios' own client, and by default their own server, with a body of two bytes."""
    size = len(f"GET {path} HTTP/1.1\r\nHost: here.test\r\n\r\n") + (TRACED if known.get("traced") else 0)
    return Asked(path, status, known.pop("request", size), answer, **known)


def curled(path: str, status: int, body: int, *, request: int, **known: Any) -> Asked:
    """By curl, with a ``request`` as long as that, and answered by servers with heads of their own."""
    return Asked(path, status, request, SOME, known.pop("bodies", (0, body)), **known)


def twice(*asked: Asked) -> list[Asked]:
    """Through the proxy, whose own request differs in its Host."""
    return [
        side
        for one in asked
        for side in (one, replace(one, port=PORT, request=one.request - len("127.0.0.1:18181") + len("backend")))
    ]


TRUTH: dict[str, list[Asked]] = {
    "python-http10": [
        curled("/file.txt", 200, 400, request=98, query="key=REDACTED"),
        curled("/file.txt", 200, 0, request=88, method="HEAD"),
        curled("/none", 404, SOME, request=83),
    ],
    "python-http11": [
        curled("/first/200/30", 200, 13, request=161, traced=True, least=30),
        curled("/second/500/0", 500, 7, request=237, bodies=(7, 7), method="POST", traced=True),
        curled("/third/404/10", 404, 13, request=94, method="DELETE", least=10),
        curled("/fourth/302/0", 302, 0, request=92, method="HEAD"),
    ],
    "forked": [
        said(f"/forked{index}/20{index}/0", 200 + index, SOME, request=67, bodies=(0, 14)) for index in range(3)
    ],
    "nginx-static": [
        curled("/small", 200, 400, request=84, port=PROXY),
        curled("/middle", 200, 27_000, request=85, port=PROXY),
        curled("/none", 404, SOME, request=83, port=PROXY),
        curled("/small", 200, 400, request=84, query="REDACTED", port=PROXY),
    ],
    "nginx-proxy": twice(
        curled("/passed/200/20", 200, 14, request=162, traced=True, least=20, port=PROXY),
        curled("/passed/503/0", 503, 13, request=161, traced=True, port=PROXY),
        curled("/passed/201/10", 201, 14, request=162, traced=True, least=10, port=PROXY),
    ),
    "nginx-pipelined": [
        said("/small", 200, SOME, bodies=(0, 400), port=PROXY),
        said("/none", 404, SOME, bodies=(0, SOME), port=PROXY),
        said("/middle", 200, SOME, bodies=(0, 27_000), port=PROXY),
        said("/small", 200, SOME, request=64, bodies=(0, 400), query="REDACTED", port=PROXY),
    ],
    "nginx-big": [
        curled("/big", 200, 5_000_000, request=82, port=PROXY),
        curled("/small", 200, 400, request=84, port=PROXY),
    ],
    "upload": [
        said("/upload/200/0", 200, SOME, request=60_071, bodies=(60_000, 60_000), method="POST", least=15),
        said("/expect/201/0", 201, SOME, request=60_093, bodies=(60_000, 60_000), method="POST", least=15),
    ],
    "bytewise": [Asked("/bytewise", 204, 26, 21, (0, 0))],
    "tentative": [Asked("/tentative", 202, 27, 42)],
    "noise": [said("/behind-the-noise", 203)],
    "pipelined": [
        said("/pipelined0", 200, least=5),
        said("/pipelined1", 404, least=10, traced=True),
        said("/pipelined2", 500, least=15),
        said("/pipelined3", 201, least=20),
        said("/pipelined4", 409, least=25),
        said("/together0", 200),
        said("/together1", 404, traced=True),
        said("/together2", 500),
    ],
    # The server's first read was called before bpftrace was there.
    "older": [
        said("/after0", 201),
        said("/after1", 202),
        said("/blocked0", 401, sides=(CLIENT,)),
        said("/blocked1", 402),
    ],
    "descriptors": [said(f"/same{index}", 210 + index) for index in range(8)],
    "inherited": [said(f"/inherited{index}", 200 + index) for index in range(3)],
    "ipv6": [said("/six", 206), said("/mapped", 204, 21, bodies=(0, 0))],
    # The head of the first request lies in two buffers of the server, and only the first one is looked into.
    "vectors": [
        Asked("/vectors", 200, 49, 42, (4, 2), method="POST", sides=(CLIENT,)),
        said("/messages", 201),
        said("/peeked", 202),
    ],
    "closing": [
        said("/half", 200, least=20),
        said("/reset", 201),
        said("/unanswered", None, None, bodies=(0, None), least=20),
        said("/answered", 202),
        said("/given-up", None, None, bodies=(0, None)),
    ],
    "until-close": [
        Asked("/until-close100", 200, 32, 119, (0, 100), least=27),
        Asked("/until-close300000", 200, 35, 300_019, (0, 300_000), least=27),
    ],
    "bodiless": [
        said("/head", 200, 43, request=40, method="HEAD", bodies=(0, 0)),
        said("/unchanged", 304, 43, bodies=(0, 0)),
        said("/empty", 204, 21, bodies=(0, 0)),
        said("/early", 200, 43, bodies=(0, 3), least=20),
    ],
    # In the third one not all chunks were read, so it is not known what is framing.
    "chunked": [
        Asked("/chunked0", 200, 90, 82, (11, 11), method="POST"),
        said("/chunked1", 201, 82, bodies=(0, 11), least=20),
        said("/chunked2", 202, 8260, bodies=(0, None)),
        said("/behind", 203),
    ],
    # Of a head that is cut nothing tells that there is no body.
    "long-heads": [
        said("/long0", 200, request=1615, bodies=(None, 2), traced=True),
        said("/long1", 201, request=1615, bodies=(None, 2)),
        said(f"/{'long2' * 300}"[:1020], 202, request=1535, bodies=(None, 2), unsure=("url.path",)),
        said("/long3", 203, 1547),
        said("/not-long", 204, 40, bodies=(0, 0)),
    ],
    "tunnels": [
        said("/chat", 101, 19, request=80, bodies=(0, 0)),
        Asked(None, 200, 57, 19, (0, 0), method="CONNECT", port=443),  # where it leads
    ],
    "slow": [
        Asked("/slow", 200, 49, 52, (8, 11), method="PUT", least=100),
        said("/after", 201, least=10),
    ],
    "big": [
        said("/big", 200, 6_553_644, bodies=(0, 6_553_600)),
        said("/next", 201),
    ],
    "big-upload": [
        Asked("/big-upload", 201, 6_553_653, 42, (6_553_600, 2), method="PUT"),
        said("/next", 202),
    ],
    "threads": [
        said(f"/thread{thread}/{index}", 200 + 10 * thread + index, least=10)
        for thread in range(4)
        for index in range(3)
    ],
}
AT_ONCE = {"threads"}
# What is counted instead of becoming a span.
INCOMPLETE = {"older": {"unpaired": 1}, "vectors": {"unpaired": 1}}


class Result:
    """What became of a capture, or of a part of one."""

    def __init__(self, pipeline: Pipeline, sink: Collected) -> None:
        self.pipeline = pipeline
        self.snapshots = sink.snapshots
        assert sink.logs == []
        self.spans = [span for _, span in sink.spans]

    @property
    def keys(self) -> list[Any]:
        """All that is not random in the spans."""
        return sorted(map(key, self.spans))


def key(span: Span) -> tuple[Any, ...]:
    parent = span.parent and (span.parent.trace_id, span.parent.span_id)
    return span.start_unix_nano, span.end_unix_nano, span.name, span.kind, repr(span.attributes), repr(parent)


def captured(version: str, scenario: str) -> bytes:
    return (DATA / "http" / version / f"{scenario}.json").read_bytes()


def run(chunks: Iterable[bytes]) -> Result:
    """Feed the chunks, each at the last time that stands in them."""
    sink, stream = Collected(), OutputStream()
    pipeline = Pipeline([HTTP], LIMITS, sink)
    moment = Moment(OFFSET, OFFSET)
    for chunk in chunks:
        moment = Moment(max([moment.unix, *(OFFSET + time for time in times_of(chunk))]), OFFSET)
        pipeline.feed(stream.feed(chunk), moment)
    pipeline.feed(stream.close(), moment)
    pipeline.close()
    return Result(pipeline, sink)


# ["http_data",5462470891890,28699,...] and ["orchestrator","ready",5462469135909]
_PRINTED = re.compile(rb'\["(?:http_[a-z]+|orchestrator","[a-z_]+)",(\d+),?(\d*)')


def times_of(data: bytes) -> list[int]:
    return [int(time) for time, _ in _PRINTED.findall(data)]


@cache
def whole(version: str, scenario: str) -> Result:
    return run([captured(version, scenario)])


CASES = pytest.mark.parametrize(
    ("version", "scenario"), [(version, scenario) for version in VERSIONS for scenario in TRUTH]
)


def told(span: Span, expected: Asked) -> Asked:
    """What a span says, in the words of what is expected of it."""
    found: Mapping[str, Any] = span.attributes

    def size(name: str, wanted: int | None) -> Any:
        value = found.get(f"http.{name}.size")
        return SOME if wanted == SOME and isinstance(value, int) and value > 0 else value

    return Asked(
        path=found.get("url.path"),
        status=found.get("http.response.status_code"),
        request=size("request", expected.request),
        answer=size("response", expected.answer),
        bodies=(size("request.body", expected.bodies[0]), size("response.body", expected.bodies[1])),
        method=found["http.request.method"],
        query=found.get("url.query"),
        port=found["server.port"],
        traced=span.parent is not None,
        unsure=tuple(found.get("ebpf.truncated", ())),
        least=expected.least if duration(span) >= expected.least else duration(span),
        sides=expected.sides,
    )


def duration(span: Span) -> float:
    return (span.end_unix_nano - span.start_unix_nano) / 1e6


@CASES
def test_every_exchange_is_a_span_of_each_side(version: str, scenario: str) -> None:
    result = whole(version, scenario)
    for side in (SERVER, CLIENT):
        expected = [one for one in TRUTH[scenario] if side in one.sides]
        spans = sorted((span for span in result.spans if span.kind == side), key=lambda span: span.start_unix_nano)
        if scenario in AT_ONCE:
            spans.sort(key=lambda span: str(span.attributes["url.path"]))
        assert len(spans) == len(expected)
        assert [told(span, one) for span, one in zip(spans, expected, strict=True)] == expected
        for span in spans:
            assert span.attributes.get("error.type") == error(side, span.attributes.get("http.response.status_code"))
            if span.parent is not None:
                assert span.context.trace_id.hex() == TRACE
                assert span.parent.span_id.hex() == PARENT


def error(side: str, status: Any) -> str | None:
    if status is None:
        return "no_response"
    return str(status) if status >= (500 if side == SERVER else 400) else None


@CASES
def test_both_sides_tell_the_same(version: str, scenario: str) -> None:
    """A client begins before its server and ends after it; on the wire it is one exchange."""
    spans = whole(version, scenario).spans
    clients = {
        (span.attributes["network.local.port"], span.name, *wire(span)): span for span in spans if span.kind == CLIENT
    }
    for server in spans:
        if server.kind == SERVER:
            client = clients.pop((server.attributes["network.peer.port"], server.name, *wire(server)))
            assert client.start_unix_nano <= server.start_unix_nano
            assert client.end_unix_nano >= server.end_unix_nano or server.attributes.get("error.type") == "no_response"
    assert len(clients) == sum(one.sides == (CLIENT,) for one in TRUTH[scenario])


def wire(span: Span) -> tuple[Any, ...]:
    names = ("url.path", "url.query", "http.response.status_code", "http.request.size", "http.response.size")
    return tuple(map(span.attributes.get, names))


@CASES
def test_nothing_is_lost_and_all_is_counted(version: str, scenario: str) -> None:
    result = whole(version, scenario)
    counts, stream = result.pipeline.counts["http"], result.pipeline.stream
    assert result.pipeline.ended
    assert counts.received == counts.emitted
    assert counts.spans_lost == {}
    assert counts.spans_incomplete == INCOMPLETE.get(scenario, {})
    assert (stream.unparsed, stream.unknown, stream.unread_entries, stream.problems) == (0, 0, 0, {})
    metrics = result.snapshots[-1]["bpftrace-orchestrator/http"]
    for side in (SERVER, CLIENT):
        requests = numbers(metrics[f"ebpf.http.{side}.requests"])
        assert sum(value for _, value in requests) == sum(span.kind == side for span in result.spans)


@CASES
def test_the_size_of_chunks_makes_no_difference(version: str, scenario: str) -> None:
    data, chosen = captured(version, scenario), random.Random(5)
    for most in (40, 4000):
        chunks, position = [], 0
        while position < len(data):
            size = chosen.randint(1, most)
            chunks.append(data[position : position + size])
            position += size
        assert run(chunks).keys == whole(version, scenario).keys


@CASES
def test_two_cpus_whose_events_are_read_one_after_the_other(version: str, scenario: str) -> None:
    for seed in range(5):
        chunks = late(captured(version, scenario).splitlines(keepends=True), random.Random(seed))
        assert run(chunks).keys == whole(version, scenario).keys


def late(lines: Lines, chosen: random.Random, window: int = 500_000_000) -> list[bytes]:
    """What bpftrace would have printed had each event happened on any of two CPUs, and had it read the buffer of each
    twice a second. The parts of an event are printed where it is itself."""
    chunks: list[bytes] = []
    for is_event, group in groupby(lines, key=lambda line: b'["http_' in line):
        if not is_event:
            chunks.extend(group)
            continue
        for _, together in groupby(group, key=lambda line: times_of(line)[0] // window):
            events: dict[Any, bytes] = {}
            for line in together:
                identity = _PRINTED.findall(line)[0]
                events[identity] = events.get(identity, b"") + line
            cpus = [b"", b""]
            for event in events.values():
                cpus[chosen.randrange(2)] += event
            chunks.append(b"".join(cpus))
    return chunks


@CASES
def test_a_beginning_has_no_other_spans_than_the_whole(version: str, scenario: str) -> None:
    """What was not answered by then, or in part, is told as such.

    Where the output of one CPU is still missing, the one that is there may tell of an end later than it was.
    """
    lines = captured(version, scenario).splitlines(keepends=True)
    spans = whole(version, scenario).spans
    ends = {(begun(span), answered(span)): span.end_unix_nano for span in spans}
    all_begun = set(map(begun, spans))
    for end in range(len(lines)):
        for span in run([b"".join(lines[:end])]).spans:
            assert begun(span) in all_begun
            if not is_unfinished(span):
                assert ends[begun(span), answered(span)] <= span.end_unix_nano


def begun(span: Span) -> tuple[Any, ...]:
    names = ("http.request.method", "url.path", "url.query", "server.port")
    return span.start_unix_nano, span.kind, *map(span.attributes.get, names)


def answered(span: Span) -> tuple[Any, ...]:
    return tuple(
        map(span.attributes.get, ("http.response.status_code", "http.response.size", "http.response.body.size"))
    )


def is_unfinished(span: Span) -> bool:
    unsure: Any = span.attributes.get("ebpf.truncated", ())
    return span.attributes.get("error.type") == "no_response" or "ebpf.duration" in unsure


# If the bytes of their first head are lost, what looks like HTTP in the body or tunnel behind it is taken for it.
@pytest.mark.parametrize("scenario", sorted(TRUTH.keys() - {"upload", "tunnels"}))
@pytest.mark.parametrize("version", VERSIONS)
def test_no_answer_is_that_of_another_request_if_a_line_is_lost(version: str, scenario: str) -> None:
    lines = captured(version, scenario).splitlines(keepends=True)
    known = [(one.method, one.path, one.status, one.port) for one in TRUTH[scenario]]
    for lost in range(VERSIONS.index(version), len(lines), len(VERSIONS)):
        for span in run([b"".join(lines[:lost] + lines[lost + 1 :])]).spans:
            method, path, status, port = (
                span.attributes.get(name)
                for name in ("http.request.method", "url.path", "http.response.status_code", "server.port")
            )
            assert status is None or any(
                (method, status, port) == (one[0], one[2], one[3]) and str(one[1]).startswith(str(path))
                for one in known
            ), lines[lost]
