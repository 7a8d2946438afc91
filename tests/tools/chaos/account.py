"""The account of a round: every event that bpftrace printed has arrived, or is counted as lost.

    printed = received + rejected by the receiver + lost as counted + the tail of a killed run

The tail: what bpftrace had printed when our process was killed, and our process had not taken yet. It lay in the pipe,
or in memory as bytes that were read but not looked at (we look at what comes every half second). Nobody can count it:
bpftrace does not know how much of its pipe is read, the kernel throws away what is in a pipe whose reader is gone, and
our process was killed before it knew that there was anything. Nothing else can hide in it: the run's ledger, which
outlives it, tells how many it had taken, so that the tail is exactly the rest of what was printed, in bpftrace's order;
none of the tail may have arrived; and none of it may be older than `_TAIL_SECONDS` at the time of the kill.

The last request before a kill may have been taken while its answer was not read any more. Then its items are counted as
`unanswered`, and have arrived too: `both`. This must be the last request, and all of it.

What was counted as lost may also be log records of orchestrate's own (of each bpftrace that it starts, that began,
ended, died or was started again): as many as it can have made and that have not arrived, a handful.

A request may arrive twice, as the same bytes, where its answer was lost: its receiver was killed, told to lose it, or
late; or we were killed before we could act upon it, which can be one request for each kill.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.tools.chaos.evidence import Evidence
from tests.tools.chaos.receiver import Taken

__all__ = ("Account", "make_account")

# How long bytes may lie before we look at them (orchestrator/supervision/capture.py: 0.5 s), on a machine that is busy.
_TAIL_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Account:
    """Numbers of events; ``duplicates`` are requests. ``faults`` says in words what must not be."""

    printed: int
    received: int
    rejected: int
    lost: Mapping[str, int]
    tail: int
    both: int
    duplicates: int
    unexplained: int
    faults: tuple[str, ...]


def make_account(evidence: Evidence) -> Account:
    """Weigh all that is known of a round."""
    order = {sequence: place for place, sequence in enumerate(evidence.printed)}
    arrivals = list(dict.fromkeys(sequence for request in evidence.taken for sequence in request.kept))
    received = set(arrivals)
    rejected = {sequence for request in evidence.taken for sequence in request.rejected} - received
    missing = order.keys() - received - rejected
    counted = sum(evidence.tally.values())
    tail, faults = _tail(evidence, list(order), received | rejected)
    # What is missing was counted or is of the tail; what was counted beyond that must have arrived with the last one.
    own = max(0, evidence.own - sum(request.own for request in evidence.taken))
    both = counted + len(tail) - len(missing)
    explained = any(0 <= both - doubt <= own for doubt in _in_doubt(evidence))
    if not explained:
        faults.append(f"{len(missing):,} are missing, {counted:,} counted as lost, and {len(tail):,} are of the tail")
    strangers = received - order.keys()
    if strangers:
        faults.append(f"{len(strangers):,} arrived that were not printed, such as {min(strangers)}")
    faults += _disorder([order[sequence] for sequence in arrivals if sequence in order])
    untold = _untold(evidence)
    if untold:
        faults.append(f"{abs(untold):,} more were {'rejected than told' if untold > 0 else 'told than rejected'}")
    duplicates, more = _duplicates(evidence)
    return Account(
        printed=len(order),
        received=len(received),
        rejected=len(rejected),
        lost=dict(evidence.tally),
        tail=len(tail),
        both=both if explained else 0,
        duplicates=duplicates,
        unexplained=(0 if explained else abs(both)) + len(strangers) + abs(untold),
        faults=(*faults, *more),
    )


def _untold(evidence: Evidence) -> int:
    """How many rejections of answers that were sent nobody told of, below 0 how many too many.

    Who was told may have been killed before it could tell; an answer that came late may have been read.
    """
    sent = sum(len(request.rejected) for request in evidence.taken)
    answered = sum(len(request.rejected) for request in evidence.taken if request.number in evidence.answered)
    least = 0 if evidence.kills else answered
    return max(0, least - evidence.rejections) or min(0, sent - evidence.rejections)


def _tail(evidence: Evidence, order: Sequence[str], arrived: set[str]) -> tuple[Sequence[str], list[str]]:
    if evidence.killed_at is None or evidence.taken_items is None:
        return (), []
    tries = [_tail_after(evidence, order, evidence.taken_items - own, arrived) for own in evidence.own_taken]
    return next((found for found in tries if not found[1]), tries[0])


def _tail_after(
    evidence: Evidence, order: Sequence[str], taken: int, arrived: set[str]
) -> tuple[Sequence[str], list[str]]:
    tail = order[taken:]
    faults = []
    if found := arrived.intersection(tail):
        faults.append(f"{len(found):,} arrived that the killed run had not counted as taken")
    early = (evidence.killed_at or 0) - _TAIL_SECONDS * 1e9
    if old := [sequence for sequence in tail if evidence.printed[sequence] < early]:
        faults.append(f"{len(old):,} were printed more than {_TAIL_SECONDS:g} s before the kill, and not taken")
    return tail, faults


def _in_doubt(evidence: Evidence) -> set[int]:
    """How many may be counted as lost and have arrived: none, or what a run that was killed was just sending."""
    if evidence.killed_at is None:
        return {0}
    before = [request for request in evidence.taken if request.at < evidence.next_at]
    again = {request.digest for request in evidence.taken if request.at >= evidence.next_at}
    last = before[-1] if before else None
    if last is None or last.digest in again:
        return {0}
    items = len(last.kept) + len(last.rejected) + last.own
    return {0, items} if items == evidence.tally.get("unanswered") else {0}


def _disorder(places: Sequence[int]) -> list[str]:
    """In order means in bpftrace's order, as one run has one queue."""
    wrong = sum(later < earlier for earlier, later in itertools.pairwise(places))
    return [f"{wrong:,} times something arrived before what was printed earlier"] if wrong else []


def _duplicates(evidence: Evidence) -> tuple[int, list[str]]:
    """How many requests came again, and what is wrong with them."""
    faults: list[str] = []
    first: dict[str, Taken] = {}
    latest: dict[str, Taken] = {}
    duplicates = unasked = 0
    for request in evidence.taken:
        if (earlier := latest.get(request.digest)) is not None:
            duplicates += 1
            unasked += earlier.number in evidence.answered
        else:
            for sequence in request.kept:
                if sequence in first:
                    faults.append(f"{sequence} arrived in two different requests")
                    break
                first[sequence] = request
        latest[request.digest] = request
    if unasked > evidence.kills:
        faults.append(f"{unasked} requests were sent again although they were answered, and {evidence.kills} killed")
    return duplicates, faults
