"""The text of a map key -> its parts.

bpftrace joins the parts by commas and escapes nothing: ``@[pid, comm]`` prints ``42,a,b`` for a process named
``a,b``. Only the program tells how many parts there are and which are numbers, so both are passed in.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Literal

__all__ = ("KeyType", "number_or_text", "split_key")

KeyType = Literal["any", "int", "string", "stack", "kstack", "ustack", "caller"]
# A stack is empty, or one frame a line: "\n    f+12\n    g+3\n"; 0.23 prints each newline as a backslash and an n. No
# frame begins with a comma: that is the next part.
_STACK = r"((?:(?:\n|\\n)(?:[^\n,](?:(?!\\n)[^\n])*(?:\n|\\n))*)?)"
_PATTERNS = {
    "any": r"(.*)",
    "int": r"(-?\d+|true|false)",
    "string": r"(.*)",
    "stack": _STACK,
    "kstack": _STACK,
    "ustack": _STACK,
    "caller": r"([^\n]*)",
}
# What ends by itself wherever it stands.
_CERTAIN = {"int", "kstack", "ustack", "stack"}
_BOOLEANS = {"true": 1, "false": 0}  # 0.24 and later print a boolean key part as a word


def _to_int(text: str) -> int:
    return _BOOLEANS[text] if text in _BOOLEANS else int(text)


def _stack(text: str) -> str:
    return text.replace("\\n", "\n")


def number_or_text(text: str) -> int | str:
    """The number that ``text`` looks like, else itself."""
    return int(text) if _INTEGER.fullmatch(text) else text


_INTEGER = re.compile(r"-?(?:0|[1-9]\d{0,19})")
_CONVERT: dict[str, Callable[[str], int | str]] = {
    "any": number_or_text,
    "int": _to_int,
    "string": str,
    "stack": _stack,
    "kstack": _stack,
    "ustack": _stack,
    "caller": str,
}


@lru_cache(maxsize=256)
def _patterns(types: tuple[KeyType, ...], separator: str) -> list[re.Pattern[str]]:
    """The shape of a key, and the same with open parts as short as can be where there are two of these or more."""
    parts = [_PATTERNS[kind] for kind in types]
    patterns = [separator.join(parts)]
    if sum(kind not in _CERTAIN for kind in types) > 1:
        patterns.append(separator.join(part.replace("*)", "*?)") for part in parts))
    return [re.compile(pattern, re.DOTALL) for pattern in patterns]


def split_key(text: str, types: Sequence[KeyType], separator: str = ",") -> tuple[int | str, ...] | None:
    """Return the parts of ``text``, or None if it has not the given shape, or could be cut in more than one way.

    ``separator`` is "," in JSON and ", " in text.
    """
    found = {match.groups() if match else None for match in _match_all(text, tuple(types), separator)}
    groups = found.pop()
    if groups is None or found:
        return None
    return tuple(_CONVERT[kind](part) for kind, part in zip(types, groups, strict=True))


def _match_all(text: str, types: tuple[KeyType, ...], separator: str) -> Iterator[re.Match[str] | None]:
    """The cuts with the first parts as long, and as short, as can be: where they are the same, there is no other."""
    return (pattern.fullmatch(text) for pattern in _patterns(types, separator))
