"""Tables that a program prints under a header, where there is no source to read them by.

``PID    COMM               FD ERR PATH`` names the columns of what follows; a value stands under its name's first
letter (``%-6d``) or its last (``%6d``).
"""

from __future__ import annotations

import re
from itertools import pairwise

from orchestrator.signals.model import AttributeValue
from orchestrator.signals.names import identifier

__all__ = ("Table",)

# PID, TX_KB, TIME(ms), LATms, SADDR:SPORT
_NAME = re.compile(r"[A-Z][A-Z0-9_]*(?:\([a-z]+\)|[a-z]{1,3})?(?:[:/][A-Z0-9_]+)?")
_WORD = re.compile(r"\S+")
_INTEGER = re.compile(r"-?(?:0|[1-9]\d{0,17})")
_KNOWN = {
    "COMM": "thread.name",
    "CPU": "cpu.logical_number",
    "PID": "process.pid",
    "PPID": "process.parent_pid",
    "RET": "ebpf.return_code",
    "TID": "thread.id",
    "UID": "process.user.id",
}


# What these hold is never a word.
_NUMBERS = {"cpu.logical_number", "process.parent_pid", "process.pid", "thread.id", "process.user.id"}


class Table:
    """One header and the rows below it."""

    def __init__(self, words: list[re.Match[str]]) -> None:
        self._starts = [word.start() for word in words]
        self._ends = [word.end() for word in words]
        self._names = [_KNOWN.get(word[0], f"ebpf.{identifier(word[0])}") for word in words]

    @classmethod
    def of(cls, line: str) -> Table | None:
        """The table that ``line`` is the header of; None if it is none."""
        words = list(_WORD.finditer(line))
        names = {word[0] for word in words}
        if len(words) < 2 or len(names) < len(words) or not all(_NAME.fullmatch(name) for name in names):
            return None
        return cls(words)

    def row(self, line: str) -> dict[str, AttributeValue]:
        """The values of a line by their columns; none if it does not stand under the header."""
        cells = self._cells(line.rstrip())
        if cells is None:
            return {}
        values = {name: _typed(cell) for name, cell in zip(self._names, cells, strict=True)}
        return {} if any(isinstance(values.get(name), str) for name in _NUMBERS) else values

    def _cells(self, line: str) -> list[str] | None:
        """Cut the line where its columns begin, by left-aligned names, or else by single words."""
        starts = self._starts
        if (
            line[: starts[0]].isspace() is (starts[0] > 0)
            and len(line) > starts[-1]
            and all(line[start - 1] == " " and line[start] != " " for start in starts[1:])
        ):
            cells = [line[start:end].strip() for start, end in pairwise([*starts, len(line)])]
            return cells if all(cells) else None
        words = list(_WORD.finditer(line))
        if len(words) < len(starts) or not all(map(self._stands, words, range(len(starts)))):
            return None
        last = words[len(starts) - 1].start()
        if "  " in line[last:]:  # more columns than this header has
            return None
        return [*(word[0] for word in words[: len(starts) - 1]), line[last:]]

    def _stands(self, word: re.Match[str], column: int) -> bool:
        return word.start() == self._starts[column] or word.end() == self._ends[column]


def _typed(cell: str) -> AttributeValue:
    return int(cell) if _INTEGER.fullmatch(cell) else cell
