from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsers.source import (
    getopt_defaults,
    insert_into,
    map_names,
    probes_used,
    render,
    string_literal,
    without_dead_probes,
)

PRINTABLE = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E))


def read_literal(code: str) -> tuple[str, str]:
    """A string literal at the start of ``code`` as bpftrace's lexer reads it, and what follows it."""
    assert code[0] == '"'
    value, position = "", 1
    while code[position] != '"':
        position += code[position] == "\\"
        value += code[position]
        position += 1
    return value, code[position + 1 :]


@pytest.mark.parametrize(
    ("source", "values", "rendered"),
    [
        ('/pid == getopt("pid", 0)/', {"pid": 42}, "/pid == 42/"),
        ('x(getopt("n", -5))', {"n": -1}, "x(-1)"),
        ('getopt( "n" ,\n 5 )', {"n": 6}, "6"),
        ('getopt("on", 1)', {"on": 0}, "0"),
        ('getopt("on", true)', {"on": True}, "(1 == 1)"),  # a boolean where there are some, else a number
        ('getopt("on")', {"on": False}, "(1 == 0)"),
        ('getopt("n", 1, "How many, in \\"all\\"")', {"n": 2}, "2"),
        ('comm == getopt("comm", "")', {"comm": "bash"}, 'comm == "bash"'),
        ('comm == getopt("comm", "a\\"b")', {"comm": 'q"uo\\te'}, 'comm == "q\\"uo\\\\te"'),
        ('getopt("a", 1) + getopt("b", 2)', {"a": 3, "b": 4}, "3 + 4"),
    ],
)
def test_render_puts_values_in_place(source: str, values: dict[str, int | str], rendered: str) -> None:
    assert render(source, values) == rendered


@pytest.mark.parametrize(
    "source",
    [
        '// getopt("x", 1)\n',
        '/* getopt("x", 1)\n "unclosed */',
        'printf("getopt(\\"x\\", 1) %d\\n", 1)',
        'printf("// no comment %s", str(getopt_name))',
        'printf("\\\\"); // getopt("x", 1)',
        "BEGIN { @getopt = 1; }",
    ],
)
def test_render_leaves_strings_comments_and_code_alone(source: str) -> None:
    assert render(source, {"x": 7}) == source
    assert getopt_defaults(source) == {}


def test_render_without_a_value_is_an_error() -> None:
    with pytest.raises(KeyError):
        render('getopt("missing", 1)', {})


@given(PRINTABLE)
def test_render_never_turns_a_value_into_code(value: str) -> None:
    rendered = render('/comm == getopt("comm", "")/ { exit(); }', {"comm": value})
    before, _, literal = rendered.partition("== ")
    assert before == "/comm "
    assert read_literal(literal) == (value, "/ { exit(); }")
    # What it holds is not looked at again either.
    assert render(rendered, {"comm": "other", "x": 1}) == rendered
    assert list(map_names(rendered)) == []


@given(PRINTABLE, st.text(min_size=1), PRINTABLE)
def test_string_literal_takes_printable_ascii_only(before: str, middle: str, after: str) -> None:
    text = before + middle + after
    if all(" " <= character <= "~" for character in text):
        assert read_literal(string_literal(text)) == (text, "")
    else:
        with pytest.raises(ValueError, match="printable ASCII"):
            string_literal(text)


@pytest.mark.parametrize("text", ["é", "a\nb", "\x00", "\x7f", "tab\t", "\udcff", "\u2028", "٣"])
def test_string_literal_refuses_what_is_not_printable_ascii(text: str) -> None:
    with pytest.raises(ValueError, match="printable ASCII"):
        string_literal(text)


def test_getopt_defaults_are_literals_as_written() -> None:
    source = 'getopt("pid", 0) getopt("comm", "") getopt("n", -5) getopt("q", "a\\"b, c)") // getopt("no", 1)'
    assert getopt_defaults(source) == {"pid": "0", "comm": '""', "n": "-5", "q": '"a\\"b, c)"'}


