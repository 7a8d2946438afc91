"""More events than a run may have -> one in N of them, each of which says how many it stands for.

Systematic: of each kind of event of a signal every N-th is kept, and stands for those since the one before it. So what
the kept ones stand for, and the few that come after the last of them, are together exactly as many as came, for each
kind by itself. What comes in a rhythm of N may be hit or missed as one; counts stay exact, what is in them does not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import NamedTuple, TypeVar

__all__ = ("ADJUSTED_COUNT", "Picked", "Sampler", "Thinned", "fair_shares")

# How many events a record stands for, itself included; absent where it is one.
ADJUSTED_COUNT = "ebpf.adjusted_count"

Key = TypeVar("Key")
_SECOND = 1_000_000_000
# What is read at one moment has come since the moment before, or for as long as output may lie unread.
_UNREAD = 500_000_000
# However much too many were kept before, so much is left of the shares that are not enough.
_LEAST_SHARE = 0.25
# N is chosen again within a second once so much more has come than when it was chosen last.
_GROWTH = 1.25


class Picked(NamedTuple):
    """Of events in order ``kept`` ones: at ``first``, ``first + every`` ...

    The first of them stands for ``weight`` events, each other one for ``every``.
    """

    first: int
    every: int
    weight: int
    kept: int

    @property
    def represented(self) -> int:
        """How many events the kept ones stand for."""
        return self.weight + (self.kept - 1) * self.every if self.kept else 0


@dataclass(slots=True)
class Thinned:
    """How many there were of a signal, how many were kept, and for how many these stand."""

    received: int = 0
    kept: int = 0
    represented: int = 0

    def add(self, count: int, picked: Picked | None) -> None:
        """So many more came, of which some were picked, or all."""
        self.received += count
        self.kept += count if picked is None else picked.kept
        self.represented += count if picked is None else picked.represented

    def merge(self, other: Thinned) -> None:
        """Add those of a pipeline that came before or after."""
        self.received += other.received
        self.kept += other.kept
        self.represented += other.represented

    @property
    def left_out(self) -> int:
        """How many were not kept."""
        return self.received - self.kept

    @property
    def remainder(self) -> int:
        """How many came after the last kept ones of their kinds, which nothing stands for (yet)."""
        return self.received - self.represented


@dataclass(slots=True)
class _Kind:
    """One kind of event: ``pending`` came since the last that was kept, ``seen`` since the second began.

    ``demand``: how many a second came in the one before.
    """

    every: int = 1
    pending: int = 0
    seen: int = 0
    demand: float = 0.0

    def pick(self, count: int) -> Picked:
        """Of the next ``count``."""
        first = max(0, self.every - self.pending - 1)
        weight = self.pending + first + 1
        if first >= count:
            self.pending += count
            return Picked(first, self.every, weight, 0)
        more, self.pending = divmod(count - 1 - first, self.every)
        return Picked(first, self.every, weight, 1 + more)


class Sampler:
    """For all signals of a run together. ``limit``: events a second, 0 for no limit.

    Time is what ``advance`` is told. For each second N is chosen anew, from what came in the one before: signals below
    their fair share of the rate are not thinned, and of one that is above it no kind of event that is below its share
    there. What was not used lasts for a burst of a second's worth; when that is used up N is chosen at once.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._rate = self._tokens = float(limit or math.inf)
        self._signals: dict[str, dict[str, _Kind]] = {}
        self._now = self._began = self._seen = 0
        self._unread = _UNREAD
        self._enough = self._last_rate = 0.0
        self._factor, self._unscaled = 1.0, 0.0

    @property
    def rate(self) -> float:
        """Events a second that may be kept; infinite without a limit."""
        return self._rate

    def scale(self, factor: float) -> None:
        """Allow only so much of the rate: of the limit, or of what came last where that is less. 1 is all again.

        Of nothing there is no part: if nothing came, it is of what comes in the first whole second in which it does.
        """
        self._factor = factor
        if factor >= 1:
            self._unscaled, self._rate = 0.0, float(self.limit or math.inf)
        elif came := self._unscaled or self._last_rate:
            self._unscaled = min(self.limit or math.inf, came)
            self._rate = max(1.0, self._unscaled * factor)
        self._tokens = min(self._tokens, self._rate)

    def advance(self, now: int) -> None:
        """It is so late (Unix nanoseconds); with a clock that was set back, time goes on from there."""
        passed, self._now = (now - self._now if self._now else 0), now
        self._began = min(self._began, now)
        if passed > 0:
            self._unread = max(_UNREAD, passed)
            self._tokens = min(self._rate, max(self._tokens, -self._rate) + self._rate * passed / _SECOND)
        if self._now - self._began >= _SECOND:
            self._begin_second((self._now - self._began) / _SECOND)

    def _begin_second(self, seconds: float) -> None:
        """After so many of them."""
        self._began, self._seen, self._enough = self._now, 0, 0.0
        for kinds in self._signals.values():
            for kind in kinds.values():
                kind.demand, kind.seen = kind.seen / seconds, 0
        before = self._last_rate
        self._last_rate = sum(kind.demand for kinds in self._signals.values() for kind in kinds.values())
        if self._factor < 1 and before:
            self.scale(self._factor)
        self._plan(1.0)

    def take(self, signal: str, name: str, count: int) -> Picked | None:
        """Which of the next ``count`` events of that kind are kept; None for all of them, each for itself."""
        kind = self._signals.setdefault(signal, {}).setdefault(name, _Kind())
        kind.seen += count
        self._seen += count
        if count / kind.every > self._tokens and self._seen >= self._enough:
            self._enough = self._seen * _GROWTH
            self._plan((self._now - self._began + self._unread) / _SECOND)
        picked = kind.pick(count) if kind.every > 1 or kind.pending else None
        self._tokens -= count if picked is None else picked.kept
        return picked

    def _plan(self, seconds: float) -> None:
        """Choose N by what came in the last second, or in so many seconds of this one if that is more."""
        demands = {
            signal: {name: max(kind.demand, kind.seen / seconds) for name, kind in kinds.items()}
            for signal, kinds in self._signals.items()
        }
        totals = {signal: sum(kinds.values()) for signal, kinds in demands.items()}
        for signal, share in self._shares(totals).items():
            for name, part in fair_shares(demands[signal], share).items():
                self._signals[signal][name].every = _one_in(demands[signal][name], part)

    def _shares(self, demands: Mapping[str, float]) -> dict[str, float]:
        """With what was not used, or less what was too much: that is taken from those that want more than they get."""
        shares = fair_shares(demands, self._rate + max(0.0, self._tokens))
        if self._tokens < 0 and (cut := [key for key, share in shares.items() if share < demands[key]]):
            left = max(_LEAST_SHARE, 1 + self._tokens / sum(shares[key] for key in cut))
            shares.update({key: shares[key] * left for key in cut})
        return shares


def _one_in(demand: float, share: float) -> int:
    return math.ceil(demand / share - 1e-9) if share < demand else 1


def fair_shares(demands: Mapping[Key, float], capacity: float) -> dict[Key, float]:
    """Max-min fair: all that want less than an equal share have it, and the others divide what that leaves."""
    shares: dict[Key, float] = {}
    for position, (key, demand) in enumerate(sorted(demands.items(), key=itemgetter(1))):
        shares[key] = min(demand, capacity / (len(demands) - position))
        capacity -= shares[key]
    return shares
