"""What became of the items that were to be delivered to one endpoint."""

from __future__ import annotations

from dataclasses import dataclass, field

from config.otlp import Signal
from orchestrator.delivery.ledger import Losses

__all__ = ("DeliveryCounts",)


@dataclass(slots=True)
class DeliveryCounts:
    """Items (log records, points, spans, profiles) and attempts.

    ``sent``: taken by the receiver, those of earlier runs included. ``rejected``: refused in part of a request that was
    taken. ``refused``: in requests that were refused whole, and are kept. ``lost``: by cause and signal.
    """

    sent: int = 0
    rejected: int = 0
    refused: int = 0
    lost: Losses = field(default_factory=dict)
    attempts: int = 0
    failures: int = 0
    seconds: float = 0.0

    def lose(self, cause: str, signal: Signal | str, items: int) -> None:
        """Count a loss."""
        row = self.lost.setdefault(cause, {})
        row[signal] = row.get(signal, 0) + items
