"""One printed value -> the attributes that a manifest makes of it."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from fractions import Fraction
from typing import Any

from config.manifest import Attribute, Field
from orchestrator.signals.decoders import DECODERS
from orchestrator.signals.model import AttributeValue

__all__ = ("INT64", "Setter", "compile_attribute", "hashable", "is_plain", "number")

Setter = Callable[[Any, dict[str, AttributeValue]], None]
INT64 = range(-(2**63), 2**63)


def number(value: Any) -> int:
    """An integer as bpftrace prints it: also as a string (0.24 and later, above 2^53) or as a boolean."""
    if type(value) is int:  # nearly all of them
        return value
    if isinstance(value, (int, str)):
        return int(value)
    raise TypeError(f"not a number: {value!r:.40}")


def hashable(value: Any) -> Hashable:
    """A printed value or an attribute as a part of a key: a list, tuple or dict by what it shows."""
    return repr(value) if isinstance(value, (list, tuple, dict)) else value


def _fit(value: int) -> AttributeValue:
    """OTLP's integers are signed: an unsigned one above 2^63 is kept as text."""
    return value if value in INT64 else str(value)


def _decode(rule: Attribute) -> Callable[[Any], AttributeValue | None]:
    if rule.values:
        names = rule.values
        return lambda value: names.get(value, rule.default or str(value))
    if rule.decode:
        decode = DECODERS[rule.decode]
        return lambda value: rule.default if (decoded := decode(value)) is None else decoded
    if isinstance(rule, Field) and rule.scale:
        factor = Fraction(rule.scale)
        return lambda value: float(value * factor)
    return _as_it_is


def _as_it_is(value: Any) -> AttributeValue:
    return _fit(value) if isinstance(value, int) else value


def _number_setter(attribute: str) -> Setter:
    """For most fields of most events."""

    def put(value: Any, attributes: dict[str, AttributeValue]) -> None:
        attributes[attribute] = _fit(number(value))

    return put


def is_plain(rule: Attribute) -> bool:
    """Whether a value becomes one attribute as it is, or scaled."""
    return rule.attribute is not None and rule.omit is None and not (rule.values or rule.decode or rule.also)


def compile_attribute(rule: Attribute, *, is_number: bool) -> Setter:
    """Make the function that puts what ``rule`` says of a value into a dict."""
    attribute, omit, decode = rule.attribute, rule.omit, _decode(rule)
    also = [(name, DECODERS[decoder]) for name, decoder in rule.also.items()]
    if is_number and attribute is not None and omit is None and not also and decode is _as_it_is:
        return _number_setter(attribute)

    def put(value: Any, attributes: dict[str, AttributeValue]) -> None:
        if is_number:
            value = number(value)
        if value == omit and type(value) is type(omit):
            return
        decoded = decode(value)
        if attribute is not None and decoded is not None:
            attributes[attribute] = decoded
        source = decoded if rule.decode else value
        for name, derive in also if source is not None else ():
            if (derived := derive(source)) is not None:
                attributes[name] = derived

    return put
