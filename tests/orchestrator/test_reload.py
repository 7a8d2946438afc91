from __future__ import annotations

import io
import os
import pwd
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from config.errors import ConfigError
from config.settings import ResourceLimits
from orchestrator.options import Options
from orchestrator.reload import run_with_reload
from orchestrator.stop import Stop
from orchestrator.wishes import Wishes

WISHES = Wishes("out.jsonl", [], False, None)
FIRST = Options(
    signals=[],
    values={},
    duration=None,
    interval=10.0,
    record=None,
    bpftrace=None,
    unsafe=False,
    sudo=False,
    user=None,
    limits=ResourceLimits(),
    wishes=WISHES,
    on_overlap="run",
)
SECOND = replace(FIRST, interval=5.0)


@pytest.fixture(autouse=True)
def _no_terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], bytes]]:
    """What systemd is told next."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(30)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield lambda: listener.recv(200)


def hang_up() -> None:
    os.kill(os.getpid(), signal.SIGHUP)


def runs(
    read: Callable[[], Options],
    *bodies: Callable[[Stop], int],
    first: Options = FIRST,
) -> tuple[int, list[Options]]:
    """The exit code, and the options of each run; each run does what its body does."""
    given: list[Options] = []
    left = list(bodies)

    def do(options: Options, stop: Stop) -> int:
        given.append(options)
        stop.began = time.monotonic()
        with stop.on_signals():
            return left.pop(0)(stop)

    return run_with_reload(first, read, do), given


def reloads(code: int = 0) -> Callable[[Stop], int]:
    def body(stop: Stop) -> int:
        assert not stop()
        hang_up()
        assert stop()
        assert stop.goes_on
        assert not stop.insisted()
        return code

    return body


def ends(code: int = 0) -> Callable[[Stop], int]:
    def body(stop: Stop) -> int:
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop()
        assert not stop.goes_on
        return code

    return body


def test_a_hangup_ends_the_run_and_begins_another_with_the_new_options(told: Callable[[], bytes]) -> None:
    before = time.monotonic_ns() // 1000
    code, given = runs(lambda: SECOND, reloads(), ends())
    assert code == 0
    assert [options.interval for options in given] == [10.0, 5.0]
    state, _, monotonic = told().partition(b"\nMONOTONIC_USEC=")
    assert state == b"RELOADING=1"
    assert before <= int(monotonic) <= time.monotonic_ns() // 1000


def test_what_was_written_before_is_kept() -> None:
    _, given = runs(lambda: SECOND, reloads(), ends())
    assert [options.wishes.begun for options in given] == [set(), {"out.jsonl"}]


def test_wrong_options_change_nothing(told: Callable[[], bytes], capsys: pytest.CaptureFixture[str]) -> None:
    def wrong() -> Options:
        raise ConfigError("run.yaml:1: interval: 'x' is not a duration")

    def body(stop: Stop) -> int:
        hang_up()
        assert not stop()
        return 0

    code, given = runs(wrong, body)
    assert (code, given) == (0, [FIRST])
    assert capsys.readouterr().err == (
        "orchestrate: nothing was reloaded: run.yaml:1: interval: 'x' is not a duration\n"
    )
    assert told().startswith(b"RELOADING=1\n")
    assert told() == b"READY=1"


def test_who_has_given_up_root_goes_on_as_before(capsys: pytest.CaptureFixture[str]) -> None:
    def body(stop: Stop) -> int:
        hang_up()
        assert not stop()
        return 0

    first = replace(FIRST, user=pwd.getpwuid(os.getuid()))
    code, given = runs(lambda: SECOND, body, first=first)
    assert (code, given) == (0, [first])
    assert "nothing was reloaded" in capsys.readouterr().err


def test_who_is_to_be_somebody_else_goes_on_as_before(capsys: pytest.CaptureFixture[str]) -> None:
    def body(stop: Stop) -> int:
        hang_up()
        assert not stop()
        return 0

    code, given = runs(lambda: replace(SECOND, user=pwd.getpwuid(os.getuid())), body)
    assert (code, given) == (0, [FIRST])
    assert "nothing was reloaded: to become" in capsys.readouterr().err


@pytest.mark.parametrize(("codes", "expected"), [((0, 1), 1), ((1, 0), 1), ((0, 0), 0)])
def test_what_was_lost_before_a_reload_is_not_forgotten(codes: tuple[int, int], expected: int) -> None:
    assert runs(lambda: SECOND, reloads(codes[0]), ends(codes[1]))[0] == expected


def test_the_duration_is_counted_from_the_first_start() -> None:
    timed = replace(FIRST, duration=1000.0)

    def later(stop: Stop) -> int:
        code = reloads()(stop)
        assert stop.began is not None
        stop.began -= 400
        return code

    _, given = runs(lambda: timed, later, reloads(), ends(), first=timed)
    assert [options.duration for options in given] == [1000.0, pytest.approx(600, abs=30), pytest.approx(600, abs=30)]


def test_a_duration_that_is_over_ends_it() -> None:
    code, given = runs(lambda: replace(FIRST, duration=0.05), reloads(1))
    assert (code, given) == (1, [FIRST])


def test_a_hangup_between_two_runs_is_not_lost_and_kills_nobody() -> None:
    def late(_: Stop) -> int:
        reloads()(_)
        hang_up()
        return 0

    def at_once(stop: Stop) -> int:
        assert stop()
        assert stop.goes_on
        return 0

    assert len(runs(lambda: SECOND, late, at_once, ends())[1]) == 3


def test_who_wants_the_end_meanwhile_gets_it() -> None:
    def body(stop: Stop) -> int:
        code = reloads()(stop)
        os.kill(os.getpid(), signal.SIGTERM)
        return code

    assert runs(lambda: SECOND, body) == (0, [FIRST])


@pytest.mark.parametrize("nohup", [True, False])
def test_on_a_terminal_and_under_nohup_it_is_no_reload(monkeypatch: pytest.MonkeyPatch, nohup: bool) -> None:
    if nohup:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    else:
        monkeypatch.setattr(sys.stdin, "isatty", lambda: True)

    def body(stop: Stop) -> int:
        hang_up()
        assert stop() is not nohup
        assert not stop.goes_on
        return 0

    assert runs(lambda: SECOND, body) == (0, [FIRST])
