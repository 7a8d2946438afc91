"""``orchestrate show``: a signal's program as it would be run, and what it becomes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from config.manifest import Manifest

__all__ = ("add_arguments", "run")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of ``show``."""
    parser.add_argument("signal", metavar="SIGNAL", help="a signal (`orchestrate list`) or the path of a .bt file")
    parser.add_argument("--set", metavar="NAME=VALUE", action="append", default=[], help="a parameter, as for run")


def run(arguments: argparse.Namespace) -> int:
    """Print the manifest's meaning as comments, then the rendered program: the whole is a bpftrace program."""
    from config.parameters import resolve_parameters  # noqa: PLC0415
    from orchestrator.catalog import load_signal  # noqa: PLC0415
    from orchestrator.host import Host  # noqa: PLC0415
    from orchestrator.options import read_assignments  # noqa: PLC0415
    from orchestrator.program import join_programs  # noqa: PLC0415

    signal = load_signal(arguments.signal)
    values = resolve_parameters({signal.name: signal.manifest}, read_assignments(arguments.set))[signal.name]
    for line in _meaning(signal.manifest):
        print(f"// {line}".rstrip())
    print(join_programs({signal.name: signal.render(values, Host())}, [signal], 10.0).strip())
    return 0


def _meaning(manifest: Manifest) -> Iterator[str]:
    from config.parameters import describe  # noqa: PLC0415

    yield manifest.summary
    yield ""
    yield manifest.traces
    yield f"Cost: {manifest.cost}"
    yield f"Needs Linux {manifest.kernel}, bpftrace {manifest.bpftrace}, or newer."
    yield ""
    yield "Parameters (--set NAME=VALUE):"
    for name, parameter in manifest.parameters.items():
        default = str(parameter.default).lower() if isinstance(parameter.default, bool) else parameter.default
        yield f"  {name}={default}  {parameter.help} ({describe(parameter)})"
    if manifest.metrics:
        yield ""
        yield "Maps and the metrics they become:"
    for map_name, metric in manifest.metrics.items():
        keys = ", ".join(filter(None, [key.attribute for key in metric.keys]))
        yield f"  @{map_name}[{keys}] -> {metric.instrument} {metric.name} ({metric.unit})"
    if manifest.events:
        yield ""
        yield "Events and the log records they become:"
    for tag, event in manifest.events.items():
        attributes = [field.attribute for field in event.fields] + [part.attribute for part in event.parts.values()]
        yield f"  {tag} -> {event.name}: {', '.join(filter(None, attributes))}"
    yield ""
