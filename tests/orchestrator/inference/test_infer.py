from __future__ import annotations

import re
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from config.dump import as_yaml
from config.errors import ConfigError
from config.loader import load
from config.manifest import BoolParameter, IntParameter, Key, Manifest, Metric, StringParameter
from config.parameters import resolve_parameters
from orchestrator.catalog import load_signal
from orchestrator.host import Host
from orchestrator.inference.infer import infer_manifest

OPENSNOOP = r"""#!/usr/bin/env bpftrace
/*
 * opensnoop	Trace open() syscalls.
 *
 * USAGE: opensnoop.bt
 */
BEGIN
{
    printf("Tracing open syscalls... Hit Ctrl-C to end.\n");
    printf("%-6s %-16s %4s %3s %s\n", "PID", "COMM", "FD", "ERR", "PATH");
}
tracepoint:syscalls:sys_enter_open, tracepoint:syscalls:sys_enter_openat
{
    @filename[tid] = args->filename;
}
tracepoint:syscalls:sys_exit_open, tracepoint:syscalls:sys_exit_openat
/@filename[tid]/
{
    $ret = args->ret;
    $fd = $ret >= 0 ? $ret : -1;
    $errno = $ret >= 0 ? 0 : - $ret;
    printf("%-6d %-16s %4d %3d %s\n", pid, comm, $fd, $errno, str(@filename[tid]));
    delete(@filename[tid]);
}
END { clear(@filename); }
"""
BIOLATENCY = r"""
// biolatency.bt - Block I/O latency
BEGIN { printf("Tracing block device I/O... Hit Ctrl-C to end.\n"); }
kprobe:blk_account_io_start { @start[arg0] = nsecs; }
kprobe:blk_account_io_done /@start[arg0]/
{
    // otlp: @usecs name=ebpf.block.latency unit=us description="Block I/O latency"
    @usecs = hist((nsecs - @start[arg0]) / 1000);
    delete(@start[arg0]);
}
END { clear(@start); }
"""
EXECSNOOP = r"""
BEGIN { printf("%-10s %-5s %s\n", "TIME(ms)", "PID", "ARGS"); }
tracepoint:syscalls:sys_enter_exec*
{
    printf("%-10u %-5d ", elapsed / 1e6, pid);
    join(args->argv);
}
"""
VFSSTAT = r"""
kprobe:vfs_read*, kprobe:vfs_write* { @[func] = count(); }
interval:s:1 { time(); print(@); clear(@); }
END { clear(@); }
"""
MIXED = r"""
struct pair { int a; int b; };
BEGIN { @active = 0; @limit = getopt("limit", 10); @name = "mixed"; }
tracepoint:sched:sched_switch /pid != $1 && comm != str($2)/
{
    if (getopt("verbose")) { printf("%s -> %s\n", args->prev_comm, args->next_comm); }
    @switches[args->prev_comm, cpu] = count();
    @stacks[kstack, comm] = count();
    @pair = (pid, comm);
    print(("switch", nsecs, args->prev_pid, args->next_pid));
    unroll (3) { printf("."); }
}
profile:hz:99 { @sample = lhist(cpu, 0, 128, 1); @load = avg(rand % 100); @active++; }
software:faults:1 { @active--; @bytes = sum(args->ret); }
interval:ms:500 { print(@switches, 10); time("%H:%M:%S "); printf("%d%%\n", @active); }
"""
PROGRAMS = [OPENSNOOP, BIOLATENCY, EXECSNOOP, VFSSTAT, MIXED]


