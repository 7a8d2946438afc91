from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from socket import socket
from typing import Any

import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc.error_details_pb2 import DebugInfo, RetryInfo  # type: ignore[import-untyped]
from google.rpc.status_pb2 import Status as RpcStatus  # type: ignore[import-untyped]

from config.errors import ConfigError
from config.otlp import OtlpSettings, Signal
from orchestrator import __version__
from orchestrator.delivery.grpc import GrpcTransport
from orchestrator.delivery.transport import Outcome, Request, Status
from orchestrator.delivery.transports import open_transport, response_type
from tests.orchestrator.delivery.receivers import (
    PATHS,
    Authority,
    GrpcAnswer,
    closed_port,
    grpc_receiver,
    http_receiver,
    raw_receiver,
    settings_for,
)

SERVICES: dict[Signal, str] = {
    "logs": "logs.v1.LogsService",
    "metrics": "metrics.v1.MetricsService",
    "traces": "trace.v1.TraceService",
    "profiles": "profiles.v1development.ProfilesService",
}
REJECTED_FIELDS: dict[Signal, str] = {
    "logs": "rejected_log_records",
    "metrics": "rejected_data_points",
    "traces": "rejected_spans",
    "profiles": "rejected_profiles",
}
RETRYABLE = ("CANCELLED", "DEADLINE_EXCEEDED", "ABORTED", "OUT_OF_RANGE", "UNAVAILABLE", "DATA_LOSS")
OTHERS = [code for code in grpc.StatusCode if code.name not in (*RETRYABLE, "OK")]
BODY = b"exec " * 2000
REQUEST = Request("logs", [BODY], 3)


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("grpc_proxy", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)


@contextmanager
def transport_to(port: int, scheme: str = "http", **options: Any) -> Iterator[GrpcTransport]:
    with closing(GrpcTransport(settings_for("grpc", f"{scheme}://127.0.0.1:{port}", **options))) as transport:
        yield transport


def send(port: int, scheme: str = "http", **options: Any) -> Outcome:
    with transport_to(port, scheme, **options) as transport:
        return transport.send(REQUEST, 10.0)


def outcome_of(answer: GrpcAnswer) -> Outcome:
    with grpc_receiver(answer) as receiver:
        return send(receiver.port)


def status_with(*details: Any) -> bytes:
    status = RpcStatus(code=14, message="busy")
    for detail in details:
        status.details.add().Pack(detail)
    body: bytes = status.SerializeToString()
    return body


def retry_info(seconds: int, nanos: int = 0) -> Any:
    info = RetryInfo()
    info.retry_delay.seconds, info.retry_delay.nanos = seconds, nanos
    return info


def test_the_bytes_of_every_signal_go_to_its_service_over_one_connection() -> None:
    with grpc_receiver() as receiver, transport_to(receiver.port) as transport:
        outcomes = [transport.send(Request(signal, [BODY], 3), 10.0) for signal in PATHS]
    assert outcomes == [Outcome(Status.ACCEPTED)] * 4
    assert [request.method for request in receiver.requests] == [
        f"/opentelemetry.proto.collector.{SERVICES[signal]}/Export" for signal in PATHS
    ]
    assert {request.body for request in receiver.requests} == {BODY}
    assert len({request.peer for request in receiver.requests}) == 1


def test_headers_are_metadata_whatever_their_case() -> None:
    with grpc_receiver() as receiver:
        outcome = send(receiver.port, headers={"X-Scope-OrgID": "team", "trace-bin": "\x01"})
    assert outcome.status is Status.ACCEPTED
    (request,) = receiver.requests
    assert request.metadata["x-scope-orgid"] == "team"
    assert request.metadata["trace-bin"] == b"\x01"
    agent = request.metadata["user-agent"]
    assert isinstance(agent, str)
    assert agent.startswith(f"bpftrace-orchestrator/{__version__} ")


@pytest.mark.parametrize(("compression", "expected"), [("none", BODY[:100]), ("gzip", b"\x1f\x8b\x08")])
def test_compression_is_what_was_asked_for(compression: str, expected: bytes) -> None:
    """Looks at the wire: a server of grpcio has unpacked the body, and keeps the header to itself."""
    seen = bytearray()

    def talk(connection: socket) -> None:
        connection.sendall(b"\0\0\0\4\0\0\0\0\0")  # an empty SETTINGS frame
        while BODY[:100] not in seen and b"\x1f\x8b\x08" not in seen:
            chunk = connection.recv(1 << 16)
            assert chunk
            seen.extend(chunk)

    with raw_receiver(talk) as port:
        send(port, compression=compression)
    assert expected in seen
    assert (b"grpc-encoding" in seen) is (compression == "gzip")


