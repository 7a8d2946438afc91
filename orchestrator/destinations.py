"""Where a run's requests go: a file, endpoints, or both; and what became of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timezone
from typing import TYPE_CHECKING, get_args

from config.otlp import OtlpSettings, Signal, by_target
from orchestrator.delivery.files import JsonLines, new_file
from orchestrator.errors import UsageError
from orchestrator.wishes import Wishes

if TYPE_CHECKING:
    from orchestrator.delivery.sender import Sender
    from orchestrator.delivery.spool import Spool
    from orchestrator.delivery.transport import Request

__all__ = ("Destinations",)

_FINISH_SECONDS = 15.0
_POLL_SECONDS = 0.05
_PATIENCE_SECONDS = 60.0


class Destinations:
    """A target for requests. Without endpoint and file it is a new ``capture-<UTC time>.jsonl``.

    ``run``: the run's id. ``say`` tells a person what goes wrong while it does; ``give_up`` is called when the file
    cannot be written any more, which ends the run.
    """

    def __init__(self, wishes: Wishes, run: str, say: Callable[[str], None], give_up: Callable[[], None]) -> None:
        self._say, self._give_up = say, give_up
        self.problems: list[str] = []
        self._run = f"{time.time_ns():020d}-{run[:8]}"
        self._file = _open_file(wishes) if wishes.output or not wishes.otlp else None
        self._path = self._file.path if self._file else None
        self.exporters: list[tuple[OtlpSettings, Sender]] = []
        self._routes = [self._start_senders(wishes, otlp) for otlp in wishes.otlp]
        self.senders = list(dict.fromkeys(sender for route in self._routes for sender in route.values()))

    def expect(self, signal: Signal, items: int) -> None:
        """Items were read that will come in a request."""
        for route in self._routes:
            route[signal].expect(signal, items)

    def __call__(self, request: Request) -> None:
        """Take one request. Never waits for the network."""
        for route in self._routes:
            route[request.signal].submit(request)
        if self._file is not None:
            try:
                self._file.write(request)
            except OSError as error:
                self.problems.append(f"{self._path}: {error.strerror}")
                self._file = None
                self._give_up()

    def catch_up(self, stopped: Callable[[], bool]) -> None:
        """Wait for receivers that are slower than we; not for ever for one that takes nothing any more."""
        for sender in self.senders:
            sent, since = sender.counts.sent, time.monotonic()
            while sender.is_behind and not stopped() and time.monotonic() - since < _PATIENCE_SECONDS:
                time.sleep(_POLL_SECONDS)
                if sender.counts.sent != sent:
                    sent, since = sender.counts.sent, time.monotonic()

    def close(self, hurry: Callable[[], bool]) -> None:
        """Send what is left, for a bounded time or until ``hurry``; what is not sent then is kept."""
        for sender in self.senders:
            sender.finish(_FINISH_SECONDS, hurry)
        if self._file is not None:
            self._file.close()

    @property
    def described(self) -> list[str]:
        """Where the data is, for the closing line."""
        delivered = [f"{sender.counts.sent:,} delivered" for sender in self.senders]
        if len(delivered) > 1:
            delivered = [f"{one} to {sender.receiver}" for one, sender in zip(delivered, self.senders, strict=True)]
        return [*filter(None, [self._path]), *delivered]

    def _start_senders(self, wishes: Wishes, settings: OtlpSettings) -> dict[Signal, Sender]:
        """One for each address, so that none waits for another's. What has no address is refused by the first."""
        senders = [(part.signals, self._start_sender(wishes, part)) for part in by_target(settings)]
        given = {signal: sender for signals, sender in senders for signal in signals}
        return {signal: given.get(signal, senders[0][1]) for signal in get_args(Signal)}

    def _start_sender(self, wishes: Wishes, settings: OtlpSettings) -> Sender:
        from orchestrator.delivery.sender import Sender  # noqa: PLC0415 - protobuf and the network, where they are used
        from orchestrator.delivery.transports import open_transport  # noqa: PLC0415

        transport = open_transport(settings)
        sender = Sender(lambda: transport, self._open_spool(wishes, settings), self._say, name=transport.endpoint)
        sender.start()
        self.exporters.append((settings, sender))
        return sender

    def _open_spool(self, wishes: Wishes, settings: OtlpSettings) -> Spool | None:
        from orchestrator.spools import open_spool  # noqa: PLC0415

        if wishes.spool is None:
            return None
        try:
            return open_spool(wishes.spool.directory, wishes.spool.limits, settings, self._run)
        except OSError as error:
            self._say(
                f"{wishes.spool.directory}: {error.strerror}; what the receiver does not take waits in memory only "
                "(spool.directory in the --config file, or STATE_DIRECTORY, names another place)"
            )
            return None


def _open_file(wishes: Wishes) -> JsonLines:
    output = wishes.output
    stem = f"capture-{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}"
    try:
        return JsonLines(output, again=output in wishes.begun) if output else new_file(stem)
    except OSError as error:
        raise UsageError(f"{output or stem + '.jsonl'} cannot be written: {error.strerror}") from None
