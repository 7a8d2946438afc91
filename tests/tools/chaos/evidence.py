"""What the processes of a round have left behind: what was printed, taken and told."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

from config.otlp import Signal
from tests.tools.chaos.receiver import Taken

__all__ = ("Evidence", "printed", "taken", "taken_by_killed", "tally", "told_losses", "told_rejections")

# {"type": "value", "data": ["chaos_sequence", 123, 4, "seq-a1-0-17"]}
_PRINTED = re.compile(rb'"seq-(\w+-\d+-\d+)"\]\}\n')
_REJECTED = re.compile(r"refused ([\d,]+) items$", re.MULTILINE)
_LOST = re.compile(r"([\d,]+) log records were lost \(([a-z ]+)")


@dataclass(frozen=True, slots=True)
class Evidence:
    """Of one round. Times are monotonic nanoseconds.

    ``printed``: the sequence numbers in bpftrace's order, and when each was in the copy. ``taken``: requests as they
    came; ``answered``: the numbers of those whose answer was sent in time. ``rejections``: told by our commands that
    came to their end; ``tally``: log records by cause. ``killed_at``: of a killed run, which had taken ``taken_items``.
    ``next_at``: when the next one of ours began. ``kills``: how often one that was sending was killed. ``own``: how
    many log records orchestrate can have made of its own, at most; ``own_taken``: how many the killed run had taken, as
    far as that is known.
    """

    printed: Mapping[str, int]
    taken: Sequence[Taken]
    answered: frozenset[str]
    rejections: int = 0
    tally: Mapping[str, int] = field(default_factory=dict)
    killed_at: int | None = None
    taken_items: int | None = None
    next_at: int = 0
    kills: int = 0
    own: int = 0
    own_taken: Sequence[int] = (0,)


def printed(folder: Path) -> dict[str, int]:
    """What the copies hold, line by whole line. Each number is there once: they are unique."""
    found: dict[str, int] = {}
    for copy in sorted(folder.glob("*.copy")):
        text = copy.read_bytes()
        pieces = iter(_pieces(copy.with_suffix(".times")))
        at, size = next(pieces, (0, len(text)))
        for match in _PRINTED.finditer(text):
            while match.end() > size:
                at, size = next(pieces, (at, len(text)))
            found[match[1].decode()] = at
    return found


def _pieces(path: Path) -> Iterator[tuple[int, int]]:
    for line in path.read_text().splitlines():
        at, _, size = line.partition(" ")
        if size:
            yield int(at), int(size)


def taken(folder: Path) -> tuple[list[Taken], frozenset[str]]:
    """What the receiver wrote down; a line that is not whole was never answered."""
    requests, answered = [], set()
    for line in (folder / "taken").read_text().splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if "answered" in entry:
            answered.add(entry["answered"])
        else:
            requests.append(Taken(**entry))
    return requests, frozenset(answered)


def told_rejections(said: str) -> int:
    """Items of requests that were taken in part, as a command says at its end."""
    return sum(int(found[1].replace(",", "")) for found in _REJECTED.finditer(said))


def told_losses(said: str) -> dict[str, int]:
    """Log records that were lost, by cause, as a command says at its end."""
    lost: dict[str, int] = {}
    for found in _LOST.finditer(said):
        lost[found[2]] = lost.get(found[2], 0) + int(found[1].replace(",", ""))
    return lost


def tally(said: str) -> tuple[dict[str, int], int]:
    """Of `orchestrate spool --json`: log records lost by cause, and requests that wait or were refused."""
    lost: dict[str, int] = {}
    left = 0
    for destination in json.loads(said)["destinations"]:
        left += destination["waiting"]["requests"] + destination["refused"]["requests"]
        for cause, signals in destination["lost"].items():
            lost[cause] = lost.get(cause, 0) + signals.get("logs", 0)
    return lost, left


def taken_by_killed(state: Path) -> int | None:
    """How many log records a run that was killed had taken out of what it read; None if it has no ledger.

    orchestrator/delivery/ledger.py: for each signal how many were taken, then how many were settled.
    """
    for path in state.glob("spool/*/*.ledger"):
        counts: list[int] = [count for (count,) in struct.iter_unpack("<Q", path.read_bytes())]
        return counts[get_args(Signal).index("logs")]
    return None
