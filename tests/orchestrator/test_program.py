from __future__ import annotations

import re
from pathlib import Path

from config.parameters import Assignment, resolve_parameters
from orchestrator.catalog import find_signals
from orchestrator.host import Host
from orchestrator.program import MARK, instrument, join_programs
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


OWN = """\
#!/usr/bin/env bpftrace
// What it is.
BEGIN
{
  printf("Tracing...\\n");
}

kprobe:vfs_read { @reads[pid] = count(); @start[tid] = nsecs; }

END
{
  clear(@reads);
}
"""


def test_a_program_of_ones_own_is_marked_and_nothing_else_of_it_is_changed() -> None:
    program = instrument(OWN, ["reads"], 1.5)
    for line, (before, after) in enumerate(zip(OWN.splitlines(), program.splitlines(), strict=False), 1):
        assert after.startswith(before), f"line {line} is another one"
    assert probes_used(program) == ["BEGIN", "kprobe:vfs_read", "END", "interval:ms:1500", "interval:ms:20"]
    assert program.splitlines()[3] == f'{{ print(("{MARK}", "begin", nsecs));'


def test_its_maps_are_printed_before_its_own_end_which_may_clear_them() -> None:
    program = instrument(OWN, ["reads"], 1.5)
    assert program.splitlines()[10] == (
        f'{{ print(("{MARK}", "end", nsecs)); print(@reads); print(("{MARK}", "snapshot_end", nsecs));'
    )
    assert program.splitlines()[11].strip() == "clear(@reads);"


def test_its_maps_are_printed_every_interval_and_no_others() -> None:
    program = instrument(OWN, ["reads"], 0.2)
    assert blocks(program, "interval:ms:200") == [
        f'print(("{MARK}", "snapshot", nsecs)); print(@reads); print(("{MARK}", "snapshot_end", nsecs));'
    ]
    assert "print(@start)" not in program
    (ready,) = blocks(program, "interval:ms:20")
    assert f'print(("{MARK}", "ready", nsecs));' in ready
    assert map_names(program)[-1] == f"{MARK}_ready"


def test_a_program_without_begin_and_end_gets_both() -> None:
    program = instrument("kprobe:vfs_read { @ = count(); }", ["", "b"], 1.0)
    assert program.startswith("kprobe:vfs_read { @ = count(); }\n")
    assert blocks(program, "BEGIN") == [f'print(("{MARK}", "begin", nsecs));']
    assert blocks(program, "END") == [
        f'print(("{MARK}", "end", nsecs)); print(@); print(@b); print(("{MARK}", "snapshot_end", nsecs));'
    ]


def test_a_program_that_only_begins_ends_by_itself_and_is_ready_at_once() -> None:
    """New versions of bpftrace end it after BEGIN; a probe of ours would keep it."""
    program = instrument('BEGIN { printf("hello\\n"); }', [], 1.0)
    assert probes_used(program) == ["BEGIN", "END"]
    (begin,) = blocks(program, "BEGIN")
    assert begin.startswith(f'print(("{MARK}", "begin", nsecs)); print(("{MARK}", "ready", nsecs));')
    assert begin.endswith('printf("hello\\n");')
