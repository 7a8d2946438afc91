from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.signals.reorder import SLACK, Reorder


def test_items_are_held_back_until_nothing_older_can_come() -> None:
    order: Reorder[str] = Reorder(slack=10)
    assert list(order.add(100, "b")) == []
    assert list(order.add(95, "a")) == []
    assert list(order.add(105, "c")) == ["a"]
    assert list(order.add(115, "d")) == ["b", "c"]
    assert list(order.until(124)) == []
    assert list(order.until(125)) == ["d"]
    assert list(order.rest()) == []


def test_of_the_same_time_the_first_is_first() -> None:
    order: Reorder[int] = Reorder(slack=10)
    for number in range(5):
        assert list(order.add(7, number)) == []
    assert list(order.rest()) == [0, 1, 2, 3, 4]


def test_no_more_than_so_many_are_held() -> None:
    order: Reorder[int] = Reorder(slack=10**9, most=3)
    given_on = [item for time in (5, 1, 4, 3, 2) for item in order.add(time, time)]
    assert given_on == [1, 2]
    assert list(order.rest()) == [3, 4, 5]


def test_a_clock_that_was_set_back_does_not_stop_it() -> None:
    order: Reorder[str] = Reorder()
    hour = 3600 * SLACK
    assert list(order.add(hour, "before")) == []
    assert list(order.add(SLACK, "after")) == ["before"]
    assert list(order.add(2 * SLACK, "later")) == ["after"]


@given(st.lists(st.integers(0, 1000)), st.randoms(use_true_random=False))
def test_what_is_late_by_less_than_the_slack_comes_in_order(times: list[int], chance: random.Random) -> None:
    """Each is read up to 50 after it happened."""
    read = sorted(times, key=lambda time: time + chance.randrange(50))
    order: Reorder[int] = Reorder(slack=50)
    found = [item for time in read for item in order.add(time, time)]
    assert [*found, *order.rest()] == sorted(times)
