"""A run from its options to its exit code: plan, start, pump, stop, tell."""

from __future__ import annotations

import contextlib
import math
import time
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING

from orchestrator.allocator import keep_freed_memory
from orchestrator.bpftrace import binary
from orchestrator.bpftrace.process import BpftraceProcess
from orchestrator.catalog import Signal
from orchestrator.errors import HostError
from orchestrator.notify import notify
from orchestrator.options import Options
from orchestrator.plan import Plan, make_plan
from orchestrator.record_file import RecordFile, open_record
from orchestrator.stop import Stop
from orchestrator.terminal import Terminal
from orchestrator.user import act_as, become

if TYPE_CHECKING:
    from orchestrator.outlet import Outlet
    from orchestrator.supervision.capture import Capture
    from orchestrator.supervision.crew import RunCrew
    from orchestrator.supervision.governor import Governor
    from orchestrator.supervision.supervisor import Supervisor

__all__ = ("run_capture",)

_Started = tuple[BpftraceProcess, Sequence[Signal]]
_PROGRESS_SECONDS = 0.5


def run_capture(options: Options, stop: Stop) -> int:
    """Do the run. Raises HostError and OrchestratorError before it has begun; after that all ends in the exit code."""
    terminal = Terminal()
    plan = make_plan(options, terminal, stop)
    if options.user is not None:
        act_as(options.user)
    with stop.on_signals(), open_record(options.record, again=options.record in options.wishes.begun) as record:
        processes = [(plan.launch.start(group), group) for group in plan.groups]
        try:
            return _Run(options, plan, terminal, stop).execute(processes, record)
        except HostError:
            version = binary.read_version(plan.launch.path)
            if version is not None and version < binary.MINIMUM:
                raise HostError(f"bpftrace {version} is too old: install {binary.MINIMUM} or newer") from None
            raise
        finally:
            for process, _ in processes:
                process.kill()


