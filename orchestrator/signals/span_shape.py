"""What happened, when -> a span, by the words that all spans of a manifest have in common."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

from config.manifest import SpanShape
from orchestrator.signals.model import Attributes, AttributeValue, Span, SpanContext
from orchestrator.signals.span_filter import SpanFilter
from orchestrator.signals.span_metrics import SpanMetrics
from orchestrator.signals.traceparent import SAMPLED, Bits, child_context, parse_traceparent, root_context
from orchestrator.text import join_arguments, printable

__all__ = ("Identity", "Shape")

_PLACEHOLDER = re.compile(r"\{([^{}]+)\}")
# A name must not be empty (trace.proto); this one is for a template of which nothing is left.
_NAMELESS = "unknown"


@dataclass(frozen=True, slots=True)
class Identity:
    """A span's own context, and that of its parent, which has the same trace id."""

    context: SpanContext
    parent: SpanContext | None = None


class Shape:
    """Makes the spans of one rule, and counts and filters them. ``bits``: the source of random ids."""

    def __init__(self, rule: SpanShape, bits: Bits = random.getrandbits) -> None:
        self._rule = rule
        self._bits = bits
        self._filter = SpanFilter(rule.keep)
        self.metrics = SpanMetrics(rule.metrics)

    def identity(self, attributes: Attributes, fields: Attributes) -> Identity:
        """Who a span is: a child of the context that ``parent`` names, or the first of a new trace.

        Of a trace that will not be kept it is not sampled; whoever refers to it can tell then that it will not come.
        """
        parent = None if self._rule.parent is None else _context(self._rule.parent, attributes, fields)
        context = root_context(self._bits) if parent is None else child_context(parent, self._bits)
        if not self._filter.samples(context.trace_id):
            context = SpanContext(context.trace_id, context.span_id, context.flags & ~SAMPLED)
        return Identity(context, parent)

    def span(
        self, attributes: Attributes, fields: Attributes, start: int, end: int, identity: Identity | None = None
    ) -> Span:
        """The span from ``start`` to ``end`` (Unix nanoseconds).

        ``fields`` have what is printed but not exported, and go before attributes of the same name. ``identity``: the
        one that was made when the span began, if it was; the parent is then that of its beginning.
        """
        rule = self._rule
        everything = {**rule.attributes, **attributes}
        who = identity or self.identity(attributes, fields)
        links = [_context(name, attributes, fields) for name in rule.links]
        return Span(
            context=who.context,
            parent=who.parent,
            name=_name(rule.name, everything, fields),
            kind=rule.kind,
            start_unix_nano=start,
            end_unix_nano=end,
            attributes=everything,
            links=tuple(dict.fromkeys(link for link in links if link is not None)),
            trace_state=self._filter.trace_state,
        )

    def keeps(self, span: Span) -> bool:
        """Whether ``span`` leaves; ``metrics`` are to count it all the same."""
        return self._filter.keeps(span)


def _context(name: str, attributes: Attributes, fields: Attributes) -> SpanContext | None:
    value = fields.get(name, attributes.get(name))
    return parse_traceparent(value) if isinstance(value, str) else None


def _name(template: str, attributes: Attributes, fields: Attributes) -> str:
    """``{http.request.method} {http.route}`` -> ``GET /users/{id}``, or ``GET`` where no route is known."""
    name = _PLACEHOLDER.sub(lambda match: _show(attributes.get(match[1], fields.get(match[1], ""))), template)
    return " ".join(name.split()) or _NAMELESS


def _show(value: AttributeValue) -> str:
    if isinstance(value, str):
        return printable(value)
    return join_arguments(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
