"""What became of the items that were to be delivered to one endpoint."""

from __future__ import annotations

import time
from bisect import bisect_left
from dataclasses import dataclass, field
from typing import get_args

from config.otlp import Signal
from orchestrator.delivery.ledger import Losses

__all__ = ("BOUNDS", "DeliveryCounts", "Durations")

# Of durations, in seconds: what the semantic conventions advise for those of HTTP requests.
BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)


@dataclass(slots=True)
class Durations:
    """How long attempts took: ``counts[i]`` of them up to ``BOUNDS[i]``, the last one above them all."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    sum: float = 0.0

    def add(self, seconds: float) -> None:
        """Count one."""
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.sum += seconds


@dataclass(slots=True)
class DeliveryCounts:
    """Items (log records, points, spans, profiles) and attempts, since ``since`` (Unix nanoseconds).

    ``delivered``: taken by the receiver, those of earlier runs included. ``rejected``: refused in part of a request
    that was taken. ``refused``: in requests that were refused whole, and are kept. ``lost``: by cause and signal.
    ``failed``: every item whose export has failed, by cause and signal: once, whatever becomes of it afterwards.
    ``durations`` of attempts: by signal and error, which is empty for those that succeeded.
    """

    delivered: dict[Signal, int] = field(default_factory=lambda: dict.fromkeys(get_args(Signal), 0))
    rejected: int = 0
    refused: int = 0
    lost: Losses = field(default_factory=dict)
    failed: Losses = field(default_factory=dict)
    attempts: int = 0
    failures: int = 0
    durations: dict[tuple[Signal, str], Durations] = field(default_factory=dict)
    since: int = field(default_factory=time.time_ns)

    @property
    def sent(self) -> int:
        """What was delivered, of all signals."""
        return sum(self.delivered.values())

    def lose(self, cause: str, signal: Signal | str, items: int) -> None:
        """Count a loss."""
        _add(self.lost, cause, signal, items)

    def fail(self, cause: str, signal: Signal | str, items: int) -> None:
        """Count items that will not be tried again."""
        _add(self.failed, cause, signal, items)

    def attempt(self, signal: Signal, error: str, seconds: float) -> None:
        """Count an attempt; ``error`` is empty if all of it was taken."""
        self.durations.setdefault((signal, error), Durations()).add(seconds)


def _add(counts: Losses, cause: str, signal: str, items: int) -> None:
    row = counts.setdefault(cause, {})
    row[signal] = row.get(signal, 0) + items
