from __future__ import annotations

import pytest

from config.manifest import Field, Piece, Print
from orchestrator.inference.prints import infer_prints
from parsers.script import read_script

PID = Field(attribute="process.pid")
TID = Field(attribute="thread.id")
COMM = Field(attribute="thread.name", type="comm")
FILE = Field(attribute="ebpf.filename", type="string")
DURATION = Field(attribute="ebpf.duration", scale="1e-6")


def prints(source: str) -> list[Print]:
    return infer_prints("tool", read_script(source))


def printed(*statements: str) -> list[Print]:
    return prints(f"kprobe:f {{ {'; '.join(statements)}; }}")


def pieces(*statements: str) -> list[list[Piece]]:
    return [one.pieces for one in printed(*statements)]


def fields(statement: str) -> list[Field]:
    ((piece,),) = pieces(statement)
    return piece.fields


def names(source: str) -> list[str]:
    return [one.name for one in prints(source)]


def attributes(source: str) -> list[list[str | None]]:
    return [[field.attribute for piece in one.pieces for field in piece.fields] for one in prints(source)]


def test_a_line() -> None:
    assert printed(r'printf("%-6d %-16s %s\n", pid, comm, str(args->filename))') == [
        Print(name="ebpf.tool.f", pieces=[Piece(printf="%-6d %-16s %s\n", fields=[PID, COMM, FILE])])
    ]


def test_a_line_of_several_statements() -> None:
    assert pieces('time("%H:%M:%S ")', 'printf("%d ", pid)', "join(args->argv)") == [
        [
            Piece(time="%H:%M:%S "),
            Piece(printf="%d ", fields=[PID]),
            Piece(join=True, fields=[Field(attribute="process.command_line", type="string")]),
        ]
    ]


def test_what_stands_between_the_statements_of_a_line_changes_nothing() -> None:
    assert pieces('printf("%d ", pid)', "$x = 1", "@m = count()", r'printf("%d\n", tid)') == [
        [Piece(printf="%d ", fields=[PID]), Piece(printf="%d\n", fields=[TID])]
    ]


def test_lines_end_with_their_newline() -> None:
    assert pieces(r'printf("a %d\n", pid)', 'printf("b ")', r'printf("%d\nc ", tid)', r'printf("d\n")') == [
        [Piece(printf="a %d\n", fields=[PID])],
        [Piece(printf="b "), Piece(printf="%d\nc ", fields=[TID]), Piece(printf="d\n")],
    ]


@pytest.mark.parametrize("statement", ["time()", r'time("%H:%M:%S\n")'])
def test_a_time_alone_is_a_line(statement: str) -> None:
    assert pieces(statement, 'printf("a ")', statement) == [
        [Piece(time="%H:%M:%S\n")],
        [Piece(printf="a "), Piece(time="%H:%M:%S\n")],
    ]


def test_branches_have_lines_of_their_own() -> None:
    source = r"""kprobe:f {
        printf("%d ", pid);
        if (tid > 5) { printf("x %d\n", tid); } else { printf("y %d\n", cpu); }
        printf("%s\n", comm);
    }"""
    assert [[piece.printf for piece in one.pieces] for one in prints(source)] == [
        ["%d "],
        ["x %d\n"],
        ["y %d\n"],
        ["%s\n"],
    ]


def test_a_line_ends_with_its_probe() -> None:
    assert [
        [piece.printf for piece in one.pieces]
        for one in prints(r'kprobe:f { printf("a "); } kprobe:g { printf("b\n"); }')
    ] == [["a "], ["b\n"]]


def test_adjacent_literals_are_one_format() -> None:
    assert pieces(r'printf("%d " "%d\n", pid, tid)') == [[Piece(printf="%d %d\n", fields=[PID, TID])]]


@pytest.mark.parametrize(
    ("argument", "name"),
    [
        ("args->argv", "process.command_line"),
        ("args.argv", "process.command_line"),
        ("args->envp", "ebpf.envp"),
        ("$words", "ebpf.words"),
    ],
)
def test_what_is_joined(argument: str, name: str) -> None:
    assert pieces(f"join({argument})") == [[Piece(join=True, fields=[Field(attribute=name, type="string")])]]


