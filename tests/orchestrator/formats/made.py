"""Profiles as the built-in signals make them."""

from __future__ import annotations

from typing import Any

from orchestrator.signals.model import KERNEL, Frame, Profile, Sample, ValueType

SECOND = 10**9
START = 1_700_000_000 * SECOND
PERIOD = 10_000_000
SAMPLES, CPU = ValueType("samples", "count"), ValueType("cpu", "nanoseconds")
OFF_CPU = ValueType("off_cpu", "nanoseconds")
SPACE, MEMORY = ValueType("alloc_space", "bytes"), ValueType("memory", "bytes")

READ = Frame("ksys_read", 0, "kernel", KERNEL)
ENTRY = Frame("do_syscall_64", 0, "kernel", KERNEL)
LIBC = Frame("read", 0, "native")
MAIN = Frame("main", 0, "native")
NO_SYMBOL = Frame("", 0x7F12, "native", "/usr/lib/libc.so.6")
OTHER_NO_SYMBOL = Frame("", 0x7F34, "native", "/usr/lib/libc.so.6")
IN_KERNEL = (READ, ENTRY, LIBC, MAIN)
IN_LIBC = (NO_SYMBOL, OTHER_NO_SYMBOL, MAIN)


def sample(stack: tuple[Frame, ...], value: int, comm: str = "demo", pid: int = 42, **more: Any) -> Sample:
    return Sample(stack, value, {"process.pid": pid, "thread.name": comm, **more})


def cpu(*samples: Sample, start: int = START, duration: int = 10 * SECOND, period: int = PERIOD) -> Profile:
    return Profile(SAMPLES, CPU, period, start, duration, list(samples))


def off_cpu(*samples: Sample, start: int = START, duration: int = 10 * SECOND) -> Profile:
    return Profile(OFF_CPU, None, 0, start, duration, list(samples))


def alloc_space(*samples: Sample) -> Profile:
    return Profile(SPACE, MEMORY, 1, START, 10 * SECOND, list(samples))
