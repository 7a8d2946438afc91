"""Recordings and captures, whole, cut and foreign, through ``Replay`` and through the command."""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from orchestrator.__main__ import main
from orchestrator.catalog import Signal, inferred_signal
from orchestrator.limits import Limits
from orchestrator.options import replay_options
from orchestrator.pipeline import OWN_SCOPE
from orchestrator.recording import HEADER_PREFIX, Header, Recorder, read_header
from orchestrator.replay import Replay
from orchestrator.signals.clock import Moment
from orchestrator.signals.model import HistogramPoint, LogRecord, Metric, NumberPoint
from tests.orchestrator.collecting import Collected, numbers
from tests.parsers.feeding import DATA

LIMITS = Limits(string=200, map_keys=16384, pages=64)
SECOND = 10**9
BOOT = 1_700_000_000 * SECOND  # Unix time at which the recorded host's monotonic clock was zero
MODIFIED = 1_800_000_000 * SECOND

OPENS = r"""// opens.bt - Opened files
tracepoint:syscalls:sys_enter_openat { @start[tid] = nsecs; @name[tid] = str(args->filename); }
tracepoint:syscalls:sys_exit_openat /@start[tid]/ {
    time("%H:%M:%S ");
    printf("%-6d %-16s ", pid, comm);
    printf("%d %s\n", args->ret, @name[tid]);
    print(("opened", nsecs, pid));
    @opens[comm] = count();
    @usecs = hist((nsecs - @start[tid]) / 1000);
    delete(@start[tid]);
}
interval:s:5 { print(@last); }
kprobe:f { @last[pid] = comm; }
END { printf("Bye."); }
"""


def value(*data: Any) -> bytes:
    return b'{"type": "value", "data": %b}\n' % json.dumps(data, separators=(",", ":")).encode()


def mark(what: str, nsecs: int) -> bytes:
    return value("orchestrator", what, nsecs)


def printed(kind: str, text: str) -> bytes:
    return json.dumps({"type": kind, "data": text}).encode() + b"\n"


def shown(name: str, data: Any, kind: str = "map") -> bytes:
    return json.dumps({"type": kind, "data": {f"@{name}": data}}).encode() + b"\n"


def at(nsecs: int) -> Moment:
    return Moment(unix=BOOT + nsecs, offset=BOOT)


def opened(clock: str, pid: int, comm: str, path: str, nsecs: int) -> bytes:
    return (
        printed("time", f"{clock} ")
        + printed("printf", f"{pid:<6} {comm:<16} ")
        + printed("printf", f"3 {path}\n")
        + value("opened", nsecs, pid)
    )


BEGUN = [
    (mark("begin", 100) + b'{"type": "attached_probes", "data": {"probes": 5}}\n', at(150)),
    (mark("ready", 200), at(250)),
]
FIRST, SECOND_ONE, THIRD = (
    (opened("05:41:00", 7, "a b", "/etc/my file", 290), at(300)),
    (opened("05:41:01", 8, "sh", "/x", 390), at(400)),
    (opened("05:41:02", 9, "sh", "/y", 490), at(500)),
)
SNAPSHOT = (
    mark("snapshot", 600)
    + shown("opens", {"a b": 1, "sh": 1})
    + shown("usecs", [{"min": 2, "max": 3, "count": 2}], "hist")
    + mark("snapshot_end", 610),
    at(620),
)
LAST = (shown("last", {"7": "x,y"}), at(630))
END = [
    (
        mark("end", 700)
        + shown("opens", {"a b": 1, "sh": 2})
        + shown("usecs", [{"min": 2, "max": 3, "count": 2}, {"min": 4, "max": 7, "count": 1}], "hist")
        + mark("snapshot_end", 710)
        + printed("printf", "Bye.")
        + b"\n\n"
        + shown("opens", {"a b": 1, "sh": 2}),
        at(720),
    ),
    (b"", at(730)),
]
ALL = [*BEGUN, FIRST, SECOND_ONE, SNAPSHOT, LAST, THIRD, *END]
BODIES = [
    "05:41:00 7      a b              3 /etc/my file",
    "(opened, 290, 7)",
    "05:41:01 8      sh               3 /x",
    "(opened, 390, 8)",
    "@last[7]: x,y",
    "05:41:02 9      sh               3 /y",
    "(opened, 490, 9)",
    "Bye.",
]


def program(source: str = OPENS, name: str = "opens.bt") -> Signal:
    return inferred_signal(Path(name), source)


