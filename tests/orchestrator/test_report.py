from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from config.manifest import Manifest
from orchestrator.catalog import Signal, load_signal
from orchestrator.delivery.counts import DeliveryCounts
from orchestrator.delivery.sender import Sender
from orchestrator.limits import Limits
from orchestrator.outlet import Outlet
from orchestrator.pipeline import Pipeline
from orchestrator.report import closing_line, losses, undelivered, waiting
from orchestrator.signals.clock import Moment
from parsers.records import Value

LIMITS = Limits(200, 16384, 64)


class NoSink:
    def log(self, scope: Any, record: Any) -> None:
        """Nothing."""

    def events(self, scope: Any, batch: Any) -> None:
        """Nothing."""

    def metrics(self, metrics: Any) -> None:
        """Nothing."""

    def profile(self, scope: Any, profile: Any) -> None:
        """Nothing."""

    def span(self, scope: Any, span: Any) -> None:
        """Nothing."""


@dataclass
class FakeSender:
    counts: DeliveryCounts = field(default_factory=DeliveryCounts)
    waiting: int = 0
    receiver: str = "collector:4317"


@pytest.fixture
def pipeline() -> Pipeline:
    return Pipeline([load_signal("tcp"), load_signal("exec")], LIMITS, NoSink())


def own_pipeline(name: str = "mine") -> Pipeline:
    return Pipeline([Signal(name, Path(f"{name}.bt"), "", Manifest(summary="s", process="own"))], LIMITS, NoSink())


def not_delivered(counts: DeliveryCounts) -> list[str]:
    return undelivered(cast("Sender", FakeSender(counts)))


def closing(pipelines: list[Pipeline], *described: str, **counts: int) -> str:
    counts = {"log_records": 0, "data_points": 0, "spans": 0, "profiles": 0, **counts}
    outlet = SimpleNamespace(
        output=SimpleNamespace(**counts),
        destinations=SimpleNamespace(described=list(described)),
    )
    return closing_line(pipelines, cast("Outlet", outlet))


def mark(pipeline: Pipeline, **times: int) -> None:
    pipeline.feed([Value(["orchestrator", what, nsecs]) for what, nsecs in times.items()], Moment(0, 0))


def test_no_losses(pipeline: Pipeline) -> None:
    assert losses(pipeline) == []
    assert not_delivered(DeliveryCounts(delivered={"logs": 5})) == []


def test_lost_events_name_the_signal_and_the_mend(pipeline: Pipeline) -> None:
    counts = pipeline.counts["exec"]
    counts.emitted, counts.received, counts.lost = 12345, 11111, 1234
    (line,) = losses(pipeline)
    assert line.startswith("exec: 1,234 of 12,345 events were lost")
    assert "BPFTRACE_PERF_RB_PAGES" in line


@pytest.mark.parametrize(
    ("counter", "words"),
    [
        ("unparsed", "1,500 lines of bpftrace's output could not be read; the first: a tuple of another shape"),
        ("unknown", "1,500 records of bpftrace are of a type that is not known here"),
        ("unread_entries", "1,500 entries of maps could not be read"),
        ("dropped_lines", "1,500 lines of bpftrace's output came faster than they could be read"),
    ],
)
def test_what_was_not_read_is_said(pipeline: Pipeline, counter: str, words: str) -> None:
    setattr(pipeline.stream, counter, 1500)
    pipeline.stream.first_unparsed = "a tuple of another shape"
    assert losses(pipeline) == [words]


def test_what_bpftrace_lost_by_its_own_account_is_not_believed(pipeline: Pipeline) -> None:
    pipeline.stream.reported_lost = 125940
    assert losses(pipeline) == []


def test_what_bpftrace_lost_of_a_program_that_does_not_count_itself_is_said() -> None:
    pipeline = own_pipeline()
    pipeline.stream.reported_lost = 125940
    (line,) = losses(pipeline)
    assert line.startswith("125,940 events were lost, says bpftrace")


def test_spans_that_were_lost_are_said_by_their_cause_and_those_without_their_other_half_are_no_loss(
    pipeline: Pipeline,
) -> None:
    pipeline.counts["tcp"].spans_lost = {"evicted": 1234, "unreadable": 5}
    pipeline.counts["exec"].spans_incomplete = {"unpaired_ends": 7}
    assert losses(pipeline) == [
        "tcp: 1,234 spans were lost (evicted); narrow the signal",
        "tcp: 5 spans were lost (unreadable); "
        "their events lack a key, a duration or a time that makes sense: mend the manifest",
    ]


def test_the_most_frequent_problems_are_said(pipeline: Pipeline) -> None:
    pipeline.stream.problems.update({f"problem {count}": count for count in range(1, 9)})
    assert losses(pipeline) == [f"bpftrace: problem {count} ({count} times)" for count in (8, 7, 6, 5, 4)]


