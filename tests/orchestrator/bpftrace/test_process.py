"""The drain and the child's discipline, with small programs in bpftrace's place."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.bpftrace.process import GAP, BpftraceProcess, Drain
from orchestrator.errors import HostError


class Pipe:
    """A pipe with a drain at its end. The drain ends before its descriptor does, which another pipe would get then."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()
        self._drains: list[Drain] = []
        self._is_open = True

    def drain(self, **limits: int) -> Drain:
        drain = Drain(self.reader, **limits)
        self._drains.append(drain)
        return drain

    def end(self) -> None:
        if self._is_open:
            self._is_open = False
            os.close(self.writer)

    def close(self) -> None:
        self.end()
        for drain in self._drains:
            drain.patience = 0.0
            drain.join(30)
        os.close(self.reader)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    made.close()


def read_all(drain: Drain) -> list[bytes | None]:
    chunks = []
    while (chunk := drain.get(30)) != b"":
        chunks.append(chunk)
    return chunks


def test_drain_reads_to_the_end(pipe: Pipe) -> None:
    drain = pipe.drain()
    drain.start()
    os.write(pipe.writer, b"one\n")
    pipe.end()
    assert b"".join(chunk or b"" for chunk in read_all(drain)) == b"one\n"
    assert drain.get(0) == b""  # the end stays
    assert drain.dropped_bytes == 0


def test_drain_never_lets_the_writer_wait(pipe: Pipe) -> None:
    """Nobody takes anything: the writer is served all the same, and what had to be dropped is counted."""
    line = b"x" * 99 + b"\n"
    drain = pipe.drain(limit=1000)
    drain.start()
    for _ in range(10_000):  # 1 MB through a pipe of 64 kB: without a reader this would block for ever
        os.write(pipe.writer, line)
    pipe.end()
    drain.join(30)
    chunks = read_all(drain)
    kept = b"".join(chunk for chunk in chunks if chunk is not GAP)
    assert GAP in chunks
    assert len(kept) <= 1000
    assert len(kept) + drain.dropped_bytes == 10_000 * len(line)
    assert kept.count(b"\n") + drain.dropped_lines == 10_000


def test_what_the_drain_gives_ends_where_a_line_does(pipe: Pipe) -> None:
    """Then nobody has to put its pieces together; a line that is too long for that comes in pieces all the same."""
    fcntl.fcntl(pipe.reader, fcntl.F_SETPIPE_SZ, 1 << 20)
    lines = [b"%d %b\n" % (number, b"x" * (number % 997)) for number in range(1200)]
    drain = pipe.drain()
    for line in lines:  # all of it fits into the pipe
        os.write(pipe.writer, line)
    drain.start()
    drain.patience = 0.0
    chunks: list[bytes] = []
    while sum(map(len, chunks)) < sum(map(len, lines)):
        chunks.append(drain.get(30) or b"")
    assert len(chunks) > 1
    assert {chunk[-1:] for chunk in chunks} == {b"\n"}
    assert b"".join(chunks) == b"".join(lines)
    long = b"y" * 600_000
    os.write(pipe.writer, long)
    pipe.end()
    assert b"".join(chunk or b"" for chunk in read_all(drain)) == long


def test_drain_says_that_nothing_is_there_yet(pipe: Pipe) -> None:
    drain = pipe.drain()
    drain.start()
    with pytest.raises(TimeoutError):
        drain.get(0.01)
    pipe.end()
    assert drain.get(30) == b""


def test_a_signal_handler_can_end_the_wait_for_more(pipe: Pipe) -> None:
    drain = pipe.drain()
    drain.start()
    before = signal.signal(signal.SIGALRM, lambda *_: drain.wake())
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        begin = time.monotonic()
        with pytest.raises(TimeoutError):
            drain.get(600)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert time.monotonic() - begin < 300
    os.write(pipe.writer, b"one\n")
    assert drain.get(30) == b"one\n"


def child(code: str, program: str = "") -> BpftraceProcess:
    return BpftraceProcess([sys.executable, "-c", code], program, os.environ)


def test_process_gets_the_program_and_gives_output_and_stderr() -> None:
    process = child("import sys; print(sys.stdin.read()[::-1]); print('a complaint', file=sys.stderr)", "abc")
    assert process.wait(30) == 0
    assert b"".join(chunk or b"" for chunk in read_all(process.output)) == b"cba\n"
    assert process.stderr == ["a complaint"]


def test_process_interrupt_reaches_children_of_a_wrapper() -> None:
    """A wrapper that does not exec: the signal is for the whole group, as Ctrl-C would be."""
    process = child("import subprocess, sys; sys.exit(subprocess.call(['sh', '-c', 'echo up; exec sleep 60']))")
    assert process.output.get(30) == b"up\n"
    process.interrupt()
    assert process.wait(30) != 0


