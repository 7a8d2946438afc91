from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.profiles.v1development.profiles_service_pb2 import ExportProfilesServiceRequest
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from orchestrator.otlp.common import make_resource
from orchestrator.otlp.profiles import encode_profiles
from orchestrator.signals.model import KERNEL, Frame, Profile, Sample, Scope, ValueType
from tests.tools.profile_rules import check_profiles

SCOPE = Scope("bpftrace-orchestrator/cpu", "1")
CPU = ValueType("cpu", "nanoseconds")
SAMPLES = ValueType("samples", "count")
START, DURATION = 1_800_000_000_000_000_000, 10_000_000_000
BUILD_ID = "24a3598fd700114d"
SYSCALL = Frame("do_syscall_64", 0, "kernel", KERNEL)
MODULE = Frame("nf_hook", 0, "kernel", "[nf_conntrack]")
MAIN, STRIPPED = Frame("main", 0, "native"), Frame("", 0x7F388DC16A80, "native")


def profile(*samples: Sample, period: int = 10101010) -> Profile:
    return Profile(SAMPLES, CPU, period, START, DURATION, samples)


def encoded(*profiles: Profile, build_id: str | None = BUILD_ID) -> ExportProfilesServiceRequest:
    resource: Resource = make_resource({"service.name": "host"})
    request = ExportProfilesServiceRequest.FromString(encode_profiles(resource, {SCOPE: profiles}, build_id))
    check_profiles(request)
    return request


def frames(request: ExportProfilesServiceRequest, sample: Any) -> list[str]:
    """The functions or addresses of a sample, leaf first, each with its frame type."""
    tables = request.dictionary
    found = []
    for index in tables.stack_table[sample.stack_index].location_indices:
        location = tables.location_table[index]
        names = [
            tables.string_table[tables.function_table[line.function_index].name_strindex] for line in location.lines
        ]
        kinds = [
            tables.attribute_table[one].value.string_value
            for one in location.attribute_indices
            if tables.string_table[tables.attribute_table[one].key_strindex] == "profile.frame.type"
        ]
        found.append("/".join([*(names or [hex(location.address)]), *kinds]))
    return found


def test_a_cpu_profile() -> None:
    request = encoded(
        profile(
            Sample((SYSCALL, MAIN), 7, {"process.pid": 42, "thread.name": "demo"}),
            Sample((MAIN,), 3, {"process.pid": 42, "thread.name": "demo"}),
            Sample((STRIPPED, MAIN), 1, {"process.pid": 43, "thread.name": "demo"}),
        )
    )
    (found,) = request.resource_profiles[0].scope_profiles[0].profiles
    assert [(frames(request, sample), list(sample.values)) for sample in found.samples] == [
        (["do_syscall_64/kernel", "main/native"], [7]),
        (["main/native"], [3]),
        (["0x7f388dc16a80/native", "main/native"], [1]),
    ]
    strings = request.dictionary.string_table
    assert [strings[index] for index in (found.sample_type.type_strindex, found.sample_type.unit_strindex)] == [
        "samples",
        "count",
    ]
    assert [strings[index] for index in (found.period_type.type_strindex, found.period_type.unit_strindex)] == [
        "cpu",
        "nanoseconds",
    ]
    assert (found.period, found.time_unix_nano, found.duration_nano) == (10101010, START, DURATION)
    assert request.resource_profiles[0].resource.attributes[0].key == "service.name"
    assert request.resource_profiles[0].scope_profiles[0].scope.name == SCOPE.name


@pytest.mark.parametrize(("build_id", "mappings"), [(BUILD_ID, ["", KERNEL]), (None, [""])])
def test_the_kernel_is_a_mapping_where_its_build_id_is_known(build_id: str | None, mappings: list[str]) -> None:
    tables = encoded(profile(Sample((SYSCALL, MODULE), 1, {})), build_id=build_id).dictionary
    assert [tables.string_table[mapping.filename_strindex] for mapping in tables.mapping_table] == mappings
    # A module of the kernel has a build id of its own, which is not known.
    assert [location.mapping_index for location in tables.location_table] == [0, len(mappings) - 1, 0]
    values = [one.value.string_value for one in tables.attribute_table]
    assert ("24a3598fd700114d" in values) == bool(build_id)
    assert "[nf_conntrack]" in values


def test_profiles_of_a_request_share_their_tables() -> None:
    one = encoded(profile(Sample((MAIN,), 1, {"thread.name": "a"})))
    two = encoded(profile(Sample((MAIN,), 1, {"thread.name": "a"})), profile(Sample((MAIN,), 2, {"thread.name": "a"})))
    assert two.dictionary == one.dictionary
    ids = {found.profile_id for found in two.resource_profiles[0].scope_profiles[0].profiles}
    assert len(ids) == 2


def test_off_cpu_time_has_no_period() -> None:
    off_cpu = Profile(ValueType("off_cpu", "nanoseconds"), None, 0, START, DURATION, [Sample((MAIN,), 5, {})])
    (found,) = encoded(off_cpu).resource_profiles[0].scope_profiles[0].profiles
    assert not found.HasField("period_type")


def test_names_that_are_no_utf_8_are_shown() -> None:
    tables = encoded(profile(Sample((Frame("caf\udce9", 0, "native"),), 1, {"thread.name": "\udcff"}))).dictionary
    assert "caf\\xe9" in tables.string_table
    assert [one.value.bytes_value for one in tables.attribute_table if one.value.bytes_value] == [b"\xff"]


FRAMES = st.builds(
    Frame,
    st.sampled_from(["", "main", "f", "operator+(A, B)"]),
    st.integers(1, 3),
    st.sampled_from(["kernel", "native", ""]),
    st.sampled_from(["", KERNEL, "/usr/lib/libc.so.6"]),
)
ATTRIBUTES = st.dictionaries(
    st.sampled_from(["process.pid", "thread.name", "x"]), st.sampled_from([1, 1.0, True, "1", "a", 2]), max_size=3
)
SAMPLE_LISTS = st.lists(
    st.builds(Sample, st.lists(FRAMES, max_size=4).map(tuple), st.integers(1, 2**62), ATTRIBUTES),
    min_size=1,
    unique_by=lambda one: (one.stack, frozenset((key, type(value), value) for key, value in one.attributes.items())),
)


@given(st.lists(SAMPLE_LISTS, min_size=1, max_size=3))
def test_all_profiles_keep_the_rules(samples: list[list[Sample]]) -> None:
    request = encoded(*(profile(*one) for one in samples))
    for found, given_samples in zip(request.resource_profiles[0].scope_profiles[0].profiles, samples, strict=True):
        assert [sample.values[0] for sample in found.samples] == [sample.value for sample in given_samples]


def test_numbers_that_do_not_fit() -> None:
    strange = Profile(SAMPLES, CPU, 2**63, -1, 2**70, [Sample((Frame("f", 2**64),), 2**63, {"n": 2**64})])
    request = ExportProfilesServiceRequest.FromString(encode_profiles(make_resource({}), {SCOPE: [strange]}))
    (found,) = request.resource_profiles[0].scope_profiles[0].profiles
    assert (found.period, found.time_unix_nano, found.duration_nano) == (2**63 - 1, 0, 2**64 - 1)
    assert [*found.samples[0].values] == [2**63 - 1]
    assert request.dictionary.location_table[1].address == 2**64 - 1
