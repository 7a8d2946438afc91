"""Judges what is known of a host: one line for each thing that tracing needs, with the mend. Starts no process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from orchestrator.bpftrace.binary import MINIMUM, Version, capabilities_wanted
from orchestrator.errors import HostError
from orchestrator.host import Host

__all__ = ("AS_ROOT", "BTF_MEND", "MOUNT", "OTHER_KERNEL", "Check", "fail", "host_checks", "ok", "preflight", "warning")

_OLDEST_KERNEL = (5, 10)
_REQUIRED = ("BPF", "BPF_SYSCALL", "BPF_EVENTS", "PERF_EVENTS", "TRACEPOINTS")
_USEFUL = ("FTRACE_SYSCALLS", "KPROBES", "KPROBE_EVENTS", "UPROBES", "UPROBE_EVENTS", "DEBUG_INFO_BTF")
MOUNT = "`mount -t tracefs tracefs /sys/kernel/tracing`; in a container also give it the host's /sys/kernel/tracing"
OTHER_KERNEL = "use a distribution's kernel, or build this one with"
BTF_MEND = f"{OTHER_KERNEL} CONFIG_DEBUG_INFO_BTF"
AS_ROOT = "run this check as root"
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


def ok(subject: str, detail: str) -> Check:
    """A check that is well."""
    return Check(subject, "ok", detail, "")


def warning(subject: str, detail: str, mend: str) -> Check:
    """A check that keeps some signals from running, or could not be made."""
    return Check(subject, "warning", detail, mend)


def fail(subject: str, detail: str, mend: str) -> Check:
    """A check that keeps the signals concerned from running."""
    return Check(subject, "fail", detail, mend)


def _kernel(host: Host) -> Check:
    if host.kernel_version is None:
        return warning("kernel", "its version cannot be read", "mount /proc; Linux 5.10 or newer is needed")
    if host.kernel_version < _OLDEST_KERNEL:
        return fail("kernel", f"{host.kernel_release} is too old", "install Linux 5.10 or newer")
    return ok("kernel", host.kernel_release)


def _kernel_config(host: Host) -> Check:
    subject = "kernel config"
    config = host.kernel_config()
    if config is None:
        mend = "`modprobe configs`, or install the file /boot/config-$(uname -r); the other lines here tell what works"
        return warning(subject, "no file tells how this kernel was built", mend)
    missing = [f"CONFIG_{name}" for name in _REQUIRED if name not in config]
    if missing:
        return fail(subject, f"without {', '.join(missing)}", f"{OTHER_KERNEL} {', '.join(missing)}")
    lacking = [f"CONFIG_{name}" for name in _USEFUL if name not in config]
    if lacking:
        return warning(subject, f"without {', '.join(lacking)}", f"{OTHER_KERNEL} {', '.join(lacking)}")
    return ok(subject, "all options that matter are set")


def _btf(host: Host, version: Version | None) -> Check:
    if host.has_btf:
        return ok("BTF", "/sys/kernel/btf/vmlinux")
    if version is not None and version >= (0, 25, 0):  # "args in tracepoints now requires BTF"
        return fail("BTF", f"missing; bpftrace {version} reads no arguments of tracepoints without it", BTF_MEND)
    return warning("BTF", "missing; programs that read kernel structures do not run", BTF_MEND)


def _tracefs(host: Host) -> Check:
    if host.tracefs is not None:
        return ok("tracefs", str(host.tracefs))
    if host.tracefs_hidden:
        return warning("tracefs", "only root may look whether it is mounted", AS_ROOT)
    return fail("tracefs", "not mounted, so there are no tracepoints", MOUNT)


def _debugfs(host: Host) -> Check:
    if host.debugfs_mounted:
        return ok("debugfs", "mounted")
    if host.tracefs is not None:
        return ok("debugfs", "not mounted, and not needed where tracefs is")
    return warning("debugfs", "not mounted", "`mount -t debugfs debugfs /sys/kernel/debug`, or mount tracefs")


def _lockdown(host: Host) -> Check:
    if host.lockdown == "confidentiality":
        mend = "boot with lockdown=integrity or without lockdown; secure boot may switch it on"
        return fail("lockdown", "confidentiality: the kernel forbids bpftrace to read its memory", mend)
    return ok("lockdown", host.lockdown)


def _probe_kind(host: Host, subject: str, found: bool, option: str) -> Check:
    if found:
        return ok(subject, "can be made")
    if host.tracefs is None:
        return warning(subject, "cannot be told without tracefs", AS_ROOT if host.tracefs_hidden else MOUNT)
    return warning(subject, "this kernel has none; tracepoints work", f"{OTHER_KERNEL} {option}")


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
    return f"run with --sudo, or AmbientCapabilities={names} in the unit, or `setcap {lower}+ep {path or 'BPFTRACE'}`"


def _privileges(host: Host, path: str | None, version: Version | None) -> Check:
    subject = "privileges"
    uid = host.uid
    wanted = capabilities_wanted(version, uid)
    if wanted.root_only:
        mend = "run with --sudo, or as root; from bpftrace 0.25 on, capabilities will do"
        return fail(subject, f"bpftrace {version} runs only as root, and this is uid {uid}", mend)
    lacking = _lacking(host, wanted.capabilities)
    if lacking:
        detail = f"uid {uid} lacks {', '.join(lacking)} of {', '.join(wanted.capabilities)}"
        return fail(subject, detail, _privileges_mend(host, path, lacking))
    if "CAP_SYS_ADMIN" not in host.capabilities and (host.perf_event_paranoid or 0) >= 4:
        mend = "`sysctl kernel.perf_event_paranoid=3`, or grant CAP_SYS_ADMIN too"
        return warning(subject, "perf_event_paranoid 4 may ask for CAP_SYS_ADMIN", mend)
    return ok(subject, f"uid {uid} with {', '.join(wanted.capabilities)}")


def _bpftrace(path: str | None, version: Version | None, problem: str) -> Check:
    if path is None:
        return fail("bpftrace", "not found", problem or "install the package bpftrace")
    if version is None:
        return warning("bpftrace", f"{path} tells no version", problem or f"see what `{path} --version` says")
    if version < MINIMUM:
        return fail("bpftrace", f"{path} is {version}, too old", f"install bpftrace {MINIMUM} or newer")
    return ok("bpftrace", f"{path} {version}")


def _features(version: Version | None) -> Check:
    subject = "bpftrace features"
    if version is None:
        return warning(subject, "cannot be told without a version", f"install bpftrace {MINIMUM} or newer")
    has = "; ".join(name for since, name in _FEATURES if version >= since)
    lacks = "; ".join(f"{name} ({since[0]}.{since[1]})" for since, name in _FEATURES if version < since)
    return ok(subject, f"{has}, but not {lacks}" if lacks else has)


def _cgroup(host: Host) -> Check:
    subject = "cgroup"
    if host.cgroup is None:
        return warning(subject, "no hierarchy is mounted", "`mount -t cgroup2 none /sys/fs/cgroup`")
    if host.cgroup == "1":
        mend = "boot with systemd.unified_cgroup_hierarchy=1"
        return warning(subject, "version 1: `cgroup` in programs says nothing of containers", mend)
    return ok(subject, f"version {host.cgroup}" if host.cgroup == "2" else "versions 1 and 2 (hybrid)")


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


def preflight(host: Host, path: str, version: Version | None, *, sudo: bool = False) -> HostError | None:
    """The first thing that makes any run here impossible. ``sudo``: bpftrace is root, whoever we are."""
    privileges = [] if sudo else [_privileges(host, path, version)]
    checks = [*privileges, _tracefs(host), _lockdown(host)]
    failed = next((check for check in checks if check.status == "fail"), None)
    return HostError(f"{failed.subject}: {failed.detail}: {failed.mend}") if failed else None
