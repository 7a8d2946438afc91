"""Every program is read, and understood if bpftrace understands it."""

from __future__ import annotations

import pytest

from orchestrator.catalog import inferred_signal
from parsers.script import read_script
from tests.corpus.reading import FORMATS, ROOT, VERSIONS, cases, ran

# Programs that no bpftrace takes, and what is wrong with them; the others that none takes have no wrong syntax.
PROBLEMS = {
    "fail-lexer": ("line 1: '{' is not closed", "line 1: the string is not closed"),
    "fail-syntax": ("line 1: '(' is not closed",),
}


def accepted(case: str) -> bool:
    """Whether some version ran it to its end."""
    return any(ran(version, case, kind) for version in VERSIONS for kind in FORMATS)


@pytest.mark.parametrize("case", cases(".bt"))
def test_each_program_is_read(case: str) -> None:
    for path in ROOT.glob(f"*/{case}.bt"):
        source = path.read_text(encoding="utf-8")
        script = read_script(source)
        assert script.problems == PROBLEMS.get(case, ())
        assert script.probes or not accepted(case)
        assert inferred_signal(path, source).manifest.process == "own"


def test_no_program_with_a_problem_is_accepted() -> None:
    assert set(PROBLEMS) <= set(cases(".bt"))
    assert [case for case in PROBLEMS if accepted(case)] == []
