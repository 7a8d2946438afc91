"""The bodies of events of one kind -> bytes, from the template of their manifest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import repeat
from operator import add, attrgetter
from typing import Any

from orchestrator.otlp.event_columns import Segment
from orchestrator.otlp.wire import Memo, delimited
from orchestrator.signals.logs import PLACEHOLDER, CompiledEvent, show
from orchestrator.signals.model import AttributeValue
from parsers.event_lines import row_field

__all__ = ("encode_body",)

# LogRecord {5: body}, AnyValue {1: string_value}.
_BODY, _STRING = 5, 1


_Shown = Callable[[Sequence[Any]], Iterable[str]]


def encode_body(event: CompiledEvent) -> bytes | Segment:
    """What LogRecords hold of the body: for all the same, or what makes it of rows.

    A template is text with the names of attributes in braces; each comes of one field, or never changes.
    """
    body = event.rule.body
    literals, names = PLACEHOLDER.split(body)[::2], PLACEHOLDER.findall(body)
    if not names:
        return _head(len(body.encode())) + body.encode()
    parts: list[_Shown] = [_always(literals[0])]
    for name, literal in zip(names, literals[1:], strict=True):
        parts += [_shown(event, name), _always(literal)]
    head = Memo[int, bytes](_head).__getitem__

    def encode(rows: Sequence[Any]) -> Iterable[bytes]:
        texts = list(map(str.encode, map("".join, zip(*(part(rows) for part in parts), strict=False))))
        return map(add, map(head, map(len, texts)), texts)

    return encode


def _always(text: str) -> _Shown:
    return lambda _rows: repeat(text)


def _shown(event: CompiledEvent, name: str) -> _Shown:
    """What stands for the attribute ``name``."""
    puts = dict(event.setters)
    sources = [index for index in puts if name in (event.rule.fields[index].attribute, *event.rule.fields[index].also)]
    if not sources:
        return _always(show(event.rule.attributes.get(name)))
    put = puts[sources[0]]

    def make(value: Any) -> str:
        attributes: dict[str, AttributeValue] = {}
        put(value, attributes)
        return show(attributes.get(name))

    get, shown = attrgetter(row_field(sources[0])), Memo[Any, str](make)
    return lambda rows: map(shown.__getitem__, map(get, rows))


def _head(size: int) -> bytes:
    """What stands before a body of ``size`` bytes; an empty one is left out."""
    text = delimited(_STRING, size)
    return delimited(_BODY, len(text) + size) + text if size else b""
