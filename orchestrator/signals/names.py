"""What the data of a program is called that nobody gave names."""

from __future__ import annotations

import re

__all__ = ("identifier", "metric_name")


def identifier(text: str) -> str:
    """``text`` as a part of a metric's or attribute's name: lower case letters, digits and underscores."""
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_") or "x"


def metric_name(program: str, map_name: str) -> str:
    """``ebpf.PROGRAM.MAP``, or ``ebpf.PROGRAM`` for the map without a name."""
    return f"ebpf.{identifier(program)}" + (f".{identifier(map_name)}" if map_name else "")
