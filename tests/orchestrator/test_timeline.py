from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone

import pytest

from orchestrator.timeline import Timeline
from parsers.records import Entry, Map, Record, Text, Value

SECOND = 10**9
EAST = timezone(timedelta(hours=2))


def at(text: str) -> int:
    """Unix nanoseconds of a time two hours east of Greenwich."""
    return int(datetime.fromisoformat(text).replace(tzinfo=EAST).timestamp()) * SECOND


def shown(timeline: Timeline) -> str:
    return datetime.fromtimestamp(timeline.moment().unix / SECOND, EAST).strftime("%Y-%m-%d %H:%M:%S")


def printed(text: str, kind: str = "time") -> Text:
    return Text(kind, text)


@pytest.fixture(autouse=True)
def _east(set_zone: Callable[[str], None]) -> None:
    set_zone("EAST-2")


def test_times_of_day_move_it_on() -> None:
    timeline = Timeline(at("2026-11-23 06:00:00"), b"", exact=True)
    assert shown(timeline) == "2026-11-23 06:00:00"
    assert timeline.advance(printed("06:00:05\n"))
    assert shown(timeline) == "2026-11-23 06:00:05"
    assert timeline.advance(printed("07:30:00 comm 5\n", "printf"))
    assert shown(timeline) == "2026-11-23 07:30:00"


def test_it_goes_on_across_midnight() -> None:
    timeline = Timeline(at("2026-11-23 23:59:50"), b"", exact=True)
    days = []
    for text in ("23:59:58", "00:00:03", "12:00:00", "23:59:59", "00:00:00"):
        assert timeline.advance(printed(text))
        days.append(shown(timeline))
    assert days == [
        "2026-11-23 23:59:58",
        "2026-11-24 00:00:03",
        "2026-11-24 12:00:00",
        "2026-11-24 23:59:59",
        "2026-11-25 00:00:00",
    ]


def test_a_line_that_comes_late_does_not_cost_a_day() -> None:
    """Lines of two CPUs may change places, also around midnight."""
    timeline = Timeline(at("2026-11-23 23:59:58"), b"", exact=True)
    for text, time in (
        ("00:00:01", "2026-11-24 00:00:01"),
        ("23:59:59", "2026-11-23 23:59:59"),
        ("00:00:02", "2026-11-24 00:00:02"),
    ):
        timeline.advance(printed(text))
        assert shown(timeline) == time


def test_within_a_second_the_finer_time_stays() -> None:
    start = at("2026-11-23 06:00:00") + 700_000_000
    timeline = Timeline(start, b"", exact=True)
    assert not timeline.advance(printed("06:00:00"))
    assert timeline.moment().unix == start
    assert timeline.advance(printed("06:00:02"))
    assert timeline.moment().unix == at("2026-11-23 06:00:02")
    assert not timeline.advance(printed("06:00:02"))


@pytest.mark.parametrize(
    "record",
    [
        printed("12:00:00\n", "cat"),
        printed("12:00:00\n", "join"),
        printed("12:00:00\n", "syscall"),
        printed("24:00:00\n"),
        printed("12:60:00\n"),
        printed("12:00:000\n"),
        printed("at 12:00:00\n"),
        printed("112:00:00\n"),
        printed("12:00\n"),
        printed(""),
        Value("12:00:00"),
        Map("12:00:00", (Entry("12:00:00", 1),)),
    ],
)
def test_what_tells_no_time(record: Record) -> None:
    timeline = Timeline(at("2026-11-23 06:00:00"), b"", exact=True)
    assert not timeline.advance(record)
    assert shown(timeline) == "2026-11-23 06:00:00"


@pytest.mark.parametrize(
    ("head", "exact", "begin"),
    [
        # An exact start stands, whatever the capture says.
        (b"Attaching 1 probe...\n05:41:00 x\n", True, "2026-11-23 06:00:00"),
        # The time at which the file was written is near the capture's; its own first time is that of the beginning.
        (b"Attaching 1 probe...\n05:41:00 x\n05:42:00 y\n", False, "2026-11-23 05:41:00"),
        (b"05:41:00\n", False, "2026-11-23 05:41:00"),
        (b"23:58:00 x\n", False, "2026-11-22 23:58:00"),  # written after midnight
        (b'{"type": "time", "data": "05:41:00\\n"}\n', False, "2026-11-23 05:41:00"),
        (b'{"type": "printf", "data": "05:41:00 sh\\n"}\n', False, "2026-11-23 05:41:00"),
        # There is none.
        (b"", False, "2026-11-23 06:00:00"),
        (b"sh 05:41:00\n", False, "2026-11-23 06:00:00"),
        (b"99:41:00\n", False, "2026-11-23 06:00:00"),
        (b"05:41:001\n", False, "2026-11-23 06:00:00"),
    ],
)
def test_where_it_begins(head: bytes, exact: bool, begin: str) -> None:
    assert shown(Timeline(at("2026-11-23 06:00:00"), head, exact=exact)) == begin


def test_the_first_kernel_time_is_that_of_its_moment_and_the_others_hang_on_it() -> None:
    timeline = Timeline(at("2026-11-23 06:00:00"), b"", exact=True)
    first = timeline.moment()
    assert first.to_unix(5_000 * SECOND) == at("2026-11-23 06:00:00")
    assert first.to_unix(5_007 * SECOND) == at("2026-11-23 06:00:07")
    assert first.to_unix(4_999 * SECOND) == at("2026-11-23 05:59:59")
    # Times of day that are printed later do not move the kernel's clock.
    timeline.advance(printed("06:00:10"))
    later = timeline.moment()
    assert later.unix == at("2026-11-23 06:00:10")
    assert later.to_unix(5_009 * SECOND) == at("2026-11-23 06:00:09")


def test_moments_that_were_given_out_before_share_the_kernels_clock() -> None:
    timeline = Timeline(at("2026-11-23 06:00:00"), b"", exact=True)
    early = timeline.moment()
    timeline.advance(printed("06:01:00"))
    assert timeline.moment().to_unix(100 * SECOND) == at("2026-11-23 06:01:00")
    assert early.to_unix(41 * SECOND) == at("2026-11-23 06:00:01")


def test_two_timelines_have_clocks_of_their_own() -> None:
    first, second = (Timeline(at(f"2026-11-23 0{hour}:00:00"), b"", exact=True).moment() for hour in (6, 7))
    assert first.to_unix(1) == at("2026-11-23 06:00:00")
    assert second.to_unix(1) == at("2026-11-23 07:00:00")