def recorded(*parts: tuple[bytes, Moment] | int, source: str = OPENS) -> bytes:
    """A recording of what came; a number is a gap of so many lines."""
    file = io.BytesIO()
    recorder = Recorder(file)
    recorder.begin(Header.of([program(source)], {"host.name": "box", "service.name": "mine"}, LIMITS))
    for part in parts:
        if isinstance(part, int):
            recorder.gap(part)
        else:
            recorder.chunk(*part)
    return file.getvalue()


RECORDING = recorded(*ALL)


def replayed(
    data: bytes, *, signals: tuple[Signal, ...] = (), start: int | None = None, chunk: int = 1 << 18
) -> tuple[Replay, Collected]:
    """As the command does it, with a sink of ours."""
    arguments = dict.fromkeys(("script", "signal", "start", "config", "output", "otlp_endpoint", "otlp_protocol"))
    options = replay_options(argparse.Namespace(file="capture.out", summary=False, quiet=False, **arguments))
    object.__setattr__(options, "signals", list(signals))
    object.__setattr__(options, "start", start)
    sink = Collected()
    line = data.partition(b"\n")[0]
    header = read_header(line)
    head = data[: max(chunk, len(line) + 1) if header else chunk]
    replay = Replay(options, head, header, MODIFIED, sink)
    replay.feed(head.partition(b"\n")[2] if header else head)
    for position in range(len(head), len(data), chunk):
        replay.feed(data[position : position + chunk])
    replay.close()
    return replay, sink


def records(sink: Collected) -> list[LogRecord]:
    return [record for _, record in sink.logs]


def bodies(sink: Collected) -> list[str]:
    return [record.body for record in records(sink)]


Series = tuple[str, str, str, frozenset[tuple[str, Any]]]


def series(sink: Collected) -> Iterator[tuple[Series, Any, Metric]]:
    """Every point of the programs' own metrics that ever came."""
    for snapshot in sink.snapshots:
        for scope, metrics in snapshot.items():
            for metric in metrics.values():
                for point in metric.points:
                    held: Any = (
                        (tuple(point.bounds), tuple(point.counts), point.sum)
                        if isinstance(point, HistogramPoint)
                        else point.value
                    )
                    if scope != OWN_SCOPE.name:
                        yield (
                            (metric.name, metric.instrument, metric.unit, frozenset(point.attributes.items())),
                            held,
                            metric,
                        )


def last_values(sink: Collected, name: str) -> dict[Any, Any]:
    return {tuple(dict(key[3]).values()): held for key, held, _ in series(sink) if key[0] == name}


def own_totals(sink: Collected) -> Counter[str]:
    """The last values of what is said of the replay itself."""
    totals: Counter[str] = Counter()
    for name, metric in (sink.snapshots[-1].get(OWN_SCOPE.name, {}) if sink.snapshots else {}).items():
        for point in metric.points:
            if isinstance(point, NumberPoint):
                totals[f"{name} {point.attributes.get('error.type', '')}"] += int(point.value)
    return totals


# A recording is the run again.


def test_a_recording_has_all_that_ran_in_it() -> None:
    replay, sink = replayed(RECORDING)
    assert 2000 < len(RECORDING) < 6000
    assert bodies(sink) == BODIES
    first = records(sink)[0]
    assert first.attributes == {
        "process.pid": 7,
        "thread.name": "a b",
        "ebpf.return_code": 3,
        "ebpf.name": "/etc/my file",
    }
    assert (first.time_unix_nano, first.observed_time_unix_nano) == (BOOT + 300, BOOT + 300)
    assert [record.time_unix_nano - BOOT for record in records(sink) if record.body.startswith("(")] == [290, 390, 490]
    assert last_values(sink, "ebpf.opens.opens") == {("a b",): 1, ("sh",): 2}
    assert last_values(sink, "ebpf.opens.usecs") == {(): ((3.0, 7.0), (2, 1, 0), None)}
    assert {metric.time_unix_nano - BOOT for _, _, metric in series(sink)} == {600, 700}
    assert {metric.start_unix_nano for _, _, metric in series(sink)} == {BOOT + 100}
    assert replay.is_recording
    assert replay.pipeline.ended
    stream = replay.pipeline.stream
    assert (stream.unparsed, stream.unknown, stream.unread_entries, stream.dropped_lines) == (0, 0, 0, 0)


@pytest.mark.parametrize("chunk", [1, 7, 64, 1000])
def test_it_does_not_matter_how_a_file_is_read(chunk: int) -> None:
    sink, whole = replayed(RECORDING, chunk=chunk)[1], replayed(RECORDING)[1]
    assert (sink.logs, sink.snapshots) == (whole.logs, whole.snapshots)


