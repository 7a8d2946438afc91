"""A /proc of our own: a wrapper, its bpftrace, and the programs of that."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from orchestrator.bpftrace.process import BpftraceProcess
from orchestrator.supervision import usage
from orchestrator.supervision.bpf import Program
from orchestrator.supervision.usage import BpftraceUsage, ProcessReader, ProgramUsage, usage_metrics
from tests.orchestrator.collecting import numbers

TICKS, PAGE = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
PROGRAMS = {
    5: Program("sched_process_e", ("printf", "AT_exec_emitted")),
    6: Program("sched_process_e", ("AT_exec_emitted",)),
    7: Program("inet_sock_set_s", ("AT_tcp_connecti",)),
    8: Program("interval_ms_20_", ("AT_orchestrator",)),
}


def process(proc: Path, pid: int, *, children: str = "", ticks: tuple[int, ...] = (0, 0, 0, 0), pages: int = 0) -> None:
    (proc / str(pid) / "task" / str(pid)).mkdir(parents=True)
    (proc / str(pid) / "task" / str(pid) / "children").write_text(children)
    fields = " ".join(str(tick) for tick in ticks)
    (proc / str(pid) / "stat").write_text(f"{pid} (a) b) c) S 1 1 1 0 -1 0 0 0 0 0 {fields} 20 0\n")
    (proc / str(pid) / "statm").write_text(f"1000 {pages} 1 1 0 1 0\n")


def program(proc: Path, pid: int, descriptor: int, number: int, nanoseconds: int, runs: int) -> None:
    for folder in ("fd", "fdinfo"):
        (proc / str(pid) / folder).mkdir(exist_ok=True)
    (proc / str(pid) / "fd" / str(descriptor)).symlink_to("anon_inode:bpf-prog")
    info = f"pos:\t0\nprog_type:\t5\nprog_id:\t{number}\nrun_time_ns:\t{nanoseconds}\nrun_cnt:\t{runs}\n"
    (proc / str(pid) / "fdinfo" / str(descriptor)).write_text(info)


@pytest.fixture
def proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(usage, "describe", PROGRAMS.get)
    process(tmp_path, 40, children="41 ", ticks=(1, 2, 3, 4), pages=10)
    process(tmp_path, 41, ticks=(TICKS, TICKS, 0, 0), pages=20)
    for number, (nanoseconds, runs) in {5: (100, 1), 6: (50, 2), 7: (9, 3), 8: (7, 4)}.items():
        program(tmp_path, 41, 10 + number, number, nanoseconds, runs)
    (tmp_path / "41" / "fd" / "3").symlink_to("anon_inode:bpf-map")
    return tmp_path


def test_a_wrapper_and_its_children_are_one(proc: Path) -> None:
    found = ProcessReader(40, ["exec", "tcp"], own=False, proc=proc).read()
    assert found.cpu_seconds == pytest.approx(2 + 10 / TICKS)
    assert found.memory == 30 * PAGE
    assert found.kernel_seconds == pytest.approx(166e-9)


def test_the_work_of_a_child_is_its_own() -> None:
    work = "import time\nwhile time.process_time() < 0.5: pass\nprint('done', flush=True)\ntime.sleep(600)"
    wrapped = [sys.executable, "-c", f"import subprocess, sys; subprocess.run([sys.executable, '-c', {work!r}])"]
    started = BpftraceProcess(wrapped, "", {})
    reader = ProcessReader(started.pid, ["mine"], own=True)
    assert started.output.get(60) == b"done\n"
    assert 0.4 <= reader.cpu_seconds() < 60
    started.kill()
    started.wait(60)
    assert reader.cpu_seconds() == 0


def test_the_maps_of_a_program_tell_whose_it_is(proc: Path) -> None:
    found = ProcessReader(40, ["exec", "tcp"], own=False, proc=proc).read()
    assert sorted(found.programs, key=lambda one: one.name) == [
        ProgramUsage("inet_sock_set_s", "tcp", 9, 3),
        ProgramUsage("interval_ms_20_", "", 7, 4),
        ProgramUsage("sched_process_e", "exec", 150, 3),
    ]


def test_one_signal_has_all_programs_of_its_process(proc: Path) -> None:
    found = ProcessReader(40, ["mine"], own=True, proc=proc).read()
    assert {one.signal for one in found.programs} == {"mine"}


def test_what_cannot_be_described_still_counts(proc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "describe", lambda _: None)
    (one,) = ProcessReader(40, ["exec", "tcp"], own=False, proc=proc).read().programs
    assert one == ProgramUsage("unknown", "", 166, 10)


def test_a_process_that_is_gone_takes_nothing(tmp_path: Path) -> None:
    assert ProcessReader(40, ["exec"], own=True, proc=tmp_path).read() == BpftraceUsage(0, 0, [])


def test_metrics_of_programs() -> None:
    read = BpftraceUsage(1, 2, [ProgramUsage("p", "exec", 150, 3), ProgramUsage("q", "", 7, 4)])
    run_time, runs = usage_metrics(read, 1, 2)
    assert (run_time.name, run_time.unit, run_time.instrument) == ("ebpf_program_run_time_ns", "ns", "counter")
    programs = [{"ebpf.program": "p", "ebpf.signal": "exec"}, {"ebpf.program": "q"}]
    assert numbers(run_time) == list(zip(programs, [150, 7], strict=True))
    assert numbers(runs) == list(zip(programs, [3, 4], strict=True))
    assert usage_metrics(BpftraceUsage(), 1, 2) == []
