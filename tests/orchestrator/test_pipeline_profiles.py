"""What real bpftrace printed for `cpu` while a program used 1.60 s of CPU time, through the whole pipeline."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise

import pytest

from orchestrator.catalog import Signal, load_signal
from orchestrator.limits import Limits
from orchestrator.pipeline import OWN_SCOPE, Pipeline
from orchestrator.signals.clock import Moment
from orchestrator.signals.model import Profile, ValueType
from parsers.stream import OutputStream
from tests.orchestrator.collecting import Collected, folded, values
from tests.parsers.feeding import DATA

VERSIONS = ["0.17", "0.23", "0.27"]
LIMITS = Limits(string=200, map_keys=16384, pages=64)
OFFSET = 1_700_000_000_000_000_000
NOW = Moment(unix=OFFSET, offset=OFFSET)
HZ, CPU_SECONDS = 99, 1.60
# Told to end while it printed a map, 0.23 did not empty it any more: it stands in the output twice.
PRINTED_TWICE = {"0.23": 59}

Lines = list[bytes]


def recorded(version: str) -> Lines:
    return (DATA / "cpu" / f"{version}.txt").read_bytes().splitlines()


def signal() -> Signal:
    return load_signal("cpu").resolved({"hz": HZ})


def run(data: bytes, signals: Sequence[Signal] | None = None, *, chunk: int = 1 << 20) -> tuple[Pipeline, Collected]:
    sink = Collected()
    pipeline = Pipeline(signals or [signal()], LIMITS, sink)
    stream = OutputStream()
    for start in range(0, len(data), chunk):
        pipeline.feed(stream.feed(data[start : start + chunk]), NOW)
    pipeline.feed(stream.close(), NOW)
    pipeline.close()
    return pipeline, sink


def joined(lines: Lines) -> bytes:
    return b"".join(line + b"\n" for line in lines)


def marks(lines: Lines, what: str) -> list[int]:
    pattern = re.compile(rb'\["orchestrator","%s",(\d+)\]' % what.encode())
    return [OFFSET + int(match[1]) for line in lines if (match := pattern.search(line))]


def printed(lines: Lines) -> int:
    """All samples of all prints, as Python's own JSON parser reads them: of keys that come twice it gives both."""
    maps = [dict(json.loads(line, object_pairs_hook=list)) for line in lines if b'"@cpu_stacks' in line]
    return sum(count for found in maps for _, entries in found["data"] for _, count in entries)


def samples(sink: Collected) -> Counter[str]:
    found: Counter[str] = Counter()
    for _, profile in sink.profiles:
        found.update(folded(profile))
    return found


def windows(sink: Collected) -> list[tuple[int, int]]:
    return [(profile.time_unix_nano, profile.time_unix_nano + profile.duration_nano) for profile in profiles_of(sink)]


def profiles_of(sink: Collected) -> list[Profile]:
    return [profile for _, profile in sink.profiles]


