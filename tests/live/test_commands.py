"""`list`, `show` and `check` on this host."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest


def orchestrate(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "orchestrator", *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def test_list() -> None:
    done = orchestrate("list")
    assert done.returncode == 0
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["alloc", "cpu", "exec", "http", "offcpu", "tcp"]
    rows = {row["name"]: row for row in json.loads(orchestrate("list", "--json").stdout)}
    assert rows["tcp"]["becomes"] == ["metrics", "logs"]
    assert rows["tcp"]["parameters"] == ["events"]
    assert (rows["http"]["becomes"], rows["cpu"]["becomes"]) == (["metrics", "traces"], ["profiles"])
    assert all(row["can_run"] for row in rows.values()), rows


@pytest.mark.parametrize("name", ["tcp", "exec", "cpu", "offcpu", "http"])
def test_show_is_a_program_that_bpftrace_takes(name: str, bpftrace: str) -> None:
    """What is shown can be given to bpftrace as it is, by every version."""
    shown = orchestrate("show", name)
    assert shown.returncode == 0
    assert "getopt" not in shown.stdout
    program = shown.stdout + "\ninterval:ms:1 { exit(); }\n"
    done = subprocess.run(
        [bpftrace, "-f", "json", "-"], input=program, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert '"attached_probes"' in done.stdout


def test_show_tells_what_it_becomes() -> None:
    shown = orchestrate("show", "exec", "--set", "exits=true").stdout
    assert "exits=false  Record the end of each process" in shown
    assert "@exec_calls[error.type] -> counter ebpf.process.execs" in shown
    assert "exec_exit -> ebpf.process.exit: process.pid" in shown
    assert "sched_process_exit\n" in shown
    assert "sched_process_exit\n" not in orchestrate("show", "exec").stdout


def test_check() -> None:
    done = orchestrate("check")
    assert done.returncode == 0, done.stdout
    assert "signal tcp: can run here" in done.stdout
    found = json.loads(orchestrate("check", "tcp", "--json").stdout)
    subjects = {check["subject"] for check in found["checks"]}
    assert {"kernel", "kernel config", "BTF", "tracefs", "lockdown", "kprobes", "privileges", "bpftrace"} <= subjects
    assert list(found["signals"]) == ["tcp"]
    assert found["signals"]["tcp"]["can_run"] is True
    for check in found["checks"]:
        assert check["status"] == "ok" or check["mend"], check


def test_check_endpoint() -> None:
    done = orchestrate("check", "--otlp-endpoint", "http://127.0.0.1:1")
    assert done.returncode == 1
    assert "127.0.0.1:1 cannot be reached" in done.stdout
