"""Spans of programs that nobody wrote for us: a .bt file and a manifest beside it; every version alike."""

from __future__ import annotations

import ctypes
import http.client
import os
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.live.conftest import SUITES, free_port, lack
from tests.live.harness import TIMEOUT, Run, Telemetry
from tests.tools.span_rules import check_spans

ANSWERS = Path(__file__).parent / "programs" / "answers.py"
MILLISECONDS = (3, 40, 11, 90, 25)
INTERNAL, SERVER, CLIENT = Span.SPAN_KIND_INTERNAL, Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CLIENT

Spans = list[tuple[dict[str, Any], Span]]


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class Sleeper:
    """Sleeps for so many milliseconds each, and measures how long it took: a busy host wakes it late."""

    def __init__(self, *milliseconds: int) -> None:
        self._wanted = milliseconds
        self.measured: list[float] = []

    def __call__(self) -> None:
        """clock_nanosleep(2), which refuses a negative time with EINVAL."""
        sleep = ctypes.CDLL(None).clock_nanosleep
        for number in self._wanted:
            wanted = ctypes.byref(_Timespec(0, number * 1_000_000))
            before = time.monotonic_ns()
            sleep(time.CLOCK_MONOTONIC, 0, wanted, None)
            self.measured.append((time.monotonic_ns() - before) / 1e6)


def in_thread(name: str, work: Callable[[], object]) -> None:
    """Do it on a thread with that command name."""

    def named() -> None:
        Path(f"/proc/self/task/{threading.get_native_id()}/comm").write_text(name)
        work()

    thread = threading.Thread(target=named)
    thread.start()
    thread.join(TIMEOUT)
    assert not thread.is_alive()


def marker() -> str:
    return f"t{uuid.uuid4().hex[:10]}"


def start(folder: Path, program: str, manifest: str, bpftrace: str, *settings: str, **environment: str) -> Run:
    (folder / "theirs.bt").write_text(program)
    (folder / "theirs.yaml").write_text(manifest)
    chosen = [argument for setting in settings for argument in ("--set", setting)]
    arguments = ("./theirs.bt", *chosen, "--output", "out.jsonl", "--interval", "500ms", "--bpftrace", bpftrace)
    return Run(folder, *arguments, environment=environment).ready()


def ended(run: Run, folder: Path, *, halves: int = 0) -> Telemetry:
    code, _, stderr = run.stop()
    assert code == 0, stderr
    assert len(stderr.splitlines()) == 1, stderr
    assert ("without their other half" in stderr) is bool(halves), stderr
    telemetry = Telemetry.read((folder / "out.jsonl").read_text())
    check_spans([span for _, span in telemetry.spans])
    return telemetry


def duration(span: Span) -> float:
    """In milliseconds."""
    return (span.end_time_unix_nano - span.start_time_unix_nano) / 1e6


SLEEPS = """
tracepoint:syscalls:sys_enter_clock_nanosleep /comm == str($1)/ { print(("sleep", nsecs, tid, comm)); }
tracepoint:syscalls:sys_exit_clock_nanosleep /comm == str($1)/ { print(("woken", nsecs, tid, args->ret)); }
"""
SLEEPS_MANIFEST = """
summary: Sleeps
process: own
parameters:
  "1": {type: string, pattern: ".*", default: "", help: Of which command name}
events:
  sleep: {name: app.sleep, fields: [{type: time}, {attribute: thread.id}, {attribute: thread.name, type: comm}]}
  woken:
    name: app.woken
    fields: [{type: time}, {attribute: thread.id}, {attribute: error.type, decode: errno_error}]
spans:
  - name: sleep of {thread.name}
    event: sleep
    end: woken
    key: [thread.id]
    metrics:
      - {name: app.sleep.duration, description: Sleeps, attributes: [error.type], bounds: [0.001, 0.02, 10]}
"""


