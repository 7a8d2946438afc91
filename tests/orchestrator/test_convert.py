"""``orchestrate convert`` as it is called: files in, files out, and what it says."""

from __future__ import annotations

import gzip
import io
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from config.manifest import Manifest
from orchestrator.__main__ import main
from orchestrator.catalog import Signal, inferred_signal
from orchestrator.limits import LIMITS
from orchestrator.otlp.common import make_resource
from orchestrator.otlp.json_format import to_json
from orchestrator.otlp.profiles import encode_profiles
from orchestrator.recording import Header, Recorder
from orchestrator.signals.clock import Moment
from orchestrator.signals.model import Frame, Profile, Scope, ValueType
from tests.orchestrator.formats.made import (
    IN_KERNEL,
    IN_LIBC,
    SECOND,
    START,
    alloc_space,
    cpu,
    off_cpu,
    sample,
)
from tests.orchestrator.formats.reading import (
    folded_totals,
    parse_pprof,
    pprof_totals,
    speedscope_totals,
    types,
)

SCOPE = Scope("bpftrace-orchestrator/cpu", "1")
LOGS = b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"x"}}]}]}]}\n'
FOLDED = "demo;main;0x7f34;0x7f12 4\ndemo;main;read;do_syscall_64_[k];ksys_read_[k] 10\n"
PROGRAM = "profile:hz:99 { @[kstack, ustack, comm] = count(); }\n"
# As 0.23 prints it.
PRINTED_JSON = (
    b'{"type": "attached_probes", "data": {"probes": 1}}\n'
    b'{"type": "map", "data": {"@": '
    b'{"\\n    ksys_read+1\\n    do_syscall_64+2\\n,\\n    read+1\\n    main+4\\n,demo": 10}}}\n'
)
PRINTED_TEXT = b"""Attaching 1 probe...

@[
    ksys_read+1
    do_syscall_64+2
,\x20
    read+1
    main+4
, demo]: 10
"""


def line(*profiles: Profile) -> bytes:
    return to_json("profiles", encode_profiles(make_resource({}), {SCOPE: profiles})) + b"\n"


WINDOWS = (
    line(cpu(sample(IN_KERNEL, 7), sample(IN_LIBC, 3)))
    + LOGS
    + line(cpu(sample(IN_KERNEL, 3), sample(IN_LIBC, 1), start=START + 10 * SECOND))
)
SEVERAL = line(cpu(sample(IN_KERNEL, 7)), off_cpu(sample(IN_LIBC, 5)), alloc_space(sample(IN_LIBC, 9)))


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def convert(capfdbinary: pytest.CaptureFixture[bytes]) -> Any:
    """Runs the command on these bytes; returns exit code, standard output, and what was said."""

    def run(data: bytes | None, *arguments: str, file: str = "cap.jsonl") -> tuple[int, bytes, str]:
        if data is not None:
            Path(file).write_bytes(data)
        code = main(["convert", file, *arguments])
        out, said = capfdbinary.readouterr()
        return code, out, said.decode()

    return run


def test_folded_stacks_go_to_standard_output(convert: Any) -> None:
    code, out, said = convert(WINDOWS, "--to", "folded")
    assert (code, out.decode()) == (0, FOLDED)
    assert said == "samples 14 count: 2 samples of 2 stacks -> standard output\n"
    assert os.listdir() == ["cap.jsonl"]


def test_pprof_goes_to_a_file_named_after_the_capture(convert: Any) -> None:
    code, out, said = convert(WINDOWS, "--to", "pprof")
    assert (code, out) == (0, b"")
    assert said == "samples 14 count: 2 samples of 2 stacks -> cap.pb.gz\n"
    profile = parse_pprof(Path("cap.pb.gz").read_bytes())
    assert types(profile) == ["samples/count", "cpu/nanoseconds"]
    assert (profile.time_nanos, profile.duration_nanos) == (START, 20 * SECOND)
    assert Path("cap.pb.gz").stat().st_mode & 0o777 == 0o600


def test_speedscope_goes_to_a_file_named_after_the_capture(convert: Any) -> None:
    code, _, said = convert(WINDOWS, "--to", "speedscope", file="my.capture.jsonl")
    assert (code, said) == (0, "samples 14 count: 2 samples of 2 stacks -> my.capture.speedscope.json\n")
    document = json.loads(Path("my.capture.speedscope.json").read_bytes())
    assert document["name"] == "my.capture.jsonl"
    assert document["exporter"].startswith("bpftrace-orchestrator@")


