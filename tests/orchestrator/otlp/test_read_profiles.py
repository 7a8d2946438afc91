from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import HealthCheck, given, settings
from opentelemetry.proto.collector.profiles.v1development.profiles_service_pb2 import ExportProfilesServiceRequest

from orchestrator.otlp.common import make_resource
from orchestrator.otlp.json_format import to_json
from orchestrator.otlp.profiles import encode_profiles
from orchestrator.otlp.read_profiles import parse_profiles, read_profiles
from orchestrator.signals.model import KERNEL, Attributes, Frame, Profile, Sample, Scope, ValueType
from tests.orchestrator.formats.made import IN_KERNEL, IN_LIBC, START, alloc_space, cpu, off_cpu, sample
from tests.orchestrator.otlp.test_json_format import messages

# What the Collector (0.157) wrote of a CPU profile: keys and strings of the Resource have moved to the dictionary, ids
# are hexadecimal.
COLLECTOR = json.dumps(
    {
        "resourceProfiles": [
            {
                "resource": {"attributes": [{"value": {"stringValueStrindex": 13}, "keyStrindex": 12}]},
                "scopeProfiles": [
                    {
                        "scope": {"name": "x", "version": "1"},
                        "profiles": [
                            {
                                "sampleType": {"typeStrindex": 1, "unitStrindex": 2},
                                "samples": [{"stackIndex": 1, "attributeIndices": [4, 5], "values": ["70"]}],
                                "timeUnixNano": "1700000000000000000",
                                "durationNano": "10000000000",
                                "periodType": {"typeStrindex": 3, "unitStrindex": 4},
                                "period": "10000000",
                                "profileId": "82b444a05fbcdf3d6c5d8bae52c3af80",
                            }
                        ],
                    }
                ],
                "schemaUrl": "https://opentelemetry.io/schemas/1.44.0",
            }
        ],
        "dictionary": {
            "mappingTable": [{}, {"filenameStrindex": 6, "attributeIndices": [1]}],
            "locationTable": [
                {},
                {"mappingIndex": 1, "lines": [{"functionIndex": 1}], "attributeIndices": [2]},
                {"address": "18", "lines": [{"functionIndex": 2}], "attributeIndices": [3]},
            ],
            "functionTable": [{}, {"nameStrindex": 8}, {"nameStrindex": 9}],
            "linkTable": [{}],
            "stringTable": [
                *("", "samples", "count", "cpu", "nanoseconds", "process.executable.build_id.gnu", KERNEL),
                *("profile.frame.type", "ksys_read", "main", "process.pid", "thread.name", "container.id", "c0ffee"),
            ],
            "attributeTable": [
                {"value": {}},
                {"keyStrindex": 5, "value": {"stringValue": "abcd"}},
                {"keyStrindex": 7, "value": {"stringValue": "kernel"}},
                {"keyStrindex": 7, "value": {"stringValue": "native"}},
                {"keyStrindex": 10, "value": {"intValue": "42"}},
                {"keyStrindex": 11, "value": {"bytesValue": "ZP9tbw=="}},
            ],
            "stackTable": [{}, {"locationIndices": [1, 2]}],
        },
    }
).encode()


def request(dictionary: dict[str, Any], *profiles: dict[str, Any], **resource: Any) -> ExportProfilesServiceRequest:
    """A request with these tables behind their zero entries."""
    zeros: dict[str, Any] = {"stringTable": ""}
    tables = {f"{name}Table": [zeros.get(f"{name}Table", {}), *entries] for name, entries in dictionary.items()}
    attributes = [{"key": name.replace("__", "."), "value": value} for name, value in resource.items()]
    found: ExportProfilesServiceRequest = json_format.ParseDict(
        {
            "resourceProfiles": [
                {"resource": {"attributes": attributes}, "scopeProfiles": [{"profiles": list(profiles)}]}
            ],
            "dictionary": tables,
        },
        ExportProfilesServiceRequest(),
    )
    return found


def read_again(*profiles: Profile, build_id: str | None = None) -> list[Profile]:
    body = encode_profiles(make_resource({"service.name": "s"}), {Scope("x", "1"): profiles}, build_id)
    through_json = parse_profiles(to_json("profiles", body))
    assert read_profiles(through_json) == read_profiles(ExportProfilesServiceRequest.FromString(body))
    return read_profiles(through_json)


@pytest.mark.parametrize("build_id", [None, "abcd"])
def test_what_we_write_is_read_as_it_was(build_id: str | None) -> None:
    profiles = [
        cpu(sample(IN_KERNEL, 7), sample(IN_LIBC, 3, pid=1), sample((), 1)),
        off_cpu(sample(IN_KERNEL, 5_000_000)),
        alloc_space(Sample(IN_LIBC, 4096, {"thread.name": "d\udcffmo", "ok": True, "x": 1.5, "many": ("a", 1)})),
    ]
    assert read_again(*profiles, build_id=build_id) == profiles


def test_modules() -> None:
    stack = (Frame("nf_hook", 0, "kernel", "[nf_conntrack]"), Frame("f", 1, "", "/bin/x"), Frame("g"))
    (profile,) = read_again(cpu(sample(stack, 1)), build_id="abcd")
    assert profile.samples[0].stack == stack


def test_what_the_collector_writes() -> None:
    (profile,) = read_profiles(parse_profiles(COLLECTOR))
    stack = (Frame("ksys_read", 0, "kernel", KERNEL), Frame("main", 18, "native"))
    attributes: Attributes = {"container.id": "c0ffee", "process.pid": 42, "thread.name": "d\udcffmo"}
    assert profile == cpu(Sample(stack, 70, attributes))


