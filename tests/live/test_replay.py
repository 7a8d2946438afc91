"""What was recorded gives the same telemetry again, in any version, without bpftrace or root."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.host import Host
from orchestrator.telemetry import OWN_SCOPE
from tests.live.harness import TIMEOUT, CountingServer, Run, Telemetry, start_processes

# What tracing itself takes: a replay traces nothing.
OF_TRACING = {
    "ebpf_program_run_time_ns",
    "ebpf_program_runs_total",
    "ebpf_cpu_overhead_percent",
    "ebpf_memory_usage_bytes",
}
TOOLS = ["opensnoop", "statsnoop", "killsnoop", "syscount", "execsnoop"]


def canonical(path: Path) -> tuple[Counter[str], list[str]]:
    """Log records as they are, in any order of batches; metrics request by request; all without the run's id.

    Metrics of tracing itself are left out, and the audit trail: a replay loads nothing.
    """
    logs: Counter[str] = Counter()
    metrics = []
    for line in path.read_text().splitlines():
        request = json.loads(re.sub(r'("ebpf.run.id","value":\{"stringValue":)"[0-9a-f]+"', r'\1"RUN"', line))
        for resource in [*request.get("resourceLogs", []), *request.get("resourceMetrics", [])]:
            resource["resource"]["attributes"].sort(key=lambda attribute: attribute["key"])
        for resource in request.get("resourceLogs", []):
            logs.update(records_of(resource))
        for scope in (scope for resource in request.get("resourceMetrics", []) for scope in resource["scopeMetrics"]):
            scope["metrics"] = [metric for metric in scope["metrics"] if metric["name"] not in OF_TRACING]
        if "resourceMetrics" in request:
            metrics.append(json.dumps(request, sort_keys=True))
    return logs, metrics


def records_of(resource: dict[str, Any]) -> Iterator[str]:
    shared = json.dumps(resource["resource"], sort_keys=True)
    for scope in (one for one in resource["scopeLogs"] if one["scope"]["name"] != OWN_SCOPE.name):
        for record in scope["logRecords"]:
            del record["observedTimeUnixNano"]
            yield shared + scope["scope"]["name"] + json.dumps(record, sort_keys=True)


def replay(folder: Path, *arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator", "replay", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT,
    )
    return done.returncode, done.stderr


def workload(marker: str) -> None:
    CountingServer(b"answer\n").fetch(20)
    for execution in start_processes(16, marker):
        assert execution.pid


def be_busy(_marker: str) -> None:
    """A second, most of it in the kernel."""
    until = time.monotonic() + 1
    while time.monotonic() < until:
        os.urandom(1 << 20)


def record(folder: Path, target: str, bpftrace: str, work: Callable[[str], None] = workload) -> None:
    """Anew where bpftrace did not run its END: 0.17 leaves it out now and then, which the run says."""
    arguments = ("--record", "recording", "--output", "a.jsonl", "--interval", "300ms", "--bpftrace", bpftrace)
    for _ in range(3):
        run = Run(folder, target, *arguments).ready()
        work(f"marker-{uuid.uuid4().hex}")
        code, _, stderr = run.stop()
        if "without its last words" not in stderr:
            break
    assert code == 0, stderr


def test_a_replay_of_the_signals_is_the_run_again(tmp_path: Path, bpftrace: str) -> None:
    record(tmp_path, "tcp,exec", bpftrace)
    code, stderr = replay(tmp_path, "recording", "--output", "b.jsonl")
    assert code == 0, stderr
    run, again = canonical(tmp_path / "a.jsonl"), canonical(tmp_path / "b.jsonl")
    assert sum(run[0].values()) >= 16
    assert len(run[1]) >= 2
    assert again == run


def test_a_replay_of_profiles_is_the_run_again(tmp_path: Path, bpftrace: str) -> None:
    """The same samples in the same windows, and the kernel that was traced."""
    record(tmp_path, "cpu", bpftrace, be_busy)
    code, stderr = replay(tmp_path, "recording", "--output", "b.jsonl")
    assert code == 0, stderr
    texts = [(tmp_path / name).read_text() for name in ("a.jsonl", "b.jsonl")]
    run, again = (Telemetry.read(text).profiles for text in texts)
    assert sum(value for profile in run for _, _, value in profile.samples) > 0
    assert again == run
    build_id = Host().kernel_build_id
    assert build_id is not None
    assert all(f'"stringValue":"{build_id}"' in text for text in texts)


@pytest.mark.parametrize("tool", TOOLS)
def test_a_replay_of_a_tool_is_the_run_again(tmp_path: Path, tool: str) -> None:
    found = next((path for path in map(Path, (f"/usr/sbin/{tool}.bt", f"/usr/bin/{tool}.bt")) if path.exists()), None)
    assert found is not None, f"{tool}.bt belongs to Debian's bpftrace"
    record(tmp_path, str(found), "bpftrace")
    code, stderr = replay(tmp_path, "recording", "--output", "b.jsonl")
    assert code == 0, stderr
    run, again = canonical(tmp_path / "a.jsonl"), canonical(tmp_path / "b.jsonl")
    assert sum(run[0].values()) + len(run[1]) > 3
    assert again == run


def test_bpftrace_alone_can_be_replayed(tmp_path: Path, bpftrace: str) -> None:
    """JSON and text of the same program, from standard output, with and without its source."""
    program = (
        'BEGIN { printf("%-6s %s\\n", "PID", "COMM"); printf("%-6d %s\\n", 42, "a b"); @x["k"] = count(); exit(); }'
    )
    (tmp_path / "some.bt").write_text(program)
    found = {}
    for form in ("json", "text"):
        output = subprocess.run(
            [bpftrace, "-f", form, "-e", program], capture_output=True, check=True, timeout=TIMEOUT
        ).stdout
        (tmp_path / "capture").write_bytes(output)
        for meaning in ((), ("--script", "some.bt")):
            (tmp_path / "out.jsonl").unlink(missing_ok=True)
            code, stderr = replay(tmp_path, "capture", *meaning, "--start", "1700000000", "--output", "out.jsonl")
            assert code == 0, stderr
            telemetry = Telemetry.read((tmp_path / "out.jsonl").read_text())
            assert [record.body.string_value for _, record in telemetry.logs] == ["PID    COMM", "42     a b"]
            assert {record.time_unix_nano for _, record in telemetry.logs} == {1_700_000_000 * 10**9}
            found[form, meaning] = telemetry
    for form in ("json", "text"):
        assert found[form, ()].logs[1][0] == {"process.pid": 42, "thread.name": "a b"}
        exact = found[form, ("--script", "some.bt")]
        (metric,) = [snapshot["ebpf.some.x"] for snapshot in exact.snapshots if "ebpf.some.x" in snapshot]
        assert metric.sum.is_monotonic
        assert [point.as_int for point in metric.sum.data_points] == [1]
