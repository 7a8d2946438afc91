"""What comes again is not made again, and what does not is not kept."""

from __future__ import annotations

from itertools import repeat

import pytest

from orchestrator.otlp import event_beginnings


def test_a_stream_that_repeats_itself_again_after_it_did_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_beginnings, "_MOST", 64)
    monkeypatch.setattr(event_beginnings, "_RESTING", 200)
    made: list[bytes] = []

    def make(row: int, size: int) -> bytes:
        made.append(b"%d %d" % (row, size))
        return made[-1]

    beginnings = event_beginnings.Beginnings(make)
    again, new = [7] * 50, iter(range(10_000))
    for number in range(40):
        rows = [next(new) for _ in range(50)] if 10 <= number < 20 else again
        found = beginnings.take(rows, repeat(3))
        assert found in (None, [b"%d 3" % row for row in rows])
    assert 50 < len(made) <= 300
    assert found is not None
