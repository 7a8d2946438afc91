"""What this host is: readers over a root path, so that tests give a tree of their own. Nothing here raises."""

from __future__ import annotations

import gzip
import os
import re
import struct
import zlib
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

__all__ = ("CAPABILITIES", "Host", "parse_capabilities")

# The bits of /proc/PID/status CapEff that bpftrace or the kernel asks for (include/uapi/linux/capability.h).
CAPABILITIES = {
    "CAP_DAC_OVERRIDE": 1,
    "CAP_DAC_READ_SEARCH": 2,
    "CAP_SYS_ADMIN": 21,
    "CAP_PERFMON": 38,
    "CAP_BPF": 39,
}
_TRACEFS = ("sys/kernel/tracing", "sys/kernel/debug/tracing")
# `	field:__data_loc char[] filename;	offset:8;	size:4;	signed:0;` and `	field:char comm[16];	offset:...`
_FIELD = re.compile(r"^\s*field:[^;]*?(\w+)(?:\[[^\];]*\])?;", re.MULTILINE)

# An ELF note begins with the sizes of its name and data, and its type (include/uapi/linux/elf.h, Elf64_Nhdr).
_NOTE = struct.Struct("=III")
_BUILD_ID = (3, b"GNU\0")


def _aligned(size: int) -> int:
    """Name and data of a note begin at multiples of 4."""
    return (size + 3) & ~3


def parse_capabilities(status: str) -> frozenset[str]:
    """The effective capabilities in the text of ``/proc/PID/status``, of those that matter here."""
    match = re.search(r"^CapEff:\s*([0-9a-f]+)", status, re.MULTILINE)
    bits = int(match[1], 16) if match else 0
    return frozenset(name for name, bit in CAPABILITIES.items() if bits >> bit & 1)


