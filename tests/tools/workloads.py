"""What makes each of bpftrace's own tools print: small, bounded, own processes and loopback only.

A program of its own, run as ``python workloads.py TOOL MARK FOLDER``: its command name is MARK, which nothing else on
the host has, so all that it did can be found again. When it is done it prints what must have been seen of it, as JSON,
and stays until its standard input is closed: as long as it is there its addresses can be named.

Needs nothing but the standard library: it also runs with another Debian release's libraries, on whose functions that
release's bpftrace puts its probes.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import fcntl
import json
import os
import platform
import pty
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

COUNT = 20


@dataclass
class Lines:
    """``count`` log records with ``text`` in their body, no more, each with these attributes.

    With ``at_least`` there may be more.
    """

    text: str
    count: int
    attributes: dict[str, str | int] = field(default_factory=dict)
    at_least: bool = False


@dataclass
class Point:
    """A data point of the metric with (at least) these attributes; its value, or its count, is ``least`` or more."""

    metric: str
    least: int
    attributes: dict[str, str | int] = field(default_factory=dict)


Truth = list[Lines | Point]
# Probes without which a tool cannot see its workload: glibc has the functions of libpthread in libc since 2.34.
NEEDED_PROBES = {"threadsnoop": "uprobe:libc:pthread_create"}


def truth_of(text: str) -> Truth:
    """What a workload has printed."""
    return [Lines(**one) if "text" in one else Point(**one) for one in json.loads(text)]


def me(mark: str) -> dict[str, str | int]:
    return {"process.pid": os.getpid(), "thread.name": mark}


def activity(mark: str, folder: Path) -> Truth:
    """A little of everything, for tools of which nothing certain can be said."""
    for index in range(COUNT):
        (folder / f"{mark}-{index}").write_bytes(b"x" * 4096)
        (folder / f"{mark}-{index}").read_bytes()
        (folder / "missing").exists()
        subprocess.run([shutil.which("true") or "true", mark], check=False)
    with socket.create_server(("127.0.0.1", 0)) as server:
        for _ in range(COUNT):
            with socket.create_connection(server.getsockname()) as client, server.accept()[0] as accepted:
                client.sendall(b"x")
                accepted.recv(1)
    one, other = socket.socketpair()
    with one, other:
        for _ in range(COUNT):
            one.sendall(mark.encode())
            other.recv(100)
    return []


def bashreadline(mark: str, folder: Path) -> Truth:
    parent, child = pty.openpty()
    bash = subprocess.Popen(
        ["/bin/bash", "--norc", "--noprofile", "-i"],
        stdin=child,
        stdout=child,
        stderr=child,
        env={"HISTFILE": os.devnull, "TERM": "dumb", "HOME": str(folder)},
        start_new_session=True,
    )
    os.close(child)
    for index in range(COUNT):
        os.write(parent, f": {mark}-{index}\n".encode())
    os.write(parent, b"exit\n")
    with contextlib.suppress(OSError):  # the other side is closed
        while os.read(parent, 4096):
            pass
    bash.wait(60)
    return [Lines(f": {mark}-", COUNT, {"process.pid": bash.pid})]


def _written(folder: Path) -> list[str]:
    """Write a file down to its disk; returns the disks (``254:0``) that have taken something."""

    def completed() -> dict[str, int]:
        return {
            (disk / "dev").read_text().strip(): int((disk / "stat").read_text().split()[4])
            for disk in Path("/sys/block").iterdir()
        }

    before = completed()
    for _ in range(COUNT):
        with (folder / "block").open("wb") as file:
            file.write(b"x" * 4096)
            file.flush()
            os.fsync(file.fileno())
    return [disk for disk, count in completed().items() if count > before.get(disk, 0)]


def biolatency(_mark: str, folder: Path) -> Truth:
    return [Point("ebpf.biolatency.usecs", 1)] if _written(folder) else []


def biosnoop(_mark: str, folder: Path) -> Truth:
    devices = [tuple(map(int, disk.split(":"))) for disk in _written(folder)]
    return [Lines(f" {major:<5d} {minor:<8d} ", 1, at_least=True) for major, minor in devices]


def bitesize(_mark: str, folder: Path) -> Truth:
    return [Point("ebpf.bitesize", 1)] if _written(folder) else []


def biostacks(_mark: str, folder: Path) -> Truth:
    _written(folder)
    return []


def cpuwalk(_mark: str, _folder: Path) -> Truth:
    until = time.process_time() + 0.4  # of CPU: 40 samples
    while time.process_time() < until:
        pass
    return [Point("ebpf.cpuwalk.cpu", 10)]


def runqlen(mark: str, folder: Path) -> Truth:
    cpuwalk(mark, folder)
    return [Point("ebpf.runqlen.runqlen", 10)]


def runqlat(_mark: str, _folder: Path) -> Truth:
    for _ in range(COUNT):
        time.sleep(0.001)
    return [Point("ebpf.runqlat.usecs", COUNT)]


def execsnoop(mark: str, _folder: Path) -> Truth:
    program = shutil.which("true") or "/bin/true"
    truth: Truth = []
    for index in range(COUNT):
        process = subprocess.Popen([program, f"{mark}-{index}", "two three"])
        process.wait(60)
        command = f"{program} {mark}-{index} two three"
        truth.append(Lines(command, 1, {"process.pid": process.pid, "process.command_line": command}))
    return truth


def gethostlatency(mark: str, _folder: Path) -> Truth:
    for index in range(COUNT):
        with contextlib.suppress(OSError):  # not a number: refused without a look anywhere
            socket.getaddrinfo(f"{mark}-{index}", None, flags=socket.AI_NUMERICHOST)
    return [Lines(f"{mark}-", COUNT, me(mark))]


def killsnoop(mark: str, _folder: Path) -> Truth:
    ready, tell = os.pipe()
    child = os.fork()
    if not child:
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        os.write(tell, b"x")
        time.sleep(60)
        os._exit(0)
    os.read(ready, 1)
    for _ in range(COUNT):
        os.kill(child, 0)
        os.kill(child, signal.SIGUSR1)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return [Lines(mark, 2 * COUNT + 1, {**me(mark), "ebpf.tpid": child, "ebpf.return_code": 0})]


def naptime(mark: str, _folder: Path) -> Truth:
    """The C library's nanosleep() makes another system call: clock_nanosleep, which old versions do not look at."""
    number = {"x86_64": 35, "aarch64": 101, "riscv64": 101, "ppc64le": 162, "s390x": 162}.get(platform.machine())
    if number is None:
        return []
    libc = ctypes.CDLL(None)
    for _ in range(COUNT):
        libc.syscall(number, struct.pack("ll", 0, 7_654_321), None)
    return [Lines(mark, COUNT, {**me(mark), "ebpf.tv_sec": 0})]


