from __future__ import annotations

import re
from pathlib import Path

import pytest

from config.parameters import Assignment, resolve_parameters
from orchestrator.bpftrace.program import MARK, PRINTING, READY_MAP, has_intervals, instrument, join_programs
from orchestrator.catalog import find_signals
from orchestrator.host import Host
from parsers.source import map_names, probes_used


def joined(root: Path, *settings: tuple[str, str], interval: float = 1.5, targets: str = "tcp,exec") -> str:
    (root / "sys/kernel/btf").mkdir(parents=True, exist_ok=True)
    (root / "sys/kernel/btf/vmlinux").touch()
    signals = find_signals(targets)
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


TURN = f'print(("{MARK}", "turn", nsecs));'


def turns(program: str) -> list[tuple[int, str, str]]:
    """The probes that let maps take turns: how many ms between two, their predicate and what they do."""
    found = re.findall(r"^interval:ms:(\d+) /(.*)/ \{ (.*) \}$", program, re.MULTILINE)
    return [(int(phase), predicate, action) for phase, predicate, action in found]


def phases(program: str) -> dict[int, str]:
    """What each of the four phases does; the first is the one with which a program begins."""
    ((_, _, action),) = turns(program)
    count, steps = action.split(" if ", 1)
    assert count == f"@{MARK}_phase++; $phase = @{MARK}_phase % 4;"
    found = re.findall(r"\(\$phase == (\d)\) \{ (.*?) \}(?: if |$)", steps)
    assert [number for number, _ in found] == ["1", "2", "3", "0"]
    return {int(number) or 4: step for number, step in found}


def test_stack_maps_take_turns_in_four_phases(tmp_path: Path) -> None:
    """A map is printed and emptied one phase after the turn went to the other one: nobody is writing to it then."""
    assert phases(joined(tmp_path, targets="cpu")) == {
        1: f"@{MARK}_turn = 1; {TURN}",
        2: f"@{MARK}_printing[0] = 1; print(@cpu_stacks); clear(@cpu_stacks); clear(@{MARK}_printing);",
        3: f"@{MARK}_turn = 0; {TURN}",
        4: f"@{MARK}_printing[0] = 1; print(@cpu_stacks_b); clear(@cpu_stacks_b); clear(@{MARK}_printing);",
    }


def test_a_phase_waits_until_the_map_of_the_last_one_has_been_printed(tmp_path: Path) -> None:
    ((_, predicate, _),) = turns(joined(tmp_path, targets="cpu"))
    assert predicate == f"@{MARK}_printing[0] == 0"


@pytest.mark.parametrize(
    ("interval", "phase"), [(10, 5000), (1.5, 750), (0.5, 250), (0.4, 200), (0.3, 200), (0.2, 200)]
)
def test_a_phase_lasts_half_an_interval_but_long_enough_for_all_that_write(
    tmp_path: Path, interval: float, phase: int
) -> None:
    ((found, _, _),) = turns(joined(tmp_path, targets="cpu", interval=interval))
    assert found == phase


def test_the_maps_of_several_signals_take_turns_together(tmp_path: Path) -> None:
    program = joined(tmp_path, targets="cpu,tcp,offcpu")
    found = phases(program)
    assert "print(@cpu_stacks); clear(@cpu_stacks); print(@offcpu_stacks); clear(@offcpu_stacks); " in found[2]
    assert "print(@cpu_stacks_b); clear(@cpu_stacks_b); print(@offcpu_stacks_b); clear(@offcpu_stacks_b); " in found[4]
    assert all(found[phase].endswith(f"clear(@{MARK}_printing);") for phase in (2, 4))


def test_a_program_without_stacks_has_no_turns(tmp_path: Path) -> None:
    program = joined(tmp_path)
    assert turns(program) == []
    assert "_turn" not in program


def test_maps_whose_probes_this_host_cannot_have_take_no_turns() -> None:
    (cpu,) = find_signals("cpu")
    assert turns(join_programs({"cpu": "interval:s:9 { @x = 1; }"}, [cpu], 1.0)) == []


def test_maps_that_take_turns_are_in_no_snapshot_and_not_emptied_at_the_end(tmp_path: Path) -> None:
    """At the end bpftrace prints what is left of both."""
    program = joined(tmp_path, targets="cpu,offcpu,tcp")
    (snapshot,) = blocks(program, "interval:ms:1500")
    assert "print(@tcp_rtt);" in snapshot
    assert "_stacks" not in snapshot
    (end,) = blocks(program, "END")
    assert "clear(@offcpu_start);" in end
    assert "_stacks" not in end


def test_all_probes_are_attached_when_it_says_so_with_turns_too(tmp_path: Path) -> None:
    assert probes_used(joined(tmp_path, targets="cpu"))[-3:] == [
        "interval:ms:750",
        "interval:ms:1500",
        "interval:ms:20",
    ]


def test_what_tells_at_the_end_whether_a_map_was_printed_comes_before_what_tells_that_all_is_there() -> None:
    """bpftrace prints its maps by name when it ends."""
    assert PRINTING < READY_MAP


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


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ('BEGIN { printf("a"); } END { printf("b"); }', False),
        ('begin { printf("a"); }', False),
        ('BEGIN { printf("a"); } interval:s:1 { exit(); }', True),
        ("kprobe:vfs_read { @ = count(); }", True),
    ],
)
def test_a_program_marks_its_snapshots_if_it_does_anything_but_begin_and_end(source: str, expected: bool) -> None:
    assert has_intervals(source) is expected
    assert ("interval:ms:1000" in instrument(source, ["x"], 1)) is expected
