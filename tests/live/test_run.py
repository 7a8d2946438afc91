"""`orchestrate run tcp,exec` on this kernel: exact counts, arguments and times; every version and protocol alike."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.live.conftest import Collector
from tests.live.harness import CountingServer, Execution, Run, Telemetry, as_bytes, start_processes

FETCHES = 200
PROCESSES = 50
CLOCK_TOLERANCE = 50_000_000


class Workload:
    """200 fetches from a loopback server and 50 processes."""

    def __init__(self) -> None:
        self.marker = f"marker-{uuid.uuid4().hex}"
        self.server = CountingServer(b"a line of the answer\n" * 50)
        self.executions: list[Execution] = []

    def do(self) -> Workload:
        self.server.fetch(FETCHES)
        self.executions = list(start_processes(PROCESSES, self.marker))
        return self

    def check(self, telemetry: Telemetry) -> None:
        port = self.server.port
        successes = "system.network.tcp.connection.successes"
        for role in ("passive", "active"):
            wanted = {"network__tcp__handshake__role": role, "server__port": port}
            assert telemetry.total(successes, **wanted) == FETCHES
        passive = {"network__tcp__handshake__role": "passive", "server__port": port}
        sent = telemetry.total("ebpf.tcp.io", network__io__direction="transmit", **passive)
        received = telemetry.total("ebpf.tcp.io", network__io__direction="receive", **passive)
        assert (sent, received) == (self.server.sent, self.server.received)
        self._check_histograms(telemetry)
        self._check_executions(telemetry)

    def _check_histograms(self, telemetry: Telemetry) -> None:
        for name in ("ebpf.tcp.connection.duration", "system.network.tcp.rtt.duration"):
            metric = telemetry.snapshots[-1][name]
            assert metric.unit == "s"
            points = [
                point
                for point in metric.histogram.data_points
                if {pair.value.int_value for pair in point.attributes if pair.key == "server.port"}
                == {self.server.port}
            ]
            assert [point.count for point in points] == [FETCHES, FETCHES]  # passive and active
            for point in points:
                assert sum(point.bucket_counts) == point.count
                assert len(point.bucket_counts) == len(point.explicit_bounds) + 1

    def _check_executions(self, telemetry: Telemetry) -> None:
        found = {
            as_bytes(attributes["process.command_args"]): (attributes, record)
            for attributes, record in telemetry.events("ebpf.process.exec", ebpf__return_code=0)
            if self.marker in attributes["process.command_args"]
        }
        assert found.keys() == {execution.arguments for execution in self.executions}
        for execution in self.executions:
            attributes, record = found[execution.arguments]
            assert attributes["process.pid"] == execution.pid
            assert attributes["process.parent_pid"] == os.getpid()
            assert attributes["process.user.id"] == 0
            assert attributes["thread.name"] == "true"
            assert attributes["process.executable.path"] == "/bin/true"
            assert "ebpf.truncated" not in attributes
            assert execution.before - CLOCK_TOLERANCE <= record.time_unix_nano <= execution.after + CLOCK_TOLERANCE


def check_clean_end(code: int, stderr: str) -> None:
    assert code == 0, stderr
    assert len(stderr.splitlines()) == 1, stderr  # quiet but for the closing line


def test_run_output_file(tmp_path: Path, bpftrace: str) -> None:
    run = Run(tmp_path, "tcp,exec", "--output", "out.jsonl", "--bpftrace", bpftrace).ready()
    begin = time.time_ns()
    workload = Workload().do()
    code, _, stderr = run.stop()
    check_clean_end(code, stderr)
    telemetry = Telemetry.read((tmp_path / "out.jsonl").read_text())
    workload.check(telemetry)
    for metric in telemetry.snapshots[-1].values():
        for point in metric.sum.data_points:
            assert 0 < point.start_time_unix_nano <= begin + CLOCK_TOLERANCE
            assert begin < point.time_unix_nano <= time.time_ns()
    assert (tmp_path / "out.jsonl").stat().st_mode & 0o777 == 0o600


def test_run_resource_is_shared(tmp_path: Path) -> None:
    environment = {"OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=lab", "OTEL_SERVICE_NAME": "probe"}
    run = Run(tmp_path, "exec", "--output", "out.jsonl", environment=environment).ready()
    subprocess.run(["/bin/true"], check=True)
    run.stop()
    telemetry = Telemetry.read((tmp_path / "out.jsonl").read_text())
    first, *others = telemetry.resources
    assert others
    assert all(other == first for other in others)
    assert first["service.name"] == "probe"
    assert first["deployment.environment.name"] == "lab"
    assert first["host.name"] == os.uname().nodename
    assert first["os.type"] == "linux"
    assert first["ebpf.enabled"] is True
    assert first["collection.method"] == "ebpf"
    assert first["ebpf.run.id"]


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf", "http/json"])
def test_run_collector(tmp_path: Path, collector: Collector, protocol: str) -> None:
    port = collector.grpc if protocol == "grpc" else collector.http
    arguments = ("--otlp-endpoint", f"http://127.0.0.1:{port}", "--otlp-protocol", protocol)
    run = Run(tmp_path, "tcp,exec", *arguments).ready()
    workload = Workload().do()
    code, _, stderr = run.stop()
    check_clean_end(code, stderr)
    # The last execution's record and the last snapshot are the last things to arrive of their kind.
    last = f"{workload.marker}"
    text = collector.output("logs", last) + collector.output("metrics", "ebpf.tcp.connection.duration")
    workload.check(Telemetry.read(text))


def test_run_duration_and_interval(tmp_path: Path) -> None:
    run = Run(tmp_path, "tcp", "--duration", "1500ms", "--interval", "500ms", "--output", "-").ready()
    start = time.monotonic()
    code, stdout, stderr = run.wait()
    assert code == 0, stderr
    assert time.monotonic() - start >= 1.4
    telemetry = Telemetry.read(stdout.decode())
    assert len(telemetry.snapshots) >= 3  # two intervals and the end
    times = [
        snapshot["ebpf_events_processed_total"].sum.data_points[0].time_unix_nano for snapshot in telemetry.snapshots
    ]
    assert times == sorted(times)


def test_run_embedded_default(tmp_path: Path) -> None:
    run = Run(tmp_path, "tcp,exec", "--summary").ready()
    workload = Workload().do()
    code, stdout, stderr = run.stop(signal.SIGINT)
    assert code == 0, stderr
    assert stdout == b""
    (capture,) = tmp_path.glob("capture-*.jsonl")
    workload.check(Telemetry.read(capture.read_text()))
    assert capture.name in stderr.splitlines()[-1]
    assert str(workload.server.port) in stderr
    assert "/bin/true" in stderr
    assert "|@@@" in stderr
    assert all(line.isprintable() for line in stderr.splitlines())


def test_run_exec_failures_and_long_arguments(tmp_path: Path, bpftrace: str) -> None:
    marker = uuid.uuid4().hex
    run = Run(tmp_path, "exec", "--output", "out.jsonl", "--bpftrace", bpftrace).ready()
    long = [f"{index:03d}" + "y" * 97 for index in range(9)]
    subprocess.run(["/bin/true", marker, *long], check=True)
    subprocess.run(["/bin/true", marker, "z" * 1500], check=True)
    deep = tmp_path / ("d" * 200) / ("e" * 100)
    deep.mkdir(parents=True)
    (deep / "tool").symlink_to("/bin/true")
    subprocess.run([deep / "tool", marker], check=True)
    for path in (f"/nonexistent/{marker}", "/etc/passwd"):
        with pytest.raises((FileNotFoundError, PermissionError)):
            os.posix_spawn(path, [path, marker, "b c", "é", "\udcff"], {})
    code, _, stderr = run.stop()
    check_clean_end(code, stderr)
    telemetry = Telemetry.read((tmp_path / "out.jsonl").read_text())
    mine = [
        attributes
        for attributes, _ in telemetry.events("ebpf.process.exec")
        if marker in attributes.get("process.command_args", ())
    ]
    whole, clipped, far, *failed = mine
    assert whole["process.command_args"] == ["/bin/true", marker, *long]  # 945 bytes
    assert "ebpf.truncated" not in whole
    assert clipped["ebpf.truncated"] == ["process.command_args"]
    assert clipped["process.command_args"][2] == "z" * (1176 - len("/bin/true") - len(marker) - 2)
    assert far["process.executable.path"] == str(deep / "tool")
    assert far["thread.name"] == "tool"
    assert [attributes["error.type"] for attributes in failed] == ["ENOENT", "EACCES"]
    for attributes, path in zip(failed, (f"/nonexistent/{marker}", "/etc/passwd"), strict=True):
        assert attributes["process.executable.path"] == path
        assert as_bytes(attributes["process.command_args"]) == (
            path.encode(),
            marker.encode(),
            b"b c",
            "é".encode(),
            b"\xff",
        )
        assert attributes["ebpf.return_code"] < 0


def test_run_exec_exits(tmp_path: Path, bpftrace: str) -> None:
    arguments = ("exec", "--set", "exits=true", "--output", "out.jsonl", "--bpftrace", bpftrace)
    run = Run(tmp_path, *arguments).ready()
    pids = {}
    for what in ("exit 0", "exit 3", "kill -9 $$"):
        process = subprocess.Popen(["/bin/sh", "-c", what])
        process.wait()
        pids[process.pid] = what
    run.stop()
    telemetry = Telemetry.read((tmp_path / "out.jsonl").read_text())
    ends = {
        pids[attributes["process.pid"]]: attributes
        for attributes, _ in telemetry.events("ebpf.process.exit")
        if attributes["process.pid"] in pids
    }
    assert ends["exit 0"]["process.exit.code"] == 0
    assert ends["exit 3"]["process.exit.code"] == 3
    assert ends["kill -9 $$"]["ebpf.process.exit.signal"] == "SIGKILL"
    assert "process.exit.code" not in ends["kill -9 $$"]
    assert all(0 < attributes["ebpf.duration"] < 60 for attributes in ends.values())


def test_run_tcp_events(tmp_path: Path, bpftrace: str) -> None:
    run = Run(tmp_path, "tcp", "--set", "tcp.events=all", "--output", "out.jsonl", "--bpftrace", bpftrace).ready()
    server = CountingServer(b"answer")
    server.fetch(20)
    refused = subprocess.run(
        ["/bin/bash", "-c", f"exec 3<>/dev/tcp/127.0.0.1/{server.port}"], capture_output=True, check=False
    )
    assert refused.returncode != 0  # nothing listens there any more
    code, _, stderr = run.stop()
    check_clean_end(code, stderr)
    telemetry = Telemetry.read((tmp_path / "out.jsonl").read_text())
    for event in ("ebpf.tcp.connection.open", "ebpf.tcp.connection.close"):
        for role in ("active", "passive"):
            records = telemetry.events(event, server__port=server.port, network__tcp__handshake__role=role)
            assert len(records) == 20
            assert {attributes["process.pid"] for attributes, _ in records} == {os.getpid()}
            assert {attributes["network.peer.address"] for attributes, _ in records} == {"127.0.0.1"}
    (failure,) = telemetry.events("ebpf.tcp.connection.fail", server__port=server.port)
    assert failure[0]["error.type"] == "ECONNREFUSED"
    assert failure[0]["thread.name"] == "bash"
    assert telemetry.total("system.network.tcp.connection.failures", server__port=server.port) == 1
    sent = sum(
        attributes["ebpf.bytes.sent"]
        for attributes, _ in telemetry.events("ebpf.tcp.connection.close", server__port=server.port)
        if attributes["network.tcp.handshake.role"] == "passive"
    )
    assert sent == server.sent


def children_of(pid: int) -> Sequence[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_run_killed_leaves_no_bpftrace(tmp_path: Path, bpftrace: str) -> None:
    run = Run(tmp_path, "exec", "--output", "out.jsonl", "--bpftrace", bpftrace).ready()
    (child,) = children_of(run.process.pid)
    assert Path(f"/proc/{child}/comm").read_text().strip() == "bpftrace"
    run.process.kill()
    killed = time.monotonic()
    run.wait()
    deadline = killed + 2
    while Path(f"/proc/{child}").exists() and Path(f"/proc/{child}/stat").read_text().split()[2] != "Z":
        assert time.monotonic() < deadline, "bpftrace is still there"
        time.sleep(0.01)


def test_run_filters_in_the_kernel(tmp_path: Path) -> None:
    marker = uuid.uuid4().hex
    run = Run(tmp_path, "exec", "--comm", "true", "--output", "out.jsonl").ready()
    subprocess.run(["/bin/true", marker], check=True)
    subprocess.run(["/bin/echo", marker], check=True, stdout=subprocess.DEVNULL)
    run.stop()
    telemetry = Telemetry.read((tmp_path / "out.jsonl").read_text())
    mine = [found for found, _ in telemetry.events("ebpf.process.exec") if marker in found["process.command_args"]]
    assert [found["thread.name"] for found in mine] == ["true"]


def test_run_record(tmp_path: Path) -> None:
    run = Run(tmp_path, "exec", "--record", "raw.json", "--output", "out.jsonl").ready()
    subprocess.run(["/bin/true"], check=True)
    run.stop()
    lines = (tmp_path / "raw.json").read_bytes().splitlines()
    assert lines[0].startswith(b'{"type":"recording",')
    assert lines[1].startswith(b'{"type":"moment",')
    assert lines[2].startswith(b'{"type": "attached_probes"')
    assert any(b'"orchestrator","end"' in line for line in lines)


def test_run_stopped_while_starting(tmp_path: Path) -> None:
    """An ordinary end, and nothing is left behind."""
    run = Run(tmp_path, "tcp,exec", "--output", "out.jsonl")
    deadline = time.monotonic() + 30
    while not (children := children_of(run.process.pid)):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    code, _, stderr = run.stop()
    assert code == 0, stderr
    assert not any(Path(f"/proc/{child}").exists() for child in children)


HOSTILE_NAMES = (
    b'q"uo\\te',
    b"new\nline",
    b"tab\there",
    b"esc\x1b[2J",
    b"inv\xff\xfealid",
    "\u00fcml\u00e4ut".encode(),
    b"a,b c",
)


def test_run_hostile_names(tmp_path: Path, bpftrace: str) -> None:
    """Whatever a program is called arrives as it is, and the stream goes on."""
    folder = tmp_path / "programs"
    folder.mkdir()
    run = Run(tmp_path, "exec", "--output", "out.jsonl", "--bpftrace", bpftrace).ready()
    paths = [os.fsencode(folder) + b"/" + name for name in HOSTILE_NAMES]
    for path in paths:
        shutil.copy("/bin/true", os.fsdecode(path))
        subprocess.run([path], check=True)
    code, _, stderr = run.stop()
    check_clean_end(code, stderr)
    telemetry = Telemetry.read((tmp_path / "out.jsonl").read_text())
    found = {
        as_bytes([attributes["process.executable.path"]])[0]: as_bytes([attributes["thread.name"]])[0]
        for attributes, _ in telemetry.events("ebpf.process.exec")
    }
    assert {path: found.get(path) for path in paths} == dict(zip(paths, HOSTILE_NAMES, strict=True))
