"""Log records -> ExportLogsServiceRequest (opentelemetry/proto/logs/v1/logs.proto, v1.10)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1 import logs_pb2
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from orchestrator.otlp.common import SCHEMA_URL, add_attributes, make_scope, unsigned
from orchestrator.signals.model import LogRecord, Scope

__all__ = ("encode_logs",)

# The lowest number of each range; the specification's short name as text.
_SEVERITIES = {
    "debug": (logs_pb2.SEVERITY_NUMBER_DEBUG, "DEBUG"),
    "info": (logs_pb2.SEVERITY_NUMBER_INFO, "INFO"),
    "warn": (logs_pb2.SEVERITY_NUMBER_WARN, "WARN"),
    "error": (logs_pb2.SEVERITY_NUMBER_ERROR, "ERROR"),
}
# Of the flags only those of W3C Trace Context have a meaning here.
_TRACE_FLAGS = logs_pb2.LOG_RECORD_FLAGS_TRACE_FLAGS_MASK


def encode_logs(resource: Resource, records: Mapping[Scope, Iterable[LogRecord]]) -> bytes:
    """One request with the records of each scope."""
    request = ExportLogsServiceRequest()
    resource_logs = request.resource_logs.add(schema_url=SCHEMA_URL)
    resource_logs.resource.CopyFrom(resource)
    for scope, items in records.items():
        scope_logs = resource_logs.scope_logs.add(schema_url=SCHEMA_URL)
        scope_logs.scope.CopyFrom(make_scope(scope))
        for record in items:
            _fill(scope_logs.log_records.add(), record)
    return request.SerializeToString()


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
