"""A receiver that has no profiles yet, as most: said once, and everything else goes on."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.profiles.v1development.profiles_service_pb2 import ExportProfilesServiceRequest

from config.otlp import OtlpSettings, Signal
from orchestrator.delivery.sender import Sender
from orchestrator.delivery.spool import Spool, SpoolLimits
from orchestrator.delivery.transport import Request, Status
from orchestrator.delivery.transports import open_transport
from orchestrator.otlp.common import make_resource
from orchestrator.otlp.logs import encode_logs
from orchestrator.otlp.metrics import encode_metrics
from orchestrator.otlp.profiles import encode_profiles
from orchestrator.otlp.traces import encode_traces
from orchestrator.report import undelivered
from orchestrator.signals.model import (
    Frame,
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
from tests.orchestrator.delivery.receivers import PATHS, grpc_receiver, http_receiver, settings_for

SCOPE, RESOURCE = Scope("cpu", "1"), make_resource({})
ROUNDS = 5
NAMES = ("logs", "metrics", "traces")

Came = Callable[[], list[str]]


def requests(number: int) -> list[Request]:
    """One of each kind."""
    log = LogRecord(1, 2, f"event {number}", "info", "b", {})
    metric = Metric(f"m{number}", "1", "d", "counter", 1, 2, [NumberPoint({}, 1)])
    span = Span(SpanContext(b"t" * 16, b"s" * 8, 0x100), None, f"span {number}", "server", 1, 2, {})
    sample = Sample((Frame(f"f{number}", type="native"),), 1, {})
    profile = Profile(ValueType("samples", "count"), ValueType("cpu", "nanoseconds"), 10, 1, 2, [sample])
    return [
        Request("profiles", [encode_profiles(RESOURCE, {SCOPE: [profile]})], 1),
        Request("logs", encode_logs(RESOURCE, {SCOPE: [log]}), 1),
        Request("metrics", encode_metrics(RESOURCE, {SCOPE: [metric]}), 1),
        Request("traces", [encode_traces(RESOURCE, {SCOPE: [span]})], 1),
    ]


@contextmanager
def http(protocol: Any) -> Iterator[tuple[OtlpSettings, Came]]:
    kinds = {path: kind for kind, path in PATHS.items()}
    with http_receiver(missing=[PATHS["profiles"]]) as receiver:
        yield settings_for(protocol, receiver.url), lambda: [kinds[request.path] for request in receiver.requests]


@contextmanager
def grpc(_protocol: Any) -> Iterator[tuple[OtlpSettings, Came]]:
    def kind(method: str) -> str:
        found = re.search(r"\.(logs|metrics|trace)\.v1\.", method)
        return {"trace": "traces"}.get(found[1], found[1]) if found else method

    with grpc_receiver(missing=["ProfilesService"]) as receiver:
        yield (
            settings_for("grpc", f"http://127.0.0.1:{receiver.port}"),
            lambda: [kind(request.method) for request in receiver.requests],
        )


RECEIVERS = [("http/protobuf", http), ("http/json", http), ("grpc", grpc)]


@pytest.mark.parametrize(("protocol", "receiving"), RECEIVERS, ids=[protocol for protocol, _ in RECEIVERS])
def test_it_is_said_once_and_everything_else_goes_on(tmp_path: Path, protocol: str, receiving: Any) -> None:
    said: list[str] = []
    spool = Spool(tmp_path, "run-1", SpoolLimits(1 << 20, 3600.0))
    with receiving(protocol) as (settings, came):
        sender = Sender(lambda: open_transport(settings), spool, said.append)
        sender.start()
        for number in range(ROUNDS):
            for request in requests(number):
                sender.submit(request)
        sender.finish(30)
        arrived = [kind for kind in came() if kind != "profiles"]
    assert arrived == [*NAMES] * ROUNDS
    (message,) = said
    assert "it takes no profiles: a Collector does with --feature-gates=service.profilesSupport" in message
    assert "?" not in message  # one mend, and none that doubts the path
    counts = sender.counts
    assert (counts.sent, counts.refused, counts.rejected, counts.lost) == (3 * ROUNDS, ROUNDS, 0, {})
    kept = [entry.read() for entry in spool.entries() if entry.is_refused]
    names = [ExportProfilesServiceRequest.FromString(one.body).dictionary.string_table for one in kept]
    assert [name for table in names for name in table if re.fullmatch(r"f\d", name)] == [
        f"f{number}" for number in range(ROUNDS)
    ]
    (line,) = undelivered(sender)
    assert line.startswith(f"the receiver refused {ROUNDS} items in whole requests")


@pytest.mark.parametrize(("protocol", "receiving"), RECEIVERS, ids=[protocol for protocol, _ in RECEIVERS])
def test_profiles_are_not_tried_again(protocol: str, receiving: Any) -> None:
    with receiving(protocol) as (settings, _):
        transport = open_transport(settings)
        outcome = transport.send(requests(0)[0], 10.0)
        transport.close()
    assert (outcome.status, outcome.rejected, outcome.missing) == (Status.REJECTED, 1, "profiles")


@pytest.mark.parametrize("kind", ["logs", "metrics", "traces"])
@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_of_other_signals_that_are_not_there_nothing_is_said_of_profiles(protocol: str, kind: Signal) -> None:
    services = {"logs": "LogsService", "metrics": "MetricsService", "traces": "TraceService"}
    request = next(one for one in requests(0) if one.signal == kind)
    with http_receiver(missing=[PATHS[kind]]) as web, grpc_receiver(missing=[services[kind]]) as rpc:
        settings = (
            settings_for("grpc", f"http://127.0.0.1:{rpc.port}")
            if protocol == "grpc"
            else settings_for("http/protobuf", web.url)
        )
        transport = open_transport(settings)
        outcome = transport.send(request, 10.0)
        transport.close()
    assert (outcome.status, outcome.missing) == (Status.REJECTED, kind)
    assert "profiles" not in outcome.message
    assert outcome.message.endswith("OTLP endpoint that takes this signal?") == (protocol != "grpc")
