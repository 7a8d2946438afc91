"""What all tests share."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest
from hypothesis import settings

# In CI the same examples each time, so that a change is judged by itself; `--hypothesis-profile search` looks for more.
settings.register_profile("ci", derandomize=True)
settings.register_profile("search", max_examples=1000, deadline=None)
if os.environ.get("CI"):
    settings.load_profile("ci")

_numbers = itertools.count()


@pytest.fixture(scope="session")
def states(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("states")


@pytest.fixture(autouse=True)
def state_directory(states: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Each test has a spool of its own, and never this host's."""
    path = states / str(next(_numbers))
    monkeypatch.setenv("STATE_DIRECTORY", str(path))
    return path