def test_a_signal_without_endpoint_is_rejected() -> None:
    settings = settings_for("grpc", "http://127.0.0.1:1")
    only_traces = OtlpSettings(settings.protocol, {"traces": settings.signals["traces"]})
    with closing(GrpcTransport(only_traces)) as transport:
        outcome = transport.send(REQUEST, 1.0)
    assert (outcome.status, outcome.rejected) == (Status.REJECTED, 3)
    assert "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT" in outcome.message


def test_the_transport_is_chosen_by_protocol() -> None:
    with closing(open_transport(settings_for("grpc", "http://collector:4317"))) as transport:
        assert isinstance(transport, GrpcTransport)
        assert transport.endpoint == "collector:4317"


# What the receiver says


@pytest.mark.parametrize("code", RETRYABLE)
def test_six_codes_are_retryable(code: str) -> None:
    outcome = outcome_of(GrpcAnswer(grpc.StatusCode[code], "try\nlater"))
    assert (outcome.status, outcome.rejected, outcome.retry_after) == (Status.RETRYABLE, 0, None)
    assert outcome.message.endswith(f": {code}: try later")


@pytest.mark.parametrize("code", OTHERS)
def test_all_others_are_rejected_even_with_retry_info(code: grpc.StatusCode) -> None:
    details = None if code is grpc.StatusCode.RESOURCE_EXHAUSTED else status_with(retry_info(1))
    outcome = outcome_of(GrpcAnswer(code, "no", details))
    assert (outcome.status, outcome.rejected, outcome.retry_after) == (Status.REJECTED, 3, None)


def test_resource_exhausted_is_retryable_only_with_retry_info() -> None:
    exhausted = grpc.StatusCode.RESOURCE_EXHAUSTED
    without = outcome_of(GrpcAnswer(exhausted, "full", status_with(DebugInfo(detail="x"))))
    assert (without.status, without.rejected) == (Status.REJECTED, 3)
    with_info = outcome_of(GrpcAnswer(exhausted, "full", status_with(DebugInfo(detail="x"), retry_info(2))))
    assert (with_info.status, with_info.retry_after) == (Status.RETRYABLE, 2.0)


def test_retry_info_is_honoured_on_every_retryable_code() -> None:
    for code in RETRYABLE:
        outcome = outcome_of(GrpcAnswer(grpc.StatusCode[code], "", status_with(retry_info(2, 500_000_000))))
        assert outcome.retry_after == 2.5


@pytest.mark.parametrize(
    ("details", "delay"),
    [
        (b"\xff\xff", None),
        (RpcStatus(details=[AnyMessage(type_url="type.googleapis.com/google.rpc.RetryInfo", value=b"\xff")]), None),
        (status_with(retry_info(-5)), 0.0),
        (status_with(), None),
    ],
)
def test_strange_details_do_no_harm(details: Any, delay: float | None) -> None:
    body = details if isinstance(details, bytes) else details.SerializeToString()
    outcome = outcome_of(GrpcAnswer(grpc.StatusCode.UNAVAILABLE, "busy", body))
    assert (outcome.status, outcome.retry_after) == (Status.RETRYABLE, delay)


def test_a_missing_service_is_told() -> None:
    outcome = outcome_of(GrpcAnswer(grpc.StatusCode.UNIMPLEMENTED, "unknown service"))
    assert (outcome.status, outcome.rejected) == (Status.REJECTED, 3)
    assert "the receiver has no logs service" in outcome.message


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED])
def test_refused_credentials_are_told(code: grpc.StatusCode) -> None:
    assert "OTEL_EXPORTER_OTLP_HEADERS" in outcome_of(GrpcAnswer(code)).message


@pytest.mark.parametrize("signal", PATHS)
def test_partial_success_is_read(signal: Signal) -> None:
    response = response_type(signal)()
    setattr(response.partial_success, REJECTED_FIELDS[signal], 2)
    response.partial_success.error_message = "too old\n\x1b[31m"
    answer = GrpcAnswer(body=response.SerializeToString())
    with grpc_receiver(answer) as receiver, transport_to(receiver.port) as transport:
        outcome = transport.send(Request(signal, [BODY], 3), 10.0)
    assert (outcome.status, outcome.rejected) == (Status.ACCEPTED, 2)
    assert outcome.message == f"the receiver refused 2 of 3 items of {signal}: too old \\x1b[31m"


