"""What is wrong with the ``spans`` of a manifest: what they name must be there."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, pairwise

from config.loader import nearest
from config.manifest import (
    Attribute,
    ChoiceParameter,
    DurationParameter,
    Exchange,
    Field,
    IntParameter,
    Manifest,
    Parameter,
    Span,
    SpanMetric,
    SpanShape,
    StringParameter,
)
from config.spans import END_FIELDS, OPTIONS, SEGMENT_FIELDS

__all__ = ("span_problems",)

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


class _Known:
    """What the records of an event hold: ``values`` are attributes, and fields that have a name only."""

    def __init__(self, everything: Iterable[Attribute], constants: Iterable[str]) -> None:
        items = list(everything)
        self.attributes = [*constants, *chain.from_iterable(_attributes(item) for item in items)]
        self.values = [*self.attributes, *filter(None, (getattr(item, "name", None) for item in items))]

    def __add__(self, other: _Known) -> _Known:
        both = _Known([], [])
        both.attributes = [*self.attributes, *other.attributes]
        both.values = [*self.values, *other.values]
        return both


def span_problems(manifest: Manifest) -> Iterator[str]:
    """One sentence for each problem."""
    events = _events(manifest)
    for index, rule in enumerate(manifest.spans):
        yield from _rule_problems(f"spans.{index} ({rule.event})", rule, events)
    for index, rule in enumerate(manifest.spans):
        yield from _shape_problems(f"spans.{index} ({rule.event})", rule, manifest.parameters)
    for tag, exchange in manifest.exchanges.items():
        yield from _missing_fields(f"exchanges.{tag}", tag, SEGMENT_FIELDS, events)
        yield from _missing_fields(f"exchanges.{tag}.end", exchange.end, END_FIELDS, events)
        yield from _shape_problems(f"exchanges.{tag}.server", exchange.server, manifest.parameters)
        yield from _shape_problems(f"exchanges.{tag}.client", exchange.client, manifest.parameters)
        yield from _option_problems(f"exchanges.{tag}.options", exchange, manifest.parameters)
    yield from _double_metrics(manifest)


def _missing_fields(where: str, tag: str, wanted: Iterable[str], events: dict[str, _Known]) -> Iterator[str]:
    if tag not in events:
        yield f"{where}: no event {tag!r}{nearest(tag, list(events))}"
        return
    for name in wanted:
        if name not in events[tag].values:
            yield f"{where}: event {tag!r} has no field {name!r}{nearest(name, events[tag].values)}"


def _option_problems(where: str, exchange: Exchange, parameters: dict[str, Parameter]) -> Iterator[str]:
    known = OPTIONS[exchange.protocol]
    for option, value in exchange.options.items():
        if option not in known:
            yield f"{where}: no option {option!r}{nearest(option, list(known))}"
        if isinstance(value, str) and not isinstance(parameters.get(value), (ChoiceParameter, IntParameter)):
            yield f"{where}: {option}: {value!r} is no parameter that is a choice or an int"


def _events(manifest: Manifest) -> dict[str, _Known]:
    """What is known of each event by its tag, and of each printed line by its name."""
    events = {
        tag: _Known([*_values(event.fields), *event.parts.values()], event.attributes)
        for tag, event in manifest.events.items()
    }
    for line in manifest.prints:
        fields = [field for piece in line.pieces for field in piece.fields if field.equals is None]
        known = _Known(_values(fields), line.attributes)
        events[line.name] = events[line.name] + known if line.name in events else known
    return events


def _values(fields: Iterable[Field]) -> list[Field]:
    """The fields with a value of their own; the time is that of the record."""
    return [field for field in fields if field.type != "time"]


def _rule_problems(where: str, rule: Span, events: dict[str, _Known]) -> Iterator[str]:
    names = [rule.event, *filter(None, [rule.end])]
    missing = [name for name in names if name not in events]
    yield from (f"{where}: no event or printed line {name!r}{nearest(name, list(events))}" for name in missing)
    if (rule.duration is None) == (rule.end is None):
        yield f"{where}: a span has either `duration` or `end`"
        return
    if rule.end is None and rule.key:
        yield f"{where}: `key` is for two events that pair, and there is no `end`"
    if rule.end is not None and not rule.key:
        yield f"{where}: `key` is missing: it tells whose end an event is"
    if rule.end == rule.event:
        yield f"{where}: the same event cannot be both the beginning and the end"
    if not missing:
        yield from _name_problems(where, rule, [events[name] for name in names])


def _name_problems(where: str, rule: Span, halves: Sequence[_Known]) -> Iterator[str]:
    """What a rule names, and no event has; a key must be in both of them."""
    for event, known in zip([rule.event, rule.end], halves, strict=False):
        for name in rule.key:
            yield from _absent(f"{where}: key: {event} has no field or attribute", name, known.values)
    either = sum(halves[1:], halves[0])
    named = [("duration", rule.duration), ("parent", rule.parent), *(("links", link) for link in rule.links)]
    for word, value in named:
        if value is not None:
            yield from _absent(f"{where}: {word}: no field or attribute", value, either.values)
    attributes = [*rule.attributes, *either.attributes]
    for word, name in [
        *(("name", name) for name in _PLACEHOLDER.findall(rule.name)),
        *(("keep", name) for name in rule.keep.only),
        *((metric.name, name) for metric in rule.metrics for name in metric.attributes),
    ]:
        yield from _absent(f"{where}: {word}: no attribute", name, attributes)


def _absent(sentence: str, name: str, known: list[str]) -> Iterator[str]:
    if name not in known:
        yield f"{sentence} {name!r}{nearest(name, known)}"


def _shape_problems(where: str, shape: SpanShape, parameters: dict[str, Parameter]) -> Iterator[str]:
    keep = shape.keep
    if isinstance(keep.min_duration, int) and keep.min_duration < 0:
        yield f"{where}: keep: min_duration {keep.min_duration} is negative"
    if isinstance(keep.one_in, int) and keep.one_in < 1:
        yield f"{where}: keep: one_in {keep.one_in} keeps nothing; 1 keeps all"
    for word, name, types in [
        ("min_duration", keep.min_duration, (DurationParameter, IntParameter)),
        ("one_in", keep.one_in, (IntParameter,)),
        *(("only", name, (StringParameter, IntParameter)) for name in keep.only.values()),
    ]:
        if isinstance(name, str) and name in parameters and not isinstance(parameters[name], types):
            kinds = " or ".join(str(kind.__struct_config__.tag) for kind in types)
            yield f"{where}: keep: {word}: parameter {name!r} is no {kinds}"
    for metric in shape.metrics:
        yield from _metric_problems(f"{where}: {metric.name}", metric)


def _metric_problems(where: str, metric: SpanMetric) -> Iterator[str]:
    if metric.of == "duration" and metric.unit != "s":
        yield f"{where}: a duration is in s, not in {metric.unit}"
    if metric.of == "count" and metric.unit == "s":
        yield f"{where}: unit is missing: a count is of things, such as {{request}}"
    if any(low >= high for low, high in pairwise(metric.bounds)):
        yield f"{where}: each of the bounds must be above the one before it"


def _double_metrics(manifest: Manifest) -> Iterator[str]:
    shapes = [
        *manifest.spans,
        *(shape for exchange in manifest.exchanges.values() for shape in (exchange.server, exchange.client)),
    ]
    names = [metric.name for shape in shapes for metric in shape.metrics]
    counts = Counter([*names, *{metric.name for metric in manifest.metrics.values()}])
    yield from (f"two metrics are called {name!r}" for name in dict.fromkeys(names) if counts[name] > 1)


def _attributes(item: Attribute) -> list[str]:
    return [*filter(None, [item.attribute]), *item.also]
