from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.signals.model import SpanContext
from orchestrator.signals.traceparent import child_context, parse_traceparent, root_context

# The examples of the specification (section 3.2.3).
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED = f"00-{TRACE}-{SPAN}-01"


def hex_text(size: int) -> st.SearchStrategy[str]:
    return st.text("0123456789abcdef", min_size=size, max_size=size)


def numbers(*values: int) -> Iterator[int]:
    yield from values


def test_the_examples_of_the_specification() -> None:
    assert parse_traceparent(SAMPLED) == SpanContext(bytes.fromhex(TRACE), bytes.fromhex(SPAN), 0x301)
    assert parse_traceparent(SAMPLED[:-1] + "0") == SpanContext(bytes.fromhex(TRACE), bytes.fromhex(SPAN), 0x300)


@pytest.mark.parametrize(
    ("flags", "known"),
    [("00", 0), ("01", 1), ("02", 2), ("03", 3), ("09", 1), ("ff", 3), ("fc", 0)],
)
def test_only_the_flags_that_mean_something_are_taken(flags: str, known: int) -> None:
    context = parse_traceparent(f"00-{TRACE}-{SPAN}-{flags}")
    assert context is not None
    assert context.flags == 0x300 | known


@pytest.mark.parametrize(
    "text",
    [
        f"cc-{TRACE}-{SPAN}-01",
        f"01-{TRACE}-{SPAN}-01-what-the-future-will-be-like",
        f"fe-{TRACE}-{SPAN}-01-",
        f"cc-{TRACE}-{SPAN}-01-XYZ é",
    ],
)
def test_later_versions(text: str) -> None:
    assert parse_traceparent(text) == parse_traceparent(SAMPLED)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "00",
        SAMPLED[:-1],
        SAMPLED + "0",
        SAMPLED + "-",
        SAMPLED + "-01",
        SAMPLED + "\n",
        " " + SAMPLED,
        SAMPLED.upper(),
        f"ff-{TRACE}-{SPAN}-01",
        f"0-{TRACE}-{SPAN}-01",
        f"0X-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[:-1]}-{SPAN}-01",
        f"00-{TRACE}-{SPAN[:-1]}g-01",
        f"00-{TRACE}-{SPAN}-0G",
        f"00_{TRACE}_{SPAN}_01",
        f"cc-{TRACE}-{SPAN}-01.what",
        f"cc-{TRACE}-{SPAN}-0",
        f"{SAMPLED},{SAMPLED}",
        f"cc-{TRACE}-{SPAN}-01-x,{SAMPLED}",
        f"\u0660\u0660-{TRACE}-{SPAN}-01",
    ],
)
def test_invalid_ones(text: str) -> None:
    assert parse_traceparent(text) is None


@given(hex_text(2), hex_text(32), hex_text(16), hex_text(2))
def test_what_is_written_is_read(version: str, trace: str, span: str, flags: str) -> None:
    context = parse_traceparent(f"{version}-{trace}-{span}-{flags}")
    if version == "ff" or not trace.strip("0") or not span.strip("0"):
        assert context is None
    else:
        assert context is not None
        assert (context.trace_id.hex(), context.span_id.hex()) == (trace, span)


@given(st.text())
def test_any_text_is_read_or_not(text: str) -> None:
    parse_traceparent(text)


def test_a_root_is_recorded_here_and_its_id_is_random() -> None:
    source = numbers(0x1234, 0x56)
    assert root_context(lambda _: next(source)) == SpanContext((0x1234).to_bytes(16, "big"), b"\0" * 7 + b"\x56", 0x103)


def test_ids_are_never_zero() -> None:
    source = numbers(0, 0, 1, 0, 2)
    context = root_context(lambda _: next(source))
    assert (context.trace_id, context.span_id) == ((1).to_bytes(16, "big"), (2).to_bytes(8, "big"))


def test_ids_are_of_their_size_and_differ() -> None:
    contexts = [root_context() for _ in range(1000)]
    assert {(len(one.trace_id), len(one.span_id)) for one in contexts} == {(16, 8)}
    assert len({one.trace_id for one in contexts}) == len({one.span_id for one in contexts}) == 1000


@pytest.mark.parametrize(("flags", "own"), [("00", 0x101), ("01", 0x101), ("02", 0x103), ("03", 0x103)])
def test_a_child_has_the_trace_of_its_parent_and_is_recorded(flags: str, own: int) -> None:
    parent = parse_traceparent(f"00-{TRACE}-{SPAN}-{flags}")
    assert parent is not None
    child = child_context(parent, lambda _: 7)
    assert child == SpanContext(parent.trace_id, (7).to_bytes(8, "big"), own)
