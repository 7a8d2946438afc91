"""Times for a capture that has none of ours: from a given start, and from the times that it printed."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from orchestrator.signals.clock import Moment
from parsers.records import Record, Text

__all__ = ("Timeline",)

_SECOND = 1_000_000_000
_TIME = re.compile(r"\s*([01]\d|2[0-3]):([0-5]\d):([0-5]\d)\b")
# The same in raw output: at the beginning of a line, or of a JSON record's text.
_RAW_TIME = re.compile(rb'(?:^|"data": ")((?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d)\b', re.MULTILINE)
_HALF_A_DAY = timedelta(hours=12)


@dataclass(slots=True)
class _Anchor:
    """The kernel's clock, which is known from the first event on that tells it."""

    offset: int | None = None


@dataclass(frozen=True, slots=True)
class _Anchored(Moment):
    anchor: _Anchor = field(default_factory=_Anchor)

    def to_unix(self, nsecs: int) -> int:
        """Unix nanoseconds of a kernel time; the first one that is asked for is now."""
        if self.anchor.offset is None:
            self.anchor.offset = self.unix - nsecs
        return nsecs + self.anchor.offset


class Timeline:
    """Goes on with each time of day that is printed; they are read in this host's zone.

    ``start`` is when the capture began, or, where that is not ``exact``, a time near it (when its file was written).
    ``head`` are the first bytes of the capture: its first time of day is that of its beginning.
    """

    def __init__(self, start: int, head: bytes, *, exact: bool) -> None:
        self._now = start
        self._anchor = _Anchor()
        found = None if exact else _RAW_TIME.search(head)
        if found is not None:
            self._go_to(found[1].decode())
            if self._now > start + _SECOND:  # it did not begin after its file was written
                self._now -= 24 * 3600 * _SECOND

    def advance(self, record: Record) -> bool:
        """Whether ``record`` tells a new time."""
        found = _TIME.match(record.text) if isinstance(record, Text) and record.kind in {"printf", "time"} else None
        if found is None:
            return False
        before = self._now
        self._go_to(f"{found[1]}:{found[2]}:{found[3]}")
        return self._now != before

    def moment(self) -> Moment:
        """Now."""
        return _Anchored(self._now, 0, self._anchor)

    def _go_to(self, text: str) -> None:
        """The time nearest to now at which a clock showed ``text``."""
        now = datetime.fromtimestamp(self._now / _SECOND)
        shown = datetime.combine(now.date(), datetime.strptime(text, "%H:%M:%S").time())
        if shown - now > _HALF_A_DAY:
            shown -= timedelta(days=1)
        elif now - shown > _HALF_A_DAY:
            shown += timedelta(days=1)
        if abs(shown - now) >= timedelta(seconds=1):  # within a second the finer time stays
            self._now = int(shown.timestamp()) * _SECOND
