"""Programs that nobody wrote for us: `orchestrate run FILE.bt` without a manifest; every version alike."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest

from tests.live.harness import TIMEOUT, Run, Telemetry, attributes

CALLS = {4_000_001: 30, 4_000_002: 12}

# getpriority() of a user that is not there: it does nothing, and nobody else asks for these.
COUNTS = """
BEGIN { printf("Tracing...\\n"); printf("%-8s %-4s %s\\n", "WHO", "CPU", "COMM"); }

tracepoint:syscalls:sys_enter_getpriority
/args->which == 2 && args->who > 4000000/
{
  @calls[args->who] = count();
  @who_bytes = hist(args->who - 4000000);
  @stat[comm] = stats(args->who);
  @mean = avg(args->who - 4000000);
  @last = args->who;
  printf("%-8d ", args->who);
  printf("%-4d %s\\n", cpu, comm);
  print((args->who, comm));
}

END { printf("Bye.\\n"); print(@calls, 1); clear(@calls); clear(@stat); }
"""


def call(who: int, times: int) -> None:
    for _ in range(times):
        try:
            os.getpriority(os.PRIO_USER, who)
        except ProcessLookupError:
            continue
        raise AssertionError("a user that should not be there")


def run(folder: Path, program: Path, bpftrace: str, *more: str) -> tuple[int, str, Telemetry]:
    tracing = Run(folder, str(program), "--bpftrace", bpftrace, "--output", "out.jsonl", *more).ready()
    for who, times in CALLS.items():
        call(who, times)
    code, _, stderr = tracing.stop()
    return code, stderr, Telemetry.read((folder / "out.jsonl").read_text())


def last(telemetry: Telemetry, name: str) -> list[tuple[dict[str, Any], Any]]:
    """The points of a metric when it was sent for the last time."""
    metric = [snapshot[name] for snapshot in telemetry.snapshots if name in snapshot][-1]
    data = getattr(metric, metric.WhichOneof("data") or "")
    return [(attributes(point.attributes), point) for point in data.data_points]


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "counts.bt"
    path.write_text(COUNTS)
    return path


def test_everything_that_it_prints_arrives(tmp_path: Path, program: Path, bpftrace: str) -> None:
    code, stderr, telemetry = run(tmp_path, program, bpftrace, "--interval", "200ms")
    assert code == 0, stderr
    counts = {found["ebpf.who"]: point.as_int for found, point in last(telemetry, "ebpf.counts.calls")}
    assert counts == CALLS  # though END clears the map, and prints one key of it
    ((_, histogram),) = last(telemetry, "ebpf.counts.who_bytes")
    assert dict(zip(histogram.explicit_bounds, histogram.bucket_counts, strict=False)) == {1.0: 30, 3.0: 12}
    ((found, stat),) = last(telemetry, "ebpf.counts.stat")
    comm = Path("/proc/self/comm").read_text().rstrip("\n")
    assert found == {"thread.name": comm}
    assert (stat.count, stat.sum) == (42, sum(who * times for who, times in CALLS.items()))
    ((_, mean),) = last(telemetry, "ebpf.counts.mean")
    assert mean.as_int == 1  # 54 / 42
    ((_, value),) = last(telemetry, "ebpf.counts.last")
    assert value.as_int == 4_000_002
    lines = [
        (found["ebpf.who"], found["thread.name"], record.body.string_value)
        for found, record in telemetry.logs
        if "cpu.logical_number" in found
    ]
    assert [who for who, _, _ in lines] == [who for who, times in CALLS.items() for _ in range(times)]
    assert {name for _, name, _ in lines} == {comm}
    assert all(body.startswith(f"{who}  ") and body.endswith(f" {comm}") for who, _, body in lines)
    tuples = [found for found, record in telemetry.logs if record.body.string_value.startswith("(")]
    assert tuples == [{"ebpf.who": who, "thread.name": comm} for who, _, _ in lines]
    banners = [record.body.string_value for _, record in telemetry.logs if record.event_name.endswith(("n", "d", "_2"))]
    assert {"Tracing...", "Bye."} <= set(banners)
    assert "could not be read" not in stderr


def test_maps_are_sent_every_interval_and_never_fall(tmp_path: Path, program: Path, bpftrace: str) -> None:
    tracing = Run(
        tmp_path, str(program), "--bpftrace", bpftrace, "--output", "out.jsonl", "--interval", "200ms"
    ).ready()
    call(4_000_001, 3)
    path, sent = tmp_path / "out.jsonl", '"name":"ebpf.counts.calls"'
    while path.read_text().count(sent) < 3:
        call(4_000_001, 1)
        assert tracing.process.poll() is None
    tracing.stop()
    telemetry = Telemetry.read(path.read_text())
    metrics = [snapshot["ebpf.counts.calls"] for snapshot in telemetry.snapshots if "ebpf.counts.calls" in snapshot]
    values = [metric.sum.data_points[0].as_int for metric in metrics]
    assert values == sorted(values)
    assert len({metric.sum.data_points[0].start_time_unix_nano for metric in metrics}) == 1
    times = [metric.sum.data_points[0].time_unix_nano for metric in metrics]
    assert times == sorted(set(times))
    assert all(metric.sum.is_monotonic for metric in metrics)


def test_what_the_author_says_in_comments_counts(tmp_path: Path, bpftrace: str) -> None:
    path = tmp_path / "said.bt"
    path.write_text(
        '// otlp: @calls name=app.lookups unit={lookup} keys=user.id description="Lookups of users"\n'
        "tracepoint:syscalls:sys_enter_getpriority /args->who > 4000000/ { @calls[args->who] = count(); }\n"
    )
    code, stderr, telemetry = run(tmp_path, path, bpftrace)
    assert code == 0, stderr
    metric = [snapshot["app.lookups"] for snapshot in telemetry.snapshots if "app.lookups" in snapshot][-1]
    assert (metric.unit, metric.description) == ("{lookup}", "Lookups of users")
    assert {found["user.id"]: point.as_int for found, point in last(telemetry, "app.lookups")} == CALLS


def test_the_inferred_manifest_can_be_written_and_changed(tmp_path: Path, program: Path) -> None:
    command = [sys.executable, "-m", "orchestrator", "show", str(program), "--manifest"]
    manifest = subprocess.run(command, capture_output=True, text=True, check=True, timeout=TIMEOUT).stdout
    assert "name: ebpf.counts.calls" in manifest
    program.with_suffix(".yaml").write_text(manifest.replace("name: ebpf.counts.calls", "name: renamed"))
    code, stderr, telemetry = run(tmp_path, program, "bpftrace")
    assert code == 0, stderr
    assert {found["ebpf.who"]: point.as_int for found, point in last(telemetry, "renamed")} == CALLS


def test_a_program_that_ends_by_itself_is_an_ordinary_end(tmp_path: Path, bpftrace: str) -> None:
    path = tmp_path / "ends.bt"
    path.write_text('interval:ms:300 { @x = count(); printf("%s\\n", "done"); exit(); }\n')
    code, _, stderr = Run(tmp_path, str(path), "--bpftrace", bpftrace, "--output", "out.jsonl").wait()
    assert code == 0, stderr
    telemetry = Telemetry.read((tmp_path / "out.jsonl").read_text())
    assert [record.body.string_value for _, record in telemetry.logs] == ["done"]
    ((_, point),) = last(telemetry, "ebpf.ends.x")
    assert point.as_int == 1


def test_positional_parameters_are_set_by_number(tmp_path: Path, bpftrace: str) -> None:
    marker = uuid.uuid4().hex
    path = tmp_path / "given.bt"
    path.write_text('BEGIN { printf("%d %s\\n", $1, str($2)); exit(); }\n')
    arguments = (str(path), "--bpftrace", bpftrace, "--set", "1=42", "--set", f"2={marker}", "--output", "out.jsonl")
    code, _, stderr = Run(tmp_path, *arguments).wait()
    assert code == 0, stderr
    telemetry = Telemetry.read((tmp_path / "out.jsonl").read_text())
    assert [record.body.string_value for _, record in telemetry.logs] == [f"42 {marker}"]


def test_a_program_and_a_signal_run_side_by_side(tmp_path: Path, program: Path) -> None:
    code, stderr, telemetry = run(tmp_path, Path(f"exec,{program}"), "bpftrace", "--interval", "200ms")
    assert code == 0, stderr
    assert {found["ebpf.who"]: point.as_int for found, point in last(telemetry, "ebpf.counts.calls")} == CALLS
    assert any("ebpf_events_processed_total" in snapshot for snapshot in telemetry.snapshots)
    assert "exec, counts: " in stderr


def test_a_mistake_is_told_by_its_line(tmp_path: Path, bpftrace: str) -> None:
    path = tmp_path / "wrong.bt"
    path.write_text("BEGIN { @a = count(); }\n\ninterval:s:1 { @a = ; }\n")
    code, _, stderr = Run(tmp_path, str(path), "--bpftrace", bpftrace).wait()
    assert code == 3
    assert "wrong cannot run" in stderr
    assert ":3:" in stderr
    assert "Traceback" not in stderr
