"""Spans -> ExportTraceServiceRequest (opentelemetry/proto/trace/v1/trace.proto, v1.10)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1 import trace_pb2

from orchestrator.otlp.common import SCHEMA_URL, add_attributes, make_scope, unsigned
from orchestrator.signals.model import Scope, Span, SpanContext
from orchestrator.signals.values import readable

__all__ = ("encode_traces",)

_KINDS = {
    "internal": trace_pb2.Span.SPAN_KIND_INTERNAL,
    "server": trace_pb2.Span.SPAN_KIND_SERVER,
    "client": trace_pb2.Span.SPAN_KIND_CLIENT,
    "producer": trace_pb2.Span.SPAN_KIND_PRODUCER,
    "consumer": trace_pb2.Span.SPAN_KIND_CONSUMER,
}
_TRACE_FLAGS = trace_pb2.SPAN_FLAGS_TRACE_FLAGS_MASK
_KNOWN = trace_pb2.SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK
_REMOTE = trace_pb2.SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK


def encode_traces(resource: Resource, spans: Mapping[Scope, Iterable[Span]]) -> bytes:
    """One request with the spans of each scope."""
    request = ExportTraceServiceRequest()
    resource_spans = request.resource_spans.add(schema_url=SCHEMA_URL)
    resource_spans.resource.CopyFrom(resource)
    for scope, items in spans.items():
        scope_spans = resource_spans.scope_spans.add(schema_url=SCHEMA_URL)
        scope_spans.scope.CopyFrom(make_scope(scope))
        for span in items:
            _fill(scope_spans.spans.add(), span)
    return request.SerializeToString()


def _fill(target: trace_pb2.Span, span: Span) -> None:
    target.trace_id, target.span_id = span.context.trace_id, span.context.span_id
    target.flags = _flags(span)
    if span.parent is not None:
        target.parent_span_id = span.parent.span_id
    if span.trace_state:
        target.trace_state = span.trace_state
    target.name = readable(span.name)
    target.kind = _KINDS[span.kind]
    target.start_time_unix_nano = unsigned(span.start_unix_nano)
    target.end_time_unix_nano = unsigned(span.end_unix_nano)
    add_attributes(target.attributes, span.attributes)
    for link in span.links:
        _add_link(target, link)
    if "error.type" in span.attributes:
        target.status.code = trace_pb2.Status.STATUS_CODE_ERROR


def _flags(span: Span) -> int:
    """The trace-flags of the span; the other bits say of its parent whether it is remote."""
    of_parent = _KNOWN if span.parent is None else span.parent.flags & (_KNOWN | _REMOTE)
    return (span.context.flags & _TRACE_FLAGS) | of_parent


def _add_link(target: trace_pb2.Span, link: SpanContext) -> None:
    flags = link.flags & (_TRACE_FLAGS | _KNOWN | _REMOTE)
    target.links.add(trace_id=link.trace_id, span_id=link.span_id, flags=flags)
