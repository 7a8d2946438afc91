"""Durations as people write them: ``10us``, ``500ms``, ``30s``, ``5m``, ``2h``, ``7d``."""

from __future__ import annotations

import re

from config.errors import ConfigError

__all__ = ("parse_duration",)

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(us|ms|s|m|h|d)")
_MOST = 366 * 86400.0
_SECONDS = {"us": 0.000001, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse_duration(text: str, source: str, *, least: float = 0.0) -> float:
    """Seconds of ``text``; a ConfigError says what is wrong with it, and where it stands (``source``)."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ConfigError(f"{source}: {text!r} is not a duration; write it as 500ms, 30s, 5m, 2h or 7d")
    seconds = float(match[1]) * _SECONDS[match[2]]
    if seconds > _MOST:
        raise ConfigError(f"{source}: {text!r} is too long; the most is a year")
    if seconds < least or seconds == 0:
        raise ConfigError(f"{source}: {text!r} is too short; the least is {least * 1000:.0f}ms")
    return seconds
