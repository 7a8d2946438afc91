"""Printed maps -> metrics, by the manifest's ``metrics``.

The maps are cumulative in the kernel, so each snapshot is the whole truth: nothing is added up here.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from config.manifest import Metric as Rule
from orchestrator.signals.attributes import INT64, compile_attribute, number
from orchestrator.signals.model import AttributeValue, HistogramPoint, Metric, NumberPoint
from parsers.keys import split_key
from parsers.records import Bucket, Hist, Map

__all__ = ("OVERFLOW", "MetricReader")

# The attribute of the series into which the rest is folded (specification, metrics/sdk.md, "Overflow attribute").
OVERFLOW = "otel.metric.overflow"


class MetricReader:
    """Reads the maps of one signal. Series above a metric's limit are folded into one, the same ones every time."""

    def __init__(self, rules: Mapping[str, Rule]) -> None:
        self._rules = {name: _CompiledMetric(rule) for name, rule in rules.items()}

    @property
    def maps(self) -> set[str]:
        """The maps that this reader understands."""
        return set(self._rules)

    def read(self, record: Map | Hist, start: int, time: int) -> tuple[Metric | None, int]:
        """Return the metric of a map (None if it is empty) and how many of its entries could not be read."""
        return self._rules[record.name].read(record, start, time)


class _CompiledMetric:
    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        self._scale = Fraction(rule.scale)
        self._types = [key.type for key in rule.keys]
        self._setters = [compile_attribute(key, is_number=key.type == "int") for key in rule.keys]
        self._bounds: list[int] = _log2_bounds(*rule.range) if rule.range else []
        self._fixed = rule.range is not None
        self._series: dict[str | None, dict[str, AttributeValue]] = {}

    def read(self, record: Map | Hist, start: int, time: int) -> tuple[Metric | None, int]:
        pairs: list[tuple[str | None, Any]] = (
            list(record.series) if isinstance(record, Hist) else [(entry.key, entry.value) for entry in record.entries]
        )
        if isinstance(record, Hist) != (self._rule.instrument == "histogram"):
            return None, len(pairs)
        known: list[tuple[Mapping[str, AttributeValue], Any]] = []
        rest: list[Any] = []
        unread = 0
        for key, value in pairs:
            try:
                attributes = self._attributes(key)
                item = value if isinstance(record, Hist) else number(value)
            except (ValueError, TypeError):
                unread += 1
                continue
            if attributes is None:
                rest.append(item)
            else:
                known.append((attributes, item))
        points = self._histogram_points(known, rest) if isinstance(record, Hist) else self._number_points(known, rest)
        if not points:
            return None, unread
        rule = self._rule
        dimensions = [key.attribute for key in rule.keys if key.attribute]
        metric = Metric(rule.name, rule.unit, rule.description, rule.instrument, start, time, points, dimensions)
        return metric, unread

    def _attributes(self, key: str | None) -> Mapping[str, AttributeValue] | None:
        """The attributes of a series; None for one above the limit."""
        attributes = self._series.get(key)
        if attributes is not None:
            return attributes
        if len(self._series) >= self._rule.limit:
            return None
        attributes = dict(self._rule.attributes)
        if self._setters:
            parts = split_key(key or "", self._types)
            if parts is None:
                raise ValueError("key of another shape")
            for put, part in zip(self._setters, parts, strict=True):
                put(part, attributes)
        self._series[key] = attributes
        return attributes

    def _number(self, value: int) -> int | float:
        # OTLP's integers are signed: what does not fit is a double.
        return value if self._scale == 1 and value in INT64 else float(value * self._scale)

    def _number_points(self, known: list[tuple[Mapping[str, AttributeValue], int]], rest: list[int]) -> list[Any]:
        points = [NumberPoint(attributes, self._number(value)) for attributes, value in known]
        if rest:
            points.append(NumberPoint({**self._rule.attributes, OVERFLOW: True}, self._number(sum(rest))))
        return points

    def _histogram_points(
        self, known: list[tuple[Mapping[str, AttributeValue], Sequence[Bucket]]], rest: list[Sequence[Bucket]]
    ) -> list[Any]:
        if rest:
            folded = [bucket for buckets in rest for bucket in buckets]
            known = [*known, ({**self._rule.attributes, OVERFLOW: True}, folded)]
        if not self._has_fixed_bounds(known):
            edges = {bucket.max for _, buckets in known for bucket in buckets if bucket.max is not None}
            self._bounds = sorted(edges.union(self._bounds))
        # The inclusive upper end of a bucket is OTLP's upper-inclusive bound; as a fraction it is scaled without error.
        bounds = [float(bound * self._scale) for bound in self._bounds]
        return [HistogramPoint(attributes, bounds, self._counts(buckets)) for attributes, buckets in known]

    def _has_fixed_bounds(self, known: list[tuple[Mapping[str, AttributeValue], Sequence[Bucket]]]) -> bool:
        """Whether every bucket ends at a bound, or beyond them all: not so for lhist(), whose own edges are taken."""
        low, high, bounds = self._bounds[:1], self._bounds[-1:], set(self._bounds)
        self._fixed = self._fixed and all(
            bucket.max is None or bucket.max in bounds or [bucket.max] <= low or [bucket.max] > high
            for _, buckets in known
            for bucket in buckets
        )
        if self._rule.range and not self._fixed and bounds == set(_log2_bounds(*self._rule.range)):
            self._bounds = []
        return self._fixed

    def _counts(self, buckets: Sequence[Bucket]) -> list[int]:
        counts = [0] * (len(self._bounds) + 1)
        for bucket in buckets:
            index = len(self._bounds) if bucket.max is None else bisect_left(self._bounds, bucket.max)
            counts[index] += bucket.count
        return counts


def _log2_bounds(low: int, high: int) -> list[int]:
    """The upper ends of hist()'s buckets [2^k, 2^(k+1)-1], from below ``low`` to the one with ``high``."""
    bounds = [(1 << max(0, low.bit_length() - 1)) - 1]
    while bounds[-1] < high:
        bounds.append(bounds[-1] * 2 + 1)
    return bounds
