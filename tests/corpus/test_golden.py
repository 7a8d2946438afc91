"""What some programs mean, said by hand, is what their output becomes: in all versions and both formats."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from orchestrator.signals.model import NumberPoint
from tests.corpus.differences import (
    MID,
    NEW,
    OLD,
    Repair,
    bodies_only,
    both,
    folded_above,
    unnamed,
    without_attribute,
    without_blanks,
    without_events,
    without_metric,
    without_parentheses,
    without_unresolved_stacks,
    words_as_numbers,
)
from tests.corpus.reading import (
    FORMATS,
    VERSIONS,
    Event,
    Format,
    Point,
    Series,
    Stack,
    Telemetry,
    Value,
    fed,
    ran,
    telemetry,
)


def series(name: str, instrument: str, points: Sequence[tuple[Mapping[str, Value], Point]], unit: str = "1") -> Series:
    found = ((tuple(sorted(attributes.items())), point) for attributes, point in points)
    return Series(name, instrument, unit, tuple(sorted(found, key=repr)))


def number(name: str, instrument: str, value: float) -> Series:
    return series(name, instrument, [({}, value)])


def totals(count: int, total: float) -> Point:
    """What stats() keeps: no bounds, a count and a sum."""
    return (), (count,), total


def buckets(bounds: Sequence[int], values: Sequence[int]) -> Point:
    """The values counted by the first bound that is not below them."""
    counts = [0] * (len(bounds) + 1)
    for value in values:
        counts[sum(bound < value for bound in bounds)] += 1
    return tuple(map(float, bounds)), tuple(counts), None


def event(name: str, body: str, attributes: Mapping[str, Value] | None = None) -> Event:
    return Event(name, body, tuple(sorted((attributes or {}).items())))


@dataclass(frozen=True)
class Golden:
    """``but``: what bpftrace's output does not tell, by version and format, is taken off both sides."""

    events: Sequence[Event] = ()
    metrics: Sequence[Series] = ()
    stacks: Sequence[Stack] = ()
    but: Mapping[tuple[str, Format], Repair] = field(default_factory=dict)

    def telemetry(self) -> Telemetry:
        metrics = sorted(self.metrics, key=lambda metric: metric.name)
        return Telemetry(tuple(self.events), tuple(metrics), tuple(sorted(self.stacks, key=repr)))


def in_all(
    *repairs: Repair, versions: Sequence[str] = VERSIONS, kinds: Sequence[Format] = FORMATS
) -> dict[tuple[str, Format], Repair]:
    return {(version, kind): both(*repairs) for version in versions for kind in kinds}


# hist() counts [2^k, 2^(k+1) - 1]; below that 1, 0 and all that is negative.
LOG2 = [-1, 0, *(2**power - 1 for power in range(1, 64))]

# Names that a workload gave itself, one after the other.
COMMS = [
    "a,b",
    'q"uo\\te',
    "nl\nx",
    "c\x01\x1f\x7ftl",
    "tab\tcr\r",
    "\udcff\udcfe\udc80bad",
    "é€",
    "日本語",
    "cut\udce2\udc82",
    " lead trail ",
    "(par)",
    "[x]: 1",
    '{"a":1}',
    "fifteen_chars_x",
    "emoji😀",
]


def shown(name: str) -> str:
    """A byte that is no UTF-8 is shown as such."""
    return re.sub("[\udc80-\udcff]", lambda match: f"\\x{ord(match[0]) - 0xDC00:02x}", name)


def weird_comm() -> Golden:
    events = []
    for comm in COMMS:
        known = {"thread.name": comm}
        body = shown(comm)
        # printf("%s|%d\n", comm, 1); print(comm); print((comm, 1))
        events += [
            event("ebpf.weird_comm.sys_enter_getpriority", f"{body}|1", known),
            event("ebpf.weird_comm.sys_enter_getpriority", body.strip("\r\n"), known),
            event("ebpf.weird_comm.sys_enter_getpriority", f"({body}, 1)", known),
        ]
    last = COMMS[-1]
    events += [
        event("ebpf.weird_comm.last", f"@last: {last}", {"ebpf.value": last}),
        event("ebpf.weird_comm.t", f"@t: ({last}, {last})", {"ebpf.value": f"({last}, {last})"}),
    ]
    metrics = [
        series("ebpf.weird_comm.c", "counter", [({"thread.name": comm}, 1) for comm in COMMS]),
        series("ebpf.weird_comm.m", "gauge", [({"thread.name": comm, "ebpf.key_2": 1}, 2) for comm in COMMS]),
        series("ebpf.weird_comm.h", "histogram", [({"thread.name": comm}, buckets([15], [12])) for comm in COMMS]),
    ]
    # Text has no end of a name but the end of its line.
    broken = without_events(r"(\()?nl(\nx)?(\|1|, 1\))?|x(\|1|, 1\))?|tab\tcr\r?")
    # 0.11 prints the address of a string in a tuple.
    garbled = without_events(r"\(.*, 1\)|@t: .*")
    return Golden(
        events,
        metrics,
        but={
            (OLD, "json"): garbled,
            (OLD, "text"): both(broken, garbled),
            (MID, "text"): broken,
            (NEW, "json"): both(without_blanks, without_parentheses),
            (NEW, "text"): both(broken, without_parentheses),
        },
    )