def opensnoop(mark: str, _folder: Path) -> Truth:
    for index in range(COUNT):
        with contextlib.suppress(FileNotFoundError):
            os.open(f"/nonexistent-{mark}-{index}", os.O_RDONLY)
    return [Lines(f"/nonexistent-{mark}-", COUNT, {**me(mark), "ebpf.errno": 2})]


def pidpersec(_mark: str, _folder: Path) -> Truth:
    for _ in range(COUNT):
        child = os.fork()
        if not child:
            os._exit(0)
        os.waitpid(child, 0)
    return [Point("ebpf.pidpersec", COUNT)]


def setuids(mark: str, _folder: Path) -> Truth:
    truth: Truth = []
    for index in range(COUNT):
        child = os.fork()
        user = 1_000_000_000 + zlib.crc32(mark.encode()) % 1_000_000_000 + index
        if not child:
            os.setresuid(user, user, user)
            os._exit(0)
        os.waitpid(child, 0)
        text = f"ruid={user} euid={user} suid={user} (0)"
        truth.append(Lines(text, 1, {"process.pid": child, "thread.name": mark, "ebpf.ruid": user, "ebpf.suid": user}))
    return truth


def _handshakes() -> tuple[int, int]:
    """TLS in memory; how many calls of SSL_do_handshake() that were: to be done, and to wait for the other side."""
    import ssl  # noqa: PLC0415 - few need it

    if "libssl" not in Path("/proc/self/maps").read_text():  # it is inside of this Python
        return 0, 0
    contexts = [ssl.SSLContext(side) for side in (ssl.PROTOCOL_TLS_SERVER, ssl.PROTOCOL_TLS_CLIENT)]
    for context in contexts:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers("AECDH:@SECLEVEL=0")  # needs no certificate
    done = waited = 0
    for _ in range(COUNT):
        one, other = ssl.MemoryBIO(), ssl.MemoryBIO()
        waiting = [contexts[1].wrap_bio(one, other), contexts[0].wrap_bio(other, one, server_side=True)]
        while waiting:
            side = waiting.pop(0)
            try:
                side.do_handshake()
                done += 1
            except ssl.SSLWantReadError:
                waited += 1
                waiting.append(side)
    return done, waited


