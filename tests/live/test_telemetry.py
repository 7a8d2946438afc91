"""What we say of ourselves, as a real Collector has it: what was delivered, and which programs ran."""

from __future__ import annotations

import getpass
import os
import re
import subprocess
import time
import uuid
from pathlib import Path

import pytest
from google.protobuf import json_format
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from orchestrator.bpftrace.binary import read_version
from tests.live.conftest import Collector
from tests.live.harness import TIMEOUT, Run, Telemetry, attributes, total

pytestmark = pytest.mark.live

RECORDS = 30


def test_what_is_said_of_delivery_is_what_the_collector_has(tmp_path: Path, collector: Collector) -> None:
    marker = uuid.uuid4().hex
    endpoint = f"http://127.0.0.1:{collector.http}"
    run = Run(tmp_path, "exec", "--interval", "500ms", "--otlp-endpoint", endpoint).ready()
    for _ in range(RECORDS):
        subprocess.run(["/bin/true", marker], check=True)
    code, _, stderr = run.stop()
    assert code == 0, stderr
    logs, metrics = collector.output("logs", "ebpf.program.ended"), all_metrics(collector, stderr)
    telemetry = Telemetry.read(logs + metrics)
    last = telemetry.delivery[-1]
    exporter = {
        "otel__component__type": "otlp_http_log_exporter",
        "otel__component__name": "otlp_http_log_exporter/0",
        "server__address": "127.0.0.1",
        "server__port": collector.http,
    }
    records = len(telemetry.logs) + len(telemetry.audit)
    assert records >= RECORDS
    assert total(last, "otel.sdk.exporter.log.exported", **exporter) == records
    assert total(last, "otel.sdk.exporter.metric_data_point.exported") == points(metrics.splitlines()[:-1])
    attempts = {
        attributes(point.attributes)["otel.component.type"]: point
        for point in last["ebpf.exporter.attempt.duration"].histogram.data_points
    }
    assert attempts["otlp_http_log_exporter"].count == len(logs.splitlines())
    assert attempts["otlp_http_metric_exporter"].count == len(metrics.splitlines()) - 1
    assert all(0 < point.sum < 60 for point in attempts.values())
    assert "ebpf_events_dropped_total" not in last
    assert [point.as_int for point in last["ebpf.exporter.spool.size"].gauge.data_points] == [0, 0]


def all_metrics(collector: Collector, stderr: str) -> str:
    """What the Collector wrote, once it is all that the run says to have sent."""
    said = re.search(r"([\d,]+) data points", stderr)
    assert said is not None
    deadline = time.monotonic() + TIMEOUT
    while True:
        text = collector.output("metrics", "otel.sdk.exporter.log.exported")
        found = points(text.splitlines())
        if found == int(said[1].replace(",", "")):
            return text
        assert time.monotonic() < deadline, f"{found} data points of {said[0]}"
        time.sleep(0.05)


def points(lines: list[str]) -> int:
    """How many data points stand in requests."""
    requests = [json_format.Parse(line, ExportMetricsServiceRequest()) for line in lines]
    return sum(
        len(getattr(metric, str(metric.WhichOneof("data"))).data_points)
        for request in requests
        for resource in request.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    )


def test_audit_trail(tmp_path: Path, collector: Collector) -> None:
    endpoint = f"http://127.0.0.1:{collector.grpc}"
    arguments = ("--otlp-endpoint", endpoint, "--otlp-protocol", "grpc", "--set", "exec.failed=false")
    run = Run(tmp_path, "exec,tcp", *arguments, environment={"SUDO_USER": "ann"}).ready()
    code, _, stderr = run.stop()
    assert code == 0, stderr
    telemetry = Telemetry.read(collector.output("logs", "ebpf.program.ended"))
    (loaded, first), (ended, second) = telemetry.audit
    assert (first.event_name, first.severity_text) == ("ebpf.program.loaded", "INFO")
    assert (second.event_name, second.severity_text) == ("ebpf.program.ended", "INFO")
    same = ("ebpf.program.sha256", "process.pid", "process.creation.time", "ebpf.signals", "user.id", "user.name")
    assert all(loaded[name] == ended[name] for name in same)
    assert loaded["ebpf.signals"] == ["exec", "tcp"]
    assert "exec.failed=0" in loaded["ebpf.program.parameters"]
    assert "tracepoint:sched:sched_process_exec" in loaded["ebpf.program.probes"]
    assert f"{loaded['ebpf.program.probes.attached']} probes" in stderr
    assert loaded["ebpf.bpftrace.version"] == str(read_version("bpftrace"))
    caller = (loaded["user.id"], loaded["user.name"], loaded["ebpf.sudo.user.name"])
    assert caller == (str(os.getuid()), getpass.getuser(), "ann")
    assert (ended["process.exit.code"], ended["ebpf.program.end.reason"]) == (0, "stopped")
    seconds = (second.time_unix_nano - first.time_unix_nano) / 1e9
    assert 0 < seconds < ended["ebpf.program.duration"]


def test_a_program_that_cannot_start_is_in_the_file_that_a_failed_run_leaves(tmp_path: Path) -> None:
    (tmp_path / "mine.bt").write_text("tracepoint:no:such { @x = count(); }\n")
    run = Run(tmp_path, "./mine.bt", "--output", "out.jsonl")
    code, _, stderr = run.wait()
    assert code == 3, stderr
    audit = Telemetry.read((tmp_path / "out.jsonl").read_text()).audit
    assert audit
    assert {record.event_name for _, record in audit} == {"ebpf.program.failed"}
    assert {found["ebpf.program.end.reason"] for found, _ in audit} == {"not_started"}
    assert audit[-1][1].body.string_value in stderr


def test_a_receiver_of_metrics_alone_needs_no_audit_trail(tmp_path: Path, collector: Collector) -> None:
    variable = {"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": f"http://127.0.0.1:{collector.http}/v1/metrics"}
    run = Run(tmp_path, "tcp", environment=variable).ready()
    code, _, stderr = run.stop()
    assert code == 0, stderr
    assert len(stderr.splitlines()) == 1  # the closing line
    assert collector.output("metrics", "otel.sdk.exporter.metric_data_point.exported")
