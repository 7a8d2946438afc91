"""W3C Trace Context (level 2, https://www.w3.org/TR/trace-context-2/): text -> the context of a span, and new ones."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

from orchestrator.signals.model import SpanContext

__all__ = ("RANDOM", "REMOTE", "SAMPLED", "Bits", "child_context", "parse_traceparent", "root_context")

# How many random bits -> a number of so many.
Bits = Callable[[int], int]

# Trace-flags: "may have been recorded", and "the right-most 7 bytes of the trace id are random".
SAMPLED, RANDOM = 0x01, 0x02
# SpanFlags of trace.proto: whether it is known that a context came from another process, and that it did.
_KNOWN, REMOTE = 0x100, 0x200

# 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01; of later versions more may follow.
_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.ASCII | re.DOTALL)


def parse_traceparent(text: str) -> SpanContext | None:
    """The context in the value of one header, which came from elsewhere; None if it is invalid.

    Several headers, joined by a comma, are invalid; so are upper-case digits, ids of zeros and version ff.
    """
    found = _TRACEPARENT.fullmatch(text)
    if found is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    if version == "ff" or (version == "00" and more is not None) or (more and "," in more):
        return None
    if not (trace_id.strip("0") and span_id.strip("0")):
        return None
    # Other flags mean nothing yet, and those of a later version may mean anything.
    known = int(flags, 16) & (SAMPLED | RANDOM)
    return SpanContext(bytes.fromhex(trace_id), bytes.fromhex(span_id), _KNOWN | REMOTE | known)


def root_context(bits: Bits = random.getrandbits) -> SpanContext:
    """A new trace and its first span, of this process.

    It is sampled, because it is recorded here, and its id is random, which tells samplers behind us (the Collector's
    for one) that they can draw lots by it.
    """
    return SpanContext(_new_id(bits, 16), _new_id(bits, 8), _KNOWN | SAMPLED | RANDOM)


def child_context(parent: SpanContext, bits: Bits = random.getrandbits) -> SpanContext:
    """A new span below ``parent``, sampled even if that was not. Whether the trace id is random, its parent says."""
    return SpanContext(parent.trace_id, _new_id(bits, 8), _KNOWN | SAMPLED | (parent.flags & RANDOM))


def _new_id(bits: Bits, size: int) -> bytes:
    while not (number := bits(size * 8)):
        pass
    return number.to_bytes(size, "big")
