"""How bpftrace is called, by a small program in its place that says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.manifest import Manifest, Metric
from orchestrator.bpftrace.launch import Launch
from orchestrator.bpftrace.process import BpftraceProcess
from orchestrator.catalog import Signal, load_signal
from orchestrator.limits import LIMITS

TELL = """\
#!/bin/sh
for argument in "$@"; do echo "argument $argument"; done
echo "strings $BPFTRACE_STRLEN,$BPFTRACE_MAX_STRLEN"
echo "keys $BPFTRACE_MAP_KEYS_MAX"
exec cat
"""
OWN = Signal(
    "mine",
    Path("mine.bt"),
    "",
    Manifest(
        summary="Mine",
        process="own",
        metrics={"a": Metric(name="ebpf.a", instrument="counter", unit="1", description="A")},
    ),
)
PROGRAM = "kprobe:f { @a = count(); }"


@pytest.fixture
def path(tmp_path: Path) -> str:
    (tmp_path / "bpftrace").write_text(TELL)
    (tmp_path / "bpftrace").chmod(0o755)
    return str(tmp_path / "bpftrace")


def told(process: BpftraceProcess) -> str:
    chunks = []
    while chunk := process.output.get(30):
        chunks.append(chunk)
    assert process.wait(30) == 0
    return b"".join(chunks).decode()


def launch(path: str, *, unsafe: bool = False) -> Launch:
    rendered = {"mine": PROGRAM, "exec": "tracepoint:a:b { @exec_calls = count(); }"}
    return Launch(path, {}, rendered, {"mine": ["7", "", "a b"], "exec": []}, 1.0, unsafe)


def arguments(said: str) -> list[str]:
    return [line.partition(" ")[2] for line in said.splitlines() if line.startswith("argument ")]


def test_built_in_signals_are_joined_with_limits_of_ours(path: str) -> None:
    said = told(launch(path, unsafe=True).start([load_signal("exec")]))
    assert arguments(said) == ["-f", "json", "-"]  # never unsafe
    assert f"strings {LIMITS.string},{LIMITS.string}\n" in said
    assert f"keys {LIMITS.map_keys}\n" in said
    assert "tracepoint:a:b { @exec_calls = count(); }\n" in said
    assert "print(@exec_calls);" in said


def test_a_program_of_ones_own_gets_its_arguments_and_the_strings_that_it_expects(path: str) -> None:
    said = told(launch(path).start([OWN]))
    assert arguments(said) == ["-f", "json", "-", "7", "", "a b"]
    assert "strings ,\n" in said
    assert f"keys {LIMITS.map_keys}\n" in said
    assert PROGRAM in said
    assert "print(@a);" in said


def test_a_program_of_ones_own_may_change_the_system_where_that_was_asked_for(path: str) -> None:
    said = told(launch(path, unsafe=True).start([OWN]))
    assert arguments(said) == ["-f", "json", "--unsafe", "-", "7", "", "a b"]


def test_as_written_there_is_nothing_of_ours_in_it(path: str) -> None:
    said = told(launch(path).start([OWN], as_written=True))
    assert said.endswith(f"keys {LIMITS.map_keys}\n{PROGRAM}")
    assert arguments(said) == ["-f", "json", "-", "7", "", "a b"]
