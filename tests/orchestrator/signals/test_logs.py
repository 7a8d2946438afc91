from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from config.manifest import Event, Field, Part
from orchestrator.catalog import load_signal
from orchestrator.signals.clock import Moment
from orchestrator.signals.logs import TRUNCATED, EventReader
from orchestrator.signals.model import LogRecord

LIMIT = 200
PIECE = 196
UNIX = 1_700_000_000_000_000_000
MOMENT = Moment(unix=42, offset=UNIX)
EXEC_TAGS = {"exec", "exec_failed", "exec_exit", "exec_path", "exec_args", "exec_failed_path", "exec_failed_args"}
TIME, PID = 3059424526916, 32499


def reader(name: str) -> EventReader:
    return EventReader(load_signal(name).manifest.events, LIMIT)


def read(events: EventReader, data: Sequence[Any]) -> LogRecord:
    record = events.read_value(data, MOMENT)
    assert record is not None
    return record


def pieces(tag: str, data: bytes, time: int = TIME, pid: int = PID) -> list[str]:
    """As exec.bt prints bytes: in pieces of at most 196."""
    return [
        f"{tag} {time} {pid} {offset} {data[offset : offset + PIECE].hex(' ')}\n"
        for offset in range(0, len(data), PIECE)
    ]


def executed(path: bytes, args: bytes, *, lost: Sequence[int] = (), backwards: bool = False) -> LogRecord:
    """An exec event with its parts, of which those at ``lost`` never came."""
    events = reader("exec")
    parts = pieces("exec_path", path) + pieces("exec_args", args)
    kept = [part for index, part in enumerate(parts) if index not in lost]
    for part in reversed(kept) if backwards else kept:
        events.read_text(part)
    return read(events, ["exec", TIME, PID, 32479, 1000, 0, len(path), len(args), "echo"])


def failed(arguments: Sequence[str], path: str = "/bin/x", *, order: Sequence[int] | None = None) -> LogRecord:
    events = reader("exec")
    for index in order if order is not None else range(len(arguments)):
        assert events.read_value(["exec_failed_args", TIME, PID, index, arguments[index]], MOMENT) is None
    assert events.read_value(["exec_failed_path", TIME, PID, 0, path], MOMENT) is None
    return read(events, ["exec_failed", TIME, PID, 32479, 0, -2, "python3"])


def test_tags_are_those_of_events_and_parts() -> None:
    assert reader("exec").tags == EXEC_TAGS
    assert reader("tcp").tags == {"tcp_open", "tcp_fail", "tcp_close"}


def test_exec_whole() -> None:
    arguments = ["/bin/echo", "one", "two three", 'q"uo\\te', "nl\nx", "", "é"]
    args = b"".join(argument.encode() + b"\0" for argument in arguments) + b"\xff\xfe\0"
    assert executed(b"/bin/echo\0", args) == LogRecord(
        TIME + UNIX,
        42,
        "ebpf.process.exec",
        "info",
        """/bin/echo one 'two three' 'q"uo\\te' 'nl\\nx' '' 'é' '\\xff\\xfe'""",
        {
            "process.pid": PID,
            "process.parent_pid": 32479,
            "process.user.id": 1000,
            "ebpf.return_code": 0,
            "thread.name": "echo",
            "process.executable.path": "/bin/echo",
            "process.executable.name": "echo",
            "process.command_args": [*arguments, "\udcff\udcfe"],
            "process.args_count": 8,
        },
        {"path_size": 10, "args_size": len(args)},
    )


@pytest.mark.parametrize("size", [1, 195, 196, 197, 392, 1000, 1175])
@pytest.mark.parametrize("backwards", [False, True])
def test_exec_arguments_in_several_pieces(size: int, backwards: bool) -> None:
    record = executed(b"/bin/echo\0", b"echo\0" + b"x" * size + b"\0end\0", backwards=backwards)
    assert record.attributes["process.command_args"] == ["echo", "x" * size, "end"]
    assert TRUNCATED not in record.attributes


def test_exec_path_in_two_pieces() -> None:
    path = b"/" + b"p" * 250 + b"/name\0"
    record = executed(path, b"name\0")
    assert record.attributes["process.executable.path"] == path[:-1].decode()
    assert record.attributes["process.executable.name"] == "name"
    assert TRUNCATED not in record.attributes


def test_exec_arguments_longer_than_what_is_printed() -> None:
    events = reader("exec")
    args = b"echo\0" + b"x" * 2000 + b"\0"
    for part in pieces("exec_path", b"/bin/echo\0") + pieces("exec_args", args)[:6]:
        events.read_text(part)
    record = read(events, ["exec", TIME, PID, 1, 0, 0, 10, len(args), "echo"])
    assert record.attributes["process.command_args"] == ["echo", "x" * 1171]
    assert record.attributes[TRUNCATED] == ["process.command_args"]


