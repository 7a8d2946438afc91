"""ExportProfilesServiceRequest -> profiles (opentelemetry/proto/profiles/v1development/profiles.proto, v1.10).

Ours and others': the Collector's, and those of the OpenTelemetry eBPF profiler, whose samples have the times at which
they were taken in place of a count, and whose processes are told by the Resource.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, TypeVar

from google.protobuf import json_format
from opentelemetry.proto.collector.profiles.v1development.profiles_service_pb2 import ExportProfilesServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.profiles.v1development import profiles_pb2

from orchestrator.signals.model import KERNEL, AttributeValue, Frame, FrameType, Profile, Sample, ValueType

__all__ = ("parse_profiles", "read_profiles")

T = TypeVar("T")

# What a Resource says of one process; all else is true of the whole host.
_OF_A_PROCESS = ("process.pid", "process.executable.name", "process.executable.path", "container.id")
_FRAME_TYPES: dict[str, FrameType] = {"kernel": "kernel", "native": "native"}


def parse_profiles(line: bytes) -> ExportProfilesServiceRequest:
    """A line of OTLP JSON. Raises ValueError if it is none.

    Ids are hexadecimal in it, which protobuf takes for base64: they come out wrong, and are of no use here.
    """
    try:
        return json_format.Parse(line, ExportProfilesServiceRequest(), ignore_unknown_fields=True)
    except json_format.ParseError as error:
        raise ValueError(str(error)) from None


def read_profiles(request: ExportProfilesServiceRequest) -> list[Profile]:
    """All profiles of a request. Raises ValueError if it refers to what is not in its dictionary."""
    dictionary = _Dictionary(request.dictionary)
    profiles = []
    for resource_profiles in request.resource_profiles:
        told = dictionary.pairs(resource_profiles.resource.attributes)
        process = {name: told[name] for name in _OF_A_PROCESS if name in told}
        for scope_profiles in resource_profiles.scope_profiles:
            profiles += [_profile(profile, process, dictionary) for profile in scope_profiles.profiles]
    return profiles


def _profile(profile: profiles_pb2.Profile, process: Mapping[str, AttributeValue], dictionary: _Dictionary) -> Profile:
    period_type = dictionary.value_type(profile.period_type)
    return Profile(
        sample_type=dictionary.value_type(profile.sample_type),
        period_type=period_type if period_type.type else None,
        period=profile.period,
        time_unix_nano=profile.time_unix_nano,
        duration_nano=profile.duration_nano,
        samples=[
            Sample(
                dictionary.stack(sample.stack_index),
                sum(sample.values) if sample.values else len(sample.timestamps_unix_nano),
                {**process, **dictionary.attributes(sample.attribute_indices)},
            )
            for sample in profile.samples
        ],
    )


class _Dictionary:
    """The tables of a request; what they say together is put together once.

    Place 0 of a table says that there is nothing, also where the whole table is left out.
    """

    def __init__(self, tables: profiles_pb2.ProfilesDictionary) -> None:
        self._tables = tables
        self._strings = list(tables.string_table) or [""]
        self._mappings = list(tables.mapping_table) or [profiles_pb2.Mapping()]
        self._functions = list(tables.function_table) or [profiles_pb2.Function()]

    @cached_property
    def _stacks(self) -> list[tuple[Frame, ...]]:
        return [
            tuple(frame for index in stack.location_indices for frame in _at(self._locations, index, "location"))
            for stack in self._tables.stack_table
        ] or [()]

    @cached_property
    def _locations(self) -> list[list[Frame]]:
        return [self._frames(location) for location in self._tables.location_table] or [[]]

    @cached_property
    def _attributes(self) -> list[tuple[str, AttributeValue | None]]:
        return [(self._string(one.key_strindex), self._value(one.value)) for one in self._tables.attribute_table]

    def stack(self, index: int) -> tuple[Frame, ...]:
        """The frames of a stack, leaf first."""
        return _at(self._stacks, index, "stack")

    def attributes(self, indices: Iterable[int]) -> dict[str, AttributeValue]:
        """The attributes at these places."""
        found = (_at(self._attributes, index, "attribute") for index in indices)
        return {key: value for key, value in found if value is not None}

    def pairs(self, attributes: Iterable[Any]) -> dict[str, AttributeValue]:
        """Attributes that stand in place (KeyValue); the Collector moves their strings to the dictionary."""
        found = ((one.key or self._string(one.key_strindex), self._value(one.value)) for one in attributes)
        return {key: value for key, value in found if value is not None}

    def value_type(self, value_type: profiles_pb2.ValueType) -> ValueType:
        """What a number counts, and its unit."""
        return ValueType(self._string(value_type.type_strindex), self._string(value_type.unit_strindex))

    def _frames(self, location: profiles_pb2.Location) -> list[Frame]:
        """The function at a place in a file, before it those that were inlined there."""
        told = self.attributes(location.attribute_indices)
        frame_type = told.get("profile.frame.type")
        kind = _FRAME_TYPES.get(frame_type, "") if isinstance(frame_type, str) else ""
        mapping = _at(self._mappings, location.mapping_index, "mapping")
        module = self._string(mapping.filename_strindex) or str(told.get("ebpf.module", ""))
        if kind == "kernel":
            module = module or KERNEL
        names = [self._function(line.function_index) for line in location.lines]
        return [Frame(name, location.address, kind, module) for name in names or [""]]

    def _function(self, index: int) -> str:
        function = _at(self._functions, index, "function")
        return self._string(function.name_strindex) or self._string(function.system_name_strindex)

    def _string(self, index: int) -> str:
        return _at(self._strings, index, "string")

    def _value(self, value: AnyValue) -> AttributeValue | None:
        kind = value.WhichOneof("value")
        if kind is None:
            return None
        found = getattr(value, kind)
        if kind == "bytes_value":  # text that is no UTF-8
            return bytes(found).decode("utf-8", "surrogateescape")
        if kind == "string_value_strindex":
            return self._string(found)
        if kind == "array_value":
            return tuple(self._value(item) for item in found.values)
        if kind == "kvlist_value":
            return self.pairs(found.values)
        return found  # type: ignore[no-any-return]


def _at(table: Sequence[T], index: int, what: str) -> T:
    if not 0 <= index < len(table):
        raise ValueError(f"its dictionary has no {what} {index}")
    return table[index]