def cuts(lines: Lines) -> Iterator[bytes]:
    """Every beginning: after each line, and in the middle of each."""
    for index, line in enumerate(lines):
        before = joined(lines[:index])
        yield before
        yield before + line[: len(line) // 2]


@pytest.fixture(params=VERSIONS)
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def lines(version: str) -> Lines:
    return recorded(version)


def test_all_samples_arrive_once(version: str, lines: Lines) -> None:
    pipeline, sink = run(joined(lines))
    total = sum(samples(sink).values())
    assert total == printed(lines) - PRINTED_TWICE.get(version, 0)
    assert total == pytest.approx(HZ * CPU_SECONDS, abs=4)
    assert pipeline.ended
    assert (pipeline.stream.unparsed, pipeline.stream.unknown, pipeline.stream.unread_entries) == (0, 0, 0)
    assert pipeline.stream.problems == {}
    assert {scope for scope, _ in sink.profiles} == {"bpftrace-orchestrator/cpu"}


def test_the_stacks_are_those_of_the_program(lines: Lines) -> None:
    """70 % of its time it is in hot(), 30 % in warm(); both are called by main()."""
    _, sink = run(joined(lines))
    found = samples(sink)
    total = sum(found.values())
    share = {
        name: sum(count for stack, count in found.items() if name in stack.split(";")) / total
        for name in ("main", "hot", "warm")
    }
    assert share["main"] == pytest.approx(1, abs=0.02)
    assert share["hot"] == pytest.approx(0.7, abs=0.1)
    assert share["warm"] == pytest.approx(0.3, abs=0.1)
    frames = {frame for profile in profiles_of(sink) for sample in profile.samples for frame in sample.stack}
    kinds = {frame.name: frame.type for frame in frames}
    assert (kinds["main"], kinds["do_syscall_64"]) == ("native", "kernel")
    attributes = {tuple(sample.attributes) for profile in profiles_of(sink) for sample in profile.samples}
    assert attributes == {("thread.name", "process.pid")}


def test_a_profile_says_what_was_sampled_and_how_often(lines: Lines) -> None:
    for profile in profiles_of(run(joined(lines))[1]):
        assert (profile.sample_type, profile.period_type) == (
            ValueType("samples", "count"),
            ValueType("cpu", "nanoseconds"),
        )
        assert profile.period == 10_101_010  # 1e9 / 99


def test_windows_follow_each_other_from_the_beginning_to_the_end(lines: Lines) -> None:
    found = windows(run(joined(lines))[1])
    assert len(found) > 2
    assert (found[0][0], found[-1][1]) == (marks(lines, "begin")[0], marks(lines, "end")[0])
    assert all(before[1] == after[0] for before, after in pairwise(found))
    # A map is printed long after its turn was over: the window ends where the turn did.
    assert {end for _, end in found[:-1]} <= set(marks(lines, "turn"))


def test_the_size_of_chunks_makes_no_difference(lines: Lines) -> None:
    assert run(joined(lines), chunk=997)[1].profiles == run(joined(lines))[1].profiles


def test_what_is_left_of_both_maps_at_the_end_is_one_profile() -> None:
    """bpftrace was told to end before it did what it was asked for: neither printed nor emptied one of them."""
    lines = recorded("0.23")
    (end,) = [index for index, line in enumerate(lines) if b'"end"' in line]
    assert b'"@cpu_stacks"' in lines[end - 1]
    del lines[end - 1]
    _, sink = run(joined(lines))
    assert sum(samples(sink).values()) == printed(lines)
    last = profiles_of(sink)[-1]
    assert sum(sample.value for sample in last.samples) == 59 + 28
    assert windows(sink)[-1] == (marks(lines, "turn")[-2], marks(lines, "end")[0])


def test_a_map_that_was_emptied_and_filled_again_counts_though_nobody_told_of_its_turn() -> None:
    """The mark of the last turn may be lost when bpftrace is told to end; that printing was over tells it, too."""
    lines = recorded("0.17")
    last = max(index for index, line in enumerate(lines) if b'"turn",' in line)
    assert lines[last + 1].startswith(b'{"type": "value", "data": ["orchestrator","end"')
    again = [line.replace(b'"@cpu_stacks": {', b'"@cpu_stacks_b": {') for line in lines[last + 2 :]]
    found = [*lines[:last], lines[last + 1], *again]
    _, sink = run(joined(found))
    assert sum(samples(sink).values()) == printed(found)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_bpftrace_that_was_killed_invents_nothing(version: str) -> None:
    lines = recorded(version)
    whole = samples(run(joined(lines))[1])
    begin, end = marks(lines, "begin")[0], marks(lines, "end")[0]
    for data in cuts(lines):
        pipeline, sink = run(data)
        found = samples(sink)
        assert all(count <= whole[stack] for stack, count in found.items()), data[-80:]
        assert pipeline.stream.unparsed <= 1
        assert all(before[1] == after[0] for before, after in pairwise(windows(sink)))
        assert all(begin <= start < until <= end for start, until in windows(sink))


def test_what_was_printed_before_it_was_killed_is_kept(lines: Lines) -> None:
    (end,) = [index for index, line in enumerate(lines) if b'"end"' in line]
    _, sink = run(joined(lines[:end]))
    assert sum(samples(sink).values()) == printed(lines[:end])


def test_a_key_of_another_shape_is_counted(lines: Lines) -> None:
    data = joined(lines)
    pipeline, sink = run(data.replace(b",burner,", b",burner;", 1))
    assert pipeline.stream.unread_entries == 1
    assert sum(samples(sink).values()) == sum(samples(run(data)[1]).values()) - 1


def test_garbage_between_lines_costs_nothing_else(lines: Lines) -> None:
    dirty, sink = run(joined([part for line in lines for part in (b"output of a child", line)]))
    assert dirty.stream.unparsed == len(lines)
    assert sink.profiles == run(joined(lines))[1].profiles


def test_our_own_metrics_tell_which_stacks_are_not_whole(lines: Lines) -> None:
    """A libc without symbols is one address a stack."""
    pipeline, sink = run(joined(lines))
    stacks = pipeline.stream.stacks
    assert stacks.stacks == sum(len(profile.samples) for profile in profiles_of(sink))
    nameless = [
        sample
        for profile in profiles_of(sink)
        for sample in profile.samples
        if any(not frame.name for frame in sample.stack)
    ]
    assert 0 < len(nameless) <= stacks.stacks
    own = sink.snapshots[-1][OWN_SCOPE.name]["ebpf_stacks_incomplete_total"]
    assert values(own, "ebpf.stack.state") == {("unresolved",): len(nameless), ("truncated",): 0, ("missing",): 0}


def test_other_signals_of_the_same_process_lose_nothing(lines: Lines) -> None:
    alone = run(joined(lines))[1]
    _, both = run(joined(lines), [load_signal("exec"), signal()])
    assert both.profiles == alone.profiles
