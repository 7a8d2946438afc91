from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import pytest

from config.errors import ConfigError
from orchestrator.commands import replay, run
from orchestrator.errors import UsageError
from orchestrator.options import Options, ReplayOptions, replay_options

OWN = "kprobe:vfs_read /pid == $1/ { @reads = count(); }\n"


def replay_arguments(*texts: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    replay.add_arguments(parser)
    return parser.parse_args(texts)


def replayed(*texts: str) -> ReplayOptions:
    return replay_options(replay_arguments(*texts))


def ran(*texts: str) -> Options:
    parser = argparse.ArgumentParser()
    run.add_arguments(parser)
    return Options.of(parser.parse_args(texts))


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, set_zone: Callable[[str], None]) -> None:
    monkeypatch.chdir(tmp_path)
    set_zone("EAST-2")
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_RESOURCE_ATTRIBUTES"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def own(tmp_path: Path) -> str:
    (tmp_path / "mine.bt").write_text(OWN)
    return "mine.bt"


def test_a_replay_needs_nothing_but_a_file() -> None:
    options = replayed("capture.txt")
    assert (options.file, options.signals, options.start) == ("capture.txt", [], None)
    assert (options.wishes.output, options.wishes.otlp, options.wishes.summary) == (None, [], False)
    assert replayed("-").file == "-"


def test_a_replay_goes_where_a_run_would_go() -> None:
    options = replayed("f", "--output", "o.jsonl", "--otlp-endpoint", "http://h:4318", "--summary")
    assert (options.wishes.output, options.wishes.summary) == ("o.jsonl", True)
    assert [one.signals["logs"].url for one in options.wishes.otlp] == ["http://h:4318/v1/logs"]


def test_a_replay_takes_defaults_from_the_file_of_settings_and_flags_beat_them(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("output: from-file.jsonl\notlp_endpoint: http://h:4318\n")
    options = replayed("f", "--config", "c.yaml")
    assert options.wishes.output == "from-file.jsonl"
    assert [one.signals["logs"].url for one in options.wishes.otlp] == ["http://h:4318/v1/logs"]
    assert replayed("f", "--config", "c.yaml", "--output", "flag.jsonl").wishes.output == "flag.jsonl"


def test_the_signals_that_printed_it() -> None:
    assert [signal.name for signal in replayed("f", "--signal", "tcp,exec").signals] == ["tcp", "exec"]


def test_the_program_that_printed_it(own: str) -> None:
    (signal,) = replayed("f", "--script", own).signals
    assert (signal.name, signal.source, signal.manifest.process) == ("mine", OWN, "own")


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["--script", "mine"], "--script mine: the name of a program ends in .bt"),
        (["--script", "tcp"], "--script tcp: the name of a program ends in .bt"),
        (["--script", "nowhere.bt"], "no such file: nowhere.bt"),
        (["--signal", "tpc"], "no signal 'tpc' (did you mean tcp "),
    ],
)
def test_what_is_none(texts: list[str], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        replayed("f", *texts)
    assert words in str(caught.value)


@pytest.mark.parametrize("texts", [["--script", "mine.bt,other.bt"], ["--signal", "tcp,./mine.bt"]])
def test_one_bpftrace_printed_it_and_so_one_program_of_its_own_or_shared_ones(
    own: str, tmp_path: Path, texts: list[str]
) -> None:
    (tmp_path / "other.bt").write_text((tmp_path / own).read_text())
    with pytest.raises(UsageError):
        replayed("f", *texts)


def test_a_recording_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"precious")
    with pytest.raises(UsageError):
        replayed("f", "--output", "./f")


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("2026-11-23T05:41:00Z", 1_795_412_460_000_000_000),
        ("2026-11-23T05:41:00+00:00", 1_795_412_460_000_000_000),
        ("2026-11-23T06:41:00+01:00", 1_795_412_460_000_000_000),
        ("2026-11-23T07:41:00", 1_795_412_460_000_000_000),  # of this host's zone
        ("2026-11-23 07:41:00", 1_795_412_460_000_000_000),
        ("2026-11-23T05:41:00.500000Z", 1_795_412_460_500_000_000),
        ("1795412460", 1_795_412_460_000_000_000),
        ("1795412460.25", 1_795_412_460_250_000_000),
        ("1795412460.123456789", 1_795_412_460_123_456_789),
        ("0", 0),
    ],
)
def test_start(text: str, start: int) -> None:
    assert replayed("f", "--start", text).start == start


