"""Profiles of programs whose truth is known: every version of bpftrace, our own program and those of strangers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.live.conftest import Collector, lack
from tests.live.harness import TIMEOUT, ReadProfile, Run, Telemetry, orchestrate, rows, run_pprof
from tests.orchestrator.formats.reading import folded_totals, pprof_totals, speedscope_totals

PROGRAMS = Path(__file__).parent / "programs"
HZ = 99
CPU_SECONDS = 10


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The test programs, with frame pointers; the folder they are in."""
    if shutil.which("cc") is None:
        lack("no C compiler (cc)")
    folder = tmp_path_factory.mktemp("programs")
    for source in PROGRAMS.glob("*.c"):
        flags = ["-O1", "-fno-omit-frame-pointer", "-fno-optimize-sibling-calls", "-fno-builtin"]
        subprocess.run(["cc", *flags, "-o", folder / source.stem, source], check=True)
    return folder


def name() -> str:
    """A command name that no other process has, with what must not break a key; 0.24 and later drop blanks in keys."""
    return f"t,{uuid.uuid4().hex[:6]},\"x'"


@contextmanager
def working(program: Path, *arguments: str) -> Iterator[dict[str, Any]]:
    """What a test program says it did; it lives until the block ends."""
    with subprocess.Popen([program, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.communicate(timeout=TIMEOUT)


def stolen() -> float:
    """Seconds that a hypervisor took from all CPUs: samples of a program are taken in them, too.

    proc_stat(5), the eighth number of ``cpu``. The CPU time of a process is without them.
    """
    return int(Path("/proc/stat").read_text().split()[8]) / os.sysconf("SC_CLK_TCK")


def ended(run: Run, folder: Path) -> Telemetry:
    code, _, stderr = run.stop()
    assert code == 0, stderr
    assert len(stderr.splitlines()) == 1, stderr
    return Telemetry.read((folder / "out.jsonl").read_text())


def samples_of(profiles: Sequence[ReadProfile], comm: str, kind: str) -> Counter[tuple[str, ...]]:
    """All samples of one type and command name, by stack."""
    found: Counter[tuple[str, ...]] = Counter()
    for profile in profiles:
        for stack, attributes, value in profile.samples if profile.type == kind else ():
            if attributes["thread.name"] == comm:
                found[stack] += value
    return found


def within(samples: Counter[tuple[str, ...]], function: str) -> int:
    """What the stacks with this function add up to."""
    return sum(value for stack, value in samples.items() if function in stack)


def check_windows(profiles: Sequence[ReadProfile]) -> None:
    """They follow each other without gaps."""
    for kind in {profile.type for profile in profiles}:
        ordered = [profile for profile in profiles if profile.type == kind]
        for before, after in pairwise(ordered):
            assert before.end == after.start


def test_cpu(tmp_path: Path, bpftrace: str, programs: Path) -> None:
    comm = name()
    arguments = ("--comm", comm, "--interval", "2s", "--output", "out.jsonl", "--record", "rec", "--bpftrace", bpftrace)
    run = Run(tmp_path, "cpu", *arguments).ready()
    before = stolen()
    with working(programs / "burn", str(CPU_SECONDS), comm) as truth:
        most = truth["cpu"] + stolen() - before
        telemetry = ended(run, tmp_path)
    profiles = telemetry.profiles
    assert {(profile.type, profile.unit, profile.period) for profile in profiles} == {
        ("samples", "count", round(1e9 / HZ))
    }
    check_windows(profiles)
    samples = samples_of(profiles, comm, "samples")
    total = sum(samples.values())
    assert 0.99 * HZ * truth["cpu"] <= total <= 1.01 * HZ * most
    for function in ("hot", "warm"):
        share = truth[function] / (truth["hot"] + truth["warm"])
        assert within(samples, function) / total == pytest.approx(share, abs=0.05)
    assert within(samples, "main") == pytest.approx(total, rel=0.02)
    check_other_tools(tmp_path, total, within(samples, "hot"))


def check_other_tools(folder: Path, total: int, hot: int) -> None:
    """Folded stacks, speedscope and pprof, of the capture and of the recording, hold the same samples."""
    found = []
    for file in ("out.jsonl", "rec"):
        for form in ("folded", "speedscope", "pprof"):
            orchestrate(folder, "convert", file, "--to", form, "--output", f"{file}.{form}")
        read = ((folded_totals, "folded"), (speedscope_totals, "speedscope"), (pprof_totals, "pprof"))
        found += [reader((folder / f"{file}.{form}").read_bytes()) for reader, form in read]
    assert found[0].total() == total
    assert len({tuple(sorted(totals.values())) for totals in found}) == 1
    assert found[1] == found[2] == found[4] == found[5]
    shown = run_pprof(folder, "-top", "-sample_index=samples", file="out.jsonl.pprof")
    assert rows(shown).keys() >= {"hot", "warm", "main"}
    flat, cumulative = rows(shown)["hot"]
    assert cumulative == f"{100 * hot / total:.2f}%", shown
    assert flat <= cumulative


def test_offcpu(tmp_path: Path, bpftrace: str, programs: Path) -> None:
    comm = name()
    arguments = ("--comm", comm, "--interval", "1s", "--output", "out.jsonl", "--bpftrace", bpftrace)
    run = Run(tmp_path, "offcpu", *arguments).ready()
    with working(programs / "doze", "200", "10", comm) as truth:
        profiles = ended(run, tmp_path).profiles
    assert {(profile.type, profile.unit, profile.period) for profile in profiles} == {("off_cpu", "nanoseconds", 0)}
    check_windows(profiles)
    samples = samples_of(profiles, comm, "off_cpu")
    for function in ("doze", "await"):
        assert within(samples, function) == pytest.approx(truth[function], rel=0.05)


def test_alloc(tmp_path: Path, bpftrace: str, programs: Path) -> None:
    comm = name()
    arguments = ("--comm", comm, "--interval", "1s", "--output", "out.jsonl", "--bpftrace", bpftrace)
    library = libc_of(programs / "allocate")
    run = Run(tmp_path, "alloc", *arguments, "--set", f"lib={library}").ready()
    with working(programs / "allocate", comm) as truth:
        profiles = ended(run, tmp_path).profiles
    calls, space = (samples_of(profiles, comm, kind) for kind in ("alloc_objects", "alloc_space"))
    assert [sum(calls.values()), sum(space.values())] == [sum(column) for column in zip(*truth.values(), strict=True)]
    truth.pop("with_strdup")  # libc's strdup has no frame pointer, so stacks leave out who calls it
    found = {function: [within(calls, function), within(space, function)] for function in truth}
    assert found == truth


def libc_of(program: Path) -> str:
    """The libc that a program uses, where bpftrace of another release would find its own."""
    listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    path = next(line.split()[2] for line in listed.splitlines() if "libc.so" in line)
    return f"/proc/{os.getpid()}/root{path}"


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf", "http/json"])
def test_collector(tmp_path: Path, collector: Collector, programs: Path, protocol: str) -> None:
    comm = name()
    port = collector.grpc if protocol == "grpc" else collector.http
    endpoint = ("--otlp-endpoint", f"http://127.0.0.1:{port}", "--otlp-protocol", protocol)
    run = Run(tmp_path, "cpu", "--comm", comm, *endpoint, "--output", "out.jsonl").ready()
    with working(programs / "burn", "0.5", comm):
        telemetry = ended(run, tmp_path)
    arrived = Telemetry.read(collector.output("profiles", "hot"), ours=False)
    assert samples_of(arrived.profiles, comm, "samples") == samples_of(telemetry.profiles, comm, "samples")
    assert within(samples_of(arrived.profiles, comm, "samples"), "hot") > 0
    assert arrived.profiles[0].period == round(1e9 / HZ)


STRANGERS = {
    "whole": "profile:hz:99 /comm == str($1)/ { @[kstack, ustack, comm] = count(); }",
    "cleared": (
        "profile:hz:99 /comm == str($1)/ { @stacks[ustack] = count(); } "
        "interval:ms:300 { print(@stacks); clear(@stacks); }"
    ),
    "time": "profile:hz:99 /comm == str($1)/ { @ns[ustack(perf), cpu] = sum(10000000 + 101010); }",
}


@pytest.mark.parametrize("program", STRANGERS)
def test_a_strangers_stacks(tmp_path: Path, bpftrace: str, programs: Path, program: str) -> None:
    comm = name().replace('"', "").replace("'", "")
    (tmp_path / "their.bt").write_text(STRANGERS[program])
    arguments = ("--set", f"1={comm}", "--output", "out.jsonl", "--bpftrace", bpftrace)
    run = Run(tmp_path, "./their.bt", *arguments).ready()
    with working(programs / "burn", "1", comm) as truth:
        profiles = ended(run, tmp_path).profiles
    samples: Counter[tuple[str, ...]] = Counter()
    for profile in profiles:
        for stack, _, value in profile.samples:
            samples[stack] += value
    (kind,) = {(profile.type, profile.unit) for profile in profiles}
    each = 10101010 if program == "time" else 1
    assert kind == (("ns", "nanoseconds") if program == "time" else ("samples", "count"))
    # print and clear is not exact in bpftrace: what comes in between is lost or counted twice.
    assert sum(samples.values()) / each == pytest.approx(HZ * truth["cpu"], rel=0.2 if program == "cleared" else 0.05)
    assert within(samples, "hot") > within(samples, "warm") > 0
    assert len(profiles) > 1 if program == "cleared" else len(profiles) == 1
