from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.signals.clock import Clock, Moment

SECOND = 1_000_000_000


def ticking(start: int, step: int) -> Callable[[], int]:
    def times() -> Iterator[int]:
        now = start
        while True:
            yield now
            now += step

    source = times()
    return lambda: next(source)


@given(st.integers(0, 2**62), st.integers(0, 2**62))
def test_a_moment_adds_the_difference_of_the_clocks(monotonic: int, realtime: int) -> None:
    moment = Clock(lambda: monotonic, lambda: realtime).moment()
    assert moment == Moment(realtime, realtime - monotonic)
    assert moment.to_unix(monotonic) == realtime
    assert moment.to_unix(monotonic - 5) == realtime - 5


def test_the_tightest_of_five_readings_is_taken() -> None:
    # before, after: the third pair is 2 ns apart, the others 1000 and more, with a realtime read late in them.
    pairs = [(0, 1000), (2000, 3500), (4000, 4002), (5000, 6000), (7000, 9000)]
    monotonic = iter([0, *(time for pair in pairs for time in pair)])  # the first is that of the moment itself
    realtime = iter([10_999, 13_499, 14_001, 15_999, 18_999])
    clock = Clock(lambda: next(monotonic), lambda: next(realtime))
    assert clock.moment().to_unix(0) == 10_000


def test_a_clock_that_was_set_is_followed_within_a_second() -> None:
    now, offset = [500], [1_000_000]
    clock = Clock(lambda: now[0], lambda: now[0] + offset[0])
    first = clock.moment()
    assert first.to_unix(700) == 1_000_700
    offset[0] = 3_000_000
    now[0] += SECOND - 1
    assert clock.moment().to_unix(700) == 1_000_700
    now[0] += 1
    assert clock.moment().to_unix(700) == 3_000_700
    assert first.to_unix(700) == 1_000_700  # what was read before keeps the clock of then


def test_moments_move_with_the_monotonic_clock() -> None:
    clock = Clock(ticking(1, 10), lambda: 1_000_000)
    first = clock.moment()
    # Ten readings of the monotonic clock fixed the difference after the first moment was taken.
    assert clock.moment().unix == first.unix + 110
    assert clock.moment().unix == first.unix + 120


def test_the_real_clocks_agree() -> None:
    assert abs(Clock().moment().to_unix(time.monotonic_ns()) - time.time_ns()) < 100_000_000