def test_two_events_that_pair(tmp_path: Path, bpftrace: str) -> None:
    comm = marker()
    run = start(tmp_path, SLEEPS, SLEEPS_MANIFEST, bpftrace, f"1={comm}")
    sleeper = Sleeper(*MILLISECONDS, -1)
    before = time.time_ns()
    in_thread(comm, sleeper)
    after = time.time_ns()
    telemetry = ended(run, tmp_path)
    *slept, refused = telemetry.spans
    assert len(slept) == len(MILLISECONDS)
    for (attributes, span), asked, measured in zip(slept, MILLISECONDS, sleeper.measured, strict=False):
        assert asked <= duration(span) <= measured
        assert (span.name, span.kind) == (f"sleep of {comm}", INTERNAL)
        assert attributes.keys() == {"thread.id", "thread.name"}
        assert not span.parent_span_id
        assert before <= span.start_time_unix_nano <= span.end_time_unix_nano <= after
    attributes, span = refused
    assert (attributes["error.type"], span.status.code) == ("EINVAL", span.status.STATUS_CODE_ERROR)
    assert duration(span) <= sleeper.measured[-1]
    assert telemetry.logs == []
    assert len({span.trace_id for _, span in telemetry.spans}) == len(telemetry.spans)
    points = telemetry.snapshots[-1]["app.sleep.duration"].histogram.data_points
    counts = {len(point.attributes): list(point.bucket_counts) for point in points}
    assert sum(counts[0]) == len(MILLISECONDS)
    assert counts[1] == [1, 0, 0, 0]


LINES = """
BEGIN { printf("Tracing sleeps... Hit Ctrl-C to end.\\n"); }
tracepoint:syscalls:sys_enter_clock_nanosleep /comm == str($1)/ { @start[tid] = nsecs; }
tracepoint:syscalls:sys_exit_clock_nanosleep /@start[tid] != 0/ {
  printf("%llu %-16s slept %llu ns: %d\\n", nsecs, comm, nsecs - @start[tid], args->ret);
  delete(@start[tid]);
}
"""
LINES_MANIFEST = """
summary: Sleeps, as lines
process: own
parameters:
  "1": {type: string, pattern: ".*", default: "", help: Of which command name}
prints:
  - name: app.slept
    pieces:
      - printf: "%llu %-16s slept %llu ns: %d\\n"
        fields:
          - {type: time}
          - {attribute: thread.name, type: comm}
          - {name: took}
          - {attribute: error.type, decode: errno_error}
spans:
  - {name: sleep, event: app.slept, duration: took, kind: client, keep: {min_duration: 10000000}}
"""


def test_a_line_that_is_a_span(tmp_path: Path, bpftrace: str) -> None:
    comm = marker()
    run = start(tmp_path, LINES, LINES_MANIFEST, bpftrace, f"1={comm}")
    sleeper = Sleeper(*MILLISECONDS)
    before = time.time_ns()
    in_thread(comm, sleeper)
    after = time.time_ns()
    telemetry = ended(run, tmp_path)
    found = [duration(span) for _, span in telemetry.spans]
    assert all(took >= 10 for took in found)  # the first one is not kept, unless it was woken so late
    assert len(found) == len(MILLISECONDS) - 1 or sleeper.measured[0] >= 10
    for took, asked, measured in zip(found[::-1], MILLISECONDS[:0:-1], sleeper.measured[:0:-1], strict=False):
        assert asked <= took <= measured
    for attributes, span in telemetry.spans:
        assert (span.name, span.kind, attributes) == ("sleep", CLIENT, {"thread.name": comm})
        assert before <= span.start_time_unix_nano <= span.end_time_unix_nano <= after
    assert {record.body.string_value for _, record in telemetry.logs} <= {"Tracing sleeps... Hit Ctrl-C to end."}


