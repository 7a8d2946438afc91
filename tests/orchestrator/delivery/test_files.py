from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.delivery.files import JsonLines
from orchestrator.delivery.transport import Request

LINE = "{}\n"


@pytest.mark.parametrize(("again", "expected"), [(False, LINE), (True, LINE * 2)])
def test_a_file_is_begun_anew_unless_we_have_begun_it(tmp_path: Path, again: bool, expected: str) -> None:
    for again_now in (False, again):
        file = JsonLines(str(tmp_path / "out.jsonl"), again=again_now)
        file.write(Request("logs", [b""], 0))
        file.close()
    assert (tmp_path / "out.jsonl").read_text() == expected
    assert (tmp_path / "out.jsonl").stat().st_mode & 0o777 == 0o600
