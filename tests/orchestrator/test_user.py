"""Whom root may become; that it does is for the live tests."""

from __future__ import annotations

import os
import pwd

import pytest

from orchestrator.errors import UsageError
from orchestrator.user import find_user, home_of


@pytest.mark.parametrize(("name", "shown"), [("no-such-user", "no-such-user"), ("", "''")])
def test_nobody_is_called_so(name: str, shown: str) -> None:
    with pytest.raises(UsageError, match=f"user {shown}: there is no such user"):
        find_user(name)


def test_whom_we_are_already() -> None:
    assert find_user(pwd.getpwuid(os.geteuid()).pw_name) is None


def test_only_root_can(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 54321)
    with pytest.raises(UsageError, match="only root can become somebody else"):
        find_user("root")


def test_files_are_kept_at_the_users_home() -> None:
    assert home_of(pwd.getpwnam("root"))["HOME"] == pwd.getpwnam("root").pw_dir