# getpriority() of a user that is not there: it does nothing, and nobody else asks for these.
BEGIN, NOTE, END = 4_000_001, 4_000_002, 4_000_003
CALLS = """
tracepoint:syscalls:sys_enter_getpriority /args->who == 4000001/ { print(("begin", nsecs, tid)); }
tracepoint:syscalls:sys_enter_getpriority /args->who == 4000002/ { print(("note", nsecs, tid)); }
tracepoint:syscalls:sys_enter_getpriority /args->who == 4000003/ { print(("end", nsecs, tid)); }
"""
CALLS_MANIFEST = """
summary: Work, and what happens meanwhile
process: own
events:
  begin: {name: app.begin, fields: [{type: time}, {name: tid}]}
  note: {name: app.note, fields: [{type: time}, {attribute: thread.id}]}
  end: {name: app.end, fields: [{type: time}, {name: tid}]}
spans:
  - {name: work, event: begin, end: end, key: [tid]}
"""


def ask(*users: int) -> None:
    for user in users:
        try:
            os.getpriority(os.PRIO_USER, user)
        except ProcessLookupError:
            continue
        raise AssertionError("a user that should not be there")


def test_what_happens_meanwhile_on_its_thread_belongs_to_a_span(tmp_path: Path, bpftrace: str) -> None:
    run = start(tmp_path, CALLS, CALLS_MANIFEST, bpftrace)
    in_thread(marker(), lambda: ask(NOTE, BEGIN, NOTE, NOTE, END, NOTE))
    threads = [threading.Thread(target=ask, args=(BEGIN, NOTE, END)) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT)
    in_thread(marker(), lambda: ask(END))  # it began before
    telemetry = ended(run, tmp_path, halves=1)
    spans = {(span.trace_id, span.span_id): span for _, span in telemetry.spans}
    assert len(spans) == 21
    found = Counter((record.trace_id, record.span_id) for _, record in telemetry.events("app.note"))
    assert found.pop((b"", b"")) == 2
    assert found.keys() == spans.keys()
    assert sorted(found.values()) == [1] * 20 + [2]
    for _, record in telemetry.logs:
        if record.span_id:
            span = spans[record.trace_id, record.span_id]
            assert span.start_time_unix_nano <= record.time_unix_nano <= span.end_time_unix_nano
    lost = telemetry.snapshots[-1]["ebpf_spans_incomplete_total"].sum.data_points
    assert [point.as_int for point in lost] == [1]


# A server that reads a request by one recvfrom() and begins its answer by one sendto(), on one thread.
REQUESTS = """
tracepoint:syscalls:sys_enter_recvfrom /pid == $1/ { @to[tid] = (uint64)args->ubuf; }
tracepoint:syscalls:sys_exit_recvfrom /@to[tid] != 0/ {
  if (args->ret > 0) { print(("request", nsecs, tid, str(@to[tid], 180))); }
  delete(@to[tid]);
}
tracepoint:syscalls:sys_enter_sendto /pid == $1 && strncmp(str(args->buff, 16), "HTTP/1.1", 8) == 0/ {
  print(("answer", nsecs, tid, str(args->buff, 40)));
}
"""
REQUESTS_MANIFEST = """
summary: Requests of a server
process: own
parameters:
  "1": {type: int, default: 0, help: Of which process}
events:
  request:
    name: app.request
    fields:
      - {type: time}
      - {name: tid}
      - type: string
        also:
          {http.request.method: http_method, url.path: http_path, url.query: http_query, app.context: traceparent}
  answer:
    name: app.answer
    fields:
      - {type: time}
      - {name: tid}
      - {type: string, also: {http.response.status_code: http_status, error.type: http_server_error}}
spans:
  - name: "{http.request.method}"
    kind: server
    event: request
    end: answer
    key: [tid]
    parent: app.context
    metrics:
      - name: http.server.request.duration
        description: Duration of HTTP server requests
        attributes: [http.request.method, http.response.status_code, error.type]
"""
ASKED = (
    ("GET", "/a/200/20?user=me&x", True),
    ("POST", "/b/404/5", True),
    ("DELETE", "/c/503/40", True),
    ("GET", "/d/200/0", False),
)


