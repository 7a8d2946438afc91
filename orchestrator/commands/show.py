"""``orchestrate show``: a signal's program as it would be run, and what it becomes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from config.manifest import Attribute, Manifest, SpanShape
    from orchestrator.catalog import Signal

__all__ = ("add_arguments", "run")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of ``show``."""
    parser.add_argument("signal", metavar="SIGNAL", help="a signal (`orchestrate list`) or the path of a .bt file")
    parser.add_argument(
        "--manifest", action="store_true", help="its manifest, of a .bt file without one the inferred: a starting point"
    )
    parser.add_argument("--set", metavar="NAME=VALUE", action="append", default=[], help="a parameter, as for run")


def run(arguments: argparse.Namespace) -> int:
    """Print the manifest's meaning as comments, then the rendered program: the whole is a bpftrace program."""
    from config.dump import as_yaml  # noqa: PLC0415
    from config.parameters import resolve_parameters  # noqa: PLC0415
    from orchestrator.bpftrace.launch import Launch  # noqa: PLC0415
    from orchestrator.catalog import load_signal  # noqa: PLC0415
    from orchestrator.host import Host  # noqa: PLC0415
    from orchestrator.options import read_assignments  # noqa: PLC0415

    signal = load_signal(arguments.signal)
    if arguments.manifest:
        print(as_yaml(signal.manifest), end="")
        return 0
    values = resolve_parameters({signal.name: signal.manifest}, read_assignments(arguments.set))[signal.name]
    for line in _meaning(signal.resolved(values)):
        print(f"// {line}".rstrip())
    print(Launch("", {}, {signal.name: signal.render(values, Host())}, {}, 10.0).program([signal]).strip())
    return 0


def _meaning(signal: Signal) -> Iterator[str]:
    manifest = signal.manifest
    yield manifest.summary
    yield ""
    if manifest.traces:
        yield manifest.traces
    if manifest.cost:
        yield f"Cost: {manifest.cost}"
    if manifest.kernel:
        yield f"Needs Linux {manifest.kernel}, bpftrace {manifest.bpftrace}, or newer."
    for title, lines in (
        ("Parameters (--set NAME=VALUE):", _parameter_lines(manifest)),
        ("Maps and the metrics they become:", _metric_lines(manifest)),
        ("Maps and the log records they become:", [f"@{name} -> {text.name}" for name, text in manifest.texts.items()]),
        ("Maps with stacks and the profiles they become:", _stack_lines(manifest)),
        ("Events and the spans they become:", _span_lines(manifest)),
        ("Events and the log records they become:", [*_event_lines(signal), *_print_lines(signal)]),
    ):
        if lines:
            yield from ["", title, *(f"  {line}" for line in lines)]
    yield ""


def _parameter_lines(manifest: Manifest) -> list[str]:
    from config.parameters import describe  # noqa: PLC0415

    def shown(default: object) -> object:
        return str(default).lower() if isinstance(default, bool) else "(none)" if default == "" else default

    return [
        f"{name}={shown(parameter.default)}  {parameter.help} ({describe(parameter)})"
        for name, parameter in manifest.parameters.items()
    ]


def _metric_lines(manifest: Manifest) -> list[str]:
    return [
        f"@{name}[{_joined(metric.keys)}] -> {metric.instrument} {metric.name} ({metric.unit})"
        for name, metric in manifest.metrics.items()
    ]


def _stack_lines(manifest: Manifest) -> list[str]:
    lines = []
    for name, stack in manifest.stacks.items():
        keys = ", ".join(key.attribute or key.type for key in stack.keys)
        profiles = [f"{one.type} ({one.unit})" for one in stack.profiles]
        lines.append(f"@{name}[{keys}] -> {', '.join(profiles) or 'counted only: its values cannot be added up'}")
    return lines


def _span_lines(manifest: Manifest) -> list[str]:
    lines: list[str] = []
    for rule in manifest.spans:
        events = f"{rule.event} to {rule.end} by {', '.join(rule.key)}" if rule.end else rule.event
        lines += _shape_lines(events, rule)
    for tag, exchange in manifest.exchanges.items():
        for shape in (exchange.server, exchange.client):
            lines += _shape_lines(f"{tag} ({exchange.protocol})", shape)
    return lines


def _shape_lines(events: str, shape: SpanShape) -> Iterator[str]:
    parent = f", child of {shape.parent}" if shape.parent else ""
    yield f"{events} -> {shape.kind} span {shape.name}{parent}"
    keep = shape.keep
    kept = [f"{name} of {wanted}" for name, wanted in keep.only.items() if wanted]
    if keep.min_duration:
        kept.append(f"a duration of at least {keep.min_duration} ns")
    if keep.one_in != 1:
        kept.append(f"one trace in {keep.one_in}")
    if kept:
        yield f"  kept: {', '.join(kept)}"
    if shape.metrics:
        kinds = {"duration": "histogram", "count": "counter"}
        yield f"  all: {', '.join(f'{kinds[one.of]} {one.name} ({one.unit})' for one in shape.metrics)}"


def _event_lines(signal: Signal) -> list[str]:
    return [
        f"{tag} -> {event.name}: {_joined([*event.fields, *event.parts.values()])}"
        for tag, event in signal.manifest.events.items()
        if tag not in signal.span_events
    ]


def _print_lines(signal: Signal) -> list[str]:
    lines = {
        one.name: _joined([field for piece in one.pieces for field in piece.fields])
        for one in signal.manifest.prints
        if one.name not in signal.span_events
    }
    return [f"{name}: {fields or '(text)'}" for name, fields in lines.items()]


def _joined(attributes: Sequence[Attribute]) -> str:
    return ", ".join(filter(None, [attribute.attribute for attribute in attributes]))
