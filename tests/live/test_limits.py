"""`resource_limits` with a real bpftrace: what is thinned scales back exactly, and each policy does what it says."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks.live import choose_directory
from orchestrator.signals.sampling import ADJUSTED_COUNT
from orchestrator.supervision.governor import LIMIT_REACHED
from orchestrator.supervision.policy import CPU_SECONDS
from orchestrator.supervision.supervised import RESTARTED
from tests.live.harness import TIMEOUT, Run, Telemetry, attributes

LOAD = Path(__file__).parents[2] / "benchmarks"
OPENS = str(LOAD / "open.bt")
PROCESSES, PATHS = 50, 200
DIRECTORY = choose_directory()
OUTPUT = "out.jsonl"
IDLE = 'tracepoint:syscalls:sys_enter_acct { print(("idle", nsecs)); }\n'


@pytest.fixture(scope="module")
def load(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("load") / "load"
    subprocess.run(["cc", "-O2", "-o", made, LOAD / "load.c"], check=True)
    return made


@contextmanager
def loading(program: Path, rate: int, seconds: int) -> Iterator[subprocess.Popen[str]]:
    """Opens files from a second after now on; what it says in the end is how many."""
    arguments = [str(value) for value in (rate, seconds, PROCESSES, PATHS, DIRECTORY)]
    with subprocess.Popen(
        [program, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def happened(process: subprocess.Popen[str]) -> int:
    said, _ = process.communicate(timeout=TIMEOUT)
    return int(said.split()[-1])


def run(folder: Path, targets: str, limits: str, *more: str) -> Run:
    (folder / "config.yaml").write_text(f"resource_limits: {{{limits}}}\n")
    if OPENS in targets:
        more += ("--set", f"directory={DIRECTORY}")
    return Run(folder, targets, "--config", "config.yaml", "--output", OUTPUT, "--interval", "1s", *more).ready()


def wait_for(folder: Path, words: str, seconds: float = TIMEOUT) -> None:
    deadline = time.monotonic() + seconds
    while words not in (folder / OUTPUT).read_text():
        assert time.monotonic() < deadline, f"no {words!r}"
        time.sleep(0.05)


def number(pattern: str, text: str) -> int:
    found = re.search(pattern, text)
    return int(found[1].replace(",", "")) if found else 0


def scaled(telemetry: Telemetry) -> int:
    """Events, as far as records stand for them."""
    return sum(found.get(ADJUSTED_COUNT, 1) for found, log in telemetry.logs if log.event_name == "ebpf.file.open")


def limit_records(telemetry: Telemetry) -> list[tuple[str, str]]:
    return [
        (found["ebpf.limit.name"], found["ebpf.limit.action"])
        for found, log in telemetry.audit
        if log.event_name == LIMIT_REACHED
    ]


def test_thinned_events_scale_back_to_what_happened(tmp_path: Path, bpftrace: str, load: Path) -> None:
    running = run(tmp_path, OPENS, "max_events_per_sec: 1000", "--bpftrace", bpftrace)
    with loading(load, 20_000, 6) as process:
        truth = happened(process)
    code, _, said = running.stop()
    telemetry = Telemetry.read((tmp_path / OUTPUT).read_text())
    lost = number(r"([\d,]+) of [\d,]+ events were lost", said)
    rest = number(r"but for the last ([\d,]+)", said)
    assert truth == 120_000
    assert scaled(telemetry) + rest + lost == truth
    assert scaled(telemetry) == pytest.approx(truth, rel=0.02)
    assert f"of {truth - lost:,} events were left out (max_events_per_sec 1000)" in said
    assert 4_000 <= len(telemetry.logs) <= 10_000
    dropped = telemetry.total("ebpf_events_dropped_total", error__type="sampled")
    assert dropped == truth - lost - len(telemetry.logs)
    assert code == (1 if lost else 0), said


def test_what_tracing_takes_is_exported(tmp_path: Path, bpftrace: str, load: Path) -> None:
    running = run(tmp_path, f"exec,{OPENS}", "max_events_per_sec: 0", "--bpftrace", bpftrace)
    with loading(load, 5_000, 4) as process:
        truth = happened(process)
    running.stop()
    telemetry = Telemetry.read((tmp_path / OUTPUT).read_text())
    points = [
        (attributes(point.attributes), point.as_int)
        for snapshot in telemetry.snapshots
        for name in ("ebpf_program_runs_total", "ebpf_program_run_time_ns")
        if name in snapshot
        for point in snapshot[name].sum.data_points
    ]
    assert {found.get("ebpf.signal") for found, _ in points} >= {"exec", "open"}
    assert max(value for found, value in points if found.get("ebpf.signal") == "open") >= truth
    percents = [
        snapshot["ebpf_cpu_overhead_percent"].gauge.data_points[0].as_double
        for snapshot in telemetry.snapshots
        if "ebpf_cpu_overhead_percent" in snapshot
    ]
    assert 0 < max(percents) < 100
    memory = [
        snapshot["ebpf_memory_usage_bytes"] for snapshot in telemetry.snapshots if "ebpf_memory_usage_bytes" in snapshot
    ]
    components = {
        attributes(point.attributes)["ebpf.component"]: point.as_int for point in memory[-1].gauge.data_points
    }
    assert all(10e6 < size < 1e9 for size in components.values()), components
    assert components.keys() == {"bpftrace", "orchestrator"}


def test_above_a_limit_events_are_thinned(tmp_path: Path, load: Path) -> None:
    running = run(tmp_path, OPENS, "max_memory_mb: 1, at_limit: sample")
    with loading(load, 2_000, 12) as process:
        truth = happened(process)
        wait_for(tmp_path, ADJUSTED_COUNT)
    code, _, said = running.stop()
    telemetry = Telemetry.read((tmp_path / OUTPUT).read_text())
    assert code == 0, said
    assert ("max_memory_mb", "sample") in limit_records(telemetry)
    assert scaled(telemetry) + number(r"but for the last ([\d,]+)", said) == truth
    assert "(max_memory_mb 1): events are thinned to " in said
    assert "resource_limits: events were thinned down to 1/" in said


def test_above_a_limit_the_costliest_signal_is_stopped_and_the_others_go_on(tmp_path: Path, load: Path) -> None:
    (tmp_path / "idle.bt").write_text(IDLE)
    with loading(load, 2_000, 120):  # from before anything is judged
        running = run(tmp_path, f"idle.bt,{OPENS}", "max_memory_mb: 1, at_limit: stop_costliest")
        wait_for(tmp_path, LIMIT_REACHED)
        assert running.process.poll() is None
    code, _, said = running.stop()
    assert code == 1
    assert "): open, which costs most, is stopped" in said
    telemetry = Telemetry.read((tmp_path / OUTPUT).read_text())
    assert limit_records(telemetry)[0] == ("max_memory_mb", "stop_costliest")
    assert scaled(telemetry) > 0


def test_signals_that_shared_a_bpftrace_with_the_costliest_get_a_new_one(tmp_path: Path) -> None:
    with subprocess.Popen(["sh", "-c", "while :; do /bin/true; done"], start_new_session=True) as busy:
        try:
            running = run(tmp_path, "tcp,exec", "max_memory_mb: 1, at_limit: stop_costliest")
            wait_for(tmp_path, RESTARTED)
            assert running.process.poll() is None
        finally:
            os.killpg(busy.pid, signal.SIGKILL)
    code, _, said = running.stop()
    assert code == 1
    assert "): exec, which costs most, is stopped" in said


def test_above_a_limit_the_run_is_ended(tmp_path: Path) -> None:
    code, _, said = run(tmp_path, "exec", "max_memory_mb: 1, at_limit: stop").wait()
    assert code == 1
    assert said.count("(max_memory_mb 1): the run is ended") == 2  # at once, and at the end
    assert limit_records(Telemetry.read((tmp_path / OUTPUT).read_text())) == [("max_memory_mb", "stop")]


def test_cpu_is_averaged_before_it_is_judged(tmp_path: Path, load: Path) -> None:
    with loading(load, 2_000, 120):
        running = run(tmp_path, OPENS, "max_cpu_percent: 0.05, at_limit: stop")
        began = time.monotonic()
        code, _, said = running.wait()
    assert code == 1
    assert time.monotonic() - began > CPU_SECONDS - 1
    assert "% of all CPUs (max_cpu_percent 0.05): the run is ended" in said
