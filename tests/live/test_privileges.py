"""An unprivileged user whose sudo allows bpftrace and nothing else; and root that becomes such a user."""

from __future__ import annotations

import secrets
import shutil
import signal
import socket
import struct
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pexpect
import pytest

from tests.live.conftest import free_port, lack
from tests.live.harness import TIMEOUT, Run, Telemetry, as_bytes, start_processes

pytestmark = pytest.mark.live

REPOSITORY = Path(__file__).parents[2]
# Interpreter and packages may be where root alone may look: the user sees them elsewhere, in mounts of his own.
SEEN = """
mount --bind "$PYTHON" "$0/python" && mount --bind "$PACKAGES" "$0/packages" && mount --bind "$REPOSITORY" "$0/code" &&
cd "$0/work" && PYTHONPATH="$0/code:$0/packages" exec setpriv --reuid="$NAME" --regid="$NAME" --init-groups \
    "$0/python/bin/$PYTHON_NAME" -m orchestrator "$@"
"""


@dataclass(frozen=True)
class User:
    """A real user of this host, the folder that it may write to, and its line in sudoers."""

    name: str
    password: str
    folder: Path
    sudoers: Path

    @property
    def work(self) -> Path:
        return self.folder / "work"

    @property
    def command(self) -> list[str]:
        """``orchestrate`` as this user."""
        return self.command_as(self.name)

    def command_as(self, name: str) -> list[str]:
        """``orchestrate`` where this user can read it, as somebody."""
        names = {
            "NAME": name,
            "PYTHON": sys.base_prefix,
            "PYTHON_NAME": f"python{sys.version_info.major}.{sys.version_info.minor}",
            "PACKAGES": sysconfig.get_path("purelib"),
            "REPOSITORY": str(REPOSITORY),
        }
        given = [f"{name}={value}" for name, value in names.items()]
        return ["env", *given, "unshare", "--mount", "sh", "-c", SEEN, str(self.folder)]

    def allow(self, tags: str, *defaults: str, path: str = "/usr/bin/bpftrace") -> None:
        lines = [f"{self.name} ALL=(root) {tags}{path}", *(f"Defaults:{self.name} {one}" for one in defaults)]
        self.sudoers.write_text("".join(f"{line}\n" for line in lines))
        self.sudoers.chmod(0o440)

    def run(self, *arguments: str) -> Run:
        return Run(self.work, *arguments, command=self.command)


@pytest.fixture
def user() -> Iterator[User]:
    if shutil.which("sudo") is None:
        lack("sudo is not installed")
    name, password = f"bo{secrets.token_hex(4)}", secrets.token_hex(8)
    folder = Path(tempfile.mkdtemp(prefix="orchestrate-"))  # pytest's own folders are root's alone
    made = User(name, password, folder, Path("/etc/sudoers.d") / name)
    folder.chmod(0o755)
    for part in ("python", "packages", "code", "work"):
        (folder / part).mkdir()
    subprocess.run(["useradd", "--no-create-home", "--home-dir", made.work, "--shell", "/bin/sh", name], check=True)
    try:
        subprocess.run(["chpasswd"], input=f"{name}:{password}", text=True, check=True)
        shutil.chown(made.work, name, name)
        yield made
    finally:
        made.sudoers.unlink(missing_ok=True)
        subprocess.run(["userdel", name], check=True, capture_output=True)
        shutil.rmtree(folder)


def capabilities(pid: int) -> set[str]:
    """The effective and permitted capabilities of all threads of a process."""
    found = set()
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):  # it has ended
            lines = (thread / "status").read_text().splitlines()
            found |= {line.split()[1] for line in lines if line.startswith(("CapEff:", "CapPrm:", "Uid:\t0"))}
    return found


def descendants(pid: int, name: str) -> list[int]:
    """Processes of this name below ``pid``."""
    children = [
        int(child)
        for thread in Path(f"/proc/{pid}/task").iterdir()
        for child in (thread / "children").read_text().split()
    ]
    here = [child for child in children if Path(f"/proc/{child}/comm").read_text().strip() == name]
    return here + [found for child in children for found in descendants(child, name)]


def wait_until_gone(pids: Sequence[int]) -> None:
    deadline = time.monotonic() + TIMEOUT
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        assert time.monotonic() < deadline, f"{pids} do not end"
        time.sleep(0.05)


