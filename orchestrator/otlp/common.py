"""Attributes, Resource and InstrumentationScope (opentelemetry/proto/common/v1/common.proto, v1.10)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from orchestrator.signals.attributes import INT64
from orchestrator.signals.model import AttributeValue, Scope
from parsers.escapes import to_bytes

if TYPE_CHECKING:
    from google.protobuf.internal.containers import RepeatedCompositeFieldContainer

__all__ = ("SCHEMA_URL", "add_attributes", "make_resource", "make_scope", "signed", "unsigned")

SCHEMA_URL = "https://opentelemetry.io/schemas/1.44.0"


def _set_value(target: AnyValue, value: AttributeValue) -> None:
    if isinstance(value, str):
        _set_text(target, value)
    elif isinstance(value, bool):
        target.bool_value = value
    elif isinstance(value, int):
        _set_integer(target, value)
    elif isinstance(value, float):
        target.double_value = value
    elif isinstance(value, Mapping):
        target.kvlist_value.SetInParent()
        add_attributes(target.kvlist_value.values, value)
    elif value is not None:
        target.array_value.SetInParent()
        for item in value:
            _set_value(target.array_value.values.add(), item)


def _set_integer(target: AnyValue, value: int) -> None:
    """An int_value is signed; what does not fit is kept as text."""
    if value in INT64:
        target.int_value = value
    else:
        target.string_value = str(value)


def _set_text(target: AnyValue, text: str) -> None:
    """A string_value must be UTF-8; what a process was named in other bytes is a bytes_value, and so still exact."""
    try:
        target.string_value = text
    except (UnicodeEncodeError, ValueError):
        target.bytes_value = to_bytes(text)


def add_attributes(target: RepeatedCompositeFieldContainer[KeyValue], attributes: Mapping[str, AttributeValue]) -> None:
    """Append ``attributes`` to a repeated KeyValue field."""
    for key, value in attributes.items():
        pair = target.add()
        pair.key = key
        _set_value(pair.value, value)


def make_resource(attributes: Mapping[str, AttributeValue]) -> Resource:
    """The Resource with these attributes."""
    resource = Resource()
    add_attributes(resource.attributes, attributes)
    return resource


def make_scope(scope: Scope) -> InstrumentationScope:
    """The InstrumentationScope of ``scope``."""
    return InstrumentationScope(name=scope.name, version=scope.version)


def signed(number: int) -> int:
    """The nearest number that an int64 or sfixed64 holds: what a hostile capture says must not end a run."""
    return max(-(2**63), min(number, 2**63 - 1))


def unsigned(number: int) -> int:
    """The nearest number that a uint64 or fixed64 holds; times are such."""
    return max(0, min(number, 2**64 - 1))
