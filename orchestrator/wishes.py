"""Where a run's data is to go, as it was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from config.otlp import OtlpSettings
from orchestrator.delivery.spool import SpoolLimits

__all__ = ("SpoolWish", "Wishes")


@dataclass(frozen=True, slots=True)
class SpoolWish:
    """Where requests wait for their receiver, and the limits of each destination's."""

    directory: Path
    limits: SpoolLimits


@dataclass(frozen=True, slots=True)
class Wishes:
    """Where the data is to go: a file, endpoints, a summary. Without the first two it is a file, with a summary.

    ``spool`` is None where nothing is sent. ``quiet``: a run that went well says nothing. ``begun``: files to which
    this process has written before, and goes on.
    """

    output: str | None
    otlp: Sequence[OtlpSettings]
    summary: bool
    spool: SpoolWish | None
    quiet: bool = False
    begun: frozenset[str] = frozenset()
