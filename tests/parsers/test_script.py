from __future__ import annotations

import re
import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsers.literals import unescape
from parsers.script import Annotation, Call, MapAssignment, Parameter, Probe, Script, read_script
from parsers.script_grammar import MAX_DEPTH, MAX_LENGTH

PROGRAM = """#!/usr/bin/env bpftrace
/*
 * disklat.bt	How long disks take.
 *		For Linux.
 */
#include <linux/blkdev.h>

struct pair { int a; /* } */ int b; };

config = { missing_probes = "ignore"; max_map_keys = 10 }

kprobe:start_*, // each request
kprobe:more
{
  @start[arg0] = nsecs;
}

kprobe:done
/@start[arg0] != 0 && (nsecs - @start[arg0]) / 1000 > getopt("min_us", 10)/
{
  $us = (nsecs - @start[arg0]) / 1000;
  @usecs[comm, ((struct pair *)arg1)->a] = hist($us);
  @last = $us;
  @requests++;
  if (getopt("verbose")) {
    printf("%s took ", comm);
    printf("%d us\\n",
           $us);
  }
  delete(@start[arg0]);
}

interval:s:1
{
  print(@usecs, 5);
  clear(@usecs);
}
"""


def body(text: str) -> Script:
    """The program with ``text`` in its only probe, free of problems."""
    script = read_script(f"BEGIN {{ {text} }}")
    assert script.problems == ()
    return script


def without_lines(script: Script) -> Script:
    """To compare programs whose lines are broken elsewhere."""
    return replace(
        script,
        probes=tuple(replace(probe, line=0) for probe in script.probes),
        assignments=tuple(replace(assignment, line=0) for assignment in script.assignments),
        calls=tuple(replace(call, line=0) for call in script.calls),
        annotations=tuple(replace(annotation, line=0) for annotation in script.annotations),
    )


def test_a_whole_program() -> None:
    script = read_script(PROGRAM)
    assert script.problems == ()
    assert script.summary == "How long disks take."
    assert script.has_config_block
    assert script.includes
    assert script.probes == (
        Probe(("kprobe:start_*", "kprobe:more"), None, 12),
        Probe(
            ("kprobe:done",),
            '@start[arg0] != 0 && (nsecs - @start[arg0]) / 1000 > getopt("min_us", 10)',
            18,
        ),
        Probe(("interval:s:1",), None, 33),
    )
    assert script.assignments == (
        MapAssignment("start", ("arg0",), "=", None, ("nsecs",), 0, 15),
        MapAssignment("usecs", ("comm", "((struct pair *)arg1)->a"), "=", "hist", ("$us",), 1, 22),
        MapAssignment("last", (), "=", None, ("$us",), 1, 23),
        MapAssignment("requests", (), "++", None, (), 1, 24),
    )
    first, second, deleted, printed, cleared = script.calls
    assert first == Call("printf", ('"%s took "', "comm"), 1, first.block, 26)
    assert second == Call("printf", ('"%d us\\n"', "$us"), 1, first.block, 27)
    assert deleted == Call("delete", ("@start[arg0]",), 1, deleted.block, 30)
    assert printed == Call("print", ("@usecs", "5"), 2, printed.block, 35)
    assert cleared == Call("clear", ("@usecs",), 2, printed.block, 36)
    assert len({call.block for call in script.calls}) == 3
    assert script.parameters == (Parameter("min_us", "10", False, False), Parameter("verbose", None, True, False))
    assert script.reads == {"start"}
    assert script.variables == {(1, "$us"): "(nsecs - @start[arg0]) / 1000"}
    assert script.maps() == ("start", "usecs", "last", "requests")


