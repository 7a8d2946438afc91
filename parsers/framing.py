"""Chunks of bytes -> blocks of whole lines, capped; nothing here knows what a line means."""

from __future__ import annotations

__all__ = ("MAX_LINE", "LineFramer", "lines_of")

# A 10,000-key map is one line of 189 kB; 64 MiB is 3 million keys.
MAX_LINE = 64 << 20


def lines_of(block: bytes) -> list[bytes]:
    """The lines of a block, without their newlines."""
    return block[:-1].split(b"\n") if block else []


class LineFramer:
    r"""Cuts a byte stream at ``\n``. Feed chunks of any size; each whole line comes out once.

    A line above ``max_line`` bytes is dropped up to its newline and counted in ``oversized``; a gap in the stream
    (bytes that the reader had to throw away) is announced by ``gap()`` and drops the two halves around it.
    """

    def __init__(self, max_line: int = MAX_LINE) -> None:
        self._max_line = max_line
        self._parts: list[bytes] = []
        self._size = 0
        self._skipping = False
        self.oversized = 0

    def feed(self, chunk: bytes) -> bytes:
        """Return the lines that ``chunk`` completes, each with its newline, in one piece."""
        end = chunk.rfind(b"\n") + 1
        if not end:
            self._keep(chunk)
            return b""
        begin = 0
        if self._skipping:
            self._skipping, begin = False, chunk.index(b"\n") + 1
        block = b"".join([*self._parts, chunk[begin:end]])
        self._parts, self._size = [], 0
        self._keep(chunk[end:])
        return block if len(block) <= self._max_line else self._without_oversized(block)

    def gap(self) -> None:
        """Forget the line begun: what follows is the middle of another one."""
        self._parts, self._size, self._skipping = [], 0, True

    def close(self) -> bytes:
        """Return what stands behind the last newline: a cut line, or nothing."""
        rest = b"" if self._skipping else b"".join(self._parts)
        self._parts, self._size, self._skipping = [], 0, False
        return rest

    def _without_oversized(self, block: bytes) -> bytes:
        lines = lines_of(block)
        kept = [line + b"\n" for line in lines if len(line) <= self._max_line]
        self.oversized += len(lines) - len(kept)
        return b"".join(kept)

    def _keep(self, part: bytes) -> None:
        if not part or self._skipping:
            return
        self._parts.append(part)
        self._size += len(part)
        if self._size > self._max_line:
            self.oversized += 1
            self.gap()