def test_process_that_does_not_end_is_killed() -> None:
    process = child("import os, signal, time; signal.signal(2, signal.SIG_IGN); os.write(1, b'up\\n'); time.sleep(60)")
    assert process.output.get(30) == b"up\n"
    process.interrupt()
    assert process.wait(0.1) == -signal.SIGKILL


def test_process_that_never_reads_its_program_does_not_block() -> None:
    process = child("import os, time; os.write(1, b'up\\n'); time.sleep(60)", "x" * 1_000_000)
    assert process.output.get(30) == b"up\n"
    process.kill()
    assert process.wait(30) == -signal.SIGKILL


def test_process_that_cannot_be_run(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("no interpreter")
    script.chmod(0o755)
    with pytest.raises(HostError, match="cannot be run"):
        BpftraceProcess([str(script)], "", os.environ)


WRITER = """
import ctypes, os, signal, sys, time
told = []
signal.signal(signal.SIGINT, lambda *_: told.append(1))
write = ctypes.CDLL(None).write  # Python's own begins anew after a signal
line = b"x" * 4095 + b"\\n"
for _ in range(320):
    if write(1, line, len(line)) != len(line):
        sys.exit(1)
write(1, b"last words\\n", 11)
while not told:
    time.sleep(0.01)
os._exit(0)  # Python's own end would give a late signal its default back
"""


def test_process_is_interrupted_when_it_can_write(monkeypatch: pytest.MonkeyPatch) -> None:
    """bpftrace's std::cout gives up for good when a signal ends a write to a full pipe, and its maps are lost."""
    monkeypatch.setattr("orchestrator.bpftrace.process._FASTEST", 1e6)  # the pipe is full before it is looked for
    process = BpftraceProcess([sys.executable, "-c", WRITER], "", os.environ)
    process.output.patience = 600.0
    unread = bytes(4)
    while int.from_bytes(unread, sys.byteorder) < fcntl.fcntl(process.stdout.fileno(), fcntl.F_GETPIPE_SZ):
        unread = fcntl.ioctl(process.stdout.fileno(), termios.FIONREAD, bytes(4))
        assert process.poll() is None
    process.interrupt()
    assert process.wait(30) == 0
    assert b"".join(filter(None, read_all(process.output))).endswith(b"x\nlast words\n")


WAITER = """
import ctypes, select, sys
waiter = select.epoll()
ready = ctypes.CDLL(None, use_errno=True).epoll_wait  # Python's own begins anew after a signal
print("waits", flush=True)
events = ctypes.create_string_buffer(64)
found = ready(waiter.fileno(), events, 1, 60000)
print(found, ctypes.get_errno(), flush=True)
"""


def test_process_wake_ends_a_wait_of_one_that_has_no_handler() -> None:
    """Until it does: the process may not have begun to wait yet."""
    process = BpftraceProcess([sys.executable, "-c", WAITER], "", os.environ)
    output = process.output.get(30) or b""
    for _ in range(300):
        if output.count(b"\n") == 2:
            break
        process.wake()
        try:
            output += process.output.get(0.2) or b""
        except TimeoutError:
            continue
    assert output.split() == [b"waits", b"-1", str(errno.EINTR).encode()]
    assert process.wait(30) == 0


def test_drain_waits_for_more_and_gives_it_at_once(pipe: Pipe) -> None:
    """Lines that are written one by one are read together."""
    drain = pipe.drain()
    drain.start()
    for number in range(1000):
        os.write(pipe.writer, b"line %d\n" % number)
    pipe.end()
    chunks = read_all(drain)
    assert b"".join(filter(None, chunks)) == b"".join(b"line %d\n" % number for number in range(1000))
    assert len(chunks) < 100


def test_drain_is_patient_until_it_is_told_not_to_be(pipe: Pipe) -> None:
    drain = pipe.drain()
    drain.patience = 600.0
    drain.start()
    os.write(pipe.writer, b"one\n")
    with pytest.raises(TimeoutError):
        drain.get(0.3)
    drain.patience = 0.0
    assert drain.get(30) == b"one\n"


def test_drain_is_patient_as_long_as_the_pipe_is_far_from_full(pipe: Pipe) -> None:
    fcntl.fcntl(pipe.reader, fcntl.F_SETPIPE_SZ, 1 << 20)
    drain = pipe.drain()
    drain.patience = 600.0
    drain.start()
    for _ in range(3 << 10):  # 3 MiB, which the pipe does not hold
        os.write(pipe.writer, b"x" * 1023 + b"\n")
    assert len(drain.get(30) or b"") > 1
