"""``orchestrate flush``: send what earlier runs could not."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

__all__ = ("add_arguments", "run")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of ``flush``."""
    parser.add_argument("--config", metavar="FILE", help="the YAML file that the runs had, if it names a spool")
    parser.add_argument(
        "--otlp-endpoint", metavar="URL", help="send all of it there (default: each request to where it was to go)"
    )
    parser.add_argument("--otlp-protocol", metavar="PROTOCOL", help="grpc, http/protobuf or http/json")
    parser.add_argument("--refused", action="store_true", help="send what receivers refused, too")


def run(arguments: argparse.Namespace) -> int:
    """Send until nothing waits, or a receiver takes nothing for a while; return the exit code."""
    from orchestrator.flush import flush  # noqa: PLC0415

    return flush(arguments)
