"""Signals: pairs ``NAME.bt`` and ``NAME.yaml``, found by glob; each is checked against its other half."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from itertools import chain
from pathlib import Path

from config.errors import ConfigError
from config.loader import load, nearest
from config.manifest import BoolParameter, HostFact, Manifest, SpanShape
from config.parameters import Value, literals
from config.resolve import resolve
from orchestrator.errors import OrchestratorError, UsageError
from orchestrator.host import Host
from orchestrator.pairs import OWN_PID, problems
from orchestrator.trust import read_trusted
from parsers.escapes import storable
from parsers.source import map_names, render, without_dead_probes

__all__ = ("Signal", "find_signals", "inferred_signal", "load_signal", "signal_names")


@dataclass(frozen=True, slots=True)
class Signal:
    """One pair: its name, where it stands, its program as written, and what it means."""

    name: str
    path: Path
    source: str
    manifest: Manifest

    def facts(self, host: Host) -> dict[str, int]:
        """What the program wants to know of this host, 1 or 0 each."""
        return {name: int(_holds(host, fact)) for name, fact in self.manifest.host.items()}

    def resolved(self, values: Mapping[str, Value]) -> Signal:
        """The signal whose manifest needs no parameters any more."""
        return replace(self, manifest=resolve(self.manifest, values))

    def render(self, values: Mapping[str, Value], host: Host) -> str:
        """The program for this host with these parameters.

        A built-in one is without the probes that could do nothing; a stranger's is as it was written.
        """
        if self.manifest.process == "own":
            flags = [name for name, one in self.manifest.parameters.items() if isinstance(one, BoolParameter)]
            given = {**literals(values), **{name: bool(values[name]) for name in flags}}
            return render(self.source, {**given, **self.facts(host)})
        ours = {OWN_PID: os.getpid()}
        return without_dead_probes(render(self.source, {**literals(values), **self.facts(host), **ours}))

    def arguments(self, values: Mapping[str, Value]) -> list[str]:
        """The positional parameters ``$1``, ``$2``, ... up to the last one that has a value."""
        given = {int(name): str(value) for name, value in values.items() if name.isdigit() and value != ""}
        return [given.get(position, "") for position in range(1, max(given, default=0) + 1)]

    @property
    def snapshot_maps(self) -> list[str]:
        """The maps of a program with a process of its own that are printed every interval."""
        return [name for name, metric in self.manifest.metrics.items() if metric.snapshot and not metric.cleared]

    @property
    def needs_btf(self) -> bool:
        """Whether the signal cannot run without BTF."""
        return any(fact.btf == "required" for fact in self.manifest.host.values())

    @property
    def scratch_maps(self) -> list[str]:
        """Maps that mean nothing outside the program."""
        return [name for name in _own_maps(self.source) if name not in {*self._meant, *chain(*self.turns)}]

    @property
    def exported_maps(self) -> list[str]:
        """Maps to print."""
        return [name for name in _own_maps(self.source) if name in self._meant]

    @property
    def turns(self) -> list[tuple[str, str]]:
        """The stack maps that take turns: while one of a pair is filled, the other is printed and emptied."""
        return [(name, stack.twin) for name, stack in self.manifest.stacks.items() if stack.twin]

    @property
    def span_shapes(self) -> list[SpanShape]:
        """What its spans are, those of conversations too."""
        exchanges = self.manifest.exchanges.values()
        return [*self.manifest.spans, *(shape for one in exchanges for shape in (one.server, one.client))]

    @property
    def span_events(self) -> set[str]:
        """The events that are spans or parts of them, and no log records."""
        spans, exchanges = self.manifest.spans, self.manifest.exchanges
        logged = {event for one in spans if one.log for event in (one.event, one.end)}
        events = {event for one in spans for event in (one.event, one.end) if event} - logged
        return events | {event for tag, one in exchanges.items() for event in (tag, one.end)}

    @property
    def _meant(self) -> set[str | None]:
        """Maps whose whole content is printed at every interval."""
        return {*self.manifest.metrics, self.manifest.emitted}


def _holds(host: Host, fact: HostFact) -> bool:
    if fact.btf is not None:
        return host.has_btf == bool(fact.btf)
    if host.tracefs_hidden:
        return _is_of(host.kernel_version, fact.since, fact.before)
    fields = host.tracepoint_fields(*(fact.tracepoint or ":").split(":", 1))
    if fields is None:
        return False
    return (fact.field is None or fact.field in fields) and (fact.without is None or fact.without not in fields)


def _is_of(kernel: tuple[int, int] | None, since: str | None, before: str | None) -> bool:
    """Whether a kernel is of these versions; of an unknown one, or of versions that are not told, it is not."""
    least, end = (tuple(map(int, version.split("."))) if version else None for version in (since, before))
    if kernel is None or (least is None and end is None):
        return False
    return (least is None or kernel >= least) and (end is None or kernel < end)


def _own_maps(source: str) -> list[str]:
    """The maps of a program without those of the orchestrator that it looks at."""
    return [name for name in map_names(source) if not name.startswith("orchestrator_")]


def _folder() -> Path:
    spec = find_spec("bt_scripts")
    locations = list(spec.submodule_search_locations or ()) if spec else []
    if not locations:
        raise OrchestratorError(
            "the built-in signals (bt_scripts) are not installed: install bpftrace-orchestrator anew"
        )
    return Path(locations[0])


def signal_names() -> list[str]:
    """The built-in signals."""
    return sorted(path.stem for path in _folder().glob("*.yaml") if path.with_suffix(".bt").is_file())


def find_signals(targets: str) -> list[Signal]:
    """The signals of ``tcp,exec``; a target with a slash or ``.bt`` is a file with its manifest beside it."""
    names = [name.strip() for name in targets.split(",")]
    if not all(names):
        raise UsageError(f"empty target in {targets!r}; write them as tcp,exec")
    signals = [load_signal(name) for name in dict.fromkeys(names)]
    doubles = {signal.name for signal in signals if [other.name for other in signals].count(signal.name) > 1}
    if doubles:
        raise UsageError(f"two targets are called {', '.join(sorted(doubles))}; rename one of the files")
    _check_names(signals)
    return signals


def _check_names(signals: list[Signal]) -> None:
    """Signals share one bpftrace program: what has one name in two of them would be one thing."""
    owners: dict[str, str] = {}
    for signal in [one for one in signals if one.manifest.process == "shared"]:
        parts = [tag for event in signal.manifest.events.values() for tag in event.parts]
        for name in [*(f"@{name}" for name in _own_maps(signal.source)), *signal.manifest.events, *parts]:
            if owners.setdefault(name, signal.name) != signal.name:
                raise UsageError(
                    f"{owners[name]} and {signal.name} both have {name}: begin the names with the signal's"
                )


def load_signal(target: str) -> Signal:
    """The signal of one target, checked. A .bt file without a manifest beside it gets one from its source."""
    if "/" in target or target.endswith(".bt"):
        path = Path(target)
        if not path.is_file():
            raise UsageError(f"no such file: {target}")
    else:
        path = _folder() / f"{target}.bt"
        if target not in signal_names():
            raise UsageError(
                f"no signal {target!r}{nearest(target, signal_names())}; `orchestrate list` shows them all, and a path "
                "that ends in .bt is a program of your own"
            )
    source = _read(path)
    manifest_path = path.with_suffix(".yaml")
    # `show FILE.bt --manifest > FILE.yaml`: the shell has made an empty file before we look.
    if not manifest_path.is_file() or not manifest_path.stat().st_size:
        return inferred_signal(path, source)
    signal = Signal(_name(path), path, source, load(manifest_path, Manifest, read_trusted))
    for problem in problems(signal.path.name, signal.source, signal.manifest):
        raise ConfigError(f"{manifest_path}: {problem}")
    return signal


def inferred_signal(path: Path, source: str) -> Signal:
    """The signal of a program without a manifest."""
    from orchestrator.inference.infer import infer_manifest  # noqa: PLC0415 - a grammar, which built-in signals do without

    try:
        return Signal(_name(path), path, source, infer_manifest(path.stem, source))
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def _name(path: Path) -> str:
    """The name of a program; bytes that are no UTF-8 could not be sent."""
    return storable(path.stem)


def _read(path: Path) -> str:
    try:
        return read_trusted(path)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read: {error}") from None
