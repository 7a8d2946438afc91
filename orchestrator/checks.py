"""Judges what is known of a host: one line for each thing that tracing needs, with the mend. Starts no process."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from orchestrator.bpftrace import MINIMUM, Version, capabilities_wanted
from orchestrator.errors import HostError
from orchestrator.host import Host

__all__ = ("Check", "host_checks", "preflight", "signal_checks")

_OLDEST_KERNEL = (5, 10)
_REQUIRED = ("BPF", "BPF_SYSCALL", "BPF_EVENTS", "PERF_EVENTS", "TRACEPOINTS")
_USEFUL = ("FTRACE_SYSCALLS", "KPROBES", "KPROBE_EVENTS", "UPROBES", "UPROBE_EVENTS", "DEBUG_INFO_BTF")
_MOUNT = "`mount -t tracefs tracefs /sys/kernel/tracing`; in a container also give it the host's /sys/kernel/tracing"
_OTHER_KERNEL = "use a distribution's kernel, or build this one with"
_BTF_MEND = f"{_OTHER_KERNEL} CONFIG_DEBUG_INFO_BTF"
_AS_ROOT = "run this check as root"
# What a program may use since which version (bpftrace's changelog, tried on 0.17, 0.23 and 0.27).
_FEATURES = (
    ((0, 12, 0), "else if, while, strftime"),
    ((0, 20, 0), "config blocks"),
    ((0, 21, 0), "for over maps"),
    ((0, 23, 0), "strings of 1024 bytes"),
    ((0, 24, 0), "getopt, for over ranges, ppid, -p for all probes"),
    ((0, 25, 0), "several BEGIN probes, capabilities instead of root"),
)


@dataclass(frozen=True, slots=True)
class Check:
    """One line of ``orchestrate check``; ``mend`` is empty only where the status is ok."""

    subject: str
    status: Literal["ok", "warning", "fail"]
    detail: str
    mend: str


def _ok(subject: str, detail: str) -> Check:
    return Check(subject, "ok", detail, "")


def _warning(subject: str, detail: str, mend: str) -> Check:
    return Check(subject, "warning", detail, mend)


def _fail(subject: str, detail: str, mend: str) -> Check:
    return Check(subject, "fail", detail, mend)


def _kernel(host: Host) -> Check:
    if host.kernel_version is None:
        return _warning("kernel", "its version cannot be read", "mount /proc; Linux 5.10 or newer is needed")
    if host.kernel_version < _OLDEST_KERNEL:
        return _fail("kernel", f"{host.kernel_release} is too old", "install Linux 5.10 or newer")
    return _ok("kernel", host.kernel_release)


def _kernel_config(host: Host) -> Check:
    subject = "kernel config"
    config = host.kernel_config()
    if config is None:
        mend = "`modprobe configs`, or install the file /boot/config-$(uname -r); the other lines here tell what works"
        return _warning(subject, "no file tells how this kernel was built", mend)
    missing = [f"CONFIG_{name}" for name in _REQUIRED if name not in config]
    if missing:
        return _fail(subject, f"without {', '.join(missing)}", f"{_OTHER_KERNEL} {', '.join(missing)}")
    lacking = [f"CONFIG_{name}" for name in _USEFUL if name not in config]
    if lacking:
        return _warning(subject, f"without {', '.join(lacking)}", f"{_OTHER_KERNEL} {', '.join(lacking)}")
    return _ok(subject, "all options that matter are set")


def _btf(host: Host, version: Version | None) -> Check:
    if host.has_btf:
        return _ok("BTF", "/sys/kernel/btf/vmlinux")
    if version is not None and version >= (0, 25, 0):  # "args in tracepoints now requires BTF"
        return _fail("BTF", f"missing; bpftrace {version} reads no arguments of tracepoints without it", _BTF_MEND)
    return _warning("BTF", "missing; programs that read kernel structures do not run", _BTF_MEND)


def _tracefs(host: Host) -> Check:
    if host.tracefs is not None:
        return _ok("tracefs", str(host.tracefs))
    if host.tracefs_hidden:
        return _warning("tracefs", "only root may look whether it is mounted", _AS_ROOT)
    return _fail("tracefs", "not mounted, so there are no tracepoints", _MOUNT)


def _debugfs(host: Host) -> Check:
    if host.debugfs_mounted:
        return _ok("debugfs", "mounted")
    if host.tracefs is not None:
        return _ok("debugfs", "not mounted, and not needed where tracefs is")
    return _warning("debugfs", "not mounted", "`mount -t debugfs debugfs /sys/kernel/debug`, or mount tracefs")


def _lockdown(host: Host) -> Check:
    if host.lockdown == "confidentiality":
        mend = "boot with lockdown=integrity or without lockdown; secure boot may switch it on"
        return _fail("lockdown", "confidentiality: the kernel forbids bpftrace to read its memory", mend)
    return _ok("lockdown", host.lockdown)


def _probe_kind(host: Host, subject: str, found: bool, option: str) -> Check:
    if found:
        return _ok(subject, "can be made")
    if host.tracefs is None:
        return _warning(subject, "cannot be told without tracefs", _AS_ROOT if host.tracefs_hidden else _MOUNT)
    return _warning(subject, "this kernel has none; tracepoints work", f"{_OTHER_KERNEL} {option}")


def _lacking(host: Host, wanted: Sequence[str]) -> list[str]:
    have = host.capabilities
    if "CAP_SYS_ADMIN" in have:
        have |= {"CAP_BPF", "CAP_PERFMON"}
    return [name for name in wanted if name not in have]


def _privileges_mend(host: Host, path: str | None, lacking: Sequence[str]) -> str:
    names = " ".join(lacking)
    if host.uid == 0:
        return f"the container or service took them: `--cap-add` them, or CapabilityBoundingSet={names} in the unit"
    lower = ",".join(lacking).lower()
    return f"--sudo, or AmbientCapabilities={names} in the unit, or `setcap {lower}+ep {path or 'BPFTRACE'}`"


def _privileges(host: Host, path: str | None, version: Version | None) -> Check:
    subject = "privileges"
    uid = host.uid
    wanted = capabilities_wanted(version, uid)
    if wanted.root_only:
        mend = "run as root or with --sudo; from bpftrace 0.25 on, capabilities will do"
        return _fail(subject, f"bpftrace {version} runs only as root, and this is uid {uid}", mend)
    lacking = _lacking(host, wanted.capabilities)
    if lacking:
        detail = f"uid {uid} lacks {', '.join(lacking)} of {', '.join(wanted.capabilities)}"
        return _fail(subject, detail, _privileges_mend(host, path, lacking))
    if "CAP_SYS_ADMIN" not in host.capabilities and (host.perf_event_paranoid or 0) >= 4:
        mend = "`sysctl kernel.perf_event_paranoid=3`, or grant CAP_SYS_ADMIN too"
        return _warning(subject, "perf_event_paranoid 4 may ask for CAP_SYS_ADMIN", mend)
    return _ok(subject, f"uid {uid} with {', '.join(wanted.capabilities)}")


def _bpftrace(path: str | None, version: Version | None, problem: str) -> Check:
    if path is None:
        return _fail("bpftrace", "not found", problem or "install the package bpftrace")
    if version is None:
        return _warning("bpftrace", f"{path} tells no version", problem or f"see what `{path} --version` says")
    if version < MINIMUM:
        return _fail("bpftrace", f"{path} is {version}, too old", f"install bpftrace {MINIMUM} or newer")
    return _ok("bpftrace", f"{path} {version}")


def _features(version: Version | None) -> Check:
    subject = "bpftrace features"
    if version is None:
        return _warning(subject, "cannot be told without a version", f"install bpftrace {MINIMUM} or newer")
    has = "; ".join(name for since, name in _FEATURES if version >= since)
    lacks = "; ".join(f"{name} ({since[0]}.{since[1]})" for since, name in _FEATURES if version < since)
    return _ok(subject, f"{has}, but not {lacks}" if lacks else has)


def _cgroup(host: Host) -> Check:
    subject = "cgroup"
    if host.cgroup is None:
        return _warning(subject, "no hierarchy is mounted", "`mount -t cgroup2 none /sys/fs/cgroup`")
    if host.cgroup == "1":
        mend = "boot with systemd.unified_cgroup_hierarchy=1"
        return _warning(subject, "version 1: `cgroup` in programs says nothing of containers", mend)
    return _ok(subject, f"version {host.cgroup}" if host.cgroup == "2" else "versions 1 and 2 (hybrid)")


def host_checks(host: Host, path: str | None, version: Version | None, problem: str = "") -> list[Check]:
    """What can be said of this host, for bpftrace at ``path`` (None: ``problem`` says why there is none)."""
    return [
        _kernel(host),
        _kernel_config(host),
        _btf(host, version),
        _tracefs(host),
        _debugfs(host),
        _lockdown(host),
        _probe_kind(host, "kprobes", host.has_kprobes, "CONFIG_KPROBE_EVENTS"),
        _probe_kind(host, "uprobes", host.has_uprobes, "CONFIG_UPROBE_EVENTS"),
        _privileges(host, path, version),
        _bpftrace(path, version, problem),
        _features(version),
        _cgroup(host),
    ]


def preflight(host: Host, path: str, version: Version | None, sudo: bool = False) -> HostError | None:
    """The first thing that makes any run here impossible; with ``sudo``, what only this process lacks is none."""
    checks = [_tracefs(host), _lockdown(host)]
    if not sudo:
        checks.insert(0, _privileges(host, path, version))
    failed = next((check for check in checks if check.status == "fail"), None)
    return HostError(f"{failed.subject}: {failed.detail}: {failed.mend}") if failed else None


# --- probes of a signal ---


def _without(host: Host, probe: str, found: bool | None, what: str, mend: str) -> Check | None:
    if host.tracefs is None:
        return _warning(probe, "cannot be told without tracefs", _AS_ROOT if host.tracefs_hidden else _MOUNT)
    return None if found else _fail(probe, f"this kernel has no {what}", mend)


def _tracepoint(host: Host, probe: str) -> Check:
    category, _, name = probe.partition(":")[2].partition(":")
    found = host.has_tracepoint(category, name)
    mend = "use a kernel that has it, or load its module"
    return _without(host, probe, found, f"tracepoint {category}:{name}", mend) or _ok(probe, "exists")


def _kernel_function(host: Host, probe: str) -> Check:
    function = probe.rpartition(":")[2].partition("+")[0]
    if re.fullmatch(r"\w+", function) and host.has_function(function) is False:
        return _fail(probe, f"this kernel has no function {function}", "use a kernel that has it, or another function")
    return _ok(probe, "can be made")


def _kprobe(host: Host, probe: str) -> Check:
    mend = f"{_OTHER_KERNEL} CONFIG_KPROBE_EVENTS"
    return _without(host, probe, host.has_kprobes, "kprobes", mend) or _kernel_function(host, probe)


def _fentry(host: Host, probe: str) -> Check:
    mend = f"{_OTHER_KERNEL} CONFIG_FUNCTION_TRACER and CONFIG_DEBUG_INFO_BTF"
    return _without(host, probe, host.has_fentry, "fentry probes", mend) or _kernel_function(host, probe)


def _user_function(host: Host, probe: str) -> Check:
    target = probe.partition(":")[2].partition(":")[0].strip('"')
    if target.startswith("/") and "*" not in target and not host.exists(target):
        return _fail(probe, f"there is no file {target}", "give the path of the program or library to trace")
    if without := _without(host, probe, host.has_uprobes, "uprobes", f"{_OTHER_KERNEL} CONFIG_UPROBE_EVENTS"):
        return without
    if "CAP_SYS_ADMIN" not in host.capabilities and host.uid != 0:
        return _warning(probe, "uprobes may want CAP_SYS_ADMIN", "run as root (--sudo), or grant CAP_SYS_ADMIN")
    return _ok(probe, "can be made")


def _anywhere(_host: Host, probe: str) -> Check:
    return _ok(probe, "works on every host")


_KINDS: tuple[tuple[str, Callable[[Host, str], Check]], ...] = (
    (r"t(racepoint)?", _tracepoint),
    (r"k(ret)?probe|kr?", _kprobe),
    (r"k(ret)?func|f(entry|exit)|fr?", _fentry),
    (r"u(ret)?probe|ur?|usdt|U", _user_function),
    (r"profile|p|interval|i|software|s|BEGIN|END|begin|end|self", _anywhere),
)


def signal_checks(host: Host, probes: Sequence[str], btf: bool | None = None) -> list[Check]:
    """Whether this host has each of ``probes``, and BTF where a program needs it (``btf``)."""
    checks = [_ok("BTF", "exists") if host.has_btf else _fail("BTF", "missing", _BTF_MEND)] if btf else []
    for probe in dict.fromkeys(probes):
        kind = probe.partition(":")[0]
        judge = next((judge for pattern, judge in _KINDS if re.fullmatch(pattern, kind)), None)
        mend = "run it to see: bpftrace itself tells"
        checks.append(judge(host, probe) if judge else _warning(probe, f"{kind} probes cannot be checked", mend))
    return checks
