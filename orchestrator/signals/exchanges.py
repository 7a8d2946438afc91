"""Segments of connections -> the spans of their requests, by the manifest's ``exchanges``.

What its events have to tell, by the names of their fields, stands with that word in ``config/spans.py``.
"""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from config.manifest import Exchange as Rule
from orchestrator.signals.attributes import number
from orchestrator.signals.clock import Moment
from orchestrator.signals.http import Http
from orchestrator.signals.model import Attributes, LogRecord, Metric, Span
from orchestrator.signals.reorder import Reorder
from orchestrator.signals.span_shape import Shape
from orchestrator.signals.traceparent import Bits
from parsers.escapes import to_bytes
from parsers.http1 import Connection, Counters, Exchange, Segment

__all__ = ("ExchangeCounts", "ExchangeReader")

# At 10,000 segments a second all of a second is held back, to be put in order.
_HELD = 50_000
# Of thousands of connections, looking at each takes milliseconds.
_EXPIRE_EVERY = 1_000_000_000


class _Begun(NamedTuple):
    """What is known where a message begins: the attributes of its segment, and Unix time less the kernel's then."""

    attributes: Attributes
    offset: int


class _Piece(NamedTuple):
    """A segment or the end of a connection, by the kernel's clock."""

    connection: int
    time: int
    begun: _Begun
    segment: Segment | None
    end: tuple[int, int, int]


@dataclass(slots=True)
class ExchangeCounts(Counters):
    """What became no span, besides what the parser counts.

    Requests that were ``waiting`` for their answer when the time was out or the run ended; ``dropped`` connections with
    such requests, as there were too many; ``unreadable`` events.
    """

    waiting: int = 0
    dropped: int = 0
    unreadable: int = 0


class ExchangeReader:
    """Reads the connections of one rule: give it each record of its ``events``, and the time now and then.

    ``tag`` is that of segments. Segments are held back for a second, until no CPU can have an earlier one.
    """

    def __init__(self, tag: str, rule: Rule, bits: Bits = random.getrandbits) -> None:
        self._tag, self._rule = tag, rule
        self._protocol = Http(rule.options)
        self._server, self._client = Shape(rule.server, bits), Shape(rule.client, bits)
        self._order: Reorder[_Piece] = Reorder(most=_HELD)
        self._connections: OrderedDict[int, Connection] = OrderedDict()
        self._timeout = round(rule.timeout * 1e9)
        self._offset = self._expired = 0
        self.counts = ExchangeCounts()
        self.events = {tag, rule.end}

    def take(self, tag: str, record: LogRecord, moment: Moment) -> Iterator[Span]:
        """The spans that leave now that ``record`` has come."""
        try:
            piece = self._read(tag, record, moment)
        except (KeyError, ValueError, TypeError):
            self.counts.unreadable += 1
            return
        self._offset = moment.offset
        yield from self._go_on(self._order.add(piece.time, piece))

    def expire(self, now_unix_nano: int) -> Iterator[Span]:
        """The spans that leave now that it is so late; what nothing was heard of for long is given up."""
        now = now_unix_nano - self._offset
        yield from self._go_on(self._order.until(now))
        if 0 <= now - self._expired < _EXPIRE_EVERY:
            return
        self._expired = now
        for connection in list(self._connections.values()):
            if given_up := connection.expire(now, self._timeout):
                yield from self._spans(given_up)

    def close(self) -> Iterator[Span]:
        """What is left at the end."""
        yield from self._go_on(self._order.rest())
        for connection in self._connections.values():
            yield from self._spans(connection.flush())
        self._connections.clear()

    def metrics(self, start: int, time: int) -> list[Metric]:
        """The metrics of all spans that were completed since ``start``."""
        return [metric for shape in (self._server, self._client) for metric in shape.metrics.read(start, time)]

    def _read(self, tag: str, record: LogRecord, moment: Moment) -> _Piece:
        """Times stay the kernel's: those of two segments are compared, and Unix time is set now and then."""
        fields = record.fields
        time = record.time_unix_nano - moment.offset
        begun = _Begun(record.attributes, moment.offset)
        connection, last = number(fields["connection"]), number(fields["last"])
        if tag != self._tag:
            return _Piece(connection, time, begun, None, (last, number(fields["received"]), number(fields["sent"])))
        data = fields.get("data", b"")
        entered = number(fields["entered"])
        if not 0 <= entered <= time or last < 0:
            raise ValueError("no times of this world")
        segment = Segment(
            outgoing=bool(number(fields["outgoing"])),
            position=number(fields["position"]),
            size=number(fields["size"]),
            data=data if isinstance(data, bytes) else to_bytes(str(data)),
            entered=entered,
            returned=time,
            last=last,
        )
        return _Piece(connection, time, begun, segment, (0, 0, 0))

    def _go_on(self, due: Iterator[_Piece]) -> Iterator[Span]:
        for piece in due:
            yield from self._spans(self._feed(piece))

    def _feed(self, piece: _Piece) -> list[Exchange]:
        if piece.segment is None:
            ended = self._connections.pop(piece.connection, None)
            return ended.end(piece.time, *piece.end) if ended is not None else []
        segment, connection = piece.segment, self._connections.get(piece.connection)
        found: list[Exchange] = []
        if connection is not None and _is_another(connection, segment):
            found = self._connections.pop(piece.connection).flush()
            connection = None
        if connection is None:
            found += self._make_room()
            connection = self._connections[piece.connection] = Connection(self.counts)
        else:
            self._connections.move_to_end(piece.connection)
        return found + connection.feed(segment, piece.begun)

    def _make_room(self) -> list[Exchange]:
        """Give up the connection that was quiet for longest, if there are too many."""
        if len(self._connections) < self._rule.connections:
            return []
        left = self._connections.popitem(last=False)[1].flush()
        self.counts.dropped += bool(left)
        return left

    def _spans(self, exchanges: Iterable[Exchange]) -> Iterator[Span]:
        for exchange in exchanges:
            if exchange.status is None and not exchange.aborted:
                self.counts.waiting += 1
                continue
            shape = self._server if exchange.server else self._client
            begun: _Begun = exchange.context
            attributes, fields = self._protocol.describe(exchange, begun.attributes)
            start = exchange.start + begun.offset
            span = shape.span(attributes, fields, start, max(start, exchange.end + begun.offset))
            shape.metrics.add(span)
            if shape.keeps(span):
                yield span


def _is_another(connection: Connection, segment: Segment) -> bool:
    """Whether a connection with the same number begins: the end of the one before it was lost."""
    return not segment.last and segment.position < connection.passed(outgoing=segment.outgoing)
