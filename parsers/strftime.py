r"""What bpftrace's ``time()`` and ``strftime()`` print -> the time of day in it.

``time()`` means ``time("%H:%M:%S\n")`` and prints ``05:41:19\n``. The directives are those of strftime(3), in the C
locale. For ``strftime()`` bpftrace adds ``%f``, microseconds, and since 0.24 ``%k``, nanoseconds, and ``%l``,
milliseconds. But ``time()`` prints ``%f`` as it is, and ``%k`` and ``%l`` are the hour there, as in older versions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

__all__ = ("TimeOfDay", "read_time", "time_pattern")


@dataclass(frozen=True, slots=True)
class TimeOfDay:
    """A time in the zone of the host; ``date`` is year, month and day, None if they are not all printed."""

    date: tuple[int, int, int] | None
    hour: int
    minute: int
    second: int
    nanosecond: int


_DIRECTIVE = re.compile(r"%(.?)", re.DOTALL)
_SHORTHANDS = {
    "T": "%H:%M:%S",
    "X": "%H:%M:%S",
    "R": "%H:%M",
    "r": "%I:%M:%S %p",
    "F": "%Y-%m-%d",
    "D": "%m/%d/%y",
    "x": "%m/%d/%y",
    "c": "%a %b %e %H:%M:%S %Y",
    "h": "%b",
}
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_VALUES = {
    "Y": r"\d{4}",
    "y": r"\d\d",
    "m": r"0[1-9]|1[0-2]",
    "b": "|".join(_MONTHS),
    "B": r"[A-Z][a-z]{2,8}",
    "d": r"0[1-9]|[12]\d|3[01]",
    "e": r" [1-9]|[12]\d|3[01]",
    "j": r"\d{3}",
    "a": r"[A-Z][a-z]{2}",
    "A": r"[A-Z][a-z]{5,8}",
    "H": r"[01]\d|2[0-3]",
    "I": r"0[1-9]|1[0-2]",
    "p": "AM|PM",
    "M": r"[0-5]\d",
    "S": r"[0-5]\d|60",
    "f": r"\d{6}|%f",
    "k": r"\d{9}|[ 1]\d|2[0-3]",
    "l": r"\d{3}|[ 1]\d",
    "s": r"\d{1,19}",
    "z": r"[+-]\d{4}",
    "Z": r"[A-Z]{1,6}|[+-]\d{2,4}",
}
_LITERALS = {"%": "%", "n": "\n", "t": "\t", "": "%"}


def _expanded(format: str) -> str:  # noqa: A002
    return _DIRECTIVE.sub(lambda found: _SHORTHANDS.get(found[1], found[0]), format)


@lru_cache(maxsize=256)
def time_pattern(format: str) -> re.Pattern[str] | None:  # noqa: A002
    """A pattern with a group named after each directive, ``%T`` being ``%H:%M:%S``; None: a directive is not known."""
    pattern, end, expanded = "", 0, _expanded(format)
    seen: set[str] = set()
    for found in _DIRECTIVE.finditer(expanded):
        pattern += re.escape(expanded[end : found.start()])
        end, name = found.end(), found[1]
        if name in _LITERALS:
            pattern += re.escape(_LITERALS[name])
        elif name in _VALUES:
            pattern += f"(?P={name})" if name in seen else f"(?P<{name}>{_VALUES[name]})"
            seen.add(name)
        else:
            return None
    return re.compile(pattern + re.escape(expanded[end:]), re.ASCII)


def _hour(parts: Mapping[str, str]) -> int | None:
    if "H" in parts:
        return int(parts["H"])
    if len(parts.get("k", "")) == 2:
        return int(parts["k"])
    twelve = parts.get("I") or parts.get("l", "")
    if len(twelve) == 2 and "p" in parts:
        return int(twelve) % 12 + (12 if parts["p"] == "PM" else 0)
    return None


def _nanosecond(parts: Mapping[str, str]) -> int:
    if len(parts.get("k", "")) == 9:
        return int(parts["k"])
    if parts.get("f", "%f") != "%f":
        return int(parts["f"]) * 1000
    return int(parts["l"]) * 1_000_000 if len(parts.get("l", "")) == 3 else 0


def _year(parts: Mapping[str, str]) -> int | None:
    if "Y" in parts:
        return int(parts["Y"])
    short = int(parts.get("y", -1))
    return None if short < 0 else short + (1900 if short >= 69 else 2000)  # as POSIX reads it


def _month(parts: Mapping[str, str]) -> int | None:
    name = (parts.get("b") or parts.get("B", ""))[:3]
    if "m" not in parts and name in _MONTHS:
        return _MONTHS.index(name) + 1
    return int(parts["m"]) if "m" in parts else None


def _date(parts: Mapping[str, str]) -> tuple[int, int, int] | None:
    year, month, day = _year(parts), _month(parts), parts.get("d") or parts.get("e")
    return None if year is None or month is None or day is None else (year, month, int(day))


def read_time(format: str, text: str) -> TimeOfDay | None:  # noqa: A002
    """The time in ``text``, printed by ``format``; None: it was not, or there is no hour and minute in it."""
    pattern = time_pattern(format)
    found = pattern.fullmatch(text) if pattern else None
    if found is None:
        return None
    parts = found.groupdict()
    hour = _hour(parts)
    if hour is None or "M" not in parts:
        return None
    return TimeOfDay(_date(parts), hour, int(parts["M"]), int(parts.get("S", "0")), _nanosecond(parts))
