"""glibc's malloc, told what this program is: megabytes come and go with each chunk of output and each request."""

from __future__ import annotations

import ctypes

__all__ = ("keep_freed_memory",)

# <malloc.h>; the defaults of both are 128 KiB (mallopt(3)).
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEPT, _MAPPED = 8 << 20, 4 << 20


def keep_freed_memory() -> None:
    """Keep up to 8 MiB that were freed, for what comes next: the kernel would have to zero each page of it anew.

    Where there is another C library nothing happens.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_TRIM_THRESHOLD, _KEPT)
        mallopt(_M_MMAP_THRESHOLD, _MAPPED)
