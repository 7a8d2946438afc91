"""Where a run's data is to go, as it was asked for."""

from __future__ import annotations

from dataclasses import dataclass

from config.otlp import OtlpSettings

__all__ = ("Wishes",)


@dataclass(frozen=True, slots=True)
class Wishes:
    """Where the data is to go: a file, an endpoint, a summary. Without the first two it is a file, with a summary."""

    output: str | None
    otlp: OtlpSettings | None
    summary: bool
