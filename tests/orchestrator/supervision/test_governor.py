"""What happens above a limit, with our own process in bpftrace's place: it is above any small one."""

from __future__ import annotations

import math
import os
from types import SimpleNamespace
from typing import Any, cast

import pytest

from config.settings import ResourceLimits
from orchestrator.catalog import load_signal
from orchestrator.limits import Limits
from orchestrator.pipeline import OWN_SCOPE, Pipeline
from orchestrator.signals.clock import Moment
from orchestrator.supervision import governor as module
from orchestrator.supervision.capture import Capture
from orchestrator.supervision.governor import LIMIT_REACHED, Governor
from orchestrator.supervision.policy import AtLimit
from parsers.records import Value
from tests.orchestrator.collecting import Collected

SECOND = 1_000_000_000


class Outlet(Collected):
    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def say(self, message: str) -> None:
        self.said.append(message)


class Governed:
    """A governor with captures of some signals, all of which are ready."""

    def __init__(self, limits: ResourceLimits, *groups: list[str]) -> None:
        self.outlet, self.dropped, self.ends = Outlet(), list[str](), 0
        self.governor = Governor(limits, self.outlet, self._drop, self._end)
        self.captures = [self.governor.adopt(self._capture(names)) for names in groups]

    def _capture(self, names: list[str]) -> Capture:
        signals = [load_signal(name) for name in names]
        pipeline = Pipeline(signals, Limits(200, 16384, 64), self.outlet)
        process = SimpleNamespace(pid=os.getpid())
        return cast("Capture", SimpleNamespace(process=process, signals=signals, pipeline=pipeline, at_end=False))

    def ready(self) -> Governed:
        for capture in self.captures:
            marks = [Value(["orchestrator", what, 1]) for what in ("begin", "ready")]
            capture.pipeline.feed(marks, Moment(SECOND, SECOND))
        return self

    def _drop(self, name: str) -> None:
        self.dropped.append(name)
        found = next(one for one in self.captures if name in one.pipeline.counts)
        found.at_end = True

    def _end(self) -> None:
        self.ends += 1

    def tick(self, times: int = 2) -> Governed:
        for _ in range(times):
            self.governor.tick()
        return self

    @property
    def told(self) -> list[dict[str, Any]]:
        return [
            {"severity": record.severity, **record.attributes}
            for scope, record in self.outlet.logs
            if (scope, record.event_name) == (OWN_SCOPE.name, LIMIT_REACHED)
        ]


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_READ_SECONDS", 0.0)
    monkeypatch.setattr(module, "count_run_time", lambda: None)


def limits(at_limit: AtLimit, megabytes: int = 1) -> ResourceLimits:
    return ResourceLimits(max_memory_mb=megabytes, max_cpu_percent=0, at_limit=at_limit)


def test_below_the_limits_nothing_is_said() -> None:
    governed = Governed(limits("stop", 100_000), ["exec"]).ready().tick(5)
    assert (governed.outlet.said, governed.outlet.logs, governed.ends) == ([], [], 0)
    assert (governed.governor.problems, governed.governor.told) == ([], [])
    assert governed.governor.why_thinned == "max_events_per_sec 10000"


def test_nothing_is_judged_before_all_probes_are_attached() -> None:
    governed = Governed(ResourceLimits(max_memory_mb=0, max_cpu_percent=0), ["exec"])
    assert governed.governor._live == []
    assert len(governed.ready().governor._live) == 1


def test_sample_thins_events_and_says_so_without_a_loss() -> None:
    governed = Governed(limits("sample"), ["exec"]).ready()
    governed.governor.sampler.take("exec", "exit", 1000)
    governed.governor.sampler.advance(2 * SECOND)
    before = governed.governor.sampler.rate
    governed.tick()
    assert governed.governor.sampler.rate < before < math.inf
    (said,) = governed.outlet.said
    assert said.startswith("tracing takes ")
    assert "MB (max_memory_mb 1): events are thinned to " in said
    assert governed.governor.problems == []
    assert governed.governor.told == ["resource_limits: events were thinned down to 1/2 of their rate"]
    assert governed.governor.why_thinned == "resource_limits"


def test_what_own_metrics_read_does_not_keep_anything_from_being_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    """A quiet run whose snapshots come more often than it is looked at."""
    now = 1000.0
    monkeypatch.setattr(module, "_READ_SECONDS", 2.0)
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now, time_ns=lambda: SECOND))
    governed = Governed(limits("stop"), ["exec"]).ready()
    for _ in range(4):
        now += 2.5
        (capture,) = governed.captures
        marks = [Value(["orchestrator", what, 1]) for what in ("snapshot", "snapshot_end")]
        capture.pipeline.feed(marks, Moment(SECOND, SECOND))
        governed.tick(1)
    assert governed.ends == 1


def test_stop_ends_the_run_with_a_problem() -> None:
    governed = Governed(limits("stop"), ["exec"]).ready().tick()
    assert governed.ends == 1
    assert governed.governor.problems == governed.outlet.said
    (record,) = governed.told
    assert record.pop("ebpf.limit.measured") > 1
    assert record == {
        "severity": "warn",
        "ebpf.limit.name": "max_memory_mb",
        "ebpf.limit.value": 1,
        "ebpf.limit.action": "stop",
    }


def test_the_signal_with_most_events_is_stopped_where_run_times_are_not_known() -> None:
    governed = Governed(limits("stop_costliest"), ["tcp"], ["exec"]).ready()
    governed.captures[0].pipeline.counts["tcp"].received = 5
    governed.captures[1].pipeline.counts["exec"].received = 7
    governed.tick()
    assert governed.dropped == ["exec"]
    (problem,) = governed.governor.problems
    assert problem.endswith(": exec, which costs most, is stopped")
    assert governed.ends == 0


def test_metrics_of_all_tracing_come_once() -> None:
    governed = Governed(limits("stop", 0), ["tcp"], ["exec"]).ready()
    names = [set(snapshot[OWN_SCOPE.name]) for snapshot in governed.outlet.snapshots]
    assert ["ebpf_memory_usage_bytes" in found for found in names] == [True, False]
