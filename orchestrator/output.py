"""Signal data -> requests -> where they are to go: files at once, endpoints through the sender."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from orchestrator.signals.model import AttributeValue, LogRecord, Metric, Profile, Scope, Span

if TYPE_CHECKING:
    from config.otlp import Signal
    from orchestrator.delivery.transport import Request

__all__ = ("Output", "Target")

Item = TypeVar("Item")
_BATCH_RECORDS = 1024
_BATCH_SECONDS = 1.0


class Target(Protocol):
    """Takes requests; raises OSError only for a file."""

    def __call__(self, request: Request) -> None:
        """Take one."""


class Output:
    """A sink that batches (1,024 records, or what came in a second) and encodes for all targets at once.

    What encodes is imported with the first data: bpftrace is starting meanwhile. ``kernel_build_id``: of the host that
    was traced.
    """

    def __init__(
        self, resource: Mapping[str, AttributeValue], targets: Sequence[Target], kernel_build_id: str | None = None
    ) -> None:
        from orchestrator.otlp.common import make_resource  # noqa: PLC0415 - protobuf, while bpftrace starts

        self._resource = make_resource(resource)
        self._targets = targets
        self._kernel_build_id = kernel_build_id
        self._records: _Batch[LogRecord] = _Batch(self._send_logs)
        self._spans: _Batch[Span] = _Batch(self._send_spans)
        self._profiles: _Batch[Profile] = _Batch(self._send_profiles)
        self._batches = (self._records, self._spans, self._profiles)
        self.data_points = 0

    @property
    def log_records(self) -> int:
        """How many were sent."""
        return self._records.sent

    @property
    def spans(self) -> int:
        """How many were sent."""
        return self._spans.sent

    @property
    def profiles(self) -> int:
        """How many were sent."""
        return self._profiles.sent

    def log(self, scope: Scope, record: LogRecord) -> None:
        """Take one log record."""
        self._records.add(scope, record)

    def span(self, scope: Scope, span: Span) -> None:
        """Take one span."""
        self._spans.add(scope, span)

    def profile(self, scope: Scope, profile: Profile) -> None:
        """Take the samples of one type and window."""
        self._profiles.add(scope, profile)

    def metrics(self, metrics: dict[Scope, list[Metric]]) -> None:
        """Take all metrics of one snapshot."""
        from orchestrator.otlp.metrics import encode_metrics  # noqa: PLC0415

        points = sum(len(metric.points) for items in metrics.values() for metric in items)
        self.data_points += points
        self._send("metrics", encode_metrics(self._resource, metrics), points)

    def tick(self) -> None:
        """Send the batches that have waited long enough."""
        for batch in self._batches:
            batch.tick()

    def flush(self) -> None:
        """Send what waits."""
        for batch in self._batches:
            batch.flush()

    def _send_logs(self, records: Mapping[Scope, Sequence[LogRecord]], count: int) -> None:
        from orchestrator.otlp.logs import encode_logs  # noqa: PLC0415

        self._send("logs", encode_logs(self._resource, records), count)

    def _send_spans(self, spans: Mapping[Scope, Sequence[Span]], count: int) -> None:
        from orchestrator.otlp.traces import encode_traces  # noqa: PLC0415

        self._send("traces", encode_traces(self._resource, spans), count)

    def _send_profiles(self, profiles: Mapping[Scope, Sequence[Profile]], count: int) -> None:
        from orchestrator.otlp.profiles import encode_profiles  # noqa: PLC0415

        self._send("profiles", encode_profiles(self._resource, profiles, self._kernel_build_id), count)

    def _send(self, signal: Signal, body: bytes, items: int) -> None:
        from orchestrator.delivery.transport import Request  # noqa: PLC0415

        request = Request(signal, body, items)
        for target in self._targets:
            target(request)


class _Batch(Generic[Item]):
    """What waits to be sent together, by scope."""

    def __init__(self, send: Callable[[Mapping[Scope, Sequence[Item]], int], None]) -> None:
        self._send = send
        self._items: dict[Scope, list[Item]] = {}
        self._count = 0
        self._since = 0.0
        self.sent = 0

    def add(self, scope: Scope, item: Item) -> None:
        if not self._count:
            self._since = time.monotonic()
        self._items.setdefault(scope, []).append(item)
        self._count += 1
        if self._count >= _BATCH_RECORDS:
            self.flush()

    def tick(self) -> None:
        if self._count and time.monotonic() - self._since >= _BATCH_SECONDS:
            self.flush()

    def flush(self) -> None:
        if not self._count:
            return
        items, count, self._items, self._count = self._items, self._count, {}, 0
        self.sent += count
        self._send(items, count)