@pytest.mark.parametrize(
    ("head", "attach_points", "predicate"),
    [
        ("BEGIN", ["BEGIN"], None),
        ("begin", ["begin"], None),
        ("END /1/", ["END"], "1"),
        ("END/@a/", ["END"], "@a"),
        ("self:signal:SIGUSR1", ["self:signal:SIGUSR1"], None),
        ("interval:s:1", ["interval:s:1"], None),
        ("i:ms:1 /1 && (2) / 1 /", ["i:ms:1"], "1 && (2) / 1"),
        ("profile:hz:99\n/pid/\n", ["profile:hz:99"], "pid"),
        ("kprobe:vfs_*,kprobe:f+0x10 , kfunc:m:*", ["kprobe:vfs_*", "kprobe:f+0x10", "kfunc:m:*"], None),
        ("tracepoint:a:b,\n// between\ntracepoint:c:d,\n", ["tracepoint:a:b", "tracepoint:c:d"], None),
        ("kprobe:f // after\n", ["kprobe:f"], None),
        ("kprobe:f /* a */ , /* b */ kprobe:g /* { */", ["kprobe:f", "kprobe:g"], None),
        ("kprobe : f", ["kprobe:f"], None),
        ("uprobe:/lib/x86/libc.so.6:malloc", ["uprobe:/lib/x86/libc.so.6:malloc"], None),
        ("uprobe:/lib/*/libc.so.6:malloc /pid/", ["uprobe:/lib/*/libc.so.6:malloc"], "pid"),
        ("uprobe:/a//b:f, u:/c/*:g", ["uprobe:/a//b:f", "u:/c/*:g"], None),
        ("uprobe:bin/*/x:f /1 / 2/", ["uprobe:bin/*/x:f"], "1 / 2"),
        ("usdt:./x:p:n", ["usdt:./x:p:n"], None),
        ("uprobe:libc:f@plt", ["uprobe:libc:f@plt"], None),
        ('uprobe:"/with blank, {/x":f /tid/', ['uprobe:"/with blank, {/x":f'], "tid"),
        (r"uprobe:/with\ blank:f", [r"uprobe:/with\ blank:f"], None),
        ('uprobe:/x:"ns::f(int, char)"', ['uprobe:/x:"ns::f(int, char)"'], None),
        ("kprobe:$1", ["kprobe:$1"], None),
        ("hardware:cpu-cycles:1000", ["hardware:cpu-cycles:1000"], None),
        ("k:f /$1 ? a:b/", ["k:f"], "$1 ? a:b"),
        ("k:f /a / b / c/", ["k:f"], "a / b / c"),
        ('k:f /comm == "/ {" /* / { */ && x/', ["k:f"], 'comm == "/ {" && x'),
        ("k:f /a/ // comment\n", ["k:f"], "a"),
        ("k:f\n/a &&\n  // why\n  b/", ["k:f"], "a && b"),
        ("k:f /if (a) { b } else { c }/", ["k:f"], "if (a) { b } else { c }"),
    ],
)
def test_heads(head: str, attach_points: list[str], predicate: str | None) -> None:
    script = read_script(f"{head}{{ @x = 1; }}\nEND {{ }}")
    assert script.problems == ()
    assert script.probes[0] == Probe(tuple(attach_points), predicate, 1)
    assert [probe.attach_points for probe in script.probes[1:]] == [("END",)]
    assert [assignment.map for assignment in script.assignments] == ["x"]


@pytest.mark.parametrize(
    ("definition", "flags"),
    [
        ("#!/usr/bin/bpftrace -v { @no", (False, False)),
        ('#include <a.h>\n#  include "b.h" // { \'', (False, True)),
        ("#define F(x) @no[x] = \\\n  count(); }", (False, False)),
        ("#define A /* { @no\n } */", (False, False)),
        ('#define A "/*"\n#define B // /*', (False, False)),
        ("#ifdef A\nstruct a { int x; };\n#else\nstruct a { long x; }\n#endif", (False, False)),
        ("struct a { struct b { int c[4]; } d; };", (False, False)),
        ("union a { int b; // }\n };", (False, False)),
        ("struct __attribute__((packed)) a { int b : 3; } __attribute__((aligned(8)));", (False, False)),
        ("typedef struct { int b; } a_t;", (False, False)),
        ("struct a;", (False, False)),
        ("enum e { A = 1, B = 'b' }", (False, False)),
        ('config = { a = 1; b = c; s = "}" }', (True, False)),
        ('import "stdlib/x";', (False, False)),
    ],
)
def test_what_stands_before_probes(definition: str, flags: tuple[bool, bool]) -> None:
    script = read_script(f"{definition}\nkprobe:f {{ @yes = 1; }}")
    assert script.problems == ()
    assert [probe.attach_points for probe in script.probes] == [("kprobe:f",)]
    assert script.maps() == ("yes",)
    assert (script.has_config_block, script.includes) == flags


