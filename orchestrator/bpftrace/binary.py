"""The bpftrace binary: where it is, which version, and what it wants to be run with."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from orchestrator.errors import HostError
from orchestrator.text import printable

__all__ = (
    "KEEPS_SYMBOLS",
    "MINIMUM",
    "Privileges",
    "Version",
    "capabilities_wanted",
    "environment",
    "find_bpftrace",
    "install_command",
    "parse_version",
    "read_version",
)


class Version(NamedTuple):
    """A bpftrace version; compares as a tuple does."""

    major: int
    minor: int
    patch: int

    def __str__(self) -> str:
        return ".".join(map(str, self))


MINIMUM = Version(0, 17, 0)
# The first that keeps the symbols of each process unless it is told otherwise.
KEEPS_SYMBOLS = Version(0, 20, 0)
# cron's PATH is /usr/bin:/bin, and distributions and `make install` put bpftrace elsewhere too.
_ALSO_IN = "/usr/sbin:/usr/local/bin:/usr/local/sbin:/snap/bin"
_PACKAGE_MANAGERS = {
    "apt-get": "apt-get install bpftrace",
    "dnf": "dnf install bpftrace",
    "yum": "yum install bpftrace",
    "zypper": "zypper install bpftrace",
    "pacman": "pacman -S bpftrace",
    "apk": "apk add bpftrace",
}


def install_command() -> str:
    """How to install bpftrace with this host's package manager."""
    commands = (command for tool, command in _PACKAGE_MANAGERS.items() if shutil.which(tool) is not None)
    return next(commands, "install bpftrace with your distribution's package manager")


def find_bpftrace(path: str | None) -> str:
    """The binary to run: ``path`` if given, else the one in PATH or where distributions put it."""
    found = shutil.which(path or "bpftrace") or (None if path else shutil.which("bpftrace", path=_ALSO_IN))
    if found:
        return found
    if path:
        raise HostError(f"{printable(path)} is not an executable file: give the path of bpftrace itself (--bpftrace)")
    raise HostError(f"bpftrace is not installed: {install_command()}")


# `bpftrace v0.17.0`, `bpftrace v0.21.0-89-g0a1b2c3d`, `v0.27.1`, `bpftrace 0.20`.
_VERSION = re.compile(r"^\s*(?:bpftrace\s+)?v?(\d+)\.(\d+)(?:\.(\d+))?", re.MULTILINE)


def parse_version(text: str) -> Version | None:
    """The version that ``bpftrace --version`` printed, or None if it says something else (``bpftrace unknown``)."""
    match = _VERSION.search(text)
    return Version(int(match[1]), int(match[2]), int(match[3] or 0)) if match else None


@lru_cache
def read_version(path: str, timeout: float = 10.0) -> Version | None:
    """Run ``path --version``, once, which needs no root; None if the answer is not one of bpftrace's.

    It takes nearly 100 ms.
    """
    try:
        done = subprocess.run(
            [path, "--version"], stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired:
        raise HostError(f"{path} --version gave no answer in {timeout:g} s: try it by hand") from None
    except OSError as error:
        raise HostError(f"{path} cannot be run ({error.strerror}): {install_command()}") from None
    return parse_version(done.stdout.decode(errors="replace")) if done.returncode == 0 else None


def environment(base: Mapping[str, str], strings: int | None, map_keys: int, pages: int) -> dict[str, str]:
    """``base`` with bpftrace's limits, under the names of all versions (new since 0.20, old ones ignored by 0.27).

    ``strings`` None leaves the size of strings as it is.

    What the user set himself stands, and under whichever of two names he set it, it goes to both.
    """
    limits = (
        (("BPFTRACE_MAX_STRLEN", "BPFTRACE_STRLEN"), strings),
        (("BPFTRACE_MAX_MAP_KEYS", "BPFTRACE_MAP_KEYS_MAX"), map_keys),
        (("BPFTRACE_PERF_RB_PAGES",), pages),
    )
    result = dict(base)
    for names, limit in limits:
        given = next((base[name] for name in names if name in base), limit)
        for name in names if given is not None else ():
            result.setdefault(name, str(given))
    return result


class Privileges(NamedTuple):
    """What bpftrace asks for: ``root_only`` says that capabilities cannot stand in for uid 0."""

    root_only: bool
    capabilities: tuple[str, ...]


def capabilities_wanted(version: Version | None, uid: int, probes: Sequence[str] = ()) -> Privileges:
    """What this version checks before it starts, and the kernel after that; an unknown version counts as new."""
    wanted: tuple[str, ...] = ("CAP_BPF", "CAP_PERFMON")
    if uid == 0:
        # As root, even these two let every kind of probe attach up to 0.23: it writes root's own uprobe_events file.
        by_file = version is not None and version < (0, 24, 0)
    else:
        wanted += ("CAP_DAC_READ_SEARCH", "CAP_DAC_OVERRIDE")
        by_file = False
    if not by_file and any(re.match(r"u(ret)?(probe)?:|[uU]r?:|usdt:", probe) for probe in probes):
        wanted += ("CAP_SYS_ADMIN",)  # perf_event_open of a uprobe is refused without it (Linux 6.18)
    # "Root user check replaced with check for required capabilities" (0.25.0)
    return Privileges(uid != 0 and version is not None and version < (0, 25, 0), wanted)
