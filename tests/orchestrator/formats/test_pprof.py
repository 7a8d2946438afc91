from __future__ import annotations

import gzip
from typing import Any

import pytest

from orchestrator.formats.pprof import to_pprof
from orchestrator.signals.model import KERNEL, AttributeValue, Frame, Profile, Sample, ValueType
from tests.orchestrator.formats.made import (
    IN_KERNEL,
    IN_LIBC,
    MAIN,
    PERIOD,
    SECOND,
    START,
    alloc_space,
    cpu,
    off_cpu,
    sample,
)
from tests.orchestrator.formats.reading import labels, parse_pprof, stack, types


def read(*profiles: Profile) -> Any:
    return parse_pprof(to_pprof(profiles))


def text(profile: Any, number: int) -> str:
    found: str = profile.string_table[number]
    return found


def test_a_cpu_profile_has_the_columns_of_go() -> None:
    found = read(cpu(sample(IN_KERNEL, 7), sample(IN_LIBC, 3)))
    assert types(found) == ["samples/count", "cpu/nanoseconds"]
    assert [list(one.value) for one in found.sample] == [[7, 7 * PERIOD], [3, 3 * PERIOD]]
    assert (text(found, found.period_type.type), text(found, found.period_type.unit)) == ("cpu", "nanoseconds")
    assert found.period == PERIOD
    assert text(found, found.default_sample_type) == "cpu"
    assert (found.time_nanos, found.duration_nanos) == (START, 10 * SECOND)


def test_cpu_time_is_right_where_the_rate_has_changed() -> None:
    found = read(cpu(sample(IN_KERNEL, 7)), cpu(sample(IN_KERNEL, 1), period=PERIOD * 10, start=START + 60 * SECOND))
    assert [list(one.value) for one in found.sample] == [[8, 17 * PERIOD]]
    assert found.duration_nanos == 20 * SECOND


def test_each_type_has_a_column() -> None:
    found = read(off_cpu(sample(IN_KERNEL, 5)), alloc_space(sample(IN_KERNEL, 6), sample(IN_KERNEL, 8, pid=1)))
    assert types(found) == ["off_cpu/nanoseconds", "alloc_space/bytes"]
    assert [list(one.value) for one in found.sample] == [[5, 6], [0, 8]]
    assert text(found, found.default_sample_type) == "alloc_space"
    assert (text(found, found.period_type.type), found.period) == ("memory", 1)


def test_the_period_is_that_of_the_cpu_where_there_are_several() -> None:
    found = read(alloc_space(sample(IN_KERNEL, 6)), cpu(sample(IN_KERNEL, 1)))
    assert types(found) == ["alloc_space/bytes", "samples/count", "cpu/nanoseconds"]
    assert (text(found, found.period_type.type), found.period) == ("cpu", PERIOD)
    assert text(found, found.default_sample_type) == "cpu"


def test_other_samples_are_not_added_to_those_of_the_cpu() -> None:
    other = Profile(ValueType("samples", "count"), None, 0, START, SECOND, [sample(IN_KERNEL, 3)])
    found = read(cpu(sample(IN_KERNEL, 1)), other)
    assert types(found) == ["samples/count", "cpu/nanoseconds", "samples/count"]
    assert [list(one.value) for one in found.sample] == [[1, PERIOD, 3]]


def test_stacks_are_leaf_first_and_every_frame_has_a_function() -> None:
    found = read(cpu(sample(IN_KERNEL, 1), sample(IN_LIBC, 1)))
    assert [stack(found, one) for one in found.sample] == [
        ("main", "read", "do_syscall_64", "ksys_read"),
        ("main", "0x7f34", "0x7f12"),
    ]
    assert [one.address for one in found.location if one.address] == [0x7F12, 0x7F34]
    numbers = [one.id for one in found.location]
    assert numbers == list(range(1, 7))


def test_mappings() -> None:
    found = read(cpu(sample(IN_KERNEL, 1), sample(IN_LIBC, 1)))
    files = {one.id: text(found, one.filename) for one in found.mapping}
    assert sorted(files.values()) == ["/usr/lib/libc.so.6", KERNEL]
    assert all(one.has_functions for one in found.mapping)
    by_name = {text(found, found.function[one.line[0].function_id - 1].name): one for one in found.location}
    assert files[by_name["ksys_read"].mapping_id] == KERNEL
    assert files[by_name["0x7f12"].mapping_id] == "/usr/lib/libc.so.6"
    assert by_name["main"].mapping_id == 0


def test_labels() -> None:
    attributes: dict[str, AttributeValue] = {
        "process.pid": 42,
        "thread.id": 43,
        "thread.name": "a\udcff\n",
        "cpu.logical_number": 0,
        "ok": True,
        "ratio": 0.5,
        "parts": ["a", 1],
        "big": 1 << 63,
    }
    found = read(cpu(Sample((MAIN,), 1, attributes)))
    assert labels(found, found.sample[0]) == {
        "pid": 42,
        "tid": 43,
        "comm": "a\\xff\\n",
        "cpu.logical_number": 0,
        "ok": "true",
        "ratio": "0.5",
        "parts": "['a', 1]",
        "big": "9223372036854775808",
    }


def test_a_label_of_zero_has_a_unit() -> None:
    """Without one it is no label to pprof (profile/encode.go, postDecode)."""
    found = read(cpu(sample((MAIN,), 1, pid=0)))
    units = {text(found, one.key): text(found, one.num_unit) for one in found.sample[0].label}
    assert units == {"pid": "pid", "comm": ""}


def test_a_value_without_a_stack_is_kept() -> None:
    found = read(cpu(Sample((), 3, {})))
    assert [stack(found, one) for one in found.sample] == [("[unknown]",)]


def test_numbers_too_large_for_pprof_are_its_largest() -> None:
    largest = (1 << 63) - 1
    found = read(cpu(sample((Frame("", (1 << 64) - 1),), largest), start=(1 << 64) - 1, duration=1 << 64))
    assert list(found.sample[0].value) == [largest, largest]
    assert (found.time_nanos, found.duration_nanos) == (largest, largest)
    assert stack(found, found.sample[0]) == ("0xffffffffffffffff",)


def test_the_same_profiles_are_the_same_bytes() -> None:
    profiles = [cpu(sample(IN_KERNEL, 1)), off_cpu(sample(IN_LIBC, 2))]
    assert to_pprof(profiles) == to_pprof(profiles)
    assert gzip.decompress(to_pprof(profiles))


@pytest.mark.parametrize("table", ["string_table", "function", "mapping", "location"])
def test_things_stand_in_their_tables_once(table: str) -> None:
    found = read(cpu(sample(IN_KERNEL, 1), sample(IN_LIBC, 1), sample(IN_KERNEL[1:], 1)), off_cpu(sample(IN_LIBC, 2)))
    entries = [str(entry).partition("\n")[2] or str(entry) for entry in getattr(found, table)]
    assert len(entries) == len(set(entries))
    assert found.string_table[0] == ""