def test_macros_functions_and_declared_maps() -> None:
    script = read_script("""
        let @declared = lruhash(10);
        let @other = hash(5)
        macro bump(@m, $key) { @m[$key]++; print(@m); }
        macro greet { printf("hi\\n"); }
        fn twice($x : struct a *) : int64 { let $y : int64 = $x * 2; @calls = count(); return $y; }
        BEGIN { bump(@real, 1); }
    """)
    assert script.problems == ()
    assert script.probes == (Probe(("BEGIN",), None, 7),)
    assert script.assignments == (
        MapAssignment("m", ("$key",), "++", None, (), -1, 4),
        MapAssignment("calls", (), "=", "count", (), -1, 6),
    )
    assert [(call.function, call.probe) for call in script.calls] == [("print", -1), ("printf", -1)]
    assert script.maps() == ("declared", "other", "calls", "real")
    assert script.reads == {"real"}
    assert script.variables == {(-1, "$y"): "$x * 2"}


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("@x = 1;", ("x", (), "=", None, ("1",))),
        ("@x = 1", ("x", (), "=", None, ("1",))),
        ("@ = count();", ("", (), "=", "count", ())),
        ("@[pid, comm] = sum(arg2);", ("", ("pid", "comm"), "=", "sum", ("arg2",))),
        ("@x[a] = min(1);", ("x", ("a",), "=", "min", ("1",))),
        ("@x = max((int64)a->b);", ("x", (), "=", "max", ("(int64)a->b",))),
        ("@x = avg(a[0]);", ("x", (), "=", "avg", ("a[0]",))),
        ("@x = stats(a);", ("x", (), "=", "stats", ("a",))),
        ("@x = lhist(f(1, 2), 0, 100, 10);", ("x", (), "=", "lhist", ("f(1, 2)", "0", "100", "10"))),
        ('@x = tseries(a, 1s, 10, "max");', ("x", (), "=", "tseries", ("a", "1s", "10", '"max"'))),
        ("@x = hist(\n  a\n  + // more\n  b);", ("x", (), "=", "hist", ("a + b",))),
        ("@x = count() + 1;", ("x", (), "=", None, ("count() + 1",))),
        ("@x = (count());", ("x", (), "=", None, ("(count())",))),
        ("@x = strlen(a);", ("x", (), "=", None, ("strlen(a)",))),
        ("@x = if (a) { 1 } else { 2 };", ("x", (), "=", None, ("if (a) { 1 } else { 2 }",))),
        ("@x = a ? b : c;", ("x", (), "=", None, ("a ? b : c",))),
        ('@x = "a;b" "}";', ("x", (), "=", None, ('"a;b}"',))),
        ("@x[(a, b)] = 1;", ("x", ("(a, b)",), "=", None, ("1",))),
        ("@x[$t] = 1;", ("x", ("$t",), "=", None, ("1",))),
        ("@x[f(a, b), c[1]] = 1;", ("x", ("f(a, b)", "c[1]"), "=", None, ("1",))),
        ("@x [ a ,\n b ] = 1;", ("x", ("a", "b"), "=", None, ("1",))),
        ("@x += 2;", ("x", (), "+=", None, ("2",))),
        ("@x[a] -= b;", ("x", ("a",), "-=", None, ("b",))),
        ("@x <<= 1;", ("x", (), "<<=", None, ("1",))),
        ("@x |= 1;", ("x", (), "|=", None, ("1",))),
        ("@x++;", ("x", (), "++", None, ())),
        ("@x[a]--;", ("x", ("a",), "--", None, ())),
        ("++@x[a];", ("x", ("a",), "++", None, ())),
        ("-- @x", ("x", (), "--", None, ())),
        ("$y = @x++;", ("x", (), "++", None, ())),
    ],
)
def test_assignments(statement: str, found: tuple[str, tuple[str, ...], str, str | None, tuple[str, ...]]) -> None:
    assert body(statement).assignments == (MapAssignment(*found, probe=0, line=1),)


@pytest.mark.parametrize(
    "statement",
    [
        "if (@x == 1) { }",
        "$a = @x;",
        "$a = @x[0] + 1;",
        "print(@x);",
        '// @x = 1;\n print("@x = 1; /* @x++ */");',
        "for ($kv : @x) { }",
        "$x = 1; $y += 2; $z++;",
        "$r = (a=1, b=2);",
    ],
)
def test_no_assignments(statement: str) -> None:
    assert body(statement).assignments == ()


@pytest.mark.parametrize(
    ("statement", "reads"),
    [
        ("@x = 1; @x[a] += 1; @x++; ++@x; --@x[b]; @x[a]++", ""),
        ("print(@x); print(@x, 5, 10); print(@x[a]); clear(@x); zero(@x); delete(@x); delete(@x[a]);", ""),
        ("delete(@x, a); delete(@x[a], @y[b]);", ""),
        ("if (a) { @x++ } else { @y++ }", ""),
        ("delete(@x, @y);", "y"),
        ("delete(@x[@y[a]]);", "y"),
        ("print(@x[@y]);", "y"),
        ("@x[@y[@z]] = 1;", "y z"),
        ("@x[@y++] = 1;", "y"),
        ("@x = @y;", "y"),
        ("@x = @x + 1;", "x"),
        ("@x = hist(nsecs - @y[tid]);", "y"),
        ('printf("%d %d", @x, @y[a]);', "x y"),
        ("print((1, @x)); print(@y + 1);", "x y"),
        ("if (@x) { } while (@y < 3) { }", "x y"),
        ("if (@x++ > 5) { }", "x"),
        ("$a = @x--; $b = ++@y;", "x y"),
        ("$a = len(@x); if (has_key(@y, 1)) { }", "x y"),
        ("for ($kv : @x) { }", "x"),
        ("$a = @x[a][0]; $b = @y.1;", "x y"),
        ("@ = @ + 1;", ""),
    ],
)
def test_reads(statement: str, reads: str) -> None:
    expected = set(reads.split()) if statement != "@ = @ + 1;" else {""}
    assert body(statement).reads == expected


def test_a_predicate_reads_and_its_steps_count() -> None:
    script = read_script("k:f /@a[tid] && @b++ < 5/ { }")
    assert script.reads == {"a", "b"}
    assert [assignment.map for assignment in script.assignments] == ["b"]
    assert script.maps() == ("a", "b")


@pytest.mark.parametrize(
    ("statement", "function", "arguments"),
    [
        ("exit();", "exit", ()),
        ("time();", "time", ()),
        ('time("%H:%M:%S ")', "time", ('"%H:%M:%S "',)),
        ('printf("%d, {%s} // \\"\\n", a, b);', "printf", ('"%d, {%s} // \\"\\n"', "a", "b")),
        ('printf("%s "\n  "%d\\n", /* , */ f(a,\n b), c);', "printf", ('"%s %d\\n"', "f(a, b)", "c")),
        ('printf("\\x4" "1");', "printf", ('"\\x4" "1"',)),
        ('printf("a" "b" "\\\\" "c");', "printf", ('"ab\\\\c"',)),
        ("print((1, comm, @x[a, b]));", "print", ("(1, comm, @x[a, b])",)),
        ("print({ $a = 1; $a });", "print", ("{ $a = 1; $a }",)),
        ("print(a ? 1 : 2,);", "print", ("a ? 1 : 2",)),
        ('join(args.argv, ",");', "join", ("args.argv", '","')),
        ('cat("/proc/%d/stat", pid);', "cat", ('"/proc/%d/stat"', "pid")),
        ('system("ls");', "system", ('"ls"',)),
        ('errorf("a");', "errorf", ('"a"',)),
        ('warnf("a");', "warnf", ('"a"',)),
        ('debugf("a");', "debugf", ('"a"',)),
        ("zero(@x);", "zero", ("@x",)),
        ("$ok = delete(@x, 1);", "delete", ("@x", "1")),
    ],
)
def test_calls(statement: str, function: str, arguments: tuple[str, ...]) -> None:
    script = body(statement)
    assert script.calls == (Call(function, arguments, 0, script.calls[0].block, 1),)


