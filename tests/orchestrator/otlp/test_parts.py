from __future__ import annotations

from orchestrator.otlp.logs import EncodedRecords
from orchestrator.otlp.parts import count, halves
from orchestrator.signals.model import LogRecord, Metric, NumberPoint, Profile, Sample, Scope, ValueType

ONE, OTHER = Scope("one", "1"), Scope("other", "1")


def record(name: str) -> LogRecord:
    return LogRecord(0, 0, name, "info", "", {})


def metric(*values: int) -> Metric:
    return Metric("m", "1", "", "counter", 0, 1, [NumberPoint({}, value) for value in values])


def test_items_are_those_of_otlp() -> None:
    assert count({ONE: [record("a"), EncodedRecords(b"", 10)], OTHER: [record("b")]}) == 12
    assert count({ONE: [metric(1, 2, 3), metric(4)]}) == 4


def test_halves_keep_the_order_and_the_scopes() -> None:
    a, b, c = record("a"), record("b"), record("c")
    assert halves({ONE: [a], OTHER: [b, c]}) == [{ONE: [a]}, {OTHER: [b, c]}]
    assert halves({ONE: [a, b], OTHER: [c]}) == [{ONE: [a]}, {ONE: [b], OTHER: [c]}]


def test_the_points_of_one_metric_and_the_samples_of_one_profile_are_divided() -> None:
    assert halves({ONE: [metric(1, 2, 3)]}) == [{ONE: [metric(1)]}, {ONE: [metric(2, 3)]}]
    samples = [Sample((), 1, {}), Sample((), 2, {})]
    whole = Profile(ValueType("cpu", "nanoseconds"), None, 0, 1, 2, samples)
    first, second = (half[ONE][0].samples for half in halves({ONE: [whole]}))
    assert [*first, *second] == samples


def test_what_cannot_be_divided_has_no_halves() -> None:
    assert halves({ONE: [record("a")]}) == []
    assert halves({ONE: [metric(1)]}) == []
