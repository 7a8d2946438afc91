from __future__ import annotations

import pytest

from orchestrator.formats.merge import Kind, Merger, Window, identity, union
from orchestrator.signals.model import AttributeValue, Profile, Sample
from tests.orchestrator.formats.made import (
    CPU,
    IN_KERNEL,
    IN_LIBC,
    OFF_CPU,
    SAMPLES,
    SECOND,
    START,
    cpu,
    off_cpu,
    sample,
)


def merged(*profiles: Profile) -> list[Profile]:
    merger = Merger()
    for profile in profiles:
        merger.add([profile])
    return list(merger.profiles())


def test_windows_are_added_up_by_stack_and_attributes() -> None:
    first = cpu(sample(IN_KERNEL, 3), sample(IN_LIBC, 4))
    second = cpu(sample(IN_KERNEL, 10), sample(IN_KERNEL, 20, pid=7), start=START + 10 * SECOND)
    (one,) = merged(first, second)
    assert one.samples == [sample(IN_KERNEL, 13), sample(IN_LIBC, 4), sample(IN_KERNEL, 20, pid=7)]
    assert (one.time_unix_nano, one.duration_nano) == (START, 20 * SECOND)


def test_the_order_of_attributes_does_not_matter() -> None:
    (one,) = merged(cpu(Sample(IN_KERNEL, 1, {"a": 1, "b": 2}), Sample(IN_KERNEL, 1, {"b": 2, "a": 1})))
    assert [found.value for found in one.samples] == [2]


def test_values_that_python_takes_for_equal_are_not() -> None:
    values: list[AttributeValue] = [1, True, 1.0, "1", [1], ["1"], {"a": 1}]
    assert len({identity({"a": value}) for value in values}) == len(values)


def test_the_time_between_windows_is_not_counted() -> None:
    (one,) = merged(cpu(sample(IN_KERNEL, 1)), cpu(sample(IN_KERNEL, 1), start=START + 600 * SECOND))
    assert (one.time_unix_nano, one.duration_nano) == (START, 20 * SECOND)


def test_the_time_of_two_programs_is_not_counted_twice() -> None:
    (one,) = merged(cpu(sample(IN_KERNEL, 1)), cpu(sample(IN_KERNEL, 1), start=START + 5 * SECOND))
    assert one.duration_nano == 15 * SECOND


def test_other_types_and_periods_stay_apart() -> None:
    found = merged(
        cpu(sample(IN_KERNEL, 1)), off_cpu(sample(IN_KERNEL, 2)), cpu(sample(IN_KERNEL, 4), period=1), cpu(start=1)
    )
    assert [(one.sample_type, one.period, one.samples[0].value) for one in found] == [
        (SAMPLES, 10_000_000, 1),
        (OFF_CPU, 0, 2),
        (SAMPLES, 1, 4),
    ]


def test_a_kind_without_samples_is_none() -> None:
    assert merged(cpu(), off_cpu()) == []


def test_the_name_of_a_kind() -> None:
    assert Kind(SAMPLES, CPU).name == "samples:count:cpu:nanoseconds"
    assert Kind(OFF_CPU, None).name == "off_cpu:nanoseconds"


@pytest.mark.parametrize(
    ("windows", "joined"),
    [
        ([], []),
        ([(5, 6), (1, 2)], [(1, 2), (5, 6)]),
        ([(1, 2), (2, 3)], [(1, 3)]),
        ([(1, 9), (2, 3), (8, 12)], [(1, 12)]),
    ],
)
def test_union(windows: list[tuple[int, int]], joined: list[tuple[int, int]]) -> None:
    assert union(Window(*window) for window in windows) == [Window(*window) for window in joined]
