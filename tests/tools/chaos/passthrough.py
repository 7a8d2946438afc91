"""A bpftrace that keeps a copy of all it prints: python passthrough.py BPFTRACE FOLDER [ARGUMENT]...

What bpftrace prints is in the file FOLDER/<start>.copy before anyone else can read it. FOLDER/<start>.times has a line
for each piece: the monotonic time in nanoseconds at which it was written, and how long the copy is with it. Whoever
ends this program ends bpftrace; a signal to the group of both is bpftrace's alone.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import subprocess
import sys
import time

_PR_SET_PDEATHSIG = 1
_PRCTL = ctypes.CDLL(None).prctl
_PIPE_SIZE = 1 << 20


def main() -> int:
    """Start bpftrace, pass on what it prints, and end as it does."""
    path, folder, *arguments = sys.argv[1:]
    # Handlers, and not SIG_IGN, which bpftrace would inherit.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    bpftrace = subprocess.Popen(
        [path, *arguments],
        stdout=subprocess.PIPE,
        bufsize=0,
        preexec_fn=lambda: _PRCTL(_PR_SET_PDEATHSIG, signal.SIGKILL),
    )
    assert bpftrace.stdout
    source = bpftrace.stdout.fileno()
    fcntl.fcntl(source, fcntl.F_SETPIPE_SZ, _PIPE_SIZE)
    stem = f"{folder}/{time.monotonic_ns():020d}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    copy, times = os.open(f"{stem}.copy", flags, 0o600), os.open(f"{stem}.times", flags, 0o600)
    size = 0
    while chunk := os.read(source, 1 << 16):
        size += _write(copy, chunk)
        _write(times, b"%d %d\n" % (time.monotonic_ns(), size))
        try:
            _write(sys.stdout.fileno(), chunk)
        except BrokenPipeError:
            break
    code = bpftrace.wait()
    return code if code >= 0 else 128 - code


def _write(descriptor: int, data: bytes) -> int:
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]
    return len(data)


if __name__ == "__main__":
    sys.exit(main())
