from __future__ import annotations

import json

import pytest

from orchestrator.__main__ import main


def test_signals_say_what_they_become(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--json"]) == 0
    becomes = {row["name"]: row["becomes"] for row in json.loads(capsys.readouterr().out)}
    assert becomes == {
        "alloc": ["profiles"],
        "cpu": ["profiles"],
        "exec": ["metrics", "logs"],
        "http": ["metrics", "traces"],
        "offcpu": ["profiles"],
        "tcp": ["metrics", "logs"],
    }


def test_one_line_a_signal(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    found = dict(line.split(None, 1) for line in lines if not line.startswith(" "))
    assert found["cpu"].startswith("profiles ")
    assert found["http"].startswith("metrics, traces ")
