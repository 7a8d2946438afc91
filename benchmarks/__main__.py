"""All benchmarks, one after the other, as a page of Markdown: `python -m benchmarks [--bpftrace PATH]... [--runs 5]`.

As root, with a C compiler, and with Go for the Collector. It takes more than two hours. RESULTS.md is what it printed
once.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.machine import described


def show(title: str, module: str, *arguments: str) -> None:
    """Run one of them under a title; what it prints first is the machine, which is told once."""
    command = [sys.executable, "-m", f"benchmarks.{module}", *arguments]
    output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    shown = " ".join(["python", *(Path(word).name for word in command[1:])])
    print(f"\n## {title}\n\n`{shown}`\n\n{_tables(output)}", flush=True)


def _tables(output: str) -> str:
    lines = [line for line in output.splitlines() if " CPUs, Linux " not in line]
    return "\n".join(f"\n{line}" if _begins(lines, place) else line for place, line in enumerate(lines)).strip()


def _begins(lines: Sequence[str], place: int) -> bool:
    """Whether a table begins in this line, right behind another one."""
    return (
        place > 0 and place + 1 < len(lines) and lines[place + 1].startswith("| -") and lines[place - 1].startswith("|")
    )


def main() -> None:
    """Run all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bpftrace", action="append", default=[], help="again for each other bpftrace")
    parser.add_argument("--runs", default="5")
    arguments = parser.parse_args()
    bpftraces = arguments.bpftrace or ["bpftrace"]
    print(f"# Results\n\n{described(*bpftraces)}", flush=True)
    for path in bpftraces:
        said = subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout.strip()
        live = ("--bpftrace", path)
        show(f"Live, {said}: 20,000 events/s", "live", *live, "--rates", "20000", "--runs", arguments.runs)
        for what, flag in (("four paths each", "--own-paths"), ("each path new", "--new-paths")):
            rate = ("--rates", "20000", "--runs", arguments.runs)
            show(f"Live, {said}: the same, {what}", "live", *live, *rate, flag)
        show(f"Live, {said}: other rates", "live", *live)
    first = ("--bpftrace", bpftraces[0])
    show("Live for a minute", "live", *first, "--rates", "50000", "--seconds", "60")
    show("Live for ten minutes", "live", *first, "--rates", "10000", "--seconds", "600")
    show("Replayed", "replayed", "--runs", arguments.runs)
    show("Snapshots", "snapshots")
    show("Start-up", "startup")
    show("Memory", "memory")
    show("A receiver that is away for five minutes", "outage", *first)
    show("Half an hour", "soak", *first)
    show("A thousand captures", "cron", *first)


if __name__ == "__main__":
    main()
