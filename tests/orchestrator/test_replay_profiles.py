"""A recording of `cpu`, through `replay`, and the same output without what makes it a recording."""

from __future__ import annotations

import io
import json
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from orchestrator.__main__ import main
from orchestrator.catalog import load_signal
from orchestrator.limits import Limits
from orchestrator.otlp.read_profiles import parse_profiles, read_profiles
from orchestrator.pipeline import Pipeline
from orchestrator.recording import Header, Recorder
from orchestrator.signals.clock import Moment
from orchestrator.signals.model import Profile
from parsers.stream import OutputStream
from tests.orchestrator.collecting import Collected, folded
from tests.parsers.feeding import DATA

VERSIONS = ["0.17", "0.23", "0.27"]
LIMITS = Limits(string=200, map_keys=16384, pages=64)
OFFSET = 1_700_000_000_000_000_000
BUILD_ID = "24a3598fd700114d0a1b1a4871badcee75d0acac"
# 49: not the default, so that it has to be in the recording.
CPU = load_signal("cpu").resolved({"hz": 49})

Chunks = list[tuple[bytes, Moment]]


def chunks(version: str) -> Chunks:
    """Each line as it came, ten milliseconds after the one before it; the clock was set meanwhile."""
    lines = (DATA / "cpu" / f"{version}.txt").read_bytes().splitlines(keepends=True)
    return [
        (line, Moment(OFFSET + 10**13 + index * 10**7, OFFSET + (index > 10) * 1234))
        for index, line in enumerate([*lines, b""])
    ]


def run(came: Chunks) -> list[Profile]:
    sink, stream = Collected(), OutputStream()
    pipeline = Pipeline([CPU], LIMITS, sink)
    for chunk, moment in came:
        pipeline.feed(stream.feed(chunk) if chunk else stream.close(), moment)
    pipeline.close()
    return [profile for _, profile in sink.profiles]


def record(came: Chunks) -> None:
    """``run.rec``."""
    file = io.BytesIO()
    recorder = Recorder(file)
    recorder.begin(Header.of([CPU], {"host.name": "box", "service.name": "mine"}, LIMITS, None, BUILD_ID))
    for chunk, moment in came:
        recorder.chunk(chunk, moment)
    Path("run.rec").write_bytes(file.getvalue())


class Replayed:
    """What ``orchestrate replay ...`` wrote of profiles."""

    def __init__(self, code: int, said: str, text: str) -> None:
        self.code, self.said = code, said
        self.lines = [line for line in text.splitlines() if "resourceProfiles" in json.loads(line)]

    @property
    def profiles(self) -> list[Profile]:
        return [profile for line in self.lines for profile in read_profiles(parse_profiles(line.encode()))]

    @property
    def build_ids(self) -> set[str]:
        """Those of all mappings."""
        found: set[str] = set()
        for tables in [json.loads(line)["dictionary"] for line in self.lines]:
            key = tables["stringTable"].index("process.executable.build_id.gnu")
            named = [one for one in tables["attributeTable"] if one.get("keyStrindex") == key]
            found |= {one["value"]["stringValue"] for one in named}
        return found


Replay = Callable[..., Replayed]


@pytest.fixture
def replay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Replay]:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}

    def replayed(*arguments: str) -> Replayed:
        code = main(["replay", *arguments, "--output", "out.jsonl"])
        return Replayed(code, capsys.readouterr().err, Path("out.jsonl").read_text())

    yield replayed
    for number, handler in handlers.items():
        signal.signal(number, handler)


def seen(profiles: Sequence[Profile]) -> list[Any]:
    """Types, windows and samples."""
    return [
        (one.sample_type, one.period_type, one.period, one.time_unix_nano, one.duration_nano, folded(one))
        for one in profiles
    ]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_replay_gives_the_profiles_of_the_run(replay: Replay, version: str) -> None:
    came = chunks(version)
    record(came)
    done = replay("run.rec")
    assert done.code == 0, done.said
    assert seen(done.profiles) == seen(run(came))
    assert {profile.period for profile in done.profiles} == {round(1e9 / 49)}
    assert f"{len(done.profiles)} profiles of " in done.said


def test_kernel_frames_are_of_the_kernel_that_was_recorded(replay: Replay) -> None:
    record(chunks("0.27"))
    assert replay("run.rec").build_ids == {BUILD_ID}


@pytest.mark.parametrize("version", VERSIONS)
def test_a_recording_that_was_cut_off_has_what_came_before(replay: Replay, version: str) -> None:
    came = chunks(version)
    end = next(index for index, (line, _) in enumerate(came) if b'"end"' in line)
    record(came[:end])
    done = replay("run.rec")
    assert done.code == 1
    assert "the recording is cut off" in done.said
    assert seen(done.profiles) == seen(run(came))[: len(done.profiles)]
    assert len(done.profiles) > 1


@pytest.mark.parametrize("version", VERSIONS)
def test_output_of_bpftrace_alone_means_what_the_signal_says(replay: Replay, version: str) -> None:
    """The time of its beginning is not in it; the rate is the default one."""
    Path("capture").write_bytes((DATA / "cpu" / f"{version}.txt").read_bytes())
    done = replay("capture", "--signal", "cpu", "--start", "1700000000")
    assert done.code == 0, done.said
    assert [folded(one) for one in done.profiles] == [folded(one) for one in run(chunks(version))]
    assert {one.period for one in done.profiles} == {round(1e9 / 99)}
    assert done.profiles[0].time_unix_nano == 1_700_000_000 * 10**9
