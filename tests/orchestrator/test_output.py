from __future__ import annotations

from collections import Counter

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.profiles.v1development.profiles_service_pb2 import ExportProfilesServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from orchestrator import output as output_module
from orchestrator.delivery.transport import Request
from orchestrator.output import Output
from orchestrator.signals.model import (
    Frame,
    HistogramPoint,
    LogRecord,
    Metric,
    NumberPoint,
    Profile,
    Sample,
    Scope,
    Span,
    SpanContext,
    ValueType,
)
from orchestrator.telemetry import OWN_SCOPE

SCOPE, OTHER = Scope("tcp", "1"), Scope("exec", "1")


class Requests(list[Request]):
    """A target that keeps them, and what was said of them before they came."""

    def __init__(self) -> None:
        super().__init__()
        self.expected: Counter[str] = Counter()

    def expect(self, signal: str, items: int) -> None:
        self.expected[signal] += items

    def __call__(self, request: Request) -> None:
        self.append(request)


class FakeTime:
    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeTime:
    fake = FakeTime()
    monkeypatch.setattr(output_module, "time", fake)
    return fake


def record(index: int = 0) -> LogRecord:
    return LogRecord(index, index, "e", "info", "b", {})


def span(index: int = 0) -> Span:
    context = SpanContext(b"t" * 16, index.to_bytes(7, "big") + b"s", 0x100)
    return Span(context, None, f"span {index}", "server", 1, 2, {})


def profile(*frames: str) -> Profile:
    samples = [Sample((Frame(name, type="kernel", module="[kernel.kallsyms]"),), 1, {}) for name in frames]
    return Profile(ValueType("samples", "count"), ValueType("cpu", "nanoseconds"), 10, 1, 2, samples)


def bodies(requests: list[Request]) -> list[int]:
    return [
        len(scope_logs.log_records)
        for request in requests
        for scope_logs in ExportLogsServiceRequest.FromString(request.body).resource_logs[0].scope_logs
    ]


@pytest.mark.usefixtures("clock")
def test_log_records_wait_for_a_batch() -> None:
    requests = Requests()
    output = Output({"host.name": "box"}, requests)
    for index in range(1023):
        output.log(SCOPE, record(index))
        output.tick()
    assert requests == []
    output.log(SCOPE, record())
    assert [(request.signal, request.items) for request in requests] == [("logs", 1024)]
    assert output.log_records == 1024
    output.flush()
    assert len(requests) == 1


def test_log_records_wait_for_a_second(clock: FakeTime) -> None:
    requests = Requests()
    output = Output({}, requests)
    output.tick()
    output.log(SCOPE, record())
    clock.now += 0.5
    output.log(OTHER, record())
    clock.now += 0.4
    output.tick()
    assert requests == []
    clock.now += 0.1
    output.tick()
    assert [request.items for request in requests] == [2]
    assert bodies(requests) == [1, 1]
    output.log(SCOPE, record())
    output.tick()
    assert len(requests) == 1


def test_what_we_say_of_ourselves_is_no_log_record_of_a_signal() -> None:
    requests = Requests()
    output = Output({}, requests)
    output.log(OWN_SCOPE, record())
    output.flush()
    output.log(OWN_SCOPE, record())
    output.log(SCOPE, record())
    output.flush()
    assert output.log_records == 1
    # A receiver without logs needs none where no signal makes any.
    assert [(request.items, request.optional) for request in requests] == [(1, True), (2, False)]
    assert requests.expected == {"logs": 3}


def test_flush_sends_what_waits_once() -> None:
    requests = Requests()
    output = Output({"host.name": "box"}, requests)
    output.flush()
    assert requests == []
    output.log(SCOPE, record())
    output.flush()
    output.flush()
    assert bodies(requests) == [1]
    output.log(SCOPE, record())
    output.flush()
    request, _ = requests
    assert bodies(requests) == [1, 1]
    (resource_logs,) = ExportLogsServiceRequest.FromString(request.body).resource_logs
    assert resource_logs.resource.attributes[0].value.string_value == "box"
    assert resource_logs.scope_logs[0].scope.name == "tcp"


