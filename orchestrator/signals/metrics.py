"""Printed maps -> metrics, by the manifest's ``metrics``.

The maps are cumulative in the kernel, so each snapshot is the whole truth. Only what a program clears is added up here.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from functools import reduce
from typing import Any

from config.manifest import Metric as Rule
from orchestrator.signals.keys import WHOLE_KEY, KeyReader
from orchestrator.signals.model import Metric, Series
from orchestrator.signals.series import Bounds, Kind, MapRecord, kind_of, pairs

__all__ = ("OVERFLOW", "MetricReader")

# The attribute of the series into which the rest is folded (specification, metrics/sdk.md, "Overflow attribute").
OVERFLOW = "otel.metric.overflow"
# The key of that series: no key of a map is a number.
_REST = 0


class MetricReader:
    """Reads the maps of one signal. Series above a metric's limit are folded into one, the same ones every time.

    ``lenient``: a key of another shape than its rule says becomes one attribute as a whole.
    """

    def __init__(self, rules: Mapping[str, Rule], *, lenient: bool = False) -> None:
        self._lenient = lenient
        self._rules = {name: _CompiledMetric(rule, lenient=lenient) for name, rule in rules.items()}

    @property
    def maps(self) -> set[str]:
        """The maps that this reader understands."""
        return set(self._rules)

    def add(self, name: str, rule: Rule) -> None:
        """Learn a map."""
        self._rules[name] = _CompiledMetric(rule, lenient=self._lenient)

    def read(self, record: MapRecord, start: int, time: int) -> tuple[Metric | None, int]:
        """Return the metric of a map (None if it is empty) and how many of its entries could not be read."""
        return self._rules[record.name].read(record, start, time)


class _CompiledMetric:
    def __init__(self, rule: Rule, *, lenient: bool) -> None:
        self._rule = rule
        self._keys = KeyReader(rule.keys, lenient=lenient)
        self._bounds = Bounds(*(rule.range or ()))
        self._kinds: dict[type, Kind | None] = {}
        self._series: dict[str | int | None, Series] = {}
        self._overflow = Series({**rule.attributes, OVERFLOW: True})
        self._sum: dict[str | int | None, Any] = {}
        self.dimensions = [key.attribute for key in rule.keys if key.attribute]

    def read(self, record: MapRecord, start: int, time: int) -> tuple[Metric | None, int]:
        kind = self._kind(record)
        if kind is None:
            return None, len(pairs(record))
        items, unread = self._items(kind, record, time)
        points = kind.points(list(map(self._series.__getitem__, items)), list(items.values()))
        rule = self._rule
        dimensions = self.dimensions or ([WHOLE_KEY] if any(key is not None for key in items) else [])
        metric = Metric(rule.name, rule.unit, rule.description, rule.instrument, start, time, points, dimensions)
        return metric if points else None, unread

    def _kind(self, record: MapRecord) -> Kind | None:
        if type(record) not in self._kinds:
            self._kinds[type(record)] = kind_of(record, self._rule.instrument, Fraction(self._rule.scale), self._bounds)
        return self._kinds[type(record)]

    def _items(self, kind: Kind, record: MapRecord, time: int) -> tuple[dict[str | int | None, Any], int]:
        """The item of each series, the rest last, and how many entries could not be read."""
        # What a program has cleared adds to what it printed before.
        adds_up = self._rule.cleared and self._rule.instrument != "gauge"
        if kind.of_integers and not adds_up and (found := self._integers(kind, record)) is not None:
            return found, 0
        items = self._sum if adds_up else {}
        unread = 0
        read, known = kind.read, self._series
        for key, value in pairs(record):
            try:
                item = read(value, time)
                series = key if key in known else self._new_series(key, record.separator)
            except (ValueError, TypeError, KeyError):
                unread += 1
                continue
            items[series] = kind.add(items[series], item) if series in items else item
        if _REST in items:
            items[_REST] = items.pop(_REST)
        return items, unread

    def _integers(self, kind: Kind, record: MapRecord) -> dict[str | int | None, Any] | None:
        """The same for a map of integers, no key twice and none new: nearly all large maps at nearly all times."""
        known, entries = self._series, pairs(record)
        values: dict[str | int | None, Any] = dict(entries)
        if len(values) != len(entries) or set(map(type, values.values())) != {int}:
            return None
        if values.keys() <= known.keys():
            return values
        if not self._is_full:
            return None
        rest = [value for key, value in values.items() if key not in known]
        known.setdefault(_REST, self._overflow)
        return {**{key: values[key] for key in known if key in values}, _REST: reduce(kind.add, rest)}

    @property
    def _is_full(self) -> bool:
        """Whether there can be no more series."""
        return len(self._series) - (_REST in self._series) >= self._rule.limit

    def _new_series(self, key: str | None, separator: str) -> str | int | None:
        """Begin one, or say that there are too many. Raises ValueError for a key of another shape."""
        if self._is_full:
            self._series.setdefault(_REST, self._overflow)
            return _REST
        self._series[key] = Series({**self._rule.attributes, **self._keys.read(key, separator)})
        return key
