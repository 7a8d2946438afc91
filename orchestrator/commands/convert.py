"""``orchestrate convert``: the profiles of a capture in the formats of other tools."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

__all__ = ("add_arguments", "run")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of ``convert``; they are a contract."""
    parser.add_argument(
        "file",
        metavar="CAPTURE|-",
        help="OTLP JSON lines (run --output, or the Collector's file exporter), a recording (run --record), or "
        "bpftrace's own output, JSON or text",
    )
    parser.add_argument(
        "--to",
        choices=("pprof", "folded", "speedscope"),
        required=True,
        help="pprof (gzip'd protobuf), folded stacks (flamegraph.pl, inferno), or speedscope's JSON",
    )
    parser.add_argument(
        "--output",
        metavar="FILE|-",
        help="default: CAPTURE's name with .pb.gz or .speedscope.json in the current folder; folded: -, which is "
        "standard output",
    )
    parser.add_argument(
        "--type",
        metavar="TYPE",
        help="only samples of this type (samples, off_cpu, alloc_space, ...); default: all; folded can hold one only",
    )
    meaning = parser.add_mutually_exclusive_group()
    meaning.add_argument("--script", metavar="FILE.bt", help="the program that printed it; a manifest beside it counts")
    meaning.add_argument("--signal", metavar="NAME[,NAME...]", help="the built-in signals that printed it")


def run(arguments: argparse.Namespace) -> int:
    """Convert to the end of the file; return the exit code."""
    from orchestrator.convert import ConvertOptions, run_convert  # noqa: PLC0415

    return run_convert(ConvertOptions.of(arguments))
