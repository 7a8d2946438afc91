"""Every stack that bpftrace printed in a map's key is read, in all versions and formats, and none of them is lost."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.corpus.reading import FORMATS, VERSIONS, Format, fed, has, path_of, ran

CASES = (
    "dupkeys-ustack",
    "kstack",
    "profile-fp",
    "profile-mixed",
    "profile-nofp",
    "profile-static",
    "profile-stripped",
    "profile-ustack-python",
    "stack-raw",
    "tool-biostacks",
    "ustack-exited",
    "ustack-live",
    "ustack-stripped",
)
OUTPUTS = [(version, case) for case in CASES for version in VERSIONS if has(version, case, "json")]


def printed(version: str, case: str) -> dict[str, int]:
    """What the last print of each map with stacks adds up to, as Python's own JSON parser reads it."""
    totals: dict[str, int] = {}
    for line in path_of(version, case, ".json").read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            record = json.loads(line, object_pairs_hook=lambda pairs: pairs)
        except ValueError:
            continue
        fields: dict[str, Any] = dict(record)
        if fields["type"] in {"map", "hist"}:
            ((name, entries),) = fields["data"]
            if isinstance(entries, list) and any(re.match(r",?(\n|\\n)", key) for key, _ in entries):
                totals[name] = sum(amount(value) for _, value in entries)
    return totals


def amount(value: Any) -> int:
    """A number, or how many values a histogram holds."""
    return sum(dict(bucket)["count"] for bucket in value) if isinstance(value, list) else int(value)


@pytest.mark.parametrize(("version", "case"), OUTPUTS)
def test_all_samples_arrive(version: str, case: str) -> None:
    pipeline, sink = fed(version, case, "json")
    assert sorted(sum(sample.value for sample in profile.samples) for profile in sink.profiles) == sorted(
        total
        for name, total in printed(version, case).items()
        if total and name[1:] not in pipeline.stream.stacks.unmade
    )
    assert pipeline.stream.unread_entries == 0


@pytest.mark.parametrize(
    ("version", "case", "kind"),
    [(version, case, kind) for version, case in OUTPUTS for kind in FORMATS if ran(version, case, kind)],
)
def test_frames_are_symbols_or_addresses(version: str, case: str, kind: Format) -> None:
    _, sink = fed(version, case, kind)
    frames = [frame for profile in sink.profiles for sample in profile.samples for frame in sample.stack]
    for frame in frames:
        assert not re.search(r"^\s|\+\d+$|^0x|[\n,]$", frame.name), frame
        assert frame.name or frame.address, frame
    assert frames or not printed(version, case)


@pytest.mark.parametrize("kind", FORMATS)
def test_histograms_by_stack_count_their_values(kind: Format) -> None:
    """biostacks: how long requests waited before the disk got them, by the code that made them."""
    _, sink = fed("0.27.1", "tool-biostacks", kind)
    (profile,) = sink.profiles
    assert (profile.sample_type.type, profile.sample_type.unit) == ("events", "count")
    leaves = {sample.stack[0].name for sample in profile.samples}
    assert leaves == {"blk_account_io_start"}
    assert all(sample.value > 0 for sample in profile.samples)
    assert not sink.snapshots or "usecs" not in str(sink.snapshots)
