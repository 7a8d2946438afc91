"""Our own metrics of delivery, from a sender whose receiver answers as told."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from orchestrator.delivery.sender import Sender
from orchestrator.delivery.spool import Spool, SpoolLimits, private_folder
from orchestrator.delivery.transport import Outcome, Request, Status
from orchestrator.delivery_metrics import Destination
from orchestrator.self_telemetry import SelfTelemetry
from orchestrator.signals.model import Metric
from tests.orchestrator.collecting import Collected, histograms, values
from tests.orchestrator.delivery.receivers import settings_for

TAKEN = Outcome(Status.ACCEPTED)
PARTLY = Outcome(Status.ACCEPTED, rejected=2, message="two are too old")
REFUSED = Outcome(Status.REJECTED, 5, "too large")
AWAY = Outcome(Status.RETRYABLE, message="connection refused")
RUN = "00000000000000000001-aaaaaaaa"


class Receiver:
    endpoint = "receiver"

    def __init__(self, *answers: Outcome) -> None:
        self._answers = list(answers)

    def send(self, _request: Request, _timeout: float) -> Outcome:
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]

    def close(self) -> None:
        pass


class Bench:
    """A sender, its telemetry, and what both say."""

    def __init__(self, *answers: Outcome, folder: Path | None = None, size: int = 1 << 20) -> None:
        self.said: list[str] = []
        self.spoke = threading.Event()
        spool = None
        if folder is not None:
            private_folder(folder)
            spool = Spool(folder, RUN, SpoolLimits(size, 3600.0))
        self.sender = Sender(lambda: Receiver(*answers), spool, self.say)
        destination = Destination(settings_for("http/protobuf", "http://collector:4318"), 0, self.sender)
        self.sink = Collected()
        self.telemetry = SelfTelemetry([destination], 10.0, self.sink.metrics, self.said.append)

    def say(self, message: str) -> None:
        self.said.append(message)
        self.spoke.set()

    def run(self, *requests: Request) -> dict[str, Metric]:
        """Send these, and collect."""
        self.sender.start()
        for request in requests:
            self.sender.submit(request)
        self.telemetry.finish(lambda: False)
        self.sender.finish(0.1)
        return self.last

    @property
    def last(self) -> dict[str, Metric]:
        return self.sink.snapshots[-1]["bpftrace-orchestrator"]


LOGS, SPANS, POINTS = Request("logs", [b"l"], 5), Request("traces", [b"ss"], 7), Request("metrics", [b"mmm"], 11)


def test_items_are_exported_once_by_signal_and_cause() -> None:
    last = Bench(TAKEN, PARTLY, TAKEN, REFUSED).run(LOGS, LOGS, SPANS, POINTS)
    assert values(last["otel.sdk.exporter.log.exported"], "error.type") == {(None,): 8, ("rejected",): 2}
    assert values(last["otel.sdk.exporter.span.exported"], "error.type") == {(None,): 7}
    assert values(last["otel.sdk.exporter.metric_data_point.exported"], "error.type") == {("refused",): 11}
    assert "ebpf.exporter.profile.exported" not in last


def test_where_it_goes_is_said_as_the_conventions_have_it() -> None:
    point = Bench(TAKEN).run(LOGS)["otel.sdk.exporter.log.exported"].points[0]
    assert point.attributes == {
        "otel.component.type": "otlp_http_log_exporter",
        "otel.component.name": "otlp_http_log_exporter/0",
        "server.address": "collector",
        "server.port": 4318,
    }


@pytest.mark.parametrize(
    ("endpoint", "server"),
    [
        ("http://[::1]:4317", {"server.address": "::1", "server.port": 4317}),
        ("dns:///backend:4317", {"server.address": "backend", "server.port": 4317}),
        ("unix:///run/otel.sock", {"server.address": "unix:///run/otel.sock"}),
        ("https://backend", {"server.address": "backend", "server.port": 443}),
    ],
)
def test_servers(endpoint: str, server: dict[str, Any]) -> None:
    destination = Destination(settings_for("grpc", endpoint), 1, Bench(TAKEN).sender)
    about = {"otel.component.type": "otlp_grpc_exporter", "otel.component.name": "otlp_grpc_exporter/1"}
    assert destination.attributes() == {**about, **server}


def test_losses_of_delivery_are_dropped_events_and_what_is_kept_is_none(tmp_path: Path) -> None:
    """Refused: kept on disk. Rejected: lost. Data points are no events."""
    last = Bench(REFUSED, PARTLY, PARTLY, PARTLY, folder=tmp_path).run(LOGS, LOGS, SPANS, POINTS)
    dropped = values(last["ebpf_events_dropped_total"], "otel.component.type", "error.type")
    assert dropped == {
        ("otlp_http_log_exporter", "rejected"): 2,
        ("otlp_http_span_exporter", "rejected"): 2,
    }


def test_a_full_spool_is_a_loss_and_counted_once(tmp_path: Path) -> None:
    bench = Bench(AWAY, folder=tmp_path, size=len(LOGS.body))
    bench.sender.start()
    bench.sender.submit(LOGS)
    assert bench.spoke.wait(30)
    for request in (LOGS, LOGS):
        bench.sender.submit(request)
    bench.sender.finish(0.1)  # what waits goes to disk, where there is room for one
    bench.telemetry.collect()
    for name in ("ebpf_events_dropped_total", "otel.sdk.exporter.log.exported"):
        assert values(bench.last[name], "error.type") == {("spool_full",): 10}
    assert values(bench.last["ebpf.exporter.spool.requests"], "ebpf.spool.state") == {("waiting",): 1, ("refused",): 0}
    assert values(bench.last["ebpf.exporter.spool.size"], "ebpf.spool.state") == {("waiting",): 1, ("refused",): 0}


def test_what_was_refused_and_then_dropped_has_failed_once(tmp_path: Path) -> None:
    bench = Bench(REFUSED, folder=tmp_path, size=len(LOGS.body))
    last = bench.run(LOGS, LOGS)
    assert values(last["otel.sdk.exporter.log.exported"], "error.type") == {("refused",): 10}
    assert values(last["ebpf_events_dropped_total"], "error.type") == {("spool_full",): 5}


def test_what_died_with_a_killed_run_is_dropped(tmp_path: Path) -> None:
    (tmp_path / "dead.ledger").write_bytes((7).to_bytes(64, "little"))
    bench = Bench(TAKEN, folder=tmp_path)
    bench.sender.start()
    bench.sender.finish(30)
    bench.telemetry.collect()
    for name in ("ebpf_events_dropped_total", "otel.sdk.exporter.log.exported"):
        assert values(bench.last[name], "error.type") == {("killed",): 7}


def test_what_waits_in_memory() -> None:
    bench = Bench(TAKEN)  # a sender that was not started
    for request in (LOGS, SPANS):
        bench.sender.submit(request)
    bench.telemetry.collect()
    assert values(bench.last["ebpf.exporter.queue.size"]) == {(): 3}
    assert values(bench.last["ebpf.exporter.queue.requests"]) == {(): 2}
    assert "ebpf.exporter.spool.size" not in bench.last


def test_durations_are_those_of_attempts() -> None:
    last = Bench(TAKEN, PARTLY, REFUSED).run(LOGS, LOGS, LOGS)
    points = histograms(last["ebpf.exporter.attempt.duration"])
    assert {point.attributes.get("error.type"): sum(point.counts) for point in points} == {
        None: 1,
        "rejected": 1,
        "refused": 1,
    }
    assert all(len(point.counts) == len(point.bounds) + 1 and (point.sum or 0) > 0 for point in points)


def test_sums_count_from_when_the_sender_was_made() -> None:
    bench = Bench(TAKEN)
    metric = bench.run(LOGS)["otel.sdk.exporter.log.exported"]
    assert metric.start_unix_nano == bench.sender.counts.since < metric.time_unix_nano


def test_collects_once_an_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(TAKEN)
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    telemetry = SelfTelemetry(bench.telemetry._destinations, 10.0, bench.sink.metrics, bench.said.append)
    for now[0] in (9.9, 10.0, 10.1, 19.0, 20.0):
        telemetry.tick()
    assert len(bench.sink.snapshots) == 2


def test_a_failure_is_said_once_and_disturbs_nothing() -> None:
    bench = Bench(TAKEN)

    def fail(_: object) -> None:
        raise ValueError("no idea")

    telemetry = SelfTelemetry(bench.telemetry._destinations, 10.0, fail, bench.said.append)
    telemetry.collect()
    telemetry.collect()
    assert bench.said == ["our own metrics of delivery end early: ValueError: no idea"]