def later(part: tuple[bytes, Moment], seconds: int) -> tuple[bytes, Moment]:
    """The same, printed by a bpftrace that was started so much later."""
    data, moment = part
    nanoseconds = seconds * 1_000_000_000
    moved = re.sub(
        rb'(\["orchestrator","[a-z_]+",)(\d+)', lambda one: one[1] + b"%d" % (int(one[2]) + nanoseconds), data
    )
    return moved, Moment(moment.unix + nanoseconds, moment.offset)


def restarted(*before: tuple[bytes, Moment], cut: bytes = b"") -> bytes:
    """A recording of one bpftrace that died, and of all that the next one printed."""
    file = io.BytesIO()
    recorder = Recorder(file)
    recorder.begin(Header.of([program()], {"host.name": "box"}, LIMITS))
    for part in before:
        recorder.chunk(*part)
    recorder.chunk(cut, at(640)) if cut else None
    recorder.chunk(b"", at(650))
    recorder = Recorder(file)
    recorder.begin(Header.of([program()], {"host.name": "box"}, LIMITS), again=True)
    for part in ALL:
        recorder.chunk(*later(part, 9))
    return file.getvalue()


@pytest.mark.parametrize("chunk", [1, 64, 1 << 18])
@pytest.mark.parametrize("cut", [b"", b'{"type": "value", "da'])
def test_after_a_restart_all_begins_anew(chunk: int, cut: bytes) -> None:
    replay, sink = replayed(restarted(*BEGUN, FIRST, SNAPSHOT, cut=cut), chunk=chunk)
    assert bodies(sink) == [*BODIES[:2], *BODIES]
    starts = list(dict.fromkeys(metric.start_unix_nano - BOOT for _, _, metric in series(sink)))
    assert starts == [100, 9_000_000_100]
    assert last_values(sink, "ebpf.opens.opens") == {("a b",): 1, ("sh",): 2}
    first, second = replay.pipelines
    assert (first.ended, second.ended) == (False, True)
    assert (first.stream.unparsed, second.stream.unparsed) == (1 if cut else 0, 0)
    restarts = sink.snapshots[-1][OWN_SCOPE.name]["ebpf_restarts_total"]
    assert (numbers(restarts)[0][1], restarts.start_unix_nano - BOOT) == (1, 100)
    assert replay.cuts("it") == ["bpftrace was started again in it: what it counted last before is not in it"]


def test_a_bpftrace_that_ended_as_it_should_before_the_next_one_lost_nothing() -> None:
    replay, _ = replayed(restarted(*ALL[:-1]))
    assert replay.cuts("it") == []


def test_a_gap_loses_nothing_but_what_was_lost() -> None:
    """The halves of lines around it are not in the recording."""
    begun, ended = THIRD[0][:-10], b' half of one"}\n'
    data = recorded(*BEGUN, FIRST, (begun, at(450)), 5, (ended + SECOND_ONE[0], at(500)), *END)
    assert b"half of one" not in data
    replay, sink = replayed(data)
    assert [body for body in bodies(sink) if body in BODIES] == [*BODIES[:2], BODIES[5], *BODIES[2:4], BODIES[-1]]
    assert replay.pipeline.stream.dropped_lines == 5
    assert replay.pipeline.stream.unparsed == 0
    assert own_totals(sink)["ebpf_events_dropped_total overrun"] == 5


def test_the_gap_that_is_told_last_counts_all() -> None:
    replay, _ = replayed(recorded(*BEGUN, FIRST, 5, SECOND_ONE, 12, *END))
    assert replay.pipeline.stream.dropped_lines == 12


# What was cut says less, and nothing else.


def is_earlier(cut: Any, whole: Any) -> bool:
    """Whether a point can have become the other one later."""
    if not isinstance(cut, tuple):
        return bool(cut == whole)
    counts = dict(zip((*whole[0], None), whole[1], strict=True))
    return all(count <= counts.get(bound, 0) for bound, count in zip((*cut[0], None), cut[1], strict=True))


def check_cut(cut: Collected, whole: Collected, text: bytes = b"") -> None:
    """Records are the first ones of the whole's, and every point is one of the whole's, or of a part of its buckets.

    A last line that was begun says no more than the whole one. ``text``: what was cut, where that is text.
    """
    kept = [one for one in cut.logs if one in whole.logs]
    assert kept == whole.logs[: len(kept)]
    rest = [record for _, record in cut.logs if all(record != other for _, other in whole.logs)]
    assert len(rest) <= 1
    for record in rest:
        begun = next((other for _, other in whole.logs[len(kept) :] if other.body.startswith(record.body)), None)
        assert begun is not None or text.decode("utf-8", "backslashreplace").rstrip("\n").endswith(record.body)
        assert record.attributes.items() <= (begun.attributes if begun is not None else {}).items()
    processed = "ebpf_events_processed_total "
    assert own_totals(cut)[processed] <= own_totals(whole)[processed] + len(rest)
    check_points(cut, whole)


