"""Whether a signal can run on a host: its probes, its BTF, and the least kernel of its manifest."""

from __future__ import annotations

from collections.abc import Mapping

from config.parameters import Value, default_values
from orchestrator.catalog import Signal
from orchestrator.checks import Check, warning
from orchestrator.host import Host
from orchestrator.probe_checks import signal_checks
from parsers.source import probes_used

__all__ = ("checks_of", "reasons_against")


def checks_of(
    signal: Signal, host: Host, values: Mapping[str, Value] | None = None, version: tuple[int, ...] | None = None
) -> list[Check]:
    """One check for each thing that the signal, with these parameters (or the defaults), needs of the kernel.

    And one for each thing that is different with this ``version`` of bpftrace, where it is known.
    """
    if values is None:
        values = default_values(signal.manifest)
    least = tuple(int(part) for part in (signal.manifest.kernel or "0").split("."))
    kernel = []
    if host.kernel_version is not None and host.kernel_version < least:
        mend = f"install Linux {signal.manifest.kernel} or newer"
        kernel.append(Check("kernel", "fail", f"{host.kernel_release} is too old for {signal.name}", mend))
    older = [
        warning("bpftrace", f"before {newer}: {what}", f"use bpftrace {newer} or newer, if that matters")
        for newer, what in signal.manifest.before.items()
        if version is not None and version < tuple(map(int, newer.split(".")))
    ]
    probes = probes_used(signal.render(dict(values), host))
    return [*kernel, *older, *signal_checks(host, probes, signal.needs_btf or None)]


def reasons_against(signal: Signal, host: Host, values: Mapping[str, Value] | None = None) -> list[str]:
    """Why the signal cannot run here, each with its mend; none if it can.

    What a program with a process of its own needs, bpftrace judges: some of its probes may be missing.
    """
    if signal.manifest.process == "own":
        return []
    return [
        f"{check.subject}: {check.detail} ({check.mend})"
        for check in checks_of(signal, host, values)
        if check.status == "fail"
    ]