def test_the_file_stands_in_the_current_folder(convert: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cap.jsonl").write_bytes(WINDOWS)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert convert(None, "--to", "pprof", file="../cap.jsonl")[0] == 0
    assert os.listdir() == ["cap.pb.gz"]


def test_output(convert: Any) -> None:
    assert convert(WINDOWS, "--to", "folded", "--output", "out.txt")[:2] == (0, b"")
    assert Path("out.txt").read_text() == FOLDED
    code, out, _ = convert(WINDOWS, "--to", "pprof", "--output", "-")
    assert (code, types(parse_pprof(out))) == (0, ["samples/count", "cpu/nanoseconds"])


@pytest.mark.parametrize("to", ["pprof", "folded", "speedscope"])
def test_names_that_are_no_utf_8(convert: Any, to: str) -> None:
    strange = (Frame("main", 1, "native", "/opt/caf\udce9.so"),)
    code, _, said = convert(line(cpu(sample(strange, 1))), "--to", to, file=os.fsdecode(b"caf\xe9.jsonl"))
    assert code == 0
    assert said.startswith("samples 1 count: 1 samples of 1 stacks -> ")
    if to == "speedscope":
        document = json.loads(Path(os.fsdecode(b"caf\xe9.speedscope.json")).read_bytes())
        assert document["name"] == r"caf\xe9.jsonl"
        assert document["shared"]["frames"][1] == {"name": "main", "file": r"/opt/caf\xe9.so"}


def test_all_formats_agree(convert: Any) -> None:
    _, folded, _ = convert(WINDOWS, "--to", "folded")
    _, speedscope, _ = convert(WINDOWS, "--to", "speedscope", "--output", "-")
    _, pprof, _ = convert(WINDOWS, "--to", "pprof", "--output", "-")
    assert folded_totals(folded) == speedscope_totals(speedscope) == pprof_totals(pprof)
    assert folded_totals(folded).total() == 14


def test_pprof_on_a_terminal(convert: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    code, out, said = convert(WINDOWS, "--to", "pprof", "--output", "-")
    assert (code, out) == (2, b"")
    assert "pprof is binary, and standard output is a terminal; give a file or a pipe" in said
    assert convert(WINDOWS, "--to", "folded")[0] == 0


def test_several_types(convert: Any) -> None:
    code, _, said = convert(SEVERAL, "--to", "pprof")
    assert (code, types(parse_pprof(Path("cap.pb.gz").read_bytes()))) == (
        0,
        ["samples/count", "cpu/nanoseconds", "off_cpu/nanoseconds", "alloc_space/bytes"],
    )
    assert said.startswith("samples 7 count, off_cpu 5 nanoseconds, alloc_space 9 bytes: 3 samples of 2 stacks -> ")
    convert(SEVERAL, "--to", "speedscope")
    assert len(json.loads(Path("cap.speedscope.json").read_bytes())["profiles"]) == 3


def test_folded_stacks_hold_one_type(convert: Any) -> None:
    code, out, said = convert(SEVERAL, "--to", "folded")
    assert (code, out) == (2, b"")
    assert said == (
        "orchestrate: cap.jsonl has samples, off_cpu, alloc_space, and folded stacks hold one type: "
        "choose it with --type\n"
    )
    assert convert(SEVERAL, "--to", "folded", "--type", "off_cpu")[1] == b"demo;main;0x7f34;0x7f12 5\n"


def test_type_of_the_other_formats(convert: Any) -> None:
    _, out, _ = convert(SEVERAL, "--to", "pprof", "--type", "alloc_space", "--output", "-")
    assert types(parse_pprof(out)) == ["alloc_space/bytes"]
    code, _, said = convert(SEVERAL, "--to", "pprof", "--type", "cpu")
    assert (code, said) == (2, "orchestrate: --type cpu: cap.jsonl has samples, off_cpu, alloc_space\n")


def test_types_that_share_a_name_have_a_longer_one(convert: Any) -> None:
    other = Profile(ValueType("samples", "count"), None, 0, START, SECOND, [sample(IN_LIBC, 3)])
    data = line(cpu(sample(IN_KERNEL, 7)), other)
    code, _, said = convert(data, "--to", "folded", "--type", "samples")
    assert code == 2
    assert "cap.jsonl has samples:count:cpu:nanoseconds, samples:count, and" in said
    assert convert(data, "--to", "folded", "--type", "samples:count")[1] == b"demo;main;0x7f34;0x7f12 3\n"


def test_samples_at_several_rates_are_one_type(convert: Any) -> None:
    data = line(cpu(sample(IN_LIBC, 7)), cpu(sample(IN_LIBC, 1), period=1, start=START * 2))
    code, out, said = convert(data, "--to", "folded")
    assert (code, out) == (0, b"demo;main;0x7f34;0x7f12 8\n")
    assert said.startswith("samples 8 count: 2 samples of 1 stacks")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (LOGS, "cap.jsonl holds no profiles; `orchestrate list` shows which signals have some"),
        (line(cpu()), "cap.jsonl holds no profiles; "),
        (b"", "cap.jsonl holds no profiles; --script FILE.bt or --signal NAME says what its maps mean"),
        (b"Attaching 1 probe...\n\n@x: 1\n", "cap.jsonl holds no profiles; --script FILE.bt"),
        (gzip.compress(WINDOWS), "cap.jsonl is no capture: expected OTLP JSON lines (run --output), a recording"),
        (b"\x0a\x00\x12\x00", "cap.jsonl is no capture"),
        (b'{\n  "resourceProfiles": []\n}\n', "cap.jsonl is no capture"),
        (b'{"$schema": "https://www.speedscope.app/file-format-schema.json"}', "cap.jsonl is no capture"),
        (
            b'{"resourceProfiles":[{"scopeProfiles":1}]}\n',
            "cap.jsonl holds no profiles (1 lines of cap.jsonl could not",
        ),
    ],
)
def test_what_holds_no_profiles(convert: Any, data: bytes, words: str) -> None:
    code, out, said = convert(data, "--to", "folded")
    assert (code, out) == (2, b"")
    assert said.startswith("orchestrate: " + words)
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere.jsonl", "--to", "folded"], "nowhere.jsonl: No such file or directory"),
        ([".", "--to", "folded"], ".: Is a directory"),
        (["cap.jsonl", "--to", "folded", "--output", "no/where"], "no/where cannot be written: No such file"),
        (["cap.jsonl", "--to", "folded", "--output", "./cap.jsonl"], "--output ./cap.jsonl is the capture itself"),
        (["cap.jsonl", "--to", "folded", "--script", "x"], "--script x: the name of a program ends in .bt"),
        (["cap.jsonl", "--to", "folded", "--signal", "tpc"], "no signal 'tpc'"),
        (["cap.jsonl", "--to", "folded", "--signal", "tcp"], "--script, --signal: cap.jsonl is OTLP"),
    ],
)
def test_what_cannot_be(capfd: pytest.CaptureFixture[str], arguments: list[str], words: str) -> None:
    Path("cap.jsonl").write_bytes(WINDOWS)
    assert main(["convert", *arguments]) == 2
    out, said = capfd.readouterr()
    assert (out, said.count("\n")) == ("", 1)
    assert said.startswith(f"orchestrate: {words}")
    assert Path("cap.jsonl").read_bytes() == WINDOWS


