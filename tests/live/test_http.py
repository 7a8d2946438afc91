"""`orchestrate run http` against real servers and a real client: every request, once, as it was."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.live.conftest import Collector, free_port, lack, wait_for
from tests.live.harness import TIMEOUT, Run, Telemetry
from tests.tools.span_rules import check_spans

ANSWERS = Path(__file__).parent / "programs" / "answers.py"
METHODS = ("GET", "POST", "PUT", "DELETE", "HEAD", "PATCH")
STATUSES = (200, 200, 302, 404, 500)
DELAYS = (*[10] * 14, *[20] * 3, 50, 100, 200)
REQUESTS = 1000
AT_ONCE = 4


@contextmanager
def python_server(*arguments: str) -> Iterator[int]:
    """The port of a server of Python's own."""
    port = free_port()
    command = [sys.executable, str(ANSWERS), str(port), *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"listening\n"
        try:
            yield port
        finally:
            process.communicate(timeout=TIMEOUT)


_NGINX = """
worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  sendfile on; keepalive_timeout 60;
  upstream backend {{ server 127.0.0.1:{backend}; keepalive 8; }}
  server {{
    listen 127.0.0.1:{port};
    location /static/ {{ root {folder}; }}
    location / {{ proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Connection ""; }}
  }}
}}
"""
BIG = 5_000_000


@contextmanager
def nginx(folder: Path, backend: int) -> Iterator[int]:
    """The port of an nginx that has a large file, and passes on all else to ``backend``."""
    path = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if path is None:
        lack("nginx is not installed")
    folder = folder / "nginx"
    (folder / "static").mkdir(parents=True)
    folder.chmod(0o755)
    (folder / "static" / "big").write_bytes(b"x" * BIG)
    for parent in (folder, *folder.parents):
        if parent.stat().st_uid == os.geteuid() and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o055)
    port = free_port()
    config = folder / "nginx.conf"
    config.write_text(_NGINX.format(folder=folder, port=port, backend=backend))
    process = subprocess.Popen([path, "-p", folder, "-c", config], stderr=subprocess.DEVNULL)
    try:
        wait_for(port)
        yield port
    finally:
        process.send_signal(signal.SIGQUIT)
        process.wait(TIMEOUT)


class Asked(NamedTuple):
    """A request as curl made it: ``seconds`` is what curl measured."""

    method: str
    path: str
    status: int
    seconds: float


