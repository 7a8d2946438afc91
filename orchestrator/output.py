"""Signal data -> requests -> where they are to go."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from orchestrator.signals.model import AttributeValue, LogRecord, Metric, Profile, Scope, Span
from orchestrator.telemetry import OWN_SCOPE

if TYPE_CHECKING:
    from config.otlp import Signal
    from orchestrator.delivery.transport import Request
    from orchestrator.otlp.event_encoder import EventEncoder
    from orchestrator.otlp.logs import EncodedRecords
    from orchestrator.signals.event_batch import EventBatch
    from orchestrator.signals.logs import CompiledEvent

__all__ = ("Output", "Target")

Item = TypeVar("Item")
# A batch is full with 1,024 items, or with 3.75 MiB of those that are encoded many at once: each request costs as much
# as the encoding of a thousand events.
_BATCH_BYTES = 15 << 18
_ITEM_BYTES = _BATCH_BYTES // 1024
# What receivers take: gRPC has it as its default, the Collector for both protocols.
_REQUEST_BYTES = 4 << 20
# Events that are encoded at once: more would only take more memory.
_EVENTS = 4096


class Target(Protocol):
    """Takes requests, and is told of what will come in them as soon as it is known."""

    def expect(self, signal: Signal, items: int) -> None:
        """Items of a request that is being made."""

    def __call__(self, request: Request) -> None:
        """Take one."""


class Output:
    """A sink that batches (1,024 items, or what came in ``seconds``) and encodes.

    What encodes is imported with the first data: bpftrace is starting meanwhile. ``kernel_build_id``: of the host that
    was traced.
    """

    def __init__(
        self,
        resource: Mapping[str, AttributeValue],
        target: Target,
        kernel_build_id: str | None = None,
        seconds: float = 1.0,
    ) -> None:
        from orchestrator.otlp.common import make_resource  # noqa: PLC0415 - protobuf, while bpftrace starts

        self._resource = make_resource(resource)
        self._target = target
        self._kernel_build_id = kernel_build_id
        self._encoders: dict[CompiledEvent, EventEncoder] = {}
        self._records: _Batch[LogRecord | EncodedRecords] = _Batch(self._send_logs, seconds)
        self._spans: _Batch[Span] = _Batch(self._send_spans, seconds)
        self._profiles: _Batch[Profile] = _Batch(self._send_profiles, seconds)
        self._batches = (self._records, self._spans, self._profiles)
        self._own = 0
        self.data_points = 0

    @property
    def log_records(self) -> int:
        """How many were taken from signals; what we say of ourselves is none of them."""
        return self._records.taken - self._own

    @property
    def spans(self) -> int:
        """How many were taken."""
        return self._spans.taken

    @property
    def profiles(self) -> int:
        """How many were taken."""
        return self._profiles.taken

    def log(self, scope: Scope, record: LogRecord) -> None:
        """Take one log record."""
        self._target.expect("logs", 1)
        self._own += scope == OWN_SCOPE
        self._records.add(scope, record)

    def events(self, scope: Scope, batch: EventBatch) -> None:
        """Take log records of one event, many at once."""
        for part in batch.parts(_EVENTS):
            self._target.expect("logs", len(part))
            for encoded in self._encoder(batch.event).encode(part):
                self._records.add(scope, encoded, encoded.count, len(encoded.body))

    def _encoder(self, event: CompiledEvent) -> EventEncoder:
        from orchestrator.otlp.event_encoder import EventEncoder  # noqa: PLC0415

        if event not in self._encoders:
            self._encoders[event] = EventEncoder(event)
        return self._encoders[event]

    def span(self, scope: Scope, span: Span) -> None:
        """Take one span."""
        self._target.expect("traces", 1)
        self._spans.add(scope, span)

    def profile(self, scope: Scope, profile: Profile) -> None:
        """Take the samples of one type and window."""
        self._target.expect("profiles", 1)
        self._profiles.add(scope, profile)

    def metrics(self, metrics: dict[Scope, list[Metric]]) -> None:
        """Take all metrics of one snapshot."""
        from orchestrator.otlp.metrics import encode_metrics  # noqa: PLC0415

        points = sum(len(metric.points) for items in metrics.values() for metric in items)
        self.data_points += points
        self._target.expect("metrics", points)
        self._send("metrics", metrics, lambda items: encode_metrics(self._resource, items))

    def tick(self) -> None:
        """Send the batches that have waited long enough."""
        for batch in self._batches:
            batch.tick()

    def flush(self) -> None:
        """Send what waits."""
        for batch in self._batches:
            batch.flush()

    def _send_logs(self, records: Mapping[Scope, Sequence[LogRecord | EncodedRecords]]) -> None:
        from orchestrator.otlp.logs import encode_logs  # noqa: PLC0415

        self._send("logs", records, lambda items: encode_logs(self._resource, items))

    def _send_spans(self, spans: Mapping[Scope, Sequence[Span]]) -> None:
        from orchestrator.otlp.traces import encode_traces  # noqa: PLC0415

        self._send("traces", spans, lambda items: [encode_traces(self._resource, items)])

    def _send_profiles(self, profiles: Mapping[Scope, Sequence[Profile]]) -> None:
        from orchestrator.otlp.profiles import encode_profiles  # noqa: PLC0415

        self._send("profiles", profiles, lambda items: [encode_profiles(self._resource, items, self._kernel_build_id)])

    def _send(
        self,
        signal: Signal,
        items: Mapping[Scope, Sequence[Item]],
        encode: Callable[[Mapping[Scope, Sequence[Item]]], list[bytes]],
    ) -> None:
        """Send one request, or as many as it takes for none to be too large."""
        from orchestrator.delivery.transport import Request  # noqa: PLC0415
        from orchestrator.otlp import parts  # noqa: PLC0415

        # A receiver without logs is none for log records, but it may well be one for a run that makes no other ones.
        is_optional = signal == "logs" and items.keys() == {OWN_SCOPE}
        request = Request(signal, encode(items), parts.count(items), is_optional)
        if request.size >= _REQUEST_BYTES and (smaller := parts.halves(items)):
            for half in smaller:
                self._send(signal, half, encode)
            return
        self._target(request)


class _Batch(Generic[Item]):
    """What waits to be sent together, by scope."""

    def __init__(self, send: Callable[[Mapping[Scope, Sequence[Item]]], None], seconds: float) -> None:
        self._send, self._seconds = send, seconds
        self._items: dict[Scope, list[Item]] = {}
        self._count = self._size = 0
        self._since = 0.0
        self.taken = 0

    def add(self, scope: Scope, item: Item, count: int = 1, size: int = _ITEM_BYTES) -> None:
        if not self._count:
            self._since = time.monotonic()
        self._items.setdefault(scope, []).append(item)
        self._count += count
        self.taken += count
        self._size += size
        if self._size >= _BATCH_BYTES:
            self.flush()

    def tick(self) -> None:
        if self._count and time.monotonic() - self._since >= self._seconds:
            self.flush()

    def flush(self) -> None:
        if not self._count:
            return
        items = self._items
        self._items, self._count, self._size = {}, 0, 0
        self._send(items)
