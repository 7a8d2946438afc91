from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from orchestrator.capture import Capture
from orchestrator.catalog import load_signal
from orchestrator.delivery.sender import Sender
from orchestrator.limits import Limits
from orchestrator.output import Output
from orchestrator.pipeline import Pipeline
from orchestrator.report import closing_line, losses
from orchestrator.signals.clock import Clock
from parsers.records import Value


class NoSink:
    def log(self, scope: Any, record: Any) -> None:
        """Nothing."""

    def metrics(self, metrics: Any) -> None:
        """Nothing."""


@dataclass
class FakeSender:
    kept_items: int = 0
    rejected: int = 0
    lost_items: int = 0
    sent: int = 0
    kept: Any = field(default_factory=lambda: SimpleNamespace(path=Path("undelivered.jsonl")))


@pytest.fixture
def pipeline() -> Pipeline:
    return Pipeline(
        [load_signal("exec"), load_signal("tcp")], Limits(200, 16384, 64), Clock(lambda: 0, lambda: 0), NoSink()
    )


def said(pipeline: Pipeline, sender: FakeSender | None = None) -> list[str]:
    return losses(pipeline, cast("Sender | None", sender))


def test_no_losses(pipeline: Pipeline) -> None:
    assert said(pipeline) == []
    assert said(pipeline, FakeSender(sent=5)) == []


def test_lost_events_name_the_signal_and_the_mend(pipeline: Pipeline) -> None:
    counts = pipeline.counts["exec"]
    counts.emitted, counts.received, counts.lost = 12345, 11111, 1234
    (line,) = said(pipeline)
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
    assert said(pipeline) == [words]


def test_what_bpftrace_lost_by_its_own_account_is_not_believed(pipeline: Pipeline) -> None:
    pipeline.stream.reported_lost = 125940
    assert said(pipeline) == []


def test_the_most_frequent_problems_are_said(pipeline: Pipeline) -> None:
    pipeline.stream.problems.update({f"problem {count}": count for count in range(1, 9)})
    assert said(pipeline) == [f"bpftrace: problem {count} ({count} times)" for count in (8, 7, 6, 5, 4)]


def test_what_was_not_delivered_is_said(pipeline: Pipeline) -> None:
    assert said(pipeline, FakeSender(kept_items=1500, rejected=2, lost_items=3)) == [
        "1,500 records and points were not delivered; they are kept in undelivered.jsonl",
        "the receiver refused 2 records and points",
        "3 records and points were neither delivered nor kept",
    ]


def test_closing_line(pipeline: Pipeline) -> None:
    pipeline.probes = 30
    marks = (("begin", 1), ("ready", 1_000_000_000), ("end", 6_040_000_000))
    pipeline.feed([Value(["orchestrator", what, nsecs]) for what, nsecs in marks])
    capture = SimpleNamespace(signals=[load_signal("tcp"), load_signal("exec")], pipeline=pipeline)
    output = SimpleNamespace(log_records=1234, data_points=56)
    line = closing_line(cast("Capture", capture), cast("Output", output), ["capture.jsonl", "7 delivered"])
    assert line == "tcp, exec: 5.0 s, 30 probes, 1,234 log records, 56 data points -> capture.jsonl, 7 delivered"


def test_closing_line_of_a_run_that_was_stopped_while_starting(pipeline: Pipeline) -> None:
    capture = SimpleNamespace(signals=[load_signal("tcp")], pipeline=pipeline)
    output = SimpleNamespace(log_records=0, data_points=0)
    line = closing_line(cast("Capture", capture), cast("Output", output), ["capture.jsonl"])
    assert line == "tcp: stopped before all probes were attached"
