"""The text of a map key -> its parts.

bpftrace joins the parts by commas and escapes nothing: ``@[pid, comm]`` prints ``42,a,b`` for a process named
``a,b``. Only the program tells how many parts there are and which are numbers, so both are passed in.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Literal

__all__ = ("KeyType", "split_key")

KeyType = Literal["int", "string"]
_PATTERNS = {"int": r"(-?\d+|true|false)", "string": r"(.*)"}
_BOOLEANS = {"true": 1, "false": 0}  # 0.24 and later print a boolean key part as a word


def _to_int(text: str) -> int:
    return _BOOLEANS[text] if text in _BOOLEANS else int(text)


_CONVERT: dict[str, Callable[[str], int | str]] = {"int": _to_int, "string": str}


@lru_cache(maxsize=256)
def _pattern(types: tuple[KeyType, ...]) -> re.Pattern[str]:
    return re.compile(",".join(_PATTERNS[kind] for kind in types), re.DOTALL)


def split_key(text: str, types: Sequence[KeyType]) -> tuple[int | str, ...] | None:
    """Return the parts of ``text``, or None if it does not have the given shape.

    Exact with at most one string part, which may hold commas; of several, the first takes what it can.
    """
    match = _pattern(tuple(types)).fullmatch(text)
    if match is None:
        return None
    return tuple(_CONVERT[kind](part) for kind, part in zip(types, match.groups(), strict=True))
