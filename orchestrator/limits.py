"""The limits that bpftrace is started with, and that its output is read by."""

from __future__ import annotations

import os
from typing import NamedTuple

__all__ = ("LIMITS", "Limits", "usual_limits")


class Limits(NamedTuple):
    """``string``: bytes of a str(); ``map_keys``: entries of a map; ``pages``: of a ring, in 0.17 per CPU."""

    string: int
    map_keys: int
    pages: int


def _pages(cpus: int) -> int:
    """16 MiB for all rings together, a power of two for each: 0.17 takes no other number."""
    share: int = 1 << (max(1, 4096 // cpus).bit_length() - 1)
    return min(512, max(64, share))


# Strings: what 0.17 can have at most (its stack), the same everywhere, so that all versions clip alike.
LIMITS = Limits(string=200, map_keys=16384, pages=_pages(os.cpu_count() or 1))


def usual_limits(version: tuple[int, ...] | None) -> Limits:
    """Those of a bpftrace that was told nothing; one of an unknown version counts as old."""
    return Limits(string=64 if version is None or version < (0, 23) else 1024, map_keys=4096, pages=64)
