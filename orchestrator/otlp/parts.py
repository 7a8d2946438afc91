"""Items of a request: how many they are, and two halves of them where together they are too large for a receiver."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from orchestrator.otlp.logs import EncodedRecords
from orchestrator.signals.model import Metric, Profile, Scope

__all__ = ("count", "halves")

Item = TypeVar("Item")

# How many items of OTLP one of ours stands for, if not for one.
_COUNTS: dict[type, Callable[[Any], int]] = {
    EncodedRecords: lambda records: records.count,
    Metric: lambda metric: len(metric.points),
}
# What can be divided again, and what of it.
_DIVISIBLE = {Metric: "points", Profile: "samples"}


def count(items: Mapping[Scope, Sequence[object]]) -> int:
    """Log records, points, spans or profiles."""
    return sum(_COUNTS[type(one)](one) if type(one) in _COUNTS else 1 for some in items.values() for one in some)


def halves(items: Mapping[Scope, Sequence[Item]]) -> list[dict[Scope, list[Item]]]:
    """Two parts of as many items, in order, scopes and all; nothing if there is but one that cannot be divided.

    The points of one metric, or the samples of one profile, may be sent apart: each has all that tells it apart.
    """
    pairs = [(scope, one) for scope, some in items.items() for one in some]
    if len(pairs) == 1:
        ((scope, only),) = pairs
        return [{scope: [half]} for half in _divided(only)]
    middle = len(pairs) // 2
    return [_by_scope(pairs[:middle]), _by_scope(pairs[middle:])]


def _divided(item: Item) -> list[Item]:
    name = _DIVISIBLE.get(type(item))
    parts: Sequence[object] = getattr(item, name) if name else ()
    if name is None or len(parts) < 2:
        return []
    middle = len(parts) // 2
    return [replace(item, **{name: half}) for half in (parts[:middle], parts[middle:])]  # type: ignore[type-var]


def _by_scope(pairs: Sequence[tuple[Scope, Item]]) -> dict[Scope, list[Item]]:
    found: dict[Scope, list[Item]] = {}
    for scope, item in pairs:
        found.setdefault(scope, []).append(item)
    return found
