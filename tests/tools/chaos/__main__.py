"""Rounds of faults at random, each with the account of every event: what was printed, received, lost, and why.

    python -m tests.tools.chaos [--rounds 100] [--seed N] [--seconds 4] [--rate 2000] [--bpftrace PATH]

As root. Each round is drawn from its own seed (`--only SEED` plays it again); the moments at which processes are
scheduled are not. It ends with 1 if anything is unexplained; the folders of such rounds are kept.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from benchmarks.measure import table
from tests.tools.chaos.plan import draw
from tests.tools.chaos.rounds import Round, play

_HEAD = ("round", "faults", "printed", "received", "rejected", "lost", "tail", "both", "again", "unexplained", "s")


def row(done: Round) -> list[str | float]:
    """One line of the table."""
    account = done.account
    lost = ", ".join(f"{cause} {items:,}" for cause, items in account.lost.items() if items)
    numbers = (account.printed, account.received, account.rejected)
    after = (account.tail, account.both, account.duplicates, account.unexplained)
    faults = ", ".join(done.plan.faults)
    return [done.plan.seed, faults, *map(_shown, numbers), lost, *map(_shown, after), f"{done.seconds:.1f}"]


def _shown(number: int) -> str:
    return f"{number:,}"


def totals(rounds: Sequence[Round]) -> str:
    """All rounds together, and each fault by itself."""
    accounts = [done.account for done in rounds]
    lost: Counter[str] = Counter()
    faults: Counter[str] = Counter()
    for done in rounds:
        lost.update(done.account.lost)
        faults.update(done.plan.faults)
    rows: list[list[str | float]] = [
        ["rounds", _shown(len(rounds))],
        *_rows("rounds with ", faults),
        ["printed", _shown(sum(account.printed for account in accounts))],
        ["received", _shown(sum(account.received for account in accounts))],
        ["rejected by the receiver", _shown(sum(account.rejected for account in accounts))],
        *_rows("lost: ", lost),
        ["of these received all the same", _shown(sum(account.both for account in accounts))],
        ["not read by a killed run", _shown(sum(account.tail for account in accounts))],
        ["requests that came twice", _shown(sum(account.duplicates for account in accounts))],
        ["unexplained", _shown(sum(account.unexplained for account in accounts))],
        ["rounds that were wrong", _shown(sum(bool(account.faults) for account in accounts))],
    ]
    return table(("", "in all"), rows)


def _rows(prefix: str, counts: Counter[str]) -> list[list[str | float]]:
    return [[f"{prefix}{name}", _shown(count)] for name, count in sorted(counts.items())]


def main() -> int:
    """Play the rounds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--only", metavar="SEED", help="one round, as the table names it")
    parser.add_argument("--faults", default="", help="these in each round, with commas between them")
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rate", type=int, default=2000)
    parser.add_argument("--bpftrace", default="bpftrace")
    arguments = parser.parse_args()
    base = Path(tempfile.mkdtemp(prefix="chaos-"))
    seeds = [arguments.only] if arguments.only else [f"{arguments.seed}.{n}" for n in range(arguments.rounds)]
    rounds: list[Round] = []
    wrong = 0
    for seed in seeds:
        plan = draw(seed, arguments.seconds, [*filter(None, arguments.faults.split(","))])
        try:
            done = play(plan, base / seed, arguments.bpftrace, arguments.rate)
        except Exception:  # the next round is worth playing all the same
            traceback.print_exc()
            print(f"{seed} ({', '.join(plan.faults)}) did not come to its end: {base / seed}", flush=True)
            wrong += 1
            continue
        rounds.append(done)
        print(" | ".join(map(str, row(done))), flush=True)
        for fault in done.account.faults:
            print(f"  {fault} ({base / seed})", flush=True)
        if done.account.faults:
            wrong += 1
        else:
            shutil.rmtree(base / seed)
    print(f"\n{table(_HEAD, [row(done) for done in rounds])}\n\n{totals(rounds)}")
    if not wrong:
        shutil.rmtree(base)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
