from __future__ import annotations

import re
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.signals.model import AttributeValue
from orchestrator.signals.tables import Table

# printf("%-6s %-16s %4s %3s %s\n", "PID", "COMM", "FD", "ERR", "PATH");
OPENSNOOP = "PID    COMM               FD ERR PATH"
# printf("%-9s %-8s %-6s %-12s %4s %s\n", ...);
ALL_LEFT = "TIME      PID    COMM         STATE"


def table(header: str) -> Table:
    found = Table.of(header)
    assert found is not None
    return found


def row(header: str, line: str) -> dict[str, AttributeValue]:
    return table(header).row(line)


@pytest.mark.parametrize(
    ("header", "names"),
    [
        ("PID COMM", ["process.pid", "thread.name"]),
        ("PPID TID UID CPU", ["process.parent_pid", "thread.id", "process.user.id", "cpu.logical_number"]),
        ("RET PATH", ["ebpf.return_code", "ebpf.path"]),
        ("TIME(ms)   LATms TX_KB", ["ebpf.time_ms", "ebpf.latms", "ebpf.tx_kb"]),
        ("SADDR:SPORT R/W T", ["ebpf.saddr_sport", "ebpf.r_w", "ebpf.t"]),
    ],
)
def test_a_header_names_columns(header: str, names: list[str]) -> None:
    assert list(row(header, re.sub(r"[^ ]", "7", header))) == names


def test_a_process_id_is_never_a_word() -> None:
    assert row("PID    COMM", "Lost   events") == {}


@pytest.mark.parametrize(
    "line",
    [
        "",
        "   ",
        "PID",
        "Tracing open syscalls... Hit Ctrl-C to end.",
        "Tracing PID",
        "pid comm",
        "42 sh",
        "PID 42",
        "PID PID",
        "PID: COMM",
        "ERROR: FAILED",
        "A B, C",
        "@x: 5",
        "2026 ABC",
    ],
)
def test_what_is_no_header(line: str) -> None:
    assert Table.of(line) is None


def test_left_aligned_columns() -> None:
    assert row(ALL_LEFT, "05:41:00  42     sh           running") == {
        "ebpf.time": "05:41:00",
        "process.pid": 42,
        "thread.name": "sh",
        "ebpf.state": "running",
    }


def test_right_aligned_columns() -> None:
    header, line = "   PID   RX_KB COMM", "    42 1234567 sh"
    assert row(header, line) == {"process.pid": 42, "ebpf.rx_kb": 1234567, "thread.name": "sh"}


@pytest.mark.parametrize("pid", [4, 42, 421, 4213, 421345])
def test_a_number_in_the_first_column_is_whole(pid: int) -> None:
    assert row("   PID COMM", f"{pid:6} sh") == {"process.pid": pid, "thread.name": "sh"}


def test_columns_of_both_kinds() -> None:
    assert row(OPENSNOOP, "42     sh                  3   0 /etc/passwd") == {
        "process.pid": 42,
        "thread.name": "sh",
        "ebpf.fd": 3,
        "ebpf.err": 0,
        "ebpf.path": "/etc/passwd",
    }


def test_a_value_that_is_wider_than_its_name() -> None:
    assert row(OPENSNOOP, "123456 sixteen_bytes_ok 1234 -11 /x") == {
        "process.pid": 123456,
        "thread.name": "sixteen_bytes_ok",
        "ebpf.fd": 1234,
        "ebpf.err": -11,
        "ebpf.path": "/x",
    }


def test_the_last_column_may_hold_blanks() -> None:
    assert row(OPENSNOOP, "42     sh                  3   0 /my own file")["ebpf.path"] == "/my own file"
    assert row(ALL_LEFT, "05:41:00  42     sh           wait for it")["ebpf.state"] == "wait for it"


def test_a_name_with_blanks_between_left_aligned_columns() -> None:
    assert row(ALL_LEFT, "05:41:00  42     Web Content  x")["thread.name"] == "Web Content"


@pytest.mark.parametrize(
    ("header", "line", "whole"),
    [
        (
            OPENSNOOP,
            "42     a b                 3   0 /x",
            {"process.pid": 42, "thread.name": "a b", "ebpf.fd": 3, "ebpf.err": 0, "ebpf.path": "/x"},
        ),
        (
            "PID    COMM            FD",
            "42     a b              5",
            {"process.pid": 42, "thread.name": "a b", "ebpf.fd": 5},
        ),
        ("PID    COMM FD", "42     a b   5", {"process.pid": 42, "thread.name": "a b", "ebpf.fd": 5}),
        ("PID  COMM RET", "42   a b   -1", {"process.pid": 42, "thread.name": "a b", "ebpf.return_code": -1}),
        ("  PID COMM", "   42 a b", {"process.pid": 42, "thread.name": "a b"}),
    ],
)
def test_a_name_with_blanks_is_read_right_or_not_at_all(
    header: str, line: str, whole: dict[str, AttributeValue]
) -> None:
    assert row(header, line) in ({}, whole)


