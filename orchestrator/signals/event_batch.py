"""Many events of one kind, read together: log records that are made when they are asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import repeat
from typing import TYPE_CHECKING, Any

import msgspec

from orchestrator.signals.clock import Moment
from orchestrator.signals.model import AttributeValue, LogRecord
from orchestrator.signals.sampling import ADJUSTED_COUNT, Picked
from parsers.records import Rows

if TYPE_CHECKING:
    from orchestrator.signals.logs import CompiledEvent

__all__ = ("EventBatch",)


@dataclass(frozen=True, slots=True)
class EventBatch:
    """``rows`` as they were read at one moment. What is written of it is what would be written of its ``records``.

    ``weight``: how many events each of them stands for.
    """

    event: CompiledEvent
    rows: Rows
    moment: Moment
    weight: int = 1

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

    def thinned(self, picked: Picked) -> Iterator[EventBatch]:
        """Those that were picked; the first one by itself where it stands for another number than the rest."""
        first, every, weight, kept = picked
        if kept and weight != every:
            yield self._cut(slice(first, first + 1), weight)
            first, kept = first + every, kept - 1
        if kept:
            yield self._cut(slice(first, None, every), every)

    @property
    def constants(self) -> dict[str, AttributeValue]:
        """The attributes that come last, the same for all of them."""
        return {} if self.weight == 1 else {ADJUSTED_COUNT: self.weight}

    def records(self) -> list[LogRecord]:
        """All of them, the general way."""
        records = [self.event.read(data, {}, self.moment) for data in self._values()]
        if not (constants := self.constants):
            return records
        return [replace(record, attributes={**record.attributes, **constants}) for record in records]

    def _cut(self, which: slice, weight: int = 0) -> EventBatch:
        tag, rows, times, texts = self.rows.tag, self.rows.rows, self.rows.times, self.rows.texts
        return EventBatch(
            self.event, Rows(tag, rows[which], times[which], texts[which]), self.moment, weight or self.weight
        )

    def _values(self) -> Iterator[Sequence[Any]]:
        """Each as it was printed."""
        rows = self.rows
        values = map(msgspec.structs.astuple, rows.rows)
        if not rows.times:
            yield from ([rows.tag, *fields] for fields in values)
            return
        texts: Iterable[tuple[str, ...]] = ((text.decode(),) for text in rows.texts) if rows.texts else repeat(())
        for time, fields, text in zip(rows.times, values, texts, strict=False):
            yield [rows.tag, time, *fields, *text]
