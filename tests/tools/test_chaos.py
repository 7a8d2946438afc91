"""The account of a chaos round must not let anything pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from tests.tools.chaos.account import Account, make_account
from tests.tools.chaos.evidence import Evidence, told_losses, told_rejections
from tests.tools.chaos.plan import draw
from tests.tools.chaos.receiver import Taken

_SECOND = 10**9


def names(*numbers: int) -> list[str]:
    return [f"a-0-{number}" for number in numbers]


def request(number: int, kept: Sequence[int], rejected: Sequence[int] = (), digest: str = "") -> Taken:
    return Taken(f"1-{number}", number * _SECOND, "/v1/logs", digest or str(number), names(*kept), names(*rejected))


def account(taken: Sequence[Taken], printed: int = 10, **more: Any) -> Account:
    """Of events that were printed one a second; all answers were sent but those named as ``unanswered``."""
    answered = frozenset({one.number for one in taken} - set(more.pop("unanswered", ())))
    order = {name: number * _SECOND for number, name in enumerate(names(*range(printed)))}
    return make_account(Evidence(order, taken, answered, **more))


def test_all_arrived() -> None:
    assert account([request(1, range(5)), request(2, range(5, 10))]) == Account(10, 10, 0, {}, 0, 0, 0, 0, ())


def test_missing_and_not_counted() -> None:
    found = account([request(1, range(5)), request(2, range(6, 10))])
    assert found.unexplained == 1
    assert found.faults


def test_missing_and_counted() -> None:
    found = account([request(1, range(5))], tally={"no room": 5})
    assert (found.unexplained, found.faults) == (0, ())


def test_counted_but_not_missing() -> None:
    assert account([request(1, range(10))], tally={"no room": 5}).unexplained == 5


def test_arrived_but_never_printed() -> None:
    assert account([request(1, range(11))]).unexplained == 1


def test_rejections_are_to_be_told() -> None:
    taken = [request(1, range(8), (8, 9))]
    assert account(taken, rejections=2).unexplained == 0
    assert account(taken, rejections=1).unexplained == 1
    assert account(taken, rejections=3).unexplained == 1
    assert account(taken, rejections=0, unanswered=["1-1"]).unexplained == 0


def test_tail_of_a_killed_run() -> None:
    found = account([request(1, range(8))], killed_at=10 * _SECOND, taken_items=8, next_at=20 * _SECOND, kills=1)
    assert (found.tail, found.unexplained, found.faults) == (2, 0, ())


def test_tail_hides_nothing_else() -> None:
    killed: dict[str, Any] = {"killed_at": 10 * _SECOND, "next_at": 20 * _SECOND, "kills": 1}
    assert account([request(1, range(7))], taken_items=8, **killed).unexplained == 1
    assert account([request(1, range(9))], taken_items=8, **killed).faults
    old = account([request(1, range(5))], taken_items=5, **killed)
    assert "printed more than 2 s before the kill" in " ".join(old.faults)


def test_taken_with_its_answer_unread() -> None:
    killed: dict[str, Any] = {"killed_at": 10 * _SECOND, "taken_items": 10, "kills": 1}
    killed["tally"] = {"killed": 2, "unanswered": 4}
    taken = [request(1, range(4)), request(2, range(4, 8))]
    found = account(taken, next_at=20 * _SECOND, **killed)
    assert (found.both, found.unexplained) == (4, 0)
    again = account([*taken, request(30, range(4, 8), digest="2")], next_at=20 * _SECOND, **killed)
    assert again.unexplained == 4
    killed["tally"] = {"killed": 6}
    assert account(taken, next_at=20 * _SECOND, **killed).unexplained == 4


def test_order() -> None:
    assert "1 times" in account([request(1, range(5, 10)), request(2, range(5))]).faults[0]


def test_duplicates_need_a_lost_answer() -> None:
    twice = [request(1, range(10), digest="same"), request(2, range(10), digest="same")]
    lost = account(twice, unanswered=["1-1"])
    assert (lost.duplicates, lost.faults) == (1, ())
    assert account(twice).faults
    assert not account(twice, kills=1).faults
    assert account([request(1, range(10)), request(2, range(10))], unanswered=["1-1"], kills=1).faults


def test_what_a_run_says() -> None:
    said = (
        "orchestrate: the receiver refused 1,200 items\n"
        "orchestrate: the receiver refused 7 items in whole requests; they are kept\n"
        "orchestrate: 3,000 log records were lost (spool full: raise spool.max_mb in the --config file)\n"
        "orchestrate: 20 data points were lost (no room: neither memory nor disk had room)\n"
    )
    assert told_rejections(said) == 1200
    assert told_losses(said) == {"spool full": 3000}


def test_plans_come_from_their_seed() -> None:
    assert draw("1.2", 4.0) == draw("1.2", 4.0)
    assert len({draw(f"1.{number}", 4.0).faults for number in range(50)}) > 20


def test_records_of_our_own_may_be_counted_and_not_missing() -> None:
    assert account([request(1, range(5))], tally={"no room": 7}, own=2).unexplained == 0
    assert account([request(1, range(5))], tally={"no room": 8}, own=2).unexplained == 3
    arrived = replace(request(1, range(5)), own=2)
    assert account([arrived], tally={"no room": 7}, own=2).unexplained == 2


def test_records_of_our_own_are_taken_before_a_kill() -> None:
    more = {"killed_at": 10 * _SECOND, "taken_items": 9, "next_at": 11 * _SECOND}
    found = account([request(1, range(5))], tally={"killed": 4}, own=1, own_taken=[1], **more)
    assert (found.unexplained, found.tail) == (0, 2)