def check_points(cut: Collected, whole: Collected) -> None:
    known: dict[Series, list[Any]] = {}
    for key, held, _ in series(whole):
        known.setdefault(key, []).append(held)
    for key, held, _ in series(cut):
        assert any(is_earlier(held, other) for other in known.get(key, []))


# Of less nobody can tell that it is JSON.
SHORTEST = len('{"type"')


def test_a_recording_can_be_cut_anywhere() -> None:
    _, whole = replayed(RECORDING)
    counts = []
    for size in range(SHORTEST, len(RECORDING)):
        _, cut = replayed(RECORDING[:size])
        if size > RECORDING.index(b"\n"):
            check_cut(cut, whole)
        else:
            assert (cut.logs, list(series(cut))) == ([], [])
        counts.append(len(cut.logs))
    assert counts == sorted(counts)
    assert counts[-1] == len(BODIES)


CAPTURES = ["printf", "print-value", "map-keyed", "stats", "lhist", "join", "hist"]


@pytest.mark.parametrize("case", CAPTURES)
def test_json_can_be_cut_anywhere(case: str) -> None:
    data = (DATA / "0.17.0" / f"{case}.json").read_bytes()
    _, whole = replayed(data, start=BOOT)
    assert whole.logs or whole.snapshots
    for size in range(SHORTEST, len(data)):
        check_cut(replayed(data[:size], start=BOOT)[1], whole)


TEXTS = {
    "lines": b"""Attaching 5 probes...
Tracing... Hit Ctrl-C to end.
05:41:00 7      a b              3 /etc/my file
05:41:01 8      sh               3 /x
\xff\xfe no text
""",
    "tables": b"""Attaching 1 probe...
TIME     PID    COMM             RET PATH
05:41:00 421    sh                 3 /etc/my file
05:41:01 4213   bash              -2 /x
""",
    "maps": b"""Attaching 2 probes...
^C

@calls: 1234
@last[42]: sh
@opens[a b]: 12
@opens[sh]: 345
@pair: (12, x)
@stats[sh]: count 2, average 7, total 15
@usecs:
[2, 4)                12 |@@@@@@@@@@@@@@@@@@@@@@@@@@                          |
[4, 8)                24 |@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@|

@wait[a b]:
[0, 10)               12 |@@@@@@@@@@@@@@@@@@@@@@@@@@                          |
[10, ...)             24 |@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@|

""",
}


@pytest.mark.parametrize("case", TEXTS)
@pytest.mark.parametrize("known", [False, True])
def test_text_can_be_cut_anywhere(case: str, known: bool) -> None:
    data, signals = TEXTS[case], (program(),) if known else ()
    _, whole = replayed(data, start=BOOT, signals=signals)
    assert whole.logs or any(series(whole))
    for size in range(len(data)):
        check_cut(replayed(data[:size], start=BOOT, signals=signals)[1], whole, data[:size])


# What processes print means nothing.

FORGED = [
    '{"type":"moment","unix":1,"offset":0}',
    '{"type":"recording","version":1,"resource":{},"signals":[],"limits":[1,1,1]}',
    '{"type":"gap","lines":1000}',
    '{"type": "value", "data": ["orchestrator","end",1]}',
    '{"type": "map", "data": {"@opens": {"sh": 1000}}}',
]


@pytest.mark.parametrize("forged", FORGED)
@pytest.mark.parametrize("around", ["{}", "\n{}\n", "x\n{}", "{}\n{}"])
def test_what_looks_like_a_line_of_a_recording_in_a_text_is_text(forged: str, around: str) -> None:
    text = around.replace("{}", forged)
    parts = [
        (printed("printf", "10     sh               \n") + printed("printf", f"3 {text}\n"), at(510)),
        (
            shown("last", {text: text}) + value(text, text) + printed("join", text) + printed("cat", f"{text}\n"),
            at(520),
        ),
    ]
    replay, sink = replayed(recorded(*BEGUN, FIRST, *parts, SECOND_ONE, SNAPSHOT, *END))
    _, plain = replayed(recorded(*BEGUN, FIRST, SECOND_ONE, SNAPSHOT, *END))
    assert [record for record in records(sink) if record.body in BODIES] == records(plain)
    assert list(series(sink)) == list(series(plain))
    assert replay.pipeline.ended
    assert (replay.pipeline.stream.dropped_lines, replay.pipeline.stream.unparsed) == (0, 0)
    for record in records(sink):
        assert BOOT < record.time_unix_nano < BOOT + 1000


