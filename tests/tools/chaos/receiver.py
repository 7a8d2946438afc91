"""An OTLP/HTTP receiver that misbehaves as told, and knows what it has taken even if it is killed.

    python -m tests.tools.chaos.receiver --port N --folder FOLDER

It prints `listening` when it does, on 127.0.0.1. FOLDER/behaviour says how it answers the next request: a name of
`BEHAVIOURS`. Whatever it takes is in FOLDER/taken before it answers: a line of JSON for each request as `Taken` has it,
and after the answer one more, `{"answered": number}`. Both are written at once and outlive `kill -9`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import re
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO, cast

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from benchmarks.sink import read_body, read_headers

__all__ = ("BEHAVIOURS", "Taken")

_SEQUENCE = re.compile(r"seq-(\w+-\d+-\d+)")
_HANG_SECONDS = 30.0
_SLOW_SECONDS, _SLOW_PIECES = 0.6, 12
# A client that waits for a second may not have seen an answer that took so long.
_LATE_SECONDS = 0.5
_PARTIAL = 0.1


@dataclass(frozen=True, slots=True)
class Taken:
    """A request that was taken: when (monotonic nanoseconds), and the sequence numbers that were kept or rejected.

    ``own``: how many log records it had besides, which are of orchestrate's own.
    """

    number: str
    at: int
    path: str
    digest: str
    kept: list[str]
    rejected: list[str]
    own: int = 0


@dataclass(frozen=True, slots=True)
class Message:
    """A request as it came."""

    path: str
    body: bytes

    @property
    def sequences(self) -> list[str]:
        """Of its log records."""
        return [sequence for record in self._records if (sequence := _sequence(record))]

    @property
    def own(self) -> int:
        """How many other log records it has."""
        return len(self._records) - len(self.sequences)

    @property
    def _records(self) -> list[LogRecord]:
        if self.path != "/v1/logs":
            return []
        request = ExportLogsServiceRequest.FromString(self.body)
        scopes = (scope for resource in request.resource_logs for scope in resource.scope_logs)
        return [record for scope in scopes for record in scope.log_records]


class Receiver:
    """Takes requests, each connection in a thread of its own."""

    def __init__(self, folder: Path) -> None:
        self._behaviour = folder / "behaviour"
        self._log = os.open(folder / "taken", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.write(self._log, b"\n")  # a line that was being written when the last one was killed was not answered
        self._random = random.Random(os.getpid())
        self._lock = threading.Lock()
        self._count = 0

    @property
    def behaviour(self) -> str:
        """How to answer now."""
        return self._behaviour.read_text() if self._behaviour.exists() else "well"

    def serve(self, connection: socket.socket) -> None:
        """Answer all requests of a connection."""
        with connection, BufferedReader(connection.makefile("rb", buffering=0), 1 << 18) as stream:
            try:
                while line := stream.readline():
                    headers = dict(read_headers(stream))
                    behave = BEHAVIOURS[self.behaviour]
                    read = _slowly if behave is Receiver.slow else read_body
                    body = read(cast(BinaryIO, stream), headers)
                    if not behave(self, Message(line.split(b" ")[1].decode(), body), connection):
                        return
            except OSError:
                return

    def well(self, message: Message, connection: socket.socket) -> bool:
        """Take it, and say so."""
        return self._take(message, [], connection)

    def slow(self, message: Message, connection: socket.socket) -> bool:
        """The same; it was read slowly."""
        return self._take(message, [], connection)

    def partial(self, message: Message, connection: socket.socket) -> bool:
        """Reject some of it."""
        sequences = message.sequences
        rejected = self._random.sample(sequences, round(len(sequences) * _PARTIAL))
        return self._take(message, rejected, connection)

    def lose_answer(self, message: Message, connection: socket.socket) -> bool:
        """Take it, and say nothing."""
        self._record(message, [])
        return _reset(connection)

    def unavailable(self, _message: Message, connection: socket.socket) -> bool:
        """503."""
        return _answer(connection, "503 Service Unavailable")

    def throttle(self, _message: Message, connection: socket.socket) -> bool:
        """429, and when to come again."""
        return _answer(connection, "429 Too Many Requests", headers="Retry-After: 1\r\n")

    def hang(self, _message: Message, connection: socket.socket) -> bool:
        """Take nothing and say nothing, until the other side gives up or we are to behave."""
        connection.settimeout(0.1)
        until = time.monotonic() + _HANG_SECONDS
        while time.monotonic() < until and self.behaviour == "hang":
            try:
                if not connection.recv(1):
                    break
            except TimeoutError:
                continue
        return False

    def reset(self, _message: Message, connection: socket.socket) -> bool:
        """Take nothing and end the connection."""
        return _reset(connection)

    def _take(self, message: Message, rejected: list[str], connection: socket.socket) -> bool:
        began = time.monotonic()
        number = self._record(message, rejected)
        answer = ExportLogsServiceResponse()
        if rejected:
            answer.partial_success.rejected_log_records = len(rejected)
            answer.partial_success.error_message = "told to"
        goes_on = _answer(connection, "200 OK", answer.SerializeToString())
        if time.monotonic() - began < _LATE_SECONDS:
            self._write({"answered": number})
        return goes_on

    def _record(self, message: Message, rejected: list[str]) -> str:
        with self._lock:
            self._count += 1
            number = f"{os.getpid()}-{self._count}"
        refused = set(rejected)
        kept = [sequence for sequence in message.sequences if sequence not in refused]
        digest = hashlib.sha256(message.body).hexdigest()
        self._write(asdict(Taken(number, time.monotonic_ns(), message.path, digest, kept, rejected, message.own)))
        return number

    def _write(self, entry: object) -> None:
        line = json.dumps(entry).encode() + b"\n"
        if os.write(self._log, line) != len(line):
            raise OSError("the disk of the receiver is full")


BEHAVIOURS: dict[str, Callable[[Receiver, Message, socket.socket], bool]] = {
    "well": Receiver.well,
    "slow reads": Receiver.slow,
    "partial success": Receiver.partial,
    "lost answers": Receiver.lose_answer,
    "503": Receiver.unavailable,
    "429": Receiver.throttle,
    "hang": Receiver.hang,
    "reset": Receiver.reset,
}


def _sequence(record: LogRecord) -> str | None:
    values = (pair.value.string_value for pair in record.attributes if pair.key == "file.path")
    found = next(filter(None, map(_SEQUENCE.fullmatch, values)), None)
    return found[1] if found else None


def _slowly(stream: BinaryIO, headers: dict[bytes, bytes]) -> bytes:
    size = int(headers[b"content-length"])
    pieces: list[bytes] = []
    while (left := size - sum(map(len, pieces))) > 0:
        time.sleep(_SLOW_SECONDS / _SLOW_PIECES)
        pieces.append(stream.read(min(left, size // _SLOW_PIECES + 1)))
        if not pieces[-1]:
            raise ConnectionError("the other side gave up")
    return b"".join(pieces)


def _answer(connection: socket.socket, status: str, body: bytes = b"", headers: str = "") -> bool:
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/x-protobuf\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
    connection.sendall(head.encode() + body)
    return True


def _reset(connection: socket.socket) -> bool:
    """Close so that the other side gets RST (socket(7): SO_LINGER of no time)."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return False


def main() -> None:
    """Receive for ever."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    arguments = parser.parse_args()
    receiver = Receiver(arguments.folder)
    listener = socket.create_server(("127.0.0.1", arguments.port), backlog=128)
    print("listening", flush=True)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=receiver.serve, args=(connection,), daemon=True).start()


if __name__ == "__main__":
    main()
