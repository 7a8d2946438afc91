"""Where a run's requests go: a file, an endpoint, or both; and what became of them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from config.otlp import OtlpSettings
from orchestrator.delivery.files import JsonLines, new_file
from orchestrator.errors import UsageError

if TYPE_CHECKING:
    from orchestrator.delivery.sender import Sender
    from orchestrator.delivery.transport import Request

__all__ = ("Destinations",)

_FINISH_SECONDS = 15.0


class Destinations:
    """A target for requests. Without endpoint and ``output`` it is a new ``capture-<UTC time>.jsonl``.

    ``say`` tells a person what goes wrong while it does; ``give_up`` is called when the file cannot be written any
    more, which ends the run.
    """

    def __init__(
        self, otlp: OtlpSettings | None, output: str | None, say: Callable[[str], None], give_up: Callable[[], None]
    ) -> None:
        started = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        self._give_up = give_up
        self.problems: list[str] = []
        self.sender = None if otlp is None else _start_sender(otlp, f"undelivered-{started}", say)
        self._file = _open_file(output, f"capture-{started}") if output or otlp is None else None
        self._path = self._file.path if self._file else None

    def __call__(self, request: Request) -> None:
        """Take one request. Never waits for the network."""
        if self.sender is not None:
            self.sender.submit(request)
        if self._file is not None:
            try:
                self._file.write(request)
            except OSError as error:
                self.problems.append(f"{self._path}: {error.strerror}")
                self._file = None
                self._give_up()

    def close(self, hurry: Callable[[], bool]) -> None:
        """Send what is left, for a bounded time or until ``hurry``; what is not sent then is kept."""
        if self.sender is not None:
            self.sender.finish(_FINISH_SECONDS, hurry)
        if self._file is not None:
            self._file.close()

    @property
    def described(self) -> list[str]:
        """Where the data is, for the closing line."""
        delivered = [f"{self.sender.sent:,} delivered"] if self.sender is not None else []
        return [*filter(None, [self._path]), *delivered]


def _start_sender(settings: OtlpSettings, stem: str, say: Callable[[str], None]) -> Sender:
    from orchestrator.delivery.sender import Sender  # noqa: PLC0415 - protobuf and the network, where they are used
    from orchestrator.delivery.transports import open_transport  # noqa: PLC0415

    transport = open_transport(settings)
    sender = Sender(lambda: transport, lambda: new_file(stem), say)
    sender.start()
    return sender


def _open_file(output: str | None, stem: str) -> JsonLines:
    try:
        return JsonLines(output) if output else new_file(stem)
    except OSError as error:
        raise UsageError(f"{output or stem + '.jsonl'} cannot be written: {error.strerror}") from None