def test_exec_with_a_piece_missing_ends_before_it() -> None:
    args = b"echo\0" + b"x" * 500 + b"\0"
    record = executed(b"/bin/echo\0", args, lost=[2])
    assert record.attributes["process.command_args"] == ["echo", "x" * 191]
    assert record.attributes[TRUNCATED] == ["process.command_args"]
    assert record.attributes["process.executable.path"] == "/bin/echo"


def test_exec_with_its_first_piece_missing_says_so() -> None:
    record = executed(b"/bin/echo\0", b"echo\0" + b"x" * 500 + b"\0", lost=[1])
    assert "process.command_args" not in record.attributes
    assert record.attributes[TRUNCATED] == ["process.command_args"]
    assert record.body == "-"


def test_exec_without_any_part() -> None:
    """As with ``args=false``, where none is printed."""
    record = executed(b"/bin/echo\0", b"", lost=[0])
    assert "process.command_args" not in record.attributes
    assert "process.executable.path" not in record.attributes
    assert TRUNCATED not in record.attributes
    assert record.attributes["process.pid"] == PID


def test_exec_whose_path_could_not_be_read() -> None:
    """Memory that is not there is printed as zeros."""
    record = executed(bytes(18), b"echo\0")
    assert "process.executable.path" not in record.attributes
    assert "process.executable.name" not in record.attributes
    assert record.attributes["process.command_args"] == ["echo"]


def test_exec_takes_only_the_parts_of_its_own_time_and_pid() -> None:
    events = reader("exec")
    for time, pid, args in ((1, 10, b"a\0"), (1, 11, b"b\0"), (2, 10, b"c\0")):
        (part,) = pieces("exec_args", args, time, pid)
        events.read_text(part)
    for time, pid, argument in ((2, 10, "c"), (1, 11, "b"), (1, 10, "a")):
        record = read(events, ["exec", time, pid, 1, 0, 0, 10, 2, "x"])
        assert record.attributes["process.command_args"] == [argument]
    record = read(events, ["exec", 1, 10, 1, 0, 0, 10, 2, "x"])
    assert "process.command_args" not in record.attributes


def test_exec_failed() -> None:
    record = failed(["/nonexistent/prog é", "arg 1", 'b"c', ""], "/nonexistent/prog é")
    assert record == LogRecord(
        TIME + UNIX,
        42,
        "ebpf.process.exec",
        "warn",
        """'/nonexistent/prog é' 'arg 1' 'b"c' '': ENOENT""",
        {
            "process.pid": PID,
            "process.parent_pid": 32479,
            "process.user.id": 0,
            "ebpf.return_code": -2,
            "error.type": "ENOENT",
            "thread.name": "python3",
            "process.executable.path": "/nonexistent/prog é",
            "process.executable.name": "prog é",
            "process.command_args": ["/nonexistent/prog é", "arg 1", 'b"c', ""],
            "process.args_count": 4,
        },
    )


def test_exec_failed_keeps_bytes_that_are_no_utf8() -> None:
    record = failed(["\udcff", "cut\udce2\udc82"], "/nonexist/\udcff")
    assert record.attributes["process.command_args"] == ["\udcff", "cut\udce2\udc82"]
    assert record.attributes["process.executable.name"] == "\udcff"


def test_exec_failed_in_any_order() -> None:
    assert failed(["a", "b", "c"], order=[2, 0, 1]).attributes["process.command_args"] == ["a", "b", "c"]


@pytest.mark.parametrize(("order", "shown"), [([0, 2], ["a"]), ([0, 2, 3], ["a"]), ([0, 1, 3], ["a", "b"])])
def test_exec_failed_with_a_piece_missing_ends_before_it(order: list[int], shown: list[str]) -> None:
    record = failed(["a", "b", "c", "d"], order=order)
    assert record.attributes["process.command_args"] == shown
    assert record.attributes[TRUNCATED] == ["process.command_args"]


def test_exec_failed_with_its_first_piece_missing_shows_none() -> None:
    record = failed(["a", "b", "c"], order=[1, 2])
    assert "process.command_args" not in record.attributes
    assert record.attributes[TRUNCATED] == ["process.command_args"]


@pytest.mark.parametrize(
    ("text", "shown", "whole"),
    [
        ("y" * 197, "y" * 197, True),
        ("y" * 199, "y" * 199, False),  # up to 0.23: 199 bytes and a NUL
        ("y" * 200 + "..", "y" * 200, False),  # 0.27
        ("y" * 195 + "..", "y" * 195 + "..", True),
        ("é" * 98, "é" * 98, True),
        ("é" * 99 + "x", "é" * 99 + "x", False),
    ],
)
def test_exec_failed_says_which_strings_bpftrace_cut(text: str, shown: str, whole: bool) -> None:
    record = failed(["a", text, "b"])
    assert record.attributes["process.command_args"] == ["a", shown, "b"]
    assert record.attributes.get(TRUNCATED) == (None if whole else ["process.command_args"])


