from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsers.strftime import TimeOfDay, read_time, time_pattern


@pytest.mark.parametrize(
    ("format", "text", "time"),
    [
        ("%H:%M:%S\n", "05:41:19\n", TimeOfDay(None, 5, 41, 19, 0)),  # time()
        ("%H:%M:%S.%f", "05:41:19.088826", TimeOfDay(None, 5, 41, 19, 88_826_000)),
        ("%H:%M:%S.%f", "05:41:19.%f", TimeOfDay(None, 5, 41, 19, 0)),  # time(), which has no %f
        ("%H:%M:%S.%k", "21:59:31.194791903", TimeOfDay(None, 21, 59, 31, 194_791_903)),  # 0.27
        ("%H:%M:%S.%l", "21:59:31.194", TimeOfDay(None, 21, 59, 31, 194_000_000)),  # 0.27
        ("%H:%M:%S %f %k|%l", "21:59:30 413817 21| 9", TimeOfDay(None, 21, 59, 30, 413_817_000)),  # 0.17
        ("%k:%M", " 9:05", TimeOfDay(None, 9, 5, 0, 0)),
        ("%l:%M %p", " 9:05 PM", TimeOfDay(None, 21, 5, 0, 0)),
        ("%r", "12:00:01 AM", TimeOfDay(None, 0, 0, 1, 0)),
        ("%Y-%m-%dT%H:%M:%S", "2026-11-23T05:41:19", TimeOfDay((2026, 11, 23), 5, 41, 19, 0)),
        ("%F %T", "2026-11-23 23:59:60", TimeOfDay((2026, 11, 23), 23, 59, 60, 0)),
        ("%D %R", "11/23/26 05:41", TimeOfDay((2026, 11, 23), 5, 41, 0, 0)),
        ("%c", "Mon Nov  3 05:41:19 2026", TimeOfDay((2026, 11, 3), 5, 41, 19, 0)),
        ("%A, %d %B %Y %X %Z", "Monday, 23 November 2026 05:41:19 CET", TimeOfDay((2026, 11, 23), 5, 41, 19, 0)),
        ("%m-%d %H:%M", "11-23 05:41", TimeOfDay(None, 5, 41, 0, 0)),
        ("100%% at %T%n", "100% at 05:41:19\n", TimeOfDay(None, 5, 41, 19, 0)),
        ("%T (%T)", "05:41:19 (05:41:19)", TimeOfDay(None, 5, 41, 19, 0)),
        ("%H.%M%", "05.41%", TimeOfDay(None, 5, 41, 0, 0)),
    ],
)
def test_read_time(format: str, text: str, time: TimeOfDay) -> None:  # noqa: A002
    assert read_time(format, text) == time


@pytest.mark.parametrize(
    ("format", "text"),
    [
        ("%H:%M:%S\n", "05:41:19"),
        ("%H:%M:%S", "05:41:19\n"),
        ("%H:%M:%S", "25:41:19"),
        ("%H:%M:%S", "05:61:19"),
        ("%H:%M:%S", "\u0660\u0665:41:19"),
        ("%H.%M", "05:41"),
        ("%T (%T)", "05:41:19 (05:41:20)"),
        ("%Y-%m-%d", "2026-11-23"),
        ("%H", "05"),
        ("%I:%M", "05:41"),
        ("%k:%M", "123456789:05"),
        ("%H:%M %Q", "05:41 %Q"),
        ("%T", "(?)"),  # bpftrace where it cannot tell
        ("", ""),
    ],
)
def test_read_time_of_what_has_no_time_of_day_is_none(format: str, text: str) -> None:  # noqa: A002
    assert read_time(format, text) is None


def test_time_pattern_names_its_groups_after_the_directives() -> None:
    pattern = time_pattern("%F %T.%f")
    assert pattern is not None
    assert set(pattern.groupindex) == {"Y", "m", "d", "H", "M", "S", "f"}


def test_time_pattern_of_an_unknown_directive_is_none() -> None:
    assert time_pattern("%H:%M %+") is None


@given(
    st.datetimes(datetime(1970, 1, 1), datetime(2068, 12, 31)),
    st.sampled_from(
        ["%F %T.%f", "%D %T.%f", "[%d %b %Y] %H%M%S %f", "%c %f", "%Y%m%d%H%M%S%f", "%x %X %f", "%y%m%d %r"]
    ),
)
def test_read_time_undoes_strftime(time: datetime, format: str) -> None:  # noqa: A002
    nanosecond = time.microsecond * 1000 if "%f" in format else 0
    expected = TimeOfDay((time.year, time.month, time.day), time.hour, time.minute, time.second, nanosecond)
    assert read_time(format, time.strftime(format)) == expected
