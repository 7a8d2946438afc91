"""The maps of a program -> metrics, texts and stacks."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

from config.manifest import Key, Metric, StackMap, TextMap
from orchestrator.inference.meaning import Meaning, Scope, meaning_of, unique
from orchestrator.inference.stacks import depth_of, profiles_of
from orchestrator.signals.names import identifier, metric_name
from parsers.script import Call, MapAssignment, Script

__all__ = ("MapRules", "infer_maps")

_GAUGES = {"avg", "min", "max", "tseries"}
_HISTOGRAMS = {"hist", "lhist", "stats"}
_KEY_TYPES = {"any", "int", "string"}
_STACK_TYPES = {"stack", "kstack", "ustack"}
_EMPTYING = {"clear", "zero"}
# The unit of a map that is called so, in UCUM, as the conventions want it.
_UNITS = (
    (r"(?:^|_)n(?:ano)?s(?:ec(?:ond)?s?)?$", "ns"),
    (r"(?:^|_)(?:u|micro)s(?:ec(?:ond)?s?)?$", "us"),
    (r"(?:^|_)(?:m|milli)s(?:ec(?:ond)?s?)?$", "ms"),
    (r"(?:^|_)sec(?:ond)?s?$", "s"),
    (r"(?:^|_)bytes?$", "By"),
    (r"(?:^|_)k(?:i?b|bytes?)$", "KiBy"),
    (r"(?:^|_)m(?:i?b|bytes?)$", "MiBy"),
    (r"(?:^|_)pages?$", "{page}"),
    (r"(?:^|_)(?:pct|percent)$", "%"),
)
_TIME_UNITS = {"1e-9": "ns", "1e-6": "us", "1e-3": "ms", "1e0": "s"}
# What only ever grows when it is added up: sizes. A return code may be an error.
_SIZES = re.compile(r"(?:^|[\W_])(?:bytes|len|length|size|count|nr|pages?|sectors?|nsecs|elapsed)(?:[\W_]|$)|^\d+$")


@dataclass(slots=True)
class MapRules:
    """The rules of all maps of a program."""

    metrics: dict[str, Metric] = field(default_factory=dict)
    texts: dict[str, TextMap] = field(default_factory=dict)
    stacks: dict[str, StackMap] = field(default_factory=dict)


def infer_maps(program: str, script: Script) -> MapRules:
    """What each map is, by what is assigned to it and done with it."""
    rules = MapRules()
    for name in dict.fromkeys(one.map for one in script.assignments):
        _Map(program, script, name).add_to(rules)
    return rules


class _Map:
    """One map and all that the program does with it."""

    def __init__(self, program: str, script: Script, name: str) -> None:
        self._program, self._script, self._name = program, script, name
        self._assignments = [one for one in script.assignments if one.map == name]
        self._first = self._assignments[0]
        self._functions = {one.function for one in self._assignments if one.function}
        self._keys = unique(meaning_of(key, Scope(script, self._first.probe)) for key in self._first.keys)

    def add_to(self, rules: MapRules) -> None:
        keys = [_key(meaning, index) for index, meaning in enumerate(self._keys, 1)]
        if any(meaning.type == "stack" for meaning in self._keys):
            rules.stacks[self._name] = self._stack_map(keys)
        elif not self._functions and self._holds_text():
            rules.texts[self._name] = TextMap(name=metric_name(self._program, self._name), keys=keys)
        else:
            rules.metrics[self._name] = self._metric(keys)

    def _stack_map(self, keys: list[Key]) -> StackMap:
        stacks = [Key(type=key.type) if key.type in _STACK_TYPES else key for key in keys]
        name = identifier(self._name or self._program)
        profiles = profiles_of(self._assignments, self._script.probes, name, self._unit())
        return StackMap(keys=stacks, profiles=profiles, depth=depth_of(self._first.keys), cleared=self._is_cleared())

    def _metric(self, keys: list[Key]) -> Metric:
        cleared = self._is_cleared()
        return Metric(
            name=metric_name(self._program, self._name),
            instrument=self._instrument(),
            unit=self._unit(),
            description=self._description(),
            keys=keys,
            cleared=cleared,
            snapshot=not (cleared or self._is_emptied() or self._is_state() or self._prints_itself()),
        )

    def _holds_text(self) -> bool:
        """Whether its values are no numbers: text, tuples, or the struct that a pointer leads to."""
        values = [
            (one.arguments[0], meaning_of(one.arguments[0], Scope(self._script, one.probe)))
            for one in self._assignments
            if one.operator == "=" and one.arguments
        ]
        return any(
            meaning.type in {"string", "comm", "word", "address", "stack"} or _is_tuple(text) or text.startswith("*$")
            for text, meaning in values
        )

    def _instrument(self) -> Literal["counter", "updowncounter", "gauge", "histogram"]:
        if self._functions & _HISTOGRAMS:
            return "histogram"
        if self._functions & _GAUGES or self._forgets_keys() or self._is_emptied():
            return "gauge"
        if self._functions == {"count"}:
            return "counter"
        if self._functions == {"sum"}:
            return "counter" if all(self._only_grows(one) for one in self._assignments) else "updowncounter"
        return self._of_operators()

    def _of_operators(self) -> Literal["counter", "updowncounter", "gauge"]:
        operators = {one.operator for one in self._assignments if not self._sets_zero_at_begin(one)}
        if operators and operators <= {"++", "+="}:
            grows = all(one.operator == "++" or self._only_grows(one) for one in self._assignments)
            return "counter" if grows else "updowncounter"
        return "updowncounter" if operators and operators <= {"++", "+=", "--", "-="} else "gauge"

    def _sets_zero_at_begin(self, one: MapAssignment) -> bool:
        return one.operator == "=" and one.arguments == ("0",) and self._probe_is(one.probe, "BEGIN")

    def _only_grows(self, one: MapAssignment) -> bool:
        """Whether what is added is never negative, as far as its name, or the probe's predicate, tells."""
        text = " ".join(one.arguments)
        if one.arguments and meaning_of(one.arguments[0], Scope(self._script, one.probe)).scale is not None:
            return True  # a duration
        if re.search(r"-(?!>)", text):
            return False
        predicate = self._script.probes[one.probe].predicate or "" if one.probe >= 0 else ""
        return bool(_SIZES.search(text)) or bool(re.search(r"(?:ret|retval)\s*>=?\s*\d", predicate))

    def _calls(self, *functions: str) -> list[Call]:
        wanted = re.compile(rf"@{self._name}\s*(?:\[.*\])?", re.DOTALL)
        return [
            call
            for call in self._script.calls
            if call.function in functions and call.arguments and wanted.fullmatch(call.arguments[0].strip())
        ]

    def _is_cleared(self) -> bool:
        """Whether the program empties the map each time when it has printed it."""
        prints, empties = self._running("print"), self._running(*_EMPTYING)
        return bool(prints) and prints == empties

    def _is_emptied(self) -> bool:
        """Whether the program empties it at other times: what it holds then is no sum of all."""
        return bool(self._running(*_EMPTYING)) and not self._is_cleared()

    def _running(self, *functions: str) -> set[int]:
        """The probes, but for END, that do so with the map."""
        return {call.probe for call in self._calls(*functions) if not self._probe_is(call.probe, "END")}

    def _prints_itself(self) -> bool:
        """Whether the program prints the whole map while it runs: print(@m), not print(@m, top)."""
        return any(
            len(call.arguments) == 1 and "[" not in call.arguments[0] and not self._probe_is(call.probe, "END")
            for call in self._calls("print")
        )

    def _forgets_keys(self) -> bool:
        return any(not self._probe_is(call.probe, "END") for call in self._calls("delete"))

    def _is_state(self) -> bool:
        """Whether the map only carries a value from one probe to another, as ``@start[tid] = nsecs`` does."""
        plain = not self._functions and all(one.operator == "=" for one in self._assignments)
        return (plain and self._name in self._script.reads) or self._forgets_keys()

    def _unit(self) -> str:
        if self._functions & {"count"} or not self._first.arguments:
            return "1"
        meaning = meaning_of(self._first.arguments[0], Scope(self._script, self._first.probe))
        if meaning.literal is not None:
            return "1"
        for pattern, unit in _UNITS:
            if re.search(pattern, self._name.lower()):
                return unit
        if meaning.scale is not None:
            return _TIME_UNITS.get(meaning.scale, "1")
        attribute = (meaning.attribute or "").rpartition(".")[2]
        return next((unit for pattern, unit in _UNITS if re.search(pattern, attribute)), "1")

    def _description(self) -> str:
        one = self._first
        keys = f"[{', '.join(one.keys)}]" if one.keys else ""
        value = ", ".join(one.arguments)
        shown = f"{one.function}({value})" if one.function else value
        return f"@{self._name}{keys} {one.operator} {shown}".strip()[:200]

    def _probe_is(self, index: int, name: str) -> bool:
        return index >= 0 and name in (point.upper() for point in self._script.probes[index].attach_points)


def _is_tuple(text: str) -> bool:
    return text.startswith("(") and text.endswith(")") and "," in text


def _key(meaning: Meaning, index: int) -> Key:
    kind: str = meaning.type if meaning.type in _KEY_TYPES else "string"
    kind = "int" if meaning.type == "time" else kind
    if meaning.type == "stack":
        kind = "kstack" if (meaning.attribute or "").startswith("ebpf.stack.kernel") else "ustack"
    return Key(attribute=meaning.attribute or f"ebpf.key_{index}", type=kind)  # type: ignore[arg-type]
