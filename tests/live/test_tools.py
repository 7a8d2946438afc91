"""bpftrace's own tools, as packaged, without a manifest: all that they print arrives, and is what was done."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from orchestrator.bpftrace.binary import find_bpftrace
from tests.tools.survey import Bpftrace, Finding, examine

# What starts on every kernel that the live tests can run on: tracepoints, profiles and functions of libc and libssl.
EVERYWHERE = {
    "bitesize", "cpuwalk", "execsnoop", "gethostlatency", "killsnoop", "naptime", "opensnoop", "pidpersec", "setuids",
    "ssllatency", "sslsnoop", "statsnoop", "syncsnoop", "syscount", "threadsnoop", "writeback",
}  # fmt: skip


@pytest.fixture(scope="module")
def findings(bpftrace: str, tmp_path_factory: pytest.TempPathFactory) -> list[Finding]:
    packaged = Bpftrace.of(find_bpftrace(bpftrace))
    folder = tmp_path_factory.mktemp("tools")

    def finding_of(tool: str) -> Finding:
        return examine(packaged, tool, folder / tool)

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(finding_of, packaged.tools))


def test_every_tool(findings: list[Finding]) -> None:
    """Exact where our own workload has marked what it did: counts, process ids, names and arguments."""
    problems = [f"{one.tool}: {problem}" for one in findings for problem in one.problems]
    assert not problems, "\n".join(problems)
    names, started = {one.tool for one in findings}, {one.tool for one in findings if one.starts}
    assert started >= EVERYWHERE & names
    assert len(started) > 20


def test_what_bpftrace_cannot_start(findings: list[Finding]) -> None:
    codes = {one.tool: one.exit_code for one in findings if not one.starts}
    assert codes == dict.fromkeys(codes, 3)
