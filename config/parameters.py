"""What a person gives for a signal's parameters -> the number or text that its program gets."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from config.errors import ConfigError
from config.loader import nearest
from config.manifest import BoolParameter, ChoiceParameter, IntParameter, Manifest, Parameter

__all__ = ("Assignment", "default_of", "describe", "resolve_parameters", "value_of")


class Assignment(NamedTuple):
    """``NAME`` or ``SIGNAL.NAME``, the text given for it, and the flag or file and line where that stands."""

    name: str
    text: str
    source: str


_BOOLEANS = {"true": 1, "yes": 1, "on": 1, "1": 1, "false": 0, "no": 0, "off": 0, "0": 0}


def describe(parameter: Parameter) -> str:
    """The values that a parameter takes, for help and errors."""
    if isinstance(parameter, IntParameter):
        return "a whole number" + (" from {} to {}".format(*parameter.range) if parameter.range else "")
    if isinstance(parameter, BoolParameter):
        return "true or false"
    if isinstance(parameter, ChoiceParameter):
        return "one of " + ", ".join(parameter.choices)
    return f"printable ASCII text that matches {parameter.pattern}"


def value_of(parameter: Parameter, text: str) -> int | str:
    """The value of ``text``. Raises ValueError if the parameter does not take it."""
    if isinstance(parameter, IntParameter):
        if not re.fullmatch(r"-?\d{1,19}", text):
            raise ValueError
        low, high = parameter.range or (-(2**63), 2**63 - 1)
        if not low <= int(text) <= high:
            raise ValueError
        return int(text)
    if isinstance(parameter, BoolParameter):
        if text.lower() not in _BOOLEANS:
            raise ValueError
        return _BOOLEANS[text.lower()]
    if isinstance(parameter, ChoiceParameter):
        if text not in parameter.choices:
            raise ValueError
        return parameter.choices[text]
    if not (re.fullmatch(parameter.pattern, text) and text.isascii() and (text.isprintable() or not text)):
        raise ValueError  # what is no printable ASCII could not be written as a literal
    return text


def default_of(parameter: Parameter) -> int | str:
    """What the program gets when nobody says anything."""
    if isinstance(parameter, ChoiceParameter):
        return parameter.choices[parameter.default]
    return int(parameter.default) if isinstance(parameter, BoolParameter) else parameter.default


def resolve_parameters(
    manifests: Mapping[str, Manifest], assignments: Sequence[Assignment]
) -> dict[str, dict[str, int | str]]:
    """The value of every parameter of every signal: its default, or the last that was assigned."""
    values = {
        signal: {name: default_of(parameter) for name, parameter in manifest.parameters.items()}
        for signal, manifest in manifests.items()
    }
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
