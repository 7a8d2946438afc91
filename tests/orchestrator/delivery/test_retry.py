from __future__ import annotations

import random

from orchestrator.delivery.retry import Backoff


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def middle(low: float, high: float) -> float:
    return (low + high) / 2


def pauses(backoff: Backoff, *asked: float | None) -> list[float]:
    found = []
    for retry_after in asked:
        backoff.failed(retry_after)
        found.append(backoff.left())
    return found


def test_pauses_double_up_to_thirty_seconds() -> None:
    assert pauses(Backoff(Clock(), middle), *[None] * 8) == [1, 2, 4, 8, 16, 30, 30, 30]


def test_pauses_are_spread() -> None:
    spreads: list[tuple[float, float]] = []

    def jitter(low: float, high: float) -> float:
        spreads.append((low, high))
        return random.uniform(low, high)

    (pause,) = pauses(Backoff(Clock(), jitter), None)
    ((low, high),) = spreads
    assert low < 1 < high
    assert low <= pause <= high


def test_the_receiver_may_ask_for_more_but_not_for_less() -> None:
    assert pauses(Backoff(Clock(), middle), 7.0, 0.1) == [7, 2]


def test_nobody_is_made_to_wait_for_ever() -> None:
    assert pauses(Backoff(Clock(), middle), 999_999_999.0) == [3600]


def test_time_passes_and_success_begins_anew() -> None:
    clock = Clock()
    backoff = Backoff(clock, middle)
    assert backoff.left() <= 0
    pauses(backoff, None, None)
    clock.now += 1.5
    assert backoff.left() == 0.5
    backoff.succeeded()
    assert backoff.left() <= 0
    assert pauses(backoff, None) == [1]
