from __future__ import annotations

import gzip
import json
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from email.utils import formatdate
from pathlib import Path
from socket import socket
from typing import Any

import pytest
from google.protobuf.json_format import MessageToJson
from google.rpc.status_pb2 import Status as RpcStatus  # type: ignore[import-untyped]
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from config.errors import ConfigError
from config.otlp import OtlpSettings, Protocol, Signal
from orchestrator import __version__
from orchestrator.delivery.http import HttpTransport
from orchestrator.delivery.transport import Outcome, Request, Status
from orchestrator.delivery.transports import open_transport, response_type
from tests.orchestrator.delivery.receivers import (
    PATHS,
    Authority,
    HttpAnswer,
    closed_port,
    grpc_receiver,
    http_receiver,
    raw_receiver,
    settings_for,
)

PROTOBUF = {"Content-Type": "application/x-protobuf"}
JSON = {"Content-Type": "application/json"}
TEXT = {"Content-Type": "text/plain; charset=utf-8"}
HTML = {"Content-Type": "text/html"}
REJECTED_FIELDS: dict[Signal, str] = {
    "logs": "rejected_log_records",
    "metrics": "rejected_data_points",
    "traces": "rejected_spans",
    "profiles": "rejected_profiles",
}


def a_request(signal: Signal = "logs") -> Request:
    message = ExportLogsServiceRequest()
    record = message.resource_logs.add().scope_logs.add().log_records.add()
    record.body.string_value = "exec " * 200
    return Request(signal, [message.SerializeToString()], 3)


REQUEST = a_request()


@contextmanager
def transport_to(base: str, protocol: Protocol = "http/protobuf", **options: Any) -> Iterator[HttpTransport]:
    with closing(HttpTransport(settings_for(protocol, base, **options))) as transport:
        yield transport


def send(base: str, request: Request = REQUEST, timeout: float = 10.0, **options: Any) -> Outcome:
    with transport_to(base, **options) as transport:
        return transport.send(request, timeout)


def outcome_of(answer: HttpAnswer, request: Request = REQUEST) -> Outcome:
    with http_receiver(answer) as receiver:
        return send(receiver.url, request)


@pytest.mark.parametrize("sizes", [[0], [1, 2, 3], [20_000, 5, 0, 70_000], [5, 20_000, 1]])
@pytest.mark.parametrize("options", [{}, {"compression": "gzip"}])
def test_pieces_are_posted_as_one_body(sizes: list[int], options: dict[str, Any]) -> None:
    request = Request("logs", [bytes([number]) * size for number, size in enumerate(sizes)], 3)
    with http_receiver() as receiver:
        assert send(receiver.url, request, **options) == Outcome(Status.ACCEPTED)
    (posted,) = receiver.requests
    assert "transfer-encoding" not in posted.headers
    assert int(posted.headers["content-length"]) == len(posted.body)
    body = gzip.decompress(posted.body) if options else posted.body
    assert body == request.body
    assert request.size == sum(sizes)


@pytest.mark.parametrize("signal", PATHS)
def test_protobuf_is_posted_as_it_is(signal: Signal) -> None:
    with http_receiver() as receiver:
        assert send(receiver.url, a_request(signal)) == Outcome(Status.ACCEPTED)
    (request,) = receiver.requests
    assert request.path == PATHS[signal]
    assert request.body == REQUEST.body
    assert request.headers["content-type"] == "application/x-protobuf"
    assert request.headers["user-agent"] == f"bpftrace-orchestrator/{__version__}"
    assert "content-encoding" not in request.headers


def test_json_is_posted_as_json() -> None:
    with http_receiver() as receiver:
        assert send(receiver.url, protocol="http/json").status is Status.ACCEPTED
    (request,) = receiver.requests
    assert request.headers["content-type"] == "application/json"
    (resource,) = json.loads(request.body)["resourceLogs"]
    assert resource["scopeLogs"][0]["logRecords"][0]["body"] == {"stringValue": "exec " * 200}


@pytest.mark.parametrize("protocol", ["http/protobuf", "http/json"])
def test_gzip_uses_the_fastest_level(protocol: Protocol) -> None:
    with http_receiver() as receiver:
        send(receiver.url, protocol=protocol, compression="none")
        send(receiver.url, protocol=protocol, compression="gzip")
    plain, packed = receiver.requests
    assert packed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed.body) == plain.body
    assert packed.body[8] == 4  # RFC 1952: "XFL = 4 - compressor used fastest algorithm"


