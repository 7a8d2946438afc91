"""Which span is open on which thread, so that what else happens on the thread can be told to belong to it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass

from orchestrator.signals.model import LogRecord, SpanContext

__all__ = ("THREAD_NAMES", "ActiveSpans", "thread_of")

# What a manifest calls the thread's id: its attribute, or a field that is not exported.
THREAD_NAMES = ("thread.id", "tid")
_MOST_THREADS = 10_000


def thread_of(record: LogRecord) -> int | None:
    """The id of the thread on which something happened; None if it is not told."""
    for name in THREAD_NAMES:
        value = record.fields.get(name, record.attributes.get(name))
        if isinstance(value, int):
            return value
    return None


@dataclass(slots=True)
class _Open:
    """The last span of a thread; ``end`` is None until it is known."""

    key: Hashable
    context: SpanContext
    start: int
    end: int | None

    def overlaps(self, other: _Open) -> bool:
        return (self.end is None or other.start < self.end) and (other.end is None or self.start < other.end)


@dataclass(slots=True)
class _Thread:
    last: _Open | None = None
    # An end that was read before its beginning: of which span, and when.
    early: tuple[Hashable, int] | None = None
    # Two spans were open at once, as in an event loop: nothing is certain about this thread any more.
    is_shared: bool = False


class ActiveSpans:
    """Is told of spans as they are read, and certain of a thread only as long as it has had one at a time.

    Ends and beginnings of one thread may come in the wrong order, where it moved from one CPU to another. Times are
    Unix nanoseconds. The threads that were quiet for longest are forgotten above a bound.
    """

    def __init__(self, most: int = _MOST_THREADS) -> None:
        self._most = most
        self._threads: OrderedDict[int, _Thread] = OrderedDict()

    def begin(self, tid: int, context: SpanContext, start: int, key: Hashable = None) -> None:
        """A span has begun on a thread; ``key`` is what ``end`` will call it, where that does not know the context."""
        thread = self._thread(tid)
        span = _Open(context if key is None else key, context, start, None)
        if thread.early is not None and thread.early[0] == span.key and start <= thread.early[1]:
            span.end, thread.early = thread.early[1], None
        last = thread.last
        if last is not None and last.overlaps(span):
            thread.is_shared = True
        if last is None or last.start <= start:
            thread.last = span

    def end(self, tid: int, key: Hashable, end: int) -> None:
        """The span with this key (or context) has ended on a thread, or is given up."""
        thread = self._thread(tid)
        if thread.last is not None and thread.last.key == key and thread.last.end is None and thread.last.start <= end:
            thread.last.end = end
        else:
            thread.early = (key, end)

    def context_of(self, tid: int, time: int) -> SpanContext | None:
        """The context of the only span that is open on the thread at a time; None if there is none, or any doubt."""
        thread = self._threads.get(tid)
        if thread is None or thread.is_shared or thread.last is None:
            return None
        span = thread.last
        return span.context if span.start <= time and (span.end is None or time <= span.end) else None

    def _thread(self, tid: int) -> _Thread:
        thread = self._threads.get(tid)
        if thread is None:
            thread = self._threads[tid] = _Thread()
            if len(self._threads) > self._most:
                self._threads.popitem(last=False)
        else:
            self._threads.move_to_end(tid)
        return thread
