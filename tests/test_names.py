"""What the built-in signals call things is what the semantic conventions call them, or begins with ``ebpf.``."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import opentelemetry.semconv._incubating.attributes
import opentelemetry.semconv._incubating.metrics
import opentelemetry.semconv.attributes
import opentelemetry.semconv.metrics
import pytest

from config.manifest import Attribute
from orchestrator.catalog import load_signal, signal_names
from orchestrator.delivery_metrics import DURATION, INSTRUMENTS
from orchestrator.signals.logs import TRUNCATED
from orchestrator.signals.metrics import OVERFLOW

PAGE = Path(__file__).parents[1] / "docs" / "telemetry.md"
# Proposed, but not yet part of the conventions: semantic-conventions issue 3682.
PROPOSED_ATTRIBUTES = {"network.tcp.handshake.role", "network.tcp.retransmit.type"}
PROPOSED_METRICS = {
    "system.network.tcp.connection.failures",
    "system.network.tcp.connection.successes",
    "system.network.tcp.resets",
    "system.network.tcp.retransmits",
    "system.network.tcp.rtt.duration",
}


def constants(*packages: object) -> set[str]:
    """The string constants of all modules of ``packages``."""
    found: set[str] = set()
    for package in packages:
        prefix, path = getattr(package, "__name__"), getattr(package, "__path__")  # noqa: B009 - namespace packages
        modules = [importlib.import_module(f"{prefix}.{module.name}") for module in pkgutil.iter_modules(path)]
        for module in [package, *modules]:
            found |= {value for name, value in vars(module).items() if name.isupper() and isinstance(value, str)}
    return found


ATTRIBUTES = constants(opentelemetry.semconv.attributes, opentelemetry.semconv._incubating.attributes)
METRICS = constants(opentelemetry.semconv.metrics, opentelemetry.semconv._incubating.metrics)


def attributes_of(rule: Attribute) -> Iterator[str]:
    if rule.attribute is not None:
        yield rule.attribute
    yield from rule.also


def used_attributes(name: str) -> set[str]:
    manifest = load_signal(name).manifest
    names: set[str] = set()
    for metric in manifest.metrics.values():
        names |= {*metric.attributes, *(key for rule in metric.keys for key in attributes_of(rule))}
    for event in manifest.events.values():
        rules: list[Attribute] = [*event.fields, *event.parts.values()]
        names |= {*event.attributes, *(key for rule in rules for key in attributes_of(rule))}
    return names


def test_the_conventions_were_found() -> None:
    assert {"process.pid", "server.port", "error.type", "process.command_args"} <= ATTRIBUTES
    assert {"http.server.request.duration", "system.cpu.time"} <= METRICS


@pytest.mark.parametrize("name", signal_names())
def test_attributes_are_those_of_the_conventions(name: str) -> None:
    ours = {key for key in used_attributes(name) if not key.startswith("ebpf.")}
    assert ours - ATTRIBUTES - PROPOSED_ATTRIBUTES == set()


@pytest.mark.parametrize("name", signal_names())
def test_metrics_are_those_of_the_conventions(name: str) -> None:
    ours = {
        metric.name for metric in load_signal(name).manifest.metrics.values() if not metric.name.startswith("ebpf.")
    }
    assert ours - METRICS - PROPOSED_METRICS == set()


@pytest.mark.parametrize("name", signal_names())
def test_events_have_names_of_our_own(name: str) -> None:
    assert all(event.name.startswith("ebpf.") for event in load_signal(name).manifest.events.values())


def test_proposals_are_still_proposals() -> None:
    """One that was accepted, or is not used any more, is to be taken off the list."""
    used = {key for name in signal_names() for key in used_attributes(name)}
    metrics = {metric.name for name in signal_names() for metric in load_signal(name).manifest.metrics.values()}
    assert used - ATTRIBUTES >= PROPOSED_ATTRIBUTES
    assert metrics - METRICS >= PROPOSED_METRICS


def test_metrics_of_delivery_are_those_of_the_conventions() -> None:
    names = {one.name for one in INSTRUMENTS} | {DURATION[0]}
    assert {name for name in names if not name.startswith(("ebpf.", "ebpf_"))} <= METRICS
    assert any(name in METRICS for name in names)


def test_attributes_of_what_we_say_of_ourselves_are_those_of_the_conventions() -> None:
    documented = set(re.findall(r"`([a-z]+(?:\.[a-z0-9_]+)+)`", PAGE.read_text()))
    names = {one.name for one in INSTRUMENTS} | {DURATION[0]}
    assert {name for name in documented - names if not name.startswith("ebpf.")} <= ATTRIBUTES | METRICS


def test_every_metric_of_ours_is_documented() -> None:
    text = PAGE.read_text()
    assert [name for name in [*(one.name for one in INSTRUMENTS), DURATION[0]] if f"`{name}`" not in text] == []


def test_names_that_the_reader_itself_gives() -> None:
    assert OVERFLOW == "otel.metric.overflow"  # specification, metrics/sdk.md
    assert TRUNCATED.startswith("ebpf.")
