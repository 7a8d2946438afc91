"""Runs the real program against the real kernel, and reads what came out with protobuf's own JSON parser."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.profiles.v1development.profiles_service_pb2 import ExportProfilesServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from orchestrator.delivery.spool import read_entries
from orchestrator.otlp.json_format import to_json
from orchestrator.spools import spool_folders
from orchestrator.telemetry import OWN_SCOPE
from tests.live.conftest import lack
from tests.tools.profile_rules import check_profiles, profiles_of

TIMEOUT = 60.0


def kept(state: Path) -> str:
    """All that waits in a spool, or was refused, as OTLP JSON lines."""
    entries = [entry.read() for folder, _ in spool_folders(state / "spool") for entry in read_entries(folder)]
    return "".join(f"{to_json(one.signal, one.body).decode()}\n" for one in entries)


class Run:
    """``orchestrate run ...`` in a process of its own; ``ready()`` waits until all probes are attached."""

    def __init__(
        self,
        folder: Path,
        *arguments: str,
        environment: dict[str, str] | None = None,
        command: Sequence[str] = (sys.executable, "-m", "orchestrator"),
    ) -> None:
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        (folder / "notify").unlink(missing_ok=True)  # of a run before
        self._notify.bind(str(folder / "notify"))
        (folder / "notify").chmod(0o777)  # it may run as another user
        self._notify.settimeout(TIMEOUT)
        self.process = subprocess.Popen(
            [*command, "run", *arguments],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "NOTIFY_SOCKET": str(folder / "notify"), **(environment or {})},
        )

    def ready(self) -> Run:
        watcher = threading.Thread(target=self._wake_when_it_ends, daemon=True)
        watcher.start()
        message = self.told()
        assert message == b"READY=1", self.process.communicate()[1].decode()
        return self

    def told(self) -> bytes:
        """What systemd is told next."""
        return self._notify.recv(100)

    def _wake_when_it_ends(self) -> None:
        self.process.wait()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            try:
                sender.sendto(b"ENDED", self._notify.getsockname())
            except OSError:
                return

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, bytes, str]:
        """Ask for the end; return exit code, stdout and stderr."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> tuple[int, bytes, str]:
        try:
            stdout, stderr = self.process.communicate(timeout=TIMEOUT)
        finally:
            self.process.kill()
            self._notify.close()
        return self.process.returncode, stdout, stderr.decode()


@dataclass
class Telemetry:
    """All that OTLP JSON lines hold; reading them is strict.

    ``audit``: the log records of no signal; ``delivery``: the snapshots of what was sent.
    """

    logs: list[tuple[dict[str, Any], LogRecord]] = field(default_factory=list)
    audit: list[tuple[dict[str, Any], LogRecord]] = field(default_factory=list)
    snapshots: list[dict[str, Metric]] = field(default_factory=list)
    delivery: list[dict[str, Metric]] = field(default_factory=list)
    profiles: list[ReadProfile] = field(default_factory=list)
    spans: list[tuple[dict[str, Any], Span]] = field(default_factory=list)
    ours: bool = True
    resources: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def read(cls, text: str, *, ours: bool = True) -> Telemetry:
        """``ours`` False: the Collector wrote it, with strings of the Resource in the dictionary of profiles."""
        result = cls(ours=ours)
        for line in text.splitlines():
            (kind,) = json.loads(line).keys() - {"dictionary"}
            result._READERS[kind](result, line)
        return result

    def _add_profiles(self, line: str) -> None:
        request = json_format.Parse(in_base64(line), ExportProfilesServiceRequest())
        check_profiles(request, orphans=not self.ours)
        if self.ours:
            self.resources += [attributes(resource.resource.attributes) for resource in request.resource_profiles]
        self.profiles += [ReadProfile.of(request.dictionary, profile) for profile in profiles_of(request)]

    def _add_spans(self, line: str) -> None:
        request = json_format.Parse(in_base64(line), ExportTraceServiceRequest())
        for resource in request.resource_spans:
            self.resources.append(attributes(resource.resource.attributes))
            for scope in resource.scope_spans:
                self.spans += [(attributes(span.attributes), span) for span in scope.spans]

    def _add_logs(self, line: str) -> None:
        request = json_format.Parse(in_base64(line), ExportLogsServiceRequest())
        for resource in request.resource_logs:
            self.resources.append(attributes(resource.resource.attributes))
            for scope in resource.scope_logs:
                taken = self.audit if scope.scope.name == OWN_SCOPE.name else self.logs
                taken += [(attributes(record.attributes), record) for record in scope.log_records]

    def _add_metrics(self, line: str) -> None:
        request = json_format.Parse(line, ExportMetricsServiceRequest())
        for resource in request.resource_metrics:
            self.resources.append(attributes(resource.resource.attributes))
            found = {metric.name: metric for scope in resource.scope_metrics for metric in scope.metrics}
            (self.delivery if "ebpf.exporter.queue.size" in found else self.snapshots).append(found)

    def total(self, name: str, **wanted: Any) -> int:
        """The sum over the last snapshot's points with these attributes (dots written as ``__``)."""
        return total(self.snapshots[-1] if self.snapshots else {}, name, **wanted)

    def events(self, name: str, **wanted: Any) -> list[tuple[dict[str, Any], LogRecord]]:
        both = [*self.logs, *self.audit]
        return [(found, log) for found, log in both if log.event_name == name and matches(found, wanted)]

    _READERS: ClassVar = {
        "resourceLogs": _add_logs,
        "resourceMetrics": _add_metrics,
        "resourceProfiles": _add_profiles,
        "resourceSpans": _add_spans,
    }


