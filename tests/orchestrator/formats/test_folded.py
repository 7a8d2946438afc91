from __future__ import annotations

import re

import pytest

from orchestrator.formats.folded import to_folded
from orchestrator.signals.model import Frame, Sample
from tests.orchestrator.formats.made import IN_KERNEL, IN_LIBC, MAIN, cpu, sample


def lines(*samples: Sample) -> list[str]:
    return to_folded([cpu(*samples)]).decode().splitlines()


def test_the_thread_the_root_and_at_last_the_leaf() -> None:
    assert lines(sample(IN_KERNEL, 7)) == ["demo;main;read;do_syscall_64_[k];ksys_read_[k] 7"]


def test_a_frame_without_a_symbol_is_its_address() -> None:
    assert lines(sample(IN_LIBC, 1)) == ["demo;main;0x7f34;0x7f12 1"]
    assert lines(sample((Frame("", 0xFFFFFFFF81000000, "kernel"),), 1)) == ["demo;0xffffffff81000000_[k] 1"]


def test_lines_are_sorted_and_distinct_whatever_the_process() -> None:
    found = lines(sample((MAIN,), 2, pid=1), sample((MAIN,), 1, comm="a"), sample((MAIN,), 3, pid=2))
    assert found == ["a;main 1", "demo;main 5"]


def test_profiles_of_one_type_are_added_up() -> None:
    assert to_folded([cpu(sample((MAIN,), 1)), cpu(sample((MAIN,), 2), period=1)]) == b"demo;main 3\n"


def test_without_a_thread_the_root_stands_first() -> None:
    assert lines(Sample((MAIN,), 1, {})) == ["main 1"]


def test_a_value_without_a_stack_is_kept() -> None:
    assert lines(sample((), 1), Sample((), 2, {})) == ["[unknown] 2", "demo;[unknown] 1"]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a;b", "a:b"),
        ("a\nb 12", "a\\nb 12"),
        ("a\r\x1b[31m", "a\\r\\x1b[31m"),
        ("a\udcff", "a\\xff"),
        ("\u2028", "\\u2028"),
        ("é", "é"),
        ("std::vector<int, std::allocator<int> >::push_back(int&&)",) * 2,
    ],
)
def test_names_cannot_make_frames_or_lines(name: str, shown: str) -> None:
    (line,) = lines(sample((Frame(name, 0, "native"),), 3, comm=name))
    assert line == f"{shown};{shown} 3"


def test_flamegraph_pl_reads_every_line() -> None:
    """Its own pattern (flamegraph.pl, "parse input")."""
    for line in lines(sample(IN_KERNEL, 7), sample(IN_LIBC, 12), sample((), 1, comm="kworker/0:1 5")):
        match = re.fullmatch(r"(.*)\s+?(\d+(?:\.\d*)?)", line)
        assert match
        assert match[1].split(";")[0] in ("demo", "kworker/0:1 5")


def test_nothing() -> None:
    assert to_folded([]) == b""
