"""Printed stack maps -> profiles, by the manifest's ``stacks``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from typing import Any

from config.manifest import Key, StackMap, StackProfile
from orchestrator.signals.attributes import compile_attribute, number
from orchestrator.signals.keys import WHOLE_KEY
from orchestrator.signals.model import KERNEL, AttributeValue, Frame, FrameType, Profile, Sample, ValueType
from orchestrator.signals.series import MapRecord, pairs
from parsers.keys import KeyType, split_key
from parsers.records import Hist, Map, Stats
from parsers.stacks import parse_stack

__all__ = ("UNKNOWN_STACKS", "StackCounts", "StackReader", "has_stacks")

Stack = tuple[Frame, ...]
Identity = tuple[Stack, tuple[tuple[str, AttributeValue], ...]]
_FRAME_TYPES: dict[KeyType, FrameType] = {"kstack": "kernel", "ustack": "native", "stack": "", "caller": "native"}
# Where the program is not known: a map with a stack first in its keys, or second behind an empty one.
_BEGINS_WITH_STACK = re.compile(r",?(?:\n|\\n)")
# What such a map is taken for: how often something happened.
UNKNOWN_STACKS = StackMap(
    keys=[Key(type="stack")],
    profiles=[StackProfile(type="events", unit="count")],
)


@dataclass(slots=True)
class StackCounts:
    """``stacks`` that became samples, how many of them hold frames without a symbol, and how many may have been cut.

    ``missing``: those without any frame, which the kernel could not store (its table has a place for each hash).
    ``unmade``: those of maps whose values cannot be added up, in the last print of each map.
    """

    stacks: int = 0
    unresolved: int = 0
    truncated: int = 0
    missing: int = 0
    unmade: dict[str, int] = field(default_factory=dict)


def has_stacks(record: MapRecord) -> bool:
    """Whether the keys of a map look like stacks."""
    return any(_BEGINS_WITH_STACK.match(key or "") for key, _ in pairs(record))


class StackReader:
    """Reads one stack map, and its twin. What has been read adds up until it is taken.

    ``lenient``: a key of another shape than the rule says keeps what stands behind its stacks as one attribute.
    """

    def __init__(self, rule: StackMap, counts: StackCounts, *, lenient: bool = False) -> None:
        self._rule, self._counts, self._lenient = rule, counts, lenient
        self._types: list[KeyType] = [key.type for key in rule.keys]
        self._setters = [
            None if key.type in _FRAME_TYPES else compile_attribute(key, is_number=key.type == "int")
            for key in rule.keys
        ]
        self._amounts: dict[Identity, list[int]] = {}
        self._since: int | None = None

    def read(self, record: MapRecord) -> int:
        """Add what was printed; return how many entries could not be read."""
        return self._add(record, self._amounts)

    def replace(self, record: MapRecord) -> int:
        """Take what was printed in place of what was read before, unless it is less: only its top, for one."""
        amounts: dict[Identity, list[int]] = {}
        unread = self._add(record, amounts)
        if _total(amounts) >= _total(self._amounts):
            self._amounts = amounts
        return unread

    def take(self, start: int, end: int) -> list[Profile]:
        """The profiles of what was read since they were last taken, or since ``start``; none if there is nothing."""
        amounts, self._amounts = self._amounts, {}
        # The wall clock may have been set back.
        since, self._since = min(start if self._since is None else self._since, end), end
        for stack, _ in amounts:
            self._count(stack)
        profiles = [self._profile(index, rule, amounts, since, end) for index, rule in enumerate(self._rule.profiles)]
        return [profile for profile in profiles if profile.samples]

    def _add(self, record: MapRecord, amounts: dict[Identity, list[int]]) -> int:
        unread = 0
        for key, value in pairs(record):
            try:
                numbers = [_amount(record, value, profile) for profile in self._rule.profiles]
                identity = self._identity(key or "", record.separator)
            except (ValueError, TypeError, KeyError):
                unread += 1
                continue
            known = amounts.get(identity)
            amounts[identity] = numbers if known is None else [a + b for a, b in zip(known, numbers, strict=True)]
        return unread

    def _profile(
        self, index: int, rule: StackProfile, amounts: Mapping[Identity, Sequence[int]], start: int, end: int
    ) -> Profile:
        scale = Fraction(rule.scale)
        samples = [
            Sample(stack, value if scale == 1 else round(value * scale), dict(attributes))
            for (stack, attributes), values in amounts.items()
            if (value := values[index])
        ]
        period_type, period = _period(rule)
        return Profile(ValueType(rule.type, rule.unit), period_type, period, start, max(end - start, 1), samples)

    def _identity(self, key: str, separator: str) -> Identity:
        parts = split_key(key, self._types, separator)
        if parts is None:
            if not self._lenient:
                raise ValueError("key of another shape")
            return _cut(key, separator)
        attributes: dict[str, AttributeValue] = {}
        found: dict[KeyType, Stack] = {}
        for kind, put, part in zip(self._types, self._setters, parts, strict=True):
            if put is None:
                found[kind] = _frames(str(part), _FRAME_TYPES[kind])
            else:
                put(part, attributes)
        user = _with_caller(found.get("ustack", ()), found.get("caller", ()))
        # The kernel's frames are the leaf side, wherever they stand in the key.
        return (*found.get("kstack", ()), *found.get("stack", ()), *user), tuple(attributes.items())

    def _count(self, stack: Stack) -> None:
        counts, depth = self._counts, self._rule.depth
        counts.stacks += 1
        counts.missing += not stack
        counts.unresolved += any(not frame.name for frame in stack)
        kernel = sum(frame.type == "kernel" for frame in stack)
        counts.truncated += kernel >= depth or len(stack) - kernel >= depth


def _period(rule: StackProfile) -> tuple[ValueType | None, int]:
    """What was sampled, and how much of it one sample stands for. What is not sampled counts itself, one by one.

    Pyroscope calls profiles by this type; only off_cpu has a name of its own there, and may have none.
    """
    if rule.frequency is not None:
        kind = ValueType(rule.period_type or "cpu", rule.period_unit or "nanoseconds")
        return kind, round(1e9 / int(rule.frequency))
    if rule.period_type:
        return ValueType(rule.period_type, rule.period_unit), rule.period
    return (None, 0) if rule.type == "off_cpu" else (ValueType(rule.type, rule.unit), 1)


def _total(amounts: Mapping[Identity, Sequence[int]]) -> int:
    return sum(map(sum, amounts.values()))


def _with_caller(stack: Stack, caller: Stack) -> Stack:
    """``malloc;g;main`` and ``f`` -> ``malloc;f;g;main``. Linux 6.11 and later can have put it there already."""
    return (*stack[:1], *caller, *stack[1:]) if caller and stack[1:2] != caller else stack


def _cut(key: str, separator: str) -> Identity:
    """The stacks that a key begins with; the rest is one attribute. The first of two is the kernel's."""
    for types in (["stack", "stack"], ["stack"]):
        parts = split_key(key, [*types, "string"], separator)  # type: ignore[list-item]
        rest = {WHOLE_KEY: parts[-1]} if parts else {}
        parts = parts or split_key(key, types, separator)  # type: ignore[arg-type]
        if parts is None:
            continue
        kinds: tuple[FrameType, ...] = ("kernel", "native") if len(types) > 1 else ("",)
        stacks = (_frames(str(part), kind) for kind, part in zip(kinds, parts, strict=False))
        return sum(stacks, ()), tuple(rest.items())
    raise ValueError("key of another shape")


@lru_cache(maxsize=1 << 12)
def _frames(text: str, kind: FrameType) -> Stack:
    return tuple(
        Frame(frame.name, frame.address, kind, frame.module or (KERNEL if kind == "kernel" else ""))
        for frame in parse_stack(text)
    )


def _amount(record: MapRecord, value: Any, rule: StackProfile) -> int:
    """The number of a printed value: count() and sum() are one, stats() has two, a histogram counts its values."""
    if isinstance(record, Hist):
        return sum(bucket.count for bucket in value)
    if isinstance(record, Stats):
        return number(value[rule.value])
    if isinstance(record, Map):
        return number(value)
    raise TypeError("no amounts")
