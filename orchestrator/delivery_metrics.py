"""What senders have counted -> the values of our metrics of delivery, each with its attributes.

Names are those of the semantic conventions (metrics of the SDK's exporters) where they have one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

from config.otlp import OtlpSettings, Protocol, Signal
from orchestrator.delivery.counts import DeliveryCounts
from orchestrator.delivery.ledger import KILLED
from orchestrator.delivery.spool import read_entries
from orchestrator.telemetry import DROPPED

if TYPE_CHECKING:
    from orchestrator.delivery.sender import Sender

__all__ = ("DURATION", "INSTRUMENTS", "Destination", "Observed", "error_type")

Observed = tuple[int, dict[str, str | int]]
# The conventions' names for protocols and signals in `otel.component.type`, such as `otlp_http_log_exporter`.
_PROTOCOLS: dict[Protocol, str] = {"grpc": "grpc", "http/protobuf": "http", "http/json": "http_json"}
_ITEMS: dict[Signal, str] = {"logs": "log", "metrics": "metric", "traces": "span", "profiles": "profile"}
_EXPORTED: dict[Signal, tuple[str, str, str]] = {
    "logs": ("otel.sdk.exporter.log.exported", "{log_record}", "Log records whose export has ended"),
    "metrics": ("otel.sdk.exporter.metric_data_point.exported", "{data_point}", "Data points whose export has ended"),
    "traces": ("otel.sdk.exporter.span.exported", "{span}", "Spans whose export has ended"),
    "profiles": ("ebpf.exporter.profile.exported", "{profile}", "Profiles whose export has ended"),
}
# The conventions' duration is that of an export with all its attempts, which may be days here.
DURATION = ("ebpf.exporter.attempt.duration", "s", "How long attempts to send a request took")
# Items of these were events; causes that are no losses of counts.lost, but end an export for good.
_EVENTS: tuple[Signal, ...] = ("logs", "traces")
_LOST_TOO = ("rejected", KILLED)


@dataclass(slots=True)
class Destination:
    """One receiver: its settings, its place among all, and what sends to it.

    ``spool``: bytes and requests on disk, by what becomes of them, when it was measured last.
    """

    settings: OtlpSettings
    number: int
    sender: Sender
    spool: dict[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def counts(self) -> DeliveryCounts:
        """What became of items."""
        return self.sender.counts

    def attributes(self, signal: Signal | None = None, **more: str) -> dict[str, str | int]:
        """Of the exporter of one signal, or of all of them together."""
        item = f"{_ITEMS[signal]}_" if signal is not None else ""
        kind = f"otlp_{_PROTOCOLS[self.settings.protocol]}_{item}exporter"
        endpoints = self.settings.signals
        endpoint = endpoints.get(signal) if signal is not None else next(iter(endpoints.values()), None)
        server = _server(endpoint.target) if endpoint is not None else {}
        return {"otel.component.type": kind, "otel.component.name": f"{kind}/{self.number}", **server, **more}

    def measure(self) -> None:
        """Look at the spool. Raises OSError."""
        folder = self.sender.folder
        found = {"waiting": (0, 0), "refused": (0, 0)}
        for entry in read_entries(folder) if folder is not None else ():
            state = "refused" if entry.is_refused else "waiting"
            size, requests = found[state]
            found[state] = (size + entry.size, requests + 1)
        self.spool = found if folder is not None else {}


def _server(target: str) -> dict[str, str | int]:
    """``host:port``, ``[::1]:port``, ``dns:///host:port``; gRPC's other names have no port."""
    match = re.fullmatch(r"(?:.*/)?\[?([^/\]]+)\]?:(\d+)", target)
    return {"server.address": match[1], "server.port": int(match[2])} if match else {"server.address": target}


class Instrument(NamedTuple):
    """What is observed of each destination."""

    kind: Literal["counter", "updowncounter", "gauge"]
    name: str
    unit: str
    description: str
    observe: Callable[[Destination], Iterator[Observed]]


def _exported(signal: Signal) -> Callable[[Destination], Iterator[Observed]]:
    def observe(destination: Destination) -> Iterator[Observed]:
        counts = destination.counts
        if counts.delivered[signal]:
            yield counts.delivered[signal], destination.attributes(signal)
        for cause, items in list(counts.failed.items()):
            if items.get(signal):
                yield items[signal], destination.attributes(signal, **error_type(cause))

    return observe


def _dropped(destination: Destination) -> Iterator[Observed]:
    """Log records and spans that will never arrive; what is kept on disk is not among them."""
    counts = destination.counts
    lost = {**counts.lost, **{cause: counts.failed[cause] for cause in _LOST_TOO if cause in counts.failed}}
    for cause, items in lost.items():
        for signal in _EVENTS:
            if items.get(signal):
                yield items[signal], destination.attributes(signal, **error_type(cause))


def _queue(which: int) -> Callable[[Destination], Iterator[Observed]]:
    def observe(destination: Destination) -> Iterator[Observed]:
        yield destination.sender.queue[which], destination.attributes()

    return observe


def _spool(which: int) -> Callable[[Destination], Iterator[Observed]]:
    def observe(destination: Destination) -> Iterator[Observed]:
        for state, found in destination.spool.items():
            yield found[which], {**destination.attributes(), "ebpf.spool.state": state}

    return observe


def error_type(cause: str) -> dict[str, str]:
    """The attribute, as its values are written; nothing for what went well."""
    return {"error.type": cause.replace(" ", "_")} if cause else {}


# All runs with the same destination share its spool, and each says all of it: not to be added up, so gauges.
INSTRUMENTS = (
    *(Instrument("counter", *about, _exported(signal)) for signal, about in _EXPORTED.items()),
    Instrument("counter", *DROPPED, _dropped),
    Instrument("updowncounter", "ebpf.exporter.queue.size", "By", "Size of requests in memory", _queue(0)),
    Instrument("updowncounter", "ebpf.exporter.queue.requests", "{request}", "Requests in memory", _queue(1)),
    Instrument("gauge", "ebpf.exporter.spool.size", "By", "Size of requests on disk, of all runs", _spool(0)),
    Instrument("gauge", "ebpf.exporter.spool.requests", "{request}", "Requests on disk, of all runs", _spool(1)),
)
