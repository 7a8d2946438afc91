from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.signals.buffers import to_buffer


@pytest.mark.parametrize(
    ("value", "data"),
    [
        (b"\x02\0A", b"\x02\0A"),
        (r"\x01AB\xff", b"\x01AB\xff"),
        ("61 00 ff", b"a\0\xff"),
        ("61 00 ff ", b"a\0\xff"),
        ([1, 65, 66, -1], b"\x01AB\xff"),
        ([200, 0], b"\xc8\0"),
        ([], b""),
        ("plain text", b"plain text"),
        ("a\udcffé\0", b"a\xff\xc3\xa9\0"),
        ("ab", b"ab"),
        ("", b""),
        (7, b""),
        (None, b""),
        (["a"], b""),
        ({"a": 1}, b""),
    ],
)
def test_what_was_printed(value: Any, data: bytes) -> None:
    assert to_buffer(value) == data


@given(st.binary(min_size=2))
def test_all_ways_to_print_bytes_say_the_same(data: bytes) -> None:
    assert to_buffer(data.hex(" ")) == data
    assert to_buffer([byte - 256 if byte > 127 else byte for byte in data]) == data
    assert to_buffer("".join(f"\\x{byte:02x}" for byte in data)) == data
