"""What a command takes, and tables of it.

A child is never seen smaller than whoever started it: Linux counts the memory of both sides of an exec into its peak.
So what measures must stay smaller than what is measured.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Spent:
    """What a process took, with the children it waited for: seconds of wall and CPU time, bytes of memory at most."""

    wall: float
    cpu: float
    peak: int


def reap(process: subprocess.Popen[bytes], began: float) -> Spent:
    """Wait for the end of a process that began at `began` of time.perf_counter().

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, process.args)
    return Spent(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


def run(
    command: Sequence[str | Path],
    *,
    stdin: Path | None = None,
    stdout: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> Spent:
    """Run a command to its end, its input from a file and its output to one; neither is /dev/null. stderr is ours.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    with open(stdin or os.devnull, "rb") as given, open(stdout or os.devnull, "wb") as taken:
        began = time.perf_counter()
        return reap(subprocess.Popen(command, stdin=given, stdout=taken, env=env), began)


def median(runs: Sequence[Spent]) -> Spent:
    """The median of each number by itself."""
    return Spent(
        statistics.median(run.wall for run in runs),
        statistics.median(run.cpu for run in runs),
        int(statistics.median(run.peak for run in runs)),
    )


def table(head: Sequence[str], rows: Sequence[Sequence[str | float]]) -> str:
    """A Markdown table; numbers with two digits after the point, to the right."""
    cells = [[cell if isinstance(cell, str) else f"{cell:,.2f}" for cell in row] for row in rows]
    right = [all(not isinstance(row[column], str) for row in rows) for column in range(len(head))]
    widths = [max(3, *(len(line[column]) for line in [list(head), *cells])) for column in range(len(head))]

    def line(texts: Sequence[str]) -> str:
        padded = (
            text.rjust(width) if numeric else text.ljust(width)
            for text, width, numeric in zip(texts, widths, right, strict=True)
        )
        return f"| {' | '.join(padded)} |"

    rule = ["-" * (width - 1) + (":" if numeric else "-") for width, numeric in zip(widths, right, strict=True)]
    return "\n".join([line(head), f"|{'|'.join(f' {mark} ' for mark in rule)}|", *map(line, cells)])