@pytest.mark.parametrize(
    "text", ["", "now", "05:41:00", "2026-13-01T00:00:00", "-5", "1e9", "inf", "2026-11-23T05:41:00ZZ"]
)
def test_start_that_is_no_time(text: str) -> None:
    with pytest.raises(UsageError, match="write it as 2026-11-23T05:41:00Z or in Unix seconds"):
        replay_options(replay_arguments("f", f"--start={text}"))


def test_a_resource_that_cannot_be_is_said_before_a_replay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "nonsense")
    with pytest.raises(ConfigError, match="expected key=value"):
        replayed("f")


def test_a_run_of_a_program_of_ones_own(own: str) -> None:
    options = ran(own, "--set", "1=7", "--unsafe", "--record", "r", "--output", "o", "--summary")
    assert [signal.name for signal in options.signals] == ["mine"]
    assert options.signals[0].arguments(options.values["mine"]) == ["7"]
    assert (options.unsafe, options.record) == (True, "r")
    assert (options.wishes.output, options.wishes.otlp, options.wishes.summary) == ("o", [], True)
    assert ran(own).unsafe is False


def test_a_recording_holds_the_output_of_one_bpftrace(own: str) -> None:
    for targets in (f"tcp,{own}", f"{own},tcp"):
        with pytest.raises(UsageError, match="mine has one of its own: run it alone"):
            ran(targets, "--record", "r")
    assert ran("tcp,exec", "--record", "r").record == "r"
    assert len(ran(f"tcp,{own}").signals) == 2


def test_a_recording_and_the_output_need_files_of_their_own() -> None:
    with pytest.raises(UsageError, match="--output and --record are both"):
        ran("tcp", "--record", "./r", "--output", "r")


def test_the_file_may_name_more_destinations_and_where_requests_wait(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(
        "otlp_endpoint: http://one:4318\n"
        "destinations: [{endpoint: http://two:4317, protocol: grpc}]\n"
        "spool: {directory: /data/spool, max_mb: 2, max_age: 1d}\n"
    )
    wishes = ran("tcp", "--config", "c.yaml").wishes
    assert [(one.protocol, one.signals["logs"].shown) for one in wishes.otlp] == [
        ("http/protobuf", "http://one:4318/v1/logs"),
        ("grpc", "http://two:4317"),
    ]
    assert wishes.spool is not None
    assert wishes.spool.directory == Path("/data/spool")
    assert (wishes.spool.limits.size, wishes.spool.limits.age) == (2 << 20, 86400)


def test_a_destination_that_is_named_twice_is_one(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("otlp_endpoint: http://one:4318\ndestinations: [{endpoint: one:4318}]\n")
    assert len(ran("tcp", "--config", "c.yaml").wishes.otlp) == 1


@pytest.mark.parametrize(
    ("wrong", "name"),
    [("{endpoint: 'ftp://one'}", "endpoint"), ("{endpoint: one, protocol: http}", "protocol")],
)
def test_a_wrong_destination_is_not_called_a_flag(tmp_path: Path, wrong: str, name: str) -> None:
    (tmp_path / "c.yaml").write_text(f"destinations: [{{endpoint: one}}, {wrong}]\n")
    with pytest.raises(ConfigError, match=rf"^destinations\.1\.{name}: '"):
        ran("tcp", "--config", "c.yaml")


def test_a_user_without_a_name_is_not_ourselves() -> None:
    with pytest.raises(UsageError, match="there is no such user"):
        ran("tcp", "--user", "")


def test_an_age_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("spool: {max_age: soon}\n")
    with pytest.raises(ConfigError, match=r"c.yaml: spool.max_age: 'soon' is not a duration"):
        ran("tcp", "--config", "c.yaml")


def test_what_runs_can_stand_in_the_file_and_the_command_line_beats_it(own: str, tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(f"targets: [exec, {own}]\n")
    assert [signal.name for signal in ran("--config", "run.yaml").signals] == ["exec", "mine"]
    assert [signal.name for signal in ran("tcp", "--config", "run.yaml").signals] == ["tcp"]
    with pytest.raises(UsageError, match="orchestrate list"):
        ran("--output", "x.jsonl")


def test_limits_are_those_of_the_file_of_settings(own: str, tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text("resource_limits: {max_events_per_sec: 0, max_cpu_percent: 2.5, at_limit: stop}\n")
    limits = ran(own, "--config", str(path)).limits
    assert (limits.max_events_per_sec, limits.max_cpu_percent, limits.at_limit) == (0, 2.5, "stop")
    assert (ran(own).limits.max_events_per_sec, limits.max_memory_mb) == (10_000, 500)
