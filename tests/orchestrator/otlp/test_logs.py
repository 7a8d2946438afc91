from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord as ProtoRecord

from orchestrator.otlp.common import SCHEMA_URL, make_resource
from orchestrator.otlp.logs import encode_logs
from orchestrator.signals.model import LogRecord, Scope, SpanContext

EXEC = Scope("bpftrace-orchestrator/exec", "1.2.3")
TCP = Scope("bpftrace-orchestrator/tcp", "1.2.3")


def record(**fields: Any) -> LogRecord:
    values: dict[str, Any] = {
        "time_unix_nano": 1_700_000_000_000_000_001,
        "observed_time_unix_nano": 1_700_000_000_000_000_999,
        "event_name": "ebpf.process.exec",
        "severity": "info",
        "body": "sh -c true",
        "attributes": {},
        **fields,
    }
    return LogRecord(**values)


def encode_one(**fields: Any) -> ProtoRecord:
    request = ExportLogsServiceRequest.FromString(b"".join(encode_logs(make_resource({}), {EXEC: [record(**fields)]})))
    return request.resource_logs[0].scope_logs[0].log_records[0]


def test_encode_logs_has_one_resource_and_a_scope_each() -> None:
    resource = make_resource({"host.name": "box", "ebpf.enabled": True})
    body = b"".join(encode_logs(resource, {EXEC: [record(), record(body="b")], TCP: [record(event_name="x")]}))
    (resource_logs,) = ExportLogsServiceRequest.FromString(body).resource_logs
    assert resource_logs.schema_url == SCHEMA_URL
    assert [(pair.key, pair.value) for pair in resource_logs.resource.attributes] == [
        ("host.name", AnyValue(string_value="box")),
        ("ebpf.enabled", AnyValue(bool_value=True)),
    ]
    exec_logs, tcp_logs = resource_logs.scope_logs
    assert (exec_logs.scope.name, exec_logs.scope.version, exec_logs.schema_url) == (EXEC.name, "1.2.3", SCHEMA_URL)
    assert [item.body.string_value for item in exec_logs.log_records] == ["sh -c true", "b"]
    assert tcp_logs.scope.name == TCP.name
    assert [item.event_name for item in tcp_logs.log_records] == ["x"]


def test_numbers_that_do_not_fit() -> None:
    encoded = encode_one(
        time_unix_nano=-1,
        observed_time_unix_nano=2**70,
        attributes={"most": 2**63 - 1, "more": 2**63, "least": -(2**63), "less": -(2**63) - 1, "all": [2**64, True]},
    )
    assert (encoded.time_unix_nano, encoded.observed_time_unix_nano) == (0, 2**64 - 1)
    assert {pair.key: pair.value for pair in encoded.attributes} == {
        "most": AnyValue(int_value=2**63 - 1),
        "more": AnyValue(string_value="9223372036854775808"),
        "least": AnyValue(int_value=-(2**63)),
        "less": AnyValue(string_value="-9223372036854775809"),
        "all": AnyValue(
            array_value=ArrayValue(values=[AnyValue(string_value="18446744073709551616"), AnyValue(bool_value=True)])
        ),
    }


def test_encode_logs_times_and_event_name() -> None:
    encoded = encode_one()
    assert encoded.time_unix_nano == 1_700_000_000_000_000_001
    assert encoded.observed_time_unix_nano == 1_700_000_000_000_000_999
    assert encoded.event_name == "ebpf.process.exec"
    assert not encoded.trace_id
    assert not encoded.span_id


def test_encode_logs_tells_in_which_span_it_was() -> None:
    """Of the flags only the low 8 bits are allowed (logs.proto, LogRecord.flags)."""
    encoded = encode_one(context=SpanContext(b"\x01" * 16, b"\x02" * 8, 0x303))
    assert (encoded.trace_id, encoded.span_id, encoded.flags) == (b"\x01" * 16, b"\x02" * 8, 0x03)


@pytest.mark.parametrize(("severity", "number"), [("debug", 5), ("info", 9), ("warn", 13), ("error", 17)])
def test_encode_logs_severity(severity: str, number: int) -> None:
    encoded = encode_one(severity=severity)
    assert (encoded.severity_number, encoded.severity_text) == (number, severity.upper())


def test_encode_logs_without_a_body() -> None:
    assert not encode_one(body="").HasField("body")


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        ("text", "string_value", "text"),
        ("é\n\x00", "string_value", "é\n\x00"),
        ("", "string_value", ""),
        ("a\udcff\udcfe", "bytes_value", b"a\xff\xfe"),
        ("é\udcff", "bytes_value", b"\xc3\xa9\xff"),
        (True, "bool_value", True),
        (False, "bool_value", False),
        (0, "int_value", 0),
        (1, "int_value", 1),
        (2**63 - 1, "int_value", 2**63 - 1),
        (-(2**63), "int_value", -(2**63)),
        (1.0, "double_value", 1.0),
        (0.0, "double_value", 0.0),
    ],
)
def test_attribute_values_keep_their_type(value: Any, kind: str, expected: Any) -> None:
    (pair,) = encode_one(attributes={"a.b": value}).attributes
    assert pair.key == "a.b"
    assert pair.value.WhichOneof("value") == kind
    assert getattr(pair.value, kind) == expected


def test_attribute_arrays() -> None:
    args, none = encode_one(attributes={"args": ["echo", "é", "\udcff", ""], "none": []}).attributes
    assert list(args.value.array_value.values) == [
        AnyValue(string_value="echo"),
        AnyValue(string_value="é"),
        AnyValue(bytes_value=b"\xff"),
        AnyValue(string_value=""),
    ]
    assert none.value.WhichOneof("value") == "array_value"
    assert not none.value.array_value.values
