"""Log records become the JSON that the general way makes of them."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from orchestrator.otlp import json_format as general
from orchestrator.otlp.common import make_resource
from orchestrator.otlp.json_format import to_json
from orchestrator.otlp.json_logs import logs_to_json
from orchestrator.otlp.logs import encode_logs
from orchestrator.signals.model import LogRecord, Scope, SpanContext

TIMES = st.integers(0, 2**64 - 1)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.text(max_size=200), st.integers(), st.booleans(), st.floats(), st.just("\udcff")),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=2)),
    max_leaves=4,
)
RECORDS = st.builds(
    LogRecord,
    TIMES,
    TIMES,
    st.text(max_size=9),
    st.sampled_from(["debug", "info", "warn", "error"]),
    st.text(max_size=200),
    st.dictionaries(st.text(max_size=9), VALUES, max_size=4),
    context=st.one_of(
        st.none(),
        st.builds(
            SpanContext, st.binary(min_size=16, max_size=16), st.binary(min_size=8, max_size=8), st.integers(0, 255)
        ),
    ),
)
REQUESTS = st.dictionaries(
    st.builds(Scope, st.text(max_size=5), st.just("1")), st.lists(RECORDS, max_size=4), max_size=3
)


def the_general_way(body: bytes, patch: pytest.MonkeyPatch) -> bytes:
    def refuse(*_: object) -> bytes:
        raise ValueError

    with patch.context() as patched:
        patched.setattr(general, "logs_to_json", refuse)
        return to_json("logs", body)


@given(REQUESTS)
def test_records_are_what_they_are_the_general_way(records: dict[Scope, list[LogRecord]]) -> None:
    body = b"".join(encode_logs(make_resource({"service.name": "x"}), records))
    made = to_json("logs", body)
    assert made == the_general_way(body, pytest.MonkeyPatch())


@given(st.lists(RECORDS, min_size=1, max_size=3))
def test_our_records_are_made_without_messages(records: list[LogRecord]) -> None:
    body = b"".join(encode_logs(make_resource({"service.name": "x"}), {Scope("s", "1"): records}))
    assert logs_to_json(body, general._CONVERTERS) == to_json("logs", body)


@given(REQUESTS, st.integers(0, 3000), st.binary(max_size=3))
def test_what_is_not_ours_is_what_protobuf_says_it_is(
    records: dict[Scope, list[LogRecord]], place: int, noise: bytes
) -> None:
    """Bytes put in, or cut off: what protobuf cannot read is refused, and the rest is as the general way has it."""
    body = b"".join(encode_logs(make_resource({}), records))
    for broken in (body[:place] + noise + body[place:], body[:place]):
        try:
            json_format.MessageToJson(ExportLogsServiceRequest.FromString(broken))
        except Exception:
            continue
        assert to_json("logs", broken) == the_general_way(broken, pytest.MonkeyPatch())


RECORD = LogRecord(1, 2, "e", "warn", "b", {"k": "v"})


@pytest.mark.parametrize("absent", ["resource", "scope"])
def test_what_is_absent_stays_absent(absent: str) -> None:
    request = ExportLogsServiceRequest.FromString(b"".join(encode_logs(make_resource({}), {Scope("s", "1"): [RECORD]})))
    (holder,) = request.resource_logs
    about: Any = holder if absent == "resource" else holder.scope_logs[0]
    about.ClearField(absent)
    line = to_json("logs", request.SerializeToString())
    assert json_format.Parse(line, ExportLogsServiceRequest()) == request


@pytest.mark.parametrize("twice", [b"\x10\x05\x10\x06", b"\x2a\x02\x18\x01\x2a\x02\x18\x02"])
def test_what_comes_twice_is_as_protobuf_reads_it(twice: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A field again, in a record that is not ours: the last one counts."""
    url = b"\x1a\x01u"
    record = b"\x12" + bytes([len(twice)]) + twice
    scope = b"\x0a\x00" + record + url
    holder = b"\x0a\x00\x12" + bytes([len(scope)]) + scope + url
    body = b"\x0a" + bytes([len(holder)]) + holder
    assert to_json("logs", body) == the_general_way(body, monkeypatch)