@contextmanager
def server() -> Iterator[tuple[int, int]]:
    """The process and the port of Python's own HTTP server."""
    port = free_port()
    with subprocess.Popen(
        [sys.executable, str(ANSWERS), str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"listening\n"
        try:
            yield process.pid, port
        finally:
            process.communicate(timeout=TIMEOUT)


def request(port: int, method: str, path: str, headers: dict[str, str]) -> float:
    """How many milliseconds it took."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
    before = time.monotonic()
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    connection.getresponse().read()
    took = time.monotonic() - before
    connection.close()
    return took * 1000


def test_a_server_whose_requests_a_simple_program_reads(tmp_path: Path, bpftrace: str) -> None:
    contexts = [(uuid.uuid4().hex, uuid.uuid4().hex[:16]) for _ in ASKED]
    with server() as (pid, port):
        run = start(tmp_path, REQUESTS, REQUESTS_MANIFEST, bpftrace, f"1={pid}", BPFTRACE_STRLEN="200")
        took = [
            request(port, method, path, {"traceparent": f"00-{trace}-{parent}-01"} if has_context else {})
            for (method, path, has_context), (trace, parent) in zip(ASKED, contexts, strict=True)
        ]
        telemetry = ended(run, tmp_path)
    assert len(telemetry.spans) == len(ASKED)
    for index, (attributes, span) in enumerate(telemetry.spans):
        method, target, has_context = ASKED[index]
        path, _, query = target.partition("?")
        _, _, status, milliseconds = path.split("/")
        assert (span.name, span.kind) == (method, SERVER)
        assert attributes["http.request.method"] == method
        assert attributes["url.path"] == path
        assert attributes["http.response.status_code"] == int(status)
        assert attributes.get("url.query") == ("user=REDACTED&REDACTED" if query else None)
        assert attributes.get("error.type") == (status if int(status) >= 500 else None)
        trace, parent = contexts[index]
        if has_context:
            assert (span.trace_id.hex(), span.parent_span_id.hex()) == (trace, parent)
        else:
            assert not span.parent_span_id
            assert span.trace_id.hex() != trace
        assert int(milliseconds) <= duration(span) <= took[index]
    points = telemetry.snapshots[-1]["http.server.request.duration"].histogram.data_points
    assert sum(point.count for point in points) == len(ASKED)
    assert telemetry.logs == []


def stacks_of(telemetry: Telemetry) -> Sequence[tuple[str, ...]]:
    return [stack for profile in telemetry.profiles for stack, _, _ in profile.samples]


def test_a_packaged_tool_with_histograms_by_stack_becomes_a_profile(tmp_path: Path) -> None:
    """biostacks, of the version whose probes are there on every kernel: what is written to a disk was asked for."""
    made = subprocess.run(
        [Path(__file__).parents[1] / "tools" / "bpftrace-suite", SUITES["0.27"]],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        lack(f"no bpftrace 0.27: {made.stderr}")
    wrapper = Path(made.stdout.strip())
    tool = wrapper.parent / SUITES["0.27"] / "usr/sbin/biostacks.bt"
    run = Run(tmp_path, str(tool), "--bpftrace", str(wrapper), "--output", "out.jsonl").ready()
    path = tmp_path / "written"
    for _ in range(20):
        with path.open("wb") as file:
            file.write(os.urandom(1 << 16))
            os.fsync(file.fileno())
    code, _, stderr = run.stop()
    assert code == 0, stderr
    telemetry = Telemetry.read((tmp_path / "out.jsonl").read_text())
    (profile,) = telemetry.profiles
    assert (profile.type, profile.unit, profile.period) == ("events", "count", 1)
    asked = Counter(name for stack in stacks_of(telemetry) for name in set(stack))
    assert any("submit_bio" in name for name in asked)
    assert any("sync" in name for name in asked), asked
    assert sum(value for _, _, value in profile.samples) >= 20
    assert "1 profiles of" in stderr
