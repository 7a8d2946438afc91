from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1 import trace_pb2

from config.manifest import Keep
from config.manifest import Span as Rule
from orchestrator.otlp.common import SCHEMA_URL, make_resource
from orchestrator.otlp.json_format import to_json
from orchestrator.otlp.traces import encode_traces
from orchestrator.signals.clock import Moment
from orchestrator.signals.model import LogRecord, Scope, Span, SpanContext
from orchestrator.signals.spans import SpanReader

HTTP = Scope("bpftrace-orchestrator/http", "1.2.3")
DNS = Scope("bpftrace-orchestrator/dns", "1.2.3")
OWN = SpanContext(b"\x01" * 16, b"\x02" * 8, 0x103)
REMOTE = SpanContext(b"\x01" * 16, b"\x03" * 8, 0x301)
LOCAL = SpanContext(b"\x01" * 16, b"\x04" * 8, 0x101)
UNKNOWN = SpanContext(b"\x01" * 16, b"\x05" * 8, 0x01)
OTHER = SpanContext(b"\x0a" * 16, b"\x0b" * 8, 0x300)


def problems(request: ExportTraceServiceRequest) -> list[str]:
    """What trace.proto and the specification do not allow."""
    found = []
    seen = set()
    for span in (one for a in request.resource_spans for b in a.scope_spans for one in b.spans):
        contexts = [(span.trace_id, span.span_id), *((link.trace_id, link.span_id) for link in span.links)]
        for trace_id, span_id in contexts:
            if (len(trace_id), len(span_id)) != (16, 8) or not any(trace_id) or not any(span_id):
                found.append(f"{trace_id.hex()}-{span_id.hex()} is no id")
        if contexts[0] in seen:
            found.append(f"{span.span_id.hex()} is there twice")
        seen.add(contexts[0])
        if span.parent_span_id and (len(span.parent_span_id) != 8 or span.parent_span_id == span.span_id):
            found.append(f"{span.parent_span_id.hex()} is no parent")
        if not 0 < span.start_time_unix_nano <= span.end_time_unix_nano:
            found.append(f"it ends before it starts: {span.start_time_unix_nano} {span.end_time_unix_nano}")
        if not span.name or span.kind == trace_pb2.Span.SPAN_KIND_UNSPECIFIED:
            found.append("it has no name or kind")
        if not span.parent_span_id and span.flags & 0x300 != 0x100:
            found.append(f"a root has no remote parent: flags {span.flags:#x}")
        if any(
            flags >> 10 or (flags & 0x200 and not flags & 0x100)
            for flags in [span.flags, *(x.flags for x in span.links)]
        ):
            found.append("flags that mean nothing")
        keys = [pair.key for pair in span.attributes]
        if len(keys) != len(set(keys)):
            found.append("an attribute is there twice")
        is_error = span.status.code == trace_pb2.Status.STATUS_CODE_ERROR
        if is_error != ("error.type" in keys):
            found.append(f"status {span.status.code} with {keys}")
    return found


def parse(body: bytes) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest.FromString(body)
    assert problems(request) == []
    return request


def make(**words: Any) -> Span:
    values: dict[str, Any] = {
        "context": OWN,
        "parent": None,
        "name": "GET",
        "kind": "server",
        "start_unix_nano": 1_700_000_000_000_000_001,
        "end_unix_nano": 1_700_000_000_000_000_999,
        "attributes": {},
        **words,
    }
    return Span(**values)


def encode(spans: Iterable[Span]) -> list[trace_pb2.Span]:
    request = parse(encode_traces(make_resource({}), {HTTP: spans}))
    return list(request.resource_spans[0].scope_spans[0].spans)


def encode_one(**words: Any) -> trace_pb2.Span:
    (span,) = encode([make(**words)])
    return span


def test_encode_traces_has_one_resource_and_a_scope_each() -> None:
    resource = make_resource({"host.name": "box"})
    lookup = make(context=LOCAL, name="lookup", kind="client")
    (resource_spans,) = parse(encode_traces(resource, {HTTP: [make()], DNS: [lookup]})).resource_spans
    assert resource_spans.schema_url == SCHEMA_URL
    assert [(pair.key, pair.value) for pair in resource_spans.resource.attributes] == [
        ("host.name", AnyValue(string_value="box"))
    ]
    scopes = [(one.scope.name, one.scope.version, one.schema_url) for one in resource_spans.scope_spans]
    assert scopes == [(HTTP.name, "1.2.3", SCHEMA_URL), (DNS.name, "1.2.3", SCHEMA_URL)]
    assert [[span.name for span in one.spans] for one in resource_spans.scope_spans] == [["GET"], ["lookup"]]