def test_map_names_in_order_without_doubles() -> None:
    source = '@b[pid] = count(); @a_1 = @b[1]; printf("@string"); // @comment\n /* @other */ delete(@b[1]); @C = 1;'
    assert list(map_names(source)) == ["b", "a_1", "C"]


ALIVE = "BEGIN { @a = 1; }\n"


@pytest.mark.parametrize(
    "predicate",
    [
        "0",
        " 0 ",
        "0 && x",
        "1 && 0",
        "1&&0&&x",
        "2 & 1",
        "2 & 1 && x",
        "3 & 1 && 0 && (a || b)",
        "0 &&\n ((a || b))",
        "00",
    ],
)
def test_without_dead_probes_leaves_out_what_cannot_happen(predicate: str) -> None:
    dead = f"// About it.\ntracepoint:a:b, tracepoint:a:c\n/{predicate}/\n{{\n  if (x) {{ @d = 1; }}\n}}\n"
    assert without_dead_probes(ALIVE + dead + ALIVE).split() == (ALIVE + ALIVE).split()
    assert list(probes_used(without_dead_probes(dead))) == []


@pytest.mark.parametrize(
    "predicate",
    [
        "1",
        "3 & 1 && x",
        "3 & 1",
        "0 == 0 && x",
        "pid == 0",
        "x && 0",
        "10 && x",
        "0x10 && x",
        "0 || x",
        "0 && x || y",
        '0 && x == "(" || y',
        "1 && (0 && x || y)",
        "(0)",
    ],
)
def test_without_dead_probes_keeps_what_may_happen(predicate: str) -> None:
    probe = f"tracepoint:a:b\n/{predicate}/\n{{ @d = 1; }}\n"
    assert without_dead_probes(ALIVE + probe) == ALIVE + probe


def test_without_dead_probes_sees_through_comments_and_strings() -> None:
    source = (
        "/* { not a block */\n"
        'BEGIN { printf("}{"); /* } */ }\n'
        "// tracepoint:x:y /1/ {\n"
        "uprobe:/lib/x.so:f /0 && x/ { @dead = 1; }\n"
        "uprobe:/lib/x.so:g { @alive = 1; } // }\n"
    )
    kept = without_dead_probes(source)
    assert list(map_names(kept)) == ["alive"]
    assert list(probes_used(kept)) == ["BEGIN", "uprobe:/lib/x.so:g"]


def test_probes_used_without_doubles() -> None:
    source = (
        "tracepoint:syscalls:sys_exit_execve, tracepoint:syscalls:sys_exit_execveat\n/pid == 4 / 2/\n{ @a = 1; }\n"
        "// tracepoint:no:no\ntracepoint:syscalls:sys_exit_execve { @b = 1; }\n"
        "uprobe:/bin/bash:readline,uretprobe:/bin/bash:readline { }\ninterval:s:1 /@b/ { exit(); }\n"
    )
    assert list(probes_used(source)) == [
        "tracepoint:syscalls:sys_exit_execve",
        "tracepoint:syscalls:sys_exit_execveat",
        "uprobe:/bin/bash:readline",
        "uretprobe:/bin/bash:readline",
        "interval:s:1",
    ]