def test_a_disk_that_is_full(convert: Any) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    assert convert(WINDOWS, "--to", "folded", "--output", "/dev/full") == (
        1,
        b"",
        "orchestrate: /dev/full is not whole: No space left on device\n",
    )


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (WINDOWS + WINDOWS[:200], "1 lines of cap.jsonl could not be read; the first: line 4: cut off"),
        (WINDOWS + b"junk\n{}\n", "2 lines of cap.jsonl could not be read; the first: line 4: no OTLP"),
        (
            WINDOWS + line(cpu(sample(IN_LIBC, 9))).replace(b'"stackIndex":1', b'"stackIndex":7'),
            "1 lines of cap.jsonl could not be read; the first: line 4: its dictionary has no stack 7",
        ),
    ],
)
def test_what_cannot_be_read_is_said_and_the_rest_converted(convert: Any, data: bytes, words: str) -> None:
    code, out, said = convert(data, "--to", "folded")
    assert (code, out.decode()) == (1, FOLDED)
    assert said.splitlines()[0] == f"orchestrate: {words}"


def test_blank_lines_and_other_signals_are_nothing(convert: Any) -> None:
    data = b"\n" + LOGS + b"\n" + WINDOWS.rstrip(b"\n")
    assert convert(data, "--to", "folded")[:2] == (0, FOLDED.encode())