@pytest.mark.parametrize(
    "statement", ["$a = args.time;", "$a = b->exit(1);", "$print = 1;", '$a = "exit()"; // exit()\n']
)
def test_no_calls(statement: str) -> None:
    assert body(statement).calls == ()


@pytest.mark.parametrize(
    ("statements", "blocks"),
    [
        ("print(1); print(2);", "aa"),
        ("print(1); $x = a ? b : c; @y[1] = count(); print(2)", "aa"),
        ('printf("%d", a ? 1 : 2); printf("\\n");', "aa"),
        ("print(1); if (a) { print(2); print(3); } print(4);", "abbc"),
        ("if (a) { print(1); } else { print(2); }", "ab"),
        ("if (a) { print(1); } else if (b) { print(2); } else { print(3); } print(4);", "abcd"),
        ("unless (a) { print(1); } print(2);", "ab"),
        ("print(1); unroll(3) { print(2); } while (a) { print(3); } for ($i : 0..3) { print(4); }", "abcd"),
        ("print(1); { print(2); } print(3);", "abc"),
        ("print(1); if (a) { } print(2);", "ab"),
        ("print(1); $x = { let $y = 1; $y }; print(2);", "ab"),
        ("print(1); a ? print(2) : print(3); print(4);", "abcd"),
    ],
)
def test_blocks(statements: str, blocks: str) -> None:
    numbers = [call.block for call in body(statements).calls]
    assert [numbers.index(number) for number in numbers] == [blocks.index(letter) for letter in blocks]


def test_each_probe_and_each_own_macro_ends_a_block() -> None:
    script = read_script("""
        macro more() { print(2); }
        BEGIN { print(1); more(); print(3); other(); print(4); $x = more; print(5); }
        END { print(6); }
    """)
    by_argument = {call.arguments[0]: call.block for call in script.calls}
    assert len({by_argument[name] for name in "1236"}) == 4
    assert by_argument["3"] == by_argument["4"] == by_argument["5"]


@pytest.mark.parametrize(
    ("program", "parameters"),
    [
        ('BEGIN { $a = getopt("n", 5); }', [("n", "5", False, False)]),
        ('BEGIN { $a = getopt("n", -0x5); }', [("n", "-0x5", False, False)]),
        ('BEGIN { $a = getopt( "s" ,\n "a, \\"b\\"" ); }', [("s", '"a, \\"b\\""', False, True)]),
        ('BEGIN { $a = getopt("n", 5, "how many, at most"); }', [("n", "5", False, False)]),
        ('BEGIN { if (getopt("v")) { } }', [("v", None, True, False)]),
        ('BEGIN { $a = getopt("v", false); }', [("v", "false", True, False)]),
        ('k:f /pid == getopt("pid", 0)/ { }', [("pid", "0", False, False)]),
        ('macro n { getopt("n", 1) } BEGIN { print(n); }', [("n", "1", False, False)]),
        ("BEGIN { $a = $1; $b = $2 }", [("1", None, False, False), ("2", None, False, False)]),
        ("BEGIN { $b = $2; $a = str($1, 8); $c = $2 }", [("2", None, False, False), ("1", None, False, True)]),
        ("BEGIN { $a = $1; $b = str($1); }", [("1", None, False, True)]),
        ("BEGIN { $a = str($1 + 1); $n = $#; }", [("1", None, False, False)]),
        ("BEGIN { unroll($1) { } }", [("1", None, False, False)]),
        ("interval:s:$1 { } uprobe:/proc/$2/exe:f { }", [("1", None, False, False), ("2", None, False, False)]),
        ('BEGIN { $a = "$1"; } // getopt("n", 1)', []),
        ("BEGIN { $a = getopt($b, 1); $c = getopt(); }", []),
    ],
)
def test_parameters(program: str, parameters: list[tuple[str, str | None, bool, bool]]) -> None:
    script = read_script(program)
    assert script.problems == ()
    assert script.parameters == tuple(Parameter(*parameter) for parameter in parameters)


