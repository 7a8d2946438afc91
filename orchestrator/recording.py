"""What ``--record`` writes and ``replay`` reads: bpftrace's own output, and between its lines what gives it meaning.

The first line says what ran and where, each line of type ``moment`` when what follows it was read. All others are
bpftrace's. A line like the first one further down begins anew: bpftrace was started again. A recording of bpftrace
alone, JSON or text, has neither; it can be replayed all the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import msgspec

from config.manifest import Manifest
from orchestrator.catalog import Signal
from orchestrator.limits import Limits
from orchestrator.signals.clock import TIMES, Moment
from orchestrator.signals.model import AttributeValue
from parsers.framing import LineFramer

__all__ = ("HEADER_PREFIX", "OURS", "Gap", "Header", "Recorder", "read_header", "read_line")

HEADER_PREFIX = b'{"type":"recording",'
_MOMENT_PREFIX = b'{"type":"moment",'
_GAP_PREFIX = b'{"type":"gap",'
# bpftrace itself writes a blank behind the colon.
OURS = b'{"type":"'
_VERSION = 1


class _RecordedSignal(msgspec.Struct):
    name: str
    source: str
    manifest: Manifest


class Header(msgspec.Struct, tag="recording", kw_only=True):
    """What ran: its signals, the Resource of its data without the run id, and its bpftrace (``None``: not asked)."""

    version: int = _VERSION
    resource: dict[str, str | int | float | bool]
    signals: list[_RecordedSignal]
    limits: Limits
    bpftrace: tuple[int, ...] | None = None
    kernel_build_id: str | None = None

    @classmethod
    def of(
        cls,
        signals: Sequence[Signal],
        resource: Mapping[str, AttributeValue],
        limits: Limits,
        bpftrace: tuple[int, ...] | None = None,
        kernel_build_id: str | None = None,
    ) -> Header:
        """The header of a run."""
        plain = {
            key: value
            for key, value in resource.items()
            if isinstance(value, (str, int, float, bool)) and key != "ebpf.run.id"
        }
        recorded = [_RecordedSignal(signal.name, signal.source, signal.manifest) for signal in signals]
        return cls(resource=plain, signals=recorded, limits=limits, bpftrace=bpftrace, kernel_build_id=kernel_build_id)

    def restored(self) -> list[Signal]:
        """The signals that ran."""
        return [Signal(one.name, Path(f"{one.name}.bt"), one.source, one.manifest) for one in self.signals]


class _MomentLine(msgspec.Struct, tag="moment"):
    unix: int
    offset: int


class Gap(msgspec.Struct, tag="gap"):
    """Lines that came faster than they could be read are missing here."""

    lines: int


class Recorder:
    """Writes a recording. Raises OSError where the file cannot be written."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._framer = LineFramer()
        self._encode = msgspec.json.Encoder().encode

    def begin(self, header: Header, *, again: bool = False) -> None:
        """Say what runs. ``again``: the recording goes on with another bpftrace; that of before may have cut a line."""
        self._file.write((b"\n" if again else b"") + self._encode(header) + b"\n")

    def chunk(self, chunk: bytes, moment: Moment) -> None:
        """Write the lines that ``chunk`` completes, read at ``moment``; ``b""`` is the end."""
        block = self._framer.feed(chunk) if chunk else self._framer.close()
        if block or not chunk:
            self._file.write(self._encode(_MomentLine(moment.unix, moment.offset)) + b"\n" + block)

    def gap(self, lines: int) -> None:
        """Say that lines are missing."""
        self._framer.gap()
        self._file.write(self._encode(Gap(lines)) + b"\n")


def read_header(line: bytes) -> Header | None:
    """The header that ``line`` is; None if it is none of ours."""
    if not line.startswith(HEADER_PREFIX):
        return None
    try:
        header = msgspec.json.decode(line, type=Header)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    return header if header.version == _VERSION else None


def read_line(line: bytes) -> Moment | Gap | None:
    """What of ours ``line`` is; None if it is bpftrace's."""
    try:
        if line.startswith(_MOMENT_PREFIX):
            moment = msgspec.json.decode(line, type=_MomentLine)
            return Moment(moment.unix, moment.offset) if moment.unix in TIMES else None
        if line.startswith(_GAP_PREFIX):
            return msgspec.json.decode(line, type=Gap)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        pass
    return None
