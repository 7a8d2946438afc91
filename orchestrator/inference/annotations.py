"""``// otlp:`` comments: what may stand in them."""

from __future__ import annotations

from collections.abc import Sequence

from config.errors import ConfigError
from config.loader import nearest
from parsers.script import Annotation

__all__ = ("check_words", "place_of")


def place_of(annotation: Annotation) -> str:
    """Where it stands, for an error."""
    return f"line {annotation.line}: otlp: {annotation.target}"


def check_words(annotation: Annotation, known: Sequence[str]) -> None:
    """Raise ConfigError for a word that means nothing."""
    for word in annotation.words:
        if word not in known:
            raise ConfigError(f"{place_of(annotation)}: unknown word {word!r}{nearest(word, list(known))}")
