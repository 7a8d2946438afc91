"""What real bpftrace printed for the joined program of tcp and exec, through the whole pipeline."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from orchestrator.catalog import load_signal
from orchestrator.limits import Limits
from orchestrator.pipeline import OWN_SCOPE, Pipeline
from orchestrator.signals.clock import Moment
from orchestrator.signals.model import HistogramPoint
from parsers.records import Unparsed
from parsers.stream import OutputStream
from tests.orchestrator.collecting import Collected, values
from tests.parsers.feeding import DATA

VERSIONS = ["0.17", "0.23", "0.27"]
LIMITS = Limits(string=200, map_keys=16384, pages=64)
OFFSET = 1_700_000_000_000_000_000
NOW = Moment(unix=OFFSET, offset=OFFSET)
EXEC, TCP = "bpftrace-orchestrator/exec", "bpftrace-orchestrator/tcp"
GARBAGE = [
    b"output of a child",
    b'{"type": "value", "data": [1,',
    b"\xff\xfe",
    b'{"type": "value", "data": ["unknown tag",1,2]}',
]

Lines = list[bytes]


def recorded(version: str) -> Lines:
    return (DATA / "joined" / f"{version}.txt").read_bytes().splitlines()


def run(lines: Lines, *, chunk: int | None = None, limits: Limits = LIMITS) -> tuple[Pipeline, Collected]:
    """One line after the other, and many in one pass, which has to be the same but for the order of events."""
    pipeline, sink = run_once(lines, chunk, limits, in_batches=False)
    fast, fast_sink = run_once(lines, chunk, limits, in_batches=True)
    assert fast.stream == pipeline.stream
    assert fast.counts == pipeline.counts
    assert fast_sink.snapshots == sink.snapshots
    assert sorted(fast_sink.logs, key=repr) == sorted(sink.logs, key=repr)
    return pipeline, sink


def run_once(lines: Lines, chunk: int | None, limits: Limits, *, in_batches: bool) -> tuple[Pipeline, Collected]:
    sink = Collected()
    pipeline = Pipeline([load_signal("tcp"), load_signal("exec")], limits, sink)
    assert pipeline.shapes.keys() == {"tcp_open", "tcp_fail", "tcp_close", "exec_exit"}
    stream = OutputStream(shapes=pipeline.shapes if in_batches else None)
    data = b"".join(line + b"\n" for line in lines)
    size = chunk or len(data)
    for start in range(0, len(data), size):
        pipeline.feed(stream.feed(data[start : start + size]), NOW)
    pipeline.feed(stream.close(), NOW)
    pipeline.close()
    return pipeline, sink


def marks(lines: Lines, what: str) -> list[int]:
    pattern = re.compile(rb'\["orchestrator","%s",(\d+)\]' % what.encode())
    return [int(match[1]) for line in lines if (match := pattern.search(line))]


@pytest.fixture(params=VERSIONS)
def lines(request: pytest.FixtureRequest) -> Lines:
    return recorded(request.param)


def test_nothing_is_lost_and_all_is_counted(lines: Lines) -> None:
    pipeline, sink = run(lines)
    assert pipeline.ready
    assert pipeline.ended
    assert pipeline.probes == 30
    assert pipeline.counts["tcp"].received == pipeline.counts["tcp"].emitted == 29
    assert pipeline.counts["exec"].received == pipeline.counts["exec"].emitted == 13
    assert [counts.lost for counts in pipeline.counts.values()] == [0, 0]
    stream = pipeline.stream
    assert (stream.unparsed, stream.unknown, stream.unread_entries) == (0, 0, 0)
    assert stream.problems == {}
    events = [record.event_name for _, record in sink.logs]
    assert {name: events.count(name) for name in events} == {
        "ebpf.process.exec": 6,
        "ebpf.process.exit": 7,
        "ebpf.tcp.connection.open": 14,
        "ebpf.tcp.connection.close": 14,
        "ebpf.tcp.connection.fail": 1,
    }
    assert {name for name, record in sink.logs if "tcp" in record.event_name} == {TCP}
    assert {name for name, record in sink.logs if "process" in record.event_name} == {EXEC}


def test_the_size_of_chunks_makes_no_difference(lines: Lines) -> None:
    whole = run(lines)[1]
    pieces = run(lines, chunk=997)[1]
    assert pieces.logs == whole.logs
    assert pieces.snapshots == whole.snapshots


def test_each_snapshot_has_its_kernel_time(lines: Lines) -> None:
    _, sink = run(lines)
    times = [*marks(lines, "ready"), *marks(lines, "snapshot"), *marks(lines, "end")]
    assert len(sink.snapshots) == len(times)
    (start,) = marks(lines, "begin")
    for snapshot, time in zip(sink.snapshots, times, strict=True):
        for metrics in snapshot.values():
            for metric in metrics.values():
                assert (metric.start_unix_nano, metric.time_unix_nano) == (start + OFFSET, time + OFFSET)


def test_events_have_the_time_at_which_they_happened(lines: Lines) -> None:
    _, sink = run(lines)
    begin, end = marks(lines, "begin")[0] + OFFSET, marks(lines, "end")[0] + OFFSET
    assert all(begin < record.time_unix_nano < end for _, record in sink.logs)
    assert {record.observed_time_unix_nano for _, record in sink.logs} == {OFFSET}


def test_metrics_of_the_last_snapshot(lines: Lines) -> None:
    last = run(lines)[1].snapshots[-1]
    assert set(last) == {TCP, EXEC, OWN_SCOPE.name}
    tcp = last[TCP]
    assert set(tcp) == {
        "system.network.tcp.connection.successes",
        "system.network.tcp.connection.failures",
        "system.network.tcp.resets",
        "ebpf.tcp.io",
        "ebpf.tcp.connection.duration",
        "system.network.tcp.rtt.duration",
    }
    opened = values(
        tcp["system.network.tcp.connection.successes"], "network.tcp.handshake.role", "network.type", "server.port"
    )
    by_kind = {
        (role, kind): sum(value for key, value in opened.items() if key[:2] == (role, kind)) for role, kind, _ in opened
    }
    assert by_kind == {("active", "ipv4"): 5, ("passive", "ipv4"): 5, ("active", "ipv6"): 2, ("passive", "ipv6"): 2}
    failed = values(tcp["system.network.tcp.connection.failures"], "network.type", "server.port", "error.type")
    assert failed == {("ipv4", 9, "ECONNREFUSED"): 1}
    resets = values(tcp["system.network.tcp.resets"], "network.io.direction", "server.port")
    assert resets[("transmit", 9)] == resets[("receive", 9)] == 1
    directions = values(tcp["ebpf.tcp.io"], "network.tcp.handshake.role", "network.io.direction", "server.port")
    assert {key[:2]: value for key, value in directions.items()} == {
        ("active", "transmit"): 77,
        ("active", "receive"): 5000,
        ("passive", "transmit"): 5000,
        ("passive", "receive"): 77,
    }
    calls = values(last[EXEC]["ebpf.process.execs"], "error.type")
    assert calls == {(None,): 3, ("ENOENT",): 2, ("EACCES",): 1}


def test_histograms_of_the_last_snapshot(lines: Lines) -> None:
    tcp = run(lines)[1].snapshots[-1][TCP]
    for name in ("ebpf.tcp.connection.duration", "system.network.tcp.rtt.duration"):
        points = [point for point in tcp[name].points if isinstance(point, HistogramPoint)]
        assert len(points) == len(tcp[name].points) == 14
        for point in points:
            assert sum(point.counts) == 1
            assert len(point.counts) == len(point.bounds) + 1


def test_closed_connections_agree_with_the_counters(lines: Lines) -> None:
    """What bpftrace printed of each connection, and what it counted of all, agree."""
    _, sink = run(lines)
    closed = sink.named("ebpf.tcp.connection.close")
    assert sum(int(str(record.attributes["ebpf.bytes.sent"])) for record in closed) == 7 * (77 + 5000)
    metric = sink.snapshots[-1][TCP]["ebpf.tcp.connection.duration"]
    by_series = {
        (point.attributes["network.tcp.handshake.role"], point.attributes["server.port"]): point
        for point in metric.points
    }
    for record in closed:
        point = by_series[record.attributes["network.tcp.handshake.role"], record.attributes["server.port"]]
        assert isinstance(point, HistogramPoint)
        index = list(point.counts).index(1)
        # The probe that counts runs a few microseconds after the one that prints.
        assert point.bounds[index - 1] - 1e-4 < float(str(record.attributes["ebpf.duration"])) <= point.bounds[index]


def test_executions_arrive_with_all_their_arguments(lines: Lines) -> None:
    _, sink = run(lines)
    found = {
        tuple(args): record
        for record in sink.named("ebpf.process.exec")
        if isinstance(args := record.attributes["process.command_args"], list)
    }
    path = "/nonexistent/prog é"
    tail = ("arg 1", 'b"c', "y" * (200 if lines == recorded("0.27") else 199))
    assert set(found) == {
        ("/bin/echo", "one", "two three", 'q"uo\\te', "nl\nx", "é", "\udcff\udcfe", "x" * 700),
        ("/bin/sh", "-c", "exit 3"),
        ("/bin/sh", "-c", "kill -9 $$"),
        (path, *tail),
        ("/nonexist/\udcff", *tail),
        ("/etc/passwd", *tail),
    }
    for args, record in found.items():
        assert record.attributes["process.executable.path"] == args[0]
        cut = args[-1].startswith("y")
        assert record.attributes.get("ebpf.truncated") == (["process.command_args"] if cut else None)
        assert record.severity == ("warn" if cut else "info")
    assert found[("/etc/passwd", *tail)].attributes["error.type"] == "EACCES"
    assert found[(path, *tail)].attributes["error.type"] == "ENOENT"


def test_exits_have_a_code_or_a_signal(lines: Lines) -> None:
    _, sink = run(lines)
    ends = [
        (
            record.attributes["thread.name"],
            record.attributes.get("process.exit.code"),
            record.attributes.get("ebpf.process.exit.signal"),
        )
        for record in sink.named("ebpf.process.exit")
    ]
    assert ("sh", 3, None) in ends
    assert ("sh", None, "SIGKILL") in ends
    assert ("echo", 0, None) in ends
    assert ends.count(("python3", 255, None)) == 3


def remove(lines: Lines, wanted: Callable[[bytes], bool], count: int) -> Lines:
    gone = [index for index, line in enumerate(lines) if wanted(line)][:count]
    assert len(gone) == count
    return [line for index, line in enumerate(lines) if index not in gone]


@pytest.mark.parametrize("count", [1, 5, 14])
def test_lost_events_are_emitted_minus_received(lines: Lines, count: int) -> None:
    pipeline, sink = run(remove(lines, lambda line: b'["tcp_close"' in line, count))
    assert pipeline.counts["tcp"].lost == count
    assert pipeline.counts["exec"].lost == 0
    assert len(sink.named("ebpf.tcp.connection.close")) == 14 - count
    dropped = sink.snapshots[-1][OWN_SCOPE.name]["ebpf_events_dropped_total"]
    assert values(dropped, "ebpf.signal", "error.type")["tcp", "lost"] == count
    processed = sink.snapshots[-1][OWN_SCOPE.name]["ebpf_events_processed_total"]
    assert values(processed, "ebpf.signal") == {("tcp",): 29 - count, ("exec",): 13}


def test_a_part_that_was_lost_shows_in_its_event(lines: Lines) -> None:
    pipeline, sink = run(remove(lines, lambda line: b"exec_args " in line and b" 196 " in line, 1))
    assert pipeline.counts["exec"].lost == 0
    (echo,) = [
        record for record in sink.named("ebpf.process.exec") if record.attributes["process.executable.name"] == "echo"
    ]
    assert echo.attributes["ebpf.truncated"] == ["process.command_args"]


@pytest.mark.parametrize("garbage", GARBAGE)
def test_garbage_between_lines_costs_nothing_else(lines: Lines, garbage: bytes) -> None:
    clean, clean_sink = run(lines)
    dirty, dirty_sink = run([part for line in lines for part in (garbage, line)])
    assert dirty.stream.unparsed == len(lines)
    assert dirty.counts == clean.counts
    assert dirty_sink.logs == clean_sink.logs
    last, expected = dirty_sink.snapshots[-1], clean_sink.snapshots[-1]
    assert (last[TCP], last[EXEC]) == (expected[TCP], expected[EXEC])
    dropped = last[OWN_SCOPE.name]["ebpf_events_dropped_total"]
    assert values(dropped, "ebpf.signal", "error.type")[None, "unparsed"] > 0


def test_a_killed_bpftrace_keeps_its_last_snapshot(lines: Lines) -> None:
    end = next(index for index, line in enumerate(lines) if b'"end"' in line)
    pipeline, sink = run(lines[:end])
    assert not pipeline.ended
    assert len(sink.snapshots) == 1 + len(marks(lines, "snapshot"))
    assert values(sink.snapshots[-1][EXEC]["ebpf.process.execs"], "error.type")[None,] == 3


def test_a_snapshot_without_its_end_is_not_taken(lines: Lines) -> None:
    last = max(index for index, line in enumerate(lines) if b'"snapshot_end"' in line)
    _, sink = run(lines[:last])
    assert len(sink.snapshots) == len(marks(lines, "snapshot"))


def test_maps_outside_a_snapshot_are_not_taken() -> None:
    _, sink = run([b'{"type": "map", "data": {"@exec_calls": {"0": 5}}}'])
    assert sink.snapshots == []


def test_problems_of_bpftrace_are_counted_by_message() -> None:
    error = b'{"type": "helper_error", "helper": "map_update_elem", "retcode": -7, "line": 1, "col": 31}'
    lost = b'{"type": "lost_events", "data": {"events": 3}}'
    pipeline, _ = run([error, lost, error, lost, b'{"type": "tomorrow", "data": 1}'])
    assert pipeline.stream.problems == {"map_update_elem returned -7 at 1:31": 2}
    assert pipeline.stream.reported_lost == 6
    assert pipeline.stream.unknown == 1
    assert pipeline.stream.unparsed == 0


def test_problems_do_not_pile_up() -> None:
    def problem(number: int) -> bytes:
        return b'{"type": "warnf", "msg": "number %d"}' % number

    pipeline, _ = run([problem(number) for number in range(1000)] + [problem(0)])
    assert len(pipeline.stream.problems) == 100
    assert pipeline.stream.problems["number 0"] == 2


@pytest.mark.parametrize(
    "line",
    [
        b'{"type": "value", "data": 5}',
        b'{"type": "value", "data": []}',
        b'{"type": "value", "data": [5,6]}',
        b'{"type": "value", "data": {"exec": 1}}',
        b'{"type": "value", "data": ["tcp_open",1]}',
        b'{"type": "value", "data": ["exec_exit",1,2,3,4,5,6,7,"a","b"]}',
        b'{"type": "value", "data": ["exec_failed_args",1,2,3,4]}',
        b'{"type": "value", "data": ["exec_exit","now",2,3,4,5,6,7,"a"]}',
        b'{"type": "value", "data": ["exec_exit",1.5,2,3,4,5,6,7,"a"]}',
        b'{"type": "value", "data": ["orchestrator","snapshot","x"]}',
        b'{"type": "value", "data": ["orchestrator","begin",null]}',
        b'{"type": "value", "data": ["orchestrator","end"]}',
        b'{"type": "printf", "data": "hello\\n"}',
        b'{"type": "printf", "data": ""}',
        b'{"type": "printf", "data": "exec_args 1 2\\n"}',
        b'{"type": "printf", "data": "exec_args 1 2 0 xyz\\n"}',
        b'{"type": "join", "data": "exec_args 1 2 0 61\\n"}',
        b"No probes to attach",
    ],
)
def test_what_can_not_be_read_is_counted(line: bytes) -> None:
    pipeline, sink = run([line])
    assert pipeline.stream.unparsed == 1
    assert sink.logs == []


def test_lines_dropped_by_the_framer_are_counted() -> None:
    pipeline = Pipeline([load_signal("tcp")], LIMITS, Collected())
    pipeline.feed([Unparsed(b"", "line too long")], NOW)
    assert pipeline.stream.unparsed == 1


def test_our_own_metrics_begin_with_zeros_when_all_is_attached(lines: Lines) -> None:
    first = run(lines)[1].snapshots[0]
    assert set(first) == {OWN_SCOPE.name}
    for metric in first[OWN_SCOPE.name].values():
        assert set(values(metric, "ebpf.signal", "error.type").values()) == {0}


@pytest.mark.parametrize(("map_keys", "full"), [(14, True), (15, False)])
def test_a_full_map_is_a_problem(lines: Lines, map_keys: int, full: bool) -> None:
    pipeline, _ = run(lines, limits=LIMITS._replace(map_keys=map_keys))
    assert any("@tcp_connections is full" in problem for problem in pipeline.stream.problems) is full


def test_an_event_lost_after_the_last_snapshot_is_counted_at_the_end(lines: Lines) -> None:
    end = next(index for index, line in enumerate(lines) if b'"end"' in line)
    events = [line for line in lines[:end] if b'"orchestrator"' not in line and b'"tcp_fail"' not in line]
    pipeline, _ = run([*lines[:2], *events, *lines[end:]])
    assert pipeline.counts["tcp"].lost == 1


def test_entries_of_maps_that_can_not_be_read_are_counted(lines: Lines) -> None:
    pipeline, sink = run(
        [line.replace(b'"@tcp_failures": {"1,4,9,111": 1', b'"@tcp_failures": {"1,4": 1') for line in lines]
    )
    assert pipeline.stream.unread_entries == len([line for line in lines if b"@tcp_failures" in line])
    assert "system.network.tcp.connection.failures" not in sink.snapshots[-1][TCP]


def test_a_run_lasts_from_ready_to_the_closing_of_the_gate(lines: Lines) -> None:
    ready, end = marks(lines, "ready")[0], marks(lines, "end")[0]
    assert run(lines)[0].seconds == pytest.approx((end - ready) / 1e9)
    stop = f'{{"type": "value", "data": ["orchestrator","stop",{ready + 500_000_000}]}}'.encode()
    pipeline, _ = run([*lines[:-5], stop, *lines[-5:]])
    assert (pipeline.stopped, pipeline.seconds) == (True, 0.5)
