"""What takes signal data: the one thing that the pipeline knows of where it goes."""

from __future__ import annotations

from typing import Protocol

from orchestrator.signals.event_batch import EventBatch
from orchestrator.signals.model import LogRecord, Metric, Profile, Scope, Span

__all__ = ("Sink",)


class Sink(Protocol):
    """Where signal data goes."""

    def log(self, scope: Scope, record: LogRecord) -> None:
        """Take one log record."""

    def events(self, scope: Scope, batch: EventBatch) -> None:
        """Take log records of one event, many at once."""

    def metrics(self, metrics: dict[Scope, list[Metric]]) -> None:
        """Take all metrics of one snapshot."""

    def profile(self, scope: Scope, profile: Profile) -> None:
        """Take the samples of one type and window."""

    def span(self, scope: Scope, span: Span) -> None:
        """Take one span."""
