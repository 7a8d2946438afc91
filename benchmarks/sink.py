"""An OTLP/HTTP receiver that takes everything and does as little as it can.

    python benchmarks/sink.py [--parse] [--port N]

It prints `port N` when it listens, on 127.0.0.1 only, and its counts as a line of JSON when SIGTERM or SIGINT ends it:
`{"requests": ..., "bytes": ..., "log_records": ..., "data_points": ...}`, bytes being those of the bodies. The last two
are null but with `--parse`, which reads bodies of both with protobuf. `GET /count` answers the same at any time.

Bodies that are compressed get a 415, so that no comparison holds one by mistake.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from io import BufferedReader
from typing import BinaryIO

_SIGNALS = {signal.SIGTERM, signal.SIGINT}
# An empty message is how both services say that all was taken.
_TAKEN = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n"
# Of the audit trail, which no signal has printed.
_OWN_SCOPE = "bpftrace-orchestrator"
_PATHS = {b"/v1/logs", b"/v1/metrics", b"/v1/traces", b"/v1development/profiles"}
_UNKNOWN = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
_COMPRESSED = b"HTTP/1.1 415 Unsupported Media Type\r\nContent-Length: 0\r\n\r\n"


@dataclass(slots=True)
class Counts:
    """What came so far; bytes are those of bodies."""

    requests: int = 0
    bytes: int = 0
    log_records: int | None = None
    data_points: int | None = None

    def json(self) -> str:
        """One object on one line."""
        return json.dumps(asdict(self))


class Server:
    """Accepts connections and serves each in a thread of its own."""

    def __init__(self, listener: socket.socket, *, parse: bool) -> None:
        self._listener, self._parse, self._lock = listener, parse, threading.Lock()
        self.counts = Counts(log_records=0, data_points=0) if parse else Counts()

    def serve(self) -> None:
        """Accept for ever."""
        while True:
            connection, _ = self._listener.accept()
            threading.Thread(target=self._connection, args=(connection,), daemon=True).start()

    def _connection(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            with connection, BufferedReader(connection.makefile("rb", buffering=0), 1 << 18) as stream:
                while request := stream.readline():
                    headers = dict(read_headers(stream))
                    connection.sendall(self._answer(request.split(b" ")[1], headers, read_body(stream, headers)))
                    if headers.get(b"connection", b"").lower() == b"close":
                        return
        except ConnectionError:
            pass  # A client that is gone needs no answer.

    def _answer(self, path: bytes, headers: dict[bytes, bytes], body: bytes) -> bytes:
        if path == b"/count":
            shown = self.counts.json().encode()
            return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(shown), shown)
        if path not in _PATHS:
            return _UNKNOWN
        if headers.get(b"content-encoding", b"identity") != b"identity":
            return _COMPRESSED
        records = points = 0
        if self._parse:
            records = _log_records(body) if path == b"/v1/logs" else 0
            points = _data_points(body) if path == b"/v1/metrics" else 0
        with self._lock:
            self.counts.requests += 1
            self.counts.bytes += len(body)
            if self.counts.log_records is not None and self.counts.data_points is not None:
                self.counts.log_records += records
                self.counts.data_points += points
        return _TAKEN


def read_headers(stream: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """The headers of a request, names in lower case."""
    while line := stream.readline().strip():
        name, _, value = line.partition(b":")
        yield name.lower(), value.strip()


def read_body(stream: BinaryIO, headers: dict[bytes, bytes]) -> bytes:
    """The body of a request, whole; chunks put together."""
    if headers.get(b"transfer-encoding", b"").lower() != b"chunked":
        return stream.read(int(headers.get(b"content-length", b"0")))
    parts = []
    while size := int(stream.readline().split(b";")[0], 16):
        parts.append(stream.read(size))
        stream.readline()
    for _ in read_headers(stream):  # Trailers end as headers do.
        pass
    return b"".join(parts)


# protobuf is imported where it is needed, as whoever starts a sink should stay small (see measure.py).
def _log_records(body: bytes) -> int:
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest  # noqa: PLC0415

    request = ExportLogsServiceRequest.FromString(body)
    scopes = (scope for resource in request.resource_logs for scope in resource.scope_logs)
    return sum(len(scope.log_records) for scope in scopes if scope.scope.name != _OWN_SCOPE)


def _data_points(body: bytes) -> int:
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (  # noqa: PLC0415
        ExportMetricsServiceRequest,
    )

    request = ExportMetricsServiceRequest.FromString(body)
    metrics = (
        metric for resource in request.resource_metrics for scope in resource.scope_metrics for metric in scope.metrics
    )
    return sum(len(getattr(metric, metric.WhichOneof("data") or "").data_points) for metric in metrics)


@dataclass(frozen=True, slots=True)
class Sink:
    """A receiver in a process of its own, on 127.0.0.1."""

    port: int

    @property
    def url(self) -> str:
        """Its base URL, as OTEL_EXPORTER_OTLP_ENDPOINT takes it."""
        return f"http://127.0.0.1:{self.port}"

    def counts(self) -> Counts:
        """What came so far."""
        with socket.create_connection(("127.0.0.1", self.port), 10) as connection:
            connection.sendall(b"GET /count HTTP/1.1\r\nHost: sink\r\nConnection: close\r\n\r\n")
            answer = connection.makefile("rb").read()
        return Counts(**json.loads(answer.partition(b"\r\n\r\n")[2]))


@contextmanager
def started(*, parse: bool = False) -> Iterator[Sink]:
    """A receiver while the block lasts."""
    command = [sys.executable, __file__, *(["--parse"] if parse else [])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield Sink(int(process.stdout.readline().removeprefix("port ")))
        finally:
            process.terminate()
            process.stdout.read()


def main() -> None:
    """Receive until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parse", action="store_true", help="count log records and data points exactly")
    parser.add_argument("--port", type=int, default=0)
    arguments = parser.parse_args()
    # Blocked before there are threads, so that the one that waits is the one that gets them.
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    listener = socket.create_server(("127.0.0.1", arguments.port), backlog=128)
    server = Server(listener, parse=arguments.parse)
    threading.Thread(target=server.serve, daemon=True).start()
    print("port", listener.getsockname()[1], flush=True)
    signal.sigwait(_SIGNALS)
    print(server.counts.json(), flush=True)
    os._exit(0)  # Connections may still be open, and their threads wait in reads.


if __name__ == "__main__":
    main()
