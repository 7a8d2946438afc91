"""What is wrong between the two halves of a pair, found when it is loaded and not while it runs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain

from config.loader import nearest
from config.manifest import (
    Attribute,
    ChoiceParameter,
    Event,
    Field,
    IntParameter,
    Key,
    Manifest,
    Metric,
    Parameter,
    Part,
    Piece,
    StackMap,
    StringParameter,
)
from config.parameters import default_of, literals, value_of
from config.resolve import asked_parameters
from orchestrator.signals.decoders import DECODERS, INPUTS
from orchestrator.span_problems import span_problems
from parsers.source import getopt_defaults, map_names, positional_parameters, string_literal

__all__ = ("OWN_PID", "problems")

# What any program can ask for, to leave out what we do ourselves: sending what it traces, for one.
OWN_PID = "orchestrator_pid"

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_SAID_OF_EVERY_SIGNAL = ("traces", "cost", "kernel", "bpftrace")
_NUMBERS = ("counter", "updowncounter", "gauge")
# What can be made of a map, by the function that fills it.
_INSTRUMENTS: dict[str, tuple[str, ...]] = {
    "avg": ("gauge",),
    "count": _NUMBERS,
    "hist": ("histogram",),
    "lhist": ("histogram",),
    "max": ("gauge",),
    "min": ("gauge",),
    "stats": ("histogram", "gauge"),
    "sum": _NUMBERS,
    "tseries": ("gauge",),
}


def problems(program: str, source: str, manifest: Manifest) -> Iterator[str]:
    """One sentence for each problem; ``program`` is the name of the .bt file, ``source`` its text."""
    yield from _parameter_problems(program, source, manifest)
    if manifest.process == "shared":
        yield from (f"{word} is missing" for word in _SAID_OF_EVERY_SIGNAL if not getattr(manifest, word))
    maps = list(map_names(source))
    twins = [stack.twin for stack in manifest.stacks.values() if stack.twin]
    if twins and manifest.process == "own":
        yield f"stacks: twin {twins[0]!r}: only maps of signals with process: shared can take turns"
    meant = [*manifest.metrics, *manifest.texts, *manifest.stacks, *twins, *filter(None, [manifest.emitted])]
    for name in meant:
        if name not in maps and not (name == "" and re.search(r"@(?!\w)", source)):
            yield f"{program} has no map @{name}{nearest(name, maps)}"
    if manifest.events and not manifest.emitted and manifest.process == "shared":
        yield "events without `emitted`, the map in which the program counts them: their loss would not be known"
    for tag, event in manifest.events.items():
        yield from _event_problems(program, source, tag, event)
    for name, metric in manifest.metrics.items():
        yield from _metric_problems(source, name, metric)
    for name, stack in manifest.stacks.items():
        yield from _frequency_problems(f"stacks.{name}", stack, manifest.parameters)
    texts = {name: text.keys for name, text in manifest.texts.items()}
    stacks = {name: stack.keys for name, stack in manifest.stacks.items()}
    for name, keys in {**texts, **stacks}.items():
        for key in keys:
            yield from _decoder_problems(name, key, key.type)
    for index, line in enumerate(manifest.prints):
        for piece in line.pieces:
            yield from _piece_problems(f"prints.{index} ({line.name})", piece)
    yield from span_problems(manifest)


def _parameter_problems(program: str, source: str, manifest: Manifest) -> Iterator[str]:
    # What a program asks for that was written without us, it may write as it likes.
    is_ours = manifest.process == "shared"
    bad = [
        f"parameter {name!r}: {why}"
        for name, given in manifest.parameters.items()
        if is_ours and (why := _bad_default(given))
    ]
    if bad:
        yield from bad
        return
    asked = {**getopt_defaults(source), **dict.fromkeys(positional_parameters(source))}
    offered = {name: literals({name: default_of(given)}) for name, given in manifest.parameters.items()}
    for name in asked:
        if name not in {*chain.from_iterable(offered.values()), *manifest.host, OWN_PID}:
            yield f"{program} asks for {name!r}, which is neither a parameter nor a host fact"
    wanted = asked_parameters(manifest)
    for name in wanted - offered.keys():
        yield f"the manifest asks for {name!r}, which is no parameter{nearest(name, list(offered))}"
    for name, values in offered.items():
        if name not in wanted and not values.keys() & asked.keys():
            yield f"parameter {name!r} is not used by {program}"
        for part, value in values.items() if is_ours else ():
            if asked.get(part, _literal(value)) != _literal(value):
                yield f"parameter {part!r} has default {_literal(value)}, but {program} has {asked[part]}"


def _bad_default(parameter: Parameter) -> str:
    if isinstance(parameter, ChoiceParameter) and parameter.default not in parameter.choices:
        return f"default {parameter.default!r} is none of its choices"
    if isinstance(parameter, StringParameter):
        try:
            re.compile(parameter.pattern)
        except re.error as error:
            return f"pattern {parameter.pattern!r} is no regular expression ({error})"
    try:
        value_of(parameter, str(parameter.default))
    except ValueError:
        return f"default {parameter.default!r} is not a value that it takes"
    return ""


def _literal(value: int | str) -> str:
    return string_literal(value) if isinstance(value, str) else str(value)


def _metric_problems(source: str, name: str, metric: Metric) -> Iterator[str]:
    where = f"metrics.{name}"
    for function in re.findall(rf"@{name}(?!\w)(?:\s*\[[^\]=]*\])?\s*=\s*(\w+)\(", source):
        if metric.instrument not in _INSTRUMENTS.get(function, (metric.instrument,)):
            yield f"{where}: @{name} is {function}(), which can be a {' or '.join(_INSTRUMENTS[function])}"
    if metric.range and metric.range[0] > metric.range[1]:
        yield f"{where}: range {list(metric.range)} ends before it begins"
    for key in metric.keys:
        yield from _decoder_problems(where, key, key.type)
    yield from _doubles(where, metric.keys)


def _frequency_problems(where: str, stack: StackMap, parameters: dict[str, Parameter]) -> Iterator[str]:
    for profile in stack.profiles:
        asked = profile.frequency
        given = parameters.get(asked) if isinstance(asked, str) else None
        if given is None:
            continue
        if not isinstance(given, IntParameter):
            yield f"{where}: frequency: parameter {asked!r} is no int"
        elif given.range is None or given.range[0] < 1:
            yield f"{where}: frequency: parameter {asked!r} may be 0 or less; give it a range from 1 on"


def _event_problems(program: str, source: str, tag: str, event: Event) -> Iterator[str]:
    where = f"events.{tag}"
    if f'("{tag}"' not in source:
        yield f"{program} prints no event {tag!r}"
    if sum(field.type == "time" for field in event.fields) != 1:
        yield f"{where}: exactly one field has to have type: time"
    for field in event.fields:
        yield from _decoder_problems(where, field, field.type)
    for part_tag, part in event.parts.items():
        yield from _part_problems(program, source, f"{where}.parts.{part_tag}", part_tag, part, event.fields)
    everything: list[Attribute] = [*event.fields, *event.parts.values()]
    yield from _doubles(where, everything)
    known = [*event.attributes, *chain.from_iterable(_names(attribute) for attribute in everything)]
    for name in _PLACEHOLDER.findall(event.body):
        if name not in known:
            yield f"{where}: body: no attribute {name!r}{nearest(name, known)}"


def _piece_problems(where: str, piece: Piece) -> Iterator[str]:
    kinds = [piece.printf is not None, piece.time is not None, piece.join, piece.print]
    if sum(kinds) != 1:
        yield f"{where}: a piece is exactly one of printf, time, join and print"
    from parsers.printf import PrintfMatcher  # noqa: PLC0415 - built-in signals have none

    try:
        arguments = PrintfMatcher(piece.printf).conversions if piece.printf is not None else len(piece.fields)
    except ValueError as error:
        yield f"{where}: {piece.printf!r} is no printf format: {error}"
        return
    if len(piece.fields) > arguments:
        yield f"{where}: {piece.printf!r} prints {arguments} values, but there are {len(piece.fields)} fields"
    for field in piece.fields:
        yield from _decoder_problems(where, field, "int" if field.type == "int" else "string")


def _part_problems(  # noqa: PLR0913, PLR0917 - all of them stand in the sentences
    program: str, source: str, where: str, tag: str, part: Part, fields: list[Field]
) -> Iterator[str]:
    names = [field.name for field in fields if field.name]
    if part.size is not None and part.size not in names:
        yield f"{where}: no field {part.size!r} in the event{nearest(part.size, names)}"
    if not re.search(rf'"{re.escape(tag)}[" ]', source):
        yield f"{program} prints no part {tag!r}"
    if part.decode is None and part.attribute is not None:
        yield f"{where}: decode is missing: a part is bytes, and needs a decoder such as c_string or argv"
    yield from _decoder_problems(where, part, "bytes")


def _decoder_problems(where: str, attribute: Attribute, kind: str) -> Iterator[str]:
    decoders = [*filter(None, [attribute.decode]), *attribute.also.values()]
    for decoder in decoders:
        if decoder not in DECODERS:
            yield f"{where}: no decoder {decoder!r}{nearest(decoder, list(DECODERS))}"
    # What is derived sees the value itself, or what the decoder has made of it.
    for decoder in [attribute.decode] if attribute.decode else decoders:
        takes = INPUTS.get(decoder, (kind,))
        if kind not in takes:
            yield f"{where}: decoder {decoder!r} takes {' or '.join(takes)}, but the value is {kind}"


def _names(attribute: Attribute) -> list[str]:
    return [*filter(None, [attribute.attribute]), *attribute.also]


def _doubles(where: str, attributes: list[Key] | list[Attribute]) -> Iterator[str]:
    names = [name for attribute in attributes for name in _names(attribute)]
    for name in dict.fromkeys(names):
        if names.count(name) > 1:
            yield f"{where}: two values are called {name!r}"
