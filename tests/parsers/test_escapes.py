from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsers.escapes import (
    Radix,
    byte_escapes_to_surrogates,
    is_escaped_key,
    join_surrogates,
    quote_bare_tokens,
    to_bytes,
    unescape_key,
)


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


@pytest.mark.parametrize(
    ("key", "plain"),
    [
        ("", ""),
        ("bash,1", "bash,1"),
        ("a, b,-1", "a, b,-1"),
        (r"\n        f+12\n,x", "\n        f+12\n,x"),
        (r"q\"uo\\te", 'q"uo\\te'),
        (r"a\\nb", r"a\nb"),
        (r"c\u0001\u001f\t\r", "c\x01\x1f\t\r"),
        (r"\uffffffc3\uffffffa9\uffffffff", "é\udcff"),
        (r"\\uffffffc3", r"\uffffffc3"),
        (r'1,[2,"x\n"]', '1,[2,"x\n"]'),
        (r'{ "a": 1, "b": "x" }', '{ "a": 1, "b": "x" }'),
        ("é on arm64\\n", "é on arm64\n"),
    ],
)
def test_unescape_key(key: str, plain: str) -> None:
    assert is_escaped_key(key)
    assert unescape_key(key) == plain


@pytest.mark.parametrize(
    "key",
    [
        "nl\n",
        "\x01",
        "\\",
        "end\\",
        r"\x2d",
        r"\u0041",
        r"\uffffff41",
        r"\ud83d",
        r"\b",
        r"\/",
        'q"uo\\te',
        '"',
        "a\\\\\\",
    ],
)
def test_what_no_version_escapes_so_is_no_escaped_key(key: str) -> None:
    assert not is_escaped_key(key)


@given(st.binary(max_size=40))
def test_every_key_that_is_escaped_twice_is_found_out(data: bytes) -> None:
    short = {0x22: '\\"', 0x5C: "\\\\", 0x0A: "\\n", 0x0D: "\\r", 0x09: "\\t"}
    high = {byte: f"\\uffffff{byte:02x}" for byte in range(0x80, 0x100)}
    key = "".join(
        short.get(byte) or high.get(byte) or (chr(byte) if byte >= 0x20 else f"\\u{byte:04x}") for byte in data
    )
    assert is_escaped_key(key)
    assert to_bytes(unescape_key(key)) == data


@pytest.mark.parametrize(
    ("line", "quoted"),
    [
        ('{"@t": 05:41}', {"@t": "05:41"}),
        ('{"@t": {"1": Mon, 23 Nov, "2": 05:41, "3": 7}}', {"@t": {"1": "Mon, 23 Nov", "2": "05:41", "3": 7}}),
        ('{"d": [1,21:54, 23,"x",true]}', {"d": [1, "21:54, 23", "x", True]}),
        ('["05:41, \\"",[05:41,[05:42]],-1.5e3,05:43]', ['05:41, "', ["05:41", ["05:42"]], -1500.0, "05:43"]),
        ('{"@h": {"a": , "b": [1], "c": }}', {"@h": {"a": None, "b": [1], "c": None}}),
        (
            '[{"s":2026-11-23 06:14:50.2,"v":7}{"s":1,"v":null}]',
            [{"s": "2026-11-23 06:14:50.2", "v": 7}, {"s": 1, "v": None}],
        ),
        ('{"data": back\\slash}', {"data": "back\\slash"}),
        ('{"data": \udcff}', {"data": "\udcff"}),
    ],
)
def test_quote_bare_tokens(line: str, quoted: Any) -> None:
    assert json.loads(quote_bare_tokens(line)) == quoted


@pytest.mark.parametrize(
    "line",
    [
        "{",
        '{"a": 05:41',
        '{"a": [05:41',
        '{"a": x"y"}',
        '{"a": say "Monday"}',
        '{"a": 05]}',
        '{"a": "x" y}',
        '{"a": 1}x',
        "{a: 1}",
        '{"a": 1 "b": x}',
        '{"a": "x\\"}',
    ],
)
def test_quote_bare_tokens_does_not_guess_at_what_is_cut_or_mixed(line: str) -> None:
    with pytest.raises(ValueError, match=r"line 1"):
        json.loads(quote_bare_tokens(line))


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(values, st.sampled_from([(", ", ": "), (",", ":"), (" , ", " : "), (",", ": ")]), st.booleans())
def test_quote_bare_tokens_changes_no_valid_json(value: Any, separators: tuple[str, str], ascii_only: bool) -> None:
    line = json.dumps(value, separators=separators, ensure_ascii=ascii_only)
    assert json.loads(quote_bare_tokens(line)) == value


HIST = b'{"type": "hist", "data": {"@h": [{"min": 4, "max": 7, "count": %b}]}}'


@pytest.mark.parametrize(
    ("radix", "line", "decimal", "after"),
    [
        (Radix(), HIST % b"10", HIST % b"10", Radix()),
        (Radix(), HIST % b"c", HIST % b"12", Radix(True, True)),
        (Radix(True), HIST % b"10", HIST % b"10", Radix(True)),
        (Radix(True), HIST % b"1e5", HIST % b"485", Radix(True, True)),
        (Radix(True, True), HIST % b"10", HIST % b"16", Radix(True, True)),
        (Radix(None, True), HIST % b"10", HIST % b"10", Radix(None, True)),
        (Radix(False), HIST % b"c", HIST % b"c", Radix(False)),
        (
            Radix(None, True),
            HIST % b'1}, {"min": 8, "count": 10',
            HIST % b'1}, {"min": 8, "count": 10',
            Radix(False, True),
        ),
        (
            Radix(None, True),
            HIST % b'1},{"min": 8, "count": 10',
            HIST % b'1},{"min": 8, "count": 16',
            Radix(True, True),
        ),
        (Radix(), rb'{"type": "value", "data": "\u0001"}', rb'{"type": "value", "data": "\u0001"}', Radix(None, True)),
        (Radix(), rb'{"type": "value", "data": "\\u0001"}', rb'{"type": "value", "data": "\\u0001"}', Radix()),
        (
            Radix(True, True),
            b'{"type": "map", "data": {"@a": 10}}',
            b'{"type": "map", "data": {"@a": 10}}',
            Radix(True, True),
        ),
    ],
)
def test_radix(radix: Radix, line: bytes, decimal: bytes, after: Radix) -> None:
    assert radix.decimal(line) == (decimal, after)
