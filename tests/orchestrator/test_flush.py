"""What waits on disk: shown by `spool`, sent by `flush`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from config.otlp import load_otlp_settings
from orchestrator import flush as flush_module
from orchestrator.__main__ import main
from orchestrator.delivery.ledger import add_losses
from orchestrator.delivery.spool import SpoolLimits
from orchestrator.delivery.transport import Request
from orchestrator.otlp.common import make_resource
from orchestrator.otlp.logs import encode_logs
from orchestrator.signals.model import LogRecord, Scope
from orchestrator.spools import open_spool
from tests.orchestrator.delivery.receivers import HttpAnswer, http_receiver

RUN = "00000000000000000001-aaaaaaaa"


def request(name: str) -> Request:
    record = LogRecord(1, 1, name, "info", "", {})
    return Request("logs", encode_logs(make_resource({}), {Scope("exec", "1"): [record]}), 1)


def keep(state: Path, url: str, *names: str, refused: str = "") -> Path:
    """What a run left behind that could not reach ``url``."""
    settings = load_otlp_settings({}, url, None)
    assert settings is not None
    spool = open_spool(state / "spool", SpoolLimits(1 << 20, 3600.0), settings, RUN)
    for number, name in enumerate(names, 1):
        spool.add(request(name), number, refused=name == refused)
    return spool.folder


def shown(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    capsys.readouterr()
    assert main(["spool", "--json"]) == 0
    destinations: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["destinations"]
    return destinations


def test_what_waits_is_sent_in_order_where_it_was_to_go(
    state_directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with http_receiver() as receiver:
        keep(state_directory, receiver.url, "first", "second")
        assert main(["flush"]) == 0
        came = [one.body for one in receiver.requests]
    assert came == [request(name).body for name in ("first", "second")]
    assert "2 delivered; 0 requests still wait" in capsys.readouterr().err
    (one,) = shown(capsys)
    assert (one["waiting"], one["bytes"]) == ({"requests": 0, "items": {}}, 0)


def test_nothing_waits(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["flush"]) == 0
    assert "nothing waits in" in capsys.readouterr().err
    assert shown(capsys) == []


def test_another_receiver_may_have_it_all(state_directory: Path) -> None:
    keep(state_directory, "http://127.0.0.1:9", "first")
    with http_receiver() as receiver:
        assert main(["flush", "--otlp-endpoint", receiver.url]) == 0
        assert len(receiver.requests) == 1


def test_headers_are_those_of_the_environment(state_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=secret")
    with http_receiver() as receiver:
        folder = keep(state_directory, receiver.url, "first")
        assert main(["flush"]) == 0
        assert receiver.requests[0].headers["authorization"] == "secret"
    assert all(b"secret" not in path.read_bytes() for path in folder.iterdir())


def test_a_receiver_that_is_away_leaves_it_there(
    state_directory: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flush_module, "_PATIENCE_SECONDS", 0.1)
    keep(state_directory, "http://127.0.0.1:9", "first", "second")
    assert main(["flush"]) == 1
    said = capsys.readouterr().err
    assert "Connection refused" in said
    assert "0 delivered; 2 requests still wait" in said
    (one,) = shown(capsys)
    assert one["waiting"] == {"requests": 2, "items": {"logs": 2}}
    assert (one["endpoint"], one["protocol"]) == ("http://127.0.0.1:9", "http/protobuf")


def test_what_was_refused_is_sent_only_if_asked_for(state_directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with http_receiver() as receiver:
        keep(state_directory, receiver.url, "good", "bad", refused="bad")
        assert main(["flush"]) == 0
        assert [one.body for one in receiver.requests] == [request("good").body]
        assert "1 refused requests are kept: `orchestrate flush --refused`" in capsys.readouterr().err
        (one,) = shown(capsys)
        assert one["refused"] == {"requests": 1, "items": {"logs": 1}}
        assert main(["flush", "--refused"]) == 0
        assert receiver.requests[-1].body == request("bad").body


def test_what_is_refused_now_is_kept_and_told(state_directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with http_receiver(HttpAnswer(400), HttpAnswer()) as receiver:
        keep(state_directory, receiver.url, "bad", "good")
        assert main(["flush"]) == 1
    assert " refused 1 items in whole requests" in capsys.readouterr().err
    (one,) = shown(capsys)
    assert (one["waiting"]["requests"], one["refused"]["requests"]) == (0, 1)


def test_two_do_not_send_at_once(state_directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = load_otlp_settings({}, "http://127.0.0.1:9", None)
    assert settings is not None
    keep(state_directory, "http://127.0.0.1:9", "first")
    spool = open_spool(state_directory / "spool", SpoolLimits(1 << 20, 3600.0), settings, RUN)
    assert spool.lock()
    assert main(["flush"]) == 1
    assert "another process is sending what waits for it" in capsys.readouterr().err
    spool.close()


def test_losses_are_shown_those_of_killed_runs_too(state_directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = keep(state_directory, "http://127.0.0.1:9")
    add_losses(folder, {"spool full": {"logs": 5}})
    (folder / "dead.ledger").write_bytes((7).to_bytes(64, "little"))
    (one,) = shown(capsys)
    assert one["lost"] == {"spool full": {"logs": 5}, "killed": {"logs": 7}}
    assert main(["spool"]) == 0
    assert "lost (killed): 7 of logs" in capsys.readouterr().out


def test_a_protocol_alone_means_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["flush", "--otlp-protocol", "grpc"]) == 2
    assert "--otlp-protocol goes with --otlp-endpoint" in capsys.readouterr().err


def test_the_spool_may_be_named_by_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "c.yaml").write_text(f"spool: {{directory: {tmp_path}/elsewhere}}\n")
    keep_in = load_otlp_settings({}, "http://127.0.0.1:9", None)
    assert keep_in is not None
    open_spool(tmp_path / "elsewhere", SpoolLimits(1 << 20, 3600.0), keep_in, RUN).add(request("a"), 1)
    assert main(["spool", "--config", str(tmp_path / "c.yaml")]) == 0
    assert "waiting: 1 requests: 1 of logs" in capsys.readouterr().out


def test_what_is_too_old_to_be_sent_is_counted_and_no_success(
    state_directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = keep(state_directory, "http://127.0.0.1:9", "old")
    os.utime(next(folder.glob("*.otlp")), (1, 1))
    assert main(["flush"]) == 1
    assert "1 log records were lost (too old" in capsys.readouterr().err
    (one,) = shown(capsys)
    assert one["lost"] == {"too old": {"logs": 1}}


@pytest.mark.parametrize("command", ["flush", "spool"])
def test_a_spool_of_somebody_else_is_not_an_empty_one(
    state_directory: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    keep(state_directory, "http://127.0.0.1:9", "theirs")
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may read everything
    assert main([command]) == 3
    assert "only its owner can read it" in capsys.readouterr().err
