"""A bpftrace process: program in, bytes and stderr lines out, an exit code; it never outlives us.

A thread of its own reads the pipe from bpftrace into memory and waits for nothing else. A bpftrace that is blocked in
write() when a signal comes throws away everything it still had to say: it is told to end while there is room.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import select
import signal
import subprocess
import sys
import termios
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from queue import Empty, SimpleQueue
from typing import IO, Any, cast

from orchestrator.errors import HostError
from orchestrator.limits import LIMITS, Limits

__all__ = ("GAP", "BpftraceProcess", "Drain")

_PR_SET_PDEATHSIG = 1
_PRCTL = ctypes.CDLL(None).prctl  # found before any fork
_PIPE_SIZE = 1 << 20  # /proc/sys/fs/pipe-max-size, what anyone may ask for
# What is passed on before its time, and in pieces of which size: a CPU's own cache holds what is made of one.
_ENOUGH, _CHUNK = 1 << 20, 1 << 17
# What bpftrace writes in a second at most, but for moments.
_FASTEST = 20e6
_USUAL_PATIENCE = 0.02
# A pipe is full when its pages are, and lines of half a page and more leave almost half of each empty.
_ROOM, _ROOM_SECONDS, _LOOK_SECONDS = 0.25, 5.0, 0.001
_DRAIN_LIMIT = 128 << 20
_STDERR_LINES = 4000  # 0.27 has ten for each cast that it finds unnecessary

# What Drain.get() returns where bytes had to be dropped.
GAP = None
_WAKE: Any = object()


class Drain(threading.Thread):
    """Reads a pipe to its end, into at most ``limit`` bytes of memory; what comes above that is counted.

    bpftrace writes each line by itself: to pass on each by itself would cost a wake-up, and us many times the rest.
    So what has come waits for more, for at most ``patience`` seconds, which anyone may change at any time.
    """

    def __init__(self, descriptor: int, limit: int = _DRAIN_LIMIT) -> None:
        super().__init__(daemon=True, name="drain")
        self._descriptor = descriptor
        self._pipe_size = fcntl.fcntl(descriptor, fcntl.F_GETPIPE_SZ)
        self._buffer = bytearray(_ENOUGH + self._pipe_size)
        self._limit = limit
        self._chunks: SimpleQueue[Any] = SimpleQueue()
        self._is_in_gap = self._is_at_end = False
        # Bytes: this thread alone writes the one, the reader of chunks the other.
        self._passed = self._taken = 0
        self.patience = _USUAL_PATIENCE
        self.dropped_bytes = 0
        self.dropped_lines = 0

    def run(self) -> None:
        """Read until the other side closes."""
        os.set_blocking(self._descriptor, False)
        poller = select.poll()
        poller.register(self._descriptor, select.POLLIN)
        while True:
            poller.poll()
            if not (size := self._gather()):
                break
            for part in _parts(self._buffer, size):
                self._pass_on(bytes(memoryview(self._buffer)[part]))
        self._chunks.put(b"")

    def get(self, timeout: float) -> bytes | None:
        """The next chunk, ``GAP``, or ``b""`` at the end, again and again. Raises TimeoutError if there is none yet."""
        if self._is_at_end:
            return b""
        try:
            chunk: bytes | None = self._chunks.get(timeout=timeout)
        except Empty:
            raise TimeoutError from None
        if chunk is _WAKE:
            raise TimeoutError
        self._is_at_end = chunk == b""
        self._taken += len(chunk or b"")
        return chunk

    def wake(self) -> None:
        """End the wait in ``get``, or the next one. For signal handlers too: SimpleQueue.put() is reentrant."""
        self._chunks.put(_WAKE)

    def wait_for_room(self, seconds: float) -> None:
        """Return once so little is in the pipe that a write to it does not block, or after so many seconds."""
        deadline = time.monotonic() + seconds
        while self.is_alive() and self._unread() > self._pipe_size * _ROOM and time.monotonic() < deadline:
            time.sleep(_LOOK_SECONDS)

    def _unread(self) -> int:
        """Bytes in the pipe."""
        found = fcntl.ioctl(self._descriptor, termios.FIONREAD, bytes(4))
        return int.from_bytes(found, sys.byteorder)

    def _gather(self) -> int:
        """Read what comes until patience ends, or there is enough; how many bytes, 0 at the end.

        It is looked for before the pipe can be full; where little came the time before, twice as late: the end of a
        burst that begins then waits in bpftrace's own buffer for a moment.
        """
        poller = select.poll()
        poller.register(self._descriptor, 0)  # which tells only that the other side has closed
        size, began, has_closed = 0, time.monotonic(), False
        look = usual = self._pipe_size / _FASTEST
        while size < _ENOUGH and not has_closed:
            if (left := began + self.patience - time.monotonic()) <= 0:
                break
            has_closed = bool(poller.poll(min(left, look) * 1000))
            found = self._read(size)
            look = usual if found > self._pipe_size // 4 else 2 * usual
            size += found
        return size + self._read(size)

    def _read(self, size: int) -> int:
        """Read what is in the pipe now, behind what is in the buffer."""
        try:
            return os.readv(self._descriptor, [memoryview(self._buffer)[size:]])
        except BlockingIOError:
            return 0

    def _pass_on(self, chunk: bytes) -> None:
        if self._passed - self._taken + len(chunk) <= self._limit:
            self._passed += len(chunk)
            self._is_in_gap = False
            self._chunks.put(chunk)
            return
        self.dropped_bytes += len(chunk)
        self.dropped_lines += chunk.count(b"\n")
        if not self._is_in_gap:
            self._is_in_gap = True
            self._chunks.put(GAP)


def _parts(buffer: bytearray, size: int) -> Iterator[slice]:
    """Parts of what was read that end where a line does, if they can: then none is put together again."""
    begin = 0
    while size - begin > _CHUNK:
        end = buffer.rfind(b"\n", begin, begin + _CHUNK) + 1 or begin + _CHUNK
        yield slice(begin, end)
        begin = end
    yield slice(begin, size)


class BpftraceProcess:
    """One bpftrace with its pipes drained. Start it from a thread that lives as long as it shall.

    ``limits``: those that it really has. ``program`` is what it was given, ``started`` when, in Unix nanoseconds.
    """

    def __init__(
        self, argv: Sequence[str], program: str, environment: Mapping[str, str], limits: Limits = LIMITS
    ) -> None:
        self.limits = limits
        self.program, self.started = program, time.time_ns()
        try:
            self._process = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=dict(environment),
                start_new_session=True,  # Ctrl-C is ours: bpftrace is told in its own time
                preexec_fn=self._in_child(),  # noqa: PLW1509 - it makes a few system calls and takes no lock
                bufsize=0,
            )
        except OSError as error:
            raise HostError(f"{argv[0]} cannot be run: {error.strerror}") from None
        self._stdin, self.stdout = cast(IO[bytes], self._process.stdin), cast(IO[bytes], self._process.stdout)
        self._stderr_pipe = cast(IO[bytes], self._process.stderr)
        with contextlib.suppress(OSError):
            fcntl.fcntl(self.stdout.fileno(), fcntl.F_SETPIPE_SZ, _PIPE_SIZE)
        self.output = Drain(self.stdout.fileno())
        self.output.start()
        self._stderr: deque[str] = deque(maxlen=_STDERR_LINES)
        self._stderr_reader = threading.Thread(target=self._read_stderr, daemon=True, name="stderr")
        self._stderr_reader.start()
        self._stdin_writer = threading.Thread(target=self._write, args=(program.encode(),), daemon=True, name="stdin")
        self._stdin_writer.start()

    @property
    def pid(self) -> int:
        """Of the process that was started, which may be a wrapper of bpftrace."""
        return self._process.pid

    @property
    def stderr(self) -> list[str]:
        """The last lines of stderr."""
        return list(self._stderr)

    def nudge(self, number: int) -> None:
        """Send a signal that means nothing to bpftrace itself."""
        self._signal(number)

    def interrupt(self) -> None:
        """Ask for the end: bpftrace runs END and prints its maps."""
        self.output.wait_for_room(_ROOM_SECONDS)
        self._signal(signal.SIGINT)

    def wake(self) -> None:
        """End a wait in the kernel without a signal of ours: epoll_wait(2) does not outlast a stop (signal(7))."""
        self._signal(signal.SIGSTOP)
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it at once."""
        self._signal(signal.SIGKILL)

    def poll(self) -> int | None:
        """The exit code, None while it runs."""
        return self._process.poll()

    def wait(self, timeout: float) -> int:
        """Wait for the end and its last words; a process that does not end in time is killed."""
        try:
            code = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            code = self._process.wait()
        deadline = time.monotonic() + 2.0
        for thread in (self.output, self._stderr_reader, self._stdin_writer):
            thread.join(max(0.0, deadline - time.monotonic()))
        for thread, pipe in ((self.output, self.stdout), (self._stderr_reader, self._stderr_pipe)):
            if not thread.is_alive():  # a child that bpftrace left behind may still hold the other end
                pipe.close()
        return code

    def _in_child(self) -> Callable[[], None]:
        """What the child does before exec."""
        parent = os.getpid()
        return lambda: _die_with(parent)

    def _signal(self, number: int) -> None:
        """To the whole group: a wrapper that does not exec would keep the signal for itself."""
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    def _write(self, program: bytes) -> None:
        with contextlib.suppress(OSError), self._stdin as stdin:
            stdin.write(program)

    def _read_stderr(self) -> None:
        for line in self._stderr_pipe:
            self._stderr.append(line.decode(errors="backslashreplace").rstrip("\n"))


def _die_with(parent: int) -> None:
    """Runs in the child before exec: when our process ends, however it does, the kernel kills the child."""
    _PRCTL(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended in between
        os._exit(1)
