"""bpftrace's own tools, as packaged, without a manifest: all that they print arrives, and is what was done."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from orchestrator.bpftrace import find_bpftrace
from tests.tools.survey import Bpftrace, Finding, examine

# What starts on every kernel that the live tests can run on: tracepoints, profiles and functions of libc and libssl.
EVERYWHERE = {
    "bitesize", "cpuwalk", "execsnoop", "gethostlatency", "killsnoop", "naptime", "opensnoop", "pidpersec", "setuids",
    "ssllatency", "sslsnoop", "statsnoop", "syncsnoop", "syscount", "threadsnoop", "writeback",
}  # fmt: skip


def test_every_tool(bpftrace: str, tmp_path: Path) -> None:
    """Exact where our own workload has marked what it did: counts, process ids, names and arguments."""
    packaged = Bpftrace.of(find_bpftrace(bpftrace))

    def finding_of(tool: str) -> Finding:
        return examine(packaged, tool, tmp_path / tool)

    with ThreadPoolExecutor(2) as pool:
        findings = list(pool.map(finding_of, packaged.tools))
    problems = {one.tool: one.problems for one in findings if one.problems}
    assert not problems, "\n".join([f"{tool}: {problem}" for tool, found in problems.items() for problem in found])
    assert {one.tool for one in findings if one.starts} >= EVERYWHERE.intersection(packaged.tools)
    assert {one.exit_code for one in findings if not one.starts} <= {3}
