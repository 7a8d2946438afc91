"""Which spans leave, by the manifest's ``keep``."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import Any

from config.manifest import Keep
from orchestrator.signals.model import Span

__all__ = ("SpanFilter", "matcher")

Matcher = Callable[[Any], bool]

_RANDOMNESS = 2**56  # the right-most 7 bytes of a trace id
_NUMBER = re.compile(r"-?\d{1,18}(?:\.\d{1,9})?", re.ASCII)
_COMPARISON = re.compile(rf"(>=|<=|>|<)\s*({_NUMBER.pattern})", re.ASCII)
_CLASS = re.compile(r"(\d{1,8})(x{1,8})", re.ASCII)  # 5xx
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}


class SpanFilter:
    """One ``keep``, in which numbers stand instead of the names of parameters.

    ``trace_state`` says how many spans one that is kept stands for: ``ot=th:8`` for 1 in 2, empty for all (the
    specification, trace/tracestate-probability-sampling.md).
    """

    def __init__(self, keep: Keep) -> None:
        self._min_duration = int(keep.min_duration)
        self._only = [(name, matcher(str(wanted))) for name, wanted in keep.only.items() if str(wanted).strip()]
        one_in = max(1, int(keep.one_in))
        self._threshold = _RANDOMNESS - max(1, (_RANDOMNESS + one_in // 2) // one_in)
        self.trace_state = f"ot=th:{self._threshold:014x}".rstrip("0") if self._threshold else ""

    def samples(self, trace_id: bytes) -> bool:
        """Whether a trace is one of those that are kept: the same ones with every tool that samples by their ids."""
        return int.from_bytes(trace_id[-7:], "big") >= self._threshold

    def keeps(self, span: Span) -> bool:
        """Whether ``span`` leaves."""
        return (
            span.end_unix_nano - span.start_unix_nano >= self._min_duration
            and self.samples(span.context.trace_id)
            and all(name in span.attributes and fits(span.attributes[name]) for name, fits in self._only)
        )


def matcher(text: str) -> Matcher:
    """What fits one of the values in ``text``, separated by commas: ``404``, ``5xx``, ``>=400``, ``GET``.

    Numbers are compared as numbers, text by each letter.
    """
    terms = [_term(term) for part in text.split(",") if (term := part.strip())]
    return lambda value: any(fits(value) for fits in terms)


def _term(term: str) -> Matcher:
    if found := _COMPARISON.fullmatch(term):
        compare, bound = _COMPARE[found[1]], float(found[2])
        return lambda value: (number := _number(value)) is not None and compare(number, bound)
    if found := _CLASS.fullmatch(term):
        low, size = int(found[1]), 10 ** len(found[2])
        return lambda value: (number := _number(value)) is not None and number // size == low
    wanted = _number(term)
    if wanted is not None:
        return lambda value: _number(value) == wanted
    return lambda value: _text(value) == term


def _number(value: Any) -> int | float | None:
    """A number, or what is one in writing (``db.response.status_code`` is text)."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        return float(value) if "." in value else int(value)
    return value if isinstance(value, (int, float)) else None


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