def test_a_warning_is_no_loss() -> None:
    response = response_type("logs")()
    response.partial_success.error_message = "slow down"
    outcome = outcome_of(GrpcAnswer(body=response.SerializeToString()))
    assert outcome == Outcome(Status.ACCEPTED, 0, "the receiver warns about logs: slow down")


# Connections


@pytest.mark.parametrize(("attempt", "setting"), [(0.05, 60.0), (60.0, 0.05), (-1.0, 60.0)])
def test_the_shorter_timeout_holds(attempt: float, setting: float) -> None:
    released = threading.Event()
    begin = time.monotonic()
    with grpc_receiver(GrpcAnswer(wait_for=released)) as receiver:
        with transport_to(receiver.port, timeout=setting) as transport:
            outcome = transport.send(REQUEST, attempt)
        released.set()
    assert time.monotonic() - begin < 30
    assert outcome.status is Status.RETRYABLE
    assert "DEADLINE_EXCEEDED" in outcome.message


def test_a_refused_connection_is_retryable() -> None:
    outcome = send(closed_port())
    assert (outcome.status, outcome.rejected) == (Status.RETRYABLE, 0)
    assert "Connection refused" in outcome.message


def test_an_http_port_is_recognised() -> None:
    with http_receiver() as receiver:
        outcome = send(receiver.port)
    assert (outcome.status, outcome.rejected) == (Status.REJECTED, 3)
    assert outcome.message.endswith("this looks like an HTTP port: use --otlp-protocol http/protobuf")


def test_an_http_port_that_answers_as_the_collector_does_is_recognised() -> None:
    def talk(connection: socket) -> None:
        connection.recv(1 << 16)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n400 Bad Request")

    with raw_receiver(talk) as port:
        outcome = send(port)
    assert outcome.status is Status.REJECTED
    assert "--otlp-protocol http/protobuf" in outcome.message


def test_a_receiver_may_say_what_a_failed_connection_says() -> None:
    answer = GrpcAnswer(grpc.StatusCode.UNAVAILABLE, "upstream: Failed parsing HTTP/2")
    assert outcome_of(answer).status is Status.RETRYABLE


def test_a_receiver_that_hangs_up_is_retryable() -> None:
    def talk(connection: socket) -> None:
        connection.recv(1 << 16)

    with raw_receiver(talk) as port:
        assert send(port).status is Status.RETRYABLE


# TLS


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("other"), "stranger")


def test_the_authority_given_is_trusted(authority: Authority) -> None:
    with grpc_receiver(credentials=authority.issue("server").grpc_credentials()) as receiver:
        assert send(receiver.port, "https", certificate=str(authority.certificate)).status is Status.ACCEPTED


def test_no_other_authority_is_trusted(authority: Authority, stranger: Authority) -> None:
    with grpc_receiver(credentials=authority.issue("server").grpc_credentials()) as receiver:
        for options in ({}, {"certificate": str(stranger.certificate)}):
            outcome = send(receiver.port, "https", **options)
            assert (outcome.status, outcome.rejected) == (Status.REJECTED, 3)
            assert "OTEL_EXPORTER_OTLP_CERTIFICATE" in outcome.message
    assert receiver.requests == []


def test_a_certificate_for_another_name_is_rejected(authority: Authority) -> None:
    with grpc_receiver(credentials=authority.issue("server", "127.0.0.9").grpc_credentials()) as receiver:
        outcome = send(receiver.port, "https", certificate=str(authority.certificate))
    assert outcome.status is Status.REJECTED
    assert "another name" in outcome.message


@pytest.mark.parametrize("is_one_file", [False, True])
def test_a_client_certificate_is_shown(is_one_file: bool, authority: Authority, tmp_path: Path) -> None:
    client = authority.issue("client")
    options: dict[str, Any] = {"client_certificate": str(client.certificate), "client_key": str(client.key)}
    if is_one_file:
        both = tmp_path / "both.pem"
        both.write_bytes(client.key.read_bytes() + client.certificate.read_bytes())
        options = {"client_certificate": str(both)}
    with grpc_receiver(credentials=authority.issue("server").grpc_credentials(authority.certificate)) as receiver:
        assert send(receiver.port, "https", certificate=str(authority.certificate), **options).status is Status.ACCEPTED