@pytest.mark.parametrize(
    ("conversion", "argument", "field"),
    [
        ("%d", "pid", PID),
        ("%-6d", "(uint64)pid", PID),
        ("%s", "comm", COMM),
        ("%-16s", "comm", COMM),
        ("%s", "str(args->filename)", FILE),
        ("%s", "args->filename", FILE),
        ("%s", "probe", Field(attribute="ebpf.probe", type="word")),
        ("%s", "ntop(args->saddr)", Field(attribute="ebpf.saddr", type="address")),
        ("%s", "args->anything", Field(attribute="ebpf.anything", type="string")),
        ("%x", "args->flags", Field(attribute="ebpf.flags")),
        ("%p", "arg0", Field(attribute="ebpf.arg0")),
        ("%llu", "nsecs", Field(attribute="ebpf.nsecs", type="time")),
        ("%lld", "(nsecs - @s[tid]) / 1000", DURATION),
        ("%u", "elapsed / 1000", DURATION),
        ("%d", "args->ret", Field(attribute="ebpf.return_code")),
        ("%rh", "buf(args->data, 16)", Field(attribute="ebpf.data", type="string")),
        ("%d", "@count[pid]", Field(attribute="ebpf.count")),
        ("%d", "$1", Field(attribute="ebpf.parameter_1")),
        ("%d", 'getopt("least", 5)', Field(attribute="ebpf.least")),
        ("%d", "-$x", Field(attribute="ebpf.x")),
        ("%d", "1 + 2", Field(attribute="ebpf.field_1")),
        ("%s", 'pid > 5 ? "a" : "b"', Field(attribute="ebpf.pid", type="string")),
    ],
)
def test_the_conversion_and_the_argument_tell_what_a_value_is(conversion: str, argument: str, field: Field) -> None:
    assert fields(rf'printf("{conversion}\n", {argument})') == [field]


def test_durations_are_traced_and_scaled() -> None:
    source = r"""kprobe:f { @start[tid] = nsecs; }
        kretprobe:f { $lat = (nsecs - @start[tid]) / 1000; printf("%s took %d us\n", comm, $lat); }"""
    assert [piece.fields for one in prints(source) for piece in one.pieces] == [[COMM, DURATION]]


def test_values_of_one_name_are_numbered() -> None:
    assert [field.attribute for field in fields(r'printf("%d %d %d\n", args->dev, pid, $x->dev)')] == [
        "ebpf.dev",
        "process.pid",
        "ebpf.dev_2",
    ]


def test_values_of_one_name_in_two_statements_of_a_line_are_numbered() -> None:
    """Of two values that are called the same, the line could keep only one."""
    (found,) = attributes(r'kprobe:f { printf("%d ", args->a->id); printf("%d\n", args->b->id); }')
    assert found == ["ebpf.id", "ebpf.id_2"]


@pytest.mark.parametrize(
    ("statement", "equals"),
    [
        (r'printf("%-6s %s\n", "PID", "COMM")', ["PID", "COMM"]),
        (r'printf("%s %d\n", "read", pid)', ["read", None]),
        (r'printf("%d: %d\n", 1, pid)', ["1", None]),
        ('print(("open", pid))', ["open", None]),
        ("print((1, pid))", ["1", None]),
    ],
)
def test_constants_have_no_names_and_tell_lines_apart(statement: str, equals: list[str | None]) -> None:
    found = fields(statement)
    assert [field.equals for field in found] == equals
    assert [field.attribute for field in found] == [None if one else "process.pid" for one in equals]


@pytest.mark.parametrize(
    ("statement", "count"),
    [
        (r'printf("%d %d\n", pid)', 2),
        (r'printf("%d\n", pid, tid)', 1),
        (r'printf("100%%\n")', 0),
        (r'printf("%\n")', 0),
    ],
)
def test_there_is_a_field_for_each_conversion(statement: str, count: int) -> None:
    assert len(fields(statement)) == count


@pytest.mark.parametrize(
    "statement",
    [
        "printf(str($1), pid)",
        "printf($format)",
        "printf()",
        r'printf("%f\n", 1)',  # bpftrace has none
        r'printf("%*d\n", 5, pid)',
        r'printf("%9999d\n", pid)',
        "time($format)",
        "print(@m)",
        "print(@)",
        "print(@m, 10)",
        "print()",
        "clear(@m)",
        "exit()",
        'cat("/proc/loadavg")',
        'system("date")',
    ],
)
def test_what_cannot_be_understood_is_left_out(statement: str) -> None:
    assert pieces(statement) == []
    assert len(pieces(statement, r'printf("%d\n", pid)')) == 1


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("pid", [("process.pid", None)]),
        ("(pid)", [("process.pid", None)]),
        ("(pid, comm)", [("process.pid", None), ("thread.name", None)]),
        ('("open", nsecs, tid)', [(None, "open"), ("ebpf.nsecs", None), ("thread.id", None)]),
        ("(pid, (nsecs - @s[tid]) / 1000)", [("process.pid", None), ("ebpf.duration", None)]),
        ('(pid, str(args->a), "x, (y")', [("process.pid", None), ("ebpf.a", None), (None, "x, (y")]),
        ("(args->dev, args->dev)", [("ebpf.dev", None), ("ebpf.dev_2", None)]),
        ("(pid) + (tid)", [("ebpf.pid_tid", None)]),
        ("$pair", [("process.pid", None), ("thread.name", None)]),
        ("@m[pid]", [("ebpf.m", None)]),
        ("5 + 6", [("ebpf.field_1", None)]),
    ],
)
def test_printed_values(argument: str, expected: list[tuple[str | None, str | None]]) -> None:
    (one,) = printed("$pair = (pid, comm)", f"print({argument})")
    (piece,) = one.pieces
    assert piece.print
    assert [(field.attribute, field.equals) for field in piece.fields] == expected


