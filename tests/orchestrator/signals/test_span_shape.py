from __future__ import annotations

from itertools import count
from typing import Any

import pytest

from config.manifest import Keep, SpanShape
from orchestrator.signals.model import Span, SpanContext
from orchestrator.signals.span_shape import Identity, Shape

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
HEADER = f"00-{TRACE}-{PARENT}-03"
REMOTE = SpanContext(bytes.fromhex(TRACE), bytes.fromhex(PARENT), 0x303)


def shape(**words: Any) -> Shape:
    ids = count(1)
    return Shape(SpanShape(**{"name": "x", **words}), lambda _: next(ids))


def make(printed: dict[str, Any] | None = None, fields: dict[str, Any] | None = None, **words: Any) -> Span:
    return shape(**words).span(printed or {}, fields or {}, 10, 25)


def test_a_span_of_its_own_trace() -> None:
    assert make({"a": 1}, kind="server", name="y") == Span(
        SpanContext((1).to_bytes(16, "big"), (2).to_bytes(8, "big"), 0x103), None, "y", "server", 10, 25, {"a": 1}
    )


@pytest.mark.parametrize(
    ("template", "attributes", "name"),
    [
        ("{http.request.method} {http.route}", {"http.request.method": "GET", "http.route": "/a/{id}"}, "GET /a/{id}"),
        ("{http.request.method} {http.route}", {"http.request.method": "GET"}, "GET"),
        ("{a}{b}", {"a": 1, "b": 2.5}, "12.5"),
        ("{a}", {}, "unknown"),
        ("{constant} {a}", {"a": "é"}, "c é"),
        ("{a}", {"a": ["ls", "a b"]}, "ls 'a b'"),
        ("{a}", {"a": "x\n\x1b[2J\udcff"}, "x\\n\\x1b[2J\\xff"),
        ("query", {}, "query"),
        ("{} {a}", {"a": "b"}, "{} b"),
    ],
)
def test_names(template: str, attributes: dict[str, Any], name: str) -> None:
    assert make(attributes, name=template, attributes={"constant": "c"}).name == name


def test_constants_stand_behind_what_was_printed() -> None:
    assert make({"a": 1}, attributes={"a": 2, "b": 3}).attributes == {"a": 1, "b": 3}


@pytest.mark.parametrize("where", ["fields", "printed"])
def test_a_parent_gives_the_trace(where: str) -> None:
    span = make(**{where: {"tp": HEADER}}, parent="tp")
    assert span.parent == REMOTE
    assert span.context == SpanContext(REMOTE.trace_id, (1).to_bytes(8, "big"), 0x103)


@pytest.mark.parametrize("value", ["", HEADER.upper(), HEADER + "-", 7, None])
def test_an_invalid_parent_counts_for_nothing(value: Any) -> None:
    span = make({}, {"tp": value}, parent="tp", links=["tp", "other"])
    assert (span.parent, span.links) == (None, ())
    assert span.context.trace_id != REMOTE.trace_id


def test_links() -> None:
    other = SpanContext(b"\x0a" * 16, b"\x0b" * 8, 0x300)
    fields = {"one": HEADER, "two": f"00-{'0a' * 16}-{'0b' * 8}-00", "three": "no"}
    assert make({}, fields, links=["one", "two", "three", "one"]).links == (REMOTE, other)


def test_the_identity_of_its_beginning() -> None:
    maker = shape(parent="tp")
    begun = maker.identity({}, {"tp": HEADER})
    span = maker.span({}, {"tp": f"00-{'0a' * 16}-{'0b' * 8}-00"}, 1, 2, begun)
    assert (span.context, span.parent) == (begun.context, REMOTE)
    assert begun == Identity(SpanContext(REMOTE.trace_id, (1).to_bytes(8, "big"), 0x103), REMOTE)


def test_what_scales_a_sample_stands_on_its_spans() -> None:
    assert make(keep=Keep(one_in=2)).trace_state == "ot=th:8"
    assert make().trace_state == ""


def test_a_trace_that_will_not_be_kept_is_not_sampled() -> None:
    low, high = 1, 2**56 - 1
    for trace_id, flags, kept in ((low, 0x102, False), (high, 0x103, True)):
        ids = iter((trace_id, 5))
        maker = Shape(SpanShape(name="x", keep=Keep(one_in=2)), lambda _, ids=ids: next(ids))  # type: ignore[misc]
        span = maker.span({}, {}, 0, 1)
        assert (span.context.flags, maker.keeps(span)) == (flags, kept)