SEND_ALONE = """
import sys
from config.otlp import OtlpSettings, SignalEndpoint
from orchestrator.delivery.grpc import GrpcTransport
from orchestrator.delivery.transport import Request
url, certificate, key = sys.argv[1:]
endpoint = SignalEndpoint(url, client_certificate=certificate or None, client_key=key or None)
transport = GrpcTransport(OtlpSettings("grpc", {"logs": endpoint}))
print(transport.send(Request("logs", [b""], 1), 10.0).status.name)
transport.close()
"""


ROOT = Path(__file__).parents[3]


def send_alone(environ: dict[str, str], *arguments: str, script: str = SEND_ALONE) -> subprocess.CompletedProcess[str]:
    """In a process of its own, where the library is loaded by the transport and reads its environment anew."""
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=True)


def test_a_client_certificate_is_shown_without_an_authority_too(authority: Authority) -> None:
    client = authority.issue("client")
    environ = {"GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": str(authority.certificate)}  # what gRPC trusts by default
    with grpc_receiver(credentials=authority.issue("server").grpc_credentials(authority.certificate)) as receiver:
        url = f"https://127.0.0.1:{receiver.port}"
        assert send_alone(environ, url, str(client.certificate), str(client.key)).stdout == "ACCEPTED\n"


def test_the_library_itself_says_nothing(authority: Authority) -> None:
    with grpc_receiver(credentials=authority.issue("server").grpc_credentials()) as receiver:
        done = send_alone({}, f"https://127.0.0.1:{receiver.port}", "", "")
        told = send_alone({"GRPC_VERBOSITY": "INFO"}, f"https://127.0.0.1:{receiver.port}", "", "")
    assert (done.stdout, done.stderr) == ("REJECTED\n", "")
    assert "handshake" in told.stderr.lower()


FORK_WHILE_SENDING = """
import os, threading
from orchestrator.delivery.grpc import GrpcTransport
from orchestrator.delivery.transport import Request
from tests.orchestrator.delivery.receivers import raw_receiver, settings_for
sending, forked = threading.Event(), threading.Event()

def talk(connection):
    connection.sendall(bytes((0, 0, 0, 4, 0, 0, 0, 0, 0)))
    connection.recv(1)
    sending.set()
    forked.wait()

with raw_receiver(talk) as port:
    transport = GrpcTransport(settings_for("grpc", f"http://127.0.0.1:{port}"))
    thread = threading.Thread(target=transport.send, args=(Request("logs", [b""], 1), 10.0))
    thread.start()
    sending.wait()
    os.fork() or os._exit(0)
    os.wait()
    forked.set()
    thread.join()
    transport.close()
"""


def test_the_library_has_no_part_in_forks() -> None:
    """Or it says "Other threads are currently calling into gRPC, skipping fork() handlers"."""
    done = send_alone({"GRPC_VERBOSITY": "INFO", "PYTHONWARNINGS": "ignore"}, script=FORK_WHILE_SENDING)
    assert "fork" not in done.stderr


def test_the_lack_of_a_client_certificate_is_told(authority: Authority) -> None:
    with grpc_receiver(credentials=authority.issue("server").grpc_credentials(authority.certificate)) as receiver:
        outcome = send(receiver.port, "https", certificate=str(authority.certificate))
    assert outcome.status is not Status.ACCEPTED
    assert "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE" in outcome.message


def test_plain_text_against_tls_is_told(authority: Authority) -> None:
    with grpc_receiver(credentials=authority.issue("server").grpc_credentials()) as receiver:
        outcome = send(receiver.port)
    assert outcome.status is Status.RETRYABLE
    assert "https://" in outcome.message


def test_tls_against_plain_text_is_rejected() -> None:
    with grpc_receiver() as receiver:
        outcome = send(receiver.port, "https")
    assert outcome.status is Status.REJECTED
    assert "use http://" in outcome.message


@pytest.mark.parametrize("name", ["certificate", "client_certificate"])
def test_files_that_hold_no_certificate_are_named(name: str, tmp_path: Path) -> None:
    garbage = tmp_path / "garbage.pem"
    garbage.write_text("no certificate")
    with pytest.raises(ConfigError) as caught:
        GrpcTransport(settings_for("grpc", "https://127.0.0.1:1", **{name: str(garbage)}))
    assert str(caught.value).startswith(f"OTEL_EXPORTER_OTLP_{name.upper()}: {str(garbage)!r} is wrong; expected")
