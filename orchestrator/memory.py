"""What the C library does with memory that was freed."""

from __future__ import annotations

import contextlib
import ctypes

__all__ = ("keep_freed_memory",)

# malloc.h of glibc: blocks from so many bytes on are mapped by themselves; at the end of the heap so many may be free.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_MAPPED, _FREE = 8 << 20, 16 << 20


def keep_freed_memory() -> None:
    """Keep the memory of a request for the next one.

    glibc gives large blocks back to the kernel, which makes each page of them anew: with requests of 2 MiB that
    is a fifth of all that an event costs. Other C libraries have no mallopt(3), and go on as they do.
    """
    with contextlib.suppress(AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, _MAPPED)
        mallopt(_M_TRIM_THRESHOLD, _FREE)