@pytest.mark.parametrize("forged", FORGED[:3])
def test_what_looks_like_a_line_of_a_recording_is_text_in_text(forged: str) -> None:
    """Nothing is escaped there: a file may be called so that its name has a line to itself."""
    data = f"Attaching 1 probe...\nopened /tmp/\n{forged}\nopened /x\n".encode()
    replay, sink = replayed(data, start=BOOT)
    assert bodies(sink) == ["opened /tmp/", forged, "opened /x"]
    assert {record.time_unix_nano for record in records(sink)} == {BOOT}
    assert replay.pipeline.stream.dropped_lines == 0
    assert not replay.is_recording


# The command.


@dataclass(frozen=True)
class Done:
    """What a command left."""

    code: int
    out: str
    err: str
    requests: list[dict[str, Any]]

    @property
    def records(self) -> list[dict[str, Any]]:
        return [
            {"scope": scope["scope"]["name"], "resource": attributes_of(resource["resource"]), **record}
            for request in self.requests
            for resource in request.get("resourceLogs", [])
            for scope in resource["scopeLogs"]
            for record in scope["logRecords"]
        ]

    @property
    def bodies(self) -> list[str]:
        return [record["body"]["stringValue"] for record in self.records]

    @property
    def metrics(self) -> dict[str, dict[str, Any]]:
        """The last of each."""
        return {
            metric["name"]: metric
            for request in self.requests
            for resource in request.get("resourceMetrics", [])
            for scope in resource["scopeMetrics"]
            for metric in scope["metrics"]
        }


def attributes_of(holder: dict[str, Any]) -> dict[str, Any]:
    return {one["key"]: next(iter(one["value"].values())) for one in holder.get("attributes", [])}


Orchestrate = Callable[..., Done]


