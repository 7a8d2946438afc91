"""The wall clock is set while a run lasts: its points stay in order, and their sums right."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.manifest import Key, Manifest, Metric, StackMap, StackProfile
from orchestrator.catalog import Signal
from orchestrator.limits import Limits
from orchestrator.pipeline import OWN_SCOPE, Pipeline
from orchestrator.signals.clock import Clock
from parsers.stream import OutputStream
from tests.orchestrator.collecting import Collected, numbers

SECOND = 1_000_000_000
HOUR = 3600 * SECOND
BOOT = 1_700_000_000 * SECOND
LIMITS = Limits(string=200, map_keys=16384, pages=64)
CALLS = Metric(name="ebpf.calls", instrument="counter", unit="{call}", description="Calls")
STACKS = StackMap(keys=[Key(type="stack")], profiles=[StackProfile(type="events", unit="count")], twin="b")
SIGNAL = Signal("mine", Path("mine.bt"), "", Manifest(summary="Mine", metrics={"calls": CALLS}, stacks={"a": STACKS}))


class Host:
    """A host with clocks of its own, and a program that counts a call each second."""

    def __init__(self) -> None:
        self.kernel, self.offset = 50 * SECOND, BOOT
        self.clock = Clock(lambda: self.kernel, lambda: self.kernel + self.offset)
        self.sink = Collected()
        self.pipeline = Pipeline([SIGNAL], LIMITS, self.sink)
        self.stream = OutputStream()
        self.calls = 0
        self.mark("begin")
        self.mark("ready")

    def mark(self, what: str) -> str:
        return self.reads(f'{{"type": "value", "data": ["orchestrator","{what}",{self.kernel}]}}\n')

    def reads(self, text: str) -> str:
        self.pipeline.feed(self.stream.feed(text.encode()), self.clock.moment())
        return text

    def snapshot(self, seconds: int = 2) -> None:
        self.kernel += seconds * SECOND
        self.calls += seconds
        self.mark("snapshot")
        self.reads(f'{{"type": "map", "data": {{"@calls": {self.calls}}}}}\n')
        self.mark("snapshot_end")

    @property
    def wall(self) -> int:
        return self.kernel + self.offset

    @property
    def points(self) -> list[tuple[int, int, int]]:
        """Start, time and value of all that left."""
        metrics = [
            snapshot["bpftrace-orchestrator/mine"]["ebpf.calls"]
            for snapshot in self.sink.snapshots
            if "bpftrace-orchestrator/mine" in snapshot
        ]
        return [(one.start_unix_nano, one.time_unix_nano, int(numbers(one)[0][1])) for one in metrics]

    def check(self) -> None:
        """No point is before its start, none of a sum is less than one before it, and together they are all calls."""
        sums: dict[int, list[tuple[int, int]]] = {}
        for start, time, value in self.points:
            assert start <= time
            assert value >= 0
            sums.setdefault(start, []).append((time, value))
        for series in sums.values():
            assert series == sorted(series)
            assert [value for _, value in series] == sorted(value for _, value in series)
        assert sum(series[-1][1] for series in sums.values()) == self.calls
        for snapshot in self.sink.snapshots:
            assert all(one.start_unix_nano <= one.time_unix_nano for one in snapshot[OWN_SCOPE.name].values())


def test_backwards_the_sums_begin_anew_at_the_new_time() -> None:
    host = Host()
    host.snapshot()
    host.snapshot()
    host.offset -= HOUR
    host.snapshot(3)
    host.snapshot(2)
    begin, step = BOOT + 50 * SECOND, BOOT + 54 * SECOND - HOUR
    assert host.points == [
        (begin, begin + 2 * SECOND, 2),
        (begin, begin + 4 * SECOND, 4),
        (step, step + 3 * SECOND, 3),
        (step, step + 5 * SECOND, 5),
    ]
    host.check()
    assert host.pipeline.seconds == 9


def test_forwards_the_sums_go_on() -> None:
    host = Host()
    host.snapshot()
    host.offset += HOUR
    host.snapshot()
    begin = BOOT + 50 * SECOND
    assert host.points == [(begin, begin + 2 * SECOND, 2), (begin, begin + HOUR + 4 * SECOND, 4)]
    assert host.pipeline.seconds == 4


def test_within_a_snapshot() -> None:
    host = Host()
    host.snapshot()
    host.kernel += 2 * SECOND
    host.mark("snapshot")
    host.offset -= HOUR
    host.kernel += 2 * SECOND
    host.calls += 4
    host.reads(f'{{"type": "map", "data": {{"@calls": {host.calls}}}}}\n')
    host.mark("snapshot_end")
    host.snapshot()
    host.check()
    assert host.points[-1][1] == host.wall


@pytest.mark.parametrize("step", [1, 50_000_000, -1, -50_000_000])
def test_small_corrections_change_nothing(step: int) -> None:
    host = Host()
    for _ in range(20):
        host.offset += step
        host.snapshot()
    assert len({start for start, _, _ in host.points}) == 1
    host.check()


@given(st.lists(st.tuples(st.integers(-2 * HOUR, 2 * HOUR), st.integers(1, 20)), max_size=20))
def test_whatever_the_clock_does(steps: list[tuple[int, int]]) -> None:
    host = Host()
    for step, seconds in steps:
        host.offset += step
        host.snapshot(seconds)
        assert host.points[-1][1] == host.wall
    host.check()


def test_a_profile_never_ends_before_it_begins() -> None:
    host = Host()
    for step in (0, -HOUR, 0):
        host.offset += step
        host.kernel += 2 * SECOND
        host.mark("turn")
        host.reads('{"type": "map", "data": {"@a": {"\\n    f+1\\n": 3}}}\n')
    assert [profile.samples[0].value for _, profile in host.sink.profiles] == [3, 3, 3]
    assert all(profile.duration_nano >= 0 for _, profile in host.sink.profiles)
    assert [profile.time_unix_nano + profile.duration_nano for _, profile in host.sink.profiles][-1] == host.wall
