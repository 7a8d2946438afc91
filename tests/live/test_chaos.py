"""Every fault once: what bpftrace printed has arrived, or is counted as lost. The long form is tests/tools/chaos."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.tools.chaos.plan import FAULTS, draw
from tests.tools.chaos.rounds import play

_ROUNDS = (
    ("503", "slow reads", "kill receiver"),
    ("429", "partial success"),
    ("hang", "reset", "lost answers"),
    ("full disk", "away", "kill bpftrace"),
    ("full disk early", "503"),
    ("small spool", "away"),
    ("away", "kill orchestrate", "kill sender"),
)


@pytest.mark.parametrize("faults", _ROUNDS, ids=", ".join)
def test_chaos(tmp_path: Path, faults: tuple[str, ...]) -> None:
    plan = replace(draw("ci", 3.0, faults, lasting=False), room=0, freed=False)
    done = play(plan, tmp_path / "round", "bpftrace", 2000)
    assert done.account.faults == ()
    assert done.account.unexplained == 0
    assert done.account.printed > 0


def test_all_faults_are_played() -> None:
    assert {fault for faults in _ROUNDS for fault in faults} == set(FAULTS)
