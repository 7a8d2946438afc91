"""What opentelemetry/proto/trace/v1/trace.proto (v1.10) demands of spans; those of every live test are held to it."""

from __future__ import annotations

from collections.abc import Sequence

from opentelemetry.proto.trace.v1.trace_pb2 import Span

_KNOWS_PARENT, _REMOTE_PARENT = 0x100, 0x200


def check_spans(spans: Sequence[Span]) -> None:
    """Raise an AssertionError that says what is wrong."""
    ids = [(span.trace_id, span.span_id) for span in spans]
    assert len(set(ids)) == len(ids), "two spans have one identity"
    for span in spans:
        _check_id(span.trace_id, 16)
        _check_id(span.span_id, 8)
        assert span.name
        assert span.kind
        assert 0 < span.start_time_unix_nano <= span.end_time_unix_nano
        assert span.flags & _KNOWS_PARENT
        if span.parent_span_id:
            _check_id(span.parent_span_id, 8)
            assert span.parent_span_id != span.span_id
            assert span.flags & _REMOTE_PARENT
        keys = [pair.key for pair in span.attributes]
        assert len(set(keys)) == len(keys), "an attribute key stands twice"
        assert (span.status.code == span.status.STATUS_CODE_ERROR) is ("error.type" in keys)
        for link in span.links:
            _check_id(link.trace_id, 16)
            _check_id(link.span_id, 8)


def _check_id(value: bytes, size: int) -> None:
    assert len(value) == size
    assert any(value), "an id of zeros"
