from __future__ import annotations

import pytest

from config.durations import parse_duration
from config.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5),
        ("30s", 30.0),
        ("5m", 300.0),
        ("2h", 7200.0),
        ("1.5s", 1.5),
        ("0.5h", 1800.0),
        ("1ms", 0.001),
        ("10us", 1e-5),
    ],
)
def test_parse_duration(text: str, seconds: float) -> None:
    assert parse_duration(text, "--interval") == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    ["", "30", "s", "30 s", " 30s", "30s ", "30s\n", "-5s", "+5s", "1e3s", ".5s", "5.s", "5S", "5w", "1m30s", "inf"],
)
def test_parse_duration_refuses_other_words(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^--interval: .* is not a duration; write it as 500ms, 30s, 5m, 2h or 7d"):
        parse_duration(text, "--interval")


@pytest.mark.parametrize(("text", "least"), [("0s", 0.0), ("0us", 0.0), ("99ms", 0.1), ("99999us", 0.1), ("1ms", 1.0)])
def test_parse_duration_refuses_what_is_too_short(text: str, least: float) -> None:
    with pytest.raises(ConfigError, match="is too short"):
        parse_duration(text, "--interval", least=least)


def test_parse_duration_names_the_least() -> None:
    assert parse_duration("100ms", "run.yaml:3", least=0.1) == pytest.approx(0.1)
    with pytest.raises(ConfigError, match=r"^run\.yaml:3: '10ms' is too short; the least is 100ms"):
        parse_duration("10ms", "run.yaml:3", least=0.1)
