"""The decoders of numbers that system calls are made with."""

from __future__ import annotations

import platform
from importlib.util import find_spec, module_from_spec
from types import ModuleType

import pytest

from orchestrator.signals.decoders import DECODERS

# arch/x86/entry/syscalls/syscall_64.tbl
X86_64 = {
    0: "read",
    1: "write",
    2: "open",
    9: "mmap",
    13: "rt_sigaction",
    41: "socket",
    56: "clone",
    59: "execve",
    60: "exit",
    61: "wait4",
    101: "ptrace",
    157: "prctl",
    165: "mount",
    186: "gettid",
    202: "futex",
    217: "getdents64",
    231: "exit_group",
    257: "openat",
    262: "newfstatat",
    281: "epoll_pwait",
    302: "prlimit64",
    318: "getrandom",
    321: "bpf",
    332: "statx",
    334: "rseq",
    335: "uretprobe",
}
# include/uapi/asm-generic/unistd.h
GENERIC = {
    0: "io_setup",
    17: "getcwd",
    29: "ioctl",
    56: "openat",
    63: "read",
    64: "write",
    79: "newfstatat",
    93: "exit",
    94: "exit_group",
    98: "futex",
    117: "ptrace",
    172: "getpid",
    178: "gettid",
    198: "socket",
    203: "connect",
    214: "brk",
    220: "clone",
    221: "execve",
    222: "mmap",
    260: "wait4",
    261: "prlimit64",
    264: "name_to_handle_at",
    265: "open_by_handle_at",
    266: "clock_adjtime",
    278: "getrandom",
    280: "bpf",
    281: "execveat",
    291: "statx",
    293: "rseq",
    294: "kexec_file_load",
}
# The same everywhere.
SHARED = {
    424: "pidfd_send_signal",
    425: "io_uring_setup",
    434: "pidfd_open",
    435: "clone3",
    436: "close_range",
    437: "openat2",
    439: "faccessat2",
    449: "futex_waitv",
    452: "fchmodat2",
    462: "mseal",
}


def on(machine: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module as it is on another machine."""
    monkeypatch.setattr(platform, "machine", lambda: machine)
    spec = find_spec("orchestrator.signals.syscalls")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("machine", "names"),
    [
        ("x86_64", {**X86_64, **SHARED}),
        ("aarch64", {**GENERIC, **SHARED}),
        ("riscv64", {**GENERIC, **SHARED}),
        ("s390x", {**SHARED, 5: "5"}),  # not known here
    ],
)
def test_names(machine: str, names: dict[int, str], monkeypatch: pytest.MonkeyPatch) -> None:
    found = on(machine, monkeypatch)
    assert {number: found.syscall_name(number) for number in names} == names


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_no_name_comes_twice(machine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = on(machine, monkeypatch)
    names = [name for number in range(600) if not (name := found.syscall_name(number)).isdigit()]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("number", [-1, 423, 999, 1 << 40])
def test_a_number_without_a_name_is_shown(number: int) -> None:
    assert DECODERS["syscall"](number) == str(number)


def test_the_decoder_knows_this_machine() -> None:
    assert DECODERS["syscall"](435) == "clone3"
    if platform.machine() == "x86_64":
        assert DECODERS["syscall"](0) == "read"


@pytest.mark.parametrize(("number", "name"), [(2, "ipv4"), (10, "ipv6"), (0, None), (1, None), (-1, None), (16, None)])
def test_families_of_addresses(number: int, name: str | None) -> None:
    """AF_INET and AF_INET6; others (AF_UNIX, AF_NETLINK) have no such name."""
    assert DECODERS["family"](number) == name