def test_an_element_of_a_tuple_is_one_field() -> None:
    (one,) = printed("print((pid, (tid, cpu), comm))")
    assert len(one.pieces[0].fields) == 3


def test_the_time_in_a_tuple_is_the_time_of_its_event() -> None:
    (one,) = printed("print((nsecs, (nsecs - @s[tid]) / 1000000))")
    assert [(field.type, field.scale) for field in one.pieces[0].fields] == [("time", None), ("any", "1e-3")]


def test_a_printed_value_ends_a_line() -> None:
    assert [[piece.print for piece in line] for line in pieces('printf("a ")', "print(pid)", "print(tid)")] == [
        [False, True],
        [True],
    ]


@pytest.mark.parametrize(
    ("probe", "name"),
    [
        ("tracepoint:syscalls:sys_exit_open", "ebpf.tool.sys_exit_open"),
        ("tracepoint:syscalls:sys_enter_open*", "ebpf.tool.sys_enter_open"),
        ("kprobe:vfs_read, kprobe:vfs_write", "ebpf.tool.vfs_read"),
        ("uprobe:/usr/bin/bash:readline", "ebpf.tool.readline"),
        ("usdt:/usr/sbin/mysqld:mysql:query__start", "ebpf.tool.query_start"),
        ("interval:s:1", "ebpf.tool.interval"),
        ("interval:ms:100", "ebpf.tool.interval"),
        ("profile:hz:99", "ebpf.tool.profile"),
        ("software:faults:100", "ebpf.tool.faults"),
        ("hardware:cache-misses:1000000", "ebpf.tool.cache_misses"),
        ("rawtracepoint:sched_switch", "ebpf.tool.sched_switch"),
        ("fentry:vmlinux:tcp_connect", "ebpf.tool.tcp_connect"),
        ("BEGIN", "ebpf.tool.begin"),
        ("END", "ebpf.tool.end"),
    ],
)
def test_a_line_is_called_after_its_probe(probe: str, name: str) -> None:
    assert names(rf'{probe} {{ printf("x\n"); }}') == [name]


def test_lines_with_other_attributes_have_other_names() -> None:
    source = r"""kprobe:f {
            printf("%d\n", pid);
            if (tid) { printf("%d %s\n", pid, comm); } else { printf("p %d\n", pid); }
        }
        kprobe:g { printf("%s %d\n", comm, pid); }"""
    assert names(source) == ["ebpf.tool.f", "ebpf.tool.f_2", "ebpf.tool.f", "ebpf.tool.g"]


def test_lines_with_the_same_attributes_have_one_name() -> None:
    """What never changes is no attribute."""
    assert names(r'BEGIN { printf("Tracing...\n"); printf("%-6s %s\n", "PID", "COMM"); }') == ["ebpf.tool.begin"] * 2
    assert names(r'kprobe:f { printf("%d\n", pid); printf("%s %d\n", "read", pid); }') == ["ebpf.tool.f"] * 2


def test_a_macro_can_print() -> None:
    assert names(r'macro shown(x) { printf("%d\n", x); } kprobe:f { shown(pid); printf("a\n"); }') == [
        "ebpf.tool.macro",
        "ebpf.tool.f",
    ]


def test_an_annotation_names_the_next_line_and_what_stands_in_it() -> None:
    source = r"""kprobe:f {
        // otlp: printf name=ebpf.opened fields=process.pid,,file.path
        printf("%d %s %s\n", pid, comm, str(args->filename));
        printf("%d\n", pid);
    }"""
    assert names(source) == ["ebpf.opened", "ebpf.tool.f"]
    assert attributes(source) == [["process.pid", "thread.name", "file.path"], ["process.pid"]]


def test_an_annotation_can_stand_before_a_line_of_several_statements() -> None:
    source = r"""kprobe:f {
        // otlp: printf name=ebpf.opened fields=a,b,c,d
        time("%H:%M:%S "); printf("%d ", pid);
        printf("%d\n", tid);
    }"""
    assert names(source) == ["ebpf.opened"]
    assert attributes(source) == [["a", "b"]]


def test_an_annotation_of_a_printed_value() -> None:
    source = "kprobe:f {\n// otlp: print name=ebpf.opened fields=,b\nprint((pid, tid)); }"
    assert (names(source), attributes(source)) == (["ebpf.opened"], [["process.pid", "b"]])


def test_an_annotation_behind_the_last_line_says_nothing() -> None:
    assert names('kprobe:f { printf("a\\n"); }\n// otlp: printf name=ebpf.opened') == ["ebpf.tool.f"]
