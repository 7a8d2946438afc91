"""What the profiles specification and those who read profiles demand; the profiles of every test are held to it.

opentelemetry/proto/profiles/v1development/profiles.proto (v1.10), and the converter of Pyroscope (pkg/ingester/otlp).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from opentelemetry.proto.collector.profiles.v1development.profiles_service_pb2 import ExportProfilesServiceRequest

from orchestrator.otlp.common import make_resource
from orchestrator.otlp.profiles import encode_profiles
from orchestrator.signals.model import Profile, Scope

_BUILD_IDS = {f"process.executable.build_id.{kind}" for kind in ("gnu", "go", "htlhash")}


def check_profiles(request: ExportProfilesServiceRequest, *, orphans: bool = False) -> None:
    """Raise an AssertionError that says what is wrong. ``orphans``: something else may use entries of the tables."""
    tables = request.dictionary
    _check_zeros(tables)
    _check_no_doubles(tables)
    _check_references(tables)
    for profile in profiles_of(request):
        _check_profile(tables, profile)
        _check_for_pyroscope(tables, profile)
    if not orphans:
        _check_no_orphans(request)


def check_profile(profile: Profile) -> None:
    """The same for one that was not sent."""
    body = encode_profiles(make_resource({}), {Scope("test", "1"): [profile]}, "0123456789abcdef")
    check_profiles(ExportProfilesServiceRequest.FromString(body))


def profiles_of(request: ExportProfilesServiceRequest) -> Iterator[Any]:
    for resource in request.resource_profiles:
        for scope in resource.scope_profiles:
            yield from scope.profiles


def _tables(tables: Any) -> dict[str, Any]:
    names = ("mapping_table", "location_table", "function_table", "link_table", "attribute_table", "stack_table")
    return {name: getattr(tables, name) for name in names}


def _check_zeros(tables: Any) -> None:
    assert tables.string_table[0] == ""
    for name, table in _tables(tables).items():
        if name == "link_table":
            assert table[0].trace_id in (b"", bytes(16))
            assert table[0].span_id in (b"", bytes(8))
        else:  # the Collector's file has a value of no kind there
            assert table[0].SerializeToString() in (b"", b"\x12\0"), f"{name}[0] is not zero"


def _check_no_doubles(tables: Any) -> None:
    assert len(set(tables.string_table)) == len(tables.string_table)
    for name, table in _tables(tables).items():
        found = [entry.SerializeToString(deterministic=True) for entry in table]
        assert len(set(found)) == len(found), f"{name} has doubles"


def _inside(indices: Iterable[int], table: Any, *, least: int = 0) -> None:
    for index in indices:
        assert least <= index < len(table), f"index {index} leads nowhere"


def _check_references(tables: Any) -> None:
    strings, attributes = tables.string_table, tables.attribute_table
    for attribute in attributes[1:]:
        _inside([attribute.key_strindex], strings, least=1)
        _inside([attribute.unit_strindex], strings)
    for function in tables.function_table[1:]:
        names = (function.name_strindex, function.system_name_strindex, function.filename_strindex)
        _inside(names, strings)
        assert any(names), "a function without a name"
    for mapping in tables.mapping_table[1:]:
        _inside([mapping.filename_strindex], strings)
        _inside(mapping.attribute_indices, attributes, least=1)
        keys = {strings[attributes[index].key_strindex] for index in mapping.attribute_indices}
        assert keys & _BUILD_IDS, "a mapping without a build id"
    for location in tables.location_table[1:]:
        _inside([location.mapping_index], tables.mapping_table)
        _inside([line.function_index for line in location.lines], tables.function_table, least=1)
        _check_attributes(tables, location.attribute_indices)
        assert location.lines or location.address, "a frame without symbol and address"
    for stack in tables.stack_table:
        _inside(stack.location_indices, tables.location_table, least=1)


def _check_attributes(tables: Any, indices: Iterable[int]) -> None:
    _inside(indices, tables.attribute_table, least=1)
    keys = [tables.attribute_table[index].key_strindex for index in indices]
    assert len(set(keys)) == len(keys), "an attribute key stands twice"


def _check_profile(tables: Any, profile: Any) -> None:
    assert len(profile.profile_id) == 16
    assert any(profile.profile_id)
    assert profile.samples, "an empty envelope"
    assert profile.time_unix_nano > 0
    assert profile.duration_nano > 0
    for kind in (profile.sample_type, profile.period_type):
        _inside([kind.type_strindex, kind.unit_strindex], tables.string_table)
    assert profile.sample_type.type_strindex
    assert profile.sample_type.unit_strindex
    shapes = {(bool(sample.values), bool(sample.timestamps_unix_nano)) for sample in profile.samples}
    assert len(shapes) == 1, "samples of several shapes"
    identities = set()
    for sample in profile.samples:
        _inside([sample.stack_index], tables.stack_table)
        _inside([sample.link_index], tables.link_table)
        _check_attributes(tables, sample.attribute_indices)
        identity = (sample.stack_index, frozenset(sample.attribute_indices), sample.link_index)
        assert identity not in identities, "two samples of one identity"
        identities.add(identity)
        assert len(sample.values) == 1
        assert sample.values[0] > 0
        end = profile.time_unix_nano + profile.duration_nano
        assert all(profile.time_unix_nano <= time < end for time in sample.timestamps_unix_nano)


def _check_for_pyroscope(tables: Any, profile: Any) -> None:
    """It knows two types; all others are called by their period type, which an empty name would hide."""
    strings = tables.string_table
    sample = tuple(strings[index] for index in (profile.sample_type.type_strindex, profile.sample_type.unit_strindex))
    period = tuple(strings[index] for index in (profile.period_type.type_strindex, profile.period_type.unit_strindex))
    if sample == ("off_cpu", "nanoseconds"):
        assert (period, profile.period) == (("", ""), 0)
    elif sample == ("samples", "count"):
        assert period == ("cpu", "nanoseconds")
        assert profile.period > 0
    else:
        assert all(period)
        assert profile.period > 0


def _check_no_orphans(request: ExportProfilesServiceRequest) -> None:
    tables, profiles = request.dictionary, list(profiles_of(request))
    samples = [sample for profile in profiles for sample in profile.samples]
    holders = [*samples, *tables.location_table, *tables.mapping_table, *profiles]
    used: dict[str, set[int]] = {
        "stack_table": {sample.stack_index for sample in samples},
        "location_table": {index for stack in tables.stack_table for index in stack.location_indices},
        "function_table": {line.function_index for one in tables.location_table for line in one.lines},
        "mapping_table": {one.mapping_index for one in tables.location_table},
        "attribute_table": {index for holder in holders for index in holder.attribute_indices},
        "link_table": {sample.link_index for sample in samples},
        "string_table": set(_strings(tables, profiles)),
    }
    for name, indices in used.items():
        assert set(range(1, len(getattr(tables, name)))) <= indices, f"{name} has entries that nothing uses"


def _strings(tables: Any, profiles: Iterable[Any]) -> Iterator[int]:
    for function in tables.function_table:
        yield from (function.name_strindex, function.system_name_strindex, function.filename_strindex)
    for mapping in tables.mapping_table:
        yield mapping.filename_strindex
    for attribute in tables.attribute_table:
        yield from (attribute.key_strindex, attribute.unit_strindex)
    for profile in profiles:
        for kind in (profile.sample_type, profile.period_type):
            yield from (kind.type_strindex, kind.unit_strindex)