@dataclass(frozen=True, slots=True)
class Host:
    """Reads ``root`` when asked and keeps nothing: what is mounted meanwhile is seen."""

    root: Path = Path("/")

    def _bytes(self, name: str) -> bytes | None:
        try:
            return (self.root / name).read_bytes()
        except OSError:
            return None

    def _text(self, name: str) -> str:
        return (self._bytes(name) or b"").decode(errors="replace")

    def exists(self, name: str) -> bool:
        """Whether there is a file ``name`` below the root that this process may see."""
        return os.path.exists(self.root / name.lstrip("/"))

    # --- this process ---

    @property
    def uid(self) -> int:
        """The effective uid of this process."""
        match = re.search(r"^Uid:\s*\d+\s+(\d+)", self._text("proc/self/status"), re.MULTILINE)
        return int(match[1]) if match else os.geteuid()

    @property
    def capabilities(self) -> frozenset[str]:
        """The effective capabilities of this process."""
        return parse_capabilities(self._text("proc/self/status"))

    # --- kernel ---

    @property
    def kernel_release(self) -> str:
        """As ``uname -r`` says it: ``6.1.0-13-cloud-amd64``; empty if it cannot be read."""
        return self._text("proc/sys/kernel/osrelease").strip()

    @property
    def kernel_build_id(self) -> str | None:
        """The GNU build id of the running kernel in hexadecimal, from its ELF notes; readable by anyone."""
        notes, position = self._bytes("sys/kernel/notes") or b"", 0
        while position + _NOTE.size <= len(notes):
            name_size, size, kind = _NOTE.unpack_from(notes, position)
            name = position + _NOTE.size
            data = name + _aligned(name_size)
            if (kind, notes[name : name + name_size]) == _BUILD_ID:
                return notes[data : data + size].hex() or None if data + size <= len(notes) else None
            position = data + _aligned(size)
        return None

    @property
    def kernel_version(self) -> tuple[int, int] | None:
        """The first two numbers of the release."""
        match = re.match(r"(\d+)\.(\d+)", self.kernel_release)
        return (int(match[1]), int(match[2])) if match else None

    def kernel_config(self) -> dict[str, str] | None:
        """The kernel's options without ``CONFIG_``, those that are not set left out; None if no file tells."""
        release = self.kernel_release
        for name in ("proc/config.gz", f"boot/config-{release}", f"lib/modules/{release}/config"):
            if data := self._bytes(name):
                try:
                    text = gzip.decompress(data) if name.endswith(".gz") else data
                except (OSError, EOFError, zlib.error):
                    continue
                return dict(re.findall(r"^CONFIG_(\w+)=(.*)$", text.decode(errors="replace"), re.MULTILINE))
        return None

    @property
    def has_btf(self) -> bool:
        """Whether the kernel describes its own types."""
        return self.exists("sys/kernel/btf/vmlinux")

    @property
    def lockdown(self) -> str:
        """``none``, ``integrity`` or ``confidentiality``: the word in brackets of ``[none] integrity ...``."""
        match = re.search(r"\[(\w+)\]", self._text("sys/kernel/security/lockdown"))
        return match[1] if match else "none"

    @property
    def perf_event_paranoid(self) -> int | None:
        """What the kernel allows to those without CAP_PERFMON; 4 (Ubuntu) wants CAP_SYS_ADMIN."""
        text = self._text("proc/sys/kernel/perf_event_paranoid").strip()
        return int(text) if re.fullmatch(r"-?\d+", text) else None

    def has_function(self, name: str) -> bool | None:
        """Whether the kernel or a module has a function of that name; None if its symbols cannot be read."""
        symbols = self._text("proc/kallsyms")
        return (
            re.search(rf"^\S+ [tTwW] {re.escape(name)}\b(?!\.)", symbols, re.MULTILINE) is not None if symbols else None
        )

    # --- mounts ---

    def _mounted(self, kind: str) -> bool:
        return any(line.split()[2:3] == [kind] for line in self._text("proc/self/mounts").splitlines())

    @property
    def cgroup(self) -> Literal["1", "2", "hybrid"] | None:
        """Which cgroup hierarchies are mounted; hybrid is systemd's name for both."""
        old, new = self._mounted("cgroup"), self._mounted("cgroup2")
        return "hybrid" if old and new else "1" if old else "2" if new else None

    @property
    def debugfs_mounted(self) -> bool:
        """Whether debugfs is mounted anywhere."""
        return self._mounted("debugfs")

    @property
    def tracefs(self) -> Path | None:
        """The folder of the tracepoints; None if it is not mounted or this process may not look into it."""
        paths = (self.root / name for name in _TRACEFS)
        return next((path for path in paths if os.path.isdir(path / "events")), None)

    @property
    def tracefs_hidden(self) -> bool:
        """Whether tracefs may well be mounted, but this process may not look: its folder is root's alone."""
        return self.tracefs is None and any(
            os.path.isdir(path) and not os.access(path, os.R_OK | os.X_OK)
            for path in (self.root / "sys/kernel/tracing", self.root / "sys/kernel/debug")
        )

    # --- probes ---

    def _in_tracefs(self, name: str) -> bool:
        return self.tracefs is not None and os.path.exists(self.tracefs / name)

    @property
    def has_kprobes(self) -> bool:
        """Whether kprobes can be made."""
        return self._in_tracefs("kprobe_events")

    @property
    def has_uprobes(self) -> bool:
        """Whether uprobes can be made."""
        return self._in_tracefs("uprobe_events")

    @property
    def has_fentry(self) -> bool:
        """Whether functions can be probed by fentry: with BTF, and a list of functions that can really be read."""
        if self.tracefs is None or not self.has_btf:
            return False
        try:  # locked down kernels show the file and refuse to open it
            with open(self.tracefs / "available_filter_functions", "rb") as file:
                return bool(file.read(1))
        except OSError:
            return False

    def has_tracepoint(self, category: str, name: str) -> bool | None:
        """Whether there is such a tracepoint (``*`` matches as in bpftrace); None if tracefs cannot be read."""
        if self.tracefs is None:
            return None
        events = self.tracefs / "events"
        return any(
            fnmatchcase(event, name) and os.path.isfile(events / group / event / "format")
            for group in _listed(events)
            if fnmatchcase(group, category)
            for event in _listed(events / group)
        )

    def tracepoint_fields(self, category: str, name: str) -> frozenset[str] | None:
        """The fields that ``args`` has there; None if there is no such tracepoint or it cannot be read."""
        if self.tracefs is None or not self.has_tracepoint(category, name):
            return None
        try:
            text = (self.tracefs / "events" / category / name / "format").read_text(errors="replace")
        except OSError:
            return None
        return frozenset(field for field in _FIELD.findall(text) if not field.startswith("common_"))


def _listed(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []
