"""Our own metrics of delivery, by the SDK's meter: its callbacks read what the senders count anyway.

Heavy to import, and only for runs that send something.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterable, Sequence

from opentelemetry.metrics import CallbackOptions, Meter, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import Resource

from orchestrator.delivery.counts import BOUNDS
from orchestrator.delivery_metrics import DURATION, INSTRUMENTS, Destination, Observed, error_type
from orchestrator.sdk_bridge import metrics_of
from orchestrator.signals.model import HistogramPoint, Metric, Scope
from orchestrator.telemetry import OWN_SCOPE

__all__ = ("SelfTelemetry",)

# How long the last collection waits for what is on its way, so that it can tell of it.
_LAST_SECONDS = 2.0
_POLL_SECONDS = 0.02


class SelfTelemetry:
    """Collects from ``destinations`` every ``interval`` seconds, into ``take``; a failure ends it and nothing else."""

    def __init__(
        self,
        destinations: Sequence[Destination],
        interval: float,
        take: Callable[[dict[Scope, list[Metric]]], None],
        say: Callable[[str], None],
    ) -> None:
        # The SDK logs what goes wrong in it, with a traceback: without a handler that would come to stderr.
        logging.getLogger("opentelemetry").addHandler(logging.NullHandler())
        self._destinations, self._interval = destinations, interval
        self._take, self._say = take, say
        self._reader = InMemoryMetricReader()
        provider = MeterProvider([self._reader], resource=Resource.get_empty(), shutdown_on_exit=False)
        self._make_instruments(provider.get_meter(OWN_SCOPE.name))
        self._start = min(destination.counts.since for destination in destinations)
        self._due = time.monotonic() + interval
        self._has_failed = False

    def tick(self) -> None:
        """Collect if it is time to."""
        if time.monotonic() >= self._due:
            self._due = time.monotonic() + self._interval
            self.collect()

    def finish(self, hurry: Callable[[], bool]) -> None:
        """Collect for the last time, when what can be sent at once has been sent."""
        deadline = time.monotonic() + _LAST_SECONDS
        with contextlib.suppress(OSError):
            while self._is_sending() and time.monotonic() < deadline and not hurry():
                time.sleep(_POLL_SECONDS)
        self.collect()

    def collect(self) -> None:
        """Pass on all metrics, as they are now."""
        if self._has_failed:
            return
        try:
            for destination in self._destinations:
                with contextlib.suppress(OSError):
                    destination.measure()
            metrics = metrics_of(self._reader.get_metrics_data(), self._start)
            self._take({OWN_SCOPE: [*metrics, *self._durations()]})
        except Exception as error:  # whatever it is: no run is about this
            self._has_failed = True
            self._say(f"our own metrics of delivery end early: {type(error).__name__}: {error}")

    def _make_instruments(self, meter: Meter) -> None:
        create: dict[str, Callable[..., object]] = {
            "counter": meter.create_observable_counter,
            "updowncounter": meter.create_observable_up_down_counter,
            "gauge": meter.create_observable_gauge,
        }
        for one in INSTRUMENTS:
            create[one.kind](one.name, [self._callback(one.observe)], one.unit, one.description)

    def _callback(
        self, observe: Callable[[Destination], Iterable[Observed]]
    ) -> Callable[[CallbackOptions], Iterable[Observation]]:
        return lambda _options: [
            Observation(value, attributes)
            for destination in self._destinations
            for value, attributes in observe(destination)
        ]

    def _is_sending(self) -> bool:
        senders = (destination.sender for destination in self._destinations)
        return any(not sender.is_idle and not sender.is_waiting for sender in senders)

    def _durations(self) -> list[Metric]:
        """A histogram as the senders keep it: the SDK has none that is observed."""
        points = [
            HistogramPoint(
                destination.attributes(signal, **error_type(error)), BOUNDS, list(durations.counts), durations.sum
            )
            for destination in self._destinations
            for (signal, error), durations in list(destination.counts.durations.items())
        ]
        now = time.time_ns()
        return [Metric(*DURATION, "histogram", min(self._start, now), now, points)] if points else []