@pytest.fixture
def orchestrate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Orchestrate]:
    """``orchestrate replay ...`` in an empty folder, with its output in a file."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}

    def run(*arguments: str) -> Done:
        output = tmp_path / "out.jsonl"
        output.unlink(missing_ok=True)
        given = ["replay", *arguments, *(() if "--output" in arguments else ("--output", str(output)))]
        try:
            code = main(given)
        except SystemExit as error:  # argparse
            code = int(error.code or 0)
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        lines = output.read_text().splitlines() if output.exists() else []
        return Done(code, said.out, said.err, [json.loads(line) for line in lines])

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


TEXT = (
    b"Attaching 5 probes...\n05:41:00 7      a b              3 /etc/my file\n05:41:01 8      sh               3 /x\n"
)
PLAIN = (
    b'{"type": "attached_probes", "data": {"probes": 5}}\n'
    + opened("05:41:00", 7, "a b", "/etc/my file", 290)
    + shown("opens", {"a b": 1, "sh": 2})
)


def test_a_recording_needs_nothing_else(orchestrate: Orchestrate) -> None:
    Path("run.rec").write_bytes(RECORDING)
    done = orchestrate("run.rec")
    assert (done.code, done.out) == (0, "")
    assert done.err.splitlines()[-1].startswith("opens: ")
    assert "5 probes, 8 log records" in done.err
    assert done.bodies == BODIES
    assert done.metrics["ebpf.opens.opens"]["sum"]["isMonotonic"] is True
    assert {record["resource"]["host.name"] for record in done.records} == {"box"}
    runs = {record["resource"]["ebpf.run.id"] for record in done.records}
    assert len(runs) == 1
    assert runs.isdisjoint({record["resource"]["ebpf.run.id"] for record in orchestrate("run.rec").records})


def test_a_recording_that_was_cut_off_says_so(orchestrate: Orchestrate) -> None:
    Path("run.rec").write_bytes(RECORDING[: RECORDING.index(b'"end",700')])
    done = orchestrate("run.rec")
    assert done.code == 1
    assert "cut off" in done.err
    assert done.bodies == BODIES[:-1]


def test_a_recording_with_a_restart_says_so(orchestrate: Orchestrate) -> None:
    Path("run.rec").write_bytes(restarted(*BEGUN, FIRST, SNAPSHOT))
    done = orchestrate("run.rec")
    assert done.code == 1
    assert "bpftrace was started again in the recording" in done.err
    assert done.bodies == [*BODIES[:2], *BODIES]
    assert done.err.splitlines()[-1].startswith("opens: 0.0 s, 5 probes, 10 log records")


def test_what_a_restart_says_of_its_signals_may_make_no_sense(orchestrate: Orchestrate) -> None:
    whole = restarted(*BEGUN, FIRST, SNAPSHOT)
    place = whole.rindex(HEADER_PREFIX)
    damaged = whole[place:].replace(b'"attribute":"process.pid"', b'"attribute":"process.pid","decode":"nope"')
    Path("run.rec").write_bytes(whole[:place] + damaged)
    done = orchestrate("run.rec")
    assert done.code == 2
    assert "what it says of a restart makes no sense" in done.err


@pytest.mark.parametrize("capture", [TEXT, PLAIN])
def test_a_program_gives_a_capture_its_meaning(orchestrate: Orchestrate, capture: bytes) -> None:
    Path("opens.bt").write_text(OPENS)
    Path("capture").write_bytes(capture)
    done = orchestrate("capture", "--script", "opens.bt")
    assert done.code == 0
    first = done.records[0]
    assert (first["scope"], first["eventName"]) == ("bpftrace-orchestrator/opens", "ebpf.opens.sys_exit_openat")
    assert attributes_of(first) == {
        "process.pid": "7",
        "thread.name": "a b",
        "ebpf.return_code": "3",
        "ebpf.name": "/etc/my file",
    }


@pytest.mark.parametrize("capture", [TEXT, PLAIN])
def test_without_a_program_every_line_is_a_record(orchestrate: Orchestrate, capture: bytes) -> None:
    Path("some.capture.out").write_bytes(capture)
    done = orchestrate("some.capture.out")
    assert done.code == 0
    assert BODIES[0] in done.bodies
    assert {record["scope"] for record in done.records} == {"bpftrace-orchestrator/some"}
    assert {record["eventName"] for record in done.records} == {"ebpf.some"}
    if capture is PLAIN:
        points = done.metrics["ebpf.some.opens"]["gauge"]["dataPoints"]
        assert [(attributes_of(point), point["asInt"]) for point in points] == [
            ({"ebpf.key": "a b"}, "1"),
            ({"ebpf.key": "sh"}, "2"),
        ]


def test_a_manifest_beside_the_program_counts(orchestrate: Orchestrate) -> None:
    Path("opens.bt").write_text(OPENS)
    Path("opens.yaml").write_text(
        "summary: Opens\nprocess: own\nmetrics:\n"
        "  opens: {name: ebpf.mine, instrument: counter, unit: '{file}', description: Mine}\n"
    )
    Path("capture").write_bytes(PLAIN)
    done = orchestrate("capture", "--script", "opens.bt")
    assert done.code == 0
    assert (done.metrics["ebpf.mine"]["unit"], done.metrics["ebpf.mine"]["description"]) == ("{file}", "Mine")


def test_another_program_takes_the_place_of_the_recorded_one(orchestrate: Orchestrate) -> None:
    """What was annotated since."""
    Path("run.rec").write_bytes(RECORDING)
    Path("opens.bt").write_text(f"// otlp: @opens name=file.opens\n{OPENS}")
    done = orchestrate("run.rec", "--script", "opens.bt")
    assert done.code == 0
    assert "file.opens" in done.metrics
    assert "ebpf.opens.opens" not in done.metrics


@pytest.mark.parametrize("version", ["0.17", "0.27"])
def test_built_in_signals_give_a_capture_its_meaning(orchestrate: Orchestrate, version: str) -> None:
    Path("capture").write_bytes((DATA / "joined" / f"{version}.txt").read_bytes())
    done = orchestrate("capture", "--signal", "tcp,exec")
    assert done.code == 0
    assert Counter(record["eventName"] for record in done.records) == {
        "ebpf.process.exec": 6,
        "ebpf.process.exit": 7,
        "ebpf.tcp.connection.open": 14,
        "ebpf.tcp.connection.close": 14,
        "ebpf.tcp.connection.fail": 1,
    }


def test_standard_input(orchestrate: Orchestrate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(RECORDING)))
    assert orchestrate("-").bodies == BODIES
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(TEXT)))
    done = orchestrate("-")
    assert done.code == 0
    assert {record["scope"] for record in done.records} == {"bpftrace-orchestrator/stdin"}
    assert len(done.bodies) == 2


@pytest.mark.parametrize(
    ("start", "unix"),
    [
        ("1700000000", 1_700_000_000 * SECOND),
        ("1700000000.25", 1_700_000_000 * SECOND + SECOND // 4),
        ("2023-11-14T22:13:20Z", 1_700_000_000 * SECOND),
        ("2023-11-14T23:13:20+01:00", 1_700_000_000 * SECOND),
        ("2023-11-14 22:13:20", 1_700_000_000 * SECOND),
    ],
)
def test_the_start_of_a_capture_can_be_given(
    orchestrate: Orchestrate, set_zone: Callable[[str], None], start: str, unix: int
) -> None:
    set_zone("UTC0")
    Path("capture").write_bytes(b"Attaching 1 probe...\nhello\n")
    done = orchestrate("capture", "--start", start)
    assert (done.code, [int(record["timeUnixNano"]) for record in done.records]) == (0, [unix])


def test_times_in_a_capture_move_it_on_from_its_start(
    orchestrate: Orchestrate, set_zone: Callable[[str], None]
) -> None:
    set_zone("UTC0")
    Path("capture").write_bytes(TEXT)
    done = orchestrate("capture", "--start", "2023-11-14T05:41:00Z")
    base = 1_699_940_460 * SECOND
    assert [int(record["timeUnixNano"]) - base for record in done.records] == [0, SECOND]


def test_without_a_start_the_file_s_own_time_is_near(orchestrate: Orchestrate, set_zone: Callable[[str], None]) -> None:
    set_zone("UTC0")
    Path("capture").write_bytes(b"Attaching 1 probe...\nhello\n")
    os.utime("capture", ns=(BOOT, BOOT))
    assert [record["timeUnixNano"] for record in orchestrate("capture").records] == [str(BOOT)]
    Path("capture").write_bytes(TEXT)
    written = 1_699_940_460 * SECOND + 3600 * SECOND  # 06:41; the times in it are 05:41
    os.utime("capture", ns=(written, written))
    assert [int(record["timeUnixNano"]) for record in orchestrate("capture").records] == [
        1_699_940_460 * SECOND,
        1_699_940_461 * SECOND,
    ]


def test_a_capture_did_not_begin_after_it_was_written(
    orchestrate: Orchestrate, set_zone: Callable[[str], None]
) -> None:
    """It ran from 05:41 to 22:13 of the same day."""
    set_zone("UTC0")
    Path("capture").write_bytes(TEXT)
    os.utime("capture", ns=(BOOT, BOOT))
    assert int(orchestrate("capture").records[0]["timeUnixNano"]) == 1_699_940_460 * SECOND


def test_a_start_is_not_ignored_where_the_recording_has_one(orchestrate: Orchestrate) -> None:
    Path("run.rec").write_bytes(RECORDING)
    done = orchestrate("run.rec", "--start", "1600000000")
    times = {int(record["timeUnixNano"]) // SECOND for record in done.records}
    assert done.code == 2 or times == {1_600_000_000}


@pytest.mark.parametrize(
    "start",
    ["", "x", "-5", "1e9", "2026-13-45", "99999999999999999999", "1969-12-31T00:00:00Z", "9999-12-31T23:59:59Z"],
)
def test_a_start_that_is_none(orchestrate: Orchestrate, start: str) -> None:
    """OTLP's times are Unix nanoseconds in 64 bits: from 1970 to 2554."""
    Path("capture").write_bytes(TEXT)
    done = orchestrate("capture", f"--start={start}")
    assert (done.code, done.requests) == (2, [])
    assert "--start" in done.err


