"""The one door: bpftrace's standard output in, records out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from parsers.event_lines import RowDecoder, Shape
from parsers.framing import MAX_LINE, LineFramer, lines_of
from parsers.json_output import JsonDecoder
from parsers.records import Record, Unparsed

__all__ = ("OutputStream", "TextStream", "is_json")


def is_json(head: bytes) -> bool:
    """Whether output that begins with ``head`` is JSON: its first line that is not blank is a record."""
    return head.lstrip().startswith(b'{"type"')


class _LineStream:
    """Lines of a byte stream through a decoder. ``decode`` reads one line, ``finish`` what stands behind the last."""

    def __init__(
        self, max_line: int, decode: Callable[[bytes], list[Record]], finish: Callable[[bytes], list[Record]]
    ) -> None:
        self._framer = LineFramer(max_line)
        self._decode, self._finish = decode, finish
        self._oversized = 0

    def feed(self, chunk: bytes) -> list[Record]:
        """Return the records that ``chunk`` completes."""
        records = self._read(self._framer.feed(chunk))
        while self._oversized < self._framer.oversized:
            self._oversized += 1
            records.append(Unparsed(b"", "line too long"))
        return records

    def gap(self) -> None:
        """Say that bytes are missing from here on: the line around the gap is lost, and nothing else."""
        self._framer.gap()

    def close(self) -> list[Record]:
        """Return the records of a last line without its newline; a cut one is ``Unparsed``."""
        return self._finish(self._framer.close())

    def _read(self, block: bytes) -> list[Record]:
        return self._read_lines(lines_of(block))

    def _read_lines(self, lines: Iterable[bytes]) -> list[Record]:
        decode = self._decode
        return [record for line in lines for record in decode(line)]


class OutputStream(_LineStream):
    """Feed chunks as they come, ``close()`` at the end; both return the records that they complete.

    ``version`` is bpftrace's, ``(0, 17)``, if it is known; see ``JsonDecoder`` for what depends on it. Events whose
    ``shapes`` are given come as ``Rows`` where many lines can be read in one pass, else as any ``Value``.
    """

    def __init__(
        self,
        max_line: int = MAX_LINE,
        version: tuple[int, ...] | None = None,
        shapes: Mapping[str, Shape] | None = None,
    ) -> None:
        decode = JsonDecoder(version).decode_all
        super().__init__(max_line, decode, decode)
        self._rows = RowDecoder(shapes) if shapes else None

    def _read(self, block: bytes) -> list[Record]:
        if self._rows is None or not block:
            return super()._read(block)
        rows = self._rows.decode(block)
        return [*rows] if rows is not None else self._read_mixed(self._rows, block)

    def _read_mixed(self, decoder: RowDecoder, block: bytes) -> list[Record]:
        """One bad line costs that line, not the block."""
        records: list[Record] = []
        for is_event, lines in decoder.split(block):
            rows = decoder.decode(b"\n".join([*lines, b""])) if is_event else None
            if rows is not None:
                records += rows
            elif is_event and len(lines) > 1:
                for line in lines:
                    records += decoder.decode(line + b"\n") or self._decode(line)
            else:
                records += self._read_lines(lines)
        return records


class TextStream(_LineStream):
    """The same for bpftrace's text output, what a person sees in a terminal."""

    def __init__(self, max_line: int = MAX_LINE) -> None:
        from parsers.text_output import TextDecoder  # noqa: PLC0415 - a grammar, which JSON output does without

        decoder = TextDecoder()
        super().__init__(max_line, decoder.feed, decoder.close)
