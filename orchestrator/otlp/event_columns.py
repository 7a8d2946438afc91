"""Columns of events -> the bytes of their attributes: how each sort of field is written fastest.

A column is a function: the values of one field of many events in, and as many pieces of bytes out, each what protobuf
writes for the attributes of that field in a LogRecord. ``map`` over functions that are not Python's does the work.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from operator import add
from typing import Any

from opentelemetry.proto.logs.v1 import logs_pb2

from config.manifest import Field
from orchestrator.otlp.common import add_attributes
from orchestrator.otlp.wire import Memo, delimited, varint
from orchestrator.signals.attributes import Setter, is_plain
from orchestrator.signals.model import AttributeValue

__all__ = ("Column", "Segment", "column_of", "distinct", "encode_attributes", "encode_value", "text_heads")

Column = Callable[[Iterable[Any]], Iterable[bytes]]
# The rows in, a piece of bytes for each of them out.
Segment = Callable[[Sequence[Any]], Iterable[bytes]]
# opentelemetry/proto/common/v1/common.proto: KeyValue {1: key, 2: value}, AnyValue {1: string, 3: int, 4: double};
# logs.proto: LogRecord {6: attributes}.
_ATTRIBUTES, _KEY, _VALUE, _STRING = 6, 1, 2, 1
_INT_TAG, _DOUBLE_TAG = b"\x18", b"\x21"


def encode_attributes(attributes: dict[str, AttributeValue]) -> bytes:
    """The attributes of a LogRecord, by protobuf itself."""
    record = logs_pb2.LogRecord()
    add_attributes(record.attributes, attributes)
    return record.SerializeToString()


def encode_value(put: Setter, value: Any) -> bytes:
    """The attributes that ``put`` makes of a value, by protobuf itself."""
    attributes: dict[str, AttributeValue] = {}
    put(value, attributes)
    return encode_attributes(attributes)


def column_of(field: Field, put: Setter, *, is_number: bool) -> Column:
    """The column of a field whose values do not come again and again."""
    attribute = field.attribute or ""
    if is_plain(field) and is_number and field.scale:
        return _doubles(attribute, Fraction(field.scale))
    if is_plain(field) and is_number:
        return _remembered(lambda value: _framed(attribute, _INT_TAG + varint(value)))
    if is_plain(field) and not field.scale:
        return _texts(attribute)
    return _remembered(lambda value: encode_value(put, value))


def _remembered(make: Callable[[Any], bytes]) -> Column:
    get = Memo(make).__getitem__
    return lambda values: map(get, values)


def text_heads(attribute: str) -> Memo[int, bytes]:
    """What stands before an attribute's text of so many bytes."""

    def make(size: int) -> bytes:
        text = delimited(_STRING, size)
        return _head(attribute, len(text) + size) + text

    return Memo(make)


def _texts(attribute: str) -> Column:
    """ASCII text."""
    head = text_heads(attribute)

    def encode(values: Iterable[str]) -> Iterable[bytes]:
        texts = list(map(str.encode, values))
        return map(add, map(head.__getitem__, map(len, texts)), texts)

    return encode


def _doubles(attribute: str, scale: Fraction) -> Column:
    """Scaled integers; the quotient of two of Python's integers is the double next to it, as is a Fraction's."""
    numerator, denominator = scale.numerator, scale.denominator
    head = _head(attribute, 9) + _DOUBLE_TAG
    pack = struct.Struct(f"<{len(head)}sd").pack
    return lambda values: [pack(head, value * numerator / denominator) for value in values]


def _framed(attribute: str, value: bytes) -> bytes:
    return _head(attribute, len(value)) + value


def _head(attribute: str, size: int) -> bytes:
    """What stands before an AnyValue of ``size`` bytes."""
    key = attribute.encode()
    pair = delimited(_KEY, len(key)) + key + delimited(_VALUE, size)
    return delimited(_ATTRIBUTES, len(pair) + size) + pair


def distinct(columns: Sequence[Sequence[Any]]) -> int:
    """How many different rows there are in these columns."""
    return len(set(zip(*columns, strict=True)))
