from __future__ import annotations

from typing import Any

import pytest

from config.manifest import Attribute, Field
from orchestrator.signals.attributes import compile_attribute, number


def put(rule: Attribute, value: Any, *, is_number: bool = True) -> dict[str, Any]:
    attributes: dict[str, Any] = {}
    compile_attribute(rule, is_number=is_number)(value, attributes)
    return attributes


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (5, 5),
        (-5, -5),
        ("9007199254740993", 9007199254740993),
        ("-7", -7),
        (True, 1),
        (False, 0),
        (2**64 - 1, 2**64 - 1),
    ],
)
def test_number(value: Any, expected: int) -> None:
    assert number(value) == expected


@pytest.mark.parametrize("value", [1.5, None, [1], {}, "", "x", "1.5", "0x10"])
def test_number_refuses_what_is_none(value: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        number(value)


@pytest.mark.parametrize(
    ("rule", "value", "expected"),
    [
        (Attribute(attribute="a"), 5, {"a": 5}),
        (Attribute(attribute="a"), "9007199254740993", {"a": 9007199254740993}),
        (Attribute(attribute="a"), True, {"a": 1}),
        (Attribute(attribute="a"), 2**63 - 1, {"a": 2**63 - 1}),
        (Attribute(attribute="a"), 2**63, {"a": "9223372036854775808"}),
        (Attribute(attribute="a"), "18446744073709551615", {"a": "18446744073709551615"}),
        (Attribute(attribute="a", omit=0), 0, {}),
        (Attribute(attribute="a", omit=0), False, {}),
        (Attribute(attribute="a", omit=0), "0", {}),
        (Attribute(attribute="a", omit=-1), 0, {"a": 0}),
        (Attribute(attribute="a", values={1: "active"}), 1, {"a": "active"}),
        (Attribute(attribute="a", values={1: "active"}), 7, {"a": "7"}),
        (Attribute(attribute="a", values={1: "active"}, default="_OTHER"), 7, {"a": "_OTHER"}),
        (Attribute(attribute="a", decode="errno"), -2, {"a": "ENOENT"}),
        (Attribute(attribute="a", decode="errno"), 0, {}),
        (Attribute(attribute="a", decode="errno", default="_OTHER"), 0, {"a": "_OTHER"}),
        (Attribute(attribute="a", also={"b": "errno"}), -2, {"a": -2, "b": "ENOENT"}),
        (Attribute(attribute="a", also={"b": "errno"}), 0, {"a": 0}),
        (Attribute(also={"b": "errno"}), 111, {"b": "ECONNREFUSED"}),
        (Field(attribute="a", scale="1e-9"), 1_500_000_000, {"a": 1.5}),
        (Field(attribute="a", scale="1e-9"), 3, {"a": 3e-9}),
    ],
)
def test_number_becomes_attributes(rule: Attribute, value: Any, expected: dict[str, Any]) -> None:
    attributes = put(rule, value)
    assert attributes == expected
    assert [type(item) for item in attributes.values()] == [type(item) for item in expected.values()]


@pytest.mark.parametrize(
    ("rule", "value", "expected"),
    [
        (Attribute(attribute="a"), "0", {"a": "0"}),
        (Attribute(attribute="a", omit=""), "", {}),
        (Attribute(attribute="a", omit=""), " ", {"a": " "}),
        (
            Attribute(attribute="a", decode="address", also={"t": "address_family"}),
            "::ffff:10.0.0.1",
            {"a": "10.0.0.1", "t": "ipv4"},
        ),
        (
            Attribute(attribute="a", decode="c_string", also={"n": "basename"}),
            b"/bin/sh\0",
            {"a": "/bin/sh", "n": "sh"},
        ),
        (Attribute(attribute="a", decode="c_string", also={"n": "basename"}), b"\0\0", {}),
        (Attribute(attribute="a", decode="argv", also={"n": "length"}), b"a\0\0", {"a": ["a", ""], "n": 2}),
    ],
)
def test_text_becomes_attributes(rule: Attribute, value: Any, expected: dict[str, Any]) -> None:
    assert put(rule, value, is_number=False) == expected
