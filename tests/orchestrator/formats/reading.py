"""Reads the files back, each in its own way, for the values of one type by thread and stack (root first)."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from typing import Any

from orchestrator.formats.pprof_message import profile_class

Totals = Counter[tuple[str, ...]]


def folded_totals(data: bytes) -> Totals:
    totals: Totals = Counter()
    for line in data.decode().splitlines():
        stack, _, value = line.rpartition(" ")
        totals[tuple(word.removesuffix("_[k]") for word in stack.split(";"))] += int(value)
    return totals


def speedscope_totals(data: bytes, index: int = 0) -> Totals:
    document = json.loads(data)
    frames, profile = document["shared"]["frames"], document["profiles"][index]
    totals: Totals = Counter()
    for path, weight in zip(profile["samples"], profile["weights"], strict=True):
        totals[tuple(frames[number]["name"] for number in path)] += weight
    return totals


def parse_pprof(data: bytes) -> Any:
    return profile_class().FromString(gzip.decompress(data))


def types(profile: Any) -> list[str]:
    strings = profile.string_table
    return [f"{strings[one.type]}/{strings[one.unit]}" for one in profile.sample_type]


def labels(profile: Any, sample: Any) -> dict[str, Any]:
    strings = profile.string_table
    found = {strings[one.key]: strings[one.str] if one.str else one.num for one in sample.label}
    assert len(found) == len(sample.label)
    return found


def stack(profile: Any, sample: Any) -> tuple[str, ...]:
    """The names of its functions, root first."""
    locations = {one.id: one for one in profile.location}
    functions = {one.id: profile.string_table[one.name] for one in profile.function}
    return tuple(functions[locations[number].line[0].function_id] for number in reversed(sample.location_id))


def pprof_totals(data: bytes, column: int = 0) -> Totals:
    profile = parse_pprof(data)
    totals: Totals = Counter()
    for sample in profile.sample:
        if sample.value[column]:
            comm = labels(profile, sample).get("comm")
            totals[(*([comm] if comm else []), *stack(profile, sample))] += sample.value[column]
    return totals
