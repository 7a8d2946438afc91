"""Profiles for other tools: a capture in, one file of pprof, folded stacks or speedscope out."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator import __version__
from orchestrator.captured import read_capture
from orchestrator.errors import OrchestratorError, UsageError
from orchestrator.formats.merge import Kind, kind_of
from orchestrator.options import ReplayOptions, are_one_file, recorded_signals
from orchestrator.signals.model import Profile
from orchestrator.stop import Stop
from orchestrator.terminal import Terminal
from orchestrator.wishes import Wishes

__all__ = ("ConvertOptions", "run_convert")

_ENDINGS = {"pprof": ".pb.gz", "folded": None, "speedscope": ".speedscope.json"}


@dataclass(frozen=True, slots=True)
class ConvertOptions:
    """What to read, and what to make of it. ``type`` is None for all that there is; ``output`` may be ``-``."""

    capture: ReplayOptions
    format: str
    type: str | None
    output: str

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> ConvertOptions:
        """Read and check flags. Raises ConfigError and UsageError."""
        output = arguments.output or _default_output(arguments.file, arguments.to)
        if output != "-" and are_one_file(output, arguments.file):
            raise UsageError(f"--output {output} is the capture itself; give another file")
        capture = ReplayOptions(arguments.file, recorded_signals(arguments), None, Wishes(output, (), False, None))
        if arguments.to == "pprof" and output == "-" and sys.stdout.isatty():
            raise UsageError("--output -: pprof is binary, and standard output is a terminal; give a file or a pipe")
        return cls(capture, arguments.to, arguments.type, output)


def _default_output(file: str, to: str) -> str:
    """In the current folder, like what ``run`` writes."""
    ending = _ENDINGS[to]
    return "-" if ending is None else ("stdin" if file == "-" else Path(file).stem) + ending


def run_convert(options: ConvertOptions) -> int:
    """Do it; return the exit code."""
    terminal, stop = Terminal(), Stop()
    with stop.on_signals():
        captured = read_capture(options.capture, stop)
    profiles = _chosen(options, captured.profiles)
    _write(options.output, _converted(options, profiles))
    for problem in captured.problems:
        terminal.say(f"orchestrate: {problem}")
    terminal.say(_closing_line(profiles, options.output))
    return 1 if captured.problems else 0


def _chosen(options: ConvertOptions, profiles: Sequence[Profile]) -> Sequence[Profile]:
    """The profiles of the type that was asked for. Folded stacks can hold only what can be added up."""
    wanted, file = options.type, options.capture.file
    kinds = list(dict.fromkeys(map(kind_of, profiles)))
    chosen = [kind for kind in kinds if wanted is None or wanted in (kind.sample_type.type, kind.name)]
    if not chosen:
        raise UsageError(f"--type {wanted}: {file} has {_listed(kinds)}")
    if options.format == "folded" and len(chosen) > 1:
        raise UsageError(f"{file} has {_listed(chosen)}, and folded stacks hold one type: choose it with --type")
    return [profile for profile in profiles if kind_of(profile) in chosen]


def _listed(kinds: Sequence[Kind]) -> str:
    """The short names of types; the long ones where two share the short one."""
    types = [kind.sample_type.type for kind in kinds]
    return ", ".join(kind.sample_type.type if types.count(kind.sample_type.type) == 1 else kind.name for kind in kinds)


def _converted(options: ConvertOptions, profiles: Sequence[Profile]) -> bytes:
    if options.format == "pprof":
        from orchestrator.formats.pprof import to_pprof  # noqa: PLC0415 - protobuf, which the others do without

        return to_pprof(profiles)
    if options.format == "folded":
        from orchestrator.formats.folded import to_folded  # noqa: PLC0415

        return to_folded(profiles)
    from orchestrator.formats.speedscope import to_speedscope  # noqa: PLC0415

    title = "standard input" if options.capture.file == "-" else Path(options.capture.file).name
    return to_speedscope(profiles, title, f"bpftrace-orchestrator@{__version__}")


def _write(path: str, data: bytes) -> None:
    """Readable by its owner only, as captures are: it tells what ran on a host."""
    if path == "-":
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_TRUNC, 0o600)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
    except OSError as error:
        raise OrchestratorError(f"{path} is not whole: {error.strerror}") from None


def _closing_line(profiles: Sequence[Profile], output: str) -> str:
    """``samples 1,234 count, off_cpu 5,678 nanoseconds: 321 samples of 56 stacks -> capture.pb.gz``."""
    totals: dict[Kind, int] = {}
    for profile in profiles:
        kind = kind_of(profile)
        totals[kind] = totals.get(kind, 0) + sum(sample.value for sample in profile.samples)
    shown = ", ".join(f"{kind.sample_type.type} {total:,} {kind.sample_type.unit}" for kind, total in totals.items())
    samples = [sample for profile in profiles for sample in profile.samples]
    stacks = {sample.stack for sample in samples}
    where = "standard output" if output == "-" else output
    return f"{shown}: {len(samples):,} samples of {len(stacks):,} stacks -> {where}"
