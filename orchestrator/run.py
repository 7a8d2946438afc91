"""A run from its options to its exit code: plan, start, pump, stop, tell."""

from __future__ import annotations

import contextlib
import math
import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, BinaryIO

from orchestrator import bpftrace
from orchestrator.catalog import Signal
from orchestrator.checks import preflight
from orchestrator.errors import HostError, UsageError
from orchestrator.feasibility import reasons_against
from orchestrator.host import Host
from orchestrator.launch import Launch
from orchestrator.limits import Limits
from orchestrator.notify import notify
from orchestrator.options import Options
from orchestrator.process import BpftraceProcess
from orchestrator.stop import Stop
from orchestrator.terminal import Terminal
from orchestrator.user import act_as, become

if TYPE_CHECKING:
    from orchestrator.capture import Capture
    from orchestrator.outlet import Outlet
    from orchestrator.output import Output
    from orchestrator.recording import Recorder
    from orchestrator.signals.model import AttributeValue
    from orchestrator.sink import Sink
    from orchestrator.sudo import Sudo

__all__ = ("run_capture",)

_Started = tuple[BpftraceProcess, list[Signal]]
_PUMP_SECONDS = 0.2
_TURN_SECONDS = 0.05
_PROGRESS_SECONDS = 0.5


def run_capture(options: Options) -> int:
    """Do the run. Raises HostError and OrchestratorError before it has begun; after that all ends in the exit code."""
    terminal, stop = Terminal(), Stop()
    path = bpftrace.find_bpftrace(options.bpftrace)
    host = Host()
    sudo = _sudo(options, host, path, terminal, stop)
    problem = preflight(host, path, None if host.uid == 0 or sudo else bpftrace.read_version(path), sudo=bool(sudo))
    if problem is not None:
        raise problem
    failed = _cannot_run(options.signals, options, host)
    signals = [signal.resolved(options.values[signal.name]) for signal in options.signals if signal.name not in failed]
    if not signals:
        raise HostError("; ".join(f"{name} cannot run: {why}" for name, why in failed.items()))
    launch = Launch(
        path,
        _environment(host, path, signals),
        {signal.name: signal.render(options.values[signal.name], host) for signal in signals},
        {signal.name: signal.arguments(options.values[signal.name]) for signal in signals},
        options.interval,
        options.unsafe,
        sudo,
        options.user is not None,
    )
    if options.user is not None:
        act_as(options.user)
    with stop.on_signals(), _recording(options.record) as record:
        processes = [(launch.start(group), group) for group in _groups(signals)]
        try:
            return _Run(options, terminal, stop, failed, host).execute(launch, processes, record)
        except HostError:
            version = bpftrace.read_version(path)
            if version is not None and version < bpftrace.MINIMUM:
                raise HostError(f"bpftrace {version} is too old: install {bpftrace.MINIMUM} or newer") from None
            raise
        finally:
            for process, _ in processes:
                process.kill()


def _sudo(options: Options, host: Host, path: str, terminal: Terminal, stop: Stop) -> Sudo | None:
    """What starts bpftrace in our place, where that was asked for and we are not root ourselves."""
    if not options.sudo or host.uid == 0:
        return None

    from orchestrator.sudo import Sudo  # noqa: PLC0415

    return Sudo(path, terminal.hint, stop)


def _groups(signals: Sequence[Signal]) -> list[list[Signal]]:
    """The signals that share a bpftrace, then each one that has its own."""
    shared = [signal for signal in signals if signal.manifest.process == "shared"]
    return [*filter(None, [shared]), *([signal] for signal in signals if signal.manifest.process == "own")]


def _cannot_run(signals: Sequence[Signal], options: Options, host: Host) -> dict[str, str]:
    """What this host lacks, by signal."""
    reasons = {signal.name: reasons_against(signal, host, options.values[signal.name]) for signal in signals}
    return {name: "; ".join(found) for name, found in reasons.items() if found}