def sslsnoop(mark: str, _folder: Path) -> Truth:
    done, waited = _handshakes()
    function: dict[str, str | int] = {"code.function.name": "SSL_do_handshake"}
    return [Lines(mark, done + waited, {"thread.id": os.getpid(), "thread.name": mark, **function})] if done else []


def ssllatency(_mark: str, _folder: Path) -> Truth:
    done, waited = _handshakes()
    maps = {"hist": done, "stat": done, "histf": waited, "statf": waited}
    return [Point(f"ebpf.ssllatency.{name}", count) for name, count in maps.items() if count]


def statsnoop(mark: str, _folder: Path) -> Truth:
    for index in range(COUNT):
        with contextlib.suppress(FileNotFoundError):
            os.statvfs(f"/nonexistent-{mark}-{index}")
    return [Lines(f"/nonexistent-{mark}-", COUNT, {**me(mark), "ebpf.errno": 2})]


def syncsnoop(mark: str, folder: Path) -> Truth:
    with (folder / "sync").open("wb") as file:
        for _ in range(COUNT):
            os.fsync(file.fileno())
            os.fdatasync(file.fileno())
    truth: Truth = [
        Lines(f"tracepoint:syscalls:sys_enter_{name}", COUNT, at_least=True) for name in ("fsync", "fdatasync")
    ]
    return [Lines(mark, 2 * COUNT, me(mark)), *truth]


def syscount(mark: str, _folder: Path) -> Truth:
    for _ in range(1000):
        os.getppid()
    return [Point("ebpf.syscount.process", 1000, {"thread.name": mark})]


_IOCTL_SET_FLAGS, _UP = 0x8914, 1  # SIOCSIFFLAGS, IFF_UP


def tcpdrop(mark: str, _folder: Path) -> Truth:
    """In a network of its own: a connection through a loopback that is taken away."""
    if ctypes.CDLL(None, use_errno=True).unshare(0x40000000):  # CLONE_NEWNET
        return []
    control = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def loopback(flags: int) -> None:
        fcntl.ioctl(control, _IOCTL_SET_FLAGS, struct.pack("16sh14x", b"lo", flags))

    loopback(_UP)
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        accepted = server.accept()[0]
        loopback(0)
        with contextlib.suppress(OSError):
            client.send(b"x")
        client.close()
        accepted.close()
    return [Lines(mark, 1, me(mark), at_least=True)]


def threadsnoop(mark: str, _folder: Path) -> Truth:
    for _ in range(COUNT):
        thread = threading.Thread(target=lambda: None)
        thread.start()
        thread.join()
    return [Lines(mark, COUNT, me(mark))]


def writeback(_mark: str, folder: Path) -> Truth:
    (folder / "writeback").write_bytes(b"x" * 65536)
    os.sync()
    return [Lines(" sync ", 1, at_least=True)]


WORKLOADS: dict[str, Callable[[str, Path], Truth]] = {
    one.__name__: one
    for one in (
        bashreadline, biolatency, biosnoop, biostacks, bitesize, cpuwalk, execsnoop, gethostlatency, killsnoop, naptime,
        opensnoop, pidpersec, runqlat, runqlen, setuids, ssllatency, sslsnoop, statsnoop, syncsnoop, syscount, tcpdrop,
        threadsnoop, writeback,
    )
}  # fmt: skip


def main() -> None:
    tool, mark, folder = sys.argv[1:]
    Path("/proc/self/comm").write_text(mark)
    truth = WORKLOADS.get(tool, activity)(mark, Path(folder))
    print(json.dumps([dataclasses.asdict(one) for one in truth]), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
