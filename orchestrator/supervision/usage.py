"""What tracing takes of a host: CPU time and memory of bpftrace and of us, and the kernel's time in our BPF programs.

All of it comes from /proc. A bpftrace is the process that was started and its children, for a wrapper may stand before
it. What may not be seen (``fdinfo`` of another user's process, for one) counts as nothing.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.signals.model import Metric, NumberPoint
from orchestrator.supervision.bpf import describe

__all__ = (
    "BpftraceUsage",
    "ProcessReader",
    "ProgramUsage",
    "overhead_metrics",
    "own_cpu_seconds",
    "own_memory",
    "usage_metrics",
)

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_PROGRAM_LINK = "anon_inode:bpf-prog"
# What bpftrace puts before a map's name, and where the kernel cuts names.
_MAP_PREFIX, _NAME_BYTES = "AT_", 15


@dataclass(frozen=True, slots=True)
class ProgramUsage:
    """The runs of the BPF programs of one ``name`` (a probe's, cut to 15 bytes) since they were loaded.

    ``signal``: whose they are, empty for those of the orchestrator itself or where it cannot be told.
    """

    name: str
    signal: str
    nanoseconds: int
    runs: int


@dataclass(frozen=True, slots=True)
class BpftraceUsage:
    """One bpftrace until now: CPU seconds of its processes, resident bytes, and the runs of its programs."""

    cpu_seconds: float = 0.0
    memory: int = 0
    programs: Sequence[ProgramUsage] = ()

    @property
    def kernel_seconds(self) -> float:
        """CPU time of its programs, which those pay who are traced."""
        return sum(program.nanoseconds for program in self.programs) / 1e9


class ProcessReader:
    """Reads one bpftrace. ``own``: it has one signal only; else a program's maps tell whose it is."""

    def __init__(self, pid: int, signals: Sequence[str], *, own: bool, proc: Path = Path("/proc")) -> None:
        self._pid = pid
        self._own = signals[0] if own else ""
        self._prefixes = {f"{_MAP_PREFIX}{signal}_"[:_NAME_BYTES]: signal for signal in signals}
        self._proc = str(proc)
        self._described: dict[int, tuple[str, str]] = {}

    def read(self) -> BpftraceUsage:
        """Now; zeros of a process that is gone."""
        folders = self._folders()
        infos = [info for folder in folders for info in _program_infos(folder)]
        return BpftraceUsage(sum(map(_cpu_seconds, folders)), sum(map(_memory, folders)), self._add_up(infos))

    def cpu_seconds(self) -> float:
        """CPU seconds of its processes; 0 of one that is gone."""
        return sum(map(_cpu_seconds, self._folders()))

    def _folders(self) -> list[str]:
        """Of the process, its children, and theirs."""
        found = [self._pid]
        for parent in found:  # it grows meanwhile
            tasks = f"{self._proc}/{parent}/task"
            for task in _listed(tasks):
                found += map(int, _text(f"{tasks}/{task}/children").split())
        return [f"{self._proc}/{pid}" for pid in found]

    def _add_up(self, infos: Iterable[Mapping[str, str]]) -> list[ProgramUsage]:
        """By name and signal: a probe may have several programs."""
        found: dict[tuple[str, str], tuple[int, int]] = {}
        for info in infos:
            which = self._describe(int(info["prog_id"]))
            nanoseconds, runs = found.get(which, (0, 0))
            found[which] = nanoseconds + int(info.get("run_time_ns", 0)), runs + int(info.get("run_cnt", 0))
        return [ProgramUsage(*which, *numbers) for which, numbers in found.items()]

    def _describe(self, number: int) -> tuple[str, str]:
        """Name and signal; a program does not change."""
        if number not in self._described:
            program = describe(number)
            name, maps = ("", ()) if program is None else program
            self._described[number] = name or "unknown", self._own or self._signal_of(maps)
        return self._described[number]

    def _signal_of(self, maps: Sequence[str]) -> str:
        """The maps of a joined program begin with their signal's name: ``AT_exec_emitted``."""
        found = (signal for prefix, signal in self._prefixes.items() for name in maps if name.startswith(prefix))
        return next(found, "")


def usage_metrics(own: BpftraceUsage, start: int, time: int) -> list[Metric]:
    """What the programs of one bpftrace ran, cumulative since ``start``; no metrics where nothing is known."""
    if not own.programs:
        return []
    attributes = [
        {"ebpf.program": one.name, **({"ebpf.signal": one.signal} if one.signal else {})} for one in own.programs
    ]
    run_times = [NumberPoint(key, one.nanoseconds) for key, one in zip(attributes, own.programs, strict=True)]
    runs = [NumberPoint(key, one.runs) for key, one in zip(attributes, own.programs, strict=True)]
    what = "Time that the kernel spent in our BPF programs"
    return [
        Metric("ebpf_program_run_time_ns", "ns", what, "counter", start, time, run_times),
        Metric("ebpf_program_runs_total", "{run}", "Runs of our BPF programs", "counter", start, time, runs),
    ]


def overhead_metrics(percent: float | None, bpftrace: int, ours: int, start: int, time: int) -> list[Metric]:
    """What all of tracing takes: ``percent`` of all CPUs, if it is known by now, and resident bytes."""
    memory = [
        NumberPoint({"ebpf.component": "bpftrace"}, bpftrace),
        NumberPoint({"ebpf.component": "orchestrator"}, ours),
    ]
    made = [Metric("ebpf_memory_usage_bytes", "By", "Resident memory of tracing", "gauge", start, time, memory)]
    if percent is not None:
        what = "CPU time of bpftrace, of us, and of the kernel in our BPF programs, of all CPUs"
        points = [NumberPoint({}, percent)]
        made.append(Metric("ebpf_cpu_overhead_percent", "%", what, "gauge", start, time, points))
    return made


def own_cpu_seconds() -> float:
    """CPU time of our process, all its threads."""
    return time.process_time()


def own_memory() -> int:
    """Resident bytes of our process."""
    return _memory("/proc/self")


def _cpu_seconds(folder: str) -> float:
    """utime, stime, and those of children that have ended: fields 14 to 17 of proc_pid_stat(5)."""
    fields = _text(f"{folder}/stat").rpartition(") ")[2].split()
    return sum(map(int, fields[11:15])) / _TICKS


def _memory(folder: str) -> int:
    fields = _text(f"{folder}/statm").split()
    return int(fields[1]) * _PAGE if len(fields) > 1 else 0


def _program_infos(folder: str) -> Iterator[dict[str, str]]:
    """Those of the BPF programs that a process has loaded."""
    links = [link for link in _listed(f"{folder}/fd") if _target(f"{folder}/fd/{link}") == _PROGRAM_LINK]
    infos = (_fields(f"{folder}/fdinfo/{link}") for link in links)
    yield from (info for info in infos if "prog_id" in info)


def _fields(file: str) -> dict[str, str]:
    """``prog_id:	35``, one a line."""
    pairs = (line.partition(":") for line in _text(file).splitlines())
    return {name: value.strip() for name, _, value in pairs}


def _text(file: str) -> str:
    try:
        with open(file, errors="replace") as opened:
            return opened.read()
    except OSError:
        return ""


def _target(link: str) -> str:
    try:
        return os.readlink(link)
    except OSError:
        return ""


def _listed(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []
