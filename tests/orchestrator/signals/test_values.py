from __future__ import annotations

import pytest

from orchestrator.signals.values import as_text
from parsers.records import Data


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (5, "5"),
        (-5, "-5"),
        ("9007199254740993", "9007199254740993"),
        ("a, b", "a, b"),
        ("", ""),
        (True, "true"),
        (False, "false"),
        (None, ""),
        (1.5, "1.5"),
        ([1, "x"], "(1, x)"),
        ([1, [2, True], "x"], "(1, (2, true), x)"),
        ([], "()"),
        ({"p": 7}, "{ .p = 7 }"),
        ({"p": 7, "q": {"r": "x"}}, "{ .p = 7, .q = { .r = x } }"),
        ([{"p": [1, 2]}], "({ .p = (1, 2) })"),
    ],
)
def test_a_value_is_shown_as_bpftrace_shows_it(value: Data, shown: str) -> None:
    assert as_text(value) == shown
