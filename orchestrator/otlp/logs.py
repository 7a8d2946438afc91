"""Log records -> ExportLogsServiceRequest (opentelemetry/proto/logs/v1/logs.proto, v1.10)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import cast

from opentelemetry.proto.logs.v1 import logs_pb2
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from orchestrator.otlp.common import add_attributes, unsigned
from orchestrator.otlp.envelope import encode_request
from orchestrator.signals.model import LogRecord, Scope

__all__ = ("EncodedRecords", "encode_logs", "encode_records", "severity_of")

# The lowest number of each range; the specification's short name as text.
_SEVERITIES = {
    "debug": (logs_pb2.SEVERITY_NUMBER_DEBUG, "DEBUG"),
    "info": (logs_pb2.SEVERITY_NUMBER_INFO, "INFO"),
    "warn": (logs_pb2.SEVERITY_NUMBER_WARN, "WARN"),
    "error": (logs_pb2.SEVERITY_NUMBER_ERROR, "ERROR"),
}
# Of the flags only those of W3C Trace Context have a meaning here.
_TRACE_FLAGS = logs_pb2.LOG_RECORD_FLAGS_TRACE_FLAGS_MASK


@dataclass(frozen=True, slots=True)
class EncodedRecords:
    """LogRecords as a ScopeLogs holds them, and how many they are."""

    body: bytes
    count: int


def encode_logs(resource: Resource, records: Mapping[Scope, Iterable[LogRecord | EncodedRecords]]) -> list[bytes]:
    """One request with the records of each scope, in pieces."""
    return encode_request(resource, {scope: _pieces(items) for scope, items in records.items()})


def _pieces(items: Iterable[LogRecord | EncodedRecords]) -> list[bytes]:
    pieces: list[bytes] = []
    for kind, group in groupby(items, type):
        if kind is EncodedRecords:
            pieces += [one.body for one in cast("Iterable[EncodedRecords]", group)]
        else:
            pieces.append(encode_records(cast("Iterable[LogRecord]", group)))
    return pieces


def encode_records(records: Iterable[LogRecord]) -> bytes:
    """LogRecords as a ScopeLogs holds them."""
    scope_logs = logs_pb2.ScopeLogs()
    for record in records:
        _fill(scope_logs.log_records.add(), record)
    return scope_logs.SerializeToString()


def severity_of(name: str) -> logs_pb2.LogRecord:
    """A LogRecord with nothing but a severity."""
    number, text = _SEVERITIES[name]
    return logs_pb2.LogRecord(severity_number=number, severity_text=text)


def _fill(target: logs_pb2.LogRecord, record: LogRecord) -> None:
    target.time_unix_nano = unsigned(record.time_unix_nano)
    target.observed_time_unix_nano = unsigned(record.observed_time_unix_nano)
    target.severity_number, target.severity_text = _SEVERITIES[record.severity]
    target.event_name = record.event_name
    if record.body:
        target.body.string_value = record.body
    add_attributes(target.attributes, record.attributes)
    if record.context is not None:
        target.trace_id, target.span_id = record.context.trace_id, record.context.span_id
        target.flags = record.context.flags & _TRACE_FLAGS