def test_headers_are_sent_and_cannot_change_what_the_body_is() -> None:
    headers = {"authorization": "Basic Zm9v", "content-type": "text/plain", "content-encoding": "br"}
    with http_receiver() as receiver:
        send(receiver.url, headers=headers, compression="gzip")
    (request,) = receiver.requests
    assert request.headers["authorization"] == "Basic Zm9v"
    assert request.headers["content-type"] == "application/x-protobuf"
    assert request.headers["content-encoding"] == "gzip"


def test_a_signal_without_endpoint_is_rejected() -> None:
    settings = settings_for("http/protobuf", "http://127.0.0.1:1")
    only_traces = OtlpSettings(settings.protocol, {"traces": settings.signals["traces"]})
    with closing(HttpTransport(only_traces)) as transport:
        outcome = transport.send(REQUEST, 1.0)
    assert (outcome.status, outcome.rejected) == (Status.REJECTED, 3)
    assert "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT" in outcome.message


@pytest.mark.parametrize("protocol", ["http/protobuf", "http/json"])
def test_the_transport_is_chosen_by_protocol(protocol: Protocol) -> None:
    with closing(open_transport(settings_for(protocol, "http://collector:4318"))) as transport:
        assert isinstance(transport, HttpTransport)
        assert transport.endpoint == "collector:4318"


# What the receiver says


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_all_of_2xx_is_success(status: int) -> None:
    assert outcome_of(HttpAnswer(status)) == Outcome(Status.ACCEPTED)


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308])
def test_a_redirect_is_no_success_and_is_not_followed(status: int) -> None:
    with http_receiver() as other, http_receiver(HttpAnswer(status, headers={"Location": f"{other.url}/new"})) as first:
        outcome = send(first.url)
    assert (outcome.status, outcome.rejected) == (Status.REJECTED, 3)
    assert f"{other.url}/new" in outcome.message
    assert len(first.requests) == 1
    assert other.requests == []


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_four_statuses_are_retryable(status: int) -> None:
    outcome = outcome_of(HttpAnswer(status, b"try later\nand more", TEXT))
    assert (outcome.status, outcome.rejected, outcome.retry_after) == (Status.RETRYABLE, 0, None)
    assert outcome.message.endswith(f"/v1/logs answered {status}: try later")


@pytest.mark.parametrize(
    ("status", "mend"),
    [
        (400, ""),
        (401, "OTEL_EXPORTER_OTLP_HEADERS"),
        (403, "OTEL_EXPORTER_OTLP_HEADERS"),
        (404, "is the path right, and is this an OTLP endpoint"),
        (405, "is the path right"),
        (408, ""),
        (413, "limit"),
        (415, "--otlp-protocol"),
        (426, "this looks like a gRPC port: use --otlp-protocol grpc"),
        (500, ""),
        (501, ""),
        (505, "--otlp-protocol grpc"),
    ],
)
def test_all_others_are_rejected_with_the_url_and_a_mend(status: int, mend: str) -> None:
    with http_receiver(HttpAnswer(status, headers={"Retry-After": "1"})) as receiver:
        outcome = send(receiver.url)
    assert (outcome.status, outcome.rejected, outcome.retry_after) == (Status.REJECTED, 3, None)
    assert f"{receiver.url}/v1/logs answered {status}" in outcome.message
    assert mend in outcome.message


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_may_be_seconds(status: int) -> None:
    assert outcome_of(HttpAnswer(status, headers={"Retry-After": "17"})).retry_after == 17.0


def test_retry_after_may_be_a_date() -> None:
    date = formatdate(time.time() + 500, usegmt=True)
    delay = outcome_of(HttpAnswer(503, headers={"Retry-After": date})).retry_after
    assert delay is not None
    assert 450 < delay <= 500
    past = HttpAnswer(503, headers={"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"})
    assert outcome_of(past).retry_after == 0.0


@pytest.mark.parametrize("value", ["soon", "-5", "1e99", "nan", "9" * 400, ""])
def test_a_retry_after_that_makes_no_sense_is_none(value: str) -> None:
    outcome = outcome_of(HttpAnswer(503, headers={"Retry-After": value}))
    assert (outcome.status, outcome.retry_after) == (Status.RETRYABLE, None)


