"""Profiles -> ExportProfilesServiceRequest (opentelemetry/proto/profiles/v1development/profiles.proto, v1.10).

The signal is in development: its package and path carry ``v1development`` until it is stable.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from opentelemetry.proto.collector.profiles.v1development.profiles_service_pb2 import ExportProfilesServiceRequest
from opentelemetry.proto.profiles.v1development import profiles_pb2
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from orchestrator.otlp.common import SCHEMA_URL, add_attributes, make_scope, signed, unsigned
from orchestrator.signals.model import KERNEL, AttributeValue, Frame, Profile, Scope, ValueType
from parsers.escapes import to_bytes

__all__ = ("encode_profiles",)

K = TypeVar("K")


def encode_profiles(
    resource: Resource, profiles: Mapping[Scope, Iterable[Profile]], kernel_build_id: str | None = None
) -> bytes:
    """One request with the profiles of each scope, which share its dictionary.

    ``kernel_build_id``: the GNU build id of the kernel that was traced, in hexadecimal.
    """
    request = ExportProfilesServiceRequest()
    dictionary = _Dictionary(request.dictionary, kernel_build_id)
    resource_profiles = request.resource_profiles.add(schema_url=SCHEMA_URL)
    resource_profiles.resource.CopyFrom(resource)
    for scope, items in profiles.items():
        scope_profiles = resource_profiles.scope_profiles.add(schema_url=SCHEMA_URL)
        scope_profiles.scope.CopyFrom(make_scope(scope))
        for profile in items:
            _fill(scope_profiles.profiles.add(), profile, dictionary)
    return request.SerializeToString()


def _fill(target: profiles_pb2.Profile, profile: Profile, dictionary: _Dictionary) -> None:
    dictionary.value_type(target.sample_type, profile.sample_type)
    if profile.period_type is not None:
        dictionary.value_type(target.period_type, profile.period_type)
        target.period = signed(profile.period)
    target.time_unix_nano = unsigned(profile.time_unix_nano)
    target.duration_nano = unsigned(profile.duration_nano)
    target.profile_id = random.getrandbits(128).to_bytes(16, "big")
    for sample in profile.samples:
        added = target.samples.add(stack_index=dictionary.stack(sample.stack))
        added.values.append(signed(sample.value))
        added.attribute_indices.extend(dictionary.attribute(*item) for item in sample.attributes.items())


class _Dictionary:
    """The tables that all profiles of a request share; each thing stands in them once.

    "The first element of every table is its zero value": index 0 means that there is none.
    """

    def __init__(self, tables: profiles_pb2.ProfilesDictionary, kernel_build_id: str | None) -> None:
        self._tables = tables
        self._build_id = kernel_build_id
        for table in (
            tables.mapping_table,
            tables.location_table,
            tables.function_table,
            tables.attribute_table,
            tables.stack_table,
        ):
            table.add()
        tables.link_table.add(trace_id=bytes(16), span_id=bytes(8))
        tables.string_table.append("")
        self._strings: dict[str, int] = {"": 0}
        self._functions: dict[str, int] = {}
        self._attributes: dict[Any, int] = {}
        self._locations: dict[Frame, int] = {}
        self._stacks: dict[tuple[Frame, ...], int] = {(): 0}
        self._mappings: dict[str, int] = {}

    def value_type(self, target: profiles_pb2.ValueType, value_type: ValueType) -> None:
        """Set what a number counts, and its unit."""
        target.type_strindex, target.unit_strindex = self._string(value_type.type), self._string(value_type.unit)

    def stack(self, frames: tuple[Frame, ...]) -> int:
        """The index of a stack; its locations are leaf first, as the frames are."""

        def add() -> Any:
            known = self._locations.get  # an index is never 0
            locations = [known(frame) or self._location(frame) for frame in frames]
            self._tables.stack_table.add(location_indices=locations)

        return _index(self._stacks, frames, self._tables.stack_table, add)

    def attribute(self, key: str, value: AttributeValue) -> int:
        """The index of an attribute. Equal values of other types (1 and True) are others."""

        def add() -> Any:
            target = self._tables.attribute_table.add(key_strindex=self._string(key))
            pairs = Resource().attributes
            add_attributes(pairs, {key: value})
            target.value.CopyFrom(pairs[0].value)

        return _index(self._attributes, (key, type(value), value), self._tables.attribute_table, add)

    def _location(self, frame: Frame) -> int:
        def add() -> Any:
            mapping = self._mapping(frame)
            attributes = {"profile.frame.type": frame.type, "ebpf.module": "" if mapping else _told_module(frame)}
            indices = [self.attribute(key, value) for key, value in attributes.items() if value]
            function = self._function(frame.name) if frame.name else 0
            location = self._tables.location_table.add(mapping_index=mapping, address=unsigned(frame.address))
            location.attribute_indices.extend(indices)
            if function:
                location.lines.add(function_index=function)

        return _index(self._locations, frame, self._tables.location_table, add)

    def _mapping(self, frame: Frame) -> int:
        """A mapping must carry a build id, and only that of the kernel itself is known here."""
        if not self._build_id or frame.type != "kernel" or frame.module != KERNEL:
            return 0

        def add() -> Any:
            build_id = self.attribute("process.executable.build_id.gnu", self._build_id or "")
            mapping = self._tables.mapping_table.add(filename_strindex=self._string(KERNEL))
            mapping.attribute_indices.append(build_id)

        return _index(self._mappings, KERNEL, self._tables.mapping_table, add)

    def _function(self, name: str) -> int:
        def add() -> Any:
            self._tables.function_table.add(name_strindex=self._string(name))

        return _index(self._functions, name, self._tables.function_table, add)

    def _string(self, text: str) -> int:
        index = self._strings.get(text)
        if index is None:
            self._tables.string_table.append(to_bytes(text).decode("utf-8", "backslashreplace"))
            index = self._strings[text] = len(self._tables.string_table) - 1
        return index


def _told_module(frame: Frame) -> str:
    """The file of a frame, where that is not plain already."""
    return "" if frame.type == "kernel" and frame.module == KERNEL else frame.module


def _index(known: dict[K, int], key: K, table: Any, add: Callable[[], Any]) -> int:
    """The place of ``key`` in ``table``; ``add`` puts it there if it is new."""
    index = known.get(key)
    if index is None:
        add()
        index = known[key] = len(table) - 1
    return index
