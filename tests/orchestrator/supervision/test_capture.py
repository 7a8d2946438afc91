"""One bpftrace at work, with a small program in its place."""

from __future__ import annotations

import os
import signal
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec
import pytest

from config.manifest import Manifest
from orchestrator.bpftrace.process import BpftraceProcess
from orchestrator.catalog import Signal
from orchestrator.recording import Recorder, read_line
from orchestrator.signals.clock import Moment
from orchestrator.supervision import capture as capture_module
from orchestrator.supervision.capture import Capture
from tests.orchestrator.collecting import Collected

OWN = Signal("mine", Path("mine.bt"), "", Manifest(summary="Mine", process="own"))
LINES = b"""\
{"type": "attached_probes", "data": {"probes": 1}}
{"type": "value", "data": ["orchestrator","ready",200]}
{"type": "printf", "data": "hello\\n"}
{"type": "value", "data": ["orchestrator","end",300]}
"""


def started(code: int = 0, output: bytes = LINES) -> BpftraceProcess:
    script = f"import os, sys; os.write(1, {output!r}); sys.exit({code})"
    return BpftraceProcess([sys.executable, "-c", script], "", {})


def run(capture: Capture) -> None:
    while not capture.at_end:
        capture.pump(30)
    capture.process.wait(30)


def test_what_is_recorded_is_what_bpftrace_wrote_with_moments_between() -> None:
    file, sink = BytesIO(), Collected()
    capture = Capture(started(), [OWN], sink, Recorder(file))
    run(capture)
    lines = file.getvalue().splitlines()
    moments = [moment for line in lines if isinstance(moment := read_line(line), Moment)]
    assert b"".join(line + b"\n" for line in lines if read_line(line) is None) == LINES
    assert read_line(lines[0]) == moments[0]
    (record,) = sink.named("ebpf.mine")
    assert record.body == "hello"
    assert record.time_unix_nano in {moment.unix for moment in moments}  # a replay gives it the same time
    assert capture.problems == []
    assert capture.ended_well()


def test_a_full_disk_ends_the_recording_and_not_the_run() -> None:
    class Full(BytesIO):
        def write(self, _data: object) -> int:
            raise OSError(28, "No space left on device")

    sink = Collected()
    capture = Capture(started(), [OWN], sink, Recorder(Full()))
    run(capture)
    assert capture.problems == ["the recording ends early: No space left on device"]
    assert [record.body for record in sink.named("ebpf.mine")] == ["hello"]


def test_a_program_of_ones_own_that_fails_has_not_ended_well() -> None:
    capture = Capture(started(1, b""), [OWN], Collected())
    run(capture)
    assert not capture.ended_well()
    assert not capture.pipeline.ready


EVENT = {"fields": [{"type": "time"}, {"attribute": "process.pid"}], "name": "x"}


@pytest.mark.parametrize(
    ("words", "timed"),
    [
        ({"process": "own"}, False),  # whatever it prints has the time of its reading
        ({"process": "own", "events": {"x": EVENT}}, True),
        ({"process": "own", "events": {"x": EVENT}, "prints": [{"name": "y", "pieces": [{"printf": "y\n"}]}]}, False),
        ({"process": "shared", "events": {"x": EVENT}, "emitted": "@x_emitted"}, True),
    ],
)
def test_output_lies_longer_where_events_have_times_of_their_own(words: dict[str, Any], timed: bool) -> None:
    signal = Signal("mine", Path("mine.bt"), "", msgspec.convert({"summary": "Mine", **words}, Manifest))
    process = started(output=b"")
    usual = process.output.patience
    capture = Capture(process, [signal], Collected())
    capture.wait_ready(lambda: False)
    assert (process.output.patience >= 0.5) is timed
    assert process.output.patience > usual
    run(capture)


@pytest.mark.parametrize("is_dead", [True, False])
def test_a_child_that_holds_the_pipe_does_not_hold_up_the_end(
    monkeypatch: pytest.MonkeyPatch, *, is_dead: bool
) -> None:
    monkeypatch.setattr(capture_module, "_GRACE_SECONDS", 1.0)
    last = "exit" if is_dead else "trap '' INT; while :; do sleep 1; done"
    process = BpftraceProcess(["/bin/sh", "-c", f"setsid sleep 60 & echo $!; {last}"], "", os.environ)
    capture = Capture(process, [OWN], Collected())
    child = int(process.output.get(10) or b"")
    capture.pipeline.ready = True
    try:
        assert capture.stop() == is_dead
        assert capture.at_end
    finally:
        os.kill(child, signal.SIGKILL)
        process.wait(10)