@pytest.mark.parametrize("signal", PATHS)
@pytest.mark.parametrize("headers", [PROTOBUF, JSON])
def test_partial_success_is_read(signal: Signal, headers: dict[str, str]) -> None:
    response = response_type(signal)()
    setattr(response.partial_success, REJECTED_FIELDS[signal], 2)
    response.partial_success.error_message = "too old\n\x1b[31m"
    body = MessageToJson(response).encode() if headers is JSON else response.SerializeToString()
    outcome = outcome_of(HttpAnswer(200, body, headers), a_request(signal))
    assert (outcome.status, outcome.rejected) == (Status.ACCEPTED, 2)
    assert outcome.message == f"the receiver refused 2 of 3 items of {signal}: too old \\x1b[31m"


@pytest.mark.parametrize(
    ("body", "rejected", "message"),
    [
        (b'{"partialSuccess": {"rejectedLogRecords": "0", "errorMessage": "slow down"}}', 0, "warns"),
        (b'{"partialSuccess": {"rejectedLogRecords": 1}, "new": [1]}', 1, "refused 1 of 3"),
        (b'{"partialSuccess": {"rejectedLogRecords": "99"}}', 3, "refused 3 of 3"),
        (b'{"partialSuccess": {"rejectedLogRecords": -1}}', 0, ""),
        (b'{"partialSuccess": {}}', 0, ""),
        (b"{}", 0, ""),
        (b"", 0, ""),
    ],
)
def test_a_warning_is_no_loss(body: bytes, rejected: int, message: str) -> None:
    outcome = outcome_of(HttpAnswer(200, body, JSON))
    assert (outcome.status, outcome.rejected) == (Status.ACCEPTED, rejected)
    assert message in outcome.message
    assert bool(message) == bool(outcome.message)


@pytest.mark.parametrize(
    "answer",
    [
        HttpAnswer(200, b"not json", JSON),
        HttpAnswer(200, b'{"partialSuccess": 7}', JSON),
        HttpAnswer(200, b"[" * 100_000, JSON),
        HttpAnswer(200, b"\xff\xff\xff", PROTOBUF),
    ],
)
def test_a_2xx_in_no_otlp_is_said(answer: HttpAnswer) -> None:
    outcome = outcome_of(answer)
    assert (outcome.status, outcome.rejected) == (Status.ACCEPTED, 0)
    assert "is this an OTLP endpoint?" in outcome.message


def test_a_web_page_took_nothing() -> None:
    outcome = outcome_of(HttpAnswer(200, b"<html>Please log in</html>", HTML))
    assert outcome.status is Status.REJECTED
    assert "is this an OTLP endpoint?" in outcome.message


def test_no_more_than_4_mib_of_an_answer_are_read() -> None:
    """The receiver announces 1 GiB and then sends no more than 5 MiB, until the client hangs up."""

    def talk(connection: socket) -> None:
        connection.recv(1 << 16)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n" + b"\0" * (5 << 20))
        while connection.recv(1 << 16):
            pass

    with raw_receiver(talk) as port:
        outcome = send(f"http://127.0.0.1:{port}")
    assert outcome.status is Status.ACCEPTED
    assert "is this an OTLP endpoint?" in outcome.message


@pytest.mark.parametrize(
    "answer",
    [
        HttpAnswer(400, RpcStatus(code=3, message="bad span id").SerializeToString(), PROTOBUF),
        HttpAnswer(400, RpcStatus(code=3, message="bad span id").SerializeToString()),
        HttpAnswer(400, b'{"code": 3, "message": "bad span id"}', JSON),
        HttpAnswer(400, b"bad span id\nat line 5", TEXT),
    ],
)
def test_an_error_is_told_in_one_clean_line(answer: HttpAnswer) -> None:
    assert outcome_of(answer).message.endswith("/v1/logs answered 400: bad span id")


def test_an_error_shows_control_characters_as_escapes() -> None:
    outcome = outcome_of(HttpAnswer(400, b"bad\x1b \x00\tspan\x7f id", TEXT))
    assert outcome.message.endswith("answered 400: bad\\x1b \\x00 span\\x7f id")


