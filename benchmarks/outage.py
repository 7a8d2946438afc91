"""A backend that is away, and comes back: whether all arrives, in order, and what memory does meanwhile.

    python -m benchmarks.outage [--bpftrace PATH] [--seconds 300] [--rate 2000]

The load goes on for ten seconds before and after. In order means: of each process, the numbers in which its calls
happened. Needs root. It ends with 1 if something did not arrive, or not in order.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.machine import described
from benchmarks.measure import table
from benchmarks.watched import Watched, watched
from tests.tools.chaos import evidence
from tests.tools.chaos.processes import Away, choose_directory, start_load

_HEAD = ("second", "receiver", "RSS MB", "descriptors", "spool MB")
_PROGRAM = Path(evidence.__file__).with_name("sequence.bt")
_AROUND_SECONDS = 10.0
_SAMPLES = 10
# The longest pause between two attempts, and more; then nothing comes any more.
_QUIET_SECONDS, _POLL_SECONDS = 45.0, 1.0
_LOST = re.compile(r"([\d,]+) of [\d,]+ events were lost between")

_Rows = list[list[str | float]]


def size_of(folder: Path) -> int:
    """Bytes of all files."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


class Outage:
    """A run, its receiver, and the table."""

    def __init__(self, run: Watched, receiver: Away, state: Path, directory: int) -> None:
        self._run, self._receiver, self._state = run, receiver, state
        self._directory = directory
        self._began = time.monotonic()
        self.rows: _Rows = []

    def look(self, what: str) -> None:
        """One line of the table."""
        sample = self._run.sample(self._began)
        spool = size_of(self._state) / 1e6
        self.rows.append([sample.at, what, sample.memory / 1e6, str(sample.descriptors), spool])

    def play(self, rate: int, seconds: float) -> tuple[int, float]:
        """How many events there were, and in how many seconds after its return the receiver had what it missed."""
        self.look("there, nothing happens")
        with start_load("outage", rate, seconds + 2 * _AROUND_SECONDS, self._directory) as load:
            time.sleep(_AROUND_SECONDS)
            self.look("there")
            self._receiver.kill()
            for _ in range(_SAMPLES):
                time.sleep(seconds / _SAMPLES)
                self.look("away")
            self._receiver.start()
            back = time.monotonic()
            happened = int(load.communicate()[0])
            self.look("there again")
        last = self._settle(happened)
        self.look("there, all sent")
        return happened, last - back

    def _settle(self, happened: int) -> float:
        """Wait until all has come, or nothing more comes; when the last came (time.monotonic())."""
        seen, since = self._received(), time.monotonic()
        while seen < happened and time.monotonic() - since < _QUIET_SECONDS:
            time.sleep(_POLL_SECONDS)
            if (now := self._received()) != seen:
                seen, since = now, time.monotonic()
        return since

    def _received(self) -> int:
        return sum(len(request.kept) for request in evidence.taken(self._receiver.folder)[0])


def disorder(arrivals: Sequence[str]) -> int:
    """How often a number came after a higher one of its process; ``outage-<process>-<number>``."""
    latest: dict[str, int] = {}
    wrong = 0
    for process, _, number in (sequence.rpartition("-") for sequence in arrivals):
        wrong += int(number) < latest.get(process, -1)
        latest[process] = int(number)
    return wrong


def main() -> int:
    """Run once."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bpftrace", default="bpftrace")
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--rate", type=int, default=2000)
    arguments = parser.parse_args()
    print(described(arguments.bpftrace), flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        receiver = Away(folder / "receiver")
        receiver.start()
        try:
            directory = choose_directory()
            chosen = ("--set", f"directory={directory}")
            with watched(folder, _PROGRAM, receiver.url, arguments.bpftrace, *chosen) as run:
                outage = Outage(run, receiver, folder / "state", directory)
                happened, caught_up = outage.play(arguments.rate, arguments.seconds)
                said = run.end()
        finally:
            receiver.kill()
        requests, _ = evidence.taken(receiver.folder)
    print(table(_HEAD, outage.rows))
    arrivals = [sequence for request in requests for sequence in request.kept]
    lost = sum(int(found[1].replace(",", "")) for found in _LOST.finditer(said))
    missing, wrong = happened - lost - len(set(arrivals)), disorder(arrivals)
    counts = (
        ("happened", happened),
        ("lost by bpftrace, as the kernel counts", lost),
        ("received", len(set(arrivals))),
        ("received again", len(arrivals) - len(set(arrivals))),
        ("missing", missing),
        ("out of order", wrong),
    )
    rows: _Rows = [[what, f"{count:,}"] for what, count in counts]
    rows.append(["seconds from its return to the last of it", f"{caught_up:.1f}"])
    print("", table(("events", "in all"), rows), "", said.strip(), sep="\n")
    return 1 if missing or wrong else 0


if __name__ == "__main__":
    sys.exit(main())
