"""What the SDK's meter collects, as our own metrics."""

from __future__ import annotations

from opentelemetry.metrics import Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricsData

from orchestrator.sdk_bridge import metrics_of
from orchestrator.signals.model import NumberPoint

START = 1_700_000_000_000_000_000


def collected() -> MetricsData | None:
    reader = InMemoryMetricReader()
    meter = MeterProvider([reader], shutdown_on_exit=False).get_meter("test")
    seen = [Observation(3, {"server.port": 4317}), Observation(4, {"error.type": "rejected"})]
    meter.create_observable_counter("items", [lambda _: seen], "{item}", "Items")
    meter.create_observable_up_down_counter("queue", [lambda _: [Observation(7)]], "By")
    meter.create_observable_gauge("spool", [lambda _: [Observation(0.5)]])
    meter.create_observable_counter("nothing", [lambda _: []])
    return reader.get_metrics_data()


def test_sums_and_gauges_keep_what_they_are() -> None:
    items, queue, spool = metrics_of(collected(), START)
    assert (items.name, items.unit, items.description, items.instrument) == ("items", "{item}", "Items", "counter")
    assert items.points == [NumberPoint({"server.port": 4317}, 3), NumberPoint({"error.type": "rejected"}, 4)]
    assert (queue.instrument, queue.unit, queue.points) == ("updowncounter", "By", [NumberPoint({}, 7)])
    assert (spool.instrument, spool.points) == ("gauge", [NumberPoint({}, 0.5)])
    assert items.start_unix_nano == START < items.time_unix_nano


def test_nothing_begins_in_the_future() -> None:
    """The clock was set back."""
    items, *_ = metrics_of(collected(), 2 * START)
    assert items.start_unix_nano == items.time_unix_nano < 2 * START


def test_a_disabled_sdk_has_nothing() -> None:
    assert metrics_of(None, START) == []
