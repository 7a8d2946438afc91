"""Where and with what a benchmark was run."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path


def described(*bpftraces: str) -> str:
    """``- AMD EPYC, 2 CPUs, Linux 6.18, Python 3.11.7, bpftrace v0.17.0, commit 1a2b3c``."""
    model = next(
        (line.partition(":")[2].strip() for line in _lines(Path("/proc/cpuinfo")) if line.startswith("model name")),
        platform.machine(),
    )
    versions = [_said(path, "--version") for path in bpftraces]
    commit = _said("git", "describe", "--always", "--dirty")
    parts = [model, f"{os.cpu_count()} CPUs", f"Linux {platform.release()}", f"Python {platform.python_version()}"]
    return ", ".join([*parts, *versions, f"commit {commit}"])


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def _said(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
