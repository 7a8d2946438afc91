"""Secrets of the endpoint in every place that can hold one, and every way in which sending can fail.

Nothing that is printed or written holds them. A receiver repeats what it was sent, as proxies and gateways do.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest

from orchestrator.__main__ import main
from tests.orchestrator.delivery.receivers import (
    Authority,
    GrpcAnswer,
    HttpAnswer,
    closed_port,
    grpc_receiver,
    http_receiver,
)

SECRET = "s3cr3t"
TOKEN, KEY, QUERY = f"{SECRET}-token", f"{SECRET}/key", f"{SECRET}query"
HEADERS = f"authorization=Bearer%20{TOKEN},x-api-key={SECRET}%2Fkey"
ECHO = f"who is Bearer {TOKEN}, or {TOKEN} alone? {KEY} at /v1/logs?token={QUERY}&x={SECRET}%20x ".encode()
OUTPUT = b'{"type": "printf", "data": "hello\\n"}\n{"type": "map", "data": {"@opens": {"cat": 3}}}\n'

Check = Callable[..., str]


@pytest.fixture
def replay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Check:
    """Replay to an endpoint, look at all that comes of it, and return what was said."""
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", HEADERS)
    Path("output.json").write_bytes(OUTPUT)

    def run(url: str, *arguments: str) -> str:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        main(["replay", "output.json", "--summary", "--output", "copy.jsonl", *arguments])
        main(["spool"])
        out, err = capsys.readouterr()
        written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
        assert SECRET not in out + err
        assert SECRET.encode() not in written
        return err

    return run


def with_secret(url: str) -> str:
    return f"{url}?token={QUERY}&x={SECRET}%20x"


@pytest.mark.parametrize(
    "answer",
    [
        HttpAnswer(401, ECHO, {"Content-Type": "text/plain"}),
        HttpAnswer(400, b'{"message": "%b"}' % ECHO, {"Content-Type": "application/json"}),
        HttpAnswer(200, b'{"partialSuccess": {"errorMessage": "%b"}}' % ECHO, {"Content-Type": "application/json"}),
        HttpAnswer(308, b"", {"Location": f"https://other/v1/logs?token={QUERY}&x={SECRET}%20x"}),
        HttpAnswer(404, ECHO, {"Content-Type": "text/plain"}),
    ],
)
@pytest.mark.parametrize("protocol", ["http/protobuf", "http/json"])
def test_http(replay: Check, protocol: str, answer: HttpAnswer) -> None:
    with http_receiver(answer) as receiver:
        said = replay(with_secret(receiver.url), "--otlp-protocol", protocol)
        assert receiver.requests[0].headers["authorization"] == f"Bearer {TOKEN}"
        assert receiver.requests[0].headers["x-api-key"] == KEY
    assert str(receiver.port) in said or "***" in said


def test_grpc(replay: Check) -> None:
    with grpc_receiver(GrpcAnswer(grpc.StatusCode.UNAUTHENTICATED, ECHO.decode())) as receiver:
        said = replay(with_secret(f"http://127.0.0.1:{receiver.port}"), "--otlp-protocol", "grpc")
    assert "who is ***" in said


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_a_certificate_that_nobody_vouches_for(replay: Check, tmp_path: Path, protocol: str) -> None:
    """Verification is on unless it is said otherwise; nothing says so."""
    (tmp_path / "tls").mkdir()
    identity = Authority(tmp_path / "tls").issue("server")
    if protocol == "grpc":
        with grpc_receiver(GrpcAnswer(), credentials=identity.grpc_credentials()) as secure:
            said = replay(f"https://127.0.0.1:{secure.port}", "--otlp-protocol", protocol)
    else:
        with http_receiver(context=identity.server_context()) as receiver:
            said = replay(with_secret(receiver.url), "--otlp-protocol", protocol)
            assert receiver.requests == []
    assert "its certificate is not trusted" in said


@pytest.mark.parametrize(
    "url",
    [
        f"http://user:{SECRET}@localhost:4318",
        f"user:{SECRET}@localhost:4318",
        f"http://localhost:port?token={QUERY}",
        f"http://localhost:4318/?token={QUERY} with a blank",
        f"ftp://localhost/?token={QUERY}",
    ],
)
def test_an_endpoint_that_is_wrong(
    replay: Check, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    said = replay(url)
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in said
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT")
    for command in (["check"], ["run", "exec"]):
        assert main([*command, "--otlp-endpoint", url]) == 2
        out, err = capsys.readouterr()
        assert "--otlp-endpoint" in err
        assert SECRET not in out + err


@pytest.mark.parametrize("headers", [f"authorization {SECRET}", f"a={SECRET}%0a", f"{SECRET}"])
def test_headers_that_are_wrong(replay: Check, monkeypatch: pytest.MonkeyPatch, headers: str) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", headers)
    replay(f"http://127.0.0.1:{closed_port()}")


def test_the_check_of_an_endpoint(capsys: pytest.CaptureFixture[str]) -> None:
    main(["check", "--otlp-endpoint", with_secret(f"http://127.0.0.1:{closed_port()}")])
    out, err = capsys.readouterr()
    assert "cannot be reached" in out
    assert SECRET not in out + err
