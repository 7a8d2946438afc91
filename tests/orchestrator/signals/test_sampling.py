"""Whatever comes in whatever bursts: what is kept and what is told of the rest are together all of it."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.signals.sampling import Sampler, Thinned, fair_shares

BEGIN = 1_700_000_000_000_000_000
SECOND = 1_000_000_000


class Stream:
    """Feeds a sampler, and keeps what comes of each kind in each call."""

    def __init__(self, limit: int) -> None:
        self.sampler = Sampler(limit)
        self.now = BEGIN
        self.sampler.advance(self.now)
        self.thinned: dict[tuple[str, str], Thinned] = {}

    def feed(self, seconds: float, **counts: int) -> Counter[str]:
        """So much later; returns how many were kept of each signal. ``tcp__fail`` is a kind of its own."""
        self.now += int(seconds * SECOND)
        self.sampler.advance(self.now)
        kept = Counter[str]()
        for name, count in counts.items():
            signal, _, kind = name.partition("__")
            picked = self.sampler.take(signal, kind, count)
            self.thinned.setdefault((signal, kind), Thinned()).add(count, picked)
            kept[signal] += count if picked is None else picked.kept
        return kept


@given(
    st.integers(1, 2000),
    st.lists(
        st.tuples(
            st.sampled_from([0.0, 0.01, 0.5, 1.0, 7.0, -3.0]),
            st.sampled_from(["exec", "tcp__open", "tcp__fail"]),
            st.integers(0, 5000),
            st.sampled_from([None, None, None, 1.0, 0.5, 1 / 64]),
        ),
        max_size=60,
    ),
)
def test_nothing_is_kept_without_its_count_and_nothing_left_out_without_being_told(
    limit: int, steps: list[tuple[float, str, int, float | None]]
) -> None:
    """One by one what is picked stands for itself and all before it, and so does a whole batch."""
    stream, waiting = Stream(limit), Counter[str]()
    for seconds, name, count, scale in steps:
        if scale is not None:
            stream.sampler.scale(scale)
        stream.now += int(seconds * SECOND)
        stream.sampler.advance(stream.now)
        signal, _, kind = name.partition("__")
        picked = stream.sampler.take(signal, kind, count)
        if picked is None:
            assert waiting[name] == 0
            continue
        places = range(picked.first, count, picked.every)
        assert len(places) == picked.kept
        before = [-waiting[name] - 1, *places]
        weights = [place - last for last, place in zip(before, places, strict=False)]
        assert weights == [picked.weight, *[picked.every] * (picked.kept - 1)][: picked.kept]
        assert picked.represented == sum(weights)
        waiting[name] += count - picked.represented
        assert waiting[name] >= 0


def test_below_the_limit_all_is_kept_as_it_is() -> None:
    stream = Stream(1000)
    for _ in range(100):
        stream.feed(0.5, exec=300, tcp__open=190)
    assert all((one.left_out, one.remainder) == (0, 0) for one in stream.thinned.values())


def test_without_a_limit_all_is_kept() -> None:
    stream = Stream(0)
    assert stream.feed(0.1, exec=10**9)["exec"] == 10**9


@pytest.mark.parametrize("pause", [0.02, 0.5, 1.0])
@pytest.mark.parametrize("demand", [1100, 20_000, 300_000])
def test_in_the_long_run_what_is_kept_is_what_is_allowed(demand: int, pause: float) -> None:
    stream = Stream(1000)
    for _ in range(int(60 / pause)):
        stream.feed(pause, exec=int(demand * pause))
    thinned = stream.thinned["exec", ""]
    assert 60 * 1000 * 0.85 <= thinned.kept <= 60 * 1000 * 1.05 + 1000 + demand / 50
    assert thinned.represented + thinned.remainder == thinned.received
    assert thinned.remainder < demand / 1000 * 2


def test_single_events_are_thinned_like_batches() -> None:
    stream = Stream(1000)
    for _ in range(10):
        stream.feed(0.5)
        for _ in range(10_000):
            stream.feed(0, exec=1)
    assert 4_000 <= stream.thinned["exec", ""].kept <= 7_500


def test_a_burst_of_a_second_is_kept_whole() -> None:
    stream = Stream(1000)
    assert stream.feed(5, exec=10)["exec"] == 10
    assert stream.feed(0.1, exec=980)["exec"] == 980
    assert stream.feed(0.1, exec=1000)["exec"] < 500


def test_a_quiet_signal_is_not_thinned_beside_a_loud_one() -> None:
    stream = Stream(1000)
    for _ in range(40):
        stream.feed(0.5, exec=150, tcp__open=20_000)
    assert stream.thinned["exec", ""].left_out == 0
    assert 0.8 * 700 * 20 <= stream.thinned["tcp", "open"].kept <= 1.2 * 700 * 20 + 1000


def test_rare_events_of_a_loud_signal_are_not_thinned() -> None:
    stream = Stream(1000)
    for _ in range(40):
        stream.feed(0.5, tcp__fail=20, tcp__open=20_000)
    assert stream.thinned["tcp", "fail"].left_out == 0


def test_thinning_ends_when_the_flood_does() -> None:
    stream = Stream(1000)
    for _ in range(20):
        stream.feed(0.5, exec=20_000)
    for _ in range(6):
        stream.feed(0.5, exec=10)
    before = stream.thinned["exec", ""].left_out
    stream.feed(0.5, exec=400)
    assert stream.thinned["exec", ""].left_out == before
    assert stream.thinned["exec", ""].remainder == 0


def test_a_clock_that_is_set_back_changes_little() -> None:
    stream = Stream(1000)
    for _ in range(20):
        stream.feed(0.5, exec=10_000)
    before = stream.thinned["exec", ""].kept
    stream.feed(-3600, exec=10_000)
    for _ in range(19):
        stream.feed(0.5, exec=10_000)
    assert 8_500 <= stream.thinned["exec", ""].kept - before <= 11_500


def test_half_of_the_rate_is_half_of_what_comes_where_that_is_below_the_limit() -> None:
    stream = Stream(10_000)
    for _ in range(20):
        stream.feed(0.5, exec=100)
    stream.sampler.scale(0.25)
    assert stream.sampler.rate == pytest.approx(50)
    stream.sampler.scale(1)
    assert stream.sampler.rate == 10_000


def test_a_rate_without_a_limit_can_be_scaled_and_restored() -> None:
    stream = Stream(0)
    for _ in range(20):
        stream.feed(0.5, exec=1000)
    stream.sampler.scale(0.5)
    for _ in range(20):
        stream.feed(0.5, exec=1000)
    kept = stream.thinned["exec", ""].kept - 20_000
    assert 9_000 <= kept <= 12_000
    stream.sampler.scale(1)
    stream.feed(1)
    assert stream.feed(1, exec=10**6)["exec"] >= 10**6 - 2


def test_a_rate_that_is_scaled_while_nothing_comes_is_a_part_of_what_comes_then() -> None:
    stream = Stream(0)
    stream.feed(5)
    stream.sampler.scale(0.25)
    for _ in range(20):
        stream.feed(0.5, exec=1000)
    assert stream.sampler.rate == pytest.approx(500)
    assert 5_000 <= stream.thinned["exec", ""].kept <= 8_000


@given(st.dictionaries(st.text(max_size=3), st.floats(0, 1e6), max_size=6), st.floats(0.1, 1e6))
def test_fair_shares(demands: dict[str, float], capacity: float) -> None:
    shares = fair_shares(demands, capacity)
    assert all(0 <= shares[key] <= demand for key, demand in demands.items())
    assert sum(shares.values()) == pytest.approx(min(sum(demands.values()), capacity))
    cut = [shares[key] for key, demand in demands.items() if shares[key] < demand * 0.999_999]
    assert all(share >= max(shares.values()) * 0.999_999 for share in cut)
