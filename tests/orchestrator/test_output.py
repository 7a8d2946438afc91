from __future__ import annotations

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from orchestrator import output as output_module
from orchestrator.delivery.transport import Request
from orchestrator.output import Output
from orchestrator.signals.model import HistogramPoint, LogRecord, Metric, NumberPoint, Scope

SCOPE, OTHER = Scope("tcp", "1"), Scope("exec", "1")


class Requests(list[Request]):
    """A target that keeps them."""

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


def bodies(requests: list[Request]) -> list[int]:
    return [
        len(scope_logs.log_records)
        for request in requests
        for scope_logs in ExportLogsServiceRequest.FromString(request.body).resource_logs[0].scope_logs
    ]


@pytest.mark.usefixtures("clock")
def test_log_records_wait_for_a_batch() -> None:
    requests = Requests()
    output = Output({"host.name": "box"}, [requests])
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
    output = Output({}, [requests])
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


def test_flush_sends_what_waits_once() -> None:
    requests = Requests()
    output = Output({"host.name": "box"}, [requests])
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


def test_metrics_go_out_at_once_to_all_targets() -> None:
    first, second = Requests(), Requests()
    output = Output({}, [first, second])
    counter = Metric("m", "1", "d", "counter", 1, 2, [NumberPoint({}, 1), NumberPoint({"a": 1}, 2)])
    histogram = Metric("h", "s", "d", "histogram", 1, 2, [HistogramPoint({}, [1.0], [1, 2])])
    output.metrics({SCOPE: [counter], OTHER: [histogram]})
    assert first == second
    (request,) = first
    assert (request.signal, request.items, output.data_points) == ("metrics", 3, 3)
    (resource_metrics,) = ExportMetricsServiceRequest.FromString(request.body).resource_metrics
    assert [item.metrics[0].name for item in resource_metrics.scope_metrics] == ["m", "h"]