@pytest.mark.usefixtures("clock")
def test_spans_wait_for_a_batch() -> None:
    requests = Requests()
    output = Output({"host.name": "box"}, requests)
    for index in range(1023):
        output.span(SCOPE, span(index))
        output.tick()
    assert requests == []
    output.span(OTHER, span(1023))
    ((kind, items),) = [(request.signal, request.items) for request in requests]
    assert (kind, items, output.spans) == ("traces", 1024, 1024)
    (resource_spans,) = ExportTraceServiceRequest.FromString(requests[0].body).resource_spans
    assert [(one.scope.name, len(one.spans)) for one in resource_spans.scope_spans] == [("tcp", 1023), ("exec", 1)]
    assert resource_spans.resource.attributes[0].value.string_value == "box"


def test_profiles_wait_for_a_second_and_share_a_dictionary(clock: FakeTime) -> None:
    """Both types of a window, and those of several signals, come together."""
    requests = Requests()
    output = Output({}, requests, "24a3598f")
    output.profile(SCOPE, profile("read", "write"))
    output.profile(OTHER, profile("read"))
    output.tick()
    assert requests == []
    clock.now += 1.0
    output.tick()
    ((kind, items),) = [(request.signal, request.items) for request in requests]
    assert (kind, items, output.profiles) == ("profiles", 2, 2)
    message = ExportProfilesServiceRequest.FromString(requests[0].body)
    scopes = message.resource_profiles[0].scope_profiles
    assert [(one.scope.name, len(one.profiles)) for one in scopes] == [("tcp", 1), ("exec", 1)]
    assert sorted(message.dictionary.string_table).count("read") == 1
    values = [attribute.value.string_value for attribute in message.dictionary.attribute_table]
    assert "24a3598f" in values


def test_each_kind_of_data_has_a_batch_of_its_own(clock: FakeTime) -> None:
    requests = Requests()
    output = Output({}, requests)
    output.span(SCOPE, span())
    clock.now += 0.6
    output.log(SCOPE, record())
    output.profile(SCOPE, profile("read"))
    clock.now += 0.4
    output.tick()
    assert [request.signal for request in requests] == ["traces"]
    output.flush()
    assert sorted(request.signal for request in requests) == ["logs", "profiles", "traces"]
    assert (output.log_records, output.spans, output.profiles) == (1, 1, 1)
    output.flush()
    assert len(requests) == 3


def test_metrics_go_out_at_once() -> None:
    requests = Requests()
    output = Output({}, requests)
    counter = Metric("m", "1", "d", "counter", 1, 2, [NumberPoint({}, 1), NumberPoint({"a": 1}, 2)])
    histogram = Metric("h", "s", "d", "histogram", 1, 2, [HistogramPoint({}, [1.0], [1, 2])])
    output.metrics({SCOPE: [counter], OTHER: [histogram]})
    (request,) = requests
    assert (request.signal, request.items, output.data_points) == ("metrics", 3, 3)
    (resource_metrics,) = ExportMetricsServiceRequest.FromString(request.body).resource_metrics
    assert [item.metrics[0].name for item in resource_metrics.scope_metrics] == ["m", "h"]


def test_what_waits_for_a_batch_is_known_before_it_is_sent() -> None:
    """So that what was in memory is missed when we are killed."""
    requests = Requests()
    output = Output({}, requests)
    output.log(SCOPE, record())
    output.span(SCOPE, span())
    output.profile(SCOPE, profile("read"))
    assert requests == []
    assert requests.expected == {"logs": 1, "traces": 1, "profiles": 1}


def test_no_request_is_too_large_for_a_receiver() -> None:
    """The default of gRPC, and so of the Collector, is 4 MiB."""
    requests = Requests()
    output = Output({}, requests)
    for index in range(600):
        output.log(SCOPE, LogRecord(index, index, "e", "info", "x" * 20_000, {}))
    output.metrics({SCOPE: [Metric("m", "1", "", "counter", 0, 1, [NumberPoint({"k": "y" * 100_000}, 1)] * 100)]})
    output.flush()
    assert max(len(request.body) for request in requests) < 4 << 20
    logs = [request for request in requests if request.signal == "logs"]
    assert sum(bodies(logs)) == sum(request.items for request in logs) == 600
    times = [
        one.time_unix_nano
        for request in logs
        for one in ExportLogsServiceRequest.FromString(request.body).resource_logs[0].scope_logs[0].log_records
    ]
    assert times == list(range(600))
    assert sum(request.items for request in requests if request.signal == "metrics") == 100
