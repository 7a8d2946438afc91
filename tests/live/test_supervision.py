"""A run to which something happens: bpftrace dies or hangs, the job runs twice, SIGHUP, a full disk."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.live.conftest import lack
from tests.live.harness import TIMEOUT, Run, Telemetry, attributes, start_processes
from tests.live.test_errors import orchestrate

pytestmark = pytest.mark.live

PROGRAM = "tracepoint:syscalls:sys_enter_getppid /pid == $1/ { @calls = count(); }\n"
CALLS, PROCESSES = 1234, 20
DIES = """\
#!/bin/sh
# A bpftrace that dies as soon as it is ready.
cat > /dev/null
printf '{"type": "attached_probes", "data": {"probes": 1}}\\n'
printf '{"type": "value", "data": ["orchestrator","begin",1]}\\n'
printf '{"type": "value", "data": ["orchestrator","ready",2]}\\n'
echo 'ERROR: it broke' >&2
exit 7
"""


def wait_for(what: Callable[[], bool], run: Run, seconds: float = TIMEOUT) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert run.process.poll() is None, run.process.communicate()[1].decode()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def bpftraces(run: Run) -> dict[int, str]:
    """The bpftrace processes of a run, and the arguments of each."""
    children = Path(f"/proc/{run.process.pid}/task/{run.process.pid}/children").read_text().split()
    return {int(child): Path(f"/proc/{child}/cmdline").read_text() for child in children}


def has_restarted(output: Path, times: int = 1) -> Callable[[], bool]:
    return lambda: output.exists() and output.read_text().count('"ebpf.bpftrace.restarted"') >= times


def arguments_in(output: Path, marker: str) -> int:
    return output.read_text().count(f'"stringValue":"{marker}"')


def marked(telemetry: Telemetry, marker: str) -> int:
    return sum(marker in found["process.command_args"] for found, _ in telemetry.events("ebpf.process.exec"))


def points(telemetry: Telemetry, name: str) -> list[Any]:
    return [point for snapshot in telemetry.snapshots if name in snapshot for point in snapshot[name].sum.data_points]


def execute(marker: str) -> None:
    for _ in start_processes(PROCESSES, marker):
        pass


def call() -> None:
    for _ in range(CALLS):
        os.getppid()


def test_killed_bpftraces_are_started_again(tmp_path: Path, bpftrace: str) -> None:
    (tmp_path / "calls.bt").write_text(PROGRAM)
    output = tmp_path / "out.jsonl"
    before, after = (f"marker-{uuid.uuid4().hex}" for _ in range(2))
    arguments = ("--set", f"calls.1={os.getpid()}", "--interval", "500ms", "--output", "out.jsonl")
    run = Run(tmp_path, "exec,./calls.bt", "--bpftrace", bpftrace, *arguments).ready()
    execute(before)
    call()
    wait_for(lambda: output.exists() and arguments_in(output, before) == PROCESSES, run)
    wait_for(lambda: f'"asInt":"{CALLS}"' in output.read_text(), run)
    assert len(bpftraces(run)) == 2
    for process in bpftraces(run):
        os.kill(process, signal.SIGKILL)
    wait_for(has_restarted(output, 2), run)
    execute(after)
    call()
    call()
    code, _, stderr = run.stop()
    assert code == 1
    for name in ("exec", "calls"):
        assert f"orchestrate: {name}: bpftrace ended (killed by signal 9); started again in " in stderr
        assert f"orchestrate: {name}: bpftrace was started again 1 time: what happened in " in stderr
    telemetry = Telemetry.read(output.read_text())
    assert (marked(telemetry, before), marked(telemetry, after)) == (PROCESSES, PROCESSES)
    _check_sums(telemetry)
    _check_restarts(telemetry)


def _check_sums(telemetry: Telemetry) -> None:
    found: dict[int, list[int]] = {}
    for point in points(telemetry, "ebpf.calls.calls"):
        assert point.start_time_unix_nano <= point.time_unix_nano
        found.setdefault(point.start_time_unix_nano, []).append(point.as_int)
    assert [values[-1] for values in found.values()] == [CALLS, 2 * CALLS]
    assert all(values == sorted(values) for values in found.values())
    starts = {point.start_time_unix_nano for point in points(telemetry, "ebpf.process.execs")}
    assert len(starts) == 2


def _check_restarts(telemetry: Telemetry) -> None:
    restarts = {
        attributes(point.attributes)["ebpf.signal"]: (point.as_int, point.start_time_unix_nano)
        for point in points(telemetry, "ebpf_restarts_total")
    }
    assert [count for count, _ in restarts.values()] == [1, 1]
    events = telemetry.events("ebpf.bpftrace.restarted")
    assert sorted(found["ebpf.signals"] for found, _ in events) == [["calls"], ["exec"]]
    for found, record in events:
        assert 1 <= found["ebpf.gap.duration"] < TIMEOUT
        assert found["ebpf.cause"] == "killed by signal 9"
        assert all(start < record.time_unix_nano for _, start in restarts.values())


def test_a_stopped_bpftrace_is_found_and_started_again(tmp_path: Path, bpftrace: str) -> None:
    output, marker = tmp_path / "out.jsonl", f"marker-{uuid.uuid4().hex}"
    arguments = ("--interval", "200ms", "--output", "out.jsonl", "--bpftrace", bpftrace)
    run = Run(tmp_path, "exec", *arguments).ready()
    (process,) = bpftraces(run)
    os.kill(process, signal.SIGSTOP)
    wait_for(has_restarted(output), run)
    assert not Path(f"/proc/{process}").exists()
    execute(marker)
    code, _, stderr = run.stop()
    assert code == 1
    assert "exec: bpftrace ended (stalled: no snapshot for 1" in stderr
    telemetry = Telemetry.read(output.read_text())
    assert marked(telemetry, marker) == PROCESSES
    ((found, _),) = telemetry.events("ebpf.bpftrace.restarted")
    assert found["ebpf.gap.duration"] > 10  # from the last sign of life on


def test_a_bpftrace_that_dies_each_time_is_given_up(tmp_path: Path) -> None:
    fake = tmp_path / "dies"
    fake.write_text(DIES)
    fake.chmod(0o755)
    run = Run(tmp_path, "exec", "--output", "out.jsonl", "--bpftrace", str(fake)).ready()
    code, _, stderr = run.wait()
    assert code == 1
    assert stderr.count("exec: bpftrace ended (exit code 7); started again in ") == 4
    assert "exec: given up after 5 failures in a row: bpftrace said: it broke (exit code 7)" in stderr
    telemetry = Telemetry.read((tmp_path / "out.jsonl").read_text())
    assert len(telemetry.events("ebpf.bpftrace.ended")) == 4
    assert len(telemetry.events("ebpf.bpftrace.given_up")) == 1
    ends = telemetry.events("ebpf.program.ended", ebpf__program__end__reason="died")
    assert [found["process.exit.code"] for found, _ in ends] == [7] * 5


def test_nothing_is_started_again_shortly_before_the_end(tmp_path: Path) -> None:
    run = Run(tmp_path, "exec", "--duration", "1900ms", "--output", "out.jsonl").ready()
    (process,) = bpftraces(run)
    os.kill(process, signal.SIGKILL)
    code, _, stderr = run.wait()
    assert code == 1
    assert "exec: bpftrace ended by itself: bpftrace was killed by SIGKILL" in stderr
    assert "again" not in stderr


def test_a_recording_goes_on_after_a_restart(tmp_path: Path) -> None:
    output, marker = tmp_path / "out.jsonl", f"marker-{uuid.uuid4().hex}"
    run = Run(tmp_path, "exec", "--interval", "500ms", "--record", "raw.rec", "--output", "out.jsonl").ready()
    execute(marker)
    wait_for(lambda: output.exists() and arguments_in(output, marker) == PROCESSES, run)
    (process,) = bpftraces(run)
    os.kill(process, signal.SIGKILL)
    wait_for(has_restarted(output), run)
    execute(marker)
    run.stop()
    code, stderr = orchestrate("replay", "raw.rec", "--output", "again.jsonl", folder=tmp_path)
    assert code == 1
    assert "bpftrace was started again in the recording" in stderr
    first, second = (Telemetry.read((tmp_path / name).read_text()) for name in ("out.jsonl", "again.jsonl"))
    assert marked(first, marker) == marked(second, marker) == 2 * PROCESSES
    for name in ("ebpf.process.execs", "ebpf_events_processed_total", "ebpf_restarts_total"):
        assert len({point.start_time_unix_nano for point in points(first, name)}) == (
            2 if "restarts" not in name else 1
        )
        assert points(first, name) == points(second, name)


@pytest.fixture
def state(tmp_path: Path) -> dict[str, str]:
    return {"STATE_DIRECTORY": str(tmp_path / "state")}


def test_the_same_job_is_skipped_or_waits(tmp_path: Path, state: dict[str, str]) -> None:
    job = ("exec", "--set", "exec.exits=true", "--output")
    holder = Run(tmp_path, *job, "1.jsonl", "--on-overlap", "skip", environment=state).ready()
    (lock,) = (tmp_path / "state/jobs").iterdir()
    assert lock.stat().st_mode & 0o777 == 0o600

    other = Run(folder(tmp_path, "2"), *job, "2.jsonl", "--on-overlap", "skip", environment=state)
    code, _, stderr = other.wait()
    assert (code, stderr) == (75, f"orchestrate: skipped: this job runs already (pid {holder.process.pid})\n")

    another = Run(
        folder(tmp_path, "3"),
        "exec",
        "--output",
        "3.jsonl",
        "--on-overlap",
        "skip",
        "--duration",
        "1s",
        environment=state,
    )
    assert another.wait()[0] == 0  # without exits it is another job

    waiting = Run(
        folder(tmp_path, "4"), *job, "4.jsonl", "--on-overlap", "wait", "--duration", "300ms", environment=state
    )
    said = waiting.process.stderr
    assert said is not None
    assert b"waiting for its end" in said.readline()
    assert not (tmp_path / "4/4.jsonl").exists()
    assert holder.stop()[0] == 0
    assert waiting.wait()[0] == 0
    assert Telemetry.read((tmp_path / "4/4.jsonl").read_text()).snapshots
    assert list((tmp_path / "state/jobs").iterdir()) == []


def test_a_killed_holder_holds_nothing(tmp_path: Path, state: dict[str, str]) -> None:
    holder = Run(tmp_path, "exec", "--output", "1.jsonl", "--on-overlap", "skip", environment=state).ready()
    holder.stop(signal.SIGKILL)
    (tmp_path / "notify").unlink()
    again = Run(
        tmp_path, "exec", "--output", "2.jsonl", "--on-overlap", "skip", "--duration", "300ms", environment=state
    )
    assert again.wait()[0] == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_waiting_ends_when_it_is_asked_to(tmp_path: Path, state: dict[str, str], number: int) -> None:
    holder = Run(tmp_path, "exec", "--output", "1.jsonl", "--on-overlap", "wait", environment=state).ready()
    waiting = Run(folder(tmp_path, "2"), "exec", "--output", "2.jsonl", "--on-overlap", "wait", environment=state)
    said = waiting.process.stderr
    assert said is not None
    assert b"waiting for its end" in said.readline()
    code, _, stderr = waiting.stop(number)
    assert (code, "nothing was traced" in stderr) == (75, True)
    assert holder.stop()[0] == 0


def folder(parent: Path, name: str) -> Path:
    (parent / name).mkdir()
    return parent / name


def configure(path: Path, targets: Sequence[str], interval: str = "300ms") -> None:
    """Written beside it and put in its place, as editors do."""
    text = f"targets: [{', '.join(targets)}]\ninterval: {interval}\noutput: out.jsonl\nrecord: raw.rec\n"
    path.with_suffix(".new").write_text(text)
    path.with_suffix(".new").rename(path)


def test_a_hangup_reloads_the_configuration(tmp_path: Path) -> None:
    config, output = tmp_path / "run.yaml", tmp_path / "out.jsonl"
    before, after = (f"marker-{uuid.uuid4().hex}" for _ in range(2))
    configure(config, ["exec"])
    run = Run(tmp_path, "--config", "run.yaml").ready()
    execute(before)
    (first,) = bpftraces(run)

    configure(config, ["exec", "no-such-signal"])
    run.process.send_signal(signal.SIGHUP)
    assert run.told().startswith(b"RELOADING=1\nMONOTONIC_USEC=")
    assert run.told() == b"READY=1"
    assert list(bpftraces(run)) == [first]  # what is wrong changes nothing

    configure(config, ["tcp", "exec"])
    run.process.send_signal(signal.SIGHUP)
    assert run.told().startswith(b"RELOADING=1\n")
    assert run.told() == b"READY=1"
    assert first not in bpftraces(run)
    execute(after)
    code, _, stderr = run.stop()
    assert code == 0, stderr
    assert "nothing was reloaded: " in stderr
    assert "no-such-signal" in stderr
    telemetry = Telemetry.read(output.read_text())
    assert (marked(telemetry, before), marked(telemetry, after)) == (PROCESSES, PROCESSES)
    restarts = [
        {attributes(point.attributes)["ebpf.signal"] for point in snapshot["ebpf_restarts_total"].sum.data_points}
        for snapshot in telemetry.snapshots
    ]
    assert (restarts[0], restarts[-1]) == ({"exec"}, {"tcp", "exec"})
    assert len({resource["ebpf.run.id"] for resource in telemetry.resources}) == 2
    code, stderr = orchestrate("replay", "raw.rec", "--output", "again.jsonl", folder=tmp_path)
    assert code == 0, stderr
    again = Telemetry.read((tmp_path / "again.jsonl").read_text())
    assert (marked(again, before), marked(again, after)) == (PROCESSES, PROCESSES)


def test_the_duration_is_counted_from_the_first_start(tmp_path: Path) -> None:
    configure(tmp_path / "run.yaml", ["exec"])
    run = Run(tmp_path, "--config", "run.yaml", "--duration", "6s").ready()
    start = time.monotonic()
    run.process.send_signal(signal.SIGHUP)
    assert run.told().startswith(b"RELOADING=1\n")
    assert run.told() == b"READY=1"
    assert run.wait()[0] == 0
    assert 5 < time.monotonic() - start < 30


def test_a_hangup_ends_a_run_without_configuration(tmp_path: Path) -> None:
    run = Run(tmp_path, "exec", "--output", "out.jsonl").ready()
    assert run.stop(signal.SIGHUP)[0] == 0


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    where = folder(tmp_path, "small")
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(where)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        lack("tmpfs cannot be mounted")
    yield where
    subprocess.run(["umount", "-l", str(where)], check=True)


@pytest.fixture
def busy() -> Iterator[None]:
    """Executions until the test is done."""
    done = threading.Event()

    def work() -> None:
        while not done.is_set():
            subprocess.run(["/bin/true", "x" * 200], check=True)

    thread = threading.Thread(target=work)
    thread.start()
    yield
    done.set()
    thread.join()


@pytest.mark.usefixtures("busy")
def test_an_output_that_fills_its_disk_ends_the_run(tmp_path: Path, small: Path) -> None:
    # So that the first request fits, of 1,024 log records at most, which are more than 1 MiB of JSON.
    subprocess.run(["mount", "-o", "remount,size=4m", str(small)], check=True)
    run = Run(tmp_path, "exec", "--output", str(small / "out.jsonl")).ready()
    code, _, stderr = run.wait()
    assert code == 1
    assert f"{small}/out.jsonl: No space left on device" in stderr
    *whole, _cut = (small / "out.jsonl").read_text().split("\n")
    assert Telemetry.read("\n".join(whole)).logs  # what is there can be read


@pytest.mark.usefixtures("busy")
def test_a_recording_that_fills_its_disk_ends_and_the_run_goes_on(tmp_path: Path, small: Path) -> None:
    marker = f"marker-{uuid.uuid4().hex}"
    run = Run(tmp_path, "exec", "--record", str(small / "raw.rec"), "--output", "out.jsonl").ready()
    wait_for(lambda: (small / "raw.rec").stat().st_size >= 1020 << 10, run)
    execute(marker)
    code, _, stderr = run.stop()
    assert code == 1
    assert "the recording ends early: No space left on device" in stderr
    assert marked(Telemetry.read((tmp_path / "out.jsonl").read_text()), marker) == PROCESSES
    assert orchestrate("replay", str(small / "raw.rec"), "--output", "again.jsonl", folder=tmp_path)[0] == 1
