from __future__ import annotations

import pytest

from orchestrator.supervision.pulse import Pulse


class Watch:
    """Looks each half second of a clock of its own."""

    def __init__(self, interval: float) -> None:
        self.time, self.used = 100.0, 0.0
        self.pulse = Pulse(interval, lambda: self.used, lambda: self.time)

    def looks(self, seconds: float, marks: int, *, more: bool = False) -> bool:
        stopped = False
        for _ in range(int(seconds * 2)):
            self.time += 0.5
            stopped = self.pulse.has_stopped(marks, more=more)
            if stopped:
                break
        return stopped


@pytest.mark.parametrize(("interval", "limit"), [(0.2, 10), (1, 10), (10, 30), (60, 180)])
def test_it_has_stopped_after_three_intervals_but_not_before_ten_seconds(interval: float, limit: int) -> None:
    watch = Watch(interval)
    assert not watch.looks(limit - 1, 0)
    assert watch.looks(2, 0)


def test_each_snapshot_is_a_sign_of_life() -> None:
    watch = Watch(1)
    for marks in range(100):
        assert not watch.looks(8, marks)
    assert watch.looks(12, 99)


def test_what_was_not_read_yet_may_be_a_sign_of_life() -> None:
    watch = Watch(1)
    assert not watch.looks(100, 0, more=True)
    assert watch.looks(1, 0)


def test_time_in_which_nobody_looked_does_not_count() -> None:
    """We were stopped, or the machine slept: what bpftrace said meanwhile may still be on its way."""
    watch = Watch(1)
    watch.looks(1, 0)
    watch.time += 3600
    assert not watch.looks(7, 0)
    assert watch.looks(5, 0)


def test_one_that_works_hard_is_waited_for_but_not_for_ever() -> None:
    watch = Watch(1)
    seconds = 0.0
    while not watch.looks(0.5, 0):
        watch.used += 0.5
        seconds += 0.5
    assert 50 <= seconds <= 70
