"""What `convert` writes, read by those it is written for: `go tool pprof`, and speedscope's own schema."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.live.conftest import TOOLS, lack
from tests.live.harness import orchestrate, rows, run_pprof
from tests.orchestrator.formats.made import IN_KERNEL, IN_LIBC, alloc_space, cpu, off_cpu, sample
from tests.orchestrator.formats.reading import folded_totals, pprof_totals, speedscope_totals
from tests.orchestrator.test_convert import line

SOURCE = "profile:hz:99 /pid == $1/ { @[kstack, ustack, comm, pid] = count(); }\n"


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    """A capture of known content: 70 % in the kernel, 30 % in a library without symbols."""
    cpu_samples = [sample(IN_KERNEL, 70), sample(IN_LIBC, 30, comm="other", pid=0)]
    others = [off_cpu(sample(IN_KERNEL, 5_000_000)), alloc_space(sample(IN_LIBC, 4096))]
    (tmp_path / "cap.jsonl").write_bytes(line(cpu(*cpu_samples), *others))
    return tmp_path


@pytest.fixture(scope="session")
def schema() -> Any:
    if shutil.which("npm") is None:
        lack("npm is not installed, which gets speedscope's schema")
    made = subprocess.run([TOOLS / "speedscope-schema"], capture_output=True, text=True, check=False)
    if made.returncode:
        lack(f"speedscope's schema could not be had: {made.stderr}")
    return json.loads(Path(made.stdout.strip()).read_bytes())


@pytest.fixture
def pprof(capture: Path) -> Any:
    """Runs ``go tool pprof`` on what was made of the capture."""
    orchestrate(capture, "convert", "cap.jsonl", "--to", "pprof")
    return partial(run_pprof, capture)


def test_pprof_top_has_the_functions_and_their_shares(pprof: Any) -> None:
    top = pprof("-top")
    assert "Type: cpu" in top
    assert "Time: 2023-11-14 22:13:20 UTC" in top
    assert re.search(r"Duration: 10s, Total samples = (1s|1000ms) \(10\.00%\)", top)
    assert rows(top) == {
        "ksys_read": ("70.00%", "70.00%"),
        "do_syscall_64": ("0%", "70.00%"),
        "read": ("0%", "70.00%"),
        "0x7f12": ("30.00%", "30.00%"),
        "0x7f34": ("0%", "30.00%"),
        "main": ("0%", "100%"),
    }


def test_pprof_has_all_types(pprof: Any) -> None:
    assert set(rows(pprof("-top", "-sample_index=off_cpu"))) == {"ksys_read", "do_syscall_64", "read", "main"}
    assert "4kB" in pprof("-top", "-sample_index=alloc_space")
    assert "70" in pprof("-top", "-sample_index=samples")


def test_pprof_traces_have_stacks_leaf_first_and_labels(pprof: Any) -> None:
    blocks = [block.split() for block in re.split(r"-{5,}\+-+\n", pprof("-traces"))]
    assert ["comm:", "demo", "pid:", "42", "700ms", "ksys_read", "do_syscall_64", "read", "main"] in blocks
    assert ["comm:", "other", "pid:", "0", "300ms", "0x7f12", "0x7f34", "main"] in blocks


def test_pprof_tags(pprof: Any) -> None:
    tags = " ".join(pprof("-tags").split())
    assert re.search(r"comm: Total (1s|1000ms) of (1s|1000ms) \( ?100%\) 700ms \(70\.00%\): demo 300ms", tags)
    assert re.search(r"pid: Total .* 700ms \(70\.00%\): 42 300ms \(30\.00%\): 0", tags)
    assert rows(pprof("-top", "-tagfocus=comm=demo"))["ksys_read"][0] == "70.00%"


def test_speedscope_is_what_its_schema_says(capture: Path, schema: Any) -> None:
    orchestrate(capture, "convert", "cap.jsonl", "--to", "speedscope")
    document = json.loads((capture / "cap.speedscope.json").read_bytes())
    jsonschema.validate(document, schema)
    document["profiles"][0]["unit"] = "count"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, schema)


def test_what_a_live_run_has_seen(capture: Path, pprof: Any, schema: Any) -> None:
    """Samples of the kernel at hand, from the capture and from the recording of the same run."""
    (capture / "cpu.bt").write_text(SOURCE)
    load = subprocess.Popen([sys.executable, "-c", "while True: open('/proc/self/stat').read()"])
    try:
        orchestrate(
            capture,
            "run",
            "./cpu.bt",
            "--set",
            f"1={load.pid}",
            "--duration",
            "3s",
            "--output",
            "live.jsonl",
            "--record",
            "live.rec",
        )
    finally:
        load.kill()
        load.wait()
    totals = []
    for file in ("live.jsonl", "live.rec"):
        totals.append(folded_totals(orchestrate(capture, "convert", file, "--to", "folded").stdout.encode()))
        orchestrate(capture, "convert", file, "--to", "speedscope", "--output", "live.json")
        document = (capture / "live.json").read_bytes()
        jsonschema.validate(json.loads(document), schema)
        totals.append(speedscope_totals(document))
        orchestrate(capture, "convert", file, "--to", "pprof", "--output", "live.pb.gz")
        totals.append(pprof_totals((capture / "live.pb.gz").read_bytes()))
    assert totals[0].total() > 50
    # Folded stacks have no `;` in names.
    assert len({tuple(sorted(total.values())) for total in totals}) == 1
    assert totals[1] == totals[2] == totals[4] == totals[5]
    top = pprof("-top", "-cum", "-nodecount=1000", file="live.pb.gz")
    assert any(name.startswith(("entry_SYSCALL_64", "do_syscall_64", "el0_svc")) for name in rows(top)), top
