from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.signals.waiting import Waiting


@pytest.mark.parametrize(("last", "taken"), [(False, ["a", "b", "c"]), (True, ["c", "b", "a"])])
def test_first_or_last_of_a_key(last: bool, taken: list[str]) -> None:
    waiting: Waiting[str] = Waiting(10, last=last)
    for time, item in enumerate("abc"):
        waiting.add("key", time, item)
        waiting.add("other", time, "x")
    assert [waiting.take("key", 9) for _ in range(4)] == [*taken, None]
    assert len(waiting) == 3


@pytest.mark.parametrize("last", [False, True])
def test_what_begins_later_is_not_taken(last: bool) -> None:
    waiting: Waiting[str] = Waiting(10, last=last)
    waiting.add("key", 5, "a")
    assert waiting.take("key", 4) is None
    assert waiting.take("key", 5) == "a"


def test_what_begins_later_is_not_passed_over_for_another() -> None:
    waiting: Waiting[str] = Waiting(10, last=True)
    waiting.add("key", 1, "a")
    waiting.add("key", 5, "b")
    assert waiting.take("key", 3) is None
    assert [waiting.take("key", 5), waiting.take("key", 5)] == ["b", "a"]


def test_the_oldest_of_all_is_given_up_first() -> None:
    waiting: Waiting[str] = Waiting(2)
    assert waiting.add("x", 1, "a") is None
    assert waiting.add("y", 2, "b") is None
    assert waiting.add("y", 3, "c") == "a"
    assert waiting.add("z", 4, "d") == "b"
    assert [waiting.take(key, 9) for key in "xyyz"] == [None, "c", None, "d"]


def test_expire() -> None:
    waiting: Waiting[str] = Waiting(10)
    for time, item in enumerate("abcd"):
        waiting.add("key", time, item)
    assert list(waiting.expire(2)) == ["a", "b"]
    assert list(waiting.expire(2)) == []
    assert waiting.take("key", 9) == "c"
    assert list(waiting.expire(100)) == ["d"]
    assert waiting.take("key", 9) is None


@given(st.lists(st.tuples(st.sampled_from("abt"), st.integers(0, 2))), st.booleans(), st.integers(1, 4))
def test_against_a_list(actions: list[tuple[str, int]], last: bool, most: int) -> None:
    waiting: Waiting[int] = Waiting(most, last=last)
    model: list[tuple[int, int]] = []
    for time, (action, key) in enumerate(actions):
        if action == "t":
            mine = [item for item in model if item[0] == key]
            expected = mine[-1 if last else 0] if mine else None
            assert waiting.take(key, time) == (expected and expected[1])
            model = [item for item in model if item != expected]
        else:
            model.append((key, time))
            given_up = model.pop(0)[1] if len(model) > most else None
            assert waiting.add(key, time, time) == given_up
        assert len(waiting) == len(model)
