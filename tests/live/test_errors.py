"""Every mistake and lack as a new user meets it: one clear line with the mend, the right exit code, no traceback."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from benchmarks.unlimited import unlimited
from tests.live.conftest import Collector
from tests.live.harness import Run, Telemetry, kept

PAIR = """\
summary: A pair of a test
traces: What the test does
cost: none
kernel: "5.10"
bpftrace: "0.17"
"""
FLOOD_BT = """\
tracepoint:syscalls:sys_enter_getppid /pid == getopt("pid", 0)/
{
  @flood_emitted = count();
  print(("flood", nsecs, pid));
}
"""
FLOOD_YAML = (
    PAIR
    + """
parameters:
  pid: {type: int, default: 0, help: Only this process}
emitted: flood_emitted
events:
  flood:
    name: ebpf.test.flood
    fields: [{name: time, type: time}, {attribute: process.pid}]
"""
)


def orchestrate(*arguments: str, folder: Path, prefix: tuple[str, ...] = (), **environment: str) -> tuple[int, str]:
    """Exit code and stderr; a traceback fails every test."""
    done = subprocess.run(
        [*prefix, sys.executable, "-m", "orchestrator", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **environment},
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stderr


def write_pair(folder: Path, name: str, program: str, manifest: str = PAIR) -> str:
    (folder / f"{name}.bt").write_text(program)
    (folder / f"{name}.yaml").write_text(manifest)
    return f"./{name}.bt"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["run", "tpc"], ["'tpc'", "did you mean tcp"]),
        (["run", "tcp,,exec"], ["empty target"]),
        (["run", "./nothing.bt"], ["no such file", "nothing.bt"]),
        (["run", "tcp", "--duration", "5"], ["--duration", "'5'", "30s"]),
        (["run", "tcp", "--interval", "1ms"], ["--interval", "too short"]),
        (["run", "tcp", "--set", "evnets=all"], ["'evnets'", "did you mean", "tcp.events"]),
        (["run", "tcp", "--set", "events=some"], ["tcp.events='some'", "none, open, close, all"]),
        (["run", "tcp", "--set", "events"], ["NAME=VALUE"]),
        (["run", "exec", "--set", 'comm=a"; system("id")é'], ["exec.comm"]),
        (["run", "exec", "--pid", "1; exit()"], ["exec.pid", "whole number"]),
        (["run", "tcp", "--pid", "1"], ["--pid", "tcp"]),
        (["run", "tcp", "--config", "no.yaml"], ["no.yaml", "No such file"]),
        (["run", "tcp", "--output", "no/such/folder/f"], ["no/such/folder/f", "No such file"]),
        (["run", "tcp", "--record", "no/such/folder/f"], ["--record", "no/such/folder/f"]),
        (["run", "tcp", "--output", "x", "--record", "./x"], ["--output and --record", "x"]),
        (["run", "tcp", "--duration", "9" * 300 + "h"], ["--duration", "too long"]),
        (["run", "tcp", "--otlp-endpoint", "ftp://x"], ["--otlp-endpoint", "ftp://x"]),
        (["run", "tcp", "--otlp-protocol", "htp", "--otlp-endpoint", "http://127.0.0.1:1"], ["htp", "grpc"]),
        (["show", "exce"], ["did you mean exec"]),
    ],
)
def test_usage_errors(tmp_path: Path, arguments: list[str], expected: list[str]) -> None:
    code, stderr = orchestrate(*arguments, folder=tmp_path)
    assert code == 2, stderr
    assert len(stderr.splitlines()) == 1, stderr
    for text in expected:
        assert text in stderr


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("duration: 5s\nintervall: 1s\n", ["c.yaml:2", "'intervall'", "did you mean interval"]),
        ("interval: 1s\nduration: soon\n", ["c.yaml:2", "'soon'", "30s"]),
        ("parameters:\n  tcp:\n    events: some\n", ["c.yaml:3", "none, open, close, all"]),
        ("parameters: [1\n", ["c.yaml:", "not valid YAML"]),
    ],
)
def test_config_file_errors(tmp_path: Path, text: str, expected: list[str]) -> None:
    (tmp_path / "c.yaml").write_text(text)
    code, stderr = orchestrate("run", "tcp", "--config", "c.yaml", folder=tmp_path)
    assert code == 2, stderr
    for part in expected:
        assert part in stderr


@pytest.mark.parametrize("value", ["garbage", "k=v,=x", b"k=\xff"])
def test_resource_attributes_error(tmp_path: Path, value: str | bytes) -> None:
    code, stderr = orchestrate("run", "exec", folder=tmp_path, OTEL_RESOURCE_ATTRIBUTES=os.fsdecode(value))
    assert code == 2
    assert stderr.startswith("orchestrate: OTEL_RESOURCE_ATTRIBUTES")
    assert len(stderr.splitlines()) == 1


def test_manifest_error_names_file_line_and_key(tmp_path: Path) -> None:
    target = write_pair(tmp_path, "bad", "BEGIN { }", PAIR + "metrcs: {}\n")
    code, stderr = orchestrate("run", target, folder=tmp_path)
    assert code == 2
    assert "bad.yaml:6" in stderr
    assert "did you mean metrics" in stderr


def test_no_bpftrace(tmp_path: Path) -> None:
    empty = tmp_path / "bin"
    empty.mkdir()
    code, stderr = orchestrate("run", "tcp", "--bpftrace", "./none", folder=tmp_path)
    assert code == 3
    assert "./none" in stderr
    code, stderr = orchestrate("run", "tcp", folder=tmp_path, PATH=str(empty))
    assert code == 3
    assert "bpftrace is not installed" in stderr


def test_no_privileges(tmp_path: Path) -> None:
    without = ("setpriv", "--bounding-set", "-all", "--inh-caps", "-all")
    code, stderr = orchestrate("run", "tcp", "--duration", "1s", folder=tmp_path, prefix=without)
    assert code == 3, stderr
    assert "CAP_" in stderr
    assert len(stderr.splitlines()) == 1


def test_tracefs_not_mounted(tmp_path: Path) -> None:
    hide = ("unshare", "--mount", "sh", "-c", 'umount -R /sys/kernel/tracing /sys/kernel/debug; exec "$@"', "sh")
    code, stderr = orchestrate("run", "tcp", "--duration", "1s", folder=tmp_path, prefix=hide)
    assert code == 3, stderr
    assert "mount -t tracefs" in stderr
    code, stderr = orchestrate("check", folder=tmp_path, prefix=hide)
    assert code == 3


def test_missing_tracepoint(tmp_path: Path) -> None:
    target = write_pair(tmp_path, "gone", "tracepoint:sock:no_such_event { @gone = count(); }")
    code, stderr = orchestrate("run", target, "--duration", "1s", folder=tmp_path)
    assert code == 3
    assert "sock:no_such_event" in stderr


def test_one_signal_fails_and_the_others_go_on(tmp_path: Path) -> None:
    missing = write_pair(tmp_path, "gone", "tracepoint:sock:no_such_event { @gone = count(); }")
    broken = write_pair(tmp_path, "broken", "tracepoint:sched:sched_process_exec { @broken = nonesuch(); }")
    arguments = ("run", f"exec,{missing},{broken}", "--duration", "1s", "--output", "out.jsonl")
    code, stderr = orchestrate(*arguments, folder=tmp_path)
    assert code == 1, stderr
    assert "gone cannot run" in stderr
    assert "broken cannot run" in stderr
    assert "nonesuch" in stderr
    assert "exec: 1." in stderr.splitlines()[-1]
    assert (tmp_path / "out.jsonl").read_text()


def test_only_signal_does_not_compile(tmp_path: Path) -> None:
    broken = write_pair(tmp_path, "broken", "tracepoint:sched:sched_process_exec { @broken = nonesuch(); }")
    code, stderr = orchestrate("run", broken, "--duration", "1s", folder=tmp_path)
    assert code == 3, stderr
    assert "nonesuch" in stderr


def _unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_endpoint_refused(tmp_path: Path, state_directory: Path, protocol: str) -> None:
    endpoint = f"http://127.0.0.1:{_unused_port()}"
    arguments = ("exec", "--otlp-endpoint", endpoint, "--otlp-protocol", protocol, "--interval", "500ms")
    run = Run(tmp_path, *arguments).ready()
    said = run.process.stderr
    assert said is not None
    first = said.readline().decode()  # said at once: the run goes on
    assert run.process.poll() is None
    assert endpoint.removeprefix("http://") in first
    subprocess.run(["/bin/true", "kept-marker"], check=True)
    code, _, stderr = run.stop()
    assert code == 0, stderr
    assert "wait on disk: the next run sends them, or `orchestrate flush`" in stderr
    telemetry = Telemetry.read(kept(state_directory))
    assert [
        found for found, _ in telemetry.events("ebpf.process.exec") if "kept-marker" in found["process.command_args"]
    ]
    assert telemetry.snapshots


@pytest.mark.parametrize(("protocol", "wrong"), [("grpc", "http"), ("http/protobuf", "grpc")])
def test_endpoint_of_the_wrong_protocol(tmp_path: Path, collector: Collector, protocol: str, wrong: str) -> None:
    endpoint = f"http://127.0.0.1:{getattr(collector, wrong)}"
    arguments = ("run", "exec", "--otlp-endpoint", endpoint, "--otlp-protocol", protocol, "--duration", "2s")
    code, stderr = orchestrate(*arguments, folder=tmp_path)
    # A gRPC port hangs up, as one that is away for a moment may; an HTTP port says what it is.
    assert code == (1 if protocol == "grpc" else 0), stderr
    assert "--otlp-protocol" in stderr
    assert "orchestrate flush" in stderr
    right = ("--otlp-endpoint", f"http://127.0.0.1:{getattr(collector, protocol.partition('/')[0])}")
    code, stderr = orchestrate("flush", "--refused", *right, "--otlp-protocol", protocol, folder=tmp_path)
    assert code == 0, stderr
    assert collector.output("metrics", "ebpf_events_processed_total")


def test_loss_is_known_exactly(tmp_path: Path, bpftrace: str) -> None:
    """More events than a small buffer holds: what arrived and what is said to be lost add up to what happened."""
    calls = 100_000
    target = write_pair(tmp_path, "flood", FLOOD_BT, FLOOD_YAML)
    arguments = (target, "--pid", str(os.getpid()), "--output", "out.jsonl", "--bpftrace", bpftrace)
    unthinned = ("--config", str(unlimited(tmp_path)))
    run = Run(tmp_path, *arguments, *unthinned, environment={"BPFTRACE_PERF_RB_PAGES": "4"}).ready()
    for _ in range(calls):
        os.getppid()
    code, _, stderr = run.stop()
    telemetry = Telemetry.read((tmp_path / "out.jsonl").read_text())
    received = len(telemetry.logs)
    assert telemetry.total("ebpf_events_processed_total", ebpf__signal="flood") == received
    lost = telemetry.total("ebpf_events_dropped_total", ebpf__signal="flood")
    assert received + lost == calls
    assert lost > 0
    assert code == 1
    assert f"{lost:,} of {calls:,} events were lost" in stderr


def test_broken_pipe_ends_the_run(tmp_path: Path) -> None:
    run = Run(tmp_path, "exec", "--output", "-", "--interval", "200ms").ready()
    stdout = run.process.stdout
    assert stdout is not None
    stdout.close()
    stderr = b""
    reader = threading.Thread(target=run.process.wait)
    reader.start()
    reader.join(60)
    assert run.process.returncode == 1
    assert run.process.stderr is not None
    stderr = run.process.stderr.read()
    assert b"Broken pipe" in stderr
    run.process.stdout = None
    run.wait()


def test_receiver_that_dribbles_its_answer(tmp_path: Path, state_directory: Path) -> None:
    """An attempt that never ends: the run does, and what was sent is kept, for nobody knows whether it arrived."""
    done = threading.Event()

    def dribble(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
            while not done.wait(0.5):
                try:
                    connection.sendall(b"x")
                except OSError:
                    return

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=dribble, args=(listener,), daemon=True).start()
        endpoint = f"http://127.0.0.1:{listener.getsockname()[1]}"
        code, stderr = orchestrate("run", "exec", "--duration", "1s", "--otlp-endpoint", endpoint, folder=tmp_path)
        done.set()
    assert code == 0, stderr
    assert "did not answer in time" in stderr
    assert Telemetry.read(kept(state_directory)).snapshots


def test_closed_streams(tmp_path: Path) -> None:
    for redirection in (">&-", "2>&-", "<&-", ">&- 2>&- <&-"):
        command = f'exec "$0" -m orchestrator run exec --duration 300ms --output out.jsonl {redirection}'
        done = subprocess.run(["/bin/sh", "-c", command, sys.executable], cwd=tmp_path, check=False, timeout=60)
        assert done.returncode == 0, redirection
        assert Telemetry.read((tmp_path / "out.jsonl").read_text()).snapshots


def test_executions_while_a_run_begins_and_ends_are_no_loss(tmp_path: Path, bpftrace: str) -> None:
    """Events go on while the probes are attached and taken away: none is seen in part, and none is missing."""
    code = "import os, time\nwhile True:\n time.sleep(0.001)\n try: os.execv('/none', ['x'])\n except OSError: pass"
    arguments = ("run", "exec", "--duration", "500ms", "--output", "out.jsonl", "--bpftrace", bpftrace)
    busy = subprocess.Popen([sys.executable, "-c", code])
    try:
        result, stderr = orchestrate(*arguments, folder=tmp_path)
    finally:
        busy.kill()
        busy.wait()
    assert result == 0, stderr
    assert len(Telemetry.read((tmp_path / "out.jsonl").read_text()).logs) > 100


@pytest.mark.parametrize("flag", ["--output", "--record"])
def test_full_disk(tmp_path: Path, flag: str) -> None:
    other = ("--output", "out.jsonl") if flag == "--record" else ()
    code, stderr = orchestrate("run", "exec", flag, "/dev/full", *other, "--duration", "1s", folder=tmp_path)
    assert code == 1, stderr
    assert "No space left on device" in stderr


STUBBORN = """\
#!/bin/sh
# A bpftrace that does not end when it is asked to.
trap '' INT TERM
printf '{"type": "attached_probes", "data": {"probes": 1}}\\n'
printf '{"type": "value", "data": ["orchestrator","begin",1]}\\n'
printf '{"type": "value", "data": ["orchestrator","ready",2]}\\n'
while :; do sleep 1; done
"""


def test_stubborn_bpftrace_is_killed(tmp_path: Path) -> None:
    fake = tmp_path / "stubborn"
    fake.write_text(STUBBORN)
    fake.chmod(0o755)
    run = Run(tmp_path, "exec", "--output", "out.jsonl", "--bpftrace", str(fake)).ready()
    code, _, stderr = run.stop(signal.SIGINT)
    assert code == 1
    assert "killed" in stderr
