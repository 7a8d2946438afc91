from __future__ import annotations

from collections.abc import Callable, Iterator

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.signals.clock import Clock


def ticking(start: int, step: int) -> Callable[[], int]:
    def times() -> Iterator[int]:
        now = start
        while True:
            yield now
            now += step

    source = times()
    return lambda: next(source)


@given(st.integers(0, 2**62), st.integers(0, 2**62))
def test_to_unix_adds_the_difference_of_the_clocks(monotonic: int, realtime: int) -> None:
    clock = Clock(lambda: monotonic, lambda: realtime)
    assert clock.to_unix(monotonic) == realtime
    assert clock.to_unix(monotonic - 5) == realtime - 5
    assert clock.now() == realtime


def test_sync_takes_the_tightest_of_five_readings() -> None:
    # before, after: the third pair is 2 ns apart, the others 1000 and more, with a realtime read late in them.
    pairs = [(0, 1000), (2000, 3500), (4000, 4002), (5000, 6000), (7000, 9000)]
    monotonic = iter([time for pair in pairs for time in pair])
    realtime = iter([10_999, 13_499, 14_001, 15_999, 18_999])
    clock = Clock(lambda: next(monotonic), lambda: next(realtime))
    assert clock.to_unix(0) == 10_000


def test_sync_follows_a_clock_that_was_set() -> None:
    offset = [1_000_000]
    clock = Clock(lambda: 500, lambda: 500 + offset[0])
    assert clock.to_unix(700) == 1_000_700
    offset[0] = 3_000_000
    assert clock.to_unix(700) == 1_000_700
    clock.sync()
    assert clock.to_unix(700) == 3_000_700


def test_now_moves_with_the_monotonic_clock() -> None:
    clock = Clock(ticking(0, 10), lambda: 1_000_000)
    first = clock.now()
    assert clock.now() == first + 10


def test_the_real_clocks_agree() -> None:
    import time  # noqa: PLC0415

    assert abs(Clock().to_unix(time.monotonic_ns()) - time.time_ns()) < 100_000_000
