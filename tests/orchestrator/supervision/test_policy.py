"""Readings in, decisions out: bursts are no harm, steps are judged by what comes after them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest

from orchestrator.supervision.policy import (
    CPU_SECONDS,
    LEAST_FACTOR,
    STEP_SECONDS,
    AtLimit,
    Decision,
    Policy,
    Reading,
    costliest,
)

EACH = 2.0
MB = 10**6


def policy(at_limit: AtLimit = "sample", *, cpu: float = 5, memory: float = 500, cpus: int = 2) -> Policy:
    return Policy(cpu, memory, at_limit, cpus)


def see(
    judge: Policy,
    seconds: float,
    percent: Callable[[Policy], float] | float,
    megabytes: float = 100,
    begin: float = 0.0,
) -> list[tuple[float, Decision]]:
    """Readings each 2 s of a run that takes that much of all CPUs; what was decided, and when."""
    found, time = [], begin
    cpu = judge._readings[-1].cpu if judge._readings else 0.0
    while time <= begin + seconds:
        decision = judge.see(Reading(time, cpu, int(megabytes * MB)))
        if decision is not None:
            found.append((time - begin, decision))
        cpu += EACH * judge.cpus * (percent if isinstance(percent, (int, float)) else percent(judge)) / 100
        time += EACH
    return found


@pytest.mark.parametrize("percent", [0, 4.9])
def test_below_the_limits_nothing_is_done(percent: float) -> None:
    assert see(policy(), 300, percent, 499) == []


def test_without_limits_nothing_is_done() -> None:
    assert see(policy(cpu=0, memory=0), 300, 100, 100_000) == []


def test_cpu_is_judged_by_the_average_of_thirty_seconds() -> None:
    ((time, decision),) = see(policy("stop"), 40, 8)
    assert time == CPU_SECONDS
    assert (decision.action, decision.limit, decision.allowed) == ("stop", "max_cpu_percent", 5)
    assert decision.measured == pytest.approx(8)


def test_a_burst_is_no_harm() -> None:
    judge = policy("stop")
    assert see(judge, 60, 1) == []
    seconds, cpu = 62.0, 62 * 0.02
    for percent in [50.0] * 1 + [1.0] * 30:
        cpu += EACH * 2 * percent / 100
        seconds += EACH
        assert judge.see(Reading(seconds, cpu, 0)) is None


def test_memory_is_judged_by_two_readings_in_a_row() -> None:
    judge = policy("stop")
    assert judge.see(Reading(0, 0, 600 * MB)) is None
    assert judge.see(Reading(2, 0, 400 * MB)) is None
    assert judge.see(Reading(4, 0, 600 * MB)) is None
    decision = judge.see(Reading(6, 0, 601 * MB))
    assert decision == Decision("stop", "max_memory_mb", 601, 500)


def test_events_are_halved_each_ten_seconds_down_to_a_64th() -> None:
    found = see(policy(), 300, 50)
    assert [decision.factor for _, decision in found] == [1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 32, LEAST_FACTOR]
    times = [time for time, _ in found]
    assert times == [CPU_SECONDS + step * STEP_SECONDS for step in range(6)]


def test_it_ends_where_halving_was_enough() -> None:
    found = see(policy(), 120, lambda judge: 18 * judge.factor)
    assert [(decision.action, decision.factor) for _, decision in found] == [("sample", 1 / 2), ("sample", 1 / 4)]


def test_events_come_back_slowly_when_there_is_room() -> None:
    judge = policy()
    see(judge, 60, 50)
    before = judge.factor
    assert before < 1
    found = see(judge, 400, 1, begin=62)
    assert {decision.action for _, decision in found} == {"restore"}
    assert [decision.factor for _, decision in found] == [before * 2**step for step in range(1, 1 + len(found))]
    assert judge.factor == 1
    gaps = [late - early for (early, _), (late, _) in pairwise(found)]
    assert min(gaps) >= CPU_SECONDS


def test_memory_alone_can_let_events_come_back() -> None:
    judge = policy(cpu=0)
    assert [decision.factor for _, decision in see(judge, 4, 0, 600)] == [1 / 2]
    assert see(judge, 60, 0, 450, begin=6) == []  # not low enough
    assert [decision.action for _, decision in see(judge, 60, 0, 100, begin=68)] == ["restore"]


def test_after_a_signal_was_stopped_the_others_are_judged_anew() -> None:
    times = [time for time, _ in see(policy("stop_costliest"), 95, 8)]
    assert times == [CPU_SECONDS, 2 * CPU_SECONDS, 3 * CPU_SECONDS]


@pytest.mark.parametrize(
    ("run_times", "events", "name"),
    [
        ({"a": 5, "b": 7, "": 100}, {"a": 10, "b": 1}, "b"),
        ({"": 100}, {"a": 10, "b": 1}, "a"),
        ({}, {"a": 0}, "a"),
        ({"gone": 100}, {"a": 0, "b": 1}, "b"),
        ({}, {}, None),
    ],
)
def test_the_costliest_signal(run_times: dict[str, float], events: dict[str, int], name: str | None) -> None:
    assert costliest(run_times, events) == name
