from __future__ import annotations

from io import BytesIO
from pathlib import Path

import msgspec
import pytest

from config.manifest import Field, Key, Manifest, Metric, Piece, Print
from config.parameters import Value, default_values
from orchestrator.catalog import Signal, load_signal
from orchestrator.limits import Limits
from orchestrator.recording import HEADER_PREFIX, OURS, Gap, Header, Recorder, read_header, read_line
from orchestrator.signals.clock import Moment
from orchestrator.signals.model import AttributeValue

LIMITS = Limits(string=200, map_keys=16384, pages=64)
NOW = Moment(unix=1_700_000_000_000_000_123, offset=1_699_999_000_000_000_456)
STAMP = b'{"type":"moment","unix":1700000000000000123,"offset":1699999000000000456}\n'
VALUE = b'{"type": "value", "data": 1}\n'
MANIFEST = Manifest(
    summary="Mine — é",
    process="own",
    metrics={
        "m": Metric(
            name="ebpf.m",
            instrument="histogram",
            unit="s",
            description="d",
            scale="1e-9",
            range=(1, 9),
            keys=[Key(attribute="role", values={0: "passive", 1: "active", -1: "none"}), Key(omit=0), Key(omit="0")],
        )
    },
    prints=[Print(name="ebpf.p", pieces=[Piece(printf='%d "x"\n', fields=[Field(attribute="a", values={7: "x"})])])],
)


def mine(source: str = 'BEGIN { printf("é\\n"); }\n') -> Signal:
    return Signal("mine", Path("somewhere/mine.bt"), source, MANIFEST)


def header_line(header: Header) -> bytes:
    file = BytesIO()
    Recorder(file).begin(header)
    line, newline, rest = file.getvalue().partition(b"\n")
    assert (newline, rest) == (b"\n", b"")
    return line


def recorded(*chunks: bytes) -> bytes:
    file = BytesIO()
    recorder = Recorder(file)
    for chunk in chunks:
        recorder.chunk(chunk, NOW)
    return file.getvalue()


def test_a_header_is_read_as_it_was_written() -> None:
    resource: dict[str, AttributeValue] = {"host.name": "bäx", "ebpf.enabled": True, "a": 1, "b": 1.5}
    header = read_header(header_line(Header.of([mine(), load_signal("tcp")], resource, LIMITS)))
    assert header is not None
    assert (header.resource, header.limits) == (resource, LIMITS)
    assert isinstance(header.limits, Limits)
    own, tcp = header.restored()
    assert (own.name, own.source, own.manifest) == ("mine", 'BEGIN { printf("é\\n"); }\n', MANIFEST)
    assert own.manifest.metrics["m"].keys[0].values == {0: "passive", 1: "active", -1: "none"}
    assert own.manifest.metrics["m"].range == (1, 9)
    built_in = load_signal("tcp")
    assert (tcp.name, tcp.source, tcp.manifest) == ("tcp", built_in.source, built_in.manifest)


def test_a_header_has_the_kernel_that_was_traced_and_what_the_parameters_were() -> None:
    """The kernel's own frames are of the recorded host; a replay has no parameters of its own."""
    cpu, http = load_signal("cpu"), load_signal("http")
    given: dict[str, Value] = {**default_values(cpu.manifest), "hz": 49}
    filters: dict[str, Value] = {**default_values(http.manifest), "status": ">=500", "min_duration": 7, "query": 2}
    signals = [cpu.resolved(given), http.resolved(filters)]
    header = read_header(header_line(Header.of(signals, {}, LIMITS, (0, 27, 1), "24a3598f")))
    assert header is not None
    assert (header.kernel_build_id, header.bpftrace) == ("24a3598f", (0, 27, 1))
    restored = header.restored()
    assert [one.manifest for one in restored] == [one.manifest for one in signals]
    assert restored[0].manifest.stacks["cpu_stacks"].profiles[0].frequency == 49
    exchange = restored[1].manifest.exchanges["http_data"]
    assert (exchange.options, exchange.server.keep.min_duration) == ({"query": 2}, 7)
    assert exchange.client.keep.only["http.response.status_code"] == ">=500"


def test_a_header_of_an_older_run_has_no_build_id() -> None:
    line = header_line(Header.of([mine()], {}, LIMITS))
    old = line.replace(b',"kernel_build_id":null', b"")
    assert old != line
    header = read_header(old)
    assert header is not None
    assert header.kernel_build_id is None


