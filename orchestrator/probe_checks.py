"""Whether a host has what the probes of a program need."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from orchestrator.checks import AS_ROOT, BTF_MEND, MOUNT, OTHER_KERNEL, Check, fail, ok, warning
from orchestrator.host import Host

__all__ = ("signal_checks",)


def _without(host: Host, probe: str, found: bool | None, what: str, mend: str) -> Check | None:
    if host.tracefs is None:
        return warning(probe, "cannot be told without tracefs", AS_ROOT if host.tracefs_hidden else MOUNT)
    return None if found else fail(probe, f"this kernel has no {what}", mend)


def _tracepoint(host: Host, probe: str) -> Check:
    category, _, name = probe.partition(":")[2].partition(":")
    found = host.has_tracepoint(category, name)
    mend = "use a kernel that has it, or load its module"
    return _without(host, probe, found, f"tracepoint {category}:{name}", mend) or ok(probe, "exists")


def _kernel_function(host: Host, probe: str) -> Check:
    function = probe.rpartition(":")[2].partition("+")[0]
    if re.fullmatch(r"\w+", function) and host.has_function(function) is False:
        return fail(probe, f"this kernel has no function {function}", "use a kernel that has it, or another function")
    return ok(probe, "can be made")


def _kprobe(host: Host, probe: str) -> Check:
    mend = f"{OTHER_KERNEL} CONFIG_KPROBE_EVENTS"
    return _without(host, probe, host.has_kprobes, "kprobes", mend) or _kernel_function(host, probe)


def _fentry(host: Host, probe: str) -> Check:
    mend = f"{OTHER_KERNEL} CONFIG_FUNCTION_TRACER and CONFIG_DEBUG_INFO_BTF"
    return _without(host, probe, host.has_fentry, "fentry probes", mend) or _kernel_function(host, probe)


def _user_function(host: Host, probe: str) -> Check:
    target = probe.partition(":")[2].partition(":")[0].strip('"')
    if target.startswith("/") and "*" not in target and not host.exists(target):
        return fail(probe, f"there is no file {target}", "give the path of the program or library to trace")
    if without := _without(host, probe, host.has_uprobes, "uprobes", f"{OTHER_KERNEL} CONFIG_UPROBE_EVENTS"):
        return without
    if "CAP_SYS_ADMIN" not in host.capabilities and host.uid != 0:
        return warning(probe, "uprobes may want CAP_SYS_ADMIN", "run as root (sudo), or grant CAP_SYS_ADMIN")
    return ok(probe, "can be made")


def _anywhere(_host: Host, probe: str) -> Check:
    return ok(probe, "works on every host")


_KINDS: tuple[tuple[str, Callable[[Host, str], Check]], ...] = (
    (r"t(racepoint)?", _tracepoint),
    (r"k(ret)?probe|kr?", _kprobe),
    (r"k(ret)?func|f(entry|exit)|fr?", _fentry),
    (r"u(ret)?probe|ur?|usdt|U", _user_function),
    (r"profile|p|interval|i|software|s|BEGIN|END|begin|end|self", _anywhere),
)


def signal_checks(host: Host, probes: Sequence[str], btf: bool | None = None) -> list[Check]:
    """Whether this host has each of ``probes``, and BTF where a program needs it (``btf``)."""
    checks = [ok("BTF", "exists") if host.has_btf else fail("BTF", "missing", BTF_MEND)] if btf else []
    for probe in dict.fromkeys(probes):
        kind = probe.partition(":")[0]
        judge = next((judge for pattern, judge in _KINDS if re.fullmatch(pattern, kind)), None)
        mend = "run it to see: bpftrace itself tells"
        checks.append(judge(host, probe) if judge else warning(probe, f"{kind} probes cannot be checked", mend))
    return checks
