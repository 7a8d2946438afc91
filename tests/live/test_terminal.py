"""A person at a terminal: progress, Ctrl-C, the summary, and nothing hostile on the screen."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pexpect

OWN_SEQUENCE = "\r\x1b[K"  # takes the progress line away


def test_terminal(tmp_path: Path) -> None:
    child = pexpect.spawn(
        sys.executable, ["-m", "orchestrator", "run", "exec"], cwd=str(tmp_path), encoding="utf-8", timeout=60
    )
    child.expect(r"\d+\.\d s  \d+ events  0 lost  \(Ctrl-C ends\)")
    subprocess.run(["/bin/true", "red \x1b[31m alert", "new\nline", "\u202ereversed"], check=True)
    child.sendintr()
    child.expect(pexpect.EOF)
    child.close()
    screen = (child.before or "").replace(OWN_SEQUENCE, "")
    assert child.exitstatus == 0, screen
    assert "\\x1b[31m alert" in screen
    assert "new\\nline" in screen
    assert "\\u202ereversed" in screen
    assert "\x1b" not in screen
    assert "\u202e" not in screen
    (capture,) = tmp_path.glob("capture-*.jsonl")
    assert re.search(rf"exec: \d+\.\d s, \d+ probes, \d+ log records, \d+ data points -> {capture.name}", screen)


def test_terminal_duration_in_progress(tmp_path: Path) -> None:
    arguments = ["-m", "orchestrator", "run", "tcp", "--duration", "1500ms"]
    child = pexpect.spawn(sys.executable, arguments, cwd=str(tmp_path), encoding="utf-8", timeout=60)
    child.expect(r"\d+\.\d/1\.5 s")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
