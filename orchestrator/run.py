"""A run from its options to its exit code: plan, start, pump, stop, tell."""

from __future__ import annotations

import contextlib
import os
import signal as signal_module
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, BinaryIO

from config.otlp import OtlpSettings
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
    from orchestrator.delivery.files import JsonLines
    from orchestrator.delivery.sender import Sender
    from orchestrator.output import Output, Target
    from orchestrator.signals.model import LogRecord, Metric, Scope

__all__ = ("run_capture",)

_PUMP_SECONDS = 0.1
_PROGRESS_SECONDS = 0.5
_FINISH_SECONDS = 15.0


class _Stop:
    """Set by SIGINT, SIGTERM and SIGHUP, or by ourselves when going on makes no sense."""

    def __init__(self) -> None:
        self.event = threading.Event()

    @contextlib.contextmanager
    def on_signals(self) -> Iterator[None]:
        numbers = (signal_module.SIGINT, signal_module.SIGTERM, signal_module.SIGHUP)
        before = {number: signal_module.signal(number, lambda *_: self.event.set()) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal_module.signal(number, handler)

    def __call__(self) -> bool:
        return self.event.is_set()


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
        os.environ,
        {signal.name: signal.render(options.values[signal.name], host) for signal in signals},
        options.interval,
    )
    with stop.on_signals(), _recording(options.record) as record:
        process = launch.start(signals)
        try:
            return _Run(options, terminal, stop, failed).execute(launch, process, signals, record)
        finally:
            process.kill()


def _cannot_run(signals: Sequence[Signal], options: Options, host: Host) -> dict[str, str]:
    """What this host lacks, by signal."""
    reasons = {signal.name: reasons_against(signal, host, options.values[signal.name]) for signal in signals}
    return {name: "; ".join(found) for name, found in reasons.items() if found}


@contextlib.contextmanager
def _recording(path: str | None) -> Iterator[BinaryIO | None]:
    if path is None:
        yield None
        return
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise UsageError(f"--record {path}: {error.strerror}") from None
    with os.fdopen(descriptor, "wb") as file:
        yield file


class _Run:
    """The part of a run in which bpftrace is there."""

    def __init__(self, options: Options, terminal: Terminal, stop: _Stop, failed: Mapping[str, str]) -> None:
        self._options = options
        self._terminal = terminal
        self._stop = stop
        self._failed = dict(failed)
        self._started = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        self._file: JsonLines | None = None
        self._sender: Sender | None = None
        self._problems: list[str] = []

    def execute(
        self, launch: Launch, process: BpftraceProcess, signals: Sequence[Signal], record: BinaryIO | None
    ) -> int:
        # bpftrace compiles meanwhile: these imports cost as much as it needs.
        from orchestrator.capture import Capture, start_capture  # noqa: PLC0415
        from orchestrator.output import Output  # noqa: PLC0415
        from orchestrator.resource import resource_attributes  # noqa: PLC0415
        from orchestrator.summary import Summary  # noqa: PLC0415

        try:
            output = Output(resource_attributes(uuid.uuid4().hex), self._targets())
            summary = (
                Summary() if self._is_embedded() and (self._terminal.interactive or self._options.summary) else None
            )
            sink = _Fan([output, *filter(None, [summary])])
            self._terminal.progress("starting bpftrace ...")
            capture, more = start_capture(
                launch, process, signals, lambda started, chosen: Capture(started, chosen, sink, record), self._stop
            )
            self._failed.update(more)
            for name, why in self._failed.items():
                self._terminal.say(f"orchestrate: {name} cannot run: {why}")
            try:
                seconds = self._trace(capture, output)
            finally:
                capture.process.kill()
        finally:
            self._close()
        if summary is not None:
            self._terminal.block(summary.lines([f"bpftrace-orchestrator/{signal.name}" for signal in capture.signals]))
        return self._conclude(capture, output, seconds)

    def _is_embedded(self) -> bool:
        return self._options.otlp is None and self._options.output is None

    def _path(self) -> str | None:
        """The file that the data goes to."""
        return self._options.output or (f"capture-{self._started}.jsonl" if self._is_embedded() else None)

    def _targets(self) -> list[Target]:
        from orchestrator.delivery.files import JsonLines  # noqa: PLC0415

        targets: list[Target] = []
        if self._options.otlp is not None:
            targets.append(self._open_sender(self._options.otlp).submit)
        path = self._path()
        if path is not None:
            try:
                self._file = JsonLines(path)
            except OSError as error:
                raise UsageError(f"{path} cannot be written: {error.strerror}") from None
            targets.append(self._write)
        return targets

    def _open_sender(self, settings: OtlpSettings) -> Sender:
        from orchestrator.delivery.sender import Sender  # noqa: PLC0415
        from orchestrator.delivery.transports import open_transport  # noqa: PLC0415

        transport = open_transport(settings)
        self._sender = Sender(
            lambda: transport,
            lambda: f"undelivered-{self._started}.jsonl",
            lambda message: self._terminal.say(f"orchestrate: {message}"),
        )
        self._sender.start()
        return self._sender

    def _write(self, request: Any) -> None:
        if self._file is None:
            return
        try:
            self._file.write(request)
        except OSError as error:
            self._problems.append(f"{self._file.path}: {error.strerror}")
            self._file = None
            self._stop.event.set()

    def _trace(self, capture: Capture, output: Output) -> float:
        """Pump until it is time to stop; return how many seconds all probes were attached."""
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
        seconds = time.monotonic() - start
        if capture.at_end:
            self._problems.append(f"bpftrace ended by itself: {capture.failure()}")
        elif not capture.stop():
            self._problems.append("bpftrace did not end when asked to and was killed: what it counted last is lost")
        output.flush()
        return seconds

    def _progress(self, capture: Capture, elapsed: float) -> None:
        total = f"/{self._options.duration:g}" if self._options.duration else ""
        counts = capture.pipeline.counts.values()
        self._terminal.progress(
            f"{elapsed:.1f}{total} s  {sum(count.received for count in counts):,} events  "
            f"{sum(count.lost for count in counts):,} lost" + ("" if total else "  (Ctrl-C ends)")
        )

    def _close(self) -> None:
        if self._sender is not None:
            self._terminal.progress("sending what is left ...")
            self._sender.finish(_FINISH_SECONDS)
        if self._file is not None:
            self._file.close()

    def _conclude(self, capture: Capture, output: Output, seconds: float) -> int:
        from orchestrator.report import closing_line, losses  # noqa: PLC0415

        losses_found = [*self._problems, *losses(capture.pipeline, self._sender)]
        for line in [*capture.told(), *(f"orchestrate: {loss}" for loss in losses_found)]:
            self._terminal.say(line)
        where = [path] if (path := self._path()) else []
        if self._sender is not None:
            where.append(f"{self._sender.sent:,} delivered")
        self._terminal.say(closing_line(capture, output, seconds, where))
        return 1 if losses_found or self._failed else 0
