"""The one door: bpftrace's standard output in, records out."""

from __future__ import annotations

from parsers.framing import MAX_LINE, LineFramer
from parsers.json_output import JsonDecoder
from parsers.records import Record, Unparsed

__all__ = ("OutputStream",)


class OutputStream:
    """Feed chunks as they come, ``close()`` at the end; both return the records that they complete."""

    def __init__(self, max_line: int = MAX_LINE) -> None:
        self._framer = LineFramer(max_line)
        self._decoder = JsonDecoder()
        self._oversized = 0

    def feed(self, chunk: bytes) -> list[Record]:
        """Return the records of the lines that ``chunk`` completes."""
        decode = self._decoder.decode
        records = [record for line in self._framer.feed(chunk) if (record := decode(line)) is not None]
        while self._oversized < self._framer.oversized:
            self._oversized += 1
            records.append(Unparsed(b"", "line too long"))
        return records

    def gap(self) -> None:
        """Say that bytes are missing from here on: the line around the gap is lost, and nothing else."""
        self._framer.gap()

    def close(self) -> list[Record]:
        """Return the record of a last line without its newline; a cut one is ``Unparsed``."""
        record = self._decoder.decode(self._framer.close())
        return [] if record is None else [record]
