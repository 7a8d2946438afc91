"""Which span is open on which thread, so that what else happens on the thread can be told to belong to it."""

from __future__ import annotations

from bisect import insort
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import NamedTuple

from orchestrator.signals.model import LogRecord, SpanContext

__all__ = ("THREAD_NAMES", "ActiveSpans", "thread_of")

# What a manifest calls the thread's id: its attribute, or a field that is not exported.
THREAD_NAMES = ("thread.id", "tid")
_MOST_THREADS = 10_000
# Spans that are open on a thread, and its latest beginnings and ends, which may have been read in another order.
_MOST_OPEN = 16
_MOST_RECENT = 8


def thread_of(record: LogRecord) -> int | None:
    """The id of the thread on which something happened; None if it is not told."""
    for name in THREAD_NAMES:
        value = record.fields.get(name, record.attributes.get(name))
        if isinstance(value, int):
            return value
    return None


class _Open(NamedTuple):
    key: Hashable
    context: SpanContext
    start: int


class _Change(NamedTuple):
    """A beginning, or an end: then ``span`` is None. ``is_last``: of several with its key, the last one ends."""

    time: int
    key: Hashable
    span: _Open | None = None
    is_last: bool = False


@dataclass(slots=True)
class _Stack:
    """The spans that are open, the outermost first. ``doubtful``: it is not certain any more which of them is on."""

    spans: list[_Open] = field(default_factory=list)
    doubtful: bool = False

    def apply(self, change: _Change) -> None:
        """Let a span begin or end. One that ends before another that began in it: they take turns, as in a loop."""
        spans = self.spans
        if change.span is not None:
            spans.append(change.span)
            if len(spans) > _MOST_OPEN:
                del spans[0]
                self.doubtful = True
            return
        mine = [index for index, one in enumerate(spans) if one.key == change.key]
        if mine:
            index = mine[-1 if change.is_last else 0]
            self.doubtful = self.doubtful or index != len(spans) - 1
            del spans[index]
            self.settle()

    def settle(self) -> None:
        """Where nothing is open, nothing is in doubt."""
        self.doubtful = self.doubtful and bool(self.spans)


@dataclass(slots=True)
class _Thread:
    """What was open before the ``recent`` changes, which stand in the order of their times."""

    before: _Stack = field(default_factory=_Stack)
    recent: list[_Change] = field(default_factory=list)
    oldest: int = 0

    def add(self, change: _Change) -> None:
        if change.time < self.oldest:  # too late: what came after it is settled already
            self.before.doubtful = True
        insort(self.recent, change, key=lambda one: one.time)
        if len(self.recent) > _MOST_RECENT:
            settled = self.recent.pop(0)
            self.oldest = max(self.oldest, settled.time)
            self.before.apply(settled)

    def forget(self, context: SpanContext) -> None:
        self.recent = [one for one in self.recent if one.span is None or one.span.context != context]
        self.before.spans = [one for one in self.before.spans if one.context != context]
        self.before.settle()

    def at(self, time: int) -> _Stack:
        """What is open at a time; a span holds both its ends. What was before the recent changes is not known."""
        if time < self.oldest:
            return _Stack()
        stack = _Stack([*self.before.spans], self.before.doubtful)
        for change in self.recent:
            if change.time > time or (change.time == time and change.span is None):
                break
            stack.apply(change)
        return stack


class ActiveSpans:
    """Is told of spans as they are read. Of several that are open on a thread, the one that began last is on.

    That holds while each ends before the one in which it began. Where one does not, the thread is in doubt until
    nothing is open on it any more.

    Ends and beginnings of one thread may come in the wrong order, where it moved from one CPU to another. Times are
    the kernel's. The threads that were quiet for longest are forgotten above a bound.
    """

    def __init__(self, most: int = _MOST_THREADS) -> None:
        self._most = most
        self._threads: OrderedDict[int, _Thread] = OrderedDict()

    def begin(self, tid: int, context: SpanContext, start: int, key: Hashable = None) -> None:
        """A span has begun on a thread; ``key`` is what ``end`` will call it, where that does not know the context."""
        span = _Open(context if key is None else key, context, start)
        self._thread(tid).add(_Change(start, span.key, span))

    def end(self, tid: int, key: Hashable, end: int, *, last: bool = False) -> None:
        """The span with this key (or context) has ended on a thread: the first with it that is open, or the last."""
        self._thread(tid).add(_Change(end, key, is_last=last))

    def forget(self, tid: int, context: SpanContext) -> None:
        """A span is given up: its end was not seen."""
        if tid in self._threads:
            self._threads[tid].forget(context)

    def context_of(self, tid: int, time: int) -> SpanContext | None:
        """The context of the innermost span that is open on the thread at a time; None if none is, or in doubt."""
        thread = self._threads.get(tid)
        stack = _Stack() if thread is None else thread.at(time)
        return stack.spans[-1].context if stack.spans and not stack.doubtful else None

    def _thread(self, tid: int) -> _Thread:
        thread = self._threads.get(tid)
        if thread is None:
            thread = self._threads[tid] = _Thread()
            if len(self._threads) > self._most:
                self._threads.popitem(last=False)
        else:
            self._threads.move_to_end(tid)
        return thread
