"""What a kernel tracer saw of a TCP connection -> the HTTP/1.0 and HTTP/1.1 exchanges on it.

The tracer delivers what system calls moved, of each run in one direction only the first bytes, and can lose any of it;
positions tell what is missing. Requests and answers are paired in the order in which they came; those between which
others are known to be missing are counted and become no exchange.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

from parsers.http1_heads import AnswerHead, RequestHead
from parsers.http1_messages import Body, Chunked, Counters, Direction, Head, Message, Open, Segment, Sized

__all__ = ("MAX_WAITING", "Connection", "Counters", "Exchange", "Segment")

MAX_WAITING = 1000  # requests without an answer, a connection


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request and its answer.

    ``server``: this side read the request and answered it. ``version`` is "1.0" or "1.1", "" if the request's line was
    longer than what was captured, and then ``target`` is cut. ``request_headers`` holds the first value of each of
    host, user-agent, content-type and content-length, by lower-case name; ``traceparent`` all of its values, because
    more than one is invalid. ``truncated``: not all of the request's head was captured; headers may be missing.

    ``status`` is None if there was no answer. ``aborted``: the connection closed before the answer had passed, or had
    begun; ``end`` is then the close. Without an answer and not aborted, a request was given up when the time was out or
    no more was to be seen of its connection.

    ``start`` and ``end`` (ns): a server's from the return of the read with the first byte of the request to that of the
    write with the last byte of the answer; a client's from the entry of the write to the return of the last read.
    ``complete``: the end is certain, because all of the answer was seen to pass, or the next request followed it, or
    the connection's end where no length says otherwise.

    Sizes in bytes, None where unknown: of head and body on the wire, and of the bodies without the framing of chunks.
    ``context`` came with the segment in which the request began, ``answer_context`` with that of the answer.
    """

    server: bool
    method: str
    target: str
    version: str
    request_headers: dict[str, str]
    traceparent: tuple[str, ...]
    truncated: bool
    status: int | None
    start: int
    end: int
    complete: bool
    aborted: bool
    request_size: int | None
    response_size: int | None
    request_body_size: int | None
    response_body_size: int | None
    context: Any
    answer_context: Any


# An exchange that has not ended; ``time`` is when the last byte of its request was seen to pass.
@dataclass(slots=True)
class _Begun:
    head: RequestHead
    request: Message
    time: int
    answer: Message | None = None
    status: int | None = None