def test_a_root() -> None:
    span = encode_one(attributes={"a": 1})
    assert (span.trace_id, span.span_id, span.parent_span_id) == (OWN.trace_id, OWN.span_id, b"")
    assert (span.name, span.trace_state) == ("GET", "")
    assert (span.start_time_unix_nano, span.end_time_unix_nano) == (
        1_700_000_000_000_000_001,
        1_700_000_000_000_000_999,
    )
    assert [(pair.key, pair.value) for pair in span.attributes] == [("a", AnyValue(int_value=1))]
    assert span.flags == 0x103
    assert not span.HasField("status")


@pytest.mark.parametrize(
    ("kind", "number"), [("internal", 1), ("server", 2), ("client", 3), ("producer", 4), ("consumer", 5)]
)
def test_kinds(kind: str, number: int) -> None:
    assert encode_one(kind=kind).kind == number


@pytest.mark.parametrize(("parent", "flags"), [(REMOTE, 0x303), (LOCAL, 0x103), (UNKNOWN, 0x003)])
def test_flags_tell_whether_the_parent_is_remote(parent: SpanContext, flags: int) -> None:
    span = encode_one(parent=parent)
    assert (span.parent_span_id, span.flags) == (parent.span_id, flags)


def test_links() -> None:
    links = encode_one(links=(OTHER, LOCAL)).links
    assert [(link.trace_id, link.span_id, link.flags) for link in links] == [
        (OTHER.trace_id, OTHER.span_id, 0x300),
        (LOCAL.trace_id, LOCAL.span_id, 0x101),
    ]


def test_what_has_an_error_type_has_failed() -> None:
    status = encode_one(attributes={"error.type": "500"}).status
    assert (status.code, status.message) == (trace_pb2.Status.STATUS_CODE_ERROR, "")


def test_trace_state() -> None:
    assert encode_one(trace_state="ot=th:8").trace_state == "ot=th:8"


def test_a_name_that_is_no_utf8() -> None:
    assert encode_one(name="GET /\udcff").name == "GET /\\xff"


def test_ids_are_hexadecimal_in_json() -> None:
    body = encode_traces(make_resource({}), {HTTP: [make(parent=REMOTE, links=(OTHER,))]})
    (span,) = msgspec.json.decode(to_json("traces", body))["resourceSpans"][0]["scopeSpans"][0]["spans"]
    assert (span["traceId"], span["spanId"], span["parentSpanId"]) == ("01" * 16, "02" * 8, "03" * 8)
    assert span["links"] == [{"traceId": "0a" * 16, "spanId": "0b" * 8, "flags": 0x300}]
    assert (span["kind"], span["flags"]) == (2, 0x303)


contexts = st.builds(
    lambda trace, span, flags: f"00-{trace:032x}-{span:016x}-{flags:02x}",
    st.integers(0, 2**128 - 1),
    st.integers(0, 2**64 - 1),
    st.integers(0, 255),
)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 10**12),
            st.one_of(contexts, st.text()),
            st.dictionaries(st.sampled_from(["a", "error.type"]), st.text(st.characters(codec="utf-8"))),
        ),
        max_size=20,
    ),
    st.sampled_from([1, 2, 10]),
)
def test_whatever_was_printed_the_request_is_valid(printed: list[tuple[int, str, dict[str, str]]], one_in: int) -> None:
    whole = Rule(name="{a}", event="x", duration="took", parent="tp", links=["tp"], keep=Keep(one_in=one_in))
    pair = Rule(name="{a} {b}", event="x", end="y", key=["id"], parent="tp")
    reader = SpanReader([whole, pair])
    base = 1_700_000_000_000_000_000
    found: list[Span] = []
    for index, (took, header, attributes) in enumerate(printed):
        for event in ("x", "y"):
            fields: dict[str, Any] = {"took": took, "tp": header, "id": took % 3}
            record = LogRecord(base + index, base, "x", "info", "", attributes, fields)
            found += reader.take(event, record, Moment(base, base))
    spans = encode([*found, *reader.close()])
    assert len(spans) == reader.counts.kept
    assert all(bool(span.trace_state) in (False, one_in > 1) for span in spans)


def test_times_that_do_not_fit() -> None:
    body = encode_traces(make_resource({}), {HTTP: [Span(OWN, None, "x", "internal", -5, 2**70, {"n": 2**64})]})
    (span,) = ExportTraceServiceRequest.FromString(body).resource_spans[0].scope_spans[0].spans
    assert (span.start_time_unix_nano, span.end_time_unix_nano) == (0, 2**64 - 1)
    assert span.attributes[0].value == AnyValue(string_value="18446744073709551616")
