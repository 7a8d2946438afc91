"""What becomes of a bpftrace that ends, with small programs in its place and a clock of our own."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest

from config.manifest import Manifest
from orchestrator.bpftrace.process import BpftraceProcess
from orchestrator.catalog import Signal
from orchestrator.errors import HostError
from orchestrator.pipeline import OWN_SCOPE
from orchestrator.supervision.capture import Capture
from orchestrator.supervision.supervised import ENDED, GIVEN_UP, RESTARTED, Patience, Supervised
from tests.orchestrator.collecting import Collected, values

ONE, TWO = (Signal(name, Path(f"{name}.bt"), "", Manifest(summary=name)) for name in ("one", "two"))
OWN = Signal("mine", Path("mine.bt"), "", Manifest(summary="Mine", process="own"))
READY = (
    '{"type": "attached_probes", "data": {"probes": 1}}\n'
    '{"type": "value", "data": ["orchestrator","begin",NOW]}\n'
    '{"type": "value", "data": ["orchestrator","ready",NOW]}\n'
)
END = '{"type": "value", "data": ["orchestrator","end",NOW]}\n'
PRELUDE = """\
import os, signal, sys, time
def say(text):
    print(text.replace("NOW", str(time.monotonic_ns())), end="", flush=True)
"""
STAYS = f"say({READY!r}); signal.pause()"
ENDS_WELL = f"signal.signal(2, lambda *_: (say({END!r}), os._exit(0))); {STAYS}"
DIES = f"say({READY!r}); os._exit(7)"
BY_ITSELF = f"say({READY + END!r})"
REFUSES = "print('ERROR: it broke', file=sys.stderr); os._exit(1)"


class Crew:
    """Starts one program after the other; the last one again and again."""

    interval = 1.0
    every: ClassVar[list[Capture]] = []

    def __init__(self, *programs: str) -> None:
        self.programs = list(programs)
        self.sink = Collected()
        self.said: list[str] = []
        self.begun: list[tuple[list[str], bool]] = []
        self.marks = True
        self.time = 1000.0

    def say(self, message: str) -> None:
        self.said.append(message)

    def begin(self, signals: Sequence[Signal], *, as_written: bool = False) -> Capture:
        self.begun.append(([signal.name for signal in signals], as_written))
        program = self.programs.pop(0) if len(self.programs) > 1 else self.programs[0]
        if not program:
            raise HostError("bpftrace cannot be run: No such file or directory")
        process = BpftraceProcess([sys.executable, "-c", f"{PRELUDE}{program}"], "", {})
        capture = Capture(process, signals, self.sink)
        capture.pipeline.as_written = as_written
        self.every.append(capture)
        return capture

    def marks_snapshots(self, _signals: Sequence[Signal]) -> bool:
        return self.marks


@pytest.fixture(autouse=True)
def _ended() -> Iterator[None]:
    yield
    for capture in Crew.every:
        capture.process.kill()
        capture.process.wait(60)
    Crew.every.clear()


def supervised(crew: Crew, *signals: Signal, as_written: bool = False, deadline: float = 1e9) -> Supervised:
    capture = crew.begin(signals or [ONE], as_written=as_written)
    assert capture.wait_ready(lambda: False)
    crew.begun.clear()
    return Supervised(capture, crew, Patience(), lambda: crew.time, lambda: 0.0, deadline)


def until(one: Supervised, *states: str) -> None:
    deadline = time.monotonic() + 60
    while one.state not in states:
        assert time.monotonic() < deadline, one.state
        one.pump(0.05)


def dies(one: Supervised) -> None:
    """Is killed, and waits for its next start or is over."""
    one.capture.process.kill()
    until(one, "waiting", "over")


def comes_back(one: Supervised, crew: Crew, wait: float) -> None:
    crew.time += wait - 0.01
    one.pump(0)
    assert one.state == "waiting"
    crew.time += 0.02
    one.pump(0)
    until(one, "running")


def test_a_bpftrace_that_is_killed_is_started_again_with_sums_of_its_own() -> None:
    crew = Crew(STAYS)
    one = supervised(crew, ONE, TWO)
    dies(one)
    assert crew.said == ["one, two: bpftrace ended (killed by signal 9); started again in 1.0 s"]
    comes_back(one, crew, 1)
    assert crew.begun == [(["one", "two"], False)]
    first, second = (capture.pipeline.start or 0 for capture in one.captures)
    assert first < second
    own = crew.sink.snapshots[-1][OWN_SCOPE.name]
    assert values(own["ebpf_restarts_total"], "ebpf.signal") == {("one",): 1, ("two",): 1}
    assert own["ebpf_restarts_total"].start_unix_nano == first
    assert own["ebpf_events_processed_total"].start_unix_nano == second
    (ended,), (restarted,) = crew.sink.named(ENDED), crew.sink.named(RESTARTED)
    assert ended.attributes["ebpf.cause"] == "killed by signal 9"
    assert restarted.attributes["ebpf.signals"] == ["one", "two"]
    assert restarted.attributes["ebpf.gap.duration"] == pytest.approx(1.01)


def test_the_gap_is_said_at_the_end() -> None:
    crew = Crew(STAYS, ENDS_WELL)
    one = supervised(crew)
    dies(one)
    comes_back(one, crew, 1)
    one.finish()
    (problem,) = one.problems
    lost = "what happened in 1.0 s, and what was counted last before, is lost"
    assert problem == f"one: bpftrace was started again 1 time: {lost}"


def test_it_waits_longer_each_time_and_is_given_up_after_five_failures() -> None:
    crew = Crew(STAYS)
    one = supervised(crew)
    for wait in (1, 2, 4, 8):
        dies(one)
        comes_back(one, crew, wait)
    dies(one)
    assert one.is_over
    assert "one: given up after 5 failures in a row: bpftrace was killed by SIGKILL" in one.problems[0]
    assert len(crew.sink.named(GIVEN_UP)) == 1
    assert not one.pump(0)
    assert len(crew.begun) == 4


def test_a_minute_of_health_makes_failures_forgotten() -> None:
    crew = Crew(STAYS)
    one = supervised(crew)
    for wait in (1, 2, 4):
        dies(one)
        comes_back(one, crew, wait)
    crew.time += 61
    dies(one)
    comes_back(one, crew, 1)


@pytest.mark.parametrize(
    ("failures", "chance", "seconds"), [(1, 0, 1), (3, 0, 4), (7, 0, 60), (50, 0, 60), (1, 1, 1.25), (7, 1, 75)]
)
def test_waits_double_up_to_a_minute_and_differ_between_hosts(failures: int, chance: float, seconds: float) -> None:
    assert Patience().wait(failures, chance) == seconds


@pytest.mark.parametrize(("program", "reason"), [(REFUSES, "it broke"), (DIES, "exit code 7"), ("", "cannot be run")])
def test_one_that_cannot_start_again_is_given_up_with_the_reason(program: str, reason: str) -> None:
    crew = Crew(STAYS, program)
    one = supervised(crew)
    dies(one)
    while not one.is_over:
        crew.time += 0.5
        one.pump(0.05)
    assert len(crew.begun) == 4
    (problem, *_) = one.problems
    assert "given up" in problem
    assert reason in problem


def test_one_that_says_nothing_is_ended_for_good_and_started_again() -> None:
    crew = Crew(STAYS)
    one = supervised(crew)
    process = one.capture.process
    for _ in range(40):
        crew.time += 0.5
        one.pump(0)
        if one.state != "running":
            break
    until(one, "waiting")
    assert process.poll() == -9
    assert "stalled: no snapshot for 10 s" in crew.said[0]
    comes_back(one, crew, 1)
    (restarted,) = crew.sink.named(RESTARTED)
    assert restarted.attributes["ebpf.gap.duration"] == pytest.approx(11, abs=0.6)


@pytest.mark.parametrize("as_written", [True, False])
def test_programs_without_marks_are_not_judged_by_them(as_written: bool) -> None:
    crew = Crew(STAYS)
    crew.marks = as_written
    one = supervised(crew, OWN, as_written=as_written)
    for _ in range(200):
        crew.time += 0.5
        one.pump(0)
    assert one.state == "running"
    dies(one)
    comes_back(one, crew, 1)
    assert crew.begun == [(["mine"], as_written)]


def test_a_program_that_ends_by_itself_is_not_started_again() -> None:
    one = supervised(Crew(BY_ITSELF), OWN)
    until(one, "over")
    one.finish()
    assert one.problems == []


def test_a_shared_bpftrace_has_no_end_of_its_own() -> None:
    one = supervised(Crew(BY_ITSELF))
    until(one, "waiting")


def test_with_less_than_a_second_left_nothing_is_begun() -> None:
    crew = Crew(STAYS)
    one = supervised(crew, deadline=crew.time + 1.9)
    dies(one)
    assert one.is_over
    one.finish()
    (problem,) = one.problems
    assert problem.startswith("one: bpftrace ended by itself: bpftrace was killed by SIGKILL")


def test_a_run_that_ends_before_the_next_start_says_what_is_missing() -> None:
    one = supervised(Crew(STAYS))
    dies(one)
    one.finish()
    assert one.problems == ["one: bpftrace ended (killed by signal 9), and the run before its next start"]


def test_one_that_starts_does_not_hold_up_others() -> None:
    crew = Crew(STAYS, "signal.pause()")
    one = supervised(crew)
    dies(one)
    crew.time += 2
    one.pump(0)
    assert one.state == "starting"
    began = time.monotonic()
    for _ in range(10):
        one.pump(0)
    assert time.monotonic() - began < 5
    crew.time += 61
    one.pump(0)
    until(one, "waiting")
    assert crew.said[-1].startswith("one: bpftrace ended (it did not come to attach its probes)")


def test_a_signal_can_be_left_out_from_now_on() -> None:
    crew = Crew(ENDS_WELL)
    one = supervised(crew, ONE, TWO)
    one.without("one")
    until(one, "running")
    assert crew.begun == [(["two"], False)]
    assert list(one.capture.pipeline.counts) == ["two"]
    one.without("unknown")
    assert one.state == "running"
    one.without("two")
    one.finish()
    assert one.problems == ["two: bpftrace was started again 1 time: what happened in 0.0 s is lost"]
    assert len(crew.begun) == 1


def test_of_many_forerunners_only_what_they_lost_is_remembered() -> None:
    crew = Crew(STAYS)
    one = supervised(crew)
    one.patience = replace(one.patience, failures=100)
    one.capture.problems.append("the recording ends early: No space left on device")
    for _ in range(22):
        dies(one)
        crew.time += 100
        one.pump(0)
        until(one, "running")
    assert len(one.captures) == 20
    assert "the recording ends early: No space left on device" in crew.said
    assert "one: bpftraces of before lost more, as was said" in one.problems