def test_what_was_not_delivered_is_said() -> None:
    counts = DeliveryCounts(refused=1500, rejected=2, lost={"spool full": {"logs": 3}, "no room": {"metrics": 4}})
    assert not_delivered(counts) == [
        "collector:4317 refused 1,500 items in whole requests; they are kept: once it is mended, `orchestrate flush "
        "--refused` sends them",
        "collector:4317 refused 2 items",
        "3 log records were lost (spool full: raise spool.max_mb in the --config file) on their way to collector:4317",
        "4 data points were lost (no room: neither memory nor disk had room) on their way to collector:4317",
    ]


def test_what_waits_for_its_receiver_is_said_and_is_no_loss() -> None:
    assert waiting(cast("Sender", FakeSender(waiting=1500))) == [
        "1,500 items for collector:4317 wait on disk: the next run sends them, or `orchestrate flush`"
    ]
    assert waiting(cast("Sender", FakeSender())) == []


def test_closing_line(pipeline: Pipeline) -> None:
    pipeline.probes = 30
    mark(pipeline, begin=1, ready=1_000_000_000, end=6_040_000_000)
    line = closing([pipeline], "capture.jsonl", "7 delivered", log_records=1234, data_points=56)
    assert line == "tcp, exec: 5.0 s, 30 probes, 1,234 log records, 56 data points -> capture.jsonl, 7 delivered"


def test_closing_line_of_several_processes(pipeline: Pipeline) -> None:
    """The longest of them, and the probes and stacks of all."""
    first, second = own_pipeline("first"), own_pipeline("second")
    for one, probes, end in ((pipeline, 30, 3_000_000_000), (first, 2, 5_500_000_000), (second, 1, 4_000_000_000)):
        one.probes = probes
        mark(one, ready=1_000_000_000, end=end)
    first.stream.stacks.stacks, first.stream.stacks.unresolved = 1000, 20
    second.stream.stacks.stacks, second.stream.stacks.truncated = 32, 1
    line = closing([pipeline, first, second], "capture.jsonl", log_records=1, data_points=2, spans=3, profiles=4)
    assert line == (
        "tcp, exec, first, second: 4.5 s, 33 probes, 1 log records, 2 data points, 3 spans, "
        "4 profiles of 1,032 stacks (20 with frames without a symbol, 1 that may be cut) -> capture.jsonl"
    )


@pytest.mark.parametrize(
    ("spans", "halves", "said"),
    [
        (1234, {}, ", 1,234 spans ->"),
        (5, {"unpaired_ends": 1, "waiting": 2}, ", 5 spans (3 without their other half) ->"),
        (0, {"waiting": 1}, ", 0 spans (1 without their other half) ->"),
        (0, {}, "0 data points ->"),
    ],
)
def test_closing_line_of_spans(pipeline: Pipeline, spans: int, halves: dict[str, int], said: str) -> None:
    mark(pipeline, begin=1, ready=1_000_000_000, end=2_000_000_000)
    pipeline.counts["exec"].spans_incomplete = halves
    assert said in closing([pipeline], "x.jsonl", spans=spans)


def test_closing_line_of_bpftraces_that_were_started_again(pipeline: Pipeline) -> None:
    """Their times add up, their probes do not; one goes on with fewer signals."""
    later = Pipeline([load_signal("exec")], LIMITS, NoSink())
    other = own_pipeline("other")
    for one, probes, end in ((pipeline, 30, 3_000_000_000), (later, 20, 5_000_000_000), (other, 1, 8_000_000_000)):
        one.probes = probes
        mark(one, ready=1_000_000_000, end=end)
    line = closing([pipeline, later, other], "x.jsonl")
    assert line.startswith("tcp, exec, other: 7.0 s, 31 probes, ")
    mark(later, end=9_000_000_000)
    assert closing([pipeline, later, other], "x.jsonl").startswith("tcp, exec, other: 10.0 s, 31 probes, ")


def test_closing_line_of_stacks_that_cannot_be_added_up() -> None:
    one = own_pipeline()
    mark(one, ready=1_000_000_000, end=2_000_000_000)
    one.stream.stacks.unmade.update(a=1000, b=2)
    said = closing([one], "x.jsonl")
    assert "1,002 stacks of which nothing is made (@a, @b: count() and sum() can be added up)" in said


def test_closing_line_of_a_run_that_was_stopped_while_starting(pipeline: Pipeline) -> None:
    assert closing([pipeline], "capture.jsonl") == "tcp, exec: stopped before all probes were attached"


def test_closing_line_of_a_program_that_ended_before_it_was_ready() -> None:
    """BEGIN { exit(); } is a run all the same."""
    pipeline = own_pipeline()
    mark(pipeline, begin=1, end=2)
    assert closing([pipeline], "capture.jsonl") == (
        "mine: 0.0 s, 0 probes, 0 log records, 0 data points -> capture.jsonl"
    )
