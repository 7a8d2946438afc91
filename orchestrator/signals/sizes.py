"""How much a printed map holds."""

from __future__ import annotations

from typing import Any

from orchestrator.signals.series import MapRecord, is_number, pairs
from parsers.records import Hist, Map

__all__ = ("entries", "size", "total")


def entries(record: MapRecord) -> int:
    """How many entries of the kernel's map were printed: every non-empty bucket of a keyed histogram is one."""
    if isinstance(record, Hist):
        return sum(bool(bucket.count) for _, buckets in record.series for bucket in buckets)
    return len(pairs(record))


def size(record: MapRecord | None) -> tuple[int, int]:
    """How much a map holds: keys, and the sum of their counts."""
    if record is None:
        return (-1, 0)
    if isinstance(record, Hist):
        return len(record.series), sum(bucket.count for _, buckets in record.series for bucket in buckets)
    return len(pairs(record)), sum(_amount(value) for _, value in pairs(record))


def _amount(value: Any) -> int:
    """A count, a number that came as a string, or how many values stats() has seen."""
    value = value.get("count", 0) if isinstance(value, dict) else value
    return int(value) if is_number(value) else 0


def total(record: Map) -> int:
    """The value of a scalar count; 0.27 prints an unset one as nothing."""
    return sum(value for _, value in record.entries if isinstance(value, int))
