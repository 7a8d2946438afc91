"""What every way of sending has in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from config.otlp import Signal

__all__ = ("Outcome", "Request", "Status", "Transport")


@dataclass(frozen=True, slots=True)
class Request:
    """One serialised ``Export*ServiceRequest``, and how many log records, points, spans or profiles it holds.

    ``pieces``: its bytes, one after the other. To join megabytes costs more than to send them: they are in no cache
    any more. ``optional``: a receiver that does not have this signal needs none of it.
    """

    signal: Signal
    pieces: Sequence[bytes]
    items: int
    optional: bool = False

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(map(len, self.pieces))

    @property
    def body(self) -> bytes:
        """All of it in one piece."""
        return b"".join(self.pieces)


class Status(Enum):
    """How one attempt ended, in the three ways that the OTLP specification tells apart."""

    ACCEPTED = "accepted"
    RETRYABLE = "retryable"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer to one attempt.

    ``rejected``: items that the receiver refused (partial_success, or all of them); ``message``: one line for a
    person, without control characters; ``retry_after``: seconds that the receiver asked us to wait; ``missing``: the
    signal that the receiver does not have, as far as can be told.
    """

    status: Status
    rejected: int = 0
    message: str = ""
    retry_after: float | None = None
    missing: Signal | None = None


class Transport(Protocol):
    """Sends one request, once. Never raises for what the network or the receiver does."""

    endpoint: str

    def send(self, request: Request, timeout: float) -> Outcome:
        """Try to deliver ``request`` within ``timeout`` seconds."""

    def close(self) -> None:
        """Release connections."""
