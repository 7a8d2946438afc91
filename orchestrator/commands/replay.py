"""``orchestrate replay``: telemetry from what was recorded, without bpftrace or root."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

__all__ = ("add_arguments", "run")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of ``replay``; they are a contract."""
    parser.add_argument(
        "file", metavar="FILE|-", help="a recording (run --record), or bpftrace's own output, JSON or text"
    )
    meaning = parser.add_mutually_exclusive_group()
    meaning.add_argument("--script", metavar="FILE.bt", help="the program that printed it; a manifest beside it counts")
    meaning.add_argument("--signal", metavar="NAME[,NAME...]", help="the built-in signals that printed it")
    parser.add_argument(
        "--start",
        metavar="TIME",
        help="when it began, 2026-11-23T05:41:00+01:00 or Unix seconds; default: from the recording, the times in it, "
        "or the file's own",
    )
    parser.add_argument("--config", metavar="FILE", help="a YAML file with defaults (README)")
    parser.add_argument("--output", metavar="FILE|-", help="write OTLP JSON lines; - is standard output")
    parser.add_argument("--otlp-endpoint", metavar="URL", help="send OTLP there (or OTEL_EXPORTER_OTLP_ENDPOINT)")
    parser.add_argument("--otlp-protocol", metavar="PROTOCOL", help="grpc, http/protobuf or http/json")
    parser.add_argument("--quiet", action="store_true", help="say only what goes wrong")
    parser.add_argument("--summary", action="store_true", help="print the summary also when stderr is no terminal")


def run(arguments: argparse.Namespace) -> int:
    """Replay to the end of the file; return the exit code."""
    from orchestrator.options import replay_options  # noqa: PLC0415
    from orchestrator.replay import run_replay  # noqa: PLC0415

    return run_replay(replay_options(arguments))
