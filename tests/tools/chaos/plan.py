"""What is to go wrong in a round: drawn from its seed, and nothing but that."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ("ANSWERS", "AWAY", "FAULTS", "FULL_DISK", "FULL_EARLY", "KILLS", "SMALL_SPOOL", "Act", "Plan", "draw")

# Of the receiver; each lasts for a while.
ANSWERS = ("503", "429", "partial success", "hang", "reset", "slow reads", "lost answers")
# The disk is full from when the load begins, or from before the run: then the run has no ledger and must not be killed.
AWAY, FULL_DISK, FULL_EARLY = "away", "full disk", "full disk early"
# The spool may hold one megabyte.
SMALL_SPOOL = "small spool"
# At one moment. The sender is the `flush` or `run` that comes after.
KILLS = ("kill orchestrate", "kill bpftrace", "kill receiver", "kill sender")
FAULTS = (*ANSWERS, AWAY, FULL_DISK, FULL_EARLY, SMALL_SPOOL, *KILLS)
_MOST = 3
_SHORTEST = 0.5
_MOST_ROOM = 700_000
# Against a full disk or spool nothing helps but a receiver that takes all in time.
_NOT_TAKING = ("503", "429", "hang", "reset", AWAY)


@dataclass(frozen=True, slots=True, order=True)
class Act:
    """Seconds after the load has begun, and what begins then: a behaviour, `well`, or a fault."""

    at: float
    what: str


@dataclass(frozen=True, slots=True)
class Plan:
    """A round.

    ``small``: requests hold what came in a second, and not in ten; ``next_run``: a run delivers what is left. ``room``:
    bytes that are left where the disk is full; ``freed``: it is full no more when the run comes to its end.
    """

    seed: str
    faults: tuple[str, ...]
    acts: tuple[Act, ...]
    seconds: float
    small: bool
    next_run: bool
    room: int
    freed: bool


def draw(seed: str, seconds: float, faults: Sequence[str] = (), *, lasting: bool | None = None) -> Plan:
    """A round of so many seconds of load, with these faults or one to three of all.

    ``lasting``: what ails the receiver last outlasts the run; by the dice if None, and always where disk or
    spool is full.
    """
    dice = random.Random(seed)
    chosen = list(faults) or dice.sample(FAULTS, dice.randint(1, _MOST))
    if FULL_EARLY in chosen:
        chosen = [fault for fault in chosen if fault not in (FULL_DISK, "kill orchestrate")]
    is_full = bool({FULL_DISK, FULL_EARLY, SMALL_SPOOL}.intersection(chosen))
    if is_full and not set(chosen) & set(_NOT_TAKING):
        chosen.append(dice.choice(_NOT_TAKING))
    answers = [fault for fault in chosen if fault in (*ANSWERS, AWAY)]
    acts = [Act(0.0, FULL_DISK)] if FULL_DISK in chosen else []
    acts += [Act(dice.uniform(_SHORTEST, seconds + 0.3), fault) for fault in chosen if fault in KILLS[:-1]]
    lasting = is_full or (dice.random() < 0.5 if lasting is None else lasting)
    acts += _one_after_the_other(dice, answers, seconds, lasting=lasting)
    return Plan(
        seed,
        tuple(chosen),
        tuple(sorted(acts)),
        seconds,
        small=dice.random() < 0.75,
        next_run=dice.random() < 0.5,
        room=dice.choice((0, 0, dice.randrange(_MOST_ROOM))),
        freed=dice.random() < 0.3,
    )


def _one_after_the_other(dice: random.Random, answers: Sequence[str], seconds: float, *, lasting: bool) -> list[Act]:
    """Each has its part of the time."""
    acts: list[Act] = []
    part = seconds / max(1, len(answers))
    for place, answer in enumerate(answers):
        begin = place * part + dice.uniform(0, part / 2)
        acts.append(Act(begin, answer))
        if place + 1 < len(answers) or not lasting:
            acts.append(Act(begin + dice.uniform(part / 4, part / 2), "well"))
    return acts
