"""One direction of a connection -> the HTTP/1 messages in it, although most bytes of their bodies are never seen.

A message begins where the one before it ended, by its length or its chunks. Where that cannot be known, because the
bytes that tell were not captured, the next one begins where the direction changes and the bytes are those of a head.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from parsers.http1_heads import (
    HEAD_END,
    KNOWN_METHODS,
    AnswerHead,
    RequestHead,
    may_begin_answer,
    may_begin_request,
    read_answer,
    read_request,
)

__all__ = ("MAX_HEAD", "Body", "Chunked", "Counters", "Direction", "Message", "Open", "Owner", "Segment", "Sized")

MAX_HEAD = 16 << 10  # bytes; what is longer counts as cut


@dataclass(frozen=True, slots=True)
class Segment:
    """What one system call moved.

    ``position`` counts the bytes of its direction before it, ``size`` its own; ``data`` is what was captured of them,
    from the first on: often less, and nothing behind a NUL. ``entered`` and ``returned`` are when the call was (ns).
    ``last`` is ``returned`` of the connection's segment before this one, in either direction and delivered or not (ns,
    0: unknown). A segment of size 0 only tells position and ``last``.
    """

    outgoing: bool
    position: int
    size: int
    data: bytes
    entered: int
    returned: int
    last: int


@dataclass(slots=True)
class Counters:
    """What became no exchange; connections may share them.

    ``unpaired``: answers whose request was not seen. ``unseen``: requests whose answer passed uncaptured.
    ``evicted``: requests given up because too many waited. ``skipped``: bytes that belong to no message with a known
    beginning and partner.
    """

    unpaired: int = 0
    unseen: int = 0
    evicted: int = 0
    skipped: int = 0


@dataclass(slots=True)
class Message:
    """A message whose head was read: where and when it began, and its sizes in bytes as far as they are known.

    ``entered`` and ``returned`` (ns) and ``context`` are those of the segment with its first byte, ``run`` numbers the
    run of segments to which that belongs. ``head`` and ``size`` (of head and body) are bytes on the wire, ``body`` is
    without the framing of chunks.
    """

    entered: int
    returned: int
    context: Any
    position: int
    run: int
    head: int | None
    body: int | None = None
    size: int | None = None
    exchange: Any = None


@dataclass(slots=True)
class Sized:
    """A body of which ``left`` bytes are to come."""

    left: int

    @property
    def done(self) -> bool:
        """Whether the body has ended."""
        return self.left == 0

    def take(self, data: bytes) -> int:
        """Return how many bytes of ``data`` are the body's."""
        return self.skip(len(data))

    def skip(self, count: int) -> int:
        """Return how many of ``count`` bytes that were not captured are the body's."""
        used = min(self.left, count)
        self.left -= used
        return used


_CHUNK = re.compile(rb"(?:\r?\n)?([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?\r?\n")
_TRAILER = re.compile(rb"(?:[^\r\n]+\r?\n)*\r?\n")
_LAST_CHUNK = b"0\r\n\r\n"


@dataclass(slots=True)
class Chunked:
    """A body in chunks; ``size`` counts the bytes in them, ``broken`` says that its end can no longer be found."""

    left: int = 0
    size: int = 0
    done: bool = False
    broken: bool = False
    _line: bytes = b""
    _last: bool = False

    def take(self, data: bytes) -> int:
        """Return how many bytes of ``data`` are the body's."""
        used = 0
        while used < len(data) and not self.done and not self.broken:
            inside = min(self.left, len(data) - used)
            self.left -= inside
            used += inside or self._take_line(data[used:])
        return used

    def skip(self, count: int) -> int:
        """Return how many of ``count`` bytes that were not captured are the body's: only a chunk's inside can miss."""
        used = min(self.left, count)
        self.left -= used
        self.broken = used < count
        return used

    # Consumes a chunk's size with the newline of the chunk before it, or the trailer.
    def _take_line(self, data: bytes) -> int:
        kept = len(self._line)
        self._line += data
        match = (_TRAILER if self._last else _CHUNK).match(self._line)
        if not match:
            broken = not self._last and b"\n" in self._line.lstrip(b"\r\n")
            self.broken = broken or len(self._line) > MAX_HEAD
            return len(data)
        self._line = b""
        if self._last:
            self.done = True
        else:
            self.left = int(match[1], 16)
            self.size += self.left
            self._last = self.left == 0
        return match.end() - kept