GOLDEN: Mapping[str, Golden] = {
    "map-keyed": Golden(
        metrics=[
            series("ebpf.map_keyed.int", "gauge", [({"ebpf.key_1": 1}, 10), ({"ebpf.key_1": -2}, 20)]),
            series(
                "ebpf.map_keyed.str",
                "gauge",
                [({"ebpf.key_1": "a"}, 1), ({"ebpf.key_1": "b c"}, 2), ({"ebpf.key_1": ""}, 3)],
            ),
            series(
                "ebpf.map_keyed.multi",
                "gauge",
                [({"ebpf.key_1": 1, "ebpf.key_2": "x"}, 5), ({"ebpf.key_1": 2, "ebpf.key_2": "y z"}, 6)],
            ),
            series(
                "ebpf.map_keyed.mixed",
                "gauge",
                [({"thread.name": "bpftrace", "ebpf.pid": 1, "ebpf.key_3": -7}, 1)],
            ),
        ],
        but={(NEW, "json"): both(words_as_numbers, without_blanks), (NEW, "text"): words_as_numbers},
    ),
    "map-scalar": Golden(
        events=[
            event("ebpf.map_scalar.empty", "@empty: ", {"ebpf.value": ""}),
            event("ebpf.map_scalar.str", "@str: hi", {"ebpf.value": "hi"}),
        ],
        metrics=[
            number("ebpf.map_scalar.a", "gauge", 1),
            number("ebpf.map_scalar.neg", "gauge", -5),
            number("ebpf.map_scalar.big", "gauge", 9007199254740993),
            number("ebpf.map_scalar.max", "gauge", 9223372036854775807),
            number("ebpf.map_scalar.min", "gauge", -9223372036854775807),
            number("ebpf.map_scalar.u64", "gauge", float(2**64 - 1)),
            number("ebpf.map_scalar.i8", "gauge", -1),
            number("ebpf.map_scalar.zero", "gauge", 0),
        ],
        but=in_all(without_metric("ebpf.map_scalar.u64"), versions=[OLD]),
    ),
    "hist": Golden(
        metrics=[
            series(
                "ebpf.hist.h",
                "histogram",
                [({}, buckets(LOG2, [-5, 0, 1, 2, 3, 100, 1000, 5_000_000_000, 1 << 62]))],
            ),
            series(
                "ebpf.hist.hk",
                "histogram",
                [({"ebpf.key_1": "a"}, buckets([7, 15], [5])), ({"ebpf.key_1": "b c"}, buckets([7, 15], [7, 8]))],
            ),
            series("ebpf.hist.hm", "histogram", [({"ebpf.key_1": 1, "ebpf.key_2": "x"}, buckets([7], [5]))]),
        ],
        but={
            **in_all(folded_above(2**31 - 1), versions=[OLD, MID]),  # its last bucket
            (NEW, "json"): without_blanks,
        },
    ),
    "lhist": Golden(
        metrics=[
            series("ebpf.lhist.l", "histogram", [({}, buckets([-1, 1, 3, 5, 7, 9], [-5, 0, 3, 9, 10, 1000]))]),
            series(
                "ebpf.lhist.lk",
                "histogram",
                [
                    ({"ebpf.key_1": "a"}, buckets([5, 7, 8, 9], [5])),
                    ({"ebpf.key_1": "b"}, buckets([5, 7, 8, 9], [7, 9])),
                ],
            ),
            series("ebpf.lhist.big", "histogram", [({}, buckets([3071, 4095, 5119], [2048, 5000]))]),
        ],
    ),
    "stats": Golden(
        metrics=[
            number("ebpf.stats.c", "counter", 2),
            number("ebpf.stats.s", "updowncounter", 5 - 8),
            number("ebpf.stats.mn", "gauge", -3),
            number("ebpf.stats.mx", "gauge", 4),
            number("ebpf.stats.a", "gauge", (4 + 7) // 2),
            series("ebpf.stats.st", "histogram", [({}, totals(2, 15.0))]),
            number("ebpf.stats.nega", "gauge", -7),
            series("ebpf.stats.nst", "histogram", [({}, totals(2, -15.0))]),
            series("ebpf.stats.ck", "counter", [({"ebpf.key_1": "a"}, 1)]),
            series("ebpf.stats.ak", "gauge", [({"ebpf.key_1": "a"}, 3), ({"ebpf.key_1": "b"}, 9)]),
            series(
                "ebpf.stats.sk",
                "histogram",
                [({"ebpf.key_1": "a"}, totals(1, 3.0)), ({"ebpf.key_1": "b c"}, totals(2, 19.0))],
            ),
            series("ebpf.stats.mnk", "gauge", [({"ebpf.key_1": 1, "ebpf.key_2": 2}, 5)]),
        ],
        but={(OLD, "json"): without_metric("ebpf.stats.nega"), (NEW, "json"): without_blanks},
    ),
    "weird-comm": weird_comm(),
    "weird-sticky-hex": Golden(  # the workload calls getpriority() twelve times
        events=[
            event("ebpf.weird_sticky_hex.sys_enter_getpriority", "c\x01\x1f\x7ftl", {"thread.name": "c\x01\x1f\x7ftl"}),
            event("ebpf.weird_sticky_hex.end", "255"),
        ],
        metrics=[
            series("ebpf.weird_sticky_hex.h", "histogram", [({}, buckets([15], [12] * 12))]),
            number("ebpf.weird_sticky_hex.n", "counter", 12),
            number("ebpf.weird_sticky_hex.n0", "gauge", 1),
            series("ebpf.weird_sticky_hex.s", "histogram", [({}, totals(12, 12 * 20.0))]),
        ],
    ),
    "dupkeys-ustack": Golden(  # two processes run the same program, one three times and one four
        metrics=[series("ebpf.dupkeys_ustack.us", "counter", [({"ebpf.reg": "fevent"}, 3 + 4)])],
        # The two have the same stacks, which are printed as two equal keys.
        stacks=[
            Stack("events/count", ("fevent", "level1", "main", "__libc_start_call_main"), (), 3 + 4),
            Stack("p/count", ("fevent", "level1"), (("ebpf.key_2", 1),), 2 * (3 + 4)),
        ],
        but=in_all(without_unresolved_stacks("__libc_start_call_main"), versions=[OLD]),
    ),
    "print-value": Golden(
        events=[
            event("ebpf.print_value.begin", "-7"),
            event("ebpf.print_value.begin", 'str "q" nl'),
            event("ebpf.print_value.begin_2", "(1, x, (2, -3))", {"ebpf.field_3": [2, -3]}),
            event("ebpf.print_value.begin", "9007199254740993"),
        ],
        # What prints 1 could have been any of three.
        but={
            **in_all(without_events("1|true"), kinds=["json"]),
            **in_all(without_events("1|true"), unnamed('str "q" nl'), kinds=["text"]),
        },
    ),
    "printf": Golden(
        events=[
            event("ebpf.printf.begin", "plain line"),
            event("ebpf.printf.begin", "no newline continued"),
            event("ebpf.printf.begin", "two\nlines"),
            event("ebpf.printf.begin", "-1 1 ff str A     3|3    |00003 -9223372036854775807"),
            event("ebpf.printf.begin", 'quote " backslash \\ tab \t cr \r end'),
            event("ebpf.printf.begin", 'json {"a": 1}'),
            event("ebpf.printf.begin", "utf8 é €"),
            event("ebpf.printf.begin", "pct %"),
        ],
        but={
            **in_all(without_events("pct %%?"), versions=[OLD, MID], kinds=["json"]),
            **in_all(without_events("pct %%?|two\nlines|two|lines"), kinds=["text"]),
        },
    ),
    "many-args-printf": Golden(events=[event("ebpf.many_args_printf.begin", "1 2 3 4 5 6 7 8 9 10")]),
    # Nine times in 900 ms; what is cleared every 250 ms was printed before.
    "clear-keyed-count": Golden(
        metrics=[series("ebpf.clear_keyed_count", "counter", [({"ebpf.key_1": 1}, 9)])],
    ),
    "clear-scalar-avg": Golden(
        metrics=[
            number("ebpf.clear_scalar_avg", "gauge", 5),
            series("ebpf.clear_scalar_avg.s", "histogram", [({}, totals(9, 9 * 3.0))]),
            number("ebpf.clear_scalar_avg.m", "gauge", 3),
        ],
    ),
    "clear-scalar-hist": Golden(
        metrics=[series("ebpf.clear_scalar_hist", "histogram", [({}, buckets([7], [5] * 9))])],
    ),
    "tseries": Golden(
        metrics=[
            series("ebpf.tseries.t", "gauge", [({}, 7)] * 4),
            series("ebpf.tseries.k", "gauge", [({"ebpf.key_1": "a"}, 3)]),
            number("ebpf.tseries.n", "counter", 4),
        ],
    ),
    "time-cat-join": Golden(
        events=[event("ebpf.time_cat_join", "Linux"), event("ebpf.time_cat_join", "32768")],
        but=in_all(without_events(r"(2026-11-23)?([0-9:]{8})?")),
    ),
}


@dataclass(frozen=True)
class Mistake:
    """What we make of an output and should not; ``repair`` takes it off both sides."""

    reason: str
    repair: Repair
    versions: Sequence[str] = VERSIONS
    kinds: Sequence[Format] = FORMATS


MISTAKES: Mapping[str, Mistake] = {
    "dupkeys-ustack": Mistake(
        "only a stack can be the key of two entries", without_metric("ebpf.dupkeys_ustack.us"), kinds=["text"]
    ),
    "print-value": Mistake(
        "a tuple may be cut at any comma, although its constants are known",
        without_attribute("ebpf.field_3"),
        kinds=["text"],
    ),
    "time-cat-join": Mistake(
        "a line of text can always have been printed by join()", bodies_only, versions=[MID, NEW], kinds=["text"]
    ),
}
RUNS = [
    (case, version, kind) for case in GOLDEN for version in VERSIONS for kind in FORMATS if ran(version, case, kind)
]


def has_mistake(case: str, version: str, kind: Format) -> bool:
    mistake = MISTAKES.get(case)
    return mistake is not None and version in mistake.versions and kind in mistake.kinds


def compared(case: str, version: str, kind: Format, *repairs: Repair) -> tuple[list[str], list[str]]:
    golden = GOLDEN[case]
    repair = both(golden.but.get((version, kind), both()), *repairs)
    return repair(telemetry(version, case, kind)).lines(), repair(golden.telemetry()).lines()


@pytest.mark.parametrize(("case", "version", "kind"), RUNS)
def test_golden(case: str, version: str, kind: Format) -> None:
    repairs = [MISTAKES[case].repair] if has_mistake(case, version, kind) else []
    found, golden = compared(case, version, kind, *repairs)
    assert found == golden


@pytest.mark.parametrize(("case", "version", "kind"), [run for run in RUNS if has_mistake(*run)])
def test_each_mistake_is_still_made(case: str, version: str, kind: Format) -> None:
    """One that is mended is to be taken off the list."""
    found, golden = compared(case, version, kind)
    assert found != golden


@pytest.mark.parametrize(
    ("case", "version", "kind"), [run for run in RUNS if GOLDEN[run[0]].but.get((run[1], run[2])) is not None]
)
def test_each_repair_is_needed(case: str, version: str, kind: Format) -> None:
    mistakes = [MISTAKES[case].repair] if has_mistake(case, version, kind) else []
    repair = both(*mistakes)
    assert repair(telemetry(version, case, kind)).lines() != repair(GOLDEN[case].telemetry()).lines()


@pytest.mark.parametrize("kind", FORMATS)
def test_intervals_have_times_of_their_own(kind: Format) -> None:
    """Each 250 ms, in intervals of 100 ms: the next value stands two or three of them later."""
    metrics = [
        metric for snapshot in fed(NEW, "tseries", kind)[1].snapshots for found in snapshot.values() for metric in found
    ]
    points = [point for metric in metrics if metric.name == "ebpf.tseries.t" for point in metric.points]
    times = [point.time_unix_nano or 0 for point in points if isinstance(point, NumberPoint)]
    steps = [later - earlier for earlier, later in pairwise(times)]
    assert steps == [300_000_000, 200_000_000, 300_000_000]
    assert all(time % 100_000_000 == 0 for time in times)


def test_golden_is_used() -> None:
    assert {case for case, _, _ in RUNS} == set(GOLDEN)
    assert set(MISTAKES) <= set(GOLDEN)
