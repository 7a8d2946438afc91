"""A program with a process of its own, through the whole pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from config.manifest import Event, Field, Key, Manifest, Metric, Piece, Print, StackMap, StackProfile, TextMap
from orchestrator.catalog import Signal
from orchestrator.limits import Limits
from orchestrator.pipeline import OWN_SCOPE, Pipeline
from orchestrator.signals.clock import Moment
from orchestrator.signals.model import LogRecord
from orchestrator.signals.stacks import StackCounts
from parsers.stream import OutputStream, TextStream
from tests.orchestrator.collecting import Collected, folded, histograms, numbers, values

LIMITS = Limits(string=200, map_keys=16384, pages=64)
OFFSET = 1_700_000_000_000_000_000
READ = Moment(unix=OFFSET + 900, offset=OFFSET)
SCOPE = "bpftrace-orchestrator/mine"


def metric(name: str, instrument: Any = "counter", **words: Any) -> Metric:
    return Metric(name=f"ebpf.mine.{name}", instrument=instrument, unit="1", description=name, **words)


PID = Key(attribute="process.pid")
MANIFEST = Manifest(
    summary="Mine",
    process="own",
    metrics={
        "calls": metric("calls", keys=[PID]),
        "lat": metric("lat", "histogram", range=(1, 7)),
        "reads": metric("reads", cleared=True, snapshot=False, keys=[PID]),
        "last": metric("last", "gauge", snapshot=False),
    },
    events={"opened": Event(name="ebpf.opened", fields=[Field(type="time"), Field(attribute="process.pid")])},
    prints=[
        Print(
            name="ebpf.mine.line",
            pieces=[
                Piece(time="%H:%M:%S "),
                Piece(printf="%d %s\n", fields=[Field(attribute="process.pid"), Field(attribute="a", type="string")]),
            ],
        )
    ],
    texts={"names": TextMap(name="ebpf.mine.names", keys=[PID])},
    stacks={"stacks": StackMap(keys=[Key(type="ustack")], profiles=[StackProfile(type="events", unit="count")])},
)


def mark(what: str, nsecs: int) -> str:
    return f'{{"type": "value", "data": ["orchestrator","{what}",{nsecs}]}}'


def printed(kind: str, text: str) -> str:
    return f'{{"type": "{kind}", "data": "{text}"}}'


def shown(name: str, value: str, kind: str = "map") -> str:
    return f'{{"type": "{kind}", "data": {{"@{name}": {value}}}}}'


BEGUN = [mark("begin", 100), '{"type": "attached_probes", "data": {"probes": 3}}', mark("ready", 200)]
SNAPSHOT = [
    mark("snapshot", 300),
    shown("calls", '{"1": 5, "2": 1}'),
    shown("lat", '[{"min": 1, "max": 1, "count": 2}]', "hist"),
    mark("snapshot_end", 310),
]
END = [
    mark("end", 500),
    shown("calls", '{"1": 7, "2": 1}'),
    shown("lat", '[{"min": 1, "max": 1, "count": 3}]', "hist"),
    mark("snapshot_end", 510),
]


class Own:
    """The pipeline of one program, and what comes out of it."""

    def __init__(self, manifest: Manifest = MANIFEST, *, whole_lines: bool = False) -> None:
        self.sink = Collected()
        signal = Signal("mine", Path("mine.bt"), "", manifest)
        self.pipeline = Pipeline([signal], LIMITS, self.sink, whole_lines=whole_lines)
        self._stream = TextStream() if whole_lines else OutputStream()

    def feed(self, *lines: str, moment: Moment = READ) -> Own:
        self.pipeline.feed(self._stream.feed("".join(f"{line}\n" for line in lines).encode()), moment)
        return self

    def close(self, moment: Moment = READ) -> Own:
        self.pipeline.feed(self._stream.close(), moment)
        self.pipeline.close()
        return self

    @property
    def logs(self) -> list[LogRecord]:
        assert {scope for scope, _ in self.sink.logs} <= {SCOPE}
        return [record for _, record in self.sink.logs]

    @property
    def bodies(self) -> list[str]:
        return [record.body for record in self.logs]

    def metrics(self, name: str) -> list[Any]:
        """Every time that a metric was given on: its time and the value of each process."""
        return [
            (found.time_unix_nano - OFFSET, {pid: value for (pid,), value in values(found, "process.pid").items()})
            for snapshot in self.sink.snapshots
            if (found := snapshot.get(SCOPE, {}).get(f"ebpf.mine.{name}")) is not None
        ]

    def bars(self, name: str) -> list[list[int]]:
        return [
            list(point.counts)
            for snapshot in self.sink.snapshots
            if (found := snapshot.get(SCOPE, {}).get(f"ebpf.mine.{name}")) is not None
            for point in histograms(found)
        ]


def test_marks_give_it_its_times() -> None:
    own = Own().feed(*BEGUN)
    assert (own.pipeline.ready, own.pipeline.ended, own.pipeline.probes) == (True, False, 3)
    own.feed(*SNAPSHOT, *END).close(Moment(OFFSET + 520, OFFSET))
    assert own.pipeline.ended
    assert own.metrics("calls") == [(300, {1: 5, 2: 1}), (500, {1: 7, 2: 1})]
    assert own.bars("lat") == [[0, 2, 0, 0, 0], [0, 3, 0, 0, 0]]
    starts = {
        found.start_unix_nano
        for snapshot in own.sink.snapshots
        for kinds in snapshot.values()
        for found in kinds.values()
    }
    assert starts == {OFFSET + 100}
    assert own.pipeline.seconds == pytest.approx(320e-9)
    assert own.logs == []
    assert own.pipeline.stream.unparsed == 0


def test_our_own_metrics_begin_with_zeros_and_count_what_came() -> None:
    own = Own().feed(*BEGUN)
    (first,) = own.sink.snapshots
    assert {value for found in first[OWN_SCOPE.name].values() for _, value in numbers(found)} == {0}
    own.feed(printed("printf", "hello\\n"), *SNAPSHOT)
    processed = own.sink.snapshots[-1][OWN_SCOPE.name]["ebpf_events_processed_total"]
    assert values(processed, "ebpf.signal") == {("mine",): 1}


def test_a_mark_that_cannot_be_read_is_counted() -> None:
    own = Own().feed('{"type": "value", "data": ["orchestrator","ready","soon"]}')
    assert (own.pipeline.ready, own.pipeline.stream.unparsed) == (False, 1)
    assert own.logs == []


def test_maps_that_we_print_are_not_taken_when_the_program_prints_them_too() -> None:
    """interval:s:1 { print(@calls, 1); } shows a person the first of them: a part of the truth."""
    own = Own().feed(*BEGUN, shown("calls", '{"1": 6}'), *SNAPSHOT, shown("calls", '{"1": 6}'))
    assert own.metrics("calls") == [(300, {1: 5, 2: 1})]


@pytest.mark.parametrize(
    "rest",
    [
        [],
        [shown("calls", '{"1": 7}')],  # END { print(@calls, 1); }
        [shown("calls", '{"1": 0, "2": 0}')],  # END { print(@calls, 0, 1000); }
        [shown("calls", '{"1": 7, "2": 1}')],  # bpftrace's own print of all maps
        [shown("calls", '{"1": 7}'), shown("calls", '{"1": 7, "2": 1}')],
        [shown("calls", "{}")],  # END { clear(@calls); }
    ],
)
def test_what_is_printed_after_the_last_snapshot_adds_nothing(rest: list[str]) -> None:
    own = Own().feed(*BEGUN, *SNAPSHOT, *END)
    own.feed(*rest).close()
    assert own.metrics("calls") == [(300, {1: 5, 2: 1}), (500, {1: 7, 2: 1})]


def test_histograms_that_are_printed_after_the_last_snapshot_add_nothing() -> None:
    own = Own().feed(*BEGUN, *SNAPSHOT, *END)
    own.feed(
        shown("lat", '[{"min": 1, "max": 1, "count": 3}]', "hist"),
        shown("lat", '[{"min": 1, "max": 1, "count": 1}]', "hist"),
    ).close()
    assert own.bars("lat") == [[0, 2, 0, 0, 0], [0, 3, 0, 0, 0]]


def test_what_came_after_the_last_snapshot_counts() -> None:
    own = Own().feed(*BEGUN, *SNAPSHOT, *END)
    own.feed(shown("calls", '{"1": 7, "2": 2}'), shown("lat", '[{"min": 2, "max": 3, "count": 4}]', "hist")).close()
    assert own.metrics("calls")[2:] == [(900, {1: 7, 2: 2})]
    assert own.bars("lat")[2:] == [[0, 0, 4, 0, 0]]


def test_a_program_that_ends_before_the_first_interval_has_its_last_snapshot() -> None:
    own = Own().feed(mark("begin", 100), *END).close()
    assert (own.pipeline.ready, own.pipeline.ended) == (False, True)
    assert own.metrics("calls") == [(500, {1: 7, 2: 1})]


def test_a_snapshot_without_its_end_is_not_taken() -> None:
    own = Own().feed(*BEGUN, *SNAPSHOT[:-1]).close()
    assert own.metrics("calls") == []


def test_maps_that_only_the_program_prints_are_taken_when_they_come() -> None:
    own = Own().feed(*BEGUN)
    own.feed(shown("last", "7"), moment=Moment(OFFSET + 1000, OFFSET))
    own.feed(shown("last", "5"), shown("last", "9"), moment=Moment(OFFSET + 2000, OFFSET))
    assert own.metrics("last") == [(1000, {None: 7}), (2000, {None: 5}), (2000, {None: 9})]


def test_what_the_program_clears_is_added_up() -> None:
    own = Own().feed(*BEGUN)
    own.feed(shown("reads", '{"1": 5}'), shown("reads", '{"1": 2, "2": 1}'))
    own.feed(shown("reads", '{"2": 3}'))
    assert [series for _, series in own.metrics("reads")] == [{1: 5}, {1: 7, 2: 1}, {1: 7, 2: 4}]


def test_what_a_cleared_map_holds_at_the_end_counts_once() -> None:
    """The program's END prints it, and so does bpftrace, if nobody clears it in between."""
    own = Own().feed(*BEGUN, shown("reads", '{"1": 5}'), *END)
    own.feed(shown("reads", '{"1": 2}'), shown("reads", '{"1": 2}')).close()
    assert own.metrics("reads")[-1][1] == {1: 7}


