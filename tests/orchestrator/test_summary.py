from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from orchestrator.signals.model import (
    Frame,
    FrameType,
    HistogramPoint,
    Instrument,
    LogRecord,
    Metric,
    NumberPoint,
    Profile,
    Sample,
    Scope,
    Span,
    SpanContext,
    SpanKind,
    ValueType,
)
from orchestrator.summary import Summary

TCP, EXEC, OWN = Scope("x/tcp", "1"), Scope("x/exec", "1"), Scope("x", "1")


def metric(
    instrument: Instrument, points: list[Any], unit: str = "{thing}", dimensions: tuple[str, ...] = ()
) -> Metric:
    return Metric("ebpf.things", unit, "Things that happened", instrument, 1, 2, points, dimensions)


def log(body: str, **attributes: Any) -> LogRecord:
    return LogRecord(
        1, 2, "ebpf.thing", "info", body, {name.replace("_", "."): value for name, value in attributes.items()}
    )


def show(*metrics: Metric) -> list[str]:
    summary = Summary()
    summary.metrics({TCP: list(metrics)})
    return summary.lines(["x/tcp"])


def test_nothing_happened() -> None:
    assert Summary().lines(["x/tcp"]) == ["nothing happened that these signals trace"]


def test_counters_are_a_table_with_the_largest_first() -> None:
    points = [NumberPoint({"a": "z", "server.port": 80}, 5), NumberPoint({"a": "z", "server.port": 443}, 12345)]
    head, *rows = show(metric("counter", points, dimensions=("server.port",)))[1:]
    assert head == "Things that happened (ebpf.things)"
    assert [row.split() for row in rows] == [["port", "total"], ["443", "12,345"], ["80", "5"]]
    assert len({len(row) for row in rows}) == 1


def test_counters_without_a_dimension() -> None:
    assert [row.split() for row in show(metric("counter", [NumberPoint({}, 7)]))[2:]] == [["total"], ["7"]]


def test_counters_show_ten_rows_and_how_many_more() -> None:
    points = [NumberPoint({"server.port": port}, port) for port in range(1, 26)]
    rows = show(metric("counter", points, dimensions=("server.port",)))
    assert [row.split()[0] for row in rows[3:13]] == [str(port) for port in range(25, 15, -1)]
    assert rows[13:] == ["  ... and 15 more"]


def test_series_without_an_attribute_show_a_dash() -> None:
    points = [NumberPoint({}, 81), NumberPoint({"error.type": "ENOENT"}, 4)]
    rows = show(metric("counter", points, dimensions=("error.type",)))
    assert [row.split() for row in rows[2:]] == [["type", "total"], ["-", "81"], ["ENOENT", "4"]]


@pytest.mark.parametrize(
    ("value", "shown"), [(5, "5 B"), (1024, "1.0 KiB"), (5 * 2**20 + 2**19, "5.5 MiB"), (2**31, "2.0 GiB"), (0, "0 B")]
)
def test_bytes_have_a_unit(value: int, shown: str) -> None:
    assert show(metric("counter", [NumberPoint({}, value)], unit="By"))[-1].strip() == shown


def test_histograms_are_bars_between_the_first_and_the_last_used_bucket() -> None:
    point = HistogramPoint({"server.port": 80}, [0.0, 1e-06, 3e-06, 0.001, 2.0], [0, 1, 0, 4, 0, 2])
    lines = show(metric("histogram", [point], unit="s", dimensions=("server.port",)))
    assert lines[1] == "Things that happened (ebpf.things, s)"
    bars = lines[-5:]
    assert [bar.split("|")[0].split() for bar in bars] == [
        ["<=", "1", "us", "1"],
        ["<=", "3", "us", "0"],
        ["<=", "1", "ms", "4"],
        ["<=", "2", "s", "0"],
        [">", "2", "s", "2"],
    ]
    assert [bar.count("@") for bar in bars] == [10, 0, 40, 0, 20]
    assert any("port 80" in line for line in lines)


def test_many_histograms_are_added() -> None:
    points = [HistogramPoint({"server.port": port}, [1.0], [port, 1]) for port in range(5)]
    lines = show(metric("histogram", points, dimensions=("server.port",)))
    assert [line.split("|")[0].split()[-1] for line in lines[-2:]] == ["10", "5"]


def test_an_empty_histogram_is_no_error() -> None:
    assert "@" not in "".join(show(metric("histogram", [HistogramPoint({}, [1.0], [0, 0])])))


