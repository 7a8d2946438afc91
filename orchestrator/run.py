"""A run from its options to its exit code: plan, start, pump, stop, tell."""

from __future__ import annotations

import contextlib
import os
import signal as signal_module
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

from orchestrator import bpftrace
from orchestrator.catalog import Signal
from orchestrator.checks import preflight
from orchestrator.errors import HostError, UsageError
from orchestrator.feasibility import reasons_against
from orchestrator.host import Host
from orchestrator.launch import Launch
from orchestrator.notify import notify
from orchestrator.options import Options
from orchestrator.process import BpftraceProcess
from orchestrator.terminal import Terminal

if TYPE_CHECKING:
    from orchestrator.capture import Capture
    from orchestrator.destinations import Destinations
    from orchestrator.output import Output
    from orchestrator.signals.model import LogRecord, Metric, Scope

__all__ = ("run_capture",)

_PUMP_SECONDS = 0.1
_PROGRESS_SECONDS = 0.5


class _Stop:
    """Set by SIGINT, SIGTERM and SIGHUP, or by ourselves when going on makes no sense."""

    def __init__(self) -> None:
        self._requests = 0

    def request(self, *_: object) -> None:
        """A signal handler: nothing in it may wait."""
        self._requests += 1

    def insisted(self) -> bool:
        """Whether it was asked for more than once: then nothing is waited for any more."""
        return self._requests > 1

    @contextlib.contextmanager
    def on_signals(self) -> Iterator[None]:
        numbers = [signal_module.SIGINT, signal_module.SIGTERM]
        if signal_module.getsignal(signal_module.SIGHUP) is not signal_module.SIG_IGN:  # not under nohup
            numbers.append(signal_module.SIGHUP)
        before = {number: signal_module.signal(number, self.request) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal_module.signal(number, handler)

    def __call__(self) -> bool:
        return self._requests > 0


class _Fan:
    """A sink that passes on to several."""

    def __init__(self, sinks: Sequence[Any]) -> None:
        self._sinks = sinks

    def log(self, scope: Scope, record: LogRecord) -> None:
        for sink in self._sinks:
            sink.log(scope, record)

    def metrics(self, metrics: dict[Scope, list[Metric]]) -> None:
        for sink in self._sinks:
            sink.metrics(metrics)


def run_capture(options: Options) -> int:
    """Do the run. Raises HostError and OrchestratorError before it has begun; after that all ends in the exit code."""
    terminal, stop = Terminal(), _Stop()
    path = bpftrace.find_bpftrace(options.bpftrace)
    host = Host()
    problem = preflight(host, path, None if host.uid == 0 else bpftrace.read_version(path))
    if problem is not None:
        raise problem
    failed = _cannot_run(options.signals, options, host)
    signals = [signal for signal in options.signals if signal.name not in failed]
    if not signals:
        raise HostError("; ".join(f"{name} cannot run: {why}" for name, why in failed.items()))
    launch = Launch(
        path,
        _environment(host),
        {signal.name: signal.render(options.values[signal.name], host) for signal in signals},
        options.interval,
    )
    with stop.on_signals(), _recording(options.record) as record:
        process = launch.start(signals)
        try:
            return _Run(options, terminal, stop, failed).execute(launch, process, signals, record)
        except HostError:
            version = bpftrace.read_version(path)
            if version is not None and version < bpftrace.MINIMUM:
                raise HostError(f"bpftrace {version} is too old: install {bpftrace.MINIMUM} or newer") from None
            raise
        finally:
            process.kill()


def _cannot_run(signals: Sequence[Signal], options: Options, host: Host) -> dict[str, str]:
    """What this host lacks, by signal."""
    reasons = {signal.name: reasons_against(signal, host, options.values[signal.name]) for signal in signals}
    return {name: "; ".join(found) for name, found in reasons.items() if found}


def _environment(host: Host) -> dict[str, str]:
    """Ours, and where BTF is: before Linux 5.11, which gives it no id, bpftrace 0.17 does not find it by itself."""
    if host.has_btf and host.kernel_version is not None and host.kernel_version < (5, 11):
        return {"BPFTRACE_BTF": "/sys/kernel/btf/vmlinux", **os.environ}
    return dict(os.environ)


@contextlib.contextmanager
def _recording(path: str | None) -> Iterator[BinaryIO | None]:
    if path is None:
        yield None
        return
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise UsageError(f"--record {path}: {error.strerror}") from None
    with os.fdopen(descriptor, "wb", buffering=0) as file:
        yield file


class _Run:
    """The part of a run in which bpftrace is there."""

    def __init__(self, options: Options, terminal: Terminal, stop: _Stop, failed: Mapping[str, str]) -> None:
        self._options = options
        self._terminal = terminal
        self._stop = stop
        self._failed = dict(failed)
        self._problems: list[str] = []

    def execute(
        self, launch: Launch, process: BpftraceProcess, signals: Sequence[Signal], record: BinaryIO | None
    ) -> int:
        # bpftrace compiles meanwhile: these imports cost as much as it needs.
        from orchestrator.capture import Capture, start_capture  # noqa: PLC0415
        from orchestrator.destinations import Destinations  # noqa: PLC0415
        from orchestrator.output import Output  # noqa: PLC0415
        from orchestrator.resource import resource_attributes  # noqa: PLC0415
        from orchestrator.summary import Summary  # noqa: PLC0415

        options, terminal = self._options, self._terminal
        destinations = Destinations(options.otlp, options.output, self._say, self._stop.request)
        try:
            output = Output(resource_attributes(uuid.uuid4().hex), [destinations])
            is_embedded = options.otlp is None and options.output is None
            summary = Summary() if options.summary or (is_embedded and terminal.interactive) else None
            sink = _Fan([output, *filter(None, [summary])])
            terminal.progress("starting bpftrace ...")
            capture, more = start_capture(
                launch, process, signals, lambda started, chosen: Capture(started, chosen, sink, record), self._stop
            )
            self._failed.update(more)
            for name, why in self._failed.items():
                self._say(f"{name} cannot run: {why}")
            try:
                self._trace(capture, output)
            finally:
                capture.process.kill()
        finally:
            terminal.progress("sending what is left ...")
            destinations.close(self._stop.insisted)
            terminal.progress("")
        if summary is not None:
            terminal.block(summary.lines([f"bpftrace-orchestrator/{signal.name}" for signal in capture.signals]))
        return self._conclude(capture, output, destinations)

    def _say(self, message: str) -> None:
        self._terminal.say(f"orchestrate: {message}")

    def _trace(self, capture: Capture, output: Output) -> None:
        """Pump until it is time to stop, and read the last words."""
        start = time.monotonic()
        if not self._stop():
            notify("READY=1")
        deadline = start + self._options.duration if self._options.duration else None
        shown = 0.0
        while not self._stop() and not capture.at_end and (deadline is None or time.monotonic() < deadline):
            left = _PUMP_SECONDS if deadline is None else min(_PUMP_SECONDS, max(0.0, deadline - time.monotonic()))
            capture.pump(left)
            output.tick()
            if time.monotonic() - shown > _PROGRESS_SECONDS:
                shown = time.monotonic()
                self._progress(capture, shown - start)
        notify("STOPPING=1")
        if capture.at_end:
            self._problems.append(f"bpftrace ended by itself: {capture.failure()}")
        elif not capture.stop():
            self._problems.append("bpftrace did not end when asked to and was killed: what it counted last is lost")
        output.flush()

    def _progress(self, capture: Capture, elapsed: float) -> None:
        total = f"/{self._options.duration:g}" if self._options.duration else ""
        counts = capture.pipeline.counts.values()
        self._terminal.progress(
            f"{elapsed:.1f}{total} s  {sum(count.received for count in counts):,} events  "
            f"{sum(count.lost for count in counts):,} lost" + ("" if total else "  (Ctrl-C ends)")
        )

    def _conclude(self, capture: Capture, output: Output, destinations: Destinations) -> int:
        from orchestrator.report import closing_line, losses  # noqa: PLC0415

        lost = [
            *self._problems,
            *capture.problems,
            *destinations.problems,
            *losses(capture.pipeline, destinations.sender),
        ]
        for line in capture.told():
            self._terminal.say(line)
        for loss in lost:
            self._say(loss)
        self._terminal.say(closing_line(capture, output, destinations.described))
        return 1 if lost or self._failed else 0
