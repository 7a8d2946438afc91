from __future__ import annotations

import json
import math
from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.profiles.v1development.profiles_service_pb2 import ExportProfilesServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from config.otlp import Signal
from orchestrator.otlp.common import make_resource
from orchestrator.otlp.json_format import to_json
from orchestrator.otlp.logs import encode_logs
from orchestrator.otlp.metrics import encode_metrics
from orchestrator.signals.model import HistogramPoint, LogRecord, Metric, NumberPoint, Scope

_IDS = {"trace_id", "span_id", "parent_span_id", "profile_id"}
_RANGES = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}


def scalars(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    if field.cpp_type in _RANGES:
        return st.integers(*_RANGES[field.cpp_type])
    if field.enum_type is not None:
        return st.sampled_from(list(field.enum_type.values_by_number))
    return {
        FieldDescriptor.TYPE_BOOL: st.booleans(),
        FieldDescriptor.TYPE_STRING: st.text(max_size=8),
        FieldDescriptor.TYPE_BYTES: st.binary(max_size=8),
        FieldDescriptor.TYPE_DOUBLE: st.floats(allow_nan=False) | st.just(math.nan),  # one NaN of many
    }[field.type]


def fill(draw: st.DrawFn, message: Any, depth: int) -> None:
    """Set any of the fields of ``message``; those with ids have a mapping of their own and are tested below."""
    descriptor: Descriptor = message.DESCRIPTOR
    for field in descriptor.fields:
        if field.name in _IDS or not draw(st.booleans()):
            continue
        if field.message_type is None:
            if field.is_repeated:
                getattr(message, field.name).extend(draw(st.lists(scalars(field), max_size=3)))
            else:
                setattr(message, field.name, draw(scalars(field)))
        elif depth:
            if field.is_repeated:
                fill(draw, getattr(message, field.name).add(), depth - 1)
            else:
                getattr(message, field.name).SetInParent()
                fill(draw, getattr(message, field.name), depth - 1)


@st.composite
def messages(draw: st.DrawFn, kind: type[Message]) -> Message:
    message = kind()
    fill(draw, message, 7)
    return message


def check_round_trip(signal: Signal, message: Message) -> None:
    body = message.SerializeToString(deterministic=True)
    line = to_json(signal, body)
    assert b"\n" not in line
    json.loads(line, parse_constant=pytest.fail)  # no NaN, no Infinity
    back = json_format.Parse(line, type(message)())
    assert back.SerializeToString(deterministic=True) == body


slow = settings(
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], deadline=None, max_examples=60
)


@slow
@given(messages(ExportLogsServiceRequest))
def test_any_logs_come_back_equal(message: Message) -> None:
    check_round_trip("logs", message)


@slow
@given(messages(ExportMetricsServiceRequest))
def test_any_metrics_come_back_equal(message: Message) -> None:
    check_round_trip("metrics", message)


@slow
@given(messages(ExportTraceServiceRequest))
def test_any_traces_come_back_equal(message: Message) -> None:
    check_round_trip("traces", message)


@slow
@given(messages(ExportProfilesServiceRequest))
def test_any_profiles_come_back_equal(message: Message) -> None:
    check_round_trip("profiles", message)


def test_our_own_logs_and_metrics_come_back_equal() -> None:
    scope = Scope("s", "1")
    record = LogRecord(
        1, 2, "e", "warn", "b\n", {"a": ["x", "\udcff"], "b": True, "i": 2**63 - 1, "d": 1e-06, "é": "é"}
    )
    logs = b"".join(encode_logs(make_resource({"r": 1}), {scope: [record]}))
    assert json_format.Parse(to_json("logs", logs), ExportLogsServiceRequest()).SerializeToString() == logs
    points = [NumberPoint({}, 5), NumberPoint({"p": 1}, 0.5), NumberPoint({"p": 2}, 0)]
    items = [
        Metric("m", "1", "d", "counter", 1, 2, points),
        Metric("h", "s", "d", "histogram", 1, 2, [HistogramPoint({}, [1e-06, 3e-06], [1, 2, 0])]),
    ]
    metrics = b"".join(encode_metrics(make_resource({}), {scope: items}))
    assert json_format.Parse(to_json("metrics", metrics), ExportMetricsServiceRequest()).SerializeToString() == metrics


def test_metrics_as_the_specification_has_them() -> None:
    item = Metric("m", "1", "d", "counter", 1, 2**63, [NumberPoint({"k": True}, 5)])
    body = b"".join(encode_metrics(make_resource({}), {Scope("s", "1"): [item]}))
    (metric,) = json.loads(to_json("metrics", body))["resourceMetrics"][0]["scopeMetrics"][0]["metrics"]
    assert metric["sum"] == {
        "dataPoints": [
            {
                "attributes": [{"key": "k", "value": {"boolValue": True}}],
                "startTimeUnixNano": "1",
                "timeUnixNano": "9223372036854775808",
                "asInt": "5",
            }
        ],
        "aggregationTemporality": 2,
        "isMonotonic": True,
    }


def test_enums_are_numbers_and_bytes_are_base64_in_logs() -> None:
    body = b"".join(
        encode_logs(make_resource({}), {Scope("s", "1"): [LogRecord(1, 2, "e", "warn", "", {"a": "\udcff"})]})
    )
    (record,) = json.loads(to_json("logs", body))["resourceLogs"][0]["scopeLogs"][0]["logRecords"]
    assert record == {
        "timeUnixNano": "1",
        "observedTimeUnixNano": "2",
        "severityNumber": 13,
        "severityText": "WARN",
        "eventName": "e",
        "attributes": [{"key": "a", "value": {"bytesValue": "/w=="}}],
    }


def test_ids_are_hexadecimal_in_traces() -> None:
    request = ExportTraceServiceRequest()
    span = (
        request.resource_spans.add()
        .scope_spans.add()
        .spans.add(
            trace_id=bytes(range(16)), span_id=b"\xff" * 8, parent_span_id=b"\x0a" * 8, name="s", kind=3, flags=257
        )
    )
    span.links.add(trace_id=b"\xab" * 16, span_id=b"\x01" * 8)
    (found,) = json.loads(to_json("traces", request.SerializeToString()))["resourceSpans"][0]["scopeSpans"][0]["spans"]
    assert found == {
        "traceId": "000102030405060708090a0b0c0d0e0f",
        "spanId": "ffffffffffffffff",
        "parentSpanId": "0a0a0a0a0a0a0a0a",
        "name": "s",
        "kind": 3,
        "flags": 257,
        "links": [{"traceId": "ab" * 16, "spanId": "01" * 8}],
    }


def test_numbers_that_json_does_not_have_are_words() -> None:
    points = [NumberPoint({}, math.nan), NumberPoint({}, math.inf), NumberPoint({}, -math.inf)]
    body = b"".join(
        encode_metrics(make_resource({}), {Scope("s", "1"): [Metric("m", "1", "d", "gauge", 1, 2, points)]})
    )
    (metric,) = json.loads(to_json("metrics", body))["resourceMetrics"][0]["scopeMetrics"][0]["metrics"]
    assert [point["asDouble"] for point in metric["gauge"]["dataPoints"]] == ["NaN", "Infinity", "-Infinity"]


def test_an_empty_request() -> None:
    assert to_json("logs", b"") == b"{}"