@pytest.mark.parametrize("series", [1, 5])
def test_histograms_without_buckets_are_one_bar(series: int) -> None:
    points = [HistogramPoint({"server.port": port}, [], [4], 30.0) for port in range(series)]
    last = show(metric("histogram", points, dimensions=("server.port",)))[-1]
    assert last.split("|")[0].split() == ["all", str(4 * series)]


def test_metrics_that_came_apart_are_shown_together() -> None:
    summary = Summary()
    summary.metrics({TCP: [metric("counter", [NumberPoint({}, 1)])]})
    summary.metrics({TCP: [replace(metric("gauge", [NumberPoint({}, 2)]), name="ebpf.other", description="Others")]})
    lines = summary.lines(["x/tcp"])
    assert [line for line in lines if "(" in line] == [
        "Things that happened (ebpf.things)",
        "Others (ebpf.other)",
    ]
    assert [line.strip() for line in lines if line.strip().isdigit()] == ["1", "2"]


def test_only_the_last_metrics_count() -> None:
    summary = Summary()
    summary.metrics({TCP: [metric("counter", [NumberPoint({}, 1)])]})
    summary.metrics({TCP: [metric("counter", [NumberPoint({}, 22)])]})
    assert [line.split()[-1] for line in summary.lines(["x/tcp"])[-1:]] == ["22"]


def test_events_are_counted_and_the_last_ten_shown() -> None:
    summary = Summary()
    for index in range(1500):
        summary.log(TCP, log(f"event {index}", process_pid=index))
    lines = summary.lines(["x/tcp"])
    assert lines[1] == "ebpf.thing: 1,500, the last 10"
    assert lines[2:] == [f"  pid {index} event {index}" for index in range(1490, 1500)]


def test_events_say_who() -> None:
    summary = Summary()
    summary.log(TCP, log("body", process_pid=7, process_user_id=0))
    assert summary.lines(["x/tcp"])[1:] == ["ebpf.thing: 1", "  pid 7 uid 0 body"]


def test_scopes_come_in_the_order_asked_for_and_others_are_left_out() -> None:
    summary = Summary()
    for scope in (OWN, TCP, EXEC):
        summary.log(scope, log(f"of {scope.name}"))
    bodies = [line.strip() for line in summary.lines(["x/exec", "x/tcp"]) if line.startswith("  ")]
    assert bodies == ["of x/exec", "of x/tcp"]


def test_nothing_shown_can_move_a_cursor() -> None:
    summary = Summary()
    evil = "a\n\x1b[2J\udcff"
    summary.log(TCP, log(evil))
    summary.metrics({TCP: [metric("counter", [NumberPoint({"thread.name": evil}, 1)], dimensions=("thread.name",))]})
    text = "\n".join(summary.lines(["x/tcp"]))
    assert "\x1b" not in text
    assert text.count("a\\n\\x1b[2J\\xff") == 2


def test_a_long_event_is_cut() -> None:
    summary = Summary()
    summary.log(TCP, log("x" * 5000))
    assert max(map(len, summary.lines(["x/tcp"]))) <= 160


# Functions.


def stack(text: str, kind: FrameType = "native") -> tuple[Frame, ...]:
    """``main;f;?``, root first; ``?`` has no symbol."""
    names = [name.replace("?", "") for name in text.split(";")] if text else []
    return tuple(Frame(name, 0x1000 + index, kind) for index, name in reversed(list(enumerate(names))))


def profile(samples: Mapping[str, int], kind: str = "samples", unit: str = "count") -> Profile:
    made = [Sample(stack(text), value, {}) for text, value in samples.items()]
    return Profile(ValueType(kind, unit), None, 0, 1, 2, made)


def functions(*profiles: Profile) -> list[list[str]]:
    """The rows below the head: self, total, share of self, function."""
    summary = Summary()
    for one in profiles:
        summary.profile(TCP, one)
    _, title, head, *rows = summary.lines(["x/tcp"])
    kind = profiles[0].sample_type
    assert title == f"{kind.type} by function ({kind.unit})"
    assert head.split() == ["self", "total", "self", "%", "function"]
    return [row.split(None, 3) for row in rows]


def test_functions_have_what_is_their_own_and_what_they_called() -> None:
    assert functions(profile({"main;f": 60, "main;g": 30, "main": 10})) == [
        ["60", "60", "60.0", "f"],
        ["30", "30", "30.0", "g"],
        ["10", "100", "10.0", "main"],
    ]


