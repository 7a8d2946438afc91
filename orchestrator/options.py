"""What a run was asked for: flags over file over defaults, every value checked before anything starts."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from functools import partial
from pathlib import Path
from pwd import struct_passwd
from typing import TYPE_CHECKING

from config.durations import parse_duration
from config.loader import place
from config.otlp import OtlpSettings, load_otlp_settings
from config.parameters import Assignment, Value, default_values, resolve_parameters
from config.resource import check_resource_variables
from config.settings import Overlap, ResourceLimits, RunSettings, assignments, load_run_settings
from config.state import state_directory
from orchestrator.catalog import Signal, find_signals, signal_names
from orchestrator.delivery.spool import SpoolLimits
from orchestrator.errors import UsageError
from orchestrator.signals.clock import TIMES
from orchestrator.trust import read_trusted
from orchestrator.user import find_user, home_of
from orchestrator.wishes import SpoolWish, Wishes

if TYPE_CHECKING:
    import argparse

__all__ = (
    "Options",
    "ReplayOptions",
    "are_one_file",
    "otlp_destinations",
    "read_assignments",
    "recorded_signals",
    "replay_options",
    "spool_wish",
)

_INTERVAL = 10.0
_LEAST_INTERVAL = 0.2  # below that a print can come late in 0.17


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """What to replay: ``file`` (``-`` is standard input), and what it means where it does not say so itself.

    ``start``: Unix nanoseconds.
    """

    file: str
    signals: list[Signal]
    start: int | None
    wishes: Wishes


def replay_options(arguments: argparse.Namespace) -> ReplayOptions:
    """Read and check flags, file and environment. Raises ConfigError and UsageError."""
    settings = load_run_settings(arguments.config, read_trusted)
    signals = recorded_signals(arguments)
    check_resource_variables(os.environ)
    wishes = _wishes(arguments, settings)
    if wishes.output != "-" and are_one_file(wishes.output, arguments.file):
        raise UsageError(f"--output {wishes.output} is the recording itself; give another file")
    start = None if arguments.start is None else _unix_nanoseconds(arguments.start)
    return ReplayOptions(arguments.file, signals, start, wishes)


def recorded_signals(arguments: argparse.Namespace) -> list[Signal]:
    """What ``--script`` or ``--signal`` says of a recording, with the defaults of all parameters; none if neither."""
    target = arguments.signal or arguments.script
    if arguments.script and not arguments.script.endswith(".bt"):
        raise UsageError(f"--script {arguments.script}: the name of a program ends in .bt")
    signals = [one.resolved(default_values(one.manifest)) for one in find_signals(target)] if target else []
    if len(signals) > 1 and any(signal.manifest.process == "own" for signal in signals):
        raise UsageError(f"{target}: a recording is of one bpftrace; name one program, or signals that share one")
    return signals


def _given(arguments: argparse.Namespace, settings: RunSettings, name: str) -> str | None:
    """What the flag says, or else the file."""
    value: str | None = getattr(arguments, name)
    return getattr(settings, name) if value is None else value


def _wishes(arguments: argparse.Namespace, settings: RunSettings, user: struct_passwd | None = None) -> Wishes:
    endpoint, protocol = (_given(arguments, settings, name) for name in ("otlp_endpoint", "otlp_protocol"))
    otlp = otlp_destinations(settings, endpoint, protocol)
    spool = spool_wish(settings, arguments.config, user)
    return Wishes(_given(arguments, settings, "output"), otlp, arguments.summary, spool, arguments.quiet)


def otlp_destinations(settings: RunSettings, endpoint: str | None, protocol: str | None) -> list[OtlpSettings]:
    """The endpoint that flags, file or environment give, and all others of the file; each of them once."""
    first = load_otlp_settings(os.environ, endpoint, protocol)
    others = (
        load_otlp_settings(os.environ, one.endpoint, one.protocol, f"destinations.{place}.")
        for place, one in enumerate(settings.destinations)
    )
    found: list[OtlpSettings] = []
    found += (one for one in (first, *others) if one is not None and one not in found)
    return found


def spool_wish(settings: RunSettings, config: str | None, user: struct_passwd | None = None) -> SpoolWish:
    """Where requests wait, of ``user`` or of ourselves; ``config`` is the file that the settings are from."""
    spool = settings.spool
    uid, environ = (user.pw_uid, {**os.environ, **home_of(user)}) if user else (os.getuid(), os.environ)
    age = parse_duration(spool.max_age, f"{config}: spool.max_age")
    directory = Path(spool.directory) if spool.directory else state_directory(environ, uid) / "spool"
    return SpoolWish(directory, SpoolLimits(spool.max_mb << 20, age))


def are_one_file(one: str | None, other: str | None) -> bool:
    """Whether both are given and lead to one place."""
    return bool(one and other and Path(one).resolve() == Path(other).resolve())


def _unix_nanoseconds(text: str) -> int:
    try:
        if re.fullmatch(r"\d+(\.\d+)?", text):
            found = int(Fraction(text) * 10**9)
        else:  # 3.10 does not know the Z of an ISO time
            found = int(datetime.fromisoformat(re.sub(r"Z$", "+00:00", text)).timestamp() * 10**9)
        if found not in TIMES:
            raise ValueError
        return found
    except (ValueError, OverflowError):
        raise UsageError(f"--start {text}: write it as 2026-11-23T05:41:00Z or in Unix seconds") from None


@dataclass(frozen=True, slots=True)
class Options:
    """A run's options. Durations in seconds; ``values`` are the parameters of each signal; ``user``: whom to become."""

    signals: list[Signal]
    values: dict[str, dict[str, Value]]
    duration: float | None
    interval: float
    record: str | None
    bpftrace: str | None
    unsafe: bool
    sudo: bool
    user: struct_passwd | None
    limits: ResourceLimits
    wishes: Wishes
    on_overlap: Overlap

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> Options:
        """Read and check flags, file and environment. Raises ConfigError and UsageError."""
        settings = load_run_settings(arguments.config, read_trusted)

        given = partial(_given, arguments, settings)

        def seconds(name: str, least: float) -> float | None:
            text = given(name)
            from_flag = getattr(arguments, name) is not None
            source = f"--{name}" if from_flag or not arguments.config else place(Path(arguments.config), name)
            return None if text is None else parse_duration(text, source, least=least)

        signals = find_signals(_targets(arguments, settings))
        _check_files(given("output"), given("record"))
        _check_record(signals, given("record"))
        check_resource_variables(os.environ)
        user = None if (name := given("user")) is None else find_user(name)
        return cls(
            signals=signals,
            values=_parameters(signals, settings, arguments),
            duration=seconds("duration", 0.1),
            interval=seconds("interval", _LEAST_INTERVAL) or _INTERVAL,
            record=given("record"),
            bpftrace=given("bpftrace"),
            unsafe=arguments.unsafe,
            sudo=arguments.sudo,
            user=user,
            limits=settings.resource_limits,
            wishes=_wishes(arguments, settings, user),
            on_overlap=arguments.on_overlap or settings.on_overlap,
        )