@dataclass(slots=True)
class Open:
    """Bytes up to an end that does not stand in them: a body without a length, or ``chunked`` with bytes missing."""

    chunked: bool = False
    done: bool = field(default=False, init=False)

    def take(self, data: bytes) -> int:
        """All of ``data`` is the body's."""
        return len(data)

    def skip(self, count: int) -> int:
        """And all that was not captured."""
        return count


Body: TypeAlias = Sized | Chunked | Open
Head: TypeAlias = RequestHead | AnswerHead


class Owner(Protocol):
    """Who is told of the messages of a direction."""

    def begin(self, direction: Direction, head: Head, message: Message) -> Body:
        """Say what body the head has."""

    def finish(self, direction: Direction, message: Message, time: int) -> None:
        """Hear that the message has passed, its last byte at ``time`` (ns), and its sizes are set if they are known."""


class Direction:
    """The bytes that were written, or read.

    ``position`` is how many are known to have passed, ``time`` when the last of them had (ns); ``hidden`` says that
    more may have since, ``missed`` that more have. ``message`` is the one of which a body is passing. Since the owner
    cleared them, ``lost`` says that bytes passed that belong to no message known, ``unsure`` that a message of unknown
    end may have hidden others.
    """

    def __init__(self, owner: Owner, counters: Counters, *, outgoing: bool) -> None:
        self._owner, self._counters, self.outgoing = owner, counters, outgoing
        self.requests = self.answers = True  # which can be here
        self.position = self.time = self.run = 0
        self.hidden = self.missed = self.lost = self.unsure = False
        self.message: Message | None = None
        self._body: Body | None = None  # None: a head is due
        self._doubted: Open | None = None  # what goes on if the head that is read is none
        self._doubted_since = 0
        self._head = b""
        self._began: Message | None = None
        self._segment = Segment(outgoing, 0, 0, b"", 0, 0, 0)  # the one being read
        self._context: Any = None
        self._fresh = self._gap = self._unsettled = False

    @property
    def open(self) -> bool:
        """Whether the end of ``message`` does not stand in its bytes."""
        return isinstance(self._doubted or self._body, Open)

    @property
    def idle(self) -> bool:
        """Whether neither a head nor a body has begun."""
        return self.message is None and not self._head

    def heard(self, last: int) -> None:
        """Take note that the last bytes passed at ``last`` (ns, 0: unknown), captured or not."""
        self.hidden |= last != self.time
        if last > self.time:
            self.missed, self.time = True, last

    def read(self, segment: Segment, context: Any, *, fresh: bool) -> None:
        """Take a segment; ``fresh``: the one before it went in the other direction."""
        self._gap = segment.position > self.position
        self.skip_to(segment.position)
        known, end = self.position - segment.position, segment.position + segment.size
        if known and self.position >= end:
            return
        if fresh and isinstance(self._body, Open):
            self._doubted, self._doubted_since, self._body = self._body, self.time, None
        self.time = max(self.time, segment.returned)
        self._segment, self._context, self._fresh = segment, context, fresh
        data = segment.data[known : segment.size]
        while data:
            data = self._take_head(data) if self._body is None else self._take_body(self._body, data)
        if self.position < end:
            self.skip_to(end)
        elif isinstance(self._body, Open) and self._body.chunked:
            self._find_last_chunk(segment.data)  # all of it was captured

    def skip_to(self, position: int) -> None:
        """Take note that the bytes up to ``position`` have passed."""
        while self.position < position:
            self._body = body = self._body or self._cut_head()
            used = body.skip(position - self.position)
            self.lost |= self.message is None
            self.unsure |= isinstance(body, Open)
            self._pass(used)
            self._settle(body)
        if self.position == position:
            self.hidden = self.missed = False

    def cut_head(self) -> None:
        """Make do with what there is of the head that is being read."""
        if self._head or self._doubted:
            self._body = self._cut_head()

    def close(self) -> None:
        """Read nothing any more."""
        self.message, self._doubted, self._body, self._head = None, None, Open(), b""

    def stop_short(self) -> None:
        """Set the sizes of the message that is passing to what has passed of it: no more will."""
        message, body = self.message, self._body
        if message is None:
            return
        message.size = self.position - message.position
        if isinstance(body, Sized) and message.body is not None:
            message.body -= body.left
        elif isinstance(body, Chunked):
            message.body = body.size - body.left

    def measure(self) -> None:
        """Set the sizes of the open message, if it ends here and nothing may have passed since."""
        body = self._doubted or self._body
        if self.message and isinstance(body, Open) and not self.hidden:
            self._measure(self.message, body, self.position - len(self._head))

    @staticmethod
    def _measure(message: Message, body: Open, end: int) -> None:
        message.size = end - message.position
        if message.head is not None and not body.chunked:
            message.body = message.size - message.head

    def _pass(self, count: int) -> None:
        self.position += count
        if self.message is None and count:
            self._counters.skipped += count

    def _take_body(self, body: Body, data: bytes) -> bytes:
        used = body.take(data)
        self._pass(used)
        self._settle(body)
        return data[used:]

    def _settle(self, body: Body) -> None:
        if body.done:
            self._finish(body)
        elif isinstance(body, Chunked) and body.broken:
            self._body = Open(chunked=True)

    def _finish(self, body: Body) -> None:
        message, self.message, self._body = self.message, None, None
        if message is None:
            return
        if isinstance(body, Chunked):
            message.size, message.body = self.position - message.position, body.size
        self._owner.finish(self, message, self.time)

    # A tail of a chunked body, captured up to its end.
    def _find_last_chunk(self, data: bytes) -> None:
        message = self.message
        if message and (data == _LAST_CHUNK or data.endswith(b"\r\n" + _LAST_CHUNK)):
            message.size = self.position - message.position
            self._finish(Open())

    def _take_head(self, data: bytes) -> bytes:
        if not self._head:
            if data[0] in b"\r\n":  # empty lines before a message (RFC 9112, 2.2)
                stripped = data.lstrip(b"\r\n")
                self._pass(len(data) - len(stripped))
                return stripped
            segment = self._segment
            self._began = Message(segment.entered, segment.returned, self._context, self.position, self.run, None)
            self._unsettled = self._gap
        known = len(self._head)
        self._head += data
        self.position += len(data)
        end = HEAD_END.search(self._head, max(known - 2, 0))
        if end or len(self._head) > MAX_HEAD:
            return self._end_head(end.end() if end else None, data)
        return b"" if self._may_begin() else self._reject(known, data)

    def _may_begin(self) -> bool:
        return (self.requests and may_begin_request(self._head)) or (self.answers and may_begin_answer(self._head))

    def _parse(self, size: int | None) -> Head | None:
        request = read_request(self._head, size) if self.requests else None
        if request and self._unsettled and request.method not in KNOWN_METHODS:
            return None  # its first letters may have passed unseen
        return request or (read_answer(self._head, size) if self.answers else None)

    def _end_head(self, size: int | None, data: bytes) -> bytes:
        head = self._parse(size)
        if head is None:
            return self._reject(len(self._head) - len(data), data)
        return self._begin(head, size)

    # Returns what stands behind the head.
    def _begin(self, head: Head, size: int | None) -> bytes:
        message, rest = self._began, b"" if size is None else self._head[size:]
        assert message is not None  # noqa: S101
        self._head = b""
        self.position -= len(rest)
        if self._doubted:
            self._end_doubted(self._doubted, message.position)
        message.head, self.message = size, message
        self._body = body = self._owner.begin(self, head, message)
        if isinstance(body, Sized) and size is not None:
            message.body, message.size = body.left, size + body.left
        self._settle(body)
        return rest

    # The message of unknown end ended before the one that begins at ``end``, and others may stand between them.
    def _end_doubted(self, body: Open, end: int) -> None:
        previous, self.message, self._doubted, self.unsure = self.message, None, None, True
        if previous:
            self._measure(previous, body, end)
            self._owner.finish(self, previous, self._doubted_since)

    # The bytes collected are no head: they belong to the message of unknown end, if there is one. A segment behind a
    # change of direction may be a head without those collected before it.
    def _reject(self, known: int, data: bytes) -> bytes:
        if known and self._fresh:
            self._fresh = False
            self.position -= len(data)
            self._head = self._head[:known]
            self._drop_head()
            return data
        self._body = self._go_on()
        return b""

    def _drop_head(self) -> None:
        if self.message is None:
            self._counters.skipped += len(self._head)
        self._head = b""

    def _cut_head(self) -> Body:
        head = self._parse(None) if self._head else None
        if head:
            self._begin(head, None)
            return self._body or Open()
        return self._go_on()

    def _go_on(self) -> Open:
        self._drop_head()
        body, self._doubted = self._doubted, None
        if body is None:
            self.lost, body = True, Open()
        return body
