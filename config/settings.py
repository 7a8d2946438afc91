"""The file given by ``--config``: what a run's flags can say, and the parameters of its signals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Literal, Union

import msgspec
from msgspec import Meta

from config.errors import ConfigError
from config.loader import load, nearest, place, read_text
from config.parameters import Assignment

__all__ = (
    "DestinationSettings",
    "Overlap",
    "ResourceLimits",
    "RunSettings",
    "SpoolSettings",
    "assignments",
    "load_run_settings",
)

Overlap = Literal["wait", "skip", "run"]
_Amount = Annotated[int, Meta(ge=0)]


class SpoolSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where requests wait on disk for their receiver, and how much of them for how long (``7d``)."""

    directory: str | None = None
    max_mb: Annotated[int, Meta(ge=1)] = 512
    max_age: str = "7d"


class ResourceLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What tracing may take; 0 is no limit.

    ``max_memory_mb``: resident memory of bpftrace and us together. ``max_cpu_percent``: of all CPUs of the host, spent
    by bpftrace, by us, and by the kernel in the programs that were loaded. ``max_events_per_sec``: of all signals
    together; above it events are sampled. ``at_limit``: what happens above one of the other two.
    """

    max_memory_mb: _Amount = 500
    max_cpu_percent: Annotated[float, Meta(ge=0)] = 5
    max_events_per_sec: _Amount = 10_000
    at_limit: Literal["sample", "stop_costliest", "stop"] = "sample"


class DestinationSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One more endpoint that is to have everything, with a queue and a spool of its own."""

    endpoint: str
    protocol: str | None = None


class RunSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Defaults for ``orchestrate run``; a flag beats the file. ``parameters`` are keyed by signal, then by name.

    ``targets``: signals and paths of programs. ``user``: whom our process becomes once bpftrace has started, if it is
    root.
    """

    targets: list[str] = []
    duration: str | None = None
    interval: str | None = None
    output: str | None = None
    record: str | None = None
    bpftrace: str | None = None
    otlp_endpoint: str | None = None
    otlp_protocol: str | None = None
    destinations: list[DestinationSettings] = []
    spool: SpoolSettings = SpoolSettings()
    resource_limits: ResourceLimits = ResourceLimits()
    on_overlap: Overlap = "run"
    user: str | None = None
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


def load_run_settings(path: str | None, read: Callable[[Path], str] = read_text) -> RunSettings:
    """Read the file; without one, nothing is set."""
    return load(Path(path), RunSettings, read) if path else RunSettings()