def _environment(host: Host, path: str, signals: Sequence[Signal]) -> dict[str, str]:
    """Ours, and what bpftrace does not find out by itself.

    Where BTF is: before Linux 5.11, which gives it no id, 0.17 does not see it. That symbols are to be kept: up to 0.19
    each frame of a process reads all of them anew, 60 ms each, and those of a process that has ended can kill bpftrace.
    """
    found = dict(os.environ)
    if host.has_btf and host.kernel_version is not None and host.kernel_version < (5, 11):
        found.setdefault("BPFTRACE_BTF", "/sys/kernel/btf/vmlinux")
    if any(signal.manifest.stacks for signal in signals):
        version = bpftrace.read_version(path)
        if version is not None and version < bpftrace.KEEPS_SYMBOLS:
            found.setdefault("BPFTRACE_CACHE_USER_SYMBOLS", "1")
    return found


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

    def __init__(self, options: Options, terminal: Terminal, stop: Stop, failed: Mapping[str, str], host: Host) -> None:
        self._options = options
        self._host = host
        self._terminal = terminal
        self._stop = stop
        self._failed = dict(failed)
        self._problems: list[str] = []

    def execute(self, launch: Launch, processes: Sequence[_Started], record: BinaryIO | None) -> int:
        # bpftrace compiles meanwhile: these imports cost as much as it needs.
        from orchestrator.outlet import Outlet  # noqa: PLC0415
        from orchestrator.resource import resource_attributes  # noqa: PLC0415

        resource = resource_attributes(uuid.uuid4().hex)
        build_id = self._host.kernel_build_id
        outlet = Outlet(self._options.wishes, resource, self._terminal, self._stop.request, build_id)
        captures: list[Capture] = []
        try:
            self._terminal.progress("starting bpftrace ...")
            version = _version(launch, processes)
            recorder = _make_recorder(record, resource, version, build_id)
            captures = self._start(launch, processes, outlet, recorder, version)
            if self._options.user is not None:
                become(self._options.user)
            for name, why in self._failed.items():
                outlet.say(f"{name} cannot run: {why}")
            self._trace(captures, outlet.output)
        finally:
            for capture in captures:
                capture.process.kill()
            outlet.close(self._stop.insisted)
        outlet.summarize([signal.name for capture in captures for signal in capture.signals])
        return self._conclude(captures, outlet)

    def _start(
        self,
        launch: Launch,
        processes: Sequence[_Started],
        sink: Sink,
        recorder: Callable[[Sequence[Signal], Limits], Recorder | None],
        version: tuple[int, ...] | None,
    ) -> list[Capture]:
        """Wait for all programs. Raises HostError if none can run."""
        from orchestrator.capture import Capture, start_capture  # noqa: PLC0415

        captures, reasons = [], []
        for process, signals in processes:
            try:
                capture, failed = start_capture(
                    launch,
                    process,
                    signals,
                    lambda started, chosen: Capture(started, chosen, sink, recorder(chosen, started.limits), version),
                    self._stop,
                )
            except HostError as error:
                reasons.append(str(error))
                self._failed.update({signal.name: str(error).partition(" cannot run: ")[2] for signal in signals})
            else:
                captures.append(capture)
                self._failed.update(failed)
        if not captures:
            raise HostError("; ".join(reasons))
        return captures

    def _trace(self, captures: Sequence[Capture], output: Output) -> None:
        """Pump until it is time to stop, and read the last words."""
        start = time.monotonic()
        if not self._stop():
            notify("READY=1")
        deadline = start + self._options.duration if self._options.duration else math.inf
        shown = 0.0
        while not self._stop() and time.monotonic() < deadline:
            running = [capture for capture in captures if not capture.at_end]
            if not running:
                break
            self._pump(running, deadline - time.monotonic())
            output.tick()
            if time.monotonic() - shown > _PROGRESS_SECONDS:
                shown = time.monotonic()
                self._progress(captures, shown - start)
        notify("STOPPING=1")
        for capture in captures:
            self._problems += [f"{capture.names}: {problem}" for problem in filter(None, [_end(capture)])]
        output.flush()

    @staticmethod
    def _pump(captures: Sequence[Capture], left: float) -> None:
        """Pass on what has come; wait a moment if nothing has."""
        progress = [capture.pump(0) for capture in captures[1:]]
        most = 0.0 if any(progress) else _TURN_SECONDS if progress else _PUMP_SECONDS
        captures[0].pump(max(0.0, min(most, left)))

    def _progress(self, captures: Sequence[Capture], elapsed: float) -> None:
        total = f"/{self._options.duration:g}" if self._options.duration else ""
        counts = [count for capture in captures for count in capture.pipeline.counts.values()]
        self._terminal.progress(
            f"{elapsed:.1f}{total} s  {sum(count.received for count in counts):,} events  "
            f"{sum(count.lost for count in counts):,} lost" + ("" if total else "  (Ctrl-C ends)")
        )

    def _conclude(self, captures: Sequence[Capture], outlet: Outlet) -> int:
        from orchestrator.report import conclude  # noqa: PLC0415

        problems = [*self._problems, *(problem for capture in captures for problem in capture.problems)]
        told = [line for capture in captures for line in capture.told()]
        well = conclude([capture.pipeline for capture in captures], outlet, problems, told)
        return 0 if well and not self._failed else 1


def _end(capture: Capture) -> str:
    """Bring a capture to its end; what went wrong, if anything did."""
    if capture.at_end:
        return "" if capture.ended_well() else f"bpftrace ended by itself: {capture.failure()}"
    if not capture.stop():
        return "bpftrace did not end when asked to and was killed: what it counted last is lost"
    pipeline = capture.pipeline
    if pipeline.ready and not pipeline.ended and not pipeline.as_written:
        return f"bpftrace ended without its last words: what it counted last is lost ({capture.failure()})"
    return ""


def _version(launch: Launch, processes: Sequence[_Started]) -> tuple[int, ...] | None:
    """The version of bpftrace, on which the form of text in keys depends; signals of ours have none there."""
    if not any(signal.manifest.process == "own" for _, signals in processes for signal in signals):
        return None
    with contextlib.suppress(HostError):
        return bpftrace.read_version(launch.path)
    return None


def _make_recorder(
    record: BinaryIO | None,
    resource: dict[str, AttributeValue],
    version: tuple[int, ...] | None,
    kernel_build_id: str | None,
) -> Callable[[Sequence[Signal], Limits], Recorder | None]:
    """What begins the recording anew for each bpftrace that is tried; the last one is the one that runs."""
    if record is None:
        return lambda _signals, _limits: None

    from orchestrator.recording import Header, Recorder  # noqa: PLC0415

    def begin(signals: Sequence[Signal], limits: Limits) -> Recorder:
        with contextlib.suppress(OSError):  # a pipe or device has no beginning
            record.seek(0)
            record.truncate()
        recorder = Recorder(record)
        recorder.begin(Header.of(signals, resource, limits, version, kernel_build_id))
        return recorder

    return begin