def test_our_own_maps_are_nothing_of_the_program() -> None:
    own = Own().feed(*BEGUN, *END, shown("orchestrator_ready", "1")).close()
    assert all(set(snapshot) <= {SCOPE, OWN_SCOPE.name} for snapshot in own.sink.snapshots)
    assert not any("orchestrator" in name for snapshot in own.sink.snapshots for name in snapshot.get(SCOPE, {}))


@pytest.mark.parametrize(
    ("line", "instrument", "points"),
    [
        (shown("new", "5"), "gauge", [({}, 5)]),
        (
            shown("new", '{"a": 1, "b": "9007199254740993"}'),
            "gauge",
            [({"ebpf.key": "a"}, 1), ({"ebpf.key": "b"}, 2**53 + 1)],
        ),
        (shown("new", '{"a": 5}', "stats"), "gauge", [({"ebpf.key": "a"}, 5)]),
        (shown("", '{"a": 5}'), "gauge", [({"ebpf.key": "a"}, 5)]),
    ],
)
def test_maps_of_which_nothing_is_known(line: str, instrument: str, points: list[Any]) -> None:
    own = Own().feed(*BEGUN, line)
    ((name, found),) = own.sink.snapshots[-1][SCOPE].items()
    assert name == ("ebpf.mine.new" if "@new" in line else "ebpf.mine")
    assert found.instrument == instrument
    assert numbers(found) == points


