"""The profiles of many windows -> one profile of each kind."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from orchestrator.signals.model import Attributes, Frame, Profile, Sample, ValueType

__all__ = ("Kind", "Merger", "Window", "identity", "kind_of", "union")


class Kind(NamedTuple):
    """What is counted, and what was sampled for it: only samples of one kind can be added up."""

    sample_type: ValueType
    period_type: ValueType | None

    @property
    def name(self) -> str:
        """``samples:count:cpu:nanoseconds``, as Pyroscope and Parca write it."""
        types = [one for one in self if one is not None]
        return ":".join(word for one in types for word in (one.type, one.unit))


class Window(NamedTuple):
    """From ``start`` until before ``end``, in Unix nanoseconds."""

    start: int
    end: int


def kind_of(profile: Profile) -> Kind:
    """The kind of its samples."""
    return Kind(profile.sample_type, profile.period_type)


def identity(attributes: Attributes) -> Hashable:
    """What is equal for equal attributes only, in whatever order they stand: 1 is not True, and lists have no hash."""
    return frozenset((name, repr(value)) for name, value in attributes.items())


def union(windows: Iterable[Window]) -> list[Window]:
    """The same time without overlaps, in order."""
    joined: list[Window] = []
    for window in sorted(windows):
        if joined and window.start <= joined[-1].end:
            joined[-1] = Window(joined[-1].start, max(window.end, joined[-1].end))
        else:
            joined.append(window)
    return joined


@dataclass(slots=True)
class _Sum:
    windows: list[Window] = field(default_factory=list)
    values: dict[tuple[tuple[Frame, ...], Hashable], int] = field(default_factory=dict)
    attributes: dict[Hashable, Attributes] = field(default_factory=dict)

    def add(self, profile: Profile) -> None:
        start = profile.time_unix_nano
        self.windows = union([*self.windows, Window(start, start + profile.duration_nano)])
        for sample in profile.samples:
            known = identity(sample.attributes)
            self.attributes.setdefault(known, sample.attributes)
            key = (sample.stack, known)
            self.values[key] = self.values.get(key, 0) + sample.value

    def samples(self) -> list[Sample]:
        return [Sample(stack, value, self.attributes[known]) for (stack, known), value in self.values.items()]


class Merger:
    """Adds up values by stack and attributes. What was sampled with another period stays apart.

    A merged profile begins with the first window and lasts as long as all windows together, without the gaps.
    """

    def __init__(self) -> None:
        self._sums: dict[tuple[Kind, int], _Sum] = {}

    def add(self, profiles: Iterable[Profile]) -> None:
        """Take the profiles of one window or more."""
        for profile in profiles:
            self._sums.setdefault((kind_of(profile), profile.period), _Sum()).add(profile)

    def profiles(self) -> Sequence[Profile]:
        """One profile of each kind and period, in the order in which they first came."""
        return [
            Profile(
                *kind,
                period,
                one.windows[0].start,
                sum(window.end - window.start for window in one.windows),
                one.samples(),
            )
            for (kind, period), one in self._sums.items()
            if one.values
        ]