@dataclass(frozen=True)
class ReadProfile:
    """A profile by its names: what it counts, and its samples as (frames, leaf first, attributes, value)."""

    type: str
    unit: str
    period: int
    start: int
    end: int
    samples: list[tuple[tuple[str, ...], dict[str, Any], int]]

    @classmethod
    def of(cls, tables: Any, profile: Any) -> ReadProfile:
        strings = tables.string_table
        samples = [
            (
                tuple(_frame(tables, index) for index in tables.stack_table[sample.stack_index].location_indices),
                {
                    strings[tables.attribute_table[index].key_strindex]: value_of(tables.attribute_table[index].value)
                    for index in sample.attribute_indices
                },
                sample.values[0],
            )
            for sample in profile.samples
        ]
        return cls(
            strings[profile.sample_type.type_strindex],
            strings[profile.sample_type.unit_strindex],
            profile.period,
            profile.time_unix_nano,
            profile.time_unix_nano + profile.duration_nano,
            samples,
        )


def _frame(tables: Any, index: int) -> str:
    location = tables.location_table[index]
    names = [tables.string_table[tables.function_table[line.function_index].name_strindex] for line in location.lines]
    return names[0] if names else hex(location.address)


# The Collector writes profile ids so too.
_IDS = re.compile(r'"(traceId|spanId|parentSpanId|profileId)":"((?:[0-9a-f]{16}){1,2})"')


def in_base64(line: str) -> str:
    """OTLP JSON with its hexadecimal ids as protobuf's own JSON parser wants them."""
    return _IDS.sub(lambda one: f'"{one[1]}":"{base64.b64encode(bytes.fromhex(one[2])).decode()}"', line)


def total(snapshot: dict[str, Metric], name: str, **wanted: Any) -> int:
    """The sum over the points with these attributes, dots written as ``__``."""
    points = snapshot[name].sum.data_points if name in snapshot else []
    return sum(point.as_int for point in points if matches(attributes(point.attributes), wanted))


def matches(found: dict[str, Any], wanted: dict[str, Any]) -> bool:
    return all(found.get(name.replace("__", ".")) == value for name, value in wanted.items())


def value_of(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [value_of(item) for item in value.array_value.values]
    return getattr(value, kind) if kind else None


def attributes(pairs: Any) -> dict[str, Any]:
    found = {pair.key: value_of(pair.value) for pair in pairs}
    assert len(found) == len(pairs), "an attribute key stands twice"
    return found


def orchestrate(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


def run_pprof(folder: Path, *arguments: str, file: str = "cap.pb.gz") -> str:
    """What ``go tool pprof`` says of a file."""
    path = f"{os.environ['PATH']}:/usr/local/go/bin"  # where Go's own archive puts it
    if shutil.which("go", path=path) is None:
        lack("Go is not installed, which has pprof")
    done = subprocess.run(
        ["go", "tool", "pprof", *arguments, file],
        cwd=folder,
        env={**os.environ, "PATH": path, "TZ": "UTC", "PPROF_TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def rows(top: str) -> dict[str, tuple[str, str]]:
    """Of ``pprof -top`` the flat and the cumulative share of each function."""
    found = {}
    for row in top.partition("cum%\n")[2].splitlines():
        _, flat, _, _, cumulative, name = row.split(None, 5)
        found[name] = (flat, cumulative)
    return found


class CountingServer:
    """A TCP server on loopback that counts the payload of each side; every connection is closed before ``join``."""

    def __init__(self, answer: bytes) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._socket.getsockname()[1]
        self._answer = answer
        self.received = 0
        self.sent = 0

    def fetch(self, count: int) -> None:
        """``count`` connections, one after the other, each with a request of its own length."""
        server = threading.Thread(target=self._serve, args=(count,))
        server.start()
        for index in range(count):
            with socket.create_connection(("127.0.0.1", self.port), timeout=TIMEOUT) as client:
                client.sendall(b"GET /" + b"x" * index + b"\r\n\r\n")
                while client.recv(1 << 16):
                    pass
        server.join(TIMEOUT)
        self._socket.close()

    def _serve(self, count: int) -> None:
        for index in range(count):
            connection, _ = self._socket.accept()
            with connection:
                request = b""
                while not request.endswith(b"\r\n\r\n"):
                    request += connection.recv(1 << 16)
                self.received += len(request)
                answer = self._answer * (index % 7 + 1)
                connection.sendall(answer)
                self.sent += len(answer)


@dataclass(frozen=True)
class Execution:
    """One process that was started: what it was given, and between which Unix nanoseconds."""

    arguments: tuple[bytes, ...]
    before: int
    after: int
    pid: int


HOSTILE = (
    b"two three",
    b"q\"uo'te\\",
    b"new\nline",
    "é".encode(),
    b"\xff\xfe",
    b"",
    b'{"type": "value", "data": ["exec",1,2]}',
    b"\x1b[31m",
)


def start_processes(count: int, marker: str, program: str = "/bin/true") -> Iterator[Execution]:
    """Run ``program`` ``count`` times, each with the marker, its number, and one of the hostile arguments last."""
    for index in range(count):
        arguments = (program.encode(), marker.encode(), b"%d" % index, HOSTILE[index % len(HOSTILE)])
        before = time.time_ns()
        process = subprocess.Popen([os.fsdecode(argument) for argument in arguments])
        after = time.time_ns()  # Popen returns when the execution is done
        process.wait(TIMEOUT)
        yield Execution(arguments, before, after, process.pid)


def as_bytes(values: Sequence[str | bytes]) -> tuple[bytes, ...]:
    """Arguments as the kernel has them: OTLP holds text, or bytes where they are no UTF-8."""
    return tuple(value if isinstance(value, bytes) else value.encode() for value in values)
