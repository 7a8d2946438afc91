"""A recording, or bpftrace's own output from anywhere -> the same telemetry as a run's."""

from __future__ import annotations

import os
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from config.manifest import Manifest
from orchestrator.allocator import keep_freed_memory
from orchestrator.catalog import Signal
from orchestrator.errors import UsageError
from orchestrator.limits import LIMITS
from orchestrator.options import ReplayOptions
from orchestrator.outlet import Outlet
from orchestrator.pipeline import Pipeline
from orchestrator.recording import OURS, Gap, Header, read_header, read_line
from orchestrator.report import conclude
from orchestrator.resource import resource_attributes
from orchestrator.signals.clock import Moment
from orchestrator.signals.model import AttributeValue
from orchestrator.sink import Sink
from orchestrator.stop import Stop
from orchestrator.telemetry import Restarts
from orchestrator.terminal import Terminal
from orchestrator.timeline import Timeline
from parsers.framing import LineFramer
from parsers.records import Record
from parsers.stream import OutputStream, TextStream, is_json

__all__ = ("Replay", "begin_replay", "opened", "read_head", "run_replay")

_CHUNK = 1 << 18
# What lines of OTLP JSON begin with, ours and the Collector's.
_OTLP = (b'{"resourceLogs"', b'{"resourceMetrics"', b'{"resourceSpans"', b'{"resourceProfiles"')


def run_replay(options: ReplayOptions) -> int:
    """Do the replay; return the exit code."""
    keep_freed_memory()
    terminal, stop = Terminal(), Stop()
    with opened(options.file) as (file, modified), stop.on_signals():
        head = read_head(file)
        if head.startswith(_OTLP):
            raise UsageError(
                f"{options.file} is OTLP already: a Collector sends it on (its otlpjsonfile receiver), and `convert` "
                "makes other formats of its profiles"
            )
        header = read_header(head.partition(b"\n")[0])
        if header is not None and options.start is not None:
            raise UsageError(f"--start: {options.file} is a recording, which has times of its own")
        build_id = header.kernel_build_id if header else None
        outlet = Outlet(options.wishes, _resource(header), terminal, stop.request, build_id)
        try:
            replay = begin_replay(options, head, header, modified, outlet)
            replay.feed(head.partition(b"\n")[2] if header else head)
            while not stop() and (chunk := file.read(_CHUNK)):
                replay.feed(chunk)
                outlet.output.tick()
                outlet.destinations.catch_up(stop)
            replay.close()
            outlet.output.flush()
        finally:
            outlet.close(stop.insisted)
    outlet.summarize(list(dict.fromkeys(name for pipeline in replay.pipelines for name in pipeline.counts)))
    return 0 if conclude(replay.pipelines, outlet, replay.cuts("the recording")) else 1


@contextmanager
def opened(path: str) -> Iterator[tuple[BinaryIO, int]]:
    """The file, and when it was last written, in Unix nanoseconds."""
    if path == "-":
        yield sys.stdin.buffer, time.time_ns()
        return
    try:
        file = open(path, "rb")  # noqa: SIM115 - it is closed below
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    with file:
        yield file, os.fstat(file.fileno()).st_mtime_ns


def read_head(file: BinaryIO) -> bytes:
    """The first bytes; of JSON the whole first line, which in a recording holds the programs."""
    head = file.read(_CHUNK)
    while head.lstrip().startswith(b"{") and b"\n" not in head.lstrip() and (more := file.read(_CHUNK)):
        head += more
    return head


def _resource(header: Header | None) -> dict[str, AttributeValue]:
    """That of the recorded host, where it is known; the run is a new one."""
    run_id = uuid.uuid4().hex
    return {**header.resource, "ebpf.run.id": run_id} if header else resource_attributes(run_id)


def begin_replay(options: ReplayOptions, head: bytes, header: Header | None, modified: int, sink: Sink) -> Replay:
    """The replay of a file. Raises UsageError if it has a header that makes no sense."""
    try:
        return Replay(options, head, header, modified, sink)
    except (KeyError, ValueError) as error:
        if header is None:
            raise
        raise UsageError(f"{options.file}: what it says of its signals makes no sense: {error}") from None


