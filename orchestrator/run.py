"""A run from its options to its exit code: plan, start, pump, stop, tell."""

from __future__ import annotations

import contextlib
import math
import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, BinaryIO, Protocol

from orchestrator.bpftrace import binary
from orchestrator.bpftrace.launch import Launch
from orchestrator.bpftrace.process import BpftraceProcess
from orchestrator.catalog import Signal
from orchestrator.checks import preflight
from orchestrator.errors import HostError, UsageError
from orchestrator.feasibility import reasons_against
from orchestrator.host import Host
from orchestrator.limits import Limits
from orchestrator.notify import notify
from orchestrator.options import Options
from orchestrator.stop import Stop
from orchestrator.terminal import Terminal
from orchestrator.user import act_as, become

if TYPE_CHECKING:
    from orchestrator.audit import Audit
    from orchestrator.bpftrace.sudo import Sudo
    from orchestrator.outlet import Outlet
    from orchestrator.recording import Recorder
    from orchestrator.signals.model import AttributeValue
    from orchestrator.sink import Sink
    from orchestrator.supervision.capture import Capture
    from orchestrator.supervision.governor import Governor
    from orchestrator.supervision.supervisor import Supervisor

__all__ = ("run_capture",)

_Started = tuple[BpftraceProcess, list[Signal]]
_PROGRESS_SECONDS = 0.5


class _MakeRecorder(Protocol):
    """``again``: of a bpftrace that takes the place of another."""

    def __call__(self, signals: Sequence[Signal], limits: Limits, /, *, again: bool = False) -> Recorder | None: ...


def run_capture(options: Options, stop: Stop) -> int:
    """Do the run. Raises HostError and OrchestratorError before it has begun; after that all ends in the exit code."""
    terminal = Terminal()
    path = binary.find_bpftrace(options.bpftrace)
    host = Host()
    sudo = _sudo(options, host, path, terminal, stop)
    problem = preflight(host, path, None if host.uid == 0 or sudo else binary.read_version(path), sudo=bool(sudo))
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
    with stop.on_signals(), _recording(options.record, again=options.wishes.again) as record:
        processes = [(launch.start(group), group) for group in _groups(signals)]
        try:
            return _Run(options, terminal, stop, failed, host).execute(launch, processes, record)
        except HostError:
            version = binary.read_version(path)
            if version is not None and version < binary.MINIMUM:
                raise HostError(f"bpftrace {version} is too old: install {binary.MINIMUM} or newer") from None
            raise
        finally:
            for process, _ in processes:
                process.kill()


def _sudo(options: Options, host: Host, path: str, terminal: Terminal, stop: Stop) -> Sudo | None:
    """What starts bpftrace in our place, where that was asked for and we are not root ourselves."""
    if not options.sudo or host.uid == 0:
        return None

    from orchestrator.bpftrace.sudo import Sudo  # noqa: PLC0415

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
        version = binary.read_version(path)
        if version is not None and version < binary.KEEPS_SYMBOLS:
            found.setdefault("BPFTRACE_CACHE_USER_SYMBOLS", "1")
    return found


@contextlib.contextmanager
def _recording(path: str | None, *, again: bool) -> Iterator[BinaryIO | None]:
    """``again``: this process has written to it before, and goes on."""
    if path is None:
        yield None
        return
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | (0 if again else os.O_TRUNC), 0o600)
    except OSError as error:
        raise UsageError(f"--record {path}: {error.strerror}") from None
    with os.fdopen(descriptor, "wb", buffering=0) as file:
        with contextlib.suppress(OSError):  # a pipe has no end
            file.seek(0, os.SEEK_END)
        yield file


