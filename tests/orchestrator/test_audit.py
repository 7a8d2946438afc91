"""Which programs were started, by whom, and how they ended."""

from __future__ import annotations

import getpass
import hashlib
import os
import stat
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from config.manifest import Manifest
from orchestrator.audit import Audit, caller
from orchestrator.bpftrace.process import BpftraceProcess
from orchestrator.catalog import Signal
from orchestrator.signals.model import LogRecord
from orchestrator.supervision.capture import Capture
from tests.orchestrator.collecting import Collected

OWN = Signal("mine", Path("mine.bt"), "", Manifest(summary="Mine", process="own"))
SHARED = Signal("ours", Path("ours.bt"), "", Manifest(summary="Ours"))
PROGRAM = "tracepoint:sched:sched_process_exec { @x = count(); }"
ATTACHED = '{"type": "attached_probes", "data": {"probes": 3}}\n'
READY = '{"type": "value", "data": ["orchestrator","ready",200]}\n'
END = '{"type": "value", "data": ["orchestrator","end",300]}\n'


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A bpftrace that knows its version and nothing else."""
    file = tmp_path / "bpftrace"
    file.write_text("#!/bin/sh\necho bpftrace v0.17.1\n")
    file.chmod(file.stat().st_mode | stat.S_IXUSR)
    return str(file)


class Bench:
    """A capture with an audit trail; a small script stands for bpftrace."""

    def __init__(self, path: str, script: str, signal: Signal = OWN) -> None:
        self.sink = Collected()
        process = BpftraceProcess([sys.executable, "-c", script], PROGRAM, {})
        self.capture = Capture(process, [signal], self.sink)
        self.capture.audit = Audit(self.sink.log, path, {signal.name: {"pid": 7, "comm": "a b"}})

    def to_the_end(self) -> Capture:
        while not self.capture.at_end:
            self.capture.pump(30)
        return self.capture

    @property
    def trail(self) -> list[LogRecord]:
        assert {scope for scope, record in self.sink.logs if record.event_name.startswith("ebpf.program.")} <= {
            "bpftrace-orchestrator"
        }
        return [record for scope, record in self.sink.logs if scope == "bpftrace-orchestrator"]


def saying(*lines: str, code: int = 0) -> str:
    return f"import os, sys; os.write(1, {''.join(lines).encode()!r}); sys.exit({code})"


def test_a_program_that_comes_to_its_own_end(path: str) -> None:
    before = time.time_ns()
    bench = Bench(path, saying(ATTACHED, READY, END))
    assert bench.to_the_end().ended_well()
    assert bench.capture.ended_well()  # asked again, told once
    loaded, ended = bench.trail
    assert (loaded.event_name, loaded.severity) == ("ebpf.program.loaded", "info")
    same: dict[str, Any] = {
        "ebpf.program.sha256": hashlib.sha256(PROGRAM.encode()).hexdigest(),
        "ebpf.signals": ["mine"],
        "ebpf.program.parameters": ["mine.pid=7", "mine.comm=a b"],
        "ebpf.program.probes.attached": 3,
        "process.pid": bench.capture.process.pid,
        "process.executable.path": path,
        "ebpf.bpftrace.version": "0.17.1",
        "user.id": str(os.getuid()),
        "user.name": getpass.getuser(),
    }
    assert same.items() <= loaded.attributes.items()
    assert same.items() <= ended.attributes.items()
    assert loaded.attributes["ebpf.program.probes"] == ["tracepoint:sched:sched_process_exec"]
    assert (ended.event_name, ended.severity, ended.body) == ("ebpf.program.ended", "info", "exited")
    assert (ended.attributes["process.exit.code"], ended.attributes["ebpf.program.end.reason"]) == (0, "exited")
    assert before <= loaded.time_unix_nano <= ended.time_unix_nano <= time.time_ns()
    assert before <= bench.capture.process.started <= loaded.time_unix_nano
    duration = ended.attributes["ebpf.program.duration"]
    assert isinstance(duration, float)
    assert 0 < duration < (time.time_ns() - before) / 1e9


def test_a_program_that_dies(path: str) -> None:
    bench = Bench(path, f"import os; os.write(2, b'ERROR: out of luck'); {saying(ATTACHED, READY, code=1)}", SHARED)
    why = bench.to_the_end().failure()
    loaded, ended = bench.trail
    assert loaded.event_name == "ebpf.program.loaded"
    assert (ended.event_name, ended.severity, ended.body) == ("ebpf.program.ended", "error", why)
    assert (ended.attributes["process.exit.code"], ended.attributes["ebpf.program.end.reason"]) == (1, "died")
    assert "out of luck" in why


def test_a_program_that_cannot_start(path: str) -> None:
    bench = Bench(path, "import os, sys; os.write(2, b'ERROR: no such probe'); sys.exit(1)")
    why = bench.to_the_end().failure()
    (failed,) = bench.trail
    assert (failed.event_name, failed.severity, failed.body) == ("ebpf.program.failed", "error", why)
    assert failed.attributes["ebpf.program.end.reason"] == "not_started"


def test_a_program_as_it_was_written_is_loaded_when_it_has_outlived_attaching(path: str) -> None:
    """Up to 0.23 bpftrace says that probes are attached before it attaches them."""
    dies = Bench(path, saying(ATTACHED, code=1))
    dies.capture.pipeline.as_written = True
    assert dies.capture.wait_ready(lambda: False)
    dies.capture.settle(30)
    dies.capture.failure()
    assert [record.event_name for record in dies.trail] == ["ebpf.program.failed"]
    lives = Bench(path, f"import os; os.write(1, {ATTACHED.encode()!r}); import signal; signal.pause()")
    lives.capture.pipeline.as_written = True
    assert lives.capture.wait_ready(lambda: False)
    lives.capture.settle(0.01)
    lives.capture.discard()
    assert [record.event_name for record in lives.trail] == ["ebpf.program.loaded", "ebpf.program.ended"]
    assert lives.trail[1].attributes["ebpf.program.end.reason"] == "stopped"


def test_a_program_that_is_told_to_end(path: str) -> None:
    script = f"import os, signal; os.write(1, {(ATTACHED + READY).encode()!r}); signal.pause()"
    bench = Bench(path, script)
    assert bench.capture.wait_ready(lambda: False)
    bench.capture.stop()
    assert [(record.event_name, record.severity) for record in bench.trail] == [
        ("ebpf.program.loaded", "info"),
        ("ebpf.program.ended", "info"),
    ]


def test_a_signal_that_this_host_cannot_run_was_not_started(path: str) -> None:
    sink = Collected()
    Audit(sink.log, path, {"tcp": {}}).left_out("tcp", "no such tracepoint")
    ((scope, record),) = sink.logs
    assert (scope, record.event_name, record.body) == (
        "bpftrace-orchestrator",
        "ebpf.program.failed",
        "no such tracepoint",
    )
    assert record.attributes["ebpf.signals"] == ["tcp"]


def test_a_bpftrace_that_does_not_know_its_version_is_no_obstacle() -> None:
    sink = Collected()
    Audit(sink.log, "/no/such/bpftrace", {"tcp": {}}).left_out("tcp", "why")
    assert sink.logs[0][1].attributes["ebpf.bpftrace.version"] == "unknown"


def test_who_called_sudo_is_known() -> None:
    assert caller({"SUDO_USER": "ann"})["ebpf.sudo.user.name"] == "ann"
    assert "ebpf.sudo.user.name" not in caller({})