def test_samples_that_have_times_in_place_of_values() -> None:
    """As the eBPF profiler has them: of CPU profiles no values, of off-CPU profiles one for each time."""
    found = request(
        {"string": ["samples", "count"]},
        {"sampleType": {"typeStrindex": 1, "unitStrindex": 2}, "samples": [{"timestampsUnixNano": ["5", "6", "7"]}]},
        {"samples": [{"timestampsUnixNano": ["5", "6"], "values": ["10", "20"]}]},
    )
    first, second = read_profiles(found)
    assert (first.sample_type, first.samples[0].value) == (ValueType("samples", "count"), 3)
    assert second.samples[0].value == 30


def test_a_process_that_the_resource_tells_is_one_of_the_samples() -> None:
    profile = {"samples": [{"values": ["1"]}, {"values": ["2"], "attributeIndices": [1]}]}
    found = request(
        {"string": ["process.pid"], "attribute": [{"keyStrindex": 1, "value": {"intValue": "8"}}]},
        profile,
        process__pid={"intValue": "7"},
        process__executable__name={"stringValue": "redis"},
        host__name={"stringValue": "box"},
    )
    (read,) = read_profiles(found)
    assert [one.attributes for one in read.samples] == [
        {"process.pid": 7, "process.executable.name": "redis"},
        {"process.pid": 8, "process.executable.name": "redis"},
    ]


def test_inlined_functions_are_frames_before_the_one_that_holds_them() -> None:
    found = request(
        {
            "string": ["inner", "_Zouter", "/bin/x"],
            "function": [{"nameStrindex": 1}, {"systemNameStrindex": 2}],
            "mapping": [{"filenameStrindex": 3}],
            "location": [
                {"mappingIndex": 1, "address": "9", "lines": [{"functionIndex": 1}, {"functionIndex": 2}]},
                {"mappingIndex": 1, "address": "12"},
            ],
            "stack": [{"locationIndices": [1, 2]}],
        },
        {"samples": [{"stackIndex": 1, "values": ["1"]}]},
    )
    (profile,) = read_profiles(found)
    assert profile.samples[0].stack == (
        Frame("inner", 9, "", "/bin/x"),
        Frame("_Zouter", 9, "", "/bin/x"),
        Frame("", 12, "", "/bin/x"),
    )


@pytest.mark.parametrize(
    ("kind", "shown"),
    [
        ({"stringValue": "kernel"}, "kernel"),
        ({"stringValue": "native"}, "native"),
        ({"stringValue": "cpython"}, ""),
        ({"intValue": "1"}, ""),
        ({"kvlistValue": {"values": []}}, ""),
        ({"arrayValue": {"values": [{"kvlistValue": {}}]}}, ""),
    ],
)
def test_frame_types(kind: dict[str, Any], shown: str) -> None:
    found = request(
        {
            "string": ["profile.frame.type"],
            "attribute": [{"keyStrindex": 1, "value": kind}],
            "location": [{"attributeIndices": [1]}],
            "stack": [{"locationIndices": [1]}],
        },
        {"samples": [{"stackIndex": 1, "values": ["1"]}]},
    )
    (profile,) = read_profiles(found)
    assert profile.samples[0].stack[0].type == shown


def test_tables_that_are_left_out() -> None:
    (profile,) = read_profiles(request({}, {"samples": [{"values": ["4"]}], "timeUnixNano": str(START)}))
    assert profile == Profile(ValueType("", ""), None, 0, START, 0, [Sample((), 4, {})])


@pytest.mark.parametrize(
    ("dictionary", "profile", "words"),
    [
        ({}, {"samples": [{"stackIndex": 1}]}, "no stack 1"),
        ({}, {"samples": [{"stackIndex": -1}]}, "no stack -1"),
        ({}, {"samples": [{"attributeIndices": [3]}]}, "no attribute 3"),
        ({"string": ["a"]}, {"sampleType": {"typeStrindex": 2}}, "no string 2"),
        ({"stack": [{"locationIndices": [9]}]}, {"samples": [{"stackIndex": 1}]}, "no location 9"),
        ({"location": [{"mappingIndex": 5}], "stack": [{}]}, {"samples": [{"stackIndex": 1}]}, "no mapping 5"),
    ],
)
def test_what_is_not_in_the_dictionary(dictionary: dict[str, Any], profile: dict[str, Any], words: str) -> None:
    if "location" in dictionary:
        dictionary["stack"] = [{"locationIndices": [1]}]
    with pytest.raises(ValueError, match=words):
        read_profiles(request(dictionary, profile))


@pytest.mark.parametrize(
    "line", [b"", b"{", b"\xff", b'{"resourceProfiles": 1}', b'{"dictionary": {"stringTable": [1]}}']
)
def test_what_is_no_otlp(line: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - it is whatever protobuf says
        parse_profiles(line)


def test_what_a_newer_version_has_is_passed_over() -> None:
    assert read_profiles(parse_profiles(b'{"resourceProfiles": [], "somethingNew": [{"a": 1}]}')) == []


@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], deadline=None)
@given(messages(ExportProfilesServiceRequest))
def test_whatever_it_is_it_is_read_or_refused(message: ExportProfilesServiceRequest) -> None:
    with contextlib.suppress(ValueError):
        read_profiles(message)
