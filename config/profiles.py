"""The words for stack maps: which numbers they hold, and which OTLP profiles these become."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from config.words import Closed, Key, NonEmpty, Number

__all__ = ("StackMap", "StackProfile")


class StackProfile(Closed, frozen=True):
    """What the values of a stack map are: samples of one ``type`` and ``unit``.

    ``value``: which number of a stats() map; of any other kind of map there is one only, and a histogram's is how many
    values it holds. ``scale`` turns it into ``unit``. ``period_type`` and ``period_unit`` say what was sampled and
    ``period`` how much of it one sample stands for; with ``frequency`` (samples a second) it is 1e9 / frequency, in
    nanoseconds of the CPU unless they say otherwise. Without all of them what is counted counts itself.
    """

    type: NonEmpty
    unit: NonEmpty
    value: Literal["count", "total"] = "count"
    scale: Number = "1"
    period_type: str = ""
    period_unit: str = ""
    period: Annotated[int, Meta(ge=0)] = 0
    frequency: Annotated[int, Meta(ge=1)] | str | None = None


class StackMap(Closed, frozen=True):
    """A map with stacks in its keys: one profile for each window of time and each of ``profiles``.

    Without ``profiles`` its stacks are counted only: averages, for one, cannot be added up.

    ``keys``: its parts; those that are no stacks become attributes of the samples. ``depth``: the most frames that a
    stack can have; one with as many may be cut. ``cleared``: the program empties the map after it has printed it.
    ``twin``: the map that takes turns with it: while the program fills one (``@orchestrator_turn`` is 0 for this one,
    1 for its twin), the other is printed and emptied by us, so that nothing is lost or counted twice.
    """

    keys: Annotated[list[Key], Meta(min_length=1)]
    profiles: list[StackProfile] = []
    depth: Annotated[int, Meta(ge=1)] = 127
    cleared: bool = False
    twin: str | None = None