def test_exec_failed_with_a_cut_path() -> None:
    record = failed(["a"], "/" + "p" * 198)
    assert record.attributes[TRUNCATED] == ["process.executable.path"]


@pytest.mark.parametrize(("count", "shown", "whole"), [(24, 24, True), (25, 24, False)])
def test_exec_failed_has_at_most_24_arguments(count: int, shown: int, whole: bool) -> None:
    arguments = [f"a{index}" for index in range(count)]
    record = failed(arguments)
    assert record.attributes["process.command_args"] == arguments[:shown]
    assert record.attributes.get("process.args_count") == (shown if whole else None)  # of a clipped list it is unknown
    assert (TRUNCATED not in record.attributes) is whole


@pytest.mark.parametrize(
    ("code", "signal", "attributes", "body"),
    [
        (0, 0, {"process.exit.code": 0}, "sh (7) ended: code 0 signal -"),
        (3, 0, {"process.exit.code": 3}, "sh (7) ended: code 3 signal -"),
        (255, 0, {"process.exit.code": 255}, "sh (7) ended: code 255 signal -"),
        (-1, 9, {"ebpf.process.exit.signal": "SIGKILL"}, "sh (7) ended: code - signal SIGKILL"),
        (-1, 11, {"ebpf.process.exit.signal": "SIGSEGV"}, "sh (7) ended: code - signal SIGSEGV"),
    ],
)
def test_exec_exit(code: int, signal: int, attributes: dict[str, Any], body: str) -> None:
    record = read(reader("exec"), ["exec_exit", 5, 7, 1, 1000, code, signal, 1_283_038, "sh"])
    common = {"process.pid": 7, "process.parent_pid": 1, "process.user.id": 1000, "thread.name": "sh"}
    assert record.event_name == "ebpf.process.exit"
    assert record.severity == "info"
    assert record.attributes == {**common, **attributes, "ebpf.duration": 0.001283038}
    assert record.body == body


def test_tcp_open() -> None:
    data = ["tcp_open", 5, 1, 7, "curl", 55546, 443, "::ffff:10.0.0.1", "::ffff:192.0.2.9", 443]
    assert read(reader("tcp"), data) == LogRecord(
        5 + UNIX,
        42,
        "ebpf.tcp.connection.open",
        "info",
        "active TCP connection 10.0.0.1:55546 - 192.0.2.9:443 opened by 7 curl",
        {
            "network.transport": "tcp",
            "network.tcp.handshake.role": "active",
            "process.pid": 7,
            "thread.name": "curl",
            "network.local.port": 55546,
            "network.peer.port": 443,
            "network.local.address": "10.0.0.1",
            "network.type": "ipv4",
            "network.peer.address": "192.0.2.9",
            "server.port": 443,
        },
    )


def test_tcp_open_of_ipv6_by_nobody() -> None:
    record = read(reader("tcp"), ["tcp_open", 5, 0, 0, "", 80, 50000, "2001:db8::1", "::1", 80])
    assert "process.pid" not in record.attributes
    assert "thread.name" not in record.attributes
    assert record.attributes["network.type"] == "ipv6"
    assert record.attributes["network.tcp.handshake.role"] == "passive"
    assert record.attributes["network.local.address"] == "2001:db8::1"
    assert record.body.endswith("opened by - -")


@pytest.mark.parametrize(
    ("errno", "name"), [(111, "ECONNREFUSED"), (110, "ETIMEDOUT"), (113, "EHOSTUNREACH"), (0, "_OTHER")]
)
def test_tcp_fail(errno: int, name: str) -> None:
    record = read(reader("tcp"), ["tcp_fail", 5, 7, "a b", 0, 9, "::ffff:127.0.0.1", "::ffff:127.0.0.1", errno])
    assert record.severity == "warn"
    assert record.body == f"TCP connection to 127.0.0.1:9 failed ({name}), wanted by 7 a b"
    assert record.attributes == {
        "network.transport": "tcp",
        "network.tcp.handshake.role": "active",
        "process.pid": 7,
        "thread.name": "a b",
        "network.peer.port": 9,
        "server.port": 9,
        "network.local.address": "127.0.0.1",
        "network.type": "ipv4",
        "network.peer.address": "127.0.0.1",
        "error.type": name,
    }


def test_tcp_close() -> None:
    data = ["tcp_close", 5, 1, 7, "curl", 55546, 80, "::1", "::1", 80, 50_304_916, 77, 5000, 0]
    record = read(reader("tcp"), data)
    assert record.attributes["ebpf.duration"] == 0.050304916
    assert record.attributes["ebpf.bytes.sent"] == 77
    assert record.attributes["ebpf.bytes.received"] == 5000
    assert "error.type" not in record.attributes
    assert record.body.endswith("closed after 0.0503049 s, 77 bytes sent, 5000 received")


