"""Who else could write what root reads."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from config.errors import ConfigError
from orchestrator.__main__ import main
from orchestrator.catalog import load_signal
from orchestrator.errors import UsageError
from orchestrator.trust import read_trusted

STRANGER = 54321


@pytest.fixture(autouse=True)
def _as_root_by_sudo(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs these tests is the one who called sudo."""
    monkeypatch.setenv("SUDO_UID", str(os.getuid()))
    monkeypatch.setattr(os, "geteuid", lambda: 0)


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "mine.bt"
    path.write_text("BEGIN { }\n")
    path.chmod(0o644)
    tmp_path.chmod(0o755)
    return path


def give_away(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    """Make a file belong to somebody who is neither root nor the caller."""
    if os.getuid() == 0:
        os.chown(path, STRANGER, STRANGER)
    else:
        monkeypatch.delenv("SUDO_UID")


def test_what_root_or_the_caller_alone_can_write_is_read(program: Path) -> None:
    assert read_trusted(program) == "BEGIN { }\n"


@pytest.mark.parametrize(("mode", "whose"), [(0o664, "its group"), (0o646, "anybody"), (0o1646, "anybody")])
def test_a_file_that_others_may_write(program: Path, mode: int, whose: str) -> None:
    program.chmod(mode)
    with pytest.raises(UsageError) as error:
        read_trusted(program)
    assert f"{program} can be written by {whose}: `chown root {program}; chmod go-w {program}`" in str(error.value)


def test_a_file_of_somebody_else(monkeypatch: pytest.MonkeyPatch, program: Path) -> None:
    give_away(monkeypatch, program)
    with pytest.raises(UsageError, match=f"belongs to uid {program.stat().st_uid}: `chown root"):
        read_trusted(program)


def test_a_folder_above_that_others_may_write(program: Path) -> None:
    program.parent.chmod(0o777)
    with pytest.raises(UsageError, match=f"{program.parent} can be written by anybody"):
        read_trusted(program)
    program.parent.chmod(0o1777)  # as /tmp is: nobody can replace what is another's
    assert read_trusted(program)


def test_a_link_does_not_hide_where_a_file_is(tmp_path: Path, program: Path) -> None:
    (tmp_path / "open").mkdir(mode=0o755)
    moved = program.rename(tmp_path / "open" / "mine.bt")
    program.symlink_to(moved)
    assert read_trusted(program)
    moved.parent.chmod(0o757)
    with pytest.raises(UsageError, match="open can be written by anybody"):
        read_trusted(program)


def test_only_root_is_particular(monkeypatch: pytest.MonkeyPatch, program: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    program.chmod(0o666)
    assert read_trusted(program)


def test_a_pipe_is_the_callers_own() -> None:
    reader, writer = os.pipe()
    os.write(writer, b"duration: 1s\n")
    os.close(writer)
    assert read_trusted(Path(f"/dev/fd/{reader}")) == "duration: 1s\n"
    os.close(reader)


def test_programs_manifests_and_configs_are_judged(capsys: pytest.CaptureFixture[str], program: Path) -> None:
    manifest, config = program.with_suffix(".yaml"), program.with_name("config.yaml")
    manifest.write_text("summary: mine\nprocess: own\n")
    manifest.chmod(0o666)
    config.write_text("duration: 1s\n")
    config.chmod(0o666)
    with pytest.raises((UsageError, ConfigError), match=f"{manifest} can be written by anybody"):
        load_signal(str(program))
    program.chmod(0o666)
    with pytest.raises(UsageError, match=f"{program} can be written by anybody"):
        load_signal(str(program))
    assert main(["run", "exec", "--config", str(config)]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert f"{config} can be written by anybody" in said
