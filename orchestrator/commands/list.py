"""``orchestrate list``: the built-in signals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse

    from orchestrator.catalog import Signal

__all__ = ("add_arguments", "run")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of ``list``."""
    parser.add_argument("--json", action="store_true", help="for machines")


def run(arguments: argparse.Namespace) -> int:
    """Print one line, or one JSON object, a signal."""
    from orchestrator.catalog import load_signal, signal_names  # noqa: PLC0415

    rows = [_describe(load_signal(name)) for name in signal_names()]
    if arguments.json:
        import json  # noqa: PLC0415 - the help of all commands does without

        print(json.dumps(rows, indent=2))
        return 0
    for row in rows:
        becomes = ", ".join(row["becomes"])
        print(f"{row['name']:<12} {becomes:<16} {row['summary']}")
        if not row["can_run"]:
            print(f"{'':<12} cannot run here: {'; '.join(row['reasons'])}")
    return 0


def _becomes(signal: Signal) -> list[str]:
    """The OTLP signals."""
    manifest = signal.manifest
    found = {
        "metrics": manifest.metrics or any(shape.metrics for shape in signal.span_shapes),
        "logs": manifest.events.keys() - signal.span_events,
        "traces": signal.span_shapes,
        "profiles": any(stack.profiles for stack in manifest.stacks.values()),
    }
    return [kind for kind, rules in found.items() if rules]


def _describe(signal: Signal) -> dict[str, Any]:
    from orchestrator.feasibility import reasons_against  # noqa: PLC0415
    from orchestrator.host import Host  # noqa: PLC0415

    manifest = signal.manifest
    reasons = reasons_against(signal, Host())
    return {
        "name": signal.name,
        "summary": manifest.summary,
        "traces": manifest.traces,
        "cost": manifest.cost,
        "becomes": _becomes(signal),
        "parameters": sorted(manifest.parameters),
        "can_run": not reasons,
        "reasons": reasons,
    }
