"""``orchestrate spool``: what waits on disk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable
    from pathlib import Path

    from orchestrator.delivery.spool import Entry
    from orchestrator.spools import About

__all__ = ("add_arguments", "run")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of ``spool``."""
    parser.add_argument("--config", metavar="FILE", help="the YAML file that the runs had, if it names a spool")
    parser.add_argument("--json", action="store_true", help="for machines")


def run(arguments: argparse.Namespace) -> int:
    """Print a paragraph, or a JSON object, for each destination."""
    from config.settings import load_run_settings  # noqa: PLC0415
    from orchestrator.options import spool_wish  # noqa: PLC0415
    from orchestrator.spools import spool_folders  # noqa: PLC0415
    from orchestrator.trust import read_trusted  # noqa: PLC0415

    wish = spool_wish(load_run_settings(arguments.config, read_trusted), arguments.config)
    described = [_describe(folder, about) for folder, about in spool_folders(wish.directory)]
    if arguments.json:
        import json  # noqa: PLC0415

        print(json.dumps({"directory": str(wish.directory), "destinations": described}, indent=2))
        return 0
    print(f"{wish.directory}: {len(described)} destination{'' if len(described) == 1 else 's'}")
    for one in described:
        print(f"{one['endpoint']} ({one['protocol']}), {one['bytes']:,} bytes in {one['folder']}")
        for what in ("waiting", "refused"):
            print(f"  {what}: {one[what]['requests']:,} requests{_listed(one[what]['items'])}")
        for cause, items in one["lost"].items():
            print(f"  lost ({cause}){_listed(items)}")
    return 0


def _listed(items: dict[str, int]) -> str:
    return f": {', '.join(f'{count:,} of {signal}' for signal, count in items.items())}" if items else ""


def _describe(folder: Path, about: About) -> dict[str, Any]:
    from orchestrator.delivery.ledger import read_losses, reap  # noqa: PLC0415
    from orchestrator.delivery.spool import read_entries  # noqa: PLC0415

    reap(folder)
    entries = read_entries(folder)
    return {
        "folder": folder.name,
        "endpoint": about.shown,
        "protocol": about.protocol,
        "bytes": sum(entry.size for entry in entries),
        "waiting": _count(entry for entry in entries if not entry.is_refused),
        "refused": _count(entry for entry in entries if entry.is_refused),
        "lost": read_losses(folder),
    }


def _count(entries: Iterable[Entry]) -> dict[str, Any]:
    requests, items = 0, dict[str, int]()
    for entry in entries:
        requests += 1
        items[entry.signal] = items.get(entry.signal, 0) + entry.items
    return {"requests": requests, "items": items}
