"""``orchestrate list``: the built-in signals."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse

    from config.manifest import Manifest
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
        print(json.dumps(rows, indent=2))
        return 0
    for row in rows:
        becomes = ", ".join(row["becomes"])
        print(f"{row['name']:<12} {becomes:<16} {row['summary']}")
        if not row["can_run"]:
            print(f"{'':<12} cannot run here: {'; '.join(row['reasons'])}")
    return 0


def _becomes(manifest: Manifest) -> list[str]:
    """The OTLP signals; events that are parts of spans are no logs."""
    spans = [*manifest.spans, *(shape for one in manifest.exchanges.values() for shape in (one.server, one.client))]
    parts = {*manifest.exchanges, *(one.end for one in manifest.exchanges.values())}
    parts |= {event for one in manifest.spans if not one.log for event in (one.event, one.end) if event}
    found = {
        "metrics": manifest.metrics or any(one.metrics for one in spans),
        "logs": manifest.events.keys() - parts,
        "traces": spans,
        "profiles": manifest.stacks,
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
        "becomes": _becomes(manifest),
        "parameters": sorted(manifest.parameters),
        "can_run": not reasons,
        "reasons": reasons,
    }