def test_functions_with_the_same_of_their_own_are_in_the_order_of_what_they_called() -> None:
    rows = functions(profile({"main;a;x": 1, "main;b;x": 3}))
    assert [row[3] for row in rows] == ["x", "main", "b", "a"]


def test_a_function_that_calls_itself_counts_once() -> None:
    first, *others = functions(profile({"main;f;f;g;f": 5}))
    assert first == ["5", "5", "100.0", "f"]
    assert sorted(others) == [["0", "5", "0.0", "g"], ["0", "5", "0.0", "main"]]


def test_windows_add_up() -> None:
    assert functions(profile({"main;f": 1500}), profile({"main;f": 500, "main": 3}))[0] == [
        "2,000",
        "2,000",
        "99.9",
        "f",
    ]


def test_frames_without_a_symbol_are_one_function() -> None:
    assert functions(profile({"main;?": 2, "?;?": 1}))[0] == ["3", "3", "100.0", "[unknown]"]


def test_a_sample_without_a_stack_is_not_forgotten() -> None:
    assert functions(profile({"": 2, "main": 1}))[0] == ["2", "2", "66.7", "[no stack]"]


def test_functions_of_the_kernel_are_marked() -> None:
    summary = Summary()
    sample = Sample((*stack("do_syscall_64;read", "kernel"), *stack("main;read")), 4, {})
    summary.profile(TCP, Profile(ValueType("samples", "count"), None, 0, 1, 2, [sample]))
    rows = [line.split()[::3] for line in summary.lines(["x/tcp"])[3:]]
    assert rows[0] == ["4", "read_[k]"]
    assert sorted(row[1] for row in rows) == ["do_syscall_64_[k]", "main", "read", "read_[k]"]


def test_ten_functions_are_shown_and_how_many_more() -> None:
    summary = Summary()
    summary.profile(TCP, profile({f"f{number}": number for number in range(1, 26)}))
    lines = summary.lines(["x/tcp"])
    assert [line.split()[-1] for line in lines[3:13]] == [f"f{number}" for number in range(25, 15, -1)]
    assert lines[13:] == ["  ... and 15 more"]


def test_each_type_has_a_table_of_its_own() -> None:
    summary = Summary()
    summary.profile(TCP, profile({"f": 2}, "alloc_objects"))
    summary.profile(TCP, profile({"f": 4096}, "alloc_space", "bytes"))
    summary.profile(EXEC, profile({"g": 1}))
    titles = [line for line in summary.lines(["x/tcp"]) if "by function" in line]
    assert titles == ["alloc_objects by function (count)", "alloc_space by function (bytes)"]


def test_a_function_s_name_cannot_move_a_cursor_or_fill_the_screen() -> None:
    row = functions(profile({"\x1b[2J" + "x" * 500: 1}))[0]
    assert row[3].startswith("\\x1b[2J")
    assert len(row[3]) == 90


# Spans.


def span(name: str, milliseconds: float, kind: SpanKind = "server", **attributes: Any) -> Span:
    context = SpanContext(b"t" * 16, b"s" * 8)
    named = {key.replace("__", "."): value for key, value in attributes.items()}
    return Span(context, None, name, kind, 1_000_000, 1_000_000 + round(milliseconds * 1e6), named)


def test_spans_are_counted_by_kind_and_the_last_ones_shown_with_their_durations() -> None:
    summary = Summary()
    for number in range(12):
        summary.span(TCP, span("GET", number + 0.25, process__pid=number))
    summary.span(TCP, span("query", 1500, "client"))
    lines = summary.lines(["x/tcp"])
    assert lines[1] == "server spans: 12, the last 10"
    assert lines[2:12] == [f"  pid {number} GET {number}.2 ms" for number in range(2, 12)]
    assert lines[12:] == ["", "client spans: 1", "  query 1500.0 ms"]


def test_a_span_shows_what_was_asked_for_and_how_it_failed() -> None:
    summary = Summary()
    answered: dict[str, Any] = {"url__path": "/a\x1b", "http__response__status_code": 503, "error__type": "503"}
    summary.span(TCP, span("GET", 2, **answered))
    assert summary.lines(["x/tcp"])[-1] == "  GET /a\\x1b 503 2.0 ms error 503"