class Connection:
    """Feed segments in the order in which their calls returned, with anything as context; exchanges come out.

    Each comes once, as soon as its answer has passed. Nothing raises, whatever the bytes. At most ``max_waiting``
    requests wait for an answer; the oldest are given up and counted.
    """

    def __init__(self, counters: Counters | None = None, max_waiting: int = MAX_WAITING) -> None:
        self.counters = counters or Counters()
        self._max_waiting = max_waiting
        self._incoming = Direction(self, self.counters, outgoing=False)
        self._outgoing = Direction(self, self.counters, outgoing=True)
        self._requests: Direction | None = None  # until the first head
        self._answers = self._outgoing
        self._previous: Direction | None = None
        self._runs = 0
        self._waiting: deque[_Begun] = deque()
        self._owed = 0  # answers to requests that were given up
        self._done: list[Exchange] = []
        self._over = False

    def passed(self, *, outgoing: bool) -> int:
        """How many bytes of one direction are known to have passed."""
        return (self._outgoing if outgoing else self._incoming).position

    def feed(self, segment: Segment, context: Any = None) -> list[Exchange]:
        """Return the exchanges that ``segment`` completes."""
        if self._over:
            return []
        direction, other = self._outgoing, self._incoming
        if not segment.outgoing:
            direction, other = other, direction
        previous = self._previous
        if previous is direction and segment.last > direction.time and segment.position == direction.position:
            previous = other  # its segments were lost
        if previous:
            previous.heard(segment.last)
            if previous.missed and previous is not direction:
                previous.cut_head()
        if segment.size <= 0:
            direction.skip_to(segment.position)
            return self._take()
        self._runs += direction is not previous or segment.position > direction.position
        direction.run = self._runs
        direction.read(segment, context, fresh=direction is not previous)
        self._previous = direction
        return self._take()

    def end(self, time: int, last: int, position_in: int, position_out: int) -> list[Exchange]:
        """Return what remains when the connection closes at ``time`` (ns); the rest is as in a segment."""
        if self._over:
            return []
        previous, requests = self._previous, self._requests
        if previous:
            previous.heard(last)
        # Nothing passed since the last run of requests: they have no answer.
        unanswered = self._runs if requests and previous is requests and not requests.hidden else -1
        self._incoming.skip_to(position_in)
        self._outgoing.skip_to(position_out)
        return self._close(time, unanswered, closed=True)

    def flush(self) -> list[Exchange]:
        """Return what remains when no more will be seen of the connection: nothing in it is complete."""
        return [] if self._over else self._close(max(self._incoming.time, self._outgoing.time), -1, closed=False)

    def expire(self, now: int, timeout: int) -> list[Exchange]:
        """Give up the exchanges of which nothing was heard for longer than ``timeout``, and return them (both ns).

        An answer of which only segments pass that are not delivered needs news of its position to be kept. Answers that
        come later are unpaired.
        """
        answered = self._answered()
        if answered and now - self._answers.time > timeout:
            self._finish(answered, self._answers.time, complete=False)
        while self._waiting and now - self._last_seen(self._waiting[0]) > timeout:
            self._finish(self._waiting.popleft(), now, complete=False)
            self._owed += 1
        return self._take()

    def begin(self, direction: Direction, head: Head, message: Message) -> Body:
        """Take the head of a message; see ``Owner``."""
        if isinstance(head, RequestHead):
            self._assign(direction)
            return self._request(head, message)
        self._assign(self._incoming if direction.outgoing else self._outgoing)
        return self._answer(head, message)

    def finish(self, direction: Direction, message: Message, time: int) -> None:
        """Take the end of a message; see ``Owner``."""
        begun: _Begun | None = message.exchange
        if begun is None:
            return
        if direction is self._requests:
            begun.time = time
        else:
            self._finish(begun, time, complete=True)

    # The exchange of which an answer is passing.
    def _answered(self) -> _Begun | None:
        message = self._answers.message if self._requests else None
        return message.exchange if message else None

    # The first head tells which side asks.
    def _assign(self, requests: Direction) -> None:
        if self._requests is None:
            self._requests = requests
            self._answers = self._incoming if requests.outgoing else self._outgoing
            requests.answers = self._answers.requests = False

    def _request(self, head: RequestHead, message: Message) -> Body:
        begun = _Begun(head, message, message.returned)
        self._end_answer_before(begun)
        if self._requests:
            self._requests.lost = self._requests.unsure = False
        self._waiting.append(begun)
        message.exchange = begun
        if len(self._waiting) > self._max_waiting:
            self._waiting.popleft()
            self._owed += 1
            self.counters.evicted += 1
        return _framing(head, message)

    # Who sends a request while no other waits has read the answer to the last one, unless that can be seen not to have
    # passed: then the requests are pipelined.
    def _end_answer_before(self, request: _Begun) -> None:
        answered, answers = self._answered(), self._answers
        if self._waiting:
            return
        if request.request.run == self._runs:  # what passed unseen before were answers to others
            self._forget()
        if not answered or not answered.answer:
            return
        if request.request.returned > answered.answer.returned and (answers.open or answers.hidden):
            answers.measure()
            self._finish(answered, answers.time, complete=True)

    def _answer(self, head: AnswerHead, message: Message) -> Body:
        if head.status < 200 and head.status != 101:
            self._answers.unsure |= head.cut  # the final one may stand behind it
            return Open() if head.cut else Sized(0)
        begun = self._next_waiting(message.returned)
        if begun is None:
            self.counters.unpaired += 1
            self._answers.lost, self._answers.message = True, None
            return Open()  # if it was to HEAD, no length tells where it ends
        message.exchange = begun
        begun.answer, begun.status = message, head.status
        method = begun.head.method
        if head.status == 101 or (method == "CONNECT" and head.status < 300):
            return self._switch(begun, message, head)
        if method == "HEAD" or head.status in (204, 304):
            message.body = 0
            return Open() if head.cut else Sized(0)
        return _framing(head, message)

    # What follows is not HTTP.
    def _switch(self, begun: _Begun, message: Message, head: AnswerHead) -> Body:
        message.size, message.body = head.size, 0
        self._finish(begun, self._answers.time, complete=True)
        self._stop()
        return Open()

    # The request of the answer that began at ``since``. Where answers may have passed unseen, those to the requests
    # before the last change of direction have; where requests may have, too, nothing is certain.
    def _next_waiting(self, since: int) -> _Begun | None:
        answers, waiting = self._answers, self._waiting
        unsure, uncertain = answers.lost or answers.unsure, self._missed_requests()
        if not waiting and self._requests:
            self._requests.cut_head()  # an answer to what is known of it
        if unsure:
            while waiting and (uncertain or waiting[0].request.run != waiting[-1].request.run):
                waiting.popleft()
                self.counters.unseen += 1
            self._forget()
        if self._owed:
            self._owed -= 1
            return None
        if not waiting or waiting[0].request.returned > since:
            return None
        return waiting.popleft()

    # Whether there may be requests behind the last one that waits.
    def _missed_requests(self) -> bool:
        requests = self._requests
        if requests is None:
            return False
        if self._answers.lost and (requests.hidden or requests.unsure):
            return True
        return requests.lost or (requests.missed and requests.idle)

    def _forget(self) -> None:
        if self._answers.lost or self._answers.unsure:
            self._answers.lost = self._answers.unsure = False
            self._owed = 0

    # When the last byte of a request was seen to pass.
    def _last_seen(self, begun: _Begun) -> int:
        if self._requests and self._requests.message is begun.request:
            return self._requests.time
        return begun.time

    def _close(self, time: int, unanswered: int, *, closed: bool) -> list[Exchange]:
        for direction in (self._requests or self._incoming, self._answers):
            direction.cut_head()
        answers, answered = self._answers, self._answered()
        if answered:
            answers.measure()
            aborted = closed and not answers.open
            if aborted:
                answers.stop_short()
            end = time if aborted else answers.time
            self._finish(answered, end, complete=closed and answers.open, aborted=aborted)
        for begun in self._waiting:
            if (answers.lost or answers.unsure) and begun.request.run != unanswered:
                self.counters.unseen += 1
            else:
                self._finish(begun, time, complete=False, aborted=closed)
        self._stop()
        return self._take()

    def _stop(self) -> None:
        self._over = True
        self._waiting.clear()
        self._incoming.close()
        self._outgoing.close()

    def _finish(self, begun: _Begun, end: int, *, complete: bool, aborted: bool = False) -> None:
        head, request, answer = begun.head, begun.request, begun.answer
        requests = self._requests
        if requests and requests.message is request:
            requests.measure()
        request.exchange = None
        if answer:
            answer.exchange = None
        server = requests is self._incoming
        exchange = Exchange(
            server=server,
            method=head.method,
            target=head.target,
            version=head.version,
            request_headers=head.headers,
            traceparent=head.traceparent,
            truncated=head.cut,
            status=begun.status,
            start=request.returned if server else request.entered,
            end=end,
            complete=complete,
            aborted=aborted,
            request_size=request.size,
            response_size=answer.size if answer else None,
            request_body_size=request.body,
            response_body_size=answer.body if answer else None,
            context=request.context,
            answer_context=answer.context if answer else None,
        )
        self._done.append(exchange)

    def _take(self) -> list[Exchange]:
        done, self._done = self._done, []
        return done


# The body that a head announces.
def _framing(head: Head, message: Message) -> Body:
    if head.size is None:
        message.body = head.length
        return Open()
    if head.chunked:
        return Chunked()
    return Open() if head.length is None else Sized(head.length)
