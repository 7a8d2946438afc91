"""A capture -> the profiles in it: OTLP JSON lines, a recording, or what bpftrace printed itself."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

import msgspec

from orchestrator.errors import UsageError
from orchestrator.formats.merge import Merger
from orchestrator.options import ReplayOptions
from orchestrator.recording import read_header
from orchestrator.replay import begin_replay, opened, read_head
from orchestrator.report import losses
from orchestrator.signals.event_batch import EventBatch
from orchestrator.signals.model import LogRecord, Metric, Profile, Scope, Span
from parsers.stream import is_json

__all__ = ("Captured", "read_capture")

_CHUNK = 1 << 18
_COMPRESSED = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd")  # gzip, zstd
_WHAT_IT_CAN_BE = (
    "expected OTLP JSON lines (run --output), a recording (run --record), or what bpftrace printed; "
    "protobuf and compressed files are not read"
)


@dataclass(frozen=True, slots=True)
class Captured:
    """One profile for each kind in a capture, and one line for each thing that is missing in them."""

    profiles: Sequence[Profile]
    problems: Sequence[str]


def read_capture(options: ReplayOptions, stop: Callable[[], bool]) -> Captured:
    """Read the file to its end, or until ``stop``. Raises UsageError if it is no capture or holds no profiles."""
    merger = Merger()
    with opened(options.file) as (file, modified):
        head = read_head(file)
        if _read_line(head.lstrip().partition(b"\n")[0]) is not None:
            problems = _read_otlp(options, head, file, merger, stop)
            mend = "`orchestrate list` shows which signals have some"
        else:
            problems = _read_output(options, head, (file, modified), merger, stop)
            mend = "--script FILE.bt or --signal NAME says what its maps mean, if it does not say so itself"
    profiles = merger.profiles()
    if not profiles:
        raise UsageError(f"{options.file} holds no profiles{f' ({problems[0]})' if problems else ''}; {mend}")
    return Captured(profiles, problems)


class _Line(msgspec.Struct, rename="camel"):
    """What a line of OTLP holds: one of these."""

    resource_profiles: msgspec.Raw = msgspec.Raw()
    resource_logs: msgspec.Raw = msgspec.Raw()
    resource_metrics: msgspec.Raw = msgspec.Raw()
    resource_spans: msgspec.Raw = msgspec.Raw()


_decode_line = msgspec.json.Decoder(_Line).decode


def _read_line(line: bytes) -> _Line | None:
    """None if it is no OTLP."""
    try:
        found = _decode_line(line)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    holds = (found.resource_profiles, found.resource_logs, found.resource_metrics, found.resource_spans)
    return found if any(holds) else None


def _read_otlp(
    options: ReplayOptions, head: bytes, file: BinaryIO, merger: Merger, stop: Callable[[], bool]
) -> list[str]:
    if options.signals:
        raise UsageError(f"--script, --signal: {options.file} is OTLP, which says itself what it holds")
    from orchestrator.otlp.read_profiles import parse_profiles, read_profiles  # noqa: PLC0415 - protobuf

    unread, first = 0, ""
    for number, line in enumerate(_lines(head, file), 1):
        if stop():
            return [_stopped(options.file)]
        if not line.strip():
            continue
        found = _read_line(line)
        try:
            if found is None:
                raise ValueError("no OTLP" if line.endswith(b"\n") else "cut off")
            if found.resource_profiles:
                merger.add(read_profiles(parse_profiles(line)))
        except ValueError as error:
            unread, first = unread + 1, first or f"line {number}: {error}"
    return [f"{unread:,} lines of {options.file} could not be read; the first: {first}"] if unread else []


def _lines(head: bytes, file: BinaryIO) -> Iterator[bytes]:
    yield from io.BytesIO(head + file.readline())
    yield from file


def _read_output(
    options: ReplayOptions, head: bytes, opened: tuple[BinaryIO, int], merger: Merger, stop: Callable[[], bool]
) -> list[str]:
    file, modified = opened
    _check(options, head)
    header = read_header(head.partition(b"\n")[0])
    sink = _Profiles()
    replay = begin_replay(options, head, header, modified, sink)
    replay.feed(head.partition(b"\n")[2] if header else head)
    while not stop() and (chunk := file.read(_CHUNK)):
        replay.feed(chunk)
        merger.add(sink.take())
    replay.close()
    merger.add(sink.take())
    problems = [_stopped(options.file)] if stop() else []
    problems = problems or replay.cuts(options.file)
    return [*problems, *(loss for pipeline in replay.pipelines for loss in losses(pipeline))]


def _check(options: ReplayOptions, head: bytes) -> None:
    is_other = (head.lstrip().startswith(b"{") or b"\0" in head) and not is_json(head) and not options.signals
    if head.startswith(_COMPRESSED) or is_other:
        raise UsageError(f"{options.file} is no capture: {_WHAT_IT_CAN_BE}")


def _stopped(file: str) -> str:
    return f"stopped before the end of {file}: what came after is missing"


@dataclass(slots=True)
class _Profiles:
    """A sink that keeps profiles and nothing else."""

    kept: list[Profile] = field(default_factory=list)

    def take(self) -> list[Profile]:
        """What came since it was last asked."""
        kept, self.kept = self.kept, []
        return kept

    def profile(self, _scope: Scope, profile: Profile) -> None:
        self.kept.append(profile)

    def log(self, scope: Scope, record: LogRecord) -> None:
        pass

    def events(self, scope: Scope, batch: EventBatch) -> None:
        pass

    def metrics(self, metrics: dict[Scope, list[Metric]]) -> None:
        pass

    def span(self, scope: Scope, span: Span) -> None:
        pass
