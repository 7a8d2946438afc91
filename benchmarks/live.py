"""What bpftrace itself takes for each printed event, and what we take to send it on as an OTLP log record.

    python -m benchmarks.live [--bpftrace PATH] [--rates 1000,10000,50000] [--seconds 10] [--runs 1]
                            [--new-paths | --own-paths]

load.c makes the events, in bursts each 50 ms, to a receiver in another process (OTLP over HTTP/protobuf, not
compressed). A first second of the same load is not counted: what is paid once is not in the figures. Memory is that of
our process, after half of the events and at the end. Needs root and a C compiler.
"""

from __future__ import annotations

import argparse
import random
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import sink
from benchmarks.machine import described
from benchmarks.measure import table
from benchmarks.notified import notified
from benchmarks.unlimited import unlimited

HEAD = (
    "events/s",
    "happened",
    "lost by bpftrace",
    "by us",
    "bpftrace us",
    "ours us",
    "ours / bpftrace",
    "MB half",
    "MB end",
)
_HERE = Path(__file__).parent
_PROCESSES, _PATHS = 50, 200
# Steps by which each process comes to each of 200 paths, and to four of them.
_EACH_PATH, _OWN_PATHS = 7, 50
_SETTLE_SECONDS = 1.5
_TIMEOUT = 900.0
# Above this rate the receiver counts no log records, which would take a CPU from the others; ours are what we say.
_PARSED_RATE = 20_000


@dataclass(frozen=True, slots=True)
class Seen:
    """One run: events, how many bpftrace and we lost, CPU seconds of both, our memory in bytes at half time and end."""

    happened: int
    lost: int
    lost_by_us: int
    bpftrace: float
    ours: float
    memory: tuple[int, int]

    @property
    def arrived(self) -> int:
        """Those that bpftrace printed."""
        return self.happened - self.lost


def choose_directory() -> int:
    """Of a load and the run that is to see it, and no other, at the same time."""
    return random.randrange(1 << 20, 1 << 31)


@dataclass(frozen=True, slots=True)
class Load:
    """What load.c does: the program, events a second, and how many paths there are, 0 for a new one each time.

    ``step``: how many paths a process goes on from call to call. ``directory`` tells its calls from those of any other
    load.
    """

    program: Path
    rate: int
    paths: int
    step: int = _EACH_PATH
    directory: int = field(default_factory=choose_directory)

    @property
    def parameter(self) -> tuple[str, str]:
        """The flags of `run open.bt` that mean this load."""
        return "--set", f"directory={self.directory}"

    def make(self, seconds: int, pid: int, receiver: sink.Sink) -> tuple[int, int]:
        """How many events there were, and the memory of process ``pid`` after half of them; all have arrived then."""
        arguments = [str(value) for value in (self.rate, seconds, _PROCESSES, self.paths, self.directory, self.step)]
        began = time.monotonic()
        half = 0
        with subprocess.Popen([self.program, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as loading:
            while loading.poll() is None:
                if not half and time.monotonic() - began > 1 + seconds / 2:
                    half = memory(pid)
                time.sleep(0.1)
            assert loading.stdout
            happened = int(loading.stdout.read().split()[-1])
        before = -1
        while (now := receiver.counts().requests) != before:
            before = now
            time.sleep(_SETTLE_SECONDS)
        return happened, half


def compile_load(folder: Path) -> Path:
    """Make load.c."""
    made = folder / "load"
    subprocess.run(["cc", "-O2", "-o", made, _HERE / "load.c"], check=True)
    return made


def cpu_seconds(pid: int) -> float:
    """CPU time of all threads of a process that live (Documentation/scheduler/sched-stats.rst: nanoseconds first)."""
    return sum(int(file.read_text().split()[0]) for file in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


def memory(pid: int, what: str = "VmRSS") -> int:
    """Bytes of memory that are in use, or with VmHWM that were at most."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(rf"{what}:\s+(\d+) kB", status)
    return int(found[1]) * 1024 if found else 0


def child_of(pid: int) -> int:
    """The process that was started by another; through a wrapper, the last of them."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return child_of(int(found[0])) if found else pid


def see(load: Load, seconds: int, bpftrace: str) -> Seen:
    """Run once."""
    with tempfile.TemporaryDirectory() as folder, sink.started(parse=load.rate <= _PARSED_RATE) as receiver:
        command = [sys.executable, "-m", "orchestrator", "run", str(_HERE / "open.bt"), *load.parameter]
        command += ["--bpftrace", bpftrace]
        command += ["--config", str(unlimited(Path(folder)))]
        command += ["--otlp-endpoint", receiver.url, "--otlp-protocol", "http/protobuf"]
        with notified(Path(folder) / "notify") as ready:
            environment = {**ready.environment, "STATE_DIRECTORY": folder}
            run = subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True, env=environment)
            ready.wait(_TIMEOUT)
        warm = load.make(1, run.pid, receiver)[0]
        pids = [child_of(run.pid), run.pid]
        before = [cpu_seconds(pid) for pid in pids]
        happened, half = load.make(seconds, run.pid, receiver)
        after = [cpu_seconds(pid) for pid in pids]
        end = memory(run.pid)
        run.send_signal(signal.SIGTERM)
        said = run.communicate(timeout=_TIMEOUT)[1]
        records = receiver.counts().log_records
    lost = _number(r"([\d,]+) of [\d,]+ events were lost", said)
    arrived = _number(r"([\d,]+) log records", said) if records is None else records
    spent = [late - early for early, late in zip(before, after, strict=True)]
    seen = Seen(happened, lost, warm + happened - lost - arrived, spent[0], spent[1], (half, end))
    if seen.lost_by_us:
        print(said, file=sys.stderr)
    return seen


def _number(pattern: str, text: str) -> int:
    found = re.search(pattern, text)
    return int(found[1].replace(",", "")) if found else 0


def row(name: str, runs: Sequence[Seen]) -> list[str | float]:
    """Medians; microseconds are for each event that bpftrace printed."""
    return [
        name,
        f"{statistics.median(run.happened for run in runs):,.0f}",
        f"{statistics.median(run.lost for run in runs):,.0f}",
        f"{max(run.lost_by_us for run in runs):,.0f}",
        statistics.median(run.bpftrace / run.arrived for run in runs) * 1e6,
        statistics.median(run.ours / run.arrived for run in runs) * 1e6,
        f"{statistics.median(run.ours / run.bpftrace for run in runs):.3f}",
        statistics.median(run.memory[0] for run in runs) / 1e6,
        statistics.median(run.memory[1] for run in runs) / 1e6,
    ]


def main() -> None:
    """Run at each rate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bpftrace", default="bpftrace")
    parser.add_argument("--rates", default="1000,10000,50000,100000")
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--runs", type=int, default=1)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--new-paths", action="store_true", help="each event has another path, instead of one of 200")
    which.add_argument("--own-paths", action="store_true", help="each process has four of 200 paths, instead of all")
    arguments = parser.parse_args()
    print(described(arguments.bpftrace), flush=True)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        program = compile_load(Path(folder))
        paths = 0 if arguments.new_paths else _PATHS
        for rate in arguments.rates.split(","):
            load = Load(program, int(rate), paths, _OWN_PATHS if arguments.own_paths else _EACH_PATH)
            runs = [see(load, arguments.seconds, arguments.bpftrace) for _ in range(arguments.runs)]
            rows.append(row(rate, runs))
    print(table(HEAD, rows))


if __name__ == "__main__":
    main()
