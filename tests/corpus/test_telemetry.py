"""The same program has the same telemetry: from JSON and from text, of three versions, but for what is named."""

from __future__ import annotations

from itertools import pairwise

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from orchestrator.otlp.common import make_resource
from orchestrator.otlp.logs import encode_logs
from orchestrator.otlp.metrics import encode_metrics
from tests.corpus.differences import DETERMINISTIC, DIFFERENCES, NAMES, OTHERS, Difference
from tests.corpus.reading import (
    FORMATS,
    VERSIONS,
    Format,
    Telemetry,
    cases,
    fed,
    has,
    ran,
    telemetry,
)

OUTPUTS: list[tuple[str, str, Format]] = [
    (version, case, kind)
    for case in cases(".json", ".txt")
    for version in VERSIONS
    for kind in FORMATS
    if has(version, case, kind)
]


def places(case: str) -> list[str]:
    """Where outputs are compared: ``0.17.0`` for JSON and text, ``0.17.0/0.27.1`` for the JSON of both."""
    versions = [version for version in VERSIONS if ran(version, case, "json")]
    return [
        *(version for version in versions if ran(version, case, "text")),
        *(f"{older}/{newer}" for older, newer in pairwise(versions)),
    ]


def sides(case: str, place: str) -> tuple[Telemetry, Telemetry]:
    older, _, newer = place.partition("/")
    return telemetry(older, case, "json"), telemetry(newer or older, case, "json" if newer else "text")


def differences(case: str, place: str) -> list[Difference]:
    return [one for one in DIFFERENCES if place in one.where.get(case, ())]


def repaired(found: Telemetry, repairs: list[Difference]) -> Telemetry:
    for one in repairs:
        found = one.repair(found)
    return found


def test_each_case_is_deterministic_or_not() -> None:
    assert sorted([*DETERMINISTIC, *OTHERS]) == [case for case in cases(".err") if places(case)]


@pytest.mark.parametrize(("case", "place"), [(case, place) for case in DETERMINISTIC for place in places(case)])
def test_same_telemetry(case: str, place: str) -> None:
    one, other = (repaired(side, differences(case, place)) for side in sides(case, place))
    assert one.lines() == other.lines()


@pytest.mark.parametrize(
    ("case", "place", "reason"),
    [
        (case, place, difference.reason)
        for difference in DIFFERENCES
        for case, where in difference.where.items()
        for place in where
    ],
)
def test_each_difference_is_still_there(case: str, place: str, reason: str) -> None:
    """One that is not needed any more is to be taken off the list."""
    assert case in DETERMINISTIC
    assert place in places(case)
    others = [difference for difference in differences(case, place) if difference.reason != reason]
    one, other = (repaired(side, others) for side in sides(case, place))
    assert one.lines() != other.lines()


IN_BOTH_FORMATS = [(case, place) for case in OTHERS for place in places(case) if place in VERSIONS]


@pytest.mark.parametrize(("case", "version"), IN_BOTH_FORMATS)
def test_same_names(case: str, version: str) -> None:
    json, text = (telemetry(version, case, kind).names() for kind in FORMATS)
    named = NAMES.get((case, version))
    assert json - text == (named.only_json if named else set())
    assert text - json == (named.only_text if named else set())


def test_exceptions_are_of_outputs_that_are_there() -> None:
    assert set(NAMES) <= set(IN_BOTH_FORMATS)


def test_nothing_is_left_unread() -> None:
    streams = {one: fed(*one)[0].stream for one in OUTPUTS}
    left = [one for one, found in streams.items() if found.unparsed or found.unknown or found.unread_entries]
    assert left == []


@pytest.mark.parametrize("case", cases(".json", ".txt"))
def test_all_of_it_can_be_sent(case: str) -> None:
    assert [one for one in OUTPUTS if one[1] == case and not can_be_sent(*one)] == []


def can_be_sent(version: str, case: str, kind: Format) -> bool:
    """Whether all records and metrics can be encoded, and be read again."""
    sink, resource = fed(version, case, kind)[1], make_resource({})
    try:
        for scope, record in sink.logs:
            ExportLogsServiceRequest.FromString(b"".join(encode_logs(resource, {scope: [record]})))
        for snapshot in sink.snapshots:
            ExportMetricsServiceRequest.FromString(b"".join(encode_metrics(resource, snapshot)))
    except (TypeError, ValueError):
        return False
    return True
