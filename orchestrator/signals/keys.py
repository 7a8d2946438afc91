"""The key of a printed map -> attributes."""

from __future__ import annotations

from collections.abc import Sequence

from config.manifest import Key
from orchestrator.signals.attributes import compile_attribute
from orchestrator.signals.model import AttributeValue
from parsers.keys import split_key

__all__ = ("WHOLE_KEY", "KeyReader")

# The attribute of a key whose parts are not known.
WHOLE_KEY = "ebpf.key"


class KeyReader:
    """Reads the keys of one map; without rules the whole key is one attribute.

    ``lenient``: so is a key of another shape than the rules say, which may have been guessed.
    """

    def __init__(self, keys: Sequence[Key], *, lenient: bool = False) -> None:
        self._lenient = lenient
        self._types = [key.type for key in keys]
        self._setters = [compile_attribute(key, is_number=key.type == "int") for key in keys]

    def read(self, key: str | None, separator: str) -> dict[str, AttributeValue]:
        """The attributes of ``key``. Raises ValueError for a key of another shape."""
        attributes: dict[str, AttributeValue] = {}
        if not self._setters:
            return attributes if key is None else {WHOLE_KEY: key}
        parts = None if key is None else split_key(key, self._types, separator)
        if parts is None and self._lenient and key is not None:
            return {WHOLE_KEY: key}
        if parts is None:
            raise ValueError("key of another shape")
        for put, part in zip(self._setters, parts, strict=True):
            put(part, attributes)
        return attributes
