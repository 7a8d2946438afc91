from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.text import join_arguments, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("plain text", "plain text"),
        ("é 日本 😀", "é 日本 😀"),
        ("a\nb\tc\rd", "a\\nb\\tc\\rd"),
        ("\x1b[2J", "\\x1b[2J"),
        ("\x00\x7f\x9b", "\\x00\\x7f\\x9b"),
        ("\udcff\udc80", "\\xff\\x80"),
        ("\u202e", "\\u202e"),
        ("\u2028", "\\u2028"),
        ("\U000e0001", "\\U000e0001"),
    ],
)
def test_printable(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.text() | st.binary().map(lambda data: data.decode("utf-8", "surrogateescape")))
def test_printable_shows_anything_on_one_line(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    shown.encode("utf-8")


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["/bin/echo", "one"], "/bin/echo one"),
        (["echo", "two three", ""], "echo 'two three' ''"),
        (["echo", "it's"], """echo 'it'"'"'s'"""),
        (["echo", "$(x)", "a;b", "*"], "echo '$(x)' 'a;b' '*'"),
        (["echo", "nl\nx", "\udcff"], "echo 'nl\\nx' '\\xff'"),
        ([], ""),
    ],
)
def test_join_arguments(arguments: list[str], shown: str) -> None:
    assert join_arguments(arguments) == shown


@given(st.lists(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E))))
def test_join_arguments_can_be_read_back_by_a_shell(arguments: list[str]) -> None:
    assert shlex.split(join_arguments(arguments)) == arguments
