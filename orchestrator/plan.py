"""What a run is to start, once everything that speaks against it was looked at."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.bpftrace import binary
from orchestrator.bpftrace.launch import Launch
from orchestrator.catalog import Signal
from orchestrator.checks import preflight
from orchestrator.errors import HostError
from orchestrator.feasibility import reasons_against
from orchestrator.host import Host
from orchestrator.options import Options
from orchestrator.stop import Stop
from orchestrator.terminal import Terminal

if TYPE_CHECKING:
    from orchestrator.bpftrace.sudo import Sudo

__all__ = ("Plan", "make_plan")


@dataclass(frozen=True, slots=True)
class Plan:
    """``groups``: the signals of each bpftrace; ``failed``: why each of the others cannot run."""

    host: Host
    launch: Launch
    groups: Sequence[Sequence[Signal]]
    failed: Mapping[str, str]


def make_plan(options: Options, terminal: Terminal, stop: Stop) -> Plan:
    """Look at host and signals. Raises HostError if none of them can run here."""
    path = binary.find_bpftrace(options.bpftrace)
    host = Host()
    sudo = _sudo(options, host, path, terminal, stop)
    problem = preflight(host, path, None if host.uid == 0 or sudo else binary.read_version(path), sudo=bool(sudo))
    if problem is not None:
        raise problem
    failed = _cannot_run(options.signals, options, host)
    signals = [signal.resolved(options.values[signal.name]) for signal in options.signals if signal.name not in failed]
    if not signals:
        raise HostError("; ".join(f"{name} cannot run: {why}" for name, why in failed.items()))
    launch = Launch(
        path,
        _environment(host, path, signals),
        {signal.name: signal.render(options.values[signal.name], host) for signal in signals},
        {signal.name: signal.arguments(options.values[signal.name]) for signal in signals},
        options.interval,
        options.unsafe,
        sudo,
        options.user is not None,
    )
    return Plan(host, launch, _groups(signals), failed)


def _sudo(options: Options, host: Host, path: str, terminal: Terminal, stop: Stop) -> Sudo | None:
    """What starts bpftrace in our place, where that was asked for and we are not root ourselves."""
    if not options.sudo or host.uid == 0:
        return None

    from orchestrator.bpftrace.sudo import Sudo  # noqa: PLC0415

    return Sudo(path, terminal.hint, stop)


def _groups(signals: Sequence[Signal]) -> list[list[Signal]]:
    """The signals that share a bpftrace, then each one that has its own."""
    shared = [signal for signal in signals if signal.manifest.process == "shared"]
    return [*filter(None, [shared]), *([signal] for signal in signals if signal.manifest.process == "own")]


def _cannot_run(signals: Sequence[Signal], options: Options, host: Host) -> dict[str, str]:
    """What this host lacks, by signal."""
    reasons = {signal.name: reasons_against(signal, host, options.values[signal.name]) for signal in signals}
    return {name: "; ".join(found) for name, found in reasons.items() if found}


def _environment(host: Host, path: str, signals: Sequence[Signal]) -> dict[str, str]:
    """Ours, and what bpftrace does not find out by itself.

    Where BTF is: before Linux 5.11, which gives it no id, 0.17 does not see it. That symbols are to be kept: up to 0.19
    each frame of a process reads all of them anew, 60 ms each, and those of a process that has ended can kill bpftrace.
    """
    found = dict(os.environ)
    if host.has_btf and host.kernel_version is not None and host.kernel_version < (5, 11):
        found.setdefault("BPFTRACE_BTF", "/sys/kernel/btf/vmlinux")
    if any(signal.manifest.stacks for signal in signals):
        version = binary.read_version(path)
        if version is not None and version < binary.KEEPS_SYMBOLS:
            found.setdefault("BPFTRACE_CACHE_USER_SYMBOLS", "1")
    return found