def _targets(arguments: argparse.Namespace, settings: RunSettings) -> str:
    targets: str = arguments.targets or ",".join(settings.targets)
    if not targets:
        raise UsageError("name signals (`orchestrate list` shows them) or paths of .bt files: TARGET[,TARGET...]")
    return targets


def _check_files(output: str | None, record: str | None) -> None:
    if are_one_file(output, record):
        raise UsageError(f"--output and --record are both {output}; give each a file of its own")


def _check_record(signals: Sequence[Signal], record: str | None) -> None:
    own = [signal.name for signal in signals if signal.manifest.process == "own"]
    if record and own and len(signals) > 1:
        raise UsageError(f"--record holds the output of one bpftrace, and {own[0]} has one of its own: run it alone")


def read_assignments(texts: Sequence[str]) -> list[Assignment]:
    """The ``NAME=VALUE`` of ``--set``."""
    found = []
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"--set {text}: write it as NAME=VALUE")
        found.append(Assignment(name, value, "--set"))
    return found


def _parameters(
    signals: Sequence[Signal], settings: RunSettings, arguments: argparse.Namespace
) -> dict[str, dict[str, Value]]:
    manifests = {signal.name: signal.manifest for signal in signals}
    given = assignments(settings, arguments.config, list(manifests), [*manifests, *signal_names()])
    for name in ("pid", "comm"):
        value = getattr(arguments, name)
        if value is not None:
            without = [signal for signal, manifest in manifests.items() if name not in manifest.parameters]
            if without:
                raise UsageError(f"--{name}: {', '.join(without)} cannot be filtered by it; run it without, or alone")
            given += [Assignment(f"{signal}.{name}", value, f"--{name}") for signal in manifests]
    return resolve_parameters(manifests, [*given, *read_assignments(arguments.set)])
