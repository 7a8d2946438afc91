"""Many events of one kind, read together: log records that are made when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from orchestrator.signals.clock import Moment
from orchestrator.signals.model import LogRecord
from parsers.records import Rows

if TYPE_CHECKING:
    from orchestrator.signals.logs import CompiledEvent

__all__ = ("EventBatch",)


@dataclass(frozen=True, slots=True)
class EventBatch:
    """``rows`` as they were read at one moment. What is written of it is what would be written of its ``records``."""

    event: CompiledEvent
    rows: Rows
    moment: Moment

    def __len__(self) -> int:
        return len(self.rows.rows)

    @property
    def name(self) -> str:
        """The event's."""
        return self.event.rule.name

    def parts(self, most: int) -> Iterator[EventBatch]:
        """All of it, so many at a time."""
        if len(self) <= most:
            yield self
            return
        for begin in range(0, len(self), most):
            yield self._cut(slice(begin, begin + most))

    def last(self, count: int) -> EventBatch:
        """The last few."""
        return self._cut(slice(-count, None))

    def records(self) -> list[LogRecord]:
        """All of them, the general way."""
        return [self.event.read(data, {}, self.moment) for data in self._values()]

    def _cut(self, which: slice) -> EventBatch:
        tag, rows, times, texts = self.rows.tag, self.rows.rows, self.rows.times, self.rows.texts
        return EventBatch(self.event, Rows(tag, rows[which], times[which], texts[which]), self.moment)

    def _values(self) -> Iterator[Sequence[Any]]:
        """Each as it was printed."""
        rows = self.rows
        values = map(msgspec.structs.astuple, rows.rows)
        if not rows.times:
            yield from ([rows.tag, *fields] for fields in values)
        else:
            for time, fields, text in zip(rows.times, values, rows.texts, strict=True):
                yield [rows.tag, time, *fields, text.decode()]
