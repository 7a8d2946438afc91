from __future__ import annotations

import random

import pytest

from orchestrator.delivery.retry import send_with_retry
from orchestrator.delivery.transport import Outcome, Request, Status

REQUEST = Request("logs", b"body", 3)
BUSY = Outcome(Status.RETRYABLE, 0, "busy")
DONE = Outcome(Status.ACCEPTED)
REFUSED = Outcome(Status.REJECTED, 3, "no")


class Line:
    """A transport and its clock: every attempt takes ``cost`` seconds, waiting takes what it says."""

    endpoint = "line"

    def __init__(self, outcomes: list[Outcome], cost: float = 0.0, stop_after: int | None = None) -> None:
        self.outcomes = outcomes
        self.cost = cost
        self.stop_after = stop_after
        self.now = 100.0
        self.timeouts: list[float] = []
        self.pauses: list[float] = []

    def send(self, request: Request, timeout: float) -> Outcome:
        assert request is REQUEST
        self.timeouts.append(timeout)
        self.now += min(self.cost, timeout)
        return self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]

    def close(self) -> None:
        raise AssertionError("the transport is the caller's")

    def sleep(self, seconds: float) -> bool:
        self.pauses.append(seconds)
        self.now += seconds
        return len(self.pauses) == self.stop_after

    def run(self, deadline: float, timeout: float = 10.0) -> Outcome:
        return send_with_retry(
            self,
            REQUEST,
            timeout=timeout,
            deadline=100.0 + deadline,
            sleep=self.sleep,
            monotonic=lambda: self.now,
            jitter=lambda low, high: (low + high) / 2,
        )


@pytest.mark.parametrize("outcome", [DONE, REFUSED, Outcome(Status.ACCEPTED, 2, "two refused")])
def test_only_what_is_retryable_is_sent_again(outcome: Outcome) -> None:
    line = Line([outcome])
    assert line.run(1000) is outcome
    assert len(line.timeouts) == 1
    assert line.pauses == []


def test_pauses_double_up_to_thirty_seconds() -> None:
    line = Line([BUSY] * 8 + [DONE])
    assert line.run(1000) is DONE
    assert line.pauses == [1, 2, 4, 8, 16, 30, 30, 30]


def test_pauses_are_spread() -> None:
    spreads: list[tuple[float, float]] = []

    def jitter(low: float, high: float) -> float:
        spreads.append((low, high))
        return random.uniform(low, high)

    line = Line([BUSY, DONE])
    send_with_retry(line, REQUEST, timeout=1, deadline=200, sleep=line.sleep, monotonic=lambda: line.now, jitter=jitter)
    ((low, high),) = spreads
    assert low < 1 < high
    assert low <= line.pauses[0] <= high


def test_the_receiver_may_ask_for_more_but_not_for_less() -> None:
    line = Line([Outcome(Status.RETRYABLE, retry_after=7.0), Outcome(Status.RETRYABLE, retry_after=0.1), DONE])
    assert line.run(1000) is DONE
    assert line.pauses == [7, 2]


def test_there_is_no_waiting_for_what_would_come_too_late() -> None:
    line = Line([BUSY])
    assert line.run(5) is BUSY
    assert line.pauses == [1, 2]  # 4 more would end at 7
    line = Line([Outcome(Status.RETRYABLE, retry_after=60.0)])
    assert line.run(5).retry_after == 60.0
    assert line.pauses == []


def test_an_attempt_gets_no_more_time_than_is_left() -> None:
    line = Line([BUSY], cost=10.0)
    line.run(15)
    assert line.timeouts == [10, 4]
    assert line.now == 115


def test_without_time_nothing_is_sent() -> None:
    line = Line([DONE])
    outcome = line.run(0)
    assert outcome.status is Status.RETRYABLE
    assert "time" in outcome.message
    assert line.timeouts == []


def test_being_asked_to_stop_ends_it() -> None:
    line = Line([BUSY], stop_after=2)
    assert line.run(1000) is BUSY
    assert line.pauses == [1, 2]
    assert len(line.timeouts) == 2
