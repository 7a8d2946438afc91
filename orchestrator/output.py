"""Signal data -> requests -> where they are to go: files at once, endpoints through the sender."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from orchestrator.signals.model import AttributeValue, LogRecord, Metric, Scope

if TYPE_CHECKING:
    from orchestrator.delivery.transport import Request

__all__ = ("Output", "Target")

_BATCH_RECORDS = 1024
_BATCH_SECONDS = 1.0


class Target(Protocol):
    """Takes requests; raises OSError only for a file."""

    def __call__(self, request: Request) -> None:
        """Take one."""


class Output:
    """A sink that batches log records (1,024, or what came in a second) and encodes them for all targets at once.

    What encodes is imported with the first data: bpftrace is starting meanwhile.
    """

    def __init__(self, resource: Mapping[str, AttributeValue], targets: Sequence[Target]) -> None:
        from orchestrator.otlp.common import make_resource  # noqa: PLC0415 - protobuf, while bpftrace starts

        self._resource = make_resource(resource)
        self._targets = targets
        self._records: dict[Scope, list[LogRecord]] = {}
        self._count = 0
        self._since = 0.0
        self.log_records = 0
        self.data_points = 0

    def log(self, scope: Scope, record: LogRecord) -> None:
        """Take one log record."""
        if not self._count:
            self._since = time.monotonic()
        self._records.setdefault(scope, []).append(record)
        self._count += 1
        if self._count >= _BATCH_RECORDS:
            self.flush()

    def metrics(self, metrics: dict[Scope, list[Metric]]) -> None:
        """Take all metrics of one snapshot."""
        from orchestrator.otlp.metrics import encode_metrics  # noqa: PLC0415

        points = sum(len(metric.points) for items in metrics.values() for metric in items)
        self.data_points += points
        self._send("metrics", encode_metrics(self._resource, metrics), points)

    def tick(self) -> None:
        """Send a batch that has waited long enough."""
        if self._count and time.monotonic() - self._since >= _BATCH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Send what waits."""
        from orchestrator.otlp.logs import encode_logs  # noqa: PLC0415

        if self._count:
            self.log_records += self._count
            self._send("logs", encode_logs(self._resource, self._records), self._count)
            self._records, self._count = {}, 0

    def _send(self, signal: str, body: bytes, items: int) -> None:
        from orchestrator.delivery.transport import Request  # noqa: PLC0415

        request = Request(signal, body, items)  # type: ignore[arg-type]
        for target in self._targets:
            target(request)