@pytest.mark.parametrize(
    ("source", "inserted"),
    [
        ("BEGIN { x(); }", "BEGIN { NEW; x(); }"),
        ("BEGIN{x();}", "BEGIN{ NEW;x();}"),
        ("BEGIN\n{\n\tx();\n}\n", "BEGIN\n{ NEW;\n\tx();\n}\n"),
        ("begin { x(); }", "begin { NEW; x(); }"),  # since 0.24
        ("BEGIN { // why\n  x(); }", "BEGIN { NEW; // why\n  x(); }"),
        ("BEGIN /* why { */ { x(); }", "BEGIN /* why { */ { NEW; x(); }"),
        ("END { y(); }\nBEGIN { x(); }\n", "END { y(); }\nBEGIN { NEW; x(); }\n"),
        ("k:f { if (1) { y(); } }\n\nBEGIN { x(); }\n", "k:f { if (1) { y(); } }\n\nBEGIN { NEW; x(); }\n"),
        # What may stand before it.
        ("#!/usr/bin/env bpftrace\nBEGIN { x(); }\n", "#!/usr/bin/env bpftrace\nBEGIN { NEW; x(); }\n"),
        ("#include <linux/fs.h>\n\nBEGIN { x(); }\n", "#include <linux/fs.h>\n\nBEGIN { NEW; x(); }\n"),
        (
            "#ifndef BPFTRACE_HAVE_BTF\n#include <a.h>\n#endif\nBEGIN { x(); }",
            "#ifndef BPFTRACE_HAVE_BTF\n#include <a.h>\n#endif\nBEGIN { NEW; x(); }",
        ),
        (
            "#define TWO \\\n  2\nBEGIN { x(); }",
            "#define TWO \\\n  2\nBEGIN { NEW; x(); }",
        ),
        (
            "/*\n * BEGIN { no }\n */\n// BEGIN {\nBEGIN { x(); }",
            "/*\n * BEGIN { no }\n */\n// BEGIN {\nBEGIN { NEW; x(); }",
        ),
        ("struct a { int b; };\nBEGIN { x(); }", "struct a { int b; };\nBEGIN { NEW; x(); }"),
        ("struct a { struct { int b; } c; }\nBEGIN { x(); }", "struct a { struct { int b; } c; }\nBEGIN { NEW; x(); }"),
        ("config = { a = 1 }\nBEGIN { x(); }", "config = { a = 1 }\nBEGIN { NEW; x(); }"),
        ('k:f { printf("BEGIN { }"); }\nBEGIN { x(); }', 'k:f { printf("BEGIN { }"); }\nBEGIN { NEW; x(); }'),
        ('k:f { printf("}\\"{"); }\nBEGIN { x(); }', 'k:f { printf("}\\"{"); }\nBEGIN { NEW; x(); }'),
    ],
)
def test_insert_into_a_probe_that_is_there(source: str, inserted: str) -> None:
    assert insert_into(source, "BEGIN", "NEW;") == inserted


@pytest.mark.parametrize(
    "source",
    [
        "",
        "k:f { x(); }\n",
        "k:f { x(); } // no newline",
        "#!/usr/bin/env bpftrace\nk:f { x(); }",
        "// BEGIN { x(); }\nk:f { x(); }\n",
        "/* BEGIN { x(); } */ k:f { x(); }\n",
        'k:f { printf("BEGIN { %d }", 1); }\n',
        "struct BEGIN { int a; };\nk:f { x(); }\n",
        "k:BEGIN { x(); }\n",
        "k:f { @BEGIN = 1; }\n",
        'k:f /comm == "BEGIN"/ { x(); }\n',
        "END { x(); }\n",
    ],
)
def test_insert_into_a_probe_that_is_not_there(source: str) -> None:
    assert insert_into(source, "BEGIN", "NEW;") == f"{source}\nBEGIN {{ NEW; }}\n"


def test_insert_into_the_last_of_two() -> None:
    source = "BEGIN { a(); }\nEND { b(); }\n"
    assert insert_into(source, "END", "NEW;") == "BEGIN { a(); }\nEND { NEW; b(); }\n"
    assert insert_into("end { b(); }", "END", "NEW;") == "end { NEW; b(); }"


@pytest.mark.parametrize(
    "source",
    [
        "interval:s:5, END { print(@a); clear(@a); }\n",
        "END,interval:s:5 { print(@a); clear(@a); }\n",
        "END /@a > 0/ { print(@a); }\n",
    ],
)
def test_what_is_inserted_runs_at_the_end_and_only_then(source: str) -> None:
    """Not at other probes that share the body, nor under a condition."""
    inserted = insert_into(source, "END", "NEW;")
    assert inserted.count("NEW;") == 1
    (block,) = [block for block in inserted.split("}") if "NEW;" in block]
    assert block.partition("{")[0].strip() == "END" or 'probe == "END"' in block
