"""Profiles -> pprof (github.com/google/pprof, proto/profile.proto): a gzip'd protobuf message.

All profiles share one table of samples; each kind of value is a column of it. Go's own CPU profiles have two, and so
have ours: how many samples there were, and the CPU time that they stand for.
"""

from __future__ import annotations

import gzip
from collections.abc import Hashable, Sequence
from typing import Any

from orchestrator.formats.merge import Kind, Window, identity, kind_of, union
from orchestrator.formats.names import frame_name, frames
from orchestrator.formats.pprof_message import profile_class
from orchestrator.signals.model import Attributes, AttributeValue, Frame, Profile, ValueType
from orchestrator.text import printable

__all__ = ("to_pprof",)

_CPU = ValueType("cpu", "nanoseconds")
_SAMPLED_CPU = Kind(ValueType("samples", "count"), _CPU)
# What pprof's own documents and tools call them.
_LABELS = {"process.pid": "pid", "thread.id": "tid", "thread.name": "comm"}
_INT64 = range(-(2**63), 2**63)


def to_pprof(profiles: Sequence[Profile]) -> bytes:
    """The file of ``profiles``, the same for the same profiles."""
    builder = _Builder()
    columns = list(dict.fromkeys(column for profile in profiles for column, _ in _columns(profile)))
    for column in columns:
        builder.set_type(builder.message.sample_type.add(), column.sample_type)
    for (stack, _), (attributes, values) in _rows(profiles, columns).items():
        builder.sample(stack, values, attributes)
    _describe(builder, profiles, columns)
    return gzip.compress(builder.message.SerializeToString(deterministic=True), mtime=0)


def _columns(profile: Profile) -> list[tuple[Kind, int]]:
    """The columns that its values stand in, and what they are multiplied by there."""
    kind = kind_of(profile)
    if kind == _SAMPLED_CPU and profile.period > 0:
        return [(kind, 1), (Kind(_CPU, _CPU), profile.period)]
    return [(kind, 1)]


_Rows = dict[tuple[tuple[Frame, ...], Hashable], tuple[Attributes, list[int]]]


def _rows(profiles: Sequence[Profile], columns: Sequence[Kind]) -> _Rows:
    rows: _Rows = {}
    for profile in profiles:
        places = [(columns.index(column), factor) for column, factor in _columns(profile)]
        for sample in profile.samples:
            key = (sample.stack, identity(sample.attributes))
            _, values = rows.setdefault(key, (sample.attributes, [0] * len(columns)))
            for place, factor in places:
                values[place] += sample.value * factor
    return rows


def _describe(builder: _Builder, profiles: Sequence[Profile], columns: Sequence[Kind]) -> None:
    """When it was, what was sampled (of CPU profiles, if there are any), and what pprof shows first."""
    message = builder.message
    starts = [profile.time_unix_nano for profile in profiles]
    windows = union(Window(start, start + one.duration_nano) for start, one in zip(starts, profiles, strict=True))
    message.time_nanos = _clamp(min(starts, default=0))
    message.duration_nanos = _clamp(sum(window.end - window.start for window in windows))
    sampled = sorted((one for one in profiles if one.period_type), key=lambda one: one.period_type != _CPU)
    if sampled and sampled[0].period_type:
        builder.set_type(message.period_type, sampled[0].period_type)
        message.period = _clamp(sampled[0].period)
    if columns:
        names = [column.sample_type.type for column in columns]
        message.default_sample_type = builder.string("cpu" if "cpu" in names else names[-1])


class _Builder:
    """The message, and the numbers of what stands in its tables already."""

    def __init__(self) -> None:
        self.message = profile_class()(string_table=[""])
        self._strings: dict[str, int] = {"": 0}
        self._functions: dict[str, int] = {}
        self._mappings: dict[str, int] = {"": 0}
        self._locations: dict[Frame, int] = {}

    def string(self, text: str) -> int:
        """The number of a string."""
        number = self._strings.setdefault(text, len(self._strings))
        if number == len(self.message.string_table):
            self.message.string_table.append(text)
        return number

    def set_type(self, target: Any, value_type: ValueType) -> None:
        """Set what a number counts, and its unit."""
        target.type, target.unit = (self.string(printable(text)) for text in (value_type.type, value_type.unit))

    def sample(self, stack: tuple[Frame, ...], values: Sequence[int], attributes: Attributes) -> None:
        """Add a row; the leaf stands first in pprof as well."""
        sample = self.message.sample.add(
            location_id=[self._location(frame) for frame in frames(stack)], value=[_clamp(value) for value in values]
        )
        for name, value in attributes.items():
            self._label(sample, printable(_LABELS.get(name, name)), value)

    def _label(self, sample: Any, key: str, value: AttributeValue) -> None:
        if isinstance(value, int) and not isinstance(value, bool) and value in _INT64:
            # pprof reads a label of nothing but zeros as none; this unit is the one that it takes by itself.
            unit = 0 if value else self.string(key)
            sample.label.add(key=self.string(key), num=value, num_unit=unit)
        else:
            text = str(value).lower() if isinstance(value, bool) else str(value)
            sample.label.add(key=self.string(key), str=self.string(printable(text)))

    def _location(self, frame: Frame) -> int:
        number = self._locations.get(frame)
        if number is None:
            number = self._locations[frame] = len(self._locations) + 1
            location = self.message.location.add(id=number, mapping_id=self._mapping(frame), address=frame.address)
            # Without a function pprof calls all frames without a symbol by one name.
            location.line.add(function_id=self._function(frame_name(frame)))
        return number

    def _function(self, name: str) -> int:
        number = self._functions.get(name)
        if number is None:
            number = self._functions[name] = len(self._functions) + 1
            text = self.string(name)
            self.message.function.add(id=number, name=text, system_name=text)
        return number

    def _mapping(self, frame: Frame) -> int:
        """The number of a frame's file. With ``has_functions`` pprof does not look for symbols itself."""
        number = self._mappings.setdefault(frame.module, len(self._mappings))
        if number > len(self.message.mapping):
            file = self.string(printable(frame.module))
            self.message.mapping.add(id=number, filename=file, has_functions=True)
        return number


def _clamp(number: int) -> int:
    return max(_INT64.start, min(_INT64.stop - 1, number))