def curl(
    folder: Path, port: int, requests: Sequence[tuple[str, str]], *options: str, headers: Sequence[str] = ()
) -> list[Asked]:
    """Make all requests by one curl, some at once, over connections that it keeps."""
    if shutil.which("curl") is None:
        lack("curl is not installed")
    blocks = [
        "\n".join(
            [
                f'url = "http://127.0.0.1:{port}{path}"',
                "head" if method == "HEAD" else f'request = "{method}"',
                *(['data = "a=1&b=2"'] if method in {"POST", "PUT", "PATCH"} else []),
                *(f'header = "{header}"' for header in headers),
                'output = "/dev/null"',
                f'write-out = "{method} {path} %{{http_code}} %{{time_total}}\\n"',
            ]
        )
        for method, path in requests
    ]
    config = folder / "curl.conf"
    config.write_text("\nnext\n".join(blocks))
    done = subprocess.run(
        ["curl", "--silent", "--show-error", *options, "--config", config],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    return [Asked(method, path, int(status), float(seconds)) for method, path, status, seconds in rows]


def mixed(count: int) -> list[tuple[str, str]]:
    """Requests of all kinds, each with a path of its own; the same ones every time."""
    chosen = random.Random(6)
    return [
        (chosen.choice(METHODS), f"/r{index}/{chosen.choice(STATUSES)}/{chosen.choice(DELAYS)}")
        for index in range(count)
    ]


def spans_of(telemetry: Telemetry, kind: int, port: int) -> dict[str, tuple[dict[str, Any], Any]]:
    """The spans of one side (2: server, 3: client) and server port, by path; no path twice."""
    found = [(attributes, span) for attributes, span in telemetry.spans if span.kind == kind]
    mine = [(attributes, span) for attributes, span in found if attributes.get("server.port") == port]
    paths = Counter(attributes["url.path"] for attributes, _ in mine)
    assert all(count == 1 for count in paths.values()), paths.most_common(3)
    return {attributes["url.path"]: (attributes, span) for attributes, span in mine}


SERVER, CLIENT = 2, 3


def ended(run: Run, folder: Path, *, also_said: int = 0) -> Telemetry:
    code, _, stderr = run.stop()
    assert code == 0, stderr
    assert len(stderr.splitlines()) == 1 + also_said, stderr
    telemetry = Telemetry.read((folder / "out.jsonl").read_text())
    check_spans([span for _, span in telemetry.spans])
    return telemetry


def check_durations(asked: Sequence[Asked], spans: dict[str, tuple[dict[str, Any], Any]]) -> None:
    """Within 2 ms of what curl measured, for 95 of 100."""
    apart = [
        abs(one.seconds - (spans[one.path][1].end_time_unix_nano - spans[one.path][1].start_time_unix_nano) / 1e9)
        for one in asked
    ]
    near = sum(difference <= 0.002 for difference in apart)
    assert near >= 0.95 * len(asked), f"{near} of {len(asked)}; the median is {sorted(apart)[len(apart) // 2]:.6f} s"


def test_a_thousand_requests(tmp_path: Path, bpftrace: str) -> None:
    with python_server() as port:
        arguments = ("--output", "out.jsonl", "--set", f"ports={port}", "--bpftrace", bpftrace)
        run = Run(tmp_path, "http", *arguments).ready()
        # One at a time: with several at once curl's own clock has the time in it that it spends with others.
        asked = curl(tmp_path, port, mixed(REQUESTS))
        assert len(asked) == REQUESTS
        telemetry = ended(run, tmp_path)
    for kind in (SERVER, CLIENT):
        spans = spans_of(telemetry, kind, port)
        assert spans.keys() == {one.path for one in asked}
        for one in asked:
            attributes, span = spans[one.path]
            assert attributes["http.response.status_code"] == one.status
            assert attributes["http.request.method"] == span.name == one.method
            failed = one.status >= (500 if kind == SERVER else 400)
            assert (span.status.code == 2) is failed
            assert attributes.get("error.type") == (str(one.status) if failed else None)
        check_durations(asked, spans)
        side = "server" if kind == SERVER else "client"
        check_metrics(telemetry, side, asked, port)


def check_metrics(telemetry: Telemetry, side: str, asked: Sequence[Asked], port: int) -> None:
    expected = Counter((one.method, one.status) for one in asked)
    found: Counter[tuple[str, int]] = Counter()
    last = telemetry.snapshots[-1]
    points = last[f"http.{side}.request.duration"].histogram.data_points
    for point in points:
        values = {pair.key: pair.value for pair in point.attributes}
        assert values["server.port"].int_value == port
        found[values["http.request.method"].string_value, values["http.response.status_code"].int_value] += point.count
        assert list(point.explicit_bounds)[:3] == [0.005, 0.01, 0.025]
    assert found == expected
    assert telemetry.total(f"ebpf.http.{side}.requests", server__port=port) == len(asked)


def test_a_proxy_and_its_backend_carry_the_clients_trace(tmp_path: Path, bpftrace: str) -> None:
    trace = uuid.uuid4().hex
    with python_server() as backend, nginx(tmp_path, backend) as port:
        arguments = ("--output", "out.jsonl", "--set", f"ports={port},{backend}", "--bpftrace", bpftrace)
        run = Run(tmp_path, "http", *arguments).ready()
        headers = [f"traceparent: 00-{trace}-b7ad6b7169203331-01"]
        asked = curl(tmp_path, port, mixed(50), "--parallel", "--parallel-max", str(AT_ONCE), headers=headers)
        big = curl(tmp_path, port, [("GET", "/static/big")])
        telemetry = ended(run, tmp_path)
    paths = {one.path for one in asked}
    for kind, at in ((SERVER, port), (SERVER, backend), (CLIENT, port), (CLIENT, backend)):
        spans = {path: one for path, one in spans_of(telemetry, kind, at).items() if path != "/static/big"}
        assert spans.keys() == paths
        for _, span in spans.values():
            assert span.trace_id.hex() == trace
            assert span.parent_span_id.hex() == "b7ad6b7169203331"
    for kind in (SERVER, CLIENT):
        attributes, span = spans_of(telemetry, kind, port)["/static/big"]
        assert attributes["http.response.body.size"] == BIG
        assert span.trace_id.hex() != trace
        duration = (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9
        assert duration <= big[0].seconds + 0.002
    assert "ebpf.truncated" not in spans_of(telemetry, SERVER, port)["/static/big"][0]


def exchange(connection: socket.socket, *pieces: bytes, answers: int = 1, pause: float = 0.0) -> bytes:
    """Send the pieces one by one, and read until so many answers with a body of their length have come."""
    for piece in pieces:
        connection.sendall(piece)
        time.sleep(pause)
    received = b""
    while _complete(received) < answers:
        chunk = connection.recv(1 << 16)
        assert chunk, received
        received += chunk
    return received


def _complete(data: bytes) -> int:
    count = 0
    while b"\r\n\r\n" in data:
        head, _, rest = data.partition(b"\r\n\r\n")
        sizes = [int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")]
        size = sizes[0] if sizes else 0
        if len(rest) < size:
            break
        if not head.startswith(b"HTTP/1.1 1"):
            count += 1
        data = rest[size:]
    return count


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: here\r\n\r\n".encode()


def test_what_clients_do(tmp_path: Path, bpftrace: str) -> None:
    with ExitStack() as stack:
        backend = stack.enter_context(python_server())
        forking = stack.enter_context(python_server("fork"))
        proxy = stack.enter_context(nginx(tmp_path, backend))
        older = stack.enter_context(socket.create_connection(("127.0.0.1", proxy), TIMEOUT))
        exchange(older, get("/before/200/0"))
        ports = f"ports={backend},{forking},{proxy}"
        run = Run(tmp_path, "http", "--output", "out.jsonl", "--set", ports, "--bpftrace", bpftrace).ready()
        exchange(older, get("/after/200/0"))
        with socket.create_connection(("127.0.0.1", backend), TIMEOUT) as one:
            exchange(one, *(bytes([byte]) for byte in get("/bytewise/200/0")), pause=0.001)
            for index in range(5):
                exchange(one, get(f"/kept{index}/200/0"))
            exchange(one, b"".join(get(f"/pipelined{index}/200/20") for index in range(3)), answers=3)
            body = b"POST /false/200/0 HTTP/1.1\r\n\r\n" * 3000
            head = f"POST /upload/200/0 HTTP/1.1\r\nHost: here\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            exchange(one, head, body[:1000], body[1000:])
            expecting = head.replace(b"upload", b"expect").replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n")
            one.sendall(expecting)
            assert one.recv(100).startswith(b"HTTP/1.1 100")
            exchange(one, body)
        for index in range(20):  # the same descriptor again and again, in a process of its own each
            with socket.create_connection(("127.0.0.1", forking), TIMEOUT) as one:
                exchange(one, get(f"/forked{index}/200/0"))
        telemetry = ended(run, tmp_path)
    here = {"/bytewise/200/0", "/upload/200/0", "/expect/200/0"}
    here |= {f"/kept{index}/200/0" for index in range(5)} | {f"/pipelined{index}/200/20" for index in range(3)}
    for kind in (SERVER, CLIENT):
        spans = spans_of(telemetry, kind, backend)
        # Of a connection that is older than the run a server of threads reads already: that call was not seen.
        assert spans.keys() == (here if kind == SERVER else here | {"/after/200/0"})
        assert spans["/upload/200/0"][0]["http.request.body.size"] == len(body)
        assert spans_of(telemetry, kind, proxy).keys() == {"/after/200/0"}
        forked = spans_of(telemetry, kind, forking)
        assert forked.keys() == {f"/forked{index}/200/0" for index in range(20)}
        if kind == SERVER:
            assert len({attributes["process.pid"] for attributes, _ in forked.values()}) == 20


def test_random_bytes_make_no_spans(tmp_path: Path, bpftrace: str) -> None:
    noise = random.Random(7).randbytes(10_000_000)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        arguments = ("--output", "out.jsonl", "--set", f"ports={port}", "--bpftrace", bpftrace)
        run = Run(tmp_path, "http", *arguments).ready()
        server = threading.Thread(target=echo, args=(listener,))
        server.start()
        with socket.create_connection(("127.0.0.1", port), TIMEOUT) as one:
            sender = threading.Thread(target=one.sendall, args=(noise,))
            sender.start()
            received = 0
            while received < len(noise):
                received += len(one.recv(4096))
            sender.join(TIMEOUT)
        server.join(TIMEOUT)
        telemetry = ended(run, tmp_path)
    assert telemetry.spans == []


def echo(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with connection:
        while chunk := connection.recv(1448):
            connection.sendall(chunk)


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        (("status=>=400",), lambda one: one.status >= 400),
        (("methods=GET,POST",), lambda one: one.method in {"GET", "POST"}),
        (("min_duration=90ms",), lambda one: int(one.path.rpartition("/")[2]) >= 100),
        (("client=false", "status=5xx"), lambda one: one.status >= 500),
    ],
)
def test_filters(tmp_path: Path, settings: Sequence[str], wanted: Callable[[Asked], bool]) -> None:
    with python_server() as port:
        chosen = [argument for setting in (f"ports={port}", *settings) for argument in ("--set", setting)]
        run = Run(tmp_path, "http", "--output", "out.jsonl", *chosen).ready()
        asked = curl(tmp_path, port, mixed(60), "--parallel", "--parallel-max", str(AT_ONCE))
        telemetry = ended(run, tmp_path)
    kept = {one.path for one in asked if wanted(one)}
    assert spans_of(telemetry, SERVER, port).keys() == kept
    client = "client=false" not in settings
    assert spans_of(telemetry, CLIENT, port).keys() == (kept if client else set())
    assert telemetry.total("ebpf.http.server.requests", server__port=port) == len(asked)
    assert telemetry.total("ebpf.http.client.requests", server__port=port) == (len(asked) if client else 0)


def test_internal_traffic_can_be_left_out(tmp_path: Path) -> None:
    with python_server() as port:
        run = Run(tmp_path, "http", "--output", "out.jsonl", "--set", "internal=false").ready()
        curl(tmp_path, port, mixed(3))
        telemetry = ended(run, tmp_path)
    assert [attributes for attributes, _ in telemetry.spans if attributes.get("server.port") == port] == []


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf", "http/json"])
def test_collector(tmp_path: Path, collector: Collector, protocol: str) -> None:
    endpoint = collector.grpc if protocol == "grpc" else collector.http
    with python_server() as port:
        to = ("--otlp-endpoint", f"http://127.0.0.1:{endpoint}", "--otlp-protocol", protocol)
        run = Run(tmp_path, "http", *to, "--output", "out.jsonl", "--set", f"ports={port}").ready()
        asked = curl(tmp_path, port, mixed(10))
        telemetry = ended(run, tmp_path)
    text = collector.output("traces", asked[-1].path)
    arrived = Telemetry.read(text, ours=False)
    for kind in (SERVER, CLIENT):
        there, here = spans_of(arrived, kind, port), spans_of(telemetry, kind, port)
        assert there.keys() == here.keys() == {one.path for one in asked}
        for path, (_, span) in here.items():
            span.status.SetInParent()  # the Collector writes one that is unset
            assert there[path][1] == span
