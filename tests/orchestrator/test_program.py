from __future__ import annotations

import re
from pathlib import Path

from config.parameters import Assignment, resolve_parameters
from orchestrator.catalog import find_signals
from orchestrator.host import Host
from orchestrator.program import MARK, join_programs
from parsers.source import map_names, probes_used


def joined(root: Path, *settings: tuple[str, str], interval: float = 1.5) -> str:
    (root / "sys/kernel/btf").mkdir(parents=True)
    (root / "sys/kernel/btf/vmlinux").touch()
    signals = find_signals("tcp,exec")
    assignments = [Assignment(name, text, "--set") for name, text in settings]
    values = resolve_parameters({signal.name: signal.manifest for signal in signals}, assignments)
    rendered = {signal.name: signal.render(values[signal.name], Host(root)) for signal in signals}
    return join_programs(rendered, signals, interval)


def blocks(program: str, head: str) -> list[str]:
    return re.findall(rf"^{head} \{{ (.*) \}}$", program, re.MULTILINE)


def test_a_snapshot_prints_every_exported_map_between_two_marks(tmp_path: Path) -> None:
    (interval,) = blocks(joined(tmp_path), "interval:ms:1500")
    first, *prints, last = [part.strip() for part in interval.split(";") if part.strip()]
    assert first == f'print(("{MARK}", "snapshot", nsecs))'
    assert last == f'print(("{MARK}", "snapshot_end", nsecs))'
    assert {"print(@tcp_connections)", "print(@tcp_rtt)", "print(@exec_calls)", "print(@exec_emitted)"} <= set(prints)
    assert len(prints) == len(set(prints))
    assert not any("tcp_start" in part or "exec_argv" in part for part in prints)


def test_only_maps_of_the_rendered_program_are_printed(tmp_path: Path) -> None:
    assert "print(@tcp_emitted)" not in joined(tmp_path / "without")
    assert "print(@tcp_emitted)" in joined(tmp_path / "with", ("events", "all"))


def test_only_scratch_maps_are_cleared_and_only_at_the_end(tmp_path: Path) -> None:
    program = joined(tmp_path)
    (end,) = blocks(program, "END")
    assert end.startswith(f'print(("{MARK}", "end", nsecs));')
    assert set(re.findall(r"clear\(@(\w+)\)", end)) >= {
        "tcp_role",
        "tcp_start",
        "exec_time",
        "exec_filename",
        "exec_argv",
    }
    assert not re.search(r"clear\(@(tcp_connections|tcp_io|tcp_rtt|exec_calls|exec_emitted)\)", program)
    assert program.replace(end, "").count("clear(") == 0


def test_it_says_when_it_begins_and_when_it_is_ready(tmp_path: Path) -> None:
    program = joined(tmp_path)
    (begin,) = blocks(program, "BEGIN")
    assert begin.endswith(f'print(("{MARK}", "begin", nsecs));')
    (ready,) = blocks(program, "interval:ms:20")
    assert f'print(("{MARK}", "ready", nsecs));' in ready
    # Intervals are attached in their order: the one that says ready has to be the last.
    assert probes_used(program)[-1] == "interval:ms:20"
    assert map_names(program)[-1] == f"{MARK}_ready"


def test_the_gate_is_there_only_for_programs_that_look_at_it(tmp_path: Path) -> None:
    gated = joined(tmp_path / "gated")  # exec emits events
    assert "tracepoint:signal:signal_generate" in probes_used(gated)
    assert blocks(gated, "BEGIN")[0].startswith(f"@{MARK}_self = pid; @{MARK}_end = 0;")
    (tmp_path / "sys/kernel/btf").mkdir(parents=True)
    (tmp_path / "sys/kernel/btf/vmlinux").touch()
    (tcp,) = find_signals("tcp")  # without `events` it only counts
    values = resolve_parameters({"tcp": tcp.manifest}, [])["tcp"]
    plain = join_programs({"tcp": tcp.render(values, Host(tmp_path))}, [tcp], 1.0)
    assert f"{MARK}_end" not in map_names(plain)
    assert "tracepoint:signal:signal_generate" not in probes_used(plain)