@pytest.mark.parametrize("body", [b"<html>nginx</html>", b""])
def test_a_web_page_is_not_told(body: bytes) -> None:
    assert outcome_of(HttpAnswer(400, body, HTML)).message.endswith("/v1/logs answered 400")


@pytest.mark.parametrize("headers", [TEXT, JSON, PROTOBUF])
def test_a_long_error_is_cut(headers: dict[str, str]) -> None:
    message = outcome_of(HttpAnswer(400, b"x" * 100_000, headers)).message
    assert message.endswith("answered 400: " + "x" * 200)


# Connections


def test_connections_are_kept() -> None:
    with http_receiver(HttpAnswer(503, b"busy", TEXT), HttpAnswer()) as receiver:
        with transport_to(receiver.url) as transport:
            outcomes = [transport.send(a_request(signal), 10.0).status for signal in PATHS]
        assert outcomes == [Status.RETRYABLE, Status.ACCEPTED, Status.ACCEPTED, Status.ACCEPTED]
        assert len(receiver.clients) == 1


def test_a_refused_connection_is_retryable() -> None:
    outcome = send(f"http://127.0.0.1:{closed_port()}")
    assert (outcome.status, outcome.rejected) == (Status.RETRYABLE, 0)
    assert outcome.message.endswith("Connection refused")


def test_a_name_that_is_not_known_is_retryable() -> None:
    assert send("http://no-such-host.invalid:4318").status is Status.RETRYABLE


def hang_up(connection: socket) -> None:
    connection.recv(1 << 16)


def test_a_receiver_that_hangs_up_is_retryable_and_may_be_a_grpc_port() -> None:
    with raw_receiver(hang_up) as port:
        outcome = send(f"http://127.0.0.1:{port}")
    assert outcome.status is Status.RETRYABLE
    assert "--otlp-protocol grpc" in outcome.message


def test_a_receiver_that_has_answered_before_is_no_grpc_port() -> None:
    answers = [b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", b""]

    def talk(connection: socket) -> None:
        connection.recv(1 << 16)
        connection.sendall(answers.pop(0))

    with raw_receiver(talk) as port, transport_to(f"http://127.0.0.1:{port}") as transport:
        assert transport.send(REQUEST, 10.0).status is Status.ACCEPTED
        outcome = transport.send(REQUEST, 10.0)
    assert outcome.status is Status.RETRYABLE
    assert "grpc" not in outcome.message


def test_an_answer_cut_short_is_retryable() -> None:
    def talk(connection: socket) -> None:
        connection.recv(1 << 16)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nx")

    with raw_receiver(talk) as port:
        assert send(f"http://127.0.0.1:{port}").status is Status.RETRYABLE


def wait_for_the_client(connection: socket) -> None:
    while connection.recv(1 << 16):
        pass


@pytest.mark.parametrize(("attempt", "setting"), [(0.05, 60.0), (60.0, 0.05), (-1.0, 60.0)])
def test_the_shorter_timeout_holds(attempt: float, setting: float) -> None:
    with raw_receiver(wait_for_the_client) as port, transport_to(f"http://127.0.0.1:{port}", timeout=setting) as sender:
        begin = time.monotonic()
        outcome = sender.send(REQUEST, attempt)
    assert time.monotonic() - begin < 30
    assert outcome.status is Status.RETRYABLE
    assert "no answer in time" in outcome.message


def test_a_receiver_that_takes_each_piece_in_time_and_never_all_is_given_up() -> None:
    def talk(connection: socket) -> None:
        while connection.recv(1 << 13):
            time.sleep(0.01)

    large = Request("logs", [bytes(1 << 16)] * 400, 3)  # more than the kernel keeps of a connection
    with raw_receiver(talk) as port:
        begin = time.monotonic()
        outcome = send(f"http://127.0.0.1:{port}", large, 0.5)
        assert time.monotonic() - begin < 10
    assert outcome.status is Status.RETRYABLE
    assert "timed out" in outcome.message


def test_a_grpc_port_is_recognised() -> None:
    with grpc_receiver() as receiver:
        outcome = send(f"http://127.0.0.1:{receiver.port}")
    assert outcome.status is Status.RETRYABLE
    assert "this looks like a gRPC port: use --otlp-protocol grpc" in outcome.message


@pytest.mark.parametrize(
    ("greeting", "mend"),
    [(b"SSH-2.0-OpenSSH_9.2\r\n", "is the port right?"), (b"\x15\x03\x01\x00\x02\x02\x46", "https://")],
)
def test_what_is_no_http_is_tried_again(greeting: bytes, mend: str) -> None:
    def talk(connection: socket) -> None:
        connection.recv(1 << 16)
        connection.sendall(greeting)

    with raw_receiver(talk) as port:
        outcome = send(f"http://127.0.0.1:{port}")
    assert outcome.status is Status.RETRYABLE
    assert mend in outcome.message


def test_the_environment_names_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{closed_port()}")
    assert outcome_of(HttpAnswer()).status is Status.ACCEPTED


# TLS


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("other"), "stranger")