def test_a_header_can_be_told_from_what_bpftrace_prints() -> None:
    line = header_line(Header.of([mine()], {}, LIMITS))
    assert line.startswith(HEADER_PREFIX)
    assert HEADER_PREFIX.startswith(OURS)
    assert not VALUE.startswith(OURS)
    assert read_header(VALUE.rstrip()) is None
    assert read_header(b"Attaching 1 probe...") is None
    assert read_header(b"") is None


def test_lists_are_left_out_of_the_resource_of_a_header() -> None:
    assert Header.of([mine()], {"host.name": "box", "process.command_args": ["a"]}, LIMITS).resource == {
        "host.name": "box"
    }


@pytest.mark.parametrize("size", [20, 21, 100, -1])
def test_a_header_that_was_cut_is_none(size: int) -> None:
    assert read_header(header_line(Header.of([mine()], {"host.name": "box"}, LIMITS))[:size]) is None


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"version":1', b'"version":2'),
        (b'"version":1', b'"version":"1"'),
        (b'"name":"mine",', b""),
        (b'"process":"own"', b'"process":"theirs"'),
        (b'"limits":[200,16384,64]', b'"limits":[200]'),
        (b'"resource":{', b'"resource":{"a":[],'),
        (b"mine", b"\xff"),
        (b'"signals":[', b'"signals":[' + b"[" * 100_000),
    ],
)
def test_a_header_of_another_shape_is_none(old: bytes, new: bytes) -> None:
    line = header_line(Header.of([mine()], {"host.name": "box"}, LIMITS))
    assert old in line
    assert read_header(line.replace(old, new)) is None


def test_every_chunk_has_its_moment_before_it() -> None:
    assert recorded(VALUE, VALUE + VALUE) == STAMP + VALUE + STAMP + VALUE + VALUE
    assert read_line(STAMP.rstrip()) == NOW


def test_a_moment_never_stands_inside_a_line() -> None:
    assert recorded(VALUE[:5], VALUE[5:] + VALUE[:9], VALUE[9:]) == STAMP + VALUE + STAMP + VALUE
    assert recorded(VALUE[:5]) == b""


def test_blank_lines_and_bytes_are_kept_as_they_are() -> None:
    assert recorded(b"\n\n\xff\xfe\r\n", b"") == STAMP + b"\n\n\xff\xfe\r\n" + STAMP


def test_the_end_keeps_a_line_that_was_cut() -> None:
    assert recorded(VALUE + VALUE[:7], b"") == STAMP + VALUE + STAMP + VALUE[:7]


def test_a_gap_drops_the_halves_of_the_lines_around_it() -> None:
    file = BytesIO()
    recorder = Recorder(file)
    recorder.chunk(VALUE + b"half", NOW)
    recorder.gap(3)
    recorder.chunk(b"of another\n" + VALUE, NOW)
    assert file.getvalue() == STAMP + VALUE + b'{"type":"gap","lines":3}\n' + STAMP + VALUE
    assert read_line(b'{"type":"gap","lines":3}') == Gap(3)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"text",
        VALUE.rstrip(),
        b'{"type": "moment", "unix": 1, "offset": 2}',  # a blank behind the colon is bpftrace's
        b'{"type":"moment","unix":1}',
        b'{"type":"moment","unix":1,"off',
        b'{"type":"moment","unix":"1","offset":2}',
        b'{"type":"moment","unix":1.5,"offset":2}',
        b'{"type":"gap","lines":null}',
        b'{"type":"gap",' + b"[" * 100_000,
        b'{"type":"tomorrow","lines":1}',
    ],
)
def test_other_lines_are_not_ours(line: bytes) -> None:
    assert read_line(line) is None


def test_what_cannot_be_written_is_an_error_of_the_file() -> None:
    class Full(BytesIO):
        def write(self, _data: object) -> int:
            raise OSError(28, "No space left on device")

    recorder = Recorder(Full())
    with pytest.raises(OSError, match="No space left"):
        recorder.begin(Header.of([mine()], {}, LIMITS))
    with pytest.raises(OSError, match="No space left"):
        recorder.chunk(VALUE, NOW)
    with pytest.raises(OSError, match="No space left"):
        recorder.gap(1)


def test_the_manifest_of_a_header_is_json_that_others_can_read() -> None:
    decoded = msgspec.json.decode(header_line(Header.of([mine()], {}, LIMITS)))
    assert decoded["version"] == 1
    assert decoded["signals"][0]["manifest"]["metrics"]["m"]["keys"][0]["values"] == {
        "0": "passive",
        "1": "active",
        "-1": "none",
    }