def test_variables_are_what_is_first_assigned_in_each_probe() -> None:
    script = read_script("""
        BEGIN { $a = 1; $a = 2; $b += 3; $c = $d = 4; }
        END { let $a = (f(1), 2); let $b : uint64 = 5; let $c; let $e : struct x *; $e = 6; if ($a == 7) { $f=8 } }
    """)
    assert dict(script.variables) == {
        (0, "$a"): "1",
        (0, "$c"): "$d",
        (0, "$d"): "4",
        (1, "$a"): "(f(1), 2)",
        (1, "$b"): "5",
        (1, "$e"): "6",
        (1, "$f"): "8",
    }


def test_annotations() -> None:
    script = read_script("""// otlp: @usecs name=block.latency unit=us keys=device,op description="Block I/O latency"
        /*
         * What it means:
         * otlp: @ name=a.b
           otlp: printf name=ebpf.exec description="a \\"b\\" = c"
         */
        BEGIN {
          @usecs = 1; //otlp: print
          printf("// otlp: @no a=b"); // see otlp: @no a=b
          /* otlp: @x url=http://a/?b=c&d="e" */
        }""")
    assert script.problems == ()
    assert script.annotations == (
        Annotation(
            "@usecs",
            {"name": "block.latency", "unit": "us", "keys": "device,op", "description": "Block I/O latency"},
            1,
        ),
        Annotation("@", {"name": "a.b"}, 4),
        Annotation("printf", {"name": "ebpf.exec", "description": 'a "b" = c'}, 5),
        Annotation("printf", {}, 8),
        Annotation("@x", {"url": 'http://a/?b=c&d="e"'}, 10),
    )


@pytest.mark.parametrize(
    "annotation",
    [
        "otlp:",
        "otlp: name=a",
        "otlp: usecs name=a",
        "otlp: @a b",
        "otlp: @a =b",
        "otlp: @a b=",
        "otlp: @a b= c=d",
        'otlp: @a b="c',
        'otlp: @a b="c"d',
        "otlp: @a b=c b=d",
        "otlp: @a-b c=d",
        "otlp: printfs a=b",
        "otlp: @a, b=c",
    ],
)
def test_a_malformed_annotation_is_a_problem(annotation: str) -> None:
    script = read_script(f"BEGIN {{ }}\n// {annotation}")
    assert script.annotations == ()
    assert [problem.split(":")[0] for problem in script.problems] == ["line 2"]


@pytest.mark.parametrize(
    ("comment", "summary"),
    [
        ("/*\n * tool.bt\tCounts things.\n *\t\tFor Linux.\n */", "Counts things."),
        ("#!/usr/bin/env bpftrace\n// tool.bt - Counts  things", "Counts things"),
        ("// tool - Counts things", "Counts things"),
        ("// tool -- Counts things", "Counts things"),
        ("// - Counts things", "Counts things"),
        ("// tool   Counts things", "Counts things"),
        ("// tool\tcounts things", "counts things"),
        ("// tool Count things", "Count things"),
        ("// tool.bt: counts things", "counts things"),
        ("/** Counts things */", "Counts things"),
        ("// Counts things", "Counts things"),
        ("// Well-known things - counted", "Well-known things - counted"),
        ("// tool.bt\n// Counts things", "Counts things"),
        ("// -----\n\n//\n// Counts things", "Counts things"),
        ("// SPDX-License-Identifier: MIT\n// Copyright 2026 A\n#include <a.h>\n// Counts things", "Counts things"),
        ("// otlp: @a name=b\n// Counts things", "Counts things"),
        ("", ""),
        ("/* */", ""),
        ("struct a { int b; // not this\n};\n// nor this", ""),
    ],
)
def test_summary(comment: str, summary: str) -> None:
    assert read_script(f"{comment}\nBEGIN {{ // no\n }}").summary == summary


