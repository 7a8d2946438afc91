"""Runs without limits: what is measured is what we can do, not what we may."""

from __future__ import annotations

from pathlib import Path

_LIMITS = "resource_limits: {max_events_per_sec: 0, max_cpu_percent: 0, max_memory_mb: 0}\n"


def unlimited(folder: Path) -> Path:
    """Make a file for ``--config``."""
    path = folder / "unlimited.yaml"
    path.write_text(_LIMITS)
    return path
