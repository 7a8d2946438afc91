"""What is said to a person while a run lasts: one line that renews itself, on a terminal only."""

from __future__ import annotations

import shutil
import sys

from orchestrator.text import printable

__all__ = ("Terminal",)


class Terminal:
    """Standard error. A progress line is taken away before anything else is said."""

    def __init__(self) -> None:
        self.interactive = sys.stderr.isatty()
        self._shown = False

    def progress(self, text: str) -> None:
        """Show ``text`` in place of the last progress line."""
        if self.interactive:
            width = shutil.get_terminal_size().columns - 1
            self._write(f"\r\x1b[K{text[:width]}")
            self._shown = True

    def say(self, text: str) -> None:
        """Say one line, and no more than one: a newline in ``text`` is shown as an escape."""
        self._write(f"{self._clear()}{printable(text)}\n")

    def hint(self, text: str) -> None:
        """Say what matters only to somebody who sits there."""
        if self.interactive:
            self.say(text)

    def block(self, lines: list[str]) -> None:
        """Say several lines."""
        for line in lines:
            self.say(line)

    def _clear(self) -> str:
        shown, self._shown = self._shown, False
        return "\r\x1b[K" if shown else ""

    def _write(self, text: str) -> None:
        try:
            sys.stderr.write(text)
            sys.stderr.flush()
        except OSError:  # nobody reads us any more: the run goes on
            self.interactive = False