def test_a_gap_is_told(orchestrate: Orchestrate) -> None:
    after = (b'half of a line"}\n' + SECOND_ONE[0], SECOND_ONE[1])
    Path("run.rec").write_bytes(recorded(*BEGUN, FIRST, 5, after, *END))
    done = orchestrate("run.rec")
    assert done.code == 1
    assert "5 lines" in done.err
    assert done.bodies == [*BODIES[:4], BODIES[-1]]


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("missing", "No such file or directory"),
        ("folder", "Is a directory"),
        ("missing/x", "No such file or directory"),
    ],
)
def test_what_cannot_be_read(orchestrate: Orchestrate, file: str, said: str) -> None:
    Path("folder").mkdir()
    done = orchestrate(file)
    assert (done.code, done.requests, done.out) == (2, [], "")
    assert done.err == f"orchestrate: {file}: {said}\n"


@pytest.mark.parametrize(
    "data",
    [b"", b"\n", b"\n\n \n", b"\0", bytes(range(256)) * 20, b"\x7fELF\x02\x01\x01\0" + bytes(1000), b"\x1f\x8b\x08\0"],
)
def test_what_is_no_capture(orchestrate: Orchestrate, data: bytes) -> None:
    Path("junk").write_bytes(data)
    for options in ([], ["--start", "1700000000"]):
        done = orchestrate("junk", *options)
        assert done.code == 0
        assert "junk: " in done.err
        assert not [name for name in done.metrics if not name.startswith("ebpf_events_")]


