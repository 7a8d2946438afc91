"""What logs and metrics are sent in: Resource and scopes around items that are bytes already.

ExportLogsServiceRequest and ExportMetricsServiceRequest, and all that they hold down to the items, have the same field
numbers (opentelemetry/proto/logs/v1/logs.proto and metrics/v1/metrics.proto, v1.10). Fields are written in the order
of their numbers, as protobuf's own library does it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from orchestrator.otlp.common import SCHEMA_URL, make_scope
from orchestrator.otlp.wire import delimited
from orchestrator.signals.model import Scope

__all__ = ("ITEMS", "encode_request")

# {1: resource or scope, 2: what is in it, 3: schema_url}; a request has {1: resource_logs or resource_metrics}.
_RESOURCES, _ABOUT, _INNER, _SCHEMA_URL = 1, 1, 2, 3
# The field of a ScopeLogs or ScopeMetrics that has the items.
ITEMS = _INNER
_SCHEMA = delimited(_SCHEMA_URL, len(SCHEMA_URL)) + SCHEMA_URL.encode()


def encode_request(resource: Resource, items: Mapping[Scope, Sequence[bytes]]) -> list[bytes]:
    """The pieces of a request. ``items``: those of each scope, in pieces that a ScopeLogs or ScopeMetrics holds."""
    inner = [_about(resource.SerializeToString())]
    for scope, pieces in items.items():
        parts = [_about(make_scope(scope).SerializeToString()), *pieces, _SCHEMA]
        inner += [delimited(_INNER, sum(map(len, parts))), *parts]
    inner.append(_SCHEMA)
    return [delimited(_RESOURCES, sum(map(len, inner))), *inner]


def _about(message: bytes) -> bytes:
    return delimited(_ABOUT, len(message)) + message