def test_a_first_line_longer_than_what_is_read_at_once(convert: Any) -> None:
    padding = b'{"resourceLogs":[{"schemaUrl":"%b"}]}\n' % (b"x" * (1 << 20))
    assert convert(padding + WINDOWS, "--to", "folded")[:2] == (0, FOLDED.encode())


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(WINDOWS)))
    assert main(["convert", "-", "--to", "pprof"]) == 0
    assert types(parse_pprof(Path("stdin.pb.gz").read_bytes())) == ["samples/count", "cpu/nanoseconds"]


def test_a_signal_ends_the_reading_and_what_was_read_is_written(convert: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted(io.BytesIO):
        def __next__(self) -> bytes:
            os.kill(os.getpid(), signal.SIGTERM)
            return super().__next__()

    monkeypatch.setattr(sys, "stdin", type("Stdin", (), {"buffer": Interrupted(WINDOWS + WINDOWS * 4000)}))
    code, out, said = convert(None, "--to", "folded", file="-")
    assert code == 1
    assert said.startswith("orchestrate: stopped before the end of -: what came after is missing\n")
    assert folded_totals(out)


def test_what_bpftrace_printed_as_json(convert: Any) -> None:
    Path("p.bt").write_text(PROGRAM)
    _, out, _ = convert(PRINTED_JSON, "--to", "folded", "--script", "p.bt")
    assert out == b"demo;main;read;do_syscall_64_[k];ksys_read_[k] 10\n"


def test_what_bpftrace_printed_as_text(convert: Any) -> None:
    Path("p.bt").write_text(PROGRAM)
    code, out, _ = convert(PRINTED_TEXT, "--to", "folded", "--script", "p.bt", file="p.txt")
    assert (code, out) == (0, b"demo;main;read;do_syscall_64_[k];ksys_read_[k] 10\n")


def recorded(*chunks: bytes, of: Signal | None = None) -> bytes:
    file = io.BytesIO()
    recorder = Recorder(file)
    ran = of or inferred_signal(Path("p.bt"), PROGRAM)
    recorder.begin(Header.of([ran], {"service.name": "mine"}, LIMITS))
    for number, chunk in enumerate(chunks):
        recorder.chunk(chunk, Moment(unix=START + number * SECOND, offset=START))
    return file.getvalue()


def mark(what: str, nsecs: int) -> bytes:
    return b'{"type": "value", "data": ["orchestrator", "%b", %d]}\n' % (what.encode(), nsecs)


END = mark("end", 2 * SECOND) + PRINTED_JSON.splitlines(keepends=True)[1] + mark("snapshot_end", 2 * SECOND)


def test_a_recording(convert: Any) -> None:
    data = recorded(mark("begin", 0), mark("ready", 1), END)
    code, out, said = convert(data, "--to", "folded", file="p.rec")
    assert (code, out) == (0, b"demo;main;read;do_syscall_64_[k];ksys_read_[k] 10\n")
    assert said.endswith(" 10 count: 1 samples of 1 stacks -> standard output\n")


def test_a_recording_that_is_cut_off(convert: Any) -> None:
    data = recorded(mark("begin", 0), mark("ready", 1), PRINTED_JSON.splitlines(keepends=True)[1])
    code, _, said = convert(data, "--to", "folded", file="p.rec")
    assert code in (1, 2)
    assert "p.rec is cut off: what bpftrace counted last is not in it" in said


def test_a_recording_whose_signals_make_no_sense(convert: Any) -> None:
    meaning = {
        "summary": "x",
        "process": "own",
        "texts": {"m": {"name": "a", "keys": [{"attribute": "a", "decode": "nope"}]}},
    }
    manifest = msgspec.convert(meaning, Manifest)
    data = recorded(END, of=Signal("p", Path("p.bt"), PROGRAM, manifest))
    code, _, said = convert(data, "--to", "folded", file="p.rec")
    assert code == 2
    assert said.startswith("orchestrate: p.rec: what it says of its signals makes no sense: ")
    assert said.count("\n") == 1


def test_help_names_all_that_it_takes(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["convert", "--help"])
    assert ended.value.code == 0
    out = capfd.readouterr().out
    assert all(word in out for word in ("--to {pprof,folded,speedscope}", "--output", "--type", "--script", "--signal"))
    with pytest.raises(SystemExit) as ended:
        main(["convert", "cap.jsonl", "--to", "svg"])
    assert ended.value.code == 2
