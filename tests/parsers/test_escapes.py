from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsers.escapes import byte_escapes_to_surrogates, join_surrogates, to_bytes


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (rb"\uffffffc3\uffffffa9", rb"\udcc3\udca9"),
        (rb"\\uffffffc3", rb"\\uffffffc3"),
        (rb"\\\uffffffc3", rb"\\\udcc3"),
        (rb"\uffffff41", rb"\uffffff41"),
        (rb"\u0001\uffffffff", rb"\u0001\udcff"),
        (rb"\"\uffffffff\"", rb"\"\udcff\""),
        (rb"plain", rb"plain"),
    ],
)
def test_byte_escapes_to_surrogates_undoes_only_what_bpftrace_wrote(line: bytes, expected: bytes) -> None:
    assert byte_escapes_to_surrogates(line) == expected


@given(st.binary())
def test_to_bytes_undoes_surrogateescape(data: bytes) -> None:
    assert to_bytes(data.decode("utf-8", "surrogateescape")) == data


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("\udcc3\udca9", "é"),
        ("cut\udce2\udc82", "cut\udce2\udc82"),
        ("\udcff\udcc3\udca9", "\udcffé"),
        (["\udcc3\udca9", 1, None, True], ["é", 1, None, True]),
        (("\udcc3\udca9",), ("é",)),
        ({"\udcc3\udca9": ["\udcc3", "\udca9"]}, {"é": ["\udcc3", "\udca9"]}),
    ],
)
def test_join_surrogates_makes_characters_of_valid_utf8(data: Any, expected: Any) -> None:
    assert join_surrogates(data) == expected