def test_histograms_of_which_nothing_is_known() -> None:
    own = Own().feed(
        *BEGUN,
        shown("h", '{"a": [{"min": 1, "max": 1, "count": 2}]}', "hist"),
        shown("s", '{"a": {"count": 2, "average": 3, "total": 7}}', "stats"),
    )
    found = own.sink.snapshots[-1][SCOPE]
    assert [list(point.counts) for point in histograms(found["ebpf.mine.h"])] == [[2, 0]]
    assert [(list(point.counts), point.sum) for point in histograms(found["ebpf.mine.s"])] == [([2], 7.0)]


def test_keys_of_another_shape_are_kept_whole() -> None:
    own = Own().feed(*BEGUN, mark("snapshot", 300), shown("calls", '{"sh": 5, "7": 1}'), mark("snapshot_end", 310))
    found = own.sink.snapshots[-1][SCOPE]["ebpf.mine.calls"]
    assert numbers(found) == [({"ebpf.key": "sh"}, 5), ({"process.pid": 7}, 1)]
    assert own.pipeline.stream.unread_entries == 0


def test_maps_of_text_become_log_records() -> None:
    own = Own().feed(*BEGUN, shown("names", '{"7": "a,b", "8": [1, "x"]}'), shown("other", '{"k": "v"}'))
    assert [(record.event_name, record.body, record.attributes) for record in own.logs] == [
        ("ebpf.mine.names", "@names[7]: a,b", {"process.pid": 7, "ebpf.value": "a,b"}),
        ("ebpf.mine.names", "@names[8]: (1, x)", {"process.pid": 8, "ebpf.value": "(1, x)"}),
        ("ebpf.mine.other", "@other[k]: v", {"ebpf.key": "k", "ebpf.value": "v"}),
    ]
    assert {record.time_unix_nano for record in own.logs} == {READ.unix}
    assert own.pipeline.counts["mine"].received == 3


