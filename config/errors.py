"""What a person got wrong in a file, a variable or an option."""

from __future__ import annotations

__all__ = ("ConfigError",)


class ConfigError(Exception):
    """A mistake in what was given to us; the message names where it stands, what was expected and the mend."""

    exit_code = 2
