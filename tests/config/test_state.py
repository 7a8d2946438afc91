from __future__ import annotations

from pathlib import Path

import pytest

from config.state import state_directory


@pytest.mark.parametrize(
    ("environ", "uid", "wanted"),
    [
        ({"HOME": "/root"}, 0, "/var/lib/bpftrace-orchestrator"),
        ({"HOME": "/home/sre"}, 1000, "/home/sre/.local/state/bpftrace-orchestrator"),
        ({"HOME": "/home/sre", "XDG_STATE_HOME": "/data"}, 1000, "/data/bpftrace-orchestrator"),
        ({"HOME": "/home/sre", "XDG_STATE_HOME": "not/absolute"}, 1000, "/home/sre/.local/state/bpftrace-orchestrator"),
        ({"STATE_DIRECTORY": "/var/lib/private/o:/other"}, 0, "/var/lib/private/o"),
    ],
)
def test_state_directory(environ: dict[str, str], uid: int, wanted: str) -> None:
    assert state_directory(environ, uid) == Path(wanted)