def test_a_map_of_numbers_and_text_becomes_both() -> None:
    own = Own().feed(*BEGUN, shown("mixed", '{"a": 1, "b": "x"}'))
    assert own.bodies == ["@mixed[b]: x"]
    assert numbers(own.sink.snapshots[-1][SCOPE]["ebpf.mine.mixed"]) == [({"ebpf.key": "a"}, 1)]


@pytest.mark.parametrize("name", ["stacks", "unknown"])
def test_a_stack_map_is_one_profile_of_the_whole_run(name: str) -> None:
    stacks = '{"\\n    f+1\\n    main+2\\n": 3, "\\n    g+1\\n": 4}'
    own = Own().feed(*BEGUN, shown(name, '{"\\n    f+1\\n": 1}'), shown(name, stacks)).close()
    ((scope, profile),) = own.sink.profiles
    assert (scope, folded(profile)) == (SCOPE, {"main;f": 3, "g": 4})
    assert own.pipeline.stream.stacks == StackCounts(stacks=2)
    assert own.logs == []
    assert all(SCOPE not in snapshot for snapshot in own.sink.snapshots)
    assert own.pipeline.stream.unread_entries == 0


def test_events_have_the_time_at_which_they_happened() -> None:
    (record,) = Own().feed(*BEGUN, '{"type": "value", "data": ["opened",250,7]}').logs
    assert (record.event_name, record.time_unix_nano, record.observed_time_unix_nano) == (
        "ebpf.opened",
        OFFSET + 250,
        READ.unix,
    )
    assert record.attributes == {"process.pid": 7}


def test_an_event_of_another_shape_is_counted() -> None:
    own = Own().feed(*BEGUN, '{"type": "value", "data": ["opened",250]}')
    assert (own.logs, own.pipeline.stream.unparsed) == ([], 1)


def test_values_that_nobody_knows_become_log_records() -> None:
    own = Own().feed(*BEGUN, '{"type": "value", "data": 5}', '{"type": "value", "data": ["x",{"p": 7}]}')
    assert own.bodies == ["5", "(x, { .p = 7 })"]
    assert {record.event_name for record in own.logs} == {"ebpf.mine"}
    assert own.pipeline.stream.unparsed == 0


def test_a_line_comes_in_pieces() -> None:
    own = Own().feed(*BEGUN, printed("time", "06:14:50 "), printed("printf", "7 a b\\n"))
    (record,) = own.logs
    assert (record.event_name, record.body) == ("ebpf.mine.line", "06:14:50 7 a b")
    assert record.attributes == {"process.pid": 7, "a": "a b"}
    assert own.pipeline.counts["mine"].received == 1


def test_a_line_that_was_never_ended_is_given_on_at_the_end() -> None:
    own = Own().feed(*BEGUN, printed("printf", "Bye."))
    assert own.bodies == []
    assert own.close().bodies == ["Bye."]
    processed = own.sink.snapshots[-1][OWN_SCOPE.name]["ebpf_events_processed_total"]
    assert values(processed, "ebpf.signal") == {("mine",): 1}


