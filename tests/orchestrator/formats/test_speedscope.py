from __future__ import annotations

import json
from typing import Any

import pytest

from orchestrator.formats.speedscope import to_speedscope
from orchestrator.signals.model import KERNEL, Frame, Profile, Sample, ValueType
from tests.orchestrator.formats.made import IN_KERNEL, IN_LIBC, LIBC, MAIN, START, alloc_space, cpu, off_cpu, sample


def read(*profiles: Profile) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(to_speedscope(profiles, "capture.jsonl", "us@1"))
    return document


def test_the_file() -> None:
    found = read(cpu(sample(IN_KERNEL, 7), sample(IN_LIBC, 5)))
    assert {name: found[name] for name in found if name not in ("profiles", "shared")} == {
        "$schema": "https://www.speedscope.app/file-format-schema.json",
        "exporter": "us@1",
        "name": "capture.jsonl",
        "activeProfileIndex": 0,
    }
    frames = found["shared"]["frames"]
    assert {"name": "ksys_read", "file": KERNEL} in frames
    assert {"name": "0x7f12", "file": "/usr/lib/libc.so.6"} in frames
    assert {"name": "demo"} in frames
    (profile,) = found["profiles"]
    paths = [[frames[number]["name"] for number in path] for path in profile.pop("samples")]
    assert paths == [["demo", "main", "0x7f34", "0x7f12"], ["demo", "main", "read", "do_syscall_64", "ksys_read"]]
    assert profile == {
        "type": "sampled",
        "name": "samples (cpu)",
        "unit": "none",
        "startValue": 0,
        "endValue": 12,
        "weights": [5, 7],
    }


def test_one_profile_for_each_type_and_one_table_of_frames() -> None:
    found = read(cpu(sample(IN_KERNEL, 1)), off_cpu(sample(IN_KERNEL, 2)), alloc_space(sample(IN_LIBC, 3)))
    assert [(one["name"], one["unit"], one["endValue"]) for one in found["profiles"]] == [
        ("samples (cpu)", "none", 1),
        ("off_cpu", "nanoseconds", 2),
        ("alloc_space (memory)", "bytes", 3),
    ]
    assert len(found["shared"]["frames"]) == 1 + len({*IN_KERNEL, *IN_LIBC})


@pytest.mark.parametrize(("unit", "shown"), [("seconds", "seconds"), ("microseconds", "microseconds"), ("By", "none")])
def test_units(unit: str, shown: str) -> None:
    assert read(Profile(ValueType("t", unit), None, 0, START, 1, []))["profiles"][0]["unit"] == shown


def test_stacks_of_several_processes_are_one() -> None:
    (profile,) = read(cpu(sample((MAIN,), 1, pid=1), sample((MAIN,), 2, pid=2)))["profiles"]
    assert profile["weights"] == [3]


def test_a_name_in_the_kernel_is_another_frame() -> None:
    found = read(cpu(sample((Frame("read", 0, "kernel", KERNEL), LIBC), 1)))
    assert found["shared"]["frames"][1:] == [{"name": "read"}, {"name": "read", "file": KERNEL}]


def test_a_value_without_a_stack_is_kept() -> None:
    found = read(cpu(Sample((), 3, {})))
    assert found["shared"]["frames"] == [{"name": "[unknown]"}]
    assert found["profiles"][0]["weights"] == [3]


def test_names_that_are_no_text() -> None:
    found = read(cpu(sample((Frame("a\udcff;\n"),), 1)))
    assert found["shared"]["frames"][1] == {"name": "a\\xff;\\n"}


def test_names_that_are_no_utf_8() -> None:
    strange = Profile(ValueType("caf\udce9", "x"), None, 0, START, 1, [sample((Frame("f", module="/caf\udce9"),), 1)])
    document = json.loads(to_speedscope([strange], "caf\udce9.jsonl", "us@1"))
    assert document["name"] == r"caf\xe9.jsonl"
    assert document["profiles"][0]["name"] == r"caf\xe9"
    assert {"name": "f", "file": r"/caf\xe9"} in document["shared"]["frames"]