class Replay:
    """Feeds a pipeline from a file's bytes."""

    def __init__(self, options: ReplayOptions, head: bytes, header: Header | None, modified: int, sink: Sink) -> None:
        self.is_recording = header is not None
        self._is_json = header is not None or is_json(head)
        # A moment precedes all that was read at once: what has none at its beginning is no part of a recording.
        self._has_ours = header is not None or (self._is_json and _find_ours(head, 0) >= 0)
        self._options, self._sink = options, sink
        self.pipelines: list[Pipeline] = []
        self._begin(header)
        self._framer = LineFramer()
        self._timeline = Timeline(
            modified if options.start is None else options.start, head, exact=options.start is not None
        )
        self._moment = self._timeline.moment()
        self._has_moments = header is not None
        self._records: list[Record] = []

    @property
    def pipeline(self) -> Pipeline:
        """That of the last bpftrace in the file."""
        return self.pipelines[-1]

    def cuts(self, what: str) -> list[str]:
        """What of the file is missing, a sentence each; ``what`` names it."""
        *before, last = [self.is_recording and not (one.ended or one.as_written) for one in self.pipelines]
        problems = [f"bpftrace was started again in {what}: what it counted last before is not in it"] * any(before)
        return problems + [f"{what} is cut off: what bpftrace counted last is not in it"] * last

    def _begin(self, header: Header | None) -> None:
        """Read what one bpftrace printed."""
        signals = self._options.signals or (header.restored() if header else [_unknown(self._options.file)])
        limits = header.limits if header else LIMITS
        pipeline = Pipeline(signals, limits, self._sink, whole_lines=not self._is_json)
        pipeline.as_written = header is None
        if header is not None:
            pipeline.restarts = Restarts(len(self.pipelines), self.pipelines[0].start if self.pipelines else None)
        version = header.bpftrace if header else None
        self._stream = OutputStream(version=version, shapes=pipeline.shapes) if self._is_json else TextStream()
        self.pipelines.append(pipeline)

    def _begin_again(self, header: Header) -> None:
        """The recording goes on with another bpftrace."""
        self._take(self._stream.close())
        self._flush()
        self.pipeline.close()
        try:
            self._begin(header)
        except (KeyError, ValueError) as error:
            raise UsageError(f"{self._options.file}: what it says of a restart makes no sense: {error}") from None

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes."""
        self._lines(self._framer.feed(chunk))
        if not self._has_moments:
            self._flush()

    def close(self) -> None:
        """The file is at its end."""
        rest = self._framer.close()
        if not rest.startswith(OURS):  # a line of ours that was cut says nothing
            self._take(self._stream.feed(rest))
        self._take(self._stream.close())
        self._flush()
        self.pipeline.close()

    def _lines(self, block: bytes) -> None:
        """Decode what is between the lines that are ours together."""
        begin = end = 0
        while self._has_ours and (place := _find_ours(block, end)) >= 0:
            end = block.index(b"\n", place) + 1
            line = block[place : end - 1]
            if (found := read_line(line) or (read_header(line) if self.is_recording else None)) is not None:
                self._decode(block[begin:place])
                begin = end
                self._apply(found)
        self._decode(block[begin:])

    def _decode(self, block: bytes) -> None:
        if block:
            self._take(self._stream.feed(block))

    def _apply(self, found: Moment | Gap | Header) -> None:
        if isinstance(found, Header):
            self._begin_again(found)
            return
        if isinstance(found, Gap):  # the halves of lines around it were not recorded
            self.pipeline.stream.dropped_lines = found.lines
            return
        self._flush()
        self._moment, self._has_moments = found, True

    def _take(self, records: Sequence[Record]) -> None:
        for record in records:
            if not self._has_moments and self._timeline.advance(record):
                self._flush()
                self._moment = self._timeline.moment()
            self._records.append(record)

    def _flush(self) -> None:
        self.pipeline.feed(self._records, self._moment)
        self._records = []


def _find_ours(block: bytes, begin: int) -> int:
    """Where the next line begins that could be ours; -1 if there is none."""
    if block.startswith(OURS, begin):
        return begin
    place = block.find(b"\n" + OURS, max(begin - 1, 0))
    return place if place < 0 else place + 1


def _unknown(file: str) -> Signal:
    """A program of which nothing is known but what it printed."""
    name = "stdin" if file == "-" else Path(file).name.partition(".")[0]
    return Signal(name, Path(f"{name}.bt"), "", Manifest(summary=f"What {name} holds", process="own"))