class _Run:
    """The part of a run in which bpftrace is there."""

    _governor: Governor
    _supervisor: Supervisor

    def __init__(self, options: Options, terminal: Terminal, stop: Stop, failed: Mapping[str, str], host: Host) -> None:
        self._options = options
        self._host = host
        self._terminal = terminal
        self._stop = stop
        self._failed = dict(failed)

    def execute(self, launch: Launch, processes: Sequence[_Started], record: BinaryIO | None) -> int:
        # bpftrace compiles meanwhile: these imports cost as much as it needs.
        from orchestrator.audit import Audit  # noqa: PLC0415
        from orchestrator.outlet import Outlet  # noqa: PLC0415
        from orchestrator.resource import resource_attributes  # noqa: PLC0415
        from orchestrator.supervision.governor import Governor  # noqa: PLC0415
        from orchestrator.supervision.supervisor import RunCrew, Supervisor  # noqa: PLC0415

        resource = resource_attributes(uuid.uuid4().hex)
        build_id = self._host.kernel_build_id
        outlet = Outlet(self._options.wishes, resource, self._terminal, self._stop.request, build_id)
        outlet.watch(self._options.interval)
        captures: list[Capture] = []
        try:
            self._terminal.progress("starting bpftrace ...")
            version = _version(launch, processes)
            recorder = _make_recorder(record, resource, version, build_id)
            self._governor = Governor(
                self._options.limits,
                outlet,
                lambda name: self._supervisor.drop_signal(name),  # noqa: PLW0108 - there is none yet
                self._stop.request,
            )
            audit = Audit(outlet.log, launch.path, self._options.values)
            for name, why in self._failed.items():
                audit.left_out(name, why)
            adopt = partial(self._adopt, audit)
            captures = self._start(launch, processes, _make_capture(outlet, recorder, version, adopt))
            if self._options.user is not None:
                become(self._options.user)
            for name, why in self._failed.items():
                outlet.say(f"{name} cannot run: {why}")
            crew = RunCrew(launch, outlet, partial(recorder, again=True), version, outlet.say, adopt)
            supervisor = self._supervisor = Supervisor(captures, crew)
            try:
                self._trace(supervisor, outlet)
            finally:
                captures = supervisor.captures
        finally:
            for capture in captures:
                capture.process.kill()
            outlet.close(self._stop.insisted)
        outlet.summarize(list(dict.fromkeys(signal.name for capture in captures for signal in capture.signals)))
        return self._conclude(supervisor, outlet)

    def _start(
        self,
        launch: Launch,
        processes: Sequence[_Started],
        make_capture: Callable[[BpftraceProcess, Sequence[Signal]], Capture],
    ) -> list[Capture]:
        """Wait for all programs. Raises HostError if none can run."""
        from orchestrator.supervision.capture import start_capture  # noqa: PLC0415

        captures, reasons = [], []
        for process, signals in processes:
            try:
                capture, failed = start_capture(launch, process, signals, make_capture, self._stop)
            except HostError as error:
                reasons.append(str(error))
                self._failed.update({signal.name: str(error).partition(" cannot run: ")[2] for signal in signals})
            else:
                captures.append(capture)
                self._failed.update(failed)
        if not captures:
            raise HostError("; ".join(reasons))
        return captures

    def _adopt(self, audit: Audit, capture: Capture) -> Capture:
        """See to a bpftrace that was started: what it takes, and that its start and end are written down."""
        capture.audit = audit
        return self._governor.adopt(capture)

    def _trace(self, supervisor: Supervisor, outlet: Outlet) -> None:
        """Pump until it is time to stop, and read the last words."""
        start = time.monotonic()
        self._stop.began = self._stop.began or start
        if not self._stop():
            notify("READY=1")
        deadline = start + self._options.duration if self._options.duration else math.inf
        supervisor.end_at(deadline)
        shown = 0.0
        while not self._stop() and time.monotonic() < deadline and not supervisor.is_over:
            supervisor.pump(deadline - time.monotonic())
            outlet.tick()
            self._governor.tick()
            if time.monotonic() - shown > _PROGRESS_SECONDS:
                shown = time.monotonic()
                self._progress(supervisor.captures, shown - start)
        if not self._stop.goes_on:
            notify("STOPPING=1")
        self._governor.close()
        supervisor.finish()
        outlet.flush(self._stop.insisted)

    def _progress(self, captures: Sequence[Capture], elapsed: float) -> None:
        total = f"/{self._options.duration:g}" if self._options.duration else ""
        counts = [count for capture in captures for count in capture.pipeline.counts.values()]
        self._terminal.progress(
            f"{elapsed:.1f}{total} s  {sum(count.received for count in counts):,} events  "
            f"{sum(count.lost for count in counts):,} lost" + ("" if total else "  (Ctrl-C ends)")
        )

    def _conclude(self, supervisor: Supervisor, outlet: Outlet) -> int:
        from orchestrator.report import conclude, left_out  # noqa: PLC0415

        captures, governor = supervisor.captures, self._governor
        pipelines = [capture.pipeline for capture in captures]
        own = (problem for capture in captures for problem in capture.problems)
        told = list(dict.fromkeys(line for capture in captures for line in capture.told()))
        told += [*governor.told, *left_out(pipelines, governor.why_thinned)]
        well = conclude(pipelines, outlet, [*supervisor.problems, *governor.problems, *own], told)
        return 0 if well and not self._failed else 1


def _make_capture(
    sink: Sink, recorder: _MakeRecorder, version: tuple[int, ...] | None, adopt: Callable[[Capture], Capture]
) -> Callable[[BpftraceProcess, Sequence[Signal]], Capture]:
    """What reads each bpftrace that is tried, until one runs."""
    from orchestrator.supervision.capture import Capture  # noqa: PLC0415

    return lambda process, signals: adopt(Capture(process, signals, sink, recorder(signals, process.limits), version))


def _version(launch: Launch, processes: Sequence[_Started]) -> tuple[int, ...] | None:
    """The version of bpftrace, on which the form of text in keys depends; signals of ours have none there."""
    if not any(signal.manifest.process == "own" for _, signals in processes for signal in signals):
        return None
    with contextlib.suppress(HostError):
        return binary.read_version(launch.path)
    return None


def _make_recorder(
    record: BinaryIO | None,
    resource: dict[str, AttributeValue],
    version: tuple[int, ...] | None,
    kernel_build_id: str | None,
) -> _MakeRecorder:
    """What begins the recording anew for each bpftrace that is tried, and goes on with it for each that comes after."""
    if record is None:
        return _no_recorder

    from orchestrator.recording import Header, Recorder  # noqa: PLC0415

    beginning = _place(record)

    def begin(signals: Sequence[Signal], limits: Limits, *, again: bool = False) -> Recorder:
        if beginning is not None and not again:
            record.seek(beginning)
            record.truncate()
        recorder = Recorder(record)
        recorder.begin(Header.of(signals, resource, limits, version, kernel_build_id), again=again or bool(beginning))
        return recorder

    return begin


def _no_recorder(_signals: Sequence[Signal], _limits: Limits, *, again: bool = False) -> None:  # noqa: ARG001
    return None


def _place(file: BinaryIO) -> int | None:
    """Where the next byte would go; None for a pipe or device, which has no beginning."""
    try:
        place = file.seek(0, os.SEEK_CUR)
        file.truncate()
    except OSError:
        return None
    return place