def read_again(manifest: Manifest) -> Manifest:
    """As it is read from the file that ``show --manifest`` prints."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "tool.yaml"
        path.write_text(as_yaml(manifest), encoding="utf-8")
        return load(path, Manifest)


def of(body: str) -> Manifest:
    return infer_manifest("tool", f"kprobe:f {{\n{body}\n}}")


def test_a_tool_of_lines() -> None:
    found = infer_manifest("opensnoop", OPENSNOOP)
    assert (found.summary, found.process) == ("Trace open() syscalls.", "own")
    tracing, header, line = found.prints
    assert (tracing.name, line.name) == ("ebpf.opensnoop.begin", "ebpf.opensnoop.sys_exit_open")
    assert [field.attribute for field in tracing.pieces[0].fields] == []
    assert [field.equals for field in header.pieces[0].fields] == ["PID", "COMM", "FD", "ERR", "PATH"]
    assert [(field.attribute, field.type) for field in line.pieces[0].fields] == [
        ("process.pid", "int"),
        ("thread.name", "comm"),
        ("ebpf.fd", "int"),
        ("ebpf.errno", "int"),
        ("ebpf.filename", "string"),
    ]
    assert not any(metric.snapshot for metric in found.metrics.values())


def test_a_tool_of_maps() -> None:
    found = infer_manifest("biolatency", BIOLATENCY)
    assert found.summary == "Block I/O latency"
    assert found.metrics["usecs"] == Metric(
        name="ebpf.block.latency", instrument="histogram", unit="us", description="Block I/O latency"
    )
    assert not found.metrics["start"].snapshot


def test_a_tool_whose_lines_come_in_pieces() -> None:
    found = infer_manifest("execsnoop", EXECSNOOP)
    assert found.summary == "The bpftrace program execsnoop"
    assert [(field.attribute, field.scale) for piece in found.prints[1].pieces for field in piece.fields] == [
        ("ebpf.duration", "1e-3"),
        ("process.pid", None),
        ("process.command_line", None),
    ]


def test_a_tool_that_empties_its_map() -> None:
    (found,) = infer_manifest("vfsstat", VFSSTAT).metrics.values()
    assert found == Metric(
        name="ebpf.vfsstat",
        instrument="counter",
        unit="1",
        description="@[func] = count()",
        keys=[Key(attribute="code.function.name", type="string")],
        cleared=True,
        snapshot=False,
    )


@pytest.mark.parametrize(
    ("asked", "name", "parameter"),
    [
        ('getopt("least", 5)', "least", IntParameter(help="h", default=5)),
        ('getopt("least", -5)', "least", IntParameter(help="h", default=-5)),
        ('getopt("mask", 0x10)', "mask", IntParameter(help="h", default=16)),
        ('getopt("nsecs", 1_000)', "nsecs", IntParameter(help="h", default=1000)),
        ('getopt("nsecs", 1e6)', "nsecs", IntParameter(help="h", default=1_000_000)),
        ('getopt("verbose")', "verbose", BoolParameter(help="h", default=False)),
        ('getopt("verbose", false)', "verbose", BoolParameter(help="h", default=False)),
        ('getopt("quiet", true)', "quiet", BoolParameter(help="h", default=True)),
        ('getopt("comm", "")', "comm", StringParameter(help="h", default="", pattern="p")),
        (r'getopt("comm", "a \"b\"")', "comm", StringParameter(help="h", default='a "b"', pattern="p")),
        ('getopt("comm", "bash", "only this one")', "comm", StringParameter(help="h", default="bash", pattern="p")),
        ("$1", "1", StringParameter(help="h", default="", pattern="p")),
        ("str($2)", "2", StringParameter(help="h", default="", pattern="p")),
    ],
)
def test_parameters(asked: str, name: str, parameter: object) -> None:
    (found,) = of(f"if (1 == {asked}) {{ exit(); }}").parameters.items()
    assert found[0] == name
    assert (type(found[1]), found[1].default) == (type(parameter), parameter.default)  # type: ignore[attr-defined]


def test_a_parameter_is_text_that_can_be_given_on_a_command_line() -> None:
    (found,) = of('$x = getopt("comm", "bash");').parameters.values()
    assert isinstance(found, StringParameter)
    assert re.fullmatch(found.pattern, "any text: that can be printed!")
    assert not re.fullmatch(found.pattern, "two\nlines")


def test_annotations_of_maps() -> None:
    found = of("""
        // otlp: @lat name=ebpf.latency unit=s scale=1e-6 description="How long" keys=disk.device,,disk.io.direction
        @lat[args->dev, pid, args->rwbs] = hist($x);
        @other = count();
    """).metrics
    assert found["lat"] == Metric(
        name="ebpf.latency",
        instrument="histogram",
        unit="s",
        scale="1e-6",
        description="How long",
        keys=[
            Key(attribute="disk.device", type="any"),
            Key(attribute="process.pid"),
            Key(attribute="disk.io.direction", type="string"),
        ],
    )
    assert found["other"].name == "ebpf.tool.other"


def test_an_annotation_says_what_cannot_be_seen() -> None:
    assert of("// otlp: @m instrument=counter\n@m += args->delta;").metrics["m"].instrument == "counter"


def test_the_last_annotation_of_a_map_holds() -> None:
    found = of("// otlp: @m name=a unit=s\n@m = count();\n// otlp: @m name=b").metrics["m"]
    assert (found.name, found.unit) == ("b", "s")


def test_annotations_of_the_map_without_a_name() -> None:
    assert of("// otlp: @ name=ebpf.calls\n@[comm] = count();").metrics[""].name == "ebpf.calls"


@pytest.mark.parametrize(
    ("annotation", "why"),
    [
        ("@mm name=x", r"^line 2: otlp: @mm: no such map \(did you mean m\?\)"),
        ("@m unt=us", r"^line 2: otlp: @m: unknown word 'unt' \(did you mean unit\?\)"),
        ("printf feilds=a", r"^line 2: otlp: printf: unknown word 'feilds' \(did you mean fields\?\)"),
    ],
)
def test_a_slip_in_an_annotation_is_an_error_of_its_line(annotation: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        of(f'// otlp: {annotation}\n@m = count(); printf("%d\\n", pid);')


@pytest.mark.parametrize(
    "words",
    ["instrument=meter", "scale=fast", "scale=-1", 'name=""', 'unit=""', 'description=""', "instrument=Counter"],
)
def test_an_annotation_that_says_nonsense_is_an_error_of_its_line(words: str) -> None:
    with pytest.raises(ConfigError, match=r"^line 3: otlp: @m: "):
        of(f"@m = count();\n// otlp: @m {words}")


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_manifest_can_be_kept_in_a_file(program: str) -> None:
    manifest = infer_manifest("tool", program)
    assert manifest.metrics or manifest.prints
    assert read_again(manifest) == manifest


ASKED = [
    'getopt("a", 5)',
    'getopt("a", -5)',
    'getopt("a", 0x10)',
    'getopt("a", 1_000)',
    'getopt("a")',
    'getopt("a", true)',
    'getopt("a", false)',
    'getopt("a", "x", "which one")',
    r'getopt("a", "a \"b\"")',
    r'getopt("a", "\n")',
    'getopt("a", "\u00e9")',
    'getopt ( "a" , 5 )',
    "$1",
    "str($2)",
]


@pytest.mark.parametrize("program", [*PROGRAMS, *(f"BEGIN {{ print({asked}); }}" for asked in ASKED)])
def test_the_manifest_can_stand_beside_its_program(tmp_path: Path, program: str) -> None:
    """What ``show --manifest`` prints is a starting point."""
    (tmp_path / "tool.bt").write_text(program)
    manifest = load_signal(str(tmp_path / "tool.bt")).manifest
    (tmp_path / "tool.yaml").write_text(as_yaml(manifest))
    assert load_signal(str(tmp_path / "tool.bt")).manifest == manifest


@pytest.mark.parametrize("asked", ASKED)
def test_a_program_can_be_run_with_what_it_asks_for_by_default(tmp_path: Path, asked: str) -> None:
    program = f"BEGIN {{ print({asked}); }}"
    (tmp_path / "tool.bt").write_text(program)
    signal = load_signal(str(tmp_path / "tool.bt"))
    values = resolve_parameters({"tool": signal.manifest}, [])["tool"]
    assert "print(" in signal.render(values, Host())


@pytest.mark.parametrize("asked", ['getopt("a", 5)', 'getopt ( "a" , 5 )', 'getopt(\n    "a",\n    5\n)'])
def test_what_is_given_stands_in_the_program(tmp_path: Path, asked: str) -> None:
    (tmp_path / "tool.bt").write_text(f"BEGIN {{ print({asked}); }}")
    signal = load_signal(str(tmp_path / "tool.bt"))
    assert list(signal.manifest.parameters) == ["a"]
    assert signal.render({"a": 77}, Host()) == "BEGIN { print(77); }"


@pytest.mark.parametrize(
    "text",
    [
        r"a: b # c 'd' \"e\" {f} [g] - h",
        r"\ttab \\ and \r\n",
        r"\x01 \x1b[31m \x7f",
        "é 漢 \U0001f600",
        "%%",
        "null",
        "- x",
        "2026-11-23",
        r"\xff\xfe",  # bytes that are no UTF-8
        r"\xc3\xa9",
        r"\xc2\x85 \xe2\x80\xa8",
    ],
)
def test_texts_of_all_kinds_can_be_kept_in_a_file(text: str) -> None:
    manifest = infer_manifest(
        "tool",
        f'// tool.bt - "{text}"\nBEGIN {{ printf("{text}%d\\n", pid); time("{text}\\n"); @m = getopt("a", "{text}"); '
        f'@n["{text}", pid] = 1; @o[1] = "{text}"; print(("{text}", pid)); }}',
    )
    assert read_again(manifest) == manifest


@pytest.mark.parametrize(
    "text",
    [
        "",
        "BEGIN",
        "BEGIN {",
        "\0",
        "@",
        "@[",
        "BEGIN { @ = @; }",
        '1 { printf("x\\n"); }',
        "1:2 { time(); }",
        "BEGIN { $a = $b; $b = $a; print($a); @m[$a] = hist($b); }",
        'BEGIN { @a = @b; @b = @a; print(@a + @b); printf("%d", @a); }',
        "BEGIN { $a = (nsecs - $a) / 1000; print($a); }",
        "BEGIN { print(()); print((,)); print((1,)); join(); time(); printf(); print(); }",
        'BEGIN { printf("%d %s %x %c %p %r %rx %lld %-5s %05d %% %", 1); }',
        "BEGIN { print(elapsed / 1e5000); }",
        f'BEGIN {{ @m = getopt("x", {"9" * 5000}); }}',
        f'BEGIN {{ @m = getopt("x", {"9" * 30}); }}',
        f"BEGIN {{ print({'(' * 90}1{')' * 90}); }}",
        f"BEGIN {{ print({'str(' * 90}arg0{')' * 90}); }}",
        f"BEGIN {{ print($x{' / 1024' * 5000}); }}",
        f"BEGIN {{ print($x{' / 1000' * 5000}); }}",
        f"BEGIN {{ print($x{' - $x' * 5000}); }}",
        "BEGIN { " + " ".join(f"$x{index} = $x{index + 1} - nsecs;" for index in range(500)) + " print($x0); }",
    ],
)
def test_nothing_raises(text: str) -> None:
    assert infer_manifest("tool", text).process == "own"


def test_a_program_of_300_lines_is_understood_at_once() -> None:
    lines = MIXED.count("\n")
    start = time.process_time()
    infer_manifest("tool", MIXED * (300 // lines))
    assert time.process_time() - start < 2


def checked(text: str, *, twice: bool = False) -> None:
    """Infer, and if that is to be, write and read again."""
    try:
        manifest = infer_manifest("tool", text)
    except ConfigError:
        assert "otlp:" in text
        return
    assert manifest.process == "own"
    names = [metric.name for metric in manifest.metrics.values()] + [one.name for one in manifest.prints]
    assert all(name for name in names)
    if twice:
        assert read_again(manifest) == manifest


ANY = st.text() | st.binary().map(lambda data: data.decode("utf-8", "surrogateescape"))
WORDS = ("BEGIN", "k:f", "@a", "@b", "$b", "$1", "1", "nsecs", "elapsed", "comm", "pid", "if", "else", "macro", "1000")
PARTS = (
    "printf(",
    'getopt("',
    "count()",
    "sum(",
    "hist(",
    "str(",
    "delete(@",
    "clear(@a)",
    "print(",
    "time(",
    "join(",
    "//",
    "otlp:",
    "++",
    "->",
    "+=",
    "%d",
    "%s",
    "/ 1000",
    " - ",
    "=",
)
SOUP = st.lists(st.sampled_from([*WORDS, *PARTS, *"@$(){}[]/,;:?*\"' \n"]), max_size=60).map("".join)


@settings(deadline=None)
@given(ANY | SOUP | SOUP.map(lambda text: f"BEGIN {{ {text} }}"))
def test_no_text_raises(text: str) -> None:
    checked(text)


PLACE = st.floats(0, 1, exclude_max=True)
CHANGE = st.tuples(PLACE, st.integers(0, 30), st.sampled_from([*WORDS, *PARTS, *"@$(){}[]/,;:\"'\n", ""]) | SOUP)


@settings(deadline=None)
@given(st.sampled_from(PROGRAMS), st.lists(CHANGE, min_size=1, max_size=6))
def test_no_change_of_a_program_raises(program: str, changes: list[tuple[float, int, str]]) -> None:
    for place, removed, added in changes:
        start = int(place * len(program))
        program = program[:start] + added + program[start + removed :]
    assume(not re.search(r"\\[0-7xX]", program))  # bytes that are no UTF-8 have a test of their own
    checked(program, twice=True)


@settings(deadline=None)
@given(st.sampled_from(PROGRAMS), PLACE, PLACE)
def test_no_piece_of_a_program_raises(program: str, first: float, last: float) -> None:
    checked(program[int(first * len(program)) : int(last * len(program))], twice=True)
