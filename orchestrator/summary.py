"""What a run saw, for a person: tables of counters and events, histograms as bars, functions. Every line is safe."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from typing import cast

from orchestrator.signals.event_batch import EventBatch
from orchestrator.signals.model import (
    AttributeValue,
    Frame,
    HistogramPoint,
    LogRecord,
    Metric,
    NumberPoint,
    Profile,
    Scope,
    Span,
)
from orchestrator.signals.sampling import ADJUSTED_COUNT
from orchestrator.text import printable

__all__ = ("Summary",)

_ROWS = 10
_BAR = 40
_LAST_EVENTS = 10
_HISTOGRAMS = 3
_UNITS = {"s": ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns"))}
_BYTES = ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))


class Summary:
    """A sink that keeps the last metrics, the last few events and spans of each kind, and the hottest functions."""

    def __init__(self) -> None:
        self._metrics: dict[Scope, dict[str, Metric]] = {}
        self._events: dict[tuple[Scope, str], deque[LogRecord | EventBatch]] = {}
        self._counts: Counter[tuple[Scope, str]] = Counter()
        self._functions: dict[tuple[Scope, str, str], _Functions] = {}

    def log(self, scope: Scope, record: LogRecord) -> None:
        """Count an event, and keep it if it is among the last."""
        key = (scope, record.event_name)
        self._counts[key] += cast("int", record.attributes.get(ADJUSTED_COUNT, 1))
        self._events.setdefault(key, deque(maxlen=_LAST_EVENTS)).append(record)

    def events(self, scope: Scope, batch: EventBatch) -> None:
        """Count events, and keep those that are among the last."""
        key = (scope, batch.name)
        self._counts[key] += len(batch) * batch.weight
        self._events.setdefault(key, deque(maxlen=_LAST_EVENTS)).append(batch.last(_LAST_EVENTS))

    def metrics(self, metrics: dict[Scope, list[Metric]]) -> None:
        """Keep the metrics: they are cumulative, so the last ones are all."""
        for scope, items in metrics.items():
            self._metrics.setdefault(scope, {}).update((metric.name, metric) for metric in items)

    def span(self, scope: Scope, span: Span) -> None:
        """Show a span as an event with its duration."""
        milliseconds = (span.end_unix_nano - span.start_unix_nano) / 1e6
        body = f"{span.name} {_target(span.attributes)}{milliseconds:.1f} ms"
        if (error := span.attributes.get("error.type")) is not None:
            body += f" error {error}"
        self.log(scope, LogRecord(span.end_unix_nano, 0, f"{span.kind} spans", "info", body, span.attributes))

    def profile(self, scope: Scope, profile: Profile) -> None:
        """Add samples to their functions."""
        key = (scope, profile.sample_type.type, profile.sample_type.unit)
        functions = self._functions.setdefault(key, _Functions())
        for sample in profile.samples:
            functions.add(sample.stack, sample.value)

    def lines(self, scopes: Sequence[str]) -> list[str]:
        """The whole summary, for the scopes whose names are given, in that order."""
        lines: list[str] = []
        for name in scopes:
            for scope, metrics in self._metrics.items():
                if scope.name == name:
                    lines += _metric_lines(list(metrics.values()))
            for (scope, kind, unit), functions in self._functions.items():
                if scope.name == name:
                    lines += ["", f"{kind} by function ({unit})", *functions.lines()]
            for (scope, event), count in self._counts.items():
                if scope.name == name:
                    lines += _event_lines(event, count, _records(self._events[scope, event]))
        return lines or ["nothing happened that these signals trace"]


class _Functions:
    """What the functions of one profile type have themselves, and with all that they called."""

    def __init__(self) -> None:
        self._self: Counter[str] = Counter()
        self._total: Counter[str] = Counter()
        self._all = 0

    def add(self, stack: Sequence[Frame], value: int) -> None:
        names = [_function(frame) for frame in stack] or ["[no stack]"]
        self._all += value
        self._self[names[0]] += value
        for name in dict.fromkeys(names):
            self._total[name] += value

    def lines(self) -> list[str]:
        ranked = sorted(self._total, key=lambda name: (self._self[name], self._total[name]), reverse=True)
        rows = [
            [f"{count:,}" for count in (self._self[name], self._total[name])]
            + [self._share(name), printable(name)[:90]]
            for name in ranked[:_ROWS]
        ]
        return [_right(row) for row in (["self", "total", "self %", "function"], *rows)] + _more(len(ranked))

    def _share(self, name: str) -> str:
        return f"{100 * self._self[name] / self._all:.1f}"


def _function(frame: Frame) -> str:
    """Addresses without a symbol are one function: as many lines would hide the others."""
    return (frame.name or "[unknown]") + ("_[k]" if frame.type == "kernel" else "")


def _right(cells: Sequence[str]) -> str:
    """Numbers in columns, the function behind them."""
    return "  " + "  ".join([*(cell.rjust(12) for cell in cells[:2]), cells[2].rjust(6), cells[3]])


def _target(attributes: Mapping[str, AttributeValue]) -> str:
    shown = (attributes.get(name) for name in ("url.path", "http.response.status_code"))
    return "".join(f"{value} " for value in shown if value is not None)


def _metric_lines(metrics: Sequence[Metric]) -> list[str]:
    lines: list[str] = []
    for metric in metrics:
        lines += ["", f"{metric.description} ({metric.name}{_unit(metric.unit)})"]
        if metric.instrument == "histogram":
            lines += _histogram_lines(metric)
        else:
            lines += _table(metric)
    return lines


def _unit(unit: str) -> str:
    return "" if unit.startswith("{") else f", {unit}"


def _table(metric: Metric) -> list[str]:
    points = [point for point in metric.points if isinstance(point, NumberPoint)]
    names = metric.dimensions
    ranked = sorted(points, key=lambda point: point.value, reverse=True)
    rows = [
        [*(_cell(point.attributes.get(name)) for name in names), _value(point.value, metric.unit)] for point in ranked
    ]
    head = [*_short(names), "total"]
    lines = _align([head, *rows[:_ROWS]])
    return lines + _more(len(rows))


def _short(names: Sequence[str]) -> list[str]:
    """``server.port`` -> port; two that would be called the same keep one word more."""
    last = [name.rpartition(".")[2] for name in names]
    return [
        word if last.count(word) == 1 else " ".join(name.split(".")[-2:])
        for name, word in zip(names, last, strict=True)
    ]


def _more(count: int) -> list[str]:
    return [f"  ... and {count - _ROWS} more"] if count > _ROWS else []


def _align(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  "
        + "  ".join(
            [*(cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=False)), row[-1].rjust(widths[-1])]
        )
        for row in rows
    ]


def _cell(value: AttributeValue | None) -> str:
    return "-" if value is None else printable(str(value))


def _value(value: float, unit: str) -> str:
    if unit == "By":
        for size, name in _BYTES:
            if value >= size:
                return f"{value / size:.1f} {name}"
        return f"{value:g} B"
    return f"{value:,}"


def _histogram_lines(metric: Metric) -> list[str]:
    points = [point for point in metric.points if isinstance(point, HistogramPoint)]
    names = metric.dimensions
    if len(points) > _HISTOGRAMS:
        counts = [sum(column) for column in zip(*(point.counts for point in points), strict=True)]
        return [f"  all {len(points)} series:", *_bars(points[0].bounds, counts, metric.unit)]
    lines: list[str] = []
    for point in points:
        values = (_cell(point.attributes.get(name)) for name in names)
        label = ", ".join(f"{name} {value}" for name, value in zip(_short(names), values, strict=True))
        lines += [f"  {label or 'all'}:", *_bars(point.bounds, point.counts, metric.unit)]
    return lines


def _bars(bounds: Sequence[float], counts: Sequence[int], unit: str) -> list[str]:
    used = [index for index, count in enumerate(counts) if count]
    if not used:
        return []
    most = max(counts)
    labels = [f"<= {_scaled(bound, unit)}" for bound in bounds]
    labels.append(f"> {_scaled(bounds[-1], unit)}" if bounds else "all")
    return [
        f"    {labels[index]:>12} {counts[index]:>8,} |{'@' * (counts[index] * _BAR // most):<{_BAR}}|"
        for index in range(used[0], used[-1] + 1)
    ]


def _scaled(value: float, unit: str) -> str:
    for factor, name in _UNITS.get(unit, ()):
        if value >= factor:
            return f"{value / factor:.3g} {name}"
    return f"{value:g}{'' if unit.startswith('{') else ' ' + unit}"


def _records(last: Iterable[LogRecord | EventBatch]) -> list[LogRecord]:
    """The last few records of the last few batches."""
    records = [record for one in last for record in (one.records() if isinstance(one, EventBatch) else [one])]
    return records[-_LAST_EVENTS:]


def _event_lines(event: str, count: int, last: Sequence[LogRecord]) -> list[str]:
    shown = f", the last {len(last)}" if count > len(last) else ""
    lines = ["", f"{event}: {count:,}{shown}"]
    return lines + [f"  {_who(record.attributes)}{printable(record.body)}"[:160] for record in last]


def _who(attributes: Mapping[str, AttributeValue]) -> str:
    pid, uid = attributes.get("process.pid"), attributes.get("process.user.id")
    return "".join(f"{name} {value} " for name, value in (("pid", pid), ("uid", uid)) if value is not None)