@pytest.mark.parametrize(
    ("program", "problems"),
    [
        ("BEGIN { @a = 1; ", ["line 1: '{' is not closed"]),
        ("BEGIN { if (a { @a = 1; } }\nEND { @b = 1; }", ["line 1: '(' is not closed"]),
        ('BEGIN { printf("x"; @a = 1; }\nEND { @b = 1; }', ["line 1: '(' is not closed"]),
        ("BEGIN { @a = 1; } }\nEND { @b = 1; }", ["line 1: '}' closes nothing"]),
        ("BEGIN { @a = 1); @b = 1; }", ["line 1: ')' closes nothing"]),
        ('BEGIN { @a = "x; }\nEND { @b = 1; }', ["line 1: the string is not closed", "line 1: '{' is not closed"]),
        ("BEGIN { @a = 1; @b = 1; } /* END { }", ["line 1: the comment is not closed"]),
        ("BEGIN { @a = 1; ` @b = 1; }", ["line 1: unexpected '`'"]),
        ("BEGIN { @a = 1; } whatever\nEND { @b = 1; }", []),
        ("whatever;\nBEGIN { @a = 1; @b = 1; }", ["line 1: not understood: 'whatever'"]),
        ("BEGIN { @a = 1; @b = 1; }\nkprobe:f", ["line 2: not understood: 'kprobe:f'"]),
        ("{ @a = 1; @b = 1; }", ["line 1: a block without an attach point"]),
        ("k:f /pid == 1 { @a = 1; }\nEND { @b = 1; }", ["line 1: the predicate is not closed"]),
        ("config = 1\n;BEGIN { @a = 1; @b = 1; }", []),
        ("macro m\n;BEGIN { @a = 1; @b = 1; }", []),
        ("\ufeffBEGIN { @a = 1; @b = 1; }", []),
        ("BEGIN { @a = 1;\f@b = 1; }\r\n", []),
    ],
)
def test_problems_leave_the_rest_readable(program: str, problems: list[str]) -> None:
    script = read_script(program)
    assert sorted(script.problems) == sorted(problems)
    assert "a" in script.maps()
    assert "b" in script.maps() or any("not closed" in problem for problem in problems)


def test_a_missing_semicolon_ends_with_the_next_assignment() -> None:
    script = read_script("BEGIN { @a = 1 @b = 2; }")
    assert [(assignment.map, assignment.arguments) for assignment in script.assignments] == [
        ("a", ("1 @b",)),
        ("b", ("2",)),
    ]


def test_too_deep_too_long_and_too_many() -> None:
    nested = "(" * (MAX_DEPTH - 1) + ")" * (MAX_DEPTH - 1)
    assert read_script(f"BEGIN {{ $a = {nested}; }}").problems == ()
    deeper = read_script(f"k:f {{ @a = 1; }} BEGIN {{ $a = ({nested}); }}\nEND {{ }}")
    assert deeper.problems == ("line 1: nested more than 100 deep: the rest is not read",)
    assert deeper.maps() == ("a",)
    long = read_script("BEGIN { }\n" + " " * MAX_LENGTH + "END { }")
    assert [probe.attach_points for probe in long.probes] == [("BEGIN",)]
    assert "only" in long.problems[-1]
    many = read_script("a;\n" * 1000).problems
    assert many[0] == "line 1: not understood: 'a'"
    assert many[-1] == "and 950 more"