@pytest.mark.parametrize(("kind", "severity"), [("errorf", "error"), ("warnf", "warn")])
def test_what_the_program_reports_becomes_log_records(kind: str, severity: str) -> None:
    own = Own().feed(*BEGUN, f'{{"type": "{kind}", "msg": "bad 5\\n", "filename": "mine.bt", "line": 1, "col": 9}}')
    (record,) = own.logs
    assert (record.event_name, record.severity, record.body) == (f"ebpf.mine.{kind}", severity, "bad 5")
    assert (record.time_unix_nano, record.observed_time_unix_nano) == (READ.unix, READ.unix)
    assert own.pipeline.stream.problems == {}


def test_what_bpftrace_reports_is_a_problem() -> None:
    own = Own().feed(*BEGUN, '{"type": "runtime_error", "msg": "divide by 0", "filename": "x.bt", "line": 2, "col": 3}')
    assert own.pipeline.stream.problems == {"divide by 0 at x.bt:2:3": 1}
    assert own.logs == []


def test_the_output_of_commands_becomes_log_records() -> None:
    """system() writes to the same standard output, in between."""
    own = Own().feed(*BEGUN, "uptime: 5 \xe9", "  indented", *SNAPSHOT, "")
    assert own.bodies == ["uptime: 5 \xe9", "  indented"]
    assert {record.event_name for record in own.logs} == {"ebpf.mine"}
    assert own.pipeline.stream.unparsed == 0


@pytest.mark.parametrize("kind", ["syscall", "cat", "join", "printf", "time"])
def test_every_kind_of_text_becomes_a_log_record(kind: str) -> None:
    assert Own().feed(*BEGUN, printed(kind, "of a file\\n")).bodies == ["of a file"]


def test_a_broken_record_is_counted_and_no_log_record() -> None:
    own = Own().feed(*BEGUN, '{"type": "value", "data": [1,')
    assert (own.logs, own.pipeline.stream.unparsed) == ([], 1)


def test_lost_events_and_unknown_records_are_counted() -> None:
    lost = '{"type": "lost_events", "data": {"events": 3}}'
    own = Own().feed(*BEGUN, lost, lost, '{"type": "tomorrow", "data": 1}')
    assert (own.pipeline.stream.reported_lost, own.pipeline.stream.unknown) == (6, 1)
    assert own.logs == []


def test_a_large_map_is_no_problem_of_ours() -> None:
    """How many keys a map may have is a matter of the program's own: perhaps it says so itself."""
    large = ", ".join(f'"{key}": 1' for key in range(LIMITS.map_keys))
    assert Own().feed(*BEGUN, shown("last", f"{{{large}}}")).pipeline.stream.problems == {}


def test_without_marks_it_is_ready_when_it_is_attached() -> None:
    own = Own()
    own.pipeline.as_written = True
    own.feed("nothing yet", moment=Moment(OFFSET + 50, OFFSET))
    ready = [own.pipeline.ready]
    own.feed('{"type": "attached_probes", "data": {"probes": 3}}', moment=Moment(OFFSET + 100, OFFSET))
    assert [*ready, own.pipeline.ready] == [False, True]
    own.feed(shown("calls", '{"1": 5}'), moment=Moment(OFFSET + 200, OFFSET))
    own.feed(shown("calls", '{"1": 6, "2": 1}')).close(Moment(OFFSET + 1100, OFFSET))
    assert own.metrics("calls") == [(200, {1: 5}), (900, {1: 6, 2: 1})]
    assert own.pipeline.seconds == pytest.approx(1e-6)
    start = own.sink.snapshots[-1][OWN_SCOPE.name]["ebpf_events_processed_total"].start_unix_nano
    assert start == OFFSET + 50


def test_text_output_gives_the_same() -> None:
    own = Own(whole_lines=True)
    own.pipeline.as_written = True
    own.feed(
        "Attaching 3 probes...", "06:14:50 7 a b", "something else", "", "", "@last: 5", "@calls[1]: 5", "@calls[2]: 6"
    )
    own.close()
    assert (own.pipeline.ready, own.pipeline.probes) == (True, 3)
    first, second = own.logs
    assert (first.event_name, first.attributes) == ("ebpf.mine.line", {"process.pid": 7, "a": "a b"})
    assert second.body == "something else"
    assert [series for _, series in own.metrics("last")] == [{None: 5}]
    assert [series for _, series in own.metrics("calls")] == [{1: 5, 2: 6}]
