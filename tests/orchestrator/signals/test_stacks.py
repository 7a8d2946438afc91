from __future__ import annotations

import pytest

from config.manifest import Key, StackMap, StackProfile
from orchestrator.signals.model import KERNEL, Frame, Profile, ValueType
from orchestrator.signals.stacks import UNKNOWN_STACKS, StackCounts, StackReader, has_stacks
from parsers.records import Bucket, Entry, Hist, Map, Stats
from parsers.stream import OutputStream
from tests.orchestrator.collecting import folded
from tests.parsers.feeding import DATA
from tests.tools.profile_rules import check_profile

CPU = StackProfile(type="samples", unit="count", period_type="cpu", period_unit="nanoseconds", frequency=99)
EVENTS = StackProfile(type="events", unit="count")
BYTES = StackProfile(
    type="alloc_space", unit="bytes", value="total", period_type="memory", period_unit="bytes", period=1
)
BOTH = StackMap(
    keys=[
        Key(type="kstack"),
        Key(type="ustack"),
        Key(attribute="thread.name", type="string"),
        Key(attribute="process.pid"),
    ],
    profiles=[CPU],
)
USER = StackMap(keys=[Key(type="ustack")], profiles=[EVENTS], depth=3)


class CheckedReader(StackReader):
    """All that leaves it keeps the rules."""

    def take(self, start: int, end: int) -> list[Profile]:
        profiles = super().take(start, end)
        for profile in profiles:
            check_profile(profile)
        return profiles


def reader(rule: StackMap = BOTH, counts: StackCounts | None = None, *, lenient: bool = False) -> StackReader:
    return CheckedReader(rule, counts or StackCounts(), lenient=lenient)


@pytest.mark.parametrize(
    "key",
    [
        "\n    schedule+5\n    read+9\n,\n    f+1\n    main+2\n,a, b,42",  # 0.17
        "\nschedule+5\nread+9\n,\nf+1\nmain+2\n,a, b,42",  # 0.27
        "\\n    schedule+5\\n    read+9\\n,\\n    f+1\\n    main+2\\n,a, b,42",  # 0.23 where its version is not known
    ],
)
def test_the_kernels_frames_are_the_leaf_side(key: str) -> None:
    here = reader()
    assert here.read(Map("c", (Entry(key, 7),))) == 0
    (profile,) = here.take(100, 300)
    (sample,) = profile.samples
    assert sample.stack == (
        Frame("schedule", 0, "kernel", KERNEL),
        Frame("read", 0, "kernel", KERNEL),
        Frame("f", 0, "native"),
        Frame("main", 0, "native"),
    )
    assert sample.attributes == {"thread.name": "a, b", "process.pid": 42}
    assert profile.period_type == ValueType("cpu", "nanoseconds")
    assert profile.period == 10_101_010  # 1e9 / 99
    assert (profile.time_unix_nano, profile.duration_nano) == (100, 200)


@pytest.mark.parametrize("key", [",,sh,1", "\n,\n,sh,1"])  # 0.17, 0.23 and later
def test_a_sample_can_have_no_stack(key: str) -> None:
    counts = StackCounts()
    here = reader(counts=counts)
    here.read(Map("c", (Entry(key, 7),)))
    (profile,) = here.take(1, 2)
    assert [(sample.stack, sample.value) for sample in profile.samples] == [((), 7)]
    assert counts.missing == 1


def test_the_same_stack_is_added_up_wherever_it_comes_from() -> None:
    here = reader(USER)
    # Twice in one print (of two processes, or at two instructions of a function), and in the print of its twin.
    here.read(Map("c", (Entry("\n    f+1\n    main+2\n", 3), Entry("\n    f+1\n    main+2\n", 4))))
    here.read(Map("c_b", (Entry("\n    f+9\n    main+2\n", 5), Entry("\n    g+1\n", 1))))
    (profile,) = here.take(1, 2)
    assert folded(profile) == {"main;f": 12, "g": 1}
    assert len(profile.samples) == 2
    assert here.take(2, 3) == []


def test_windows_follow_each_other() -> None:
    here = reader(USER)
    windows = []
    for start, end in ((100, 200), (100, 350)):
        here.read(Map("c", (Entry("\n    f+1\n", 1),)))
        (profile,) = here.take(start, end)
        windows.append((profile.time_unix_nano, profile.duration_nano))
    assert windows == [(100, 100), (200, 150)]


def test_stats_are_two_profiles() -> None:
    here = reader(StackMap(keys=[Key(type="ustack")], profiles=[EVENTS, BYTES]))
    here.read(Stats("a", (Entry("\n    f+1\n", {"count": 3, "average": 10, "total": 30}),)))
    here.read(Stats("a", (Entry("\n    f+1\n", {"count": 1, "average": 12, "total": 12}),)))
    counts, totals = here.take(1, 2)
    assert (counts.sample_type, folded(counts)) == (ValueType("events", "count"), {"f": 4})
    assert (totals.sample_type, folded(totals)) == (ValueType("alloc_space", "bytes"), {"f": 42})


def test_a_histogram_counts_its_values() -> None:
    here = reader(USER)
    here.read(Hist("h", (("\n    f+1\n", (Bucket(0, 1, 2), Bucket(2, 3, 5))),)))
    assert [folded(profile) for profile in here.take(1, 2)] == [{"f": 7}]


