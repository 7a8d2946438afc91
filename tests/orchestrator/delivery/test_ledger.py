"""What a killed run had in memory is known afterwards."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.delivery.ledger import Ledger, add_losses, read_losses, reap

_KILLED = """
import os, sys
from pathlib import Path
from orchestrator.delivery.ledger import Ledger
ledger = Ledger(Path(sys.argv[1]), "run")
ledger.take("logs", 10)
ledger.take("metrics", 5)
ledger.settle("logs", 7)
ledger.settle("metrics", 5)
print("ready", flush=True)
sys.stdin.read()
"""


def test_a_run_that_ends_leaves_nothing(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, "run")
    ledger.take("logs", 10)
    ledger.close()
    assert list(tmp_path.iterdir()) == []
    assert reap(tmp_path) == {}


def test_a_run_that_lives_is_left_alone(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, "run")
    ledger.take("logs", 10)
    assert reap(tmp_path) == {}
    assert len(list(tmp_path.glob("*.ledger"))) == 1
    ledger.close()


def test_what_a_killed_run_took_with_it_is_counted_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _KILLED, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        os.kill(process.pid, signal.SIGKILL)
    assert reap(tmp_path) == {"killed": {"logs": 3}}
    assert reap(tmp_path) == {}
    assert read_losses(tmp_path) == {"killed": {"logs": 3}}
    assert list(tmp_path.glob("*.ledger")) == []


def killed(folder: Path, *, sending: int = 0, keeping: int = 0) -> None:
    """What is left of a run that had taken 10 log records and settled none; numbers of requests of 4 items."""
    ledger = Ledger(folder, "run-1")
    ledger.take("logs", 10)
    ledger.sending(sending, "logs", 4)
    ledger.keeping(keeping, "logs", 4)
    (path,) = folder.glob("*.ledger")
    copy = path.read_bytes()
    ledger.close()
    path.write_bytes(copy)


def test_what_was_being_sent_may_have_arrived(tmp_path: Path) -> None:
    killed(tmp_path, sending=7)
    assert reap(tmp_path) == {"killed": {"logs": 6}, "unanswered": {"logs": 4}}


@pytest.mark.parametrize(("name", "lost"), [("otlp", 6), ("refused", 6), ("otlp.unfinished", 10)])
def test_what_was_being_kept_is_kept_if_it_is_there(tmp_path: Path, name: str, lost: int) -> None:
    (tmp_path / f"run-1-000000000007-logs-4.{name}").touch()
    killed(tmp_path, keeping=7)
    assert reap(tmp_path) == {"killed": {"logs": lost}}


def test_a_ledger_that_was_cut_is_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "run.ledger").write_bytes(b"\1")
    assert reap(tmp_path) == {"killed": {"logs": 1}}


def test_losses_add_up_by_cause_and_signal_for_their_owner_only(tmp_path: Path) -> None:
    add_losses(tmp_path, {"spool full": {"logs": 1}})
    add_losses(tmp_path, {"spool full": {"logs": 2, "traces": 3}, "too old": {"logs": 4}})
    assert read_losses(tmp_path) == {"spool full": {"logs": 3, "traces": 3}, "too old": {"logs": 4}}
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


def test_a_tally_that_makes_no_sense_begins_anew(tmp_path: Path) -> None:
    (tmp_path / "losses.json").write_text("[")
    assert read_losses(tmp_path) == {}
    add_losses(tmp_path, {"too old": {"logs": 4}})
    assert read_losses(tmp_path) == {"too old": {"logs": 4}}


def test_after_its_end_a_ledger_takes_nothing_more(tmp_path: Path) -> None:
    """An attempt may end after the run did."""
    ledger = Ledger(tmp_path, "run")
    ledger.close()
    ledger.settle("logs", 1)


def test_a_ledger_that_is_taken_for_a_dead_ones_before_it_is_locked_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = fcntl.flock

    def late(descriptor: int, how: int) -> None:
        monkeypatch.setattr(fcntl, "flock", lock)
        assert reap(tmp_path) == {}  # another run begins just now
        lock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", late)
    ledger = Ledger(tmp_path, "run")
    assert [path.name for path in tmp_path.glob("*.ledger")] == ["run.ledger"]
    ledger.close()
