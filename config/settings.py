"""The file given by ``--config``: what a run's flags can say, and the parameters of its signals."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Union

import msgspec

from config.errors import ConfigError
from config.loader import load, nearest, place
from config.parameters import Assignment

__all__ = ("RunSettings", "assignments", "load_run_settings")


class RunSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Defaults for ``orchestrate run``; a flag beats the file. ``parameters`` are keyed by signal, then by name."""

    duration: str | None = None
    interval: str | None = None
    output: str | None = None
    record: str | None = None
    bpftrace: str | None = None
    otlp_endpoint: str | None = None
    otlp_protocol: str | None = None
    parameters: dict[str, dict[str, Union[bool, int, str]]] = {}


def assignments(
    settings: RunSettings, path: str | None, signals: Sequence[str], known: Sequence[str]
) -> list[Assignment]:
    """The file's parameters of ``signals``; those of other ``known`` signals may stand in it too."""
    for signal in settings.parameters:
        if signal not in known:
            where = place(Path(path), "parameters", signal) if path else ""
            raise ConfigError(f"{where}: no signal {signal!r}{nearest(signal, list(dict.fromkeys(known)))}")
    return [
        Assignment(
            f"{signal}.{name}",
            str(value).lower() if isinstance(value, bool) else str(value),
            place(Path(path), "parameters", signal, name) if path else "",
        )
        for signal, values in settings.parameters.items()
        if signal in signals
        for name, value in values.items()
    ]


def load_run_settings(path: str | None) -> RunSettings:
    """Read the file; without one, nothing is set."""
    return load(Path(path), RunSettings) if path else RunSettings()
