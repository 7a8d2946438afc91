from __future__ import annotations

import argparse
import os
import threading
from pathlib import Path

import pytest

from orchestrator.commands import run
from orchestrator.errors import OrchestratorError, OverlapError
from orchestrator.options import Options
from orchestrator.overlap import guard, job_of


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    (tmp_path / "mine.bt").write_text("kprobe:vfs_read /pid == $1/ { @reads = count(); }\n")
    for name in ("one.yaml", "two.yaml"):
        (tmp_path / name).write_text("on_overlap: skip\n")


def options(*texts: str) -> tuple[Options, str | None]:
    parser = argparse.ArgumentParser()
    run.add_arguments(parser)
    arguments = parser.parse_args(texts)
    return Options.of(arguments), arguments.config


def job(*texts: str) -> str:
    return job_of(*options(*texts))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (["tcp,exec"], ["exec,tcp"]),
        (["mine.bt"], ["./mine.bt"]),
        (["exec", "--output", "a.jsonl"], ["exec", "--duration", "1s", "--output", "b.jsonl"]),
        (["exec", "--config", "one.yaml"], ["exec", "--config", "./one.yaml"]),
        (["exec"], ["exec", "--set", "exits=false"]),  # which is the default
    ],
)
def test_the_same_job(one: list[str], other: list[str]) -> None:
    assert job(*one) == job(*other)


def test_other_jobs() -> None:
    jobs = [
        job("exec"),
        job("tcp"),
        job("tcp,exec"),
        job("exec", "--set", "exits=true"),
        job("exec", "--config", "one.yaml"),
        job("exec", "--config", "two.yaml"),
        job("mine.bt"),
        job("mine.bt", "--set", "1=7"),
    ]
    assert len(set(jobs)) == len(jobs)


def test_a_flag_beats_the_file() -> None:
    assert options("exec")[0].on_overlap == "run"
    assert options("exec", "--config", "one.yaml")[0].on_overlap == "skip"
    assert options("exec", "--config", "one.yaml", "--on-overlap", "wait")[0].on_overlap == "wait"


def test_the_second_one_is_skipped_while_the_first_one_runs(tmp_path: Path) -> None:
    with guard("skip", "a"):
        (lock,) = (tmp_path / "state/jobs").iterdir()
        assert lock.stat().st_mode & 0o777 == 0o600
        with pytest.raises(OverlapError, match=rf"\(pid {os.getpid()}\)") as caught, guard("skip", "a"):
            pytest.fail("it runs")
        assert caught.value.exit_code == 75
        with guard("skip", "b"):
            pass
    with guard("skip", "a"):
        pass
    assert list((tmp_path / "state/jobs").iterdir()) == []


def test_the_lock_is_free_after_a_failure() -> None:
    with pytest.raises(ZeroDivisionError), guard("skip", "a"):
        raise ZeroDivisionError
    with guard("skip", "a"):
        pass


def test_many_that_wait_run_one_after_the_other(capsys: pytest.CaptureFixture[str]) -> None:
    running: list[int] = []
    most: list[int] = []

    def work(number: int) -> None:
        with guard("wait", "a"):
            running.append(number)
            most.append(len(running))
            threading.Event().wait(0.01)
            running.remove(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert most == [1] * 20
    assert "waiting for its end" in capsys.readouterr().err


def test_one_that_is_stopped_as_soon_as_it_has_said_that_it_waits_has_traced_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("orchestrator.terminal.Terminal.say", interrupt)
    with guard("wait", "job"), pytest.raises(OverlapError, match="nothing was traced"), guard("wait", "job"):
        pass


def test_a_file_in_the_way_is_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    with pytest.raises(OrchestratorError, match="set STATE_DIRECTORY to another folder"), guard("wait", "a"):
        pytest.fail("it runs")


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "state/jobs").mkdir(parents=True)
    (tmp_path / "precious").write_text("kept")
    (tmp_path / "state/jobs/a.lock").symlink_to(tmp_path / "precious")
    with pytest.raises(OrchestratorError, match="cannot be locked"), guard("skip", "a"):
        pytest.fail("it runs")
    assert (tmp_path / "precious").read_text() == "kept"