@pytest.mark.parametrize(
    "unit",
    [
        "(",
        "BEGIN { (",
        "}",
        "{",
        "([)]",
        "k:f /x {} ",
        "k:f /if (x) {} ",
        "a, ",
        "struct a ",
        "fn a",
        "BEGIN { @a = @a = ",
        "BEGIN { let $x : ",
        'BEGIN { printf("" "" ',
        "BEGIN { @a[@a[@a++]++]++; }",
        'getopt("a", ',
        "/*",
        '"\\',
        '#"\\',
        "a /",
        "uprobe:/",
        "// otlp: @a\n",
        "\0",
        "\udcff\ud800",
    ],
)
def test_time_is_linear_in_the_length(unit: str) -> None:
    start = time.process_time()
    read_script(unit * (MAX_LENGTH // 4 // len(unit)))
    assert time.process_time() - start < 10


@pytest.mark.parametrize("unit", ["(", "\0", "\n", "BEGIN { @a[1] = count(); }\n"])
def test_a_megabyte_is_read(unit: str) -> None:
    start = time.process_time()
    assert read_script(unit * ((1 << 20) // len(unit))).problems
    assert time.process_time() - start < 30


def test_a_program_of_300_lines_is_read_at_once() -> None:
    probe = PROGRAM[PROGRAM.index("kprobe:start") :]
    start = time.process_time()
    read_script(probe * 12)
    assert time.process_time() - start < 1


ANY = st.text() | st.binary().map(lambda data: data.decode("utf-8", "surrogateescape"))
WORDS = ("BEGIN", "k:f", "@a", "$b", "$1", "1", "x", "if", "else", "let", "macro", "fn", "struct", "config", "import")
PARTS = (
    "printf(",
    'getopt("',
    "count()",
    "delete(@",
    "//",
    "/*",
    "*/",
    "++",
    "->",
    "+=",
    "#define",
    "otlp:",
    "uprobe:/",
)
SOUP = st.lists(st.sampled_from([*WORDS, *PARTS, *"@$(){}[]/,;:=#?*\"'\\ \n"]), max_size=60).map("".join)


@given(ANY | SOUP)
def test_no_text_raises(text: str) -> None:
    script = read_script(text)
    assert all(re.match(r"line \d+: |and \d+ more", problem) for problem in script.problems)
    probes = [assignment.probe for assignment in script.assignments] + [call.probe for call in script.calls]
    assert set(probes) <= set(range(-1, len(script.probes)))
    assert {assignment.map for assignment in script.assignments if assignment.probe >= 0} <= set(script.maps())
    assert script.reads <= set(script.maps())


@given(ANY.filter(lambda text: "otlp:" not in text))
def test_text_in_a_comment_changes_nothing(text: str) -> None:
    plain = without_lines(read_script(PROGRAM))
    line, block = text.replace("\n", ""), text.replace("/", "")
    for commented in (f"{PROGRAM}// {line}", f"{PROGRAM}/* {block} */", PROGRAM.replace(" = ", f" /* {block} */ = ")):
        assert without_lines(read_script(commented)) == plain


@given(ANY)
def test_text_in_a_string_changes_nothing_else(text: str) -> None:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    script = read_script(PROGRAM.replace("%s took ", escaped))
    (call,) = (call for call in script.calls if call.arguments[-1:] == ("comm",))
    assert call.arguments == (f'"{escaped}"', "comm")
    assert unescape(call.arguments[0]) == text or not text.isprintable()
    calls = tuple(
        replace(found, arguments=('"%s took "', "comm")) if found == call else found for found in script.calls
    )
    assert replace(script, calls=calls) == read_script(PROGRAM)


LAID_OUT = """config~=~{ a = 1 }~struct~s { int a; }~uprobe:/a/b:f,~k:g~/@a[tid]~/ 2 >~1/~{~@b[a,~b]~=~hist(~$x~/ 2);~
if~(a)~{~printf("a, b"~"c",~@a~+~1);~}~}~"""
LAYOUT = st.sampled_from([" ", "\n", "\t  ", " // } \" '\n", " /* { */ ", "\r\n\n", '\n#define A { "\n'])


@given(st.lists(LAYOUT, min_size=LAID_OUT.count("~"), max_size=LAID_OUT.count("~")))
def test_layout_changes_nothing(layouts: list[str]) -> None:
    written = "".join(text + layout for text, layout in zip(LAID_OUT.split("~"), [*layouts, ""], strict=True))
    plain = read_script(LAID_OUT.replace("~", " "))
    assert plain.problems == ()
    assert plain.assignments[0].keys == ("a", "b")
    assert without_lines(read_script(written)) == without_lines(replace(plain, summary=read_script(written).summary))
