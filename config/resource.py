"""``OTEL_RESOURCE_ATTRIBUTES`` and ``OTEL_SERVICE_NAME``: checked before a run begins; the SDK reads them."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import unquote_to_bytes

from config.errors import ConfigError

__all__ = ("check_resource_variables",)

_ATTRIBUTES = "OTEL_RESOURCE_ATTRIBUTES"


def check_resource_variables(environ: Mapping[str, str]) -> None:
    """Raise ConfigError for what is no ``key=value,key2=value2`` in UTF-8, percent-encoded."""
    for name in (_ATTRIBUTES, "OTEL_SERVICE_NAME"):
        try:
            unquote_to_bytes(environ.get(name, "").encode("utf-8")).decode("utf-8")
        except UnicodeError:
            raise ConfigError(f"{name}: is not UTF-8 text") from None
    for item in filter(None, (part.strip() for part in environ.get(_ATTRIBUTES, "").split(","))):
        key, equals, _ = item.partition("=")
        if not (key.strip() and equals):
            raise ConfigError(f"{_ATTRIBUTES}: {item!r} is wrong; expected key=value,key2=value2")