def test_certificates_are_verified_by_default(authority: Authority) -> None:
    with http_receiver(context=authority.issue("server").server_context()) as receiver:
        outcome = send(receiver.url)
    assert (outcome.status, outcome.rejected) == (Status.REJECTED, 3)
    assert "OTEL_EXPORTER_OTLP_CERTIFICATE" in outcome.message
    assert receiver.requests == []


def test_the_authority_given_is_trusted(authority: Authority) -> None:
    with http_receiver(context=authority.issue("server").server_context()) as receiver:
        assert send(receiver.url, certificate=str(authority.certificate)).status is Status.ACCEPTED


def test_a_certificate_for_another_name_is_rejected(authority: Authority) -> None:
    with http_receiver(context=authority.issue("server", "127.0.0.9").server_context()) as receiver:
        outcome = send(receiver.url, certificate=str(authority.certificate))
    assert outcome.status is Status.REJECTED
    assert "not valid for '127.0.0.1'" in outcome.message


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_bundles_of_other_programs_change_nothing(
    variable: str, authority: Authority, stranger: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    with http_receiver(context=authority.issue("server").server_context()) as receiver:
        monkeypatch.setenv(variable, str(stranger.certificate))
        assert send(receiver.url, certificate=str(authority.certificate)).status is Status.ACCEPTED
        monkeypatch.setenv(variable, str(authority.certificate))
        assert send(receiver.url, certificate=str(stranger.certificate)).status is Status.REJECTED
        assert send(receiver.url).status is Status.REJECTED


def test_a_client_certificate_is_shown(authority: Authority) -> None:
    client = authority.issue("client")
    options: dict[str, Any] = {"client_certificate": str(client.certificate), "client_key": str(client.key)}
    with http_receiver(context=authority.issue("server").server_context(authority.certificate)) as receiver:
        assert send(receiver.url, certificate=str(authority.certificate), **options).status is Status.ACCEPTED


def test_a_client_certificate_is_shown_without_an_authority_too(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))  # the system's authorities
    client = authority.issue("client")
    options: dict[str, Any] = {"client_certificate": str(client.certificate), "client_key": str(client.key)}
    with http_receiver(context=authority.issue("server").server_context(authority.certificate)) as receiver:
        assert send(receiver.url, **options).status is Status.ACCEPTED


def test_the_lack_of_a_client_certificate_is_told(authority: Authority) -> None:
    with http_receiver(context=authority.issue("server").server_context(authority.certificate)) as receiver:
        outcome = send(receiver.url, certificate=str(authority.certificate))
    assert outcome.status is not Status.ACCEPTED
    assert "client certificate" in outcome.message


def test_tls_against_plain_text_is_rejected() -> None:
    with http_receiver() as receiver:
        outcome = send(receiver.url.replace("http:", "https:"))
    assert outcome.status is Status.REJECTED
    assert "use http://" in outcome.message


@pytest.mark.parametrize("name", ["certificate", "client_certificate"])
def test_files_that_hold_no_certificate_are_named(name: str, tmp_path: Path) -> None:
    garbage = tmp_path / "garbage.pem"
    garbage.write_text("no certificate")
    with pytest.raises(ConfigError) as caught:
        HttpTransport(settings_for("http/protobuf", "https://127.0.0.1:1", **{name: str(garbage)}))
    assert str(caught.value).startswith(f"OTEL_EXPORTER_OTLP_{name.upper()}: {str(garbage)!r} is wrong; expected")