class _Run:
    """The part of a run in which bpftrace is there."""

    _governor: Governor
    _supervisor: Supervisor

    def __init__(self, options: Options, plan: Plan, terminal: Terminal, stop: Stop) -> None:
        self._options, self._plan, self._terminal, self._stop = options, plan, terminal, stop
        self._failed = dict(plan.failed)

    def execute(self, processes: Sequence[_Started], record: RecordFile) -> int:
        # bpftrace compiles meanwhile: these imports cost as much as it needs.
        from orchestrator.outlet import Outlet  # noqa: PLC0415
        from orchestrator.resource import resource_attributes  # noqa: PLC0415

        keep_freed_memory()
        resource = resource_attributes(uuid.uuid4().hex)
        build_id = self._plan.host.kernel_build_id
        outlet = Outlet(self._options.wishes, resource, self._terminal, self._stop.request, build_id)
        outlet.watch(self._options.interval)
        version = _version(self._plan, processes)
        record.describe(resource, version, build_id)
        try:
            self._run(processes, outlet, self._make_crew(outlet, record, version))
        finally:
            outlet.close(self._stop.insisted)
        captures = self._supervisor.captures
        outlet.summarize(list(dict.fromkeys(signal.name for capture in captures for signal in capture.signals)))
        return self._conclude(captures, outlet)

    def _make_crew(self, outlet: Outlet, record: RecordFile, version: tuple[int, ...] | None) -> RunCrew:
        from orchestrator.audit import Audit  # noqa: PLC0415
        from orchestrator.supervision.crew import RunCrew  # noqa: PLC0415
        from orchestrator.supervision.governor import Governor  # noqa: PLC0415

        self._governor = Governor(
            self._options.limits,
            outlet,
            lambda name: self._supervisor.drop_signal(name),  # noqa: PLW0108 - there is none yet
            self._stop.request,
        )
        audit = Audit(outlet.log, self._plan.launch.path, self._options.values)
        for name, why in self._failed.items():
            audit.left_out(name, why)
        return RunCrew(self._plan.launch, outlet, record, version, outlet.say, audit, self._governor.adopt)

    def _run(self, processes: Sequence[_Started], outlet: Outlet, crew: RunCrew) -> None:
        from orchestrator.supervision.supervisor import Supervisor  # noqa: PLC0415

        self._terminal.progress("starting bpftrace ...")
        captures = self._start(processes, crew)
        self._supervisor = Supervisor(captures, crew)
        try:
            if self._options.user is not None:
                become(self._options.user)
            for name, why in self._failed.items():
                outlet.say(f"{name} cannot run: {why}")
            self._trace(self._supervisor, outlet)
        finally:
            for capture in self._supervisor.captures:
                capture.process.kill()

    def _start(self, processes: Sequence[_Started], crew: RunCrew) -> list[Capture]:
        """Wait for all programs. Raises HostError if none can run."""
        from orchestrator.supervision.capture import start_capture  # noqa: PLC0415

        captures, reasons = [], []
        for process, signals in processes:
            try:
                capture, failed = start_capture(crew.launch, process, signals, crew.read, self._stop)
            except HostError as error:
                reasons.append(str(error))
                self._failed.update({signal.name: str(error).partition(" cannot run: ")[2] for signal in signals})
            else:
                captures.append(capture)
                self._failed.update(failed)
        if not captures:
            raise HostError("; ".join(reasons))
        return captures

    def _trace(self, supervisor: Supervisor, outlet: Outlet) -> None:
        """Pump until it is time to stop, and read the last words."""
        start = time.monotonic()
        self._stop.began = self._stop.began or start
        if not self._stop():
            notify("READY=1")
        deadline = start + self._options.duration if self._options.duration else math.inf
        supervisor.end_at(deadline)
        with self._stop.waking(supervisor.wake):
            self._pump(supervisor, outlet, start, deadline)
        if not self._stop.goes_on:
            notify("STOPPING=1")
        self._governor.close()
        supervisor.finish()
        outlet.flush(self._stop.insisted)

    def _pump(self, supervisor: Supervisor, outlet: Outlet, start: float, deadline: float) -> None:
        shown = 0.0
        while not self._stop() and time.monotonic() < deadline and not supervisor.is_over:
            supervisor.pump(deadline - time.monotonic())
            outlet.tick()
            self._governor.tick()
            if time.monotonic() - shown > _PROGRESS_SECONDS:
                shown = time.monotonic()
                self._progress(supervisor.captures, shown - start)

    def _progress(self, captures: Sequence[Capture], elapsed: float) -> None:
        total = f"/{self._options.duration:g}" if self._options.duration else ""
        counts = [count for capture in captures for count in capture.pipeline.counts.values()]
        self._terminal.progress(
            f"{elapsed:.1f}{total} s  {sum(count.received for count in counts):,} events  "
            f"{sum(count.lost for count in counts):,} lost" + ("" if total else "  (Ctrl-C ends)")
        )

    def _conclude(self, captures: Sequence[Capture], outlet: Outlet) -> int:
        from orchestrator.report import conclude, left_out  # noqa: PLC0415

        governor = self._governor
        pipelines = [capture.pipeline for capture in captures]
        own = (problem for capture in captures for problem in capture.problems)
        told = list(dict.fromkeys(line for capture in captures for line in capture.told()))
        told += [*governor.told, *left_out(pipelines, governor.why_thinned)]
        well = conclude(pipelines, outlet, [*self._supervisor.problems, *governor.problems, *own], told)
        return 0 if well and not self._failed else 1


def _version(plan: Plan, processes: Sequence[_Started]) -> tuple[int, ...] | None:
    """The version of bpftrace, on which the form of text in keys depends; signals of ours have none there."""
    if not any(signal.manifest.process == "own" for _, signals in processes for signal in signals):
        return None
    with contextlib.suppress(HostError):
        return binary.read_version(plan.launch.path)
    return None