def test_amounts_are_scaled_to_their_unit() -> None:
    rule = StackProfile(type="off_cpu", unit="nanoseconds", scale="1000")
    here = reader(StackMap(keys=[Key(type="kstack")], profiles=[rule]))
    here.read(Map("us", (Entry("\n    f+1\n", 7),)))
    assert [folded(profile) for profile in here.take(1, 2)] == [{"f": 7000}]


def test_what_cannot_be_read_is_counted_and_costs_nothing_else() -> None:
    here = reader()
    entries = (Entry("no stack", 1), Entry("\n,\n,sh,1", "text"), Entry("\n,\n,sh,1", 5), Entry(None, 5))
    assert here.read(Map("c", entries)) == 3
    assert [sample.value for profile in here.take(1, 2) for sample in profile.samples] == [5]


def test_incomplete_stacks_are_counted() -> None:
    counts = StackCounts()
    here = reader(USER, counts)
    here.read(
        Map(
            "c", (Entry("\n    a+1\n    0x55\n", 9), Entry("\n    a+1\n    b+1\n    c+1\n", 9), Entry("\n    a+1\n", 9))
        )
    )
    here.take(1, 2)
    assert counts == StackCounts(stacks=3, unresolved=1, truncated=1)


def test_a_later_print_holds_all_of_an_earlier_one_unless_it_is_less() -> None:
    here = reader(USER)
    for amounts in ((3, 1), (9, 2), (9, 0)):  # the last one is print(@m, 1)
        entries = tuple(
            Entry(f"\n    {name}+1\n", amount) for name, amount in zip("fg", amounts, strict=True) if amount
        )
        here.replace(Map("c", entries))
    assert [folded(profile) for profile in here.take(1, 2)] == [{"f": 9, "g": 2}]


@pytest.mark.parametrize(
    ("key", "stack", "rest"),
    [
        ("\n    f+1\n", {"f": ""}, {}),
        ("\n    f+1\n,sh,1", {"f": ""}, {"ebpf.key": "sh,1"}),
        ("\n    k+1\n,\n    f+1\n,sh,1", {"k": "kernel", "f": "native"}, {"ebpf.key": "sh,1"}),
        (",\n    f+1\n,sh,1", {"f": "native"}, {"ebpf.key": "sh,1"}),
    ],
)
def test_a_map_of_an_unknown_program(key: str, stack: dict[str, str], rest: dict[str, str]) -> None:
    record = Map("m", (Entry(key, 2),))
    assert has_stacks(record)
    here = reader(UNKNOWN_STACKS, lenient=True)
    assert here.read(record) == 0
    (profile,) = here.take(1, 2)
    (sample,) = profile.samples
    assert ({frame.name: frame.type for frame in sample.stack}, sample.attributes) == (stack, rest)


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("f,\n    malloc+0\n    main+20\n,a,b,1", "main;f;malloc"),
        ("f,\nmalloc+0\nf+9\nmain+20\n,sh,1", "main;f;malloc"),  # Linux 6.11 and later
        ("A::f(int, B),\nmalloc+0\nmain+20\n,sh,1", "main;A::f(int, B);malloc"),
        ("0x55d0c0de,\nmalloc+0\n,sh,1", "0x55d0c0de;malloc"),
        ("f,,sh,1", "f"),
    ],
)
def test_the_caller_that_a_stack_leaves_out(key: str, expected: str) -> None:
    keys = [Key(type="caller"), Key(type="ustack"), Key(attribute="thread.name", type="string"), Key(attribute="p")]
    here = reader(StackMap(keys=keys, profiles=[EVENTS]))
    assert here.read(Map("m", (Entry(key, 2),))) == 0
    assert [folded(profile) for profile in here.take(1, 2)] == [{expected: 2}]


def test_what_looks_like_no_stack_is_none() -> None:
    assert not has_stacks(Map("m", (Entry("a\nb", 1), Entry(None, 1), Entry("sh", 1))))


CPP_AND_RUST = {
    "n::A::operator,(n::A const&)",
    "n::A::operator()(int, char) const",
    "n::A::operator<(n::A const&) const",
    "(anonymous namespace)::hidden(unsigned long long, char const*)",
    "std::_Function_handler<int (int, int), main::{lambda(int, int)#1}>"
    "::_M_invoke(std::_Any_data const&, int&&, int&&)",
    "names::main::_$u7b$$u7b$closure$u7d$$u7d$::ha0e70d0d16bfba74",
}


@pytest.mark.parametrize("version", [(0, 17), (0, 23), (0, 27)])
def test_names_of_functions_and_processes_stay_whole(version: tuple[int, int]) -> None:
    """What bpftrace printed of a C++ and a Rust program, and of one with a comma, quotes and a newline in its name."""
    comm, names = 'a,b "c"\\ \nd', CPP_AND_RUST
    if version == (0, 27):  # it leaves blanks out of keys
        comm, names = comm.replace(" ", ""), {name.replace(" ", "") for name in names}
    here = reader()
    text = (DATA / "names" / f"0.{version[1]}.json").read_bytes()
    stream = OutputStream(version=version)
    for record in [*stream.feed(text), *stream.close()]:
        assert isinstance(record, Map)
        assert here.read(record) == 0
    (profile,) = here.take(1, 2)
    assert {sample.attributes["thread.name"] for sample in profile.samples} == {comm, "names", "names-rust"}
    assert names <= {frame.name for sample in profile.samples for frame in sample.stack}
