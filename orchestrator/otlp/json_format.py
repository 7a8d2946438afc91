"""OTLP messages -> OTLP JSON.

It differs from protobuf's own JSON mapping (specification, protocol/otlp.md, "JSON Protobuf Encoding"): trace and span
ids are hexadecimal, enums are numbers. 64-bit integers are decimal strings in both, other bytes base64. Of profile ids
the specification says nothing; the Collector (0.157) takes them only in hexadecimal.
"""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.profiles.v1development.profiles_service_pb2 import ExportProfilesServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from config.otlp import Signal
from orchestrator.otlp.json_logs import Converters, logs_to_json

__all__ = ("to_json",)

_REQUESTS: dict[Signal, type[Message]] = {
    "logs": ExportLogsServiceRequest,
    "metrics": ExportMetricsServiceRequest,
    "traces": ExportTraceServiceRequest,
    "profiles": ExportProfilesServiceRequest,
}
_HEX_FIELDS = {"trace_id", "span_id", "parent_span_id", "profile_id"}
_64_BIT = {
    FieldDescriptor.TYPE_INT64,
    FieldDescriptor.TYPE_UINT64,
    FieldDescriptor.TYPE_SINT64,
    FieldDescriptor.TYPE_FIXED64,
    FieldDescriptor.TYPE_SFIXED64,
}
_FLOATS = {FieldDescriptor.TYPE_DOUBLE, FieldDescriptor.TYPE_FLOAT}

_Convert = Callable[[Any], Any]
_converters: dict[type[Message], dict[FieldDescriptor, tuple[str, _Convert]]] = {}


def to_json(signal: Signal, body: bytes) -> bytes:
    """A serialised ``Export*ServiceRequest`` as one line of JSON, without its newline."""
    if signal == "logs":
        with suppress(ValueError, IndexError, struct.error):
            return logs_to_json(body, _CONVERTERS)
    return msgspec.json.encode(_convert_message(_REQUESTS[signal].FromString(body)))


def _convert_message(message: Any) -> dict[str, Any]:
    kind = type(message)
    converters = _converters.get(kind) or _compile(kind)
    result = {}
    for field, value in message.ListFields():
        name, convert = converters[field]
        result[name] = convert(value)
    return result


def _convert_value(value: AnyValue) -> dict[str, Any]:
    """The same for every second message, which nearly always is a text or a number."""
    kind = value.WhichOneof("value")
    if kind == "string_value":
        return {"stringValue": value.string_value}
    if kind == "int_value":
        return {"intValue": str(value.int_value)}
    return _convert_message(value)


def _compile(kind: Any) -> dict[FieldDescriptor, tuple[str, _Convert]]:
    compiled: dict[FieldDescriptor, tuple[str, _Convert]] = {}
    for field in kind.DESCRIPTOR.fields:
        convert = _scalar(field)
        if field.is_repeated:
            compiled[field] = (field.json_name, _each(convert))
        else:
            compiled[field] = (field.json_name, convert)
    _converters[kind] = compiled
    return compiled


def _each(convert: _Convert) -> _Convert:
    return lambda values: [convert(value) for value in values]


def _double(value: float) -> float | str:
    """JSON has no NaN and no infinity; protobuf's mapping spells them out."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _converter(kind: type[Message], convert: _Convert) -> Callable[[bytes], bytes]:
    return lambda data: msgspec.json.encode(convert(kind.FromString(data)))


_CONVERTERS = Converters(
    resource=_converter(Resource, _convert_message),
    scope=_converter(InstrumentationScope, _convert_message),
    key_value=_converter(KeyValue, _convert_message),
    any_value=_converter(AnyValue, _convert_value),
)


def _scalar(field: FieldDescriptor) -> _Convert:
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        return _convert_value if field.message_type is AnyValue.DESCRIPTOR else _convert_message
    if field.type == FieldDescriptor.TYPE_BYTES:
        return bytes.hex if field.name in _HEX_FIELDS else lambda value: base64.b64encode(value).decode("ascii")
    if field.type in _64_BIT:
        return str
    return _double if field.type in _FLOATS else lambda value: value