def test_the_closing_line_counts_what_a_piece_of_a_capture_gave(orchestrate: Orchestrate) -> None:
    """It says nothing of probes, as that of ``bpftrace -q``."""
    Path("capture").write_bytes(TEXT.partition(b"\n")[2])
    done = orchestrate("capture")
    assert (done.code, len(done.bodies)) == (0, 2)
    assert "2 log records" in done.err
    assert "stopped before" not in done.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--script", "missing.bt"], "missing.bt"),
        (["--script", "capture"], ".bt"),
        (["--script", "folder.bt"], "folder.bt"),
        (["--script", "binary.bt"], "binary.bt"),
        (["--script", "annotated.bt"], "line 2"),
        (["--signal", "nosuch"], "nosuch"),
        (["--signal", "tcp,,exec"], "tcp,,exec"),
        (["--signal", "tcp,opens.bt"], "opens"),
        (["--signal", "tcp", "--script", "opens.bt"], "--script"),
        (["--config", "missing.yaml"], "missing.yaml"),
        (["--output", "capture"], "capture"),
        (["--output", "missing/out.jsonl"], "missing/out.jsonl"),
        (["--otlp-protocol", "carrier-pigeon"], "carrier-pigeon"),
        ([], "FILE"),
    ],
)
def test_what_cannot_be_asked_for(orchestrate: Orchestrate, arguments: list[str], said: str) -> None:
    Path("capture").write_bytes(TEXT)
    Path("folder.bt").mkdir()
    Path("opens.bt").write_text(OPENS)
    Path("binary.bt").write_bytes(b"\xff\xfe\0")
    Path("annotated.bt").write_text("kprobe:f { @m = count(); }\n// otlp: @m instrument=meter\n")
    done = orchestrate(*(["capture"] if arguments else []), *arguments)
    assert done.code == 2
    assert said in done.err
    assert Path("capture").read_bytes() == TEXT


@pytest.mark.parametrize(
    "meaning",
    [
        r'prints: [{name: a, pieces: [{printf: "%5.2f\n"}]}]',
        r'prints: [{name: a, pieces: [{printf: "%d\n", fields: [{attribute: a}, {attribute: b}]}]}]',
        r'prints: [{name: a, pieces: [{printf: "%d\n", fields: [{attribute: a, decode: nope}]}]}]',
        "texts: {last: {name: a, keys: [{attribute: a, decode: nope}]}}",
    ],
)
def test_a_manifest_that_makes_no_sense_is_an_error_of_its_file(orchestrate: Orchestrate, meaning: str) -> None:
    Path("opens.bt").write_text(OPENS)
    Path("opens.yaml").write_text(f"summary: Opens\nprocess: own\n{meaning}\n")
    Path("capture").write_bytes(TEXT)
    done = orchestrate("capture", "--script", "opens.bt")
    assert (done.code, done.requests) == (2, [])
    assert "opens.yaml" in done.err


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (rb"%d %s\\n", rb"%d %f\\n"),
        (b'"attribute":"process.pid"', b'"attribute":"process.pid","decode":"nope"'),
        (b'"unix":1700000000', b'"unix":-700000000'),
        (b'"unix":1700000000', b'"unix":91700000000'),
        (b'"version":1', b'"version":2'),
        (b'"opened",290', b'"opened",99999999999999999999'),
        (b'"opened",290', b'"opened","soon"'),
        (b'"opened",290', b'"opened",-99999999999999999999'),
        (b'{"@opens": {', b'{"@opens": {"x": 99999999999999999999999999, '),
        (b'"max": 3', b'"max": 99999999999999999999999999'),
        (b'"max": 3', b'"max": "x"'),
        (b'"end",700', b'"end",99999999999999999999'),
    ],
)
def test_a_recording_that_was_damaged_is_no_traceback(orchestrate: Orchestrate, old: bytes, new: bytes) -> None:
    assert old in RECORDING
    Path("run.rec").write_bytes(RECORDING.replace(old, new))
    done = orchestrate("run.rec")
    assert done.code in {0, 1, 2}
    assert done.err


@pytest.mark.parametrize("kind", ["resourceLogs", "resourceSpans", "resourceProfiles", "resourceMetrics"])
def test_otlp_is_no_recording(tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "undelivered.jsonl").write_text(f'{{"{kind}":[]}}\n')
    assert main(["replay", str(tmp_path / "undelivered.jsonl"), "--output", "-"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "is OTLP already" in err
