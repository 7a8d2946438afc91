from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsers.literals import call_of, unescape


def literal(text: str) -> str:
    for character, escape in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\t", "\\t"), ("\r", "\\r")):
        text = text.replace(character, escape)
    return f'"{text}"'


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ('""', ""),
        ('"plain %-5d|"', "plain %-5d|"),
        (r'"a\nb\tc\rd"', "a\nb\tc\rd"),
        (r'"say \"hi\" \\n"', 'say "hi" \\n'),
        (r'"\101\60\0"', "A0\0"),
        (r'"\1012"', "A2"),
        (r'"\x41\X4a\x9"', "AJ\t"),
        (r'"\x411"', "A1"),
        (r'"\xc3\xa9"', "é"),
        (r'"\303\251"', "é"),
        (r'"\xff."', "\udcff."),
        ('"é"', "é"),
        (r'"\q \x"', r"\q \x"),
        ('"a" "b"', "ab"),
        ('"%s " \n\t"%d\\n"', "%s %d\n"),
        (r'"\x4" "1"', "\x041"),
        (r'"\xc3" "\xa9"', "é"),
        ('"not closed', "not closed"),
        ("", ""),
    ],
)
def test_unescape(written: str, text: str) -> None:
    assert unescape(written) == text


@given(st.text())
def test_any_text_survives_being_a_literal(text: str) -> None:
    assert unescape(literal(text)) == text


@given(st.lists(st.text(), max_size=3))
def test_adjacent_literals_are_one_text(texts: list[str]) -> None:
    assert unescape(" ".join(map(literal, texts))) == "".join(texts)


@given(st.text() | st.text('"\\x0a7\udcff\ud800 '))
def test_unescape_raises_for_no_text(text: str) -> None:
    unescape(text)


@pytest.mark.parametrize(
    ("expression", "call"),
    [
        ("count()", ("count", ())),
        ("str(args->filename, 16)", ("str", ("args->filename", "16"))),
        (" hist( (nsecs - @start[tid, 1]) / 1000 , 2 ) ", ("hist", ("(nsecs - @start[tid, 1]) / 1000", "2"))),
        ('strftime("%H,(%M", nsecs)', ("strftime", ('"%H,(%M"', "nsecs"))),
        ('f("a" /* ) */ "b")', ("f", ('"ab"',))),
        ("f(g(h(1, 2)), (3, 4))", ("f", ("g(h(1, 2))", "(3, 4)"))),
        ("ntop(2, args.addr) + 1", None),
        ("str(a) == str(b)", None),
        ("(f(1))", None),
        ("-f(1)", None),
        ("$f(1)", None),
        ("args->f(1)", None),
        ("f(1)[0]", None),
        ("f(1)->x", None),
        ("(uint64)f(1)", None),
        ("if (1)", None),
        ("f", None),
        ("f(1", None),
        ("f(1))", None),
        ("f((1)", None),
        ("f[1]", None),
        ('"f(1)"', None),
        ('f("', None),
        ("f(1); g(2)", None),
        ("", None),
    ],
)
def test_call_of(expression: str, call: tuple[str, tuple[str, ...]] | None) -> None:
    assert call_of(expression) == call


@given(st.text() | st.text("f(,)[]{}\"'/* @$1"))
def test_call_of_raises_for_no_text(text: str) -> None:
    call_of(text)


@given(st.text())
def test_a_string_argument_is_one_argument(text: str) -> None:
    assert call_of(f"f({literal(text)}, 1)") == ("f", (literal(text), "1"))
