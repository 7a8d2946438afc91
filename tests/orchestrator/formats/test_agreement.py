"""All formats say the same of the same profiles: the total of each thread and stack."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.formats.folded import to_folded
from orchestrator.formats.merge import Merger
from orchestrator.formats.pprof import to_pprof
from orchestrator.formats.speedscope import to_speedscope
from orchestrator.signals.model import KERNEL, Frame, Sample
from tests.orchestrator.formats.made import PERIOD, cpu, off_cpu
from tests.orchestrator.formats.reading import Totals, folded_totals, pprof_totals, speedscope_totals

# No `;`, which folded stacks cannot hold, and nothing that is escaped: those have tests of their own.
NAMES = st.text(st.characters(codec="ascii", categories=["L", "N", "P", "S"], exclude_characters=";\\["), max_size=5)
FRAMES = st.one_of(
    st.builds(lambda name: Frame(name, 0, "kernel", KERNEL), NAMES),
    st.builds(lambda name, module: Frame(name, 0, "native", module), NAMES, st.sampled_from(["", "/bin/a", "/bin/b"])),
    st.builds(lambda address: Frame("", address, "native"), st.integers(0, 3)),
)
SAMPLES = st.builds(
    lambda stack, value, comm, pid: Sample(
        tuple(stack), value, {"process.pid": pid, **({"thread.name": comm} if comm else {})}
    ),
    st.lists(FRAMES, max_size=4),
    st.integers(1, 1 << 30),
    NAMES,
    st.integers(0, 2),
)


def expected(samples: list[Sample]) -> Totals:
    totals: Totals = Counter()
    for sample in samples:
        names = [one.name or (hex(one.address) if one.address else "[unknown]") for one in reversed(sample.stack)]
        comm = sample.attributes.get("thread.name")
        totals[(*([str(comm)] if comm else []), *(names or ["[unknown]"]))] += sample.value
    return totals


@given(st.lists(st.lists(SAMPLES, max_size=5), max_size=3), st.lists(SAMPLES, max_size=5))
def test_agreement(windows: list[list[Sample]], others: list[Sample]) -> None:
    merger = Merger()
    merger.add(cpu(*window, start=index) for index, window in enumerate(windows))
    merger.add([off_cpu(*others)])
    profiles = merger.profiles()
    pprof, speedscope = to_pprof(profiles), to_speedscope(profiles, "", "")
    column = 0
    for index, profile in enumerate(profiles):
        totals = expected(others if profile.period_type is None else [one for window in windows for one in window])
        assert folded_totals(to_folded([profile])) == totals
        assert speedscope_totals(speedscope, index) == totals
        assert pprof_totals(pprof, column) == totals
        if profile.period_type is not None:
            column += 1
            assert pprof_totals(pprof, column) == {key: value * PERIOD for key, value in totals.items()}
        column += 1
