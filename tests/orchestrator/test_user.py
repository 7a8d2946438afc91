"""Whom root may become; that it does is for the live tests."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from orchestrator import user
from orchestrator.errors import HostError, UsageError
from orchestrator.user import find_user, home_of


def test_nobody_is_called_so() -> None:
    with pytest.raises(UsageError, match="user no-such-user: there is no such user"):
        find_user("no-such-user")


def test_whom_we_are_already() -> None:
    assert find_user(pwd.getpwuid(os.geteuid()).pw_name) is None


def test_only_root_can(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 54321)
    with pytest.raises(UsageError, match="only root can become somebody else"):
        find_user("root")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_an_installation_that_the_user_cannot_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "private").mkdir(mode=0o700)
    monkeypatch.setattr(user, "_INSTALLED", (str(tmp_path / "private"),))
    with pytest.raises(HostError, match=r"user nobody cannot read .*private: install"):
        find_user("nobody")
    assert (os.geteuid(), os.getegid()) == (0, 0)


def test_files_are_kept_at_the_users_home() -> None:
    assert home_of(pwd.getpwnam("root"))["HOME"] == pwd.getpwnam("root").pw_dir