@pytest.mark.parametrize(
    ("header", "line"),
    [
        (OPENSNOOP, "42     sh                      0 /x"),  # no FD
        (OPENSNOOP, "42                         3   0 /x"),  # no COMM
        (OPENSNOOP, "       sh                  3   0 /x"),  # no PID
        (OPENSNOOP, "42     sh                  3   0 "),  # no PATH
        (OPENSNOOP, "42     sh                  3   0"),
        (ALL_LEFT, "05:41:00  42                  x"),
        (ALL_LEFT, "05:41:00         sh           x"),
    ],
)
def test_a_row_with_an_empty_cell_gives_nothing_a_wrong_name(header: str, line: str) -> None:
    cells = {"42": "process.pid", "sh": "thread.name", "3": "ebpf.fd", "0": "ebpf.err", "/x": "ebpf.path"}
    cells |= {"05:41:00": "ebpf.time", "x": "ebpf.state"}
    for name, value in row(header, line).items():
        assert value == "" or cells[str(value)] == name


@pytest.mark.parametrize(
    "line",
    [
        "",
        "   ",
        "Exiting",
        "Lost 5 events",
        "Attaching 3 probes...",
        "Tracing open syscalls... Hit Ctrl-C to end.",
        "@start[42]: 7",
        "@: 5",
        "42",
        "x 42     sh                  3   0 /x",
        "[0, 1)                 5 |@@@@      |",
    ],
)
@pytest.mark.parametrize("header", [OPENSNOOP, ALL_LEFT])
def test_a_line_that_is_no_row(header: str, line: str) -> None:
    assert row(header, line) == {}


@pytest.mark.parametrize("line", ["Exiting now", "Lost 5 events", "It took 7 seconds", "a b"])
def test_a_line_that_is_no_row_of_two_columns(line: str) -> None:
    """What is in no column is no value of it; and no process has a word for its id."""
    assert row("PID    COMM", line) == {}


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("0", 0),
        ("-5", -5),
        ("123456789012345678", 123456789012345678),
        ("007", "007"),
        ("0x10", "0x10"),
        ("1.5", "1.5"),
        ("1e5", "1e5"),
        ("18446744073709551615", "18446744073709551615"),  # OTLP's integers are signed
        ("-", "-"),
        ("true", "true"),
    ],
)
def test_cells_that_are_integers_are_integers(cell: str, value: AttributeValue) -> None:
    found = row("A                      B", f"{cell:<22} x")
    assert (found["ebpf.a"], type(found["ebpf.a"])) == (value, type(value))


@dataclass(frozen=True)
class Column:
    name: str
    width: int
    left: bool

    def print(self, text: str) -> str:
        return text.ljust(self.width) if self.left else text.rjust(self.width)


NAMES = ["WHO", "COMM", "FD", "LATENCY", "T", "RX_KB"]
ATTRIBUTES = {"WHO": "ebpf.who", "COMM": "thread.name", "T": "ebpf.t"}
COLUMNS = st.lists(
    st.builds(Column, st.sampled_from(NAMES), st.integers(7, 12), st.booleans()),
    min_size=2,
    max_size=5,
    unique_by=lambda column: column.name,
)


@settings(deadline=None)
@given(COLUMNS, st.data())
def test_values_stand_under_their_names(columns: list[Column], data: st.DataObject) -> None:
    """As ``printf("%-8s %7s\\n", ...)`` prints a header and the rows below it."""
    cells = [data.draw(st.integers(-99_999, 999_999) | st.text("ax/._", min_size=1, max_size=7)) for _ in columns]
    header, line = (
        " ".join(column.print(str(cell)) for column, cell in zip(columns, shown, strict=True))
        for shown in ([column.name for column in columns], cells)
    )
    names = [ATTRIBUTES.get(column.name, f"ebpf.{column.name.lower()}") for column in columns]
    assert row(header, line) == dict(zip(names, cells, strict=True))


@given(st.text("AB "), st.text("ab1- ", max_size=40))
def test_no_line_raises(header: str, line: str) -> None:
    found = Table.of(header)
    if found is not None:
        values = found.row(line)
        assert all(str(value) in line for value in values.values())
