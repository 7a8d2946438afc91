from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsers.keys import KeyType, split_key


@pytest.mark.parametrize(
    ("text", "types", "parts"),
    [
        ("42", ["int"], (42,)),
        ("-2", ["int"], (-2,)),
        ("0,1,443", ["int", "int", "int"], (0, 1, 443)),
        ("18446744073709551615", ["int"], (2**64 - 1,)),
        ("true,false", ["int", "int"], (1, 0)),
        ("bpftrace,true,-7", ["string", "int", "int"], ("bpftrace", 1, -7)),
        ("bash", ["string"], ("bash",)),
        ("", ["string"], ("",)),
        (",1", ["string", "int"], ("", 1)),
        ("42,a,b", ["int", "string"], (42, "a,b")),
        ("a,b,1", ["string", "int"], ("a,b", 1)),
        ("a,1,2", ["string", "int"], ("a,1", 2)),
        ("7,a,1,-5", ["int", "string", "int"], (7, "a,1", -5)),
        ("nl\nx,1", ["string", "int"], ("nl\nx", 1)),
        ("\n    f+12\n    g+3\n,1", ["string", "int"], ("\n    f+12\n    g+3\n", 1)),
    ],
)
def test_split_key(text: str, types: Sequence[KeyType], parts: tuple[int | str, ...]) -> None:
    found = split_key(text, types)
    assert found == parts
    assert found is not None
    assert [type(part) for part in found] == [type(part) for part in parts]


@pytest.mark.parametrize(
    ("text", "types"),
    [
        ("", ["int"]),
        ("x", ["int"]),
        ("1", ["int", "int"]),
        ("1,2,3", ["int", "int"]),
        ("1,", ["int", "int"]),
        ("1.5", ["int"]),
        ("0x10", ["int"]),
        ("1\n", ["int"]),
        ("--1", ["int"]),
        ("True", ["int"]),
        ("a", ["string", "int"]),
        ("a,b", ["string", "int"]),
    ],
)
def test_split_key_of_another_shape_is_none(text: str, types: Sequence[KeyType]) -> None:
    assert split_key(text, types) is None


@given(st.integers(-(2**63), 2**64 - 1), st.text(), st.integers(-(2**63), 2**64 - 1))
def test_split_key_finds_one_string_whatever_it_holds(first: int, text: str, last: int) -> None:
    assert split_key(f"{first},{text},{last}", ("int", "string", "int")) == (first, text, last)
