"""Where signal data leaves: encoded for files and endpoints, and kept for the summary."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from orchestrator.destinations import Destinations
from orchestrator.output import Output
from orchestrator.signals.event_batch import EventBatch
from orchestrator.signals.model import AttributeValue, LogRecord, Metric, Profile, Scope, Span
from orchestrator.summary import Summary
from orchestrator.terminal import Terminal
from orchestrator.wishes import Wishes

if TYPE_CHECKING:
    from orchestrator.self_telemetry import SelfTelemetry

__all__ = ("Outlet",)

# How long data may wait for more: a file may be read while it grows.
_FILE_SECONDS, _ENDPOINT_SECONDS = 1.0, 10.0


class Outlet:
    """A sink with all that hangs on it. Raises UsageError if the file cannot be written."""

    def __init__(
        self,
        wishes: Wishes,
        resource: Mapping[str, AttributeValue],
        terminal: Terminal,
        give_up: Callable[[], None],
        kernel_build_id: str | None = None,
    ) -> None:
        self.terminal = terminal
        self._self_telemetry: SelfTelemetry | None = None
        self.destinations = Destinations(wishes, str(resource.get("ebpf.run.id", "")), self.say, give_up)
        is_read_along = not wishes.otlp or wishes.output is not None
        seconds = _FILE_SECONDS if is_read_along else _ENDPOINT_SECONDS
        self.output = Output(resource, self.destinations, kernel_build_id, seconds)
        is_embedded = not wishes.otlp and wishes.output is None
        self.quiet = wishes.quiet
        self._summary = Summary() if wishes.summary or (is_embedded and terminal.interactive) else None

    def say(self, message: str) -> None:
        """Tell a person."""
        self.terminal.say(f"orchestrate: {message}")

    def log(self, scope: Scope, record: LogRecord) -> None:
        """Take one log record."""
        self.output.log(scope, record)
        if self._summary is not None:
            self._summary.log(scope, record)

    def events(self, scope: Scope, batch: EventBatch) -> None:
        """Take log records of one event, many at once."""
        self.output.events(scope, batch)
        if self._summary is not None:
            self._summary.events(scope, batch)

    def metrics(self, metrics: dict[Scope, list[Metric]]) -> None:
        """Take all metrics of one snapshot."""
        self.output.metrics(metrics)
        if self._summary is not None:
            self._summary.metrics(metrics)

    def profile(self, scope: Scope, profile: Profile) -> None:
        """Take the samples of one type and window."""
        self.output.profile(scope, profile)
        if self._summary is not None:
            self._summary.profile(scope, profile)

    def span(self, scope: Scope, span: Span) -> None:
        """Take one span."""
        self.output.span(scope, span)
        if self._summary is not None:
            self._summary.span(scope, span)

    def watch(self, interval: float) -> None:
        """Measure delivery, where there is any, every ``interval`` seconds."""
        if not self.destinations.senders:
            return

        from orchestrator.delivery_metrics import Destination  # noqa: PLC0415
        from orchestrator.self_telemetry import SelfTelemetry  # noqa: PLC0415 - the SDK's meter

        exporters = self.destinations.exporters
        destinations = [Destination(settings, number, sender) for number, (settings, sender) in enumerate(exporters)]
        try:
            self._self_telemetry = SelfTelemetry(destinations, interval, self.metrics, self.say)
        except Exception as error:  # what the SDK makes of its own variables, for one: no run is about this
            self.say(f"there are no metrics of delivery: {type(error).__name__}: {error}")

    def tick(self) -> None:
        """Send what has waited long enough, and measure if it is time to."""
        self.output.tick()
        if self._self_telemetry is not None:
            self._self_telemetry.tick()

    def flush(self, hurry: Callable[[], bool]) -> None:
        """Send what waits, and measure for the last time."""
        self.output.flush()
        if self._self_telemetry is not None:
            self._self_telemetry.finish(hurry)

    def close(self, hurry: Callable[[], bool]) -> None:
        """Send what is left, for a bounded time or until ``hurry``."""
        self.terminal.progress("sending what is left ...")
        try:
            self.output.flush()
        finally:
            self.destinations.close(hurry)
        self.terminal.progress("")

    def summarize(self, names: list[str]) -> None:
        """Show the summary of these signals, if one was asked for."""
        if self._summary is not None:
            self.terminal.block(self._summary.lines([f"bpftrace-orchestrator/{name}" for name in names]))