def reset_a_connection() -> int:
    """Close a connection by a reset; the server's port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname(), TIMEOUT)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        accepted, _ = server.accept()
        client.close()
        accepted.close()
        port: int = server.getsockname()[1]
        return port


def arguments_of(text: str, marker: str) -> list[tuple[bytes, ...]]:
    found = [as_bytes(one["process.command_args"]) for one, _ in Telemetry.read(text).events("ebpf.process.exec")]
    return sorted(one for one in found if marker.encode() in one)


@pytest.mark.parametrize("way", ["use_pty", "!use_pty"])
def test_exact_and_never_with_a_capability(user: User, way: str) -> None:
    user.allow("NOPASSWD: ", way)
    marker = secrets.token_hex(4)  # 64 bytes of arguments are all that an old bpftrace without SETENV gives
    run = user.run("exec", "--sudo", "--duration", "3s", "--output", "out.jsonl").ready()
    seen = capabilities(run.process.pid)
    started = []
    for one in start_processes(100, marker):
        started.append(one)
        seen |= capabilities(run.process.pid)
    (bpftrace,) = descendants(run.process.pid, "bpftrace")
    code, _, stderr = run.wait()
    assert code == 0, stderr
    assert seen == {"0" * 16}
    assert not Path(f"/proc/{bpftrace}").exists()
    out = user.work / "out.jsonl"
    assert arguments_of(out.read_text(), marker) == sorted(one.arguments for one in started)
    assert out.stat().st_uid != 0


@pytest.mark.parametrize(("tags", "whole"), [("NOPASSWD: ", False), ("NOPASSWD: SETENV: ", True)])
def test_what_is_clipped_says_so_where_limits_cannot_be_set(user: User, tags: str, *, whole: bool) -> None:
    user.allow(tags)
    long, marker = "x" * 150, secrets.token_hex(8)
    run = user.run("exec", "--sudo", "--output", "out.jsonl").ready()
    subprocess.run(["/bin/true", marker, long], check=True)
    code, _, stderr = run.stop()
    assert (code, "visudo" in stderr) == (0, False), stderr
    events = Telemetry.read((user.work / "out.jsonl").read_text()).events("ebpf.process.exec")
    (found,) = [one for one, _ in events if marker in one["process.command_args"]]
    assert (long in found["process.command_args"]) == whole
    assert found.get("ebpf.truncated", []) == ([] if whole else ["process.command_args"])


def test_newer_bpftrace_has_its_limits_in_the_program(user: User, bpftrace: str) -> None:
    """Without SETENV. The user may not run the chroot's wrapper to ask for its version: that is answered for it."""
    wrapper = user.folder / "bpftrace"
    version = subprocess.run([bpftrace, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    wrapper.write_text(f'#!/bin/sh\n[ "$*" = --version ] && exec echo "{version}"\nexec {bpftrace} "$@"\n')
    wrapper.chmod(0o755)
    user.allow("NOPASSWD: ", path=str(wrapper))
    marker = secrets.token_hex(8)
    run = user.run("exec,tcp", "--sudo", "--bpftrace", str(wrapper), "--output", "out.jsonl").ready()
    subprocess.run(["/bin/true", marker, "x" * 150], check=True)
    port = reset_a_connection()
    code, _, stderr = run.stop()
    assert code == 0, stderr
    text = (user.work / "out.jsonl").read_text()
    resets = Telemetry.read(text).total(
        "system.network.tcp.resets", **{"network.io.direction": "transmit", "server.port": port}
    )
    assert resets >= 1  # the probe depends on what tracefs says, which is hidden from the user
    (found,) = arguments_of(text, marker)
    assert (found[-1] == b"x" * 150) == (bpftrace != "bpftrace")


@pytest.mark.parametrize("way", ["use_pty", "!use_pty"])
def test_end_by_kill_leaves_no_bpftrace(user: User, way: str) -> None:
    """Also under nohup, which makes us deaf to the hangup: bpftrace must not be."""
    user.allow("NOPASSWD: ", way)
    run = Run(user.work, "exec", "--sudo", command=["nohup", *user.command]).ready()
    left = [*descendants(run.process.pid, "bpftrace"), *descendants(run.process.pid, "sudo")]
    assert len(left) >= 2
    run.stop(signal.SIGKILL)
    wait_until_gone(left)


def at_terminal(user: User, *arguments: str) -> Any:
    command, *rest = [*user.command, *arguments]
    return pexpect.spawn(command, rest, cwd=str(user.work), encoding="utf-8", timeout=TIMEOUT)


def test_password_at_the_terminal(user: User) -> None:
    user.allow("")
    given = ["run", "exec", "--sudo", "--duration", "1s", "--output", "out.jsonl"]
    child = at_terminal(user, *given)
    child.expect(rf"\[sudo\] password for {user.name}: ")
    child.sendline("not-it")
    child.expect("Sorry, try again")
    child.expect(rf"\[sudo\] password for {user.name}: ")
    child.sendline(user.password)
    # The host's bpftrace is an old one: without SETENV it is started once more, and sudo asks once more.
    asked = child.expect([r"SETENV: \S+bpftrace", r"\d+\.\d/1 s"])
    if asked == 0:
        child.expect(rf"\[sudo\] password for {user.name}: ")
        child.sendline(user.password)
    child.expect(r"exec: \d+\.\d s, \d+ probes")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    assert user.password not in (child.before or "")


def test_no_password_at_the_terminal(user: User) -> None:
    """Ctrl-C at the prompt ends it, and the terminal is as it was."""
    user.allow("")
    child = at_terminal(user, "run", "exec", "--sudo")
    child.expect(rf"\[sudo\] password for {user.name}: ")
    child.sendintr()
    child.expect("orchestrate: sudo")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 3


@pytest.mark.parametrize(
    ("tags", "path", "said"),
    [
        ("", "/usr/bin/bpftrace", "no terminal or no answer"),
        ("NOPASSWD: ", "/bin/true", "no terminal or no answer"),
    ],
)
def test_refused_at_once_without_a_terminal(user: User, tags: str, path: str, said: str) -> None:
    user.allow(tags, path=path)
    run = user.run("exec", "--sudo")
    code, _, stderr = run.wait()
    assert (code, stderr.count("\n")) == (3, 1), stderr
    assert said in stderr
    assert f"{user.name} ALL=(root) NOPASSWD: /usr/bin/bpftrace" in stderr


def state(pid: int, key: str) -> set[str]:
    """What the status of each thread says of ``key``."""
    lines = [line for one in Path(f"/proc/{pid}/task").iterdir() for line in (one / "status").read_text().splitlines()]
    return {line.partition(":")[2].strip() for line in lines if line.startswith(f"{key}:")}


def test_root_becomes_a_user(user: User) -> None:
    """All threads, the sender's too; bpftrace ends as it should, although we may not signal it any more."""
    marker = secrets.token_hex(8)
    files = ["--output", "out.jsonl", "--record", "run.rec"]
    given = ["exec", "--user", user.name, *files, "--otlp-endpoint", f"http://127.0.0.1:{free_port()}"]
    run = Run(user.work, *given, environment={"STATE_DIRECTORY": ""}, command=user.command_as("root")).ready()
    (bpftrace,) = descendants(run.process.pid, "bpftrace")
    uid, gid = user.work.stat().st_uid, user.work.stat().st_gid
    assert state(run.process.pid, "Uid") == {"\t".join([str(uid)] * 4)}
    assert state(run.process.pid, "Gid") == {"\t".join([str(gid)] * 4)}
    assert state(run.process.pid, "Groups") == {str(gid)}
    assert capabilities(run.process.pid) == {"0" * 16}
    assert "1" in state(run.process.pid, "NoNewPrivs")
    assert state(bpftrace, "Uid") == {"\t".join(["0"] * 4)}
    started = list(start_processes(50, marker))
    code, _, stderr = run.stop()
    assert code == 0, stderr
    assert "wait on disk" in stderr  # nobody listens at the endpoint
    kept = [path for path in user.work.rglob("*") if path.suffix in (".jsonl", ".rec", ".otlp")]
    assert {path.suffix for path in kept} == {".jsonl", ".rec", ".otlp"}, stderr
    modes = {path.name: (path.stat().st_uid, path.stat().st_mode & 0o777) for path in kept}
    assert set(modes.values()) == {(uid, 0o600)}, modes
    assert arguments_of((user.work / "out.jsonl").read_text(), marker) == sorted(one.arguments for one in started)
    assert not Path(f"/proc/{bpftrace}").exists()


def test_a_user_by_the_config_and_an_end_by_kill(user: User) -> None:
    config = user.folder / "config.yaml"
    config.write_text(f"user: {user.name}\n")
    run = Run(user.work, "exec", "--config", str(config), command=user.command_as("root")).ready()
    assert "0" not in state(run.process.pid, "Uid")
    left = descendants(run.process.pid, "bpftrace")
    assert left
    run.stop(signal.SIGKILL)
    wait_until_gone(left)


def test_an_installation_that_the_user_cannot_read(user: User) -> None:
    """It would fail later, at the first module that is imported then."""
    user.folder.chmod(0o700)
    code, _, stderr = Run(user.work, "exec", "--user", user.name, command=user.command_as("root")).wait()
    assert (code, stderr.count("\n")) == (3, 1), stderr
    assert f"user {user.name} cannot read {user.folder}" in stderr


def test_a_program_that_cannot_start_is_left_out(user: User) -> None:
    """bpftrace is started more than once then, also after we began to act as the user."""
    program = user.folder / "broken.bt"
    program.write_text("tracepoint:no:such_thing { @ = count(); }\n")
    run = Run(user.work, f"exec,{program}", "--user", user.name, command=user.command_as("root")).ready()
    code, _, stderr = run.stop()
    assert code == 1, stderr
    assert "broken cannot run: this kernel has no tracepoint no:such_thing" in stderr
    assert "exec: " in stderr


def test_whom_nobody_can_become(user: User) -> None:
    user.allow("NOPASSWD: ")
    for start, said in (
        (partial(Run, user.work, "exec", "--user", f"{user.name}x"), "there is no such user"),
        (partial(user.run, "exec", "--sudo", "--user", "nobody"), "only root can become somebody else"),
    ):
        code, _, stderr = start().wait()
        (user.work / "notify").unlink()
        assert (code, stderr.count("\n")) == (2, 1), stderr
        assert said in stderr
