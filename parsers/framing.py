"""Chunks of bytes -> whole lines, capped; nothing here knows what a line means."""

from __future__ import annotations

__all__ = ("MAX_LINE", "LineFramer")

# A 10,000-key map is one line of 189 kB; 64 MiB is 3 million keys.
MAX_LINE = 64 << 20


class LineFramer:
    r"""Cuts a byte stream at ``\n``. Feed chunks of any size; each whole line comes out once, without its newline.

    A line above ``max_line`` bytes is dropped up to its newline and counted in ``oversized``; a gap in the stream
    (bytes that the reader had to throw away) is announced by ``gap()`` and drops the two halves around it.
    """

    def __init__(self, max_line: int = MAX_LINE) -> None:
        self._max_line = max_line
        self._parts: list[bytes] = []
        self._size = 0
        self._skipping = False
        self.oversized = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the lines that ``chunk`` completes."""
        head, newline, rest = chunk.partition(b"\n")
        if not newline:
            self._keep(chunk)
            return []
        lines = rest.split(b"\n")
        tail = lines.pop()
        if self._skipping:
            self._skipping = False
        elif self._parts:
            self._parts.append(head)
            lines.insert(0, b"".join(self._parts))
        else:
            lines.insert(0, head)
        self._parts, self._size = [], 0
        self._keep(tail)
        kept = [line for line in lines if len(line) <= self._max_line]
        self.oversized += len(lines) - len(kept)
        return kept

    def gap(self) -> None:
        """Forget the line begun: what follows is the middle of another one."""
        self._parts, self._size, self._skipping = [], 0, True

    def close(self) -> bytes:
        """Return what stands behind the last newline: a cut line, or nothing."""
        rest = b"" if self._skipping else b"".join(self._parts)
        self._parts, self._size, self._skipping = [], 0, False
        return rest

    def _keep(self, part: bytes) -> None:
        if not part or self._skipping:
            return
        self._parts.append(part)
        self._size += len(part)
        if self._size > self._max_line:
            self.oversized += 1
            self.gap()