def test_tcp_close_without_btf_and_with_an_error() -> None:
    record = read(reader("tcp"), ["tcp_close", 5, 0, 7, "x", 80, 5, "::1", "::1", 80, 1, -1, -1, 104])
    assert "ebpf.bytes.sent" not in record.attributes
    assert "ebpf.bytes.received" not in record.attributes
    assert record.attributes["error.type"] == "ECONNRESET"


def test_numbers_may_come_as_strings() -> None:
    record = read(reader("exec"), ["exec_exit", "9007199254740993", "7", "1", "4294967295", "0", "0", "5", "sh"])
    assert record.time_unix_nano == 9007199254740993 + UNIX
    assert record.attributes["process.pid"] == 7
    assert record.attributes["process.user.id"] == 4294967295


def test_a_name_can_not_move_a_cursor_or_forge_a_line() -> None:
    data = ["tcp_open", 5, 1, 7, "x\n\x1b[2J\u202e\udcff", 1, 2, "::1", "::1", 2]
    record = read(reader("tcp"), data)
    assert record.attributes["thread.name"] == "x\n\x1b[2J\u202e\udcff"
    assert record.body.endswith("opened by 7 x\\n\\x1b[2J\\u202e\\xff")


@pytest.mark.parametrize(
    "data",
    [
        ["exec_exit", 5, 7, 1, 1000, 0, 0, 9],
        ["exec_exit", 5, 7, 1, 1000, 0, 0, 9, "sh", 1],
        ["exec_exit"],
        ["exec", 5, 7, 1, 0, 0, 10, 2],
        ["exec_exit", "now", 7, 1, 1000, 0, 0, 9, "sh"],
        ["exec_exit", 5, "x", 1, 1000, 0, 0, 9, "sh"],
        ["exec_failed_args", 5, 7, 0],
        ["exec_failed_args", 5, 7, 0, "a", "b"],
        ["exec_failed_args", 5, 7, "first", "a"],
        ["exec_failed_args", 5, 7, 0, 5],
    ],
)
def test_read_value_refuses_another_shape(data: list[Any]) -> None:
    with pytest.raises((ValueError, IndexError)):
        reader("exec").read_value(data, MOMENT)


@pytest.mark.parametrize(
    "text",
    ["", "exec_args\n", "exec_args 1 2 3\n", "exec_args a 2 3 00\n", "exec_args 1 2 3 0\n", "exec_args 1 2 3 xx yy\n"],
)
def test_read_text_refuses_another_shape(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - of several kinds
        reader("exec").read_text(text)


def test_parts_without_an_event_do_not_pile_up() -> None:
    events = reader("exec")
    for time in range(10_000):
        events.read_text(f"exec_args {time} 1 0 61 00\n")
    assert len(events._waiting) == 4096
    record = read(events, ["exec", 9_999, 1, 1, 0, 0, 10, 2, "x"])
    assert record.attributes["process.command_args"] == ["a"]
    record = read(events, ["exec", 0, 1, 1, 0, 0, 10, 2, "x"])
    assert "process.command_args" not in record.attributes


def test_fields_with_a_name_are_kept_as_they_were_printed() -> None:
    fields = [
        Field(type="time", name="time"),
        Field(name="size", attribute="ebpf.size", scale="0.001"),
        Field(name="text", type="string", attribute="x", omit=""),
        Field(name="anything", type="any"),
        Field(attribute="unnamed"),
    ]
    events = EventReader({"x": Event(name="x", fields=fields)}, LIMIT)
    large = str(2**60)
    record = read(events, ["x", TIME, large, "", [1, 2], 5])
    assert record.fields == {"size": 2**60, "text": "", "anything": [1, 2]}
    assert record.attributes == {"ebpf.size": float(2**60 / 1000), "unnamed": 5}
    with pytest.raises(ValueError, match="invalid literal"):
        events.read_value(["x", TIME, "no number", "", 0, 5], MOMENT)


def test_of_two_events_of_one_time_the_one_that_has_bytes_has_the_parts() -> None:
    """http.bt tells what was not told of the other direction just before the segment that ends it."""
    fields = [Field(type="time", name="time"), Field(name="pid"), Field(name="size")]
    events = EventReader({"x": Event(name="x", fields=fields, parts={"part": Part(name="data", size="size")})}, LIMIT)
    assert events.read_value(["part", TIME, PID, 0, "GET /"], MOMENT) is None
    assert read(events, ["x", TIME, PID, 0]).fields["data"] == b""
    assert read(events, ["x", TIME, PID, 5]).fields["data"] == b"GET /"
