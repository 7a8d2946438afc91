"""What a person gives for a signal's parameters -> the number or text that its program gets."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from config.durations import parse_duration
from config.errors import ConfigError
from config.loader import nearest
from config.manifest import (
    BoolParameter,
    ChoiceParameter,
    DurationParameter,
    IntParameter,
    IntsParameter,
    Manifest,
    Parameter,
    StringParameter,
)

__all__ = (
    "Assignment",
    "Value",
    "default_of",
    "default_values",
    "describe",
    "literals",
    "resolve_parameters",
    "value_of",
)

# Of a list as many as the parameter takes at most, 0 where none was given; durations in nanoseconds.
Value = int | str | tuple[int, ...]


class Assignment(NamedTuple):
    """``NAME`` or ``SIGNAL.NAME``, the text given for it, and the flag or file and line where that stands."""

    name: str
    text: str
    source: str


_BOOLEANS = {"true": 1, "yes": 1, "on": 1, "1": 1, "false": 0, "no": 0, "off": 0, "0": 0}


def describe(parameter: Parameter) -> str:
    """The values that a parameter takes, for help and errors."""
    if isinstance(parameter, IntParameter):
        never = f", but not {', '.join(map(str, parameter.never))}" if parameter.never else ""
        return "a whole number" + (" from {} to {}".format(*parameter.range) if parameter.range else "") + never
    if isinstance(parameter, IntsParameter):
        low, high = parameter.range
        return f"up to {parameter.most} whole numbers from {low} to {high}, separated by commas"
    if isinstance(parameter, DurationParameter):
        return "a duration such as 100us, 10ms or 2s; 0 for none"
    if isinstance(parameter, BoolParameter):
        return "true or false"
    if isinstance(parameter, ChoiceParameter):
        return "one of " + ", ".join(parameter.choices)
    return parameter.expected or f"printable ASCII text that matches {parameter.pattern}"


def value_of(parameter: Parameter, text: str) -> Value:
    """The value of ``text``. Raises ValueError if the parameter does not take it."""
    return _READERS[type(parameter)](parameter, text)


def _read_int(parameter: IntParameter, text: str) -> int:
    number = _integer(text, parameter.range or (-(2**63), 2**63 - 1))
    if number in parameter.never:
        raise ValueError
    return number


def _integer(text: str, limits: tuple[int, int]) -> int:
    if not re.fullmatch(r"-?\d{1,19}", text) or not limits[0] <= int(text) <= limits[1]:
        raise ValueError
    return int(text)


def _read_ints(parameter: IntsParameter, text: str) -> tuple[int, ...]:
    found = [_integer(part.strip(), parameter.range) for part in text.split(",")] if text else []
    if len(found) > parameter.most:
        raise ValueError
    return (*found, *[0] * (parameter.most - len(found)))


def _read_duration(_parameter: DurationParameter, text: str) -> int:
    try:
        return 0 if text == "0" else round(parse_duration(text, "") * 1e9)
    except ConfigError:
        raise ValueError from None


def _read_bool(_parameter: BoolParameter, text: str) -> int:
    return _one_of(_BOOLEANS, text.lower())


def _read_choice(parameter: ChoiceParameter, text: str) -> int:
    return _one_of(parameter.choices, text)


def _one_of(choices: Mapping[str, int], text: str) -> int:
    if text not in choices:
        raise ValueError
    return choices[text]


def _read_string(parameter: StringParameter, text: str) -> str:
    if not (re.fullmatch(parameter.pattern, text) and text.isascii() and (text.isprintable() or not text)):
        raise ValueError  # what is no printable ASCII could not be written as a literal
    return text


_READERS: dict[type, Callable[[Any, str], Value]] = {
    IntParameter: _read_int,
    IntsParameter: _read_ints,
    DurationParameter: _read_duration,
    BoolParameter: _read_bool,
    ChoiceParameter: _read_choice,
    StringParameter: _read_string,
}


def default_of(parameter: Parameter) -> Value:
    """What the program gets when nobody says anything."""
    if isinstance(parameter, ChoiceParameter):
        return parameter.choices[parameter.default]
    if isinstance(parameter, IntsParameter):
        return _read_ints(parameter, parameter.default)
    if isinstance(parameter, DurationParameter):
        return _read_duration(parameter, parameter.default)
    return int(parameter.default) if isinstance(parameter, BoolParameter) else parameter.default


def default_values(manifest: Manifest) -> dict[str, Value]:
    """The value of every parameter when nobody says anything."""
    return {name: default_of(parameter) for name, parameter in manifest.parameters.items()}


def literals(values: Mapping[str, Value]) -> dict[str, int | str]:
    """What the program asks for: of a list ``NAME.0``, ``NAME.1`` and so on."""
    found: dict[str, int | str] = {}
    for name, value in values.items():
        parts = {f"{name}.{index}": item for index, item in enumerate(value)} if isinstance(value, tuple) else {}
        found.update(parts or {name: value})  # type: ignore[dict-item]
    return found


def resolve_parameters(
    manifests: Mapping[str, Manifest], assignments: Sequence[Assignment]
) -> dict[str, dict[str, Value]]:
    """The value of every parameter of every signal: its default, or the last that was assigned."""
    values = {signal: default_values(manifest) for signal, manifest in manifests.items()}
    for given, text, source in assignments:
        signal, name = _whose(manifests, given, source)
        parameter = manifests[signal].parameters[name]
        try:
            values[signal][name] = value_of(parameter, text)
        except ValueError:
            raise ConfigError(f"{source}: {signal}.{name}={text!r}: expected {describe(parameter)}") from None
    return values


def _whose(manifests: Mapping[str, Manifest], given: str, source: str) -> tuple[str, str]:
    known = [f"{signal}.{name}" for signal, manifest in manifests.items() for name in manifest.parameters]
    owners = [full for full in known if given in (full, full.rpartition(".")[2])]
    if not owners:
        raise ConfigError(f"{source}: no parameter {given!r}{nearest(given, known)}")
    if len(owners) > 1:
        raise ConfigError(f"{source}: {given!r} is a parameter of several signals; write {' or '.join(owners)}")
    signal, _, name = owners[0].rpartition(".")
    return signal, name
