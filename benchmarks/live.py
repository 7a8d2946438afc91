"""What bpftrace itself takes for each printed event, and what we take to send it on as an OTLP log record.

    python -m benchmarks.live [--bpftrace PATH] [--rates 1000,10000,50000] [--seconds 10] [--runs 1] [--new-paths]

load.c makes the events, in bursts each 50 ms; both processes are looked at while it runs, so what they pay once is not
in the figures. Needs root and a C compiler.
"""

from __future__ import annotations

import argparse
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import sink
from benchmarks.measure import table
from benchmarks.notified import notified

_HERE = Path(__file__).parent
_PROCESSES, _PATHS = 50, 200
_SETTLE_SECONDS = 1.5
_TIMEOUT = 120.0


@dataclass(frozen=True, slots=True)
class Seen:
    """One run: events that happened and that were lost, CPU seconds of bpftrace and of us, what we said."""

    happened: int
    lost: int
    bpftrace: float
    ours: float
    said: str

    @property
    def ratio(self) -> float:
        """Our CPU for what arrived, less than what bpftrace took for it."""
        return self.ours / self.bpftrace


def compile_load(folder: Path) -> Path:
    """Make load.c."""
    made = folder / "load"
    subprocess.run(["cc", "-O2", "-o", made, _HERE / "load.c"], check=True)
    return made


def cpu_seconds(pid: int) -> float:
    """CPU time of all threads of a process that live (Documentation/scheduler/sched-stats.rst: nanoseconds first)."""
    return sum(int(file.read_text().split()[0]) for file in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


def child_of(pid: int) -> int:
    """The process that was started by another; through a wrapper, the last of them."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return child_of(int(found[0])) if found else pid


def see(load: Path, arguments: Sequence[str], bpftrace: str, receiver: sink.Sink) -> Seen:
    """Run once."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "orchestrator", "run", str(_HERE / "open.bt"), "--bpftrace", bpftrace]
        command += ["--otlp-endpoint", receiver.url, "--otlp-protocol", "http/protobuf"]
        with (
            notified(Path(folder) / "notify") as ready,
            subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True, env=ready.environment) as run,
            subprocess.Popen([load, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as loading,
        ):
            ready.wait(_TIMEOUT)
            pids = [child_of(run.pid), run.pid]
            before = [cpu_seconds(pid) for pid in pids]
            happened = int(loading.communicate(timeout=_TIMEOUT)[0].split()[-1])
            settle(receiver)
            after = [cpu_seconds(pid) for pid in pids]
            run.send_signal(signal.SIGTERM)
            said = run.communicate(timeout=_TIMEOUT)[1]
    lost = re.search(r"([\d,]+) of [\d,]+ events were lost", said)
    spent = [late - early for early, late in zip(before, after, strict=True)]
    return Seen(happened, int(lost[1].replace(",", "")) if lost else 0, spent[0], spent[1], said)


def settle(receiver: sink.Sink) -> None:
    """Wait until nothing more comes."""
    before = -1
    while (now := receiver.counts().requests) != before:
        before = now
        time.sleep(_SETTLE_SECONDS)


def main() -> None:
    """Run at each rate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bpftrace", default="bpftrace")
    parser.add_argument("--rates", default="1000,10000,50000,100000")
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--new-paths", action="store_true")
    arguments = parser.parse_args()
    rows: list[list[str | float]] = []
    with tempfile.TemporaryDirectory() as folder, sink.started() as receiver:
        load = compile_load(Path(folder))
        for rate in arguments.rates.split(","):
            given = [rate, str(arguments.seconds), str(_PROCESSES), "0" if arguments.new_paths else str(_PATHS)]
            runs = [see(load, given, arguments.bpftrace, receiver) for _ in range(arguments.runs)]
            rows.append([rate, *figures(runs)])
    print(table(["events/s", "happened", "lost", "bpftrace us", "ours us", "ours / bpftrace"], rows))


def figures(runs: Sequence[Seen]) -> list[str | float]:
    """Medians; microseconds are for each event that was not lost."""
    return [
        f"{statistics.median(run.happened for run in runs):,.0f}",
        f"{statistics.median(run.lost for run in runs):,.0f}",
        statistics.median(run.bpftrace / (run.happened - run.lost) for run in runs) * 1e6,
        statistics.median(run.ours / (run.happened - run.lost) for run in runs) * 1e6,
        statistics.median(run.ratio for run in runs),
    ]


if __name__ == "__main__":
    main()
