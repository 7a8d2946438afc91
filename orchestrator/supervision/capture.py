"""One bpftrace at work: its program, its process, and the pipeline that reads it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from orchestrator.audit import Audit, Program
from orchestrator.bpftrace.complaints import explain, worth_telling
from orchestrator.bpftrace.launch import Launch
from orchestrator.bpftrace.process import GAP, BpftraceProcess
from orchestrator.bpftrace.program import STOP_SIGNAL
from orchestrator.catalog import Signal
from orchestrator.errors import HostError
from orchestrator.pipeline import Pipeline
from orchestrator.signals.clock import Clock, Moment
from orchestrator.signals.event_batch import EventBatch
from orchestrator.signals.model import LogRecord, Metric, Profile, Scope, Span
from orchestrator.sink import Sink
from orchestrator.telemetry import Restarts
from parsers.records import Unparsed
from parsers.stream import OutputStream

if TYPE_CHECKING:
    from orchestrator.recording import Recorder

__all__ = ("Capture", "start_capture")

_START_SECONDS = 60.0
_GRACE_SECONDS = 10.0
_POLL_SECONDS = 0.1
_GATE_SECONDS = 2.0
# Longer than any version needs from the signal to END: 0.17 detaches its probes first, some 50 ms each.
_AGAIN_SECONDS = 3.0
_SETTLE_SECONDS = 0.2
_ATTACHING_SECONDS = 1.0
_QUIET_SECONDS = 0.1
# For how long output may lie before it is read: each time costs as much as some hundred events. What has no time of its
# own gets that of its reading.
_PATIENCE_TIMED, _PATIENCE = 0.5, 0.1
# Passed on before anybody else has a turn.
_MOST_CHUNKS = 32


class Capture:
    """A started bpftrace. ``pump`` it often: each call passes on what has come.

    ``audit``, if it is set, is told how it starts and ends.
    """

    def __init__(
        self,
        process: BpftraceProcess,
        signals: Sequence[Signal],
        sink: Sink,
        recorder: Recorder | None = None,
        version: tuple[int, ...] | None = None,
    ) -> None:
        self.process = process
        self.signals = signals
        self.pipeline = Pipeline(signals, process.limits, sink)
        self.pipeline.restarts = Restarts()
        self._clock = Clock()
        self._stream = OutputStream(version=version, shapes=self.pipeline.shapes)
        self._recorder = recorder
        self._plain: list[str] = []
        self.audit: Audit | None = None
        self._is_loaded = self._is_told_to_end = self._has_ended = False
        self.problems: list[str] = []
        self.at_end = False

    def pump(self, timeout: float) -> bool:
        """Pass on what has come; False if nothing came in ``timeout`` seconds, or the output is at its end."""
        if self.at_end:
            return False
        try:
            chunk = self.process.output.get(timeout)
        except TimeoutError:
            self.pipeline.tick(self._clock.moment().unix)
            return False
        moment = self._clock.moment()
        for _ in range(_MOST_CHUNKS):
            if not self._take(chunk, moment):
                return False
            try:
                chunk = self.process.output.get(0)
            except TimeoutError:
                break
        return True

    def _take(self, chunk: bytes | None, moment: Moment) -> bool:
        """Pass on a chunk; whether more may come."""
        if chunk is GAP:
            self._stream.gap()
            lines = self.pipeline.stream.dropped_lines = self.process.output.dropped_lines
            self._keep(lambda recorder: recorder.gap(lines))
            return True
        self._keep(lambda recorder: recorder.chunk(chunk, moment))
        records = self._stream.feed(chunk) if chunk else self._stream.close()
        if not self.pipeline.ready:
            # `No probes to attach` comes in plain text on standard output, and is all that some failures say.
            self._plain += [record.line.decode(errors="replace") for record in records if isinstance(record, Unparsed)]
        self.pipeline.feed(records, moment)
        if (self.pipeline.ready or self.pipeline.ended) and not self.pipeline.as_written:
            self._tell_loaded()
        if not chunk:
            self.at_end = True
            self.pipeline.close()
        return not self.at_end

    def _keep(self, write: Callable[[Recorder], None]) -> None:
        if self._recorder is None:
            return
        try:
            write(self._recorder)
        except OSError as error:
            self.problems.append(f"the recording ends early: {error.strerror}")
            self._recorder = None

    def wait_ready(self, stopped: Callable[[], bool]) -> bool:
        """Pump until all probes are attached. False if bpftrace ended, or we were told to stop, before."""
        deadline = time.monotonic() + _START_SECONDS
        while not (self.pipeline.ready or self.at_end or stopped()):
            if time.monotonic() > deadline + _GRACE_SECONDS:  # killed, and a child that it left behind holds the pipe
                self.abandon()
            elif time.monotonic() > deadline:
                self.process.kill()
            self.pump(_POLL_SECONDS)
        self.relax()
        return self.pipeline.ready or self.pipeline.ended

    def relax(self) -> None:
        """Let output lie for as long as it may: what had to be known at once is known."""
        self.process.output.patience = _PATIENCE_TIMED if self.pipeline.timed else _PATIENCE

    def stop(self) -> bool:
        """Ask for the last maps and read to the end; False if they did not come and bpftrace had to be killed.

        As long as output comes there is patience: resolving symbols at the end can take long. One that has not begun
        has nothing to say, and may not even have a handler for the signal yet.
        """
        self._is_told_to_end = True
        if not self.pipeline.ready:
            self.discard()
            return True
        self.process.output.patience = 0.0
        self._close_gate()
        self.process.interrupt()
        quiet_since = told = time.monotonic()
        killed = False
        while not self.at_end:
            if self.pump(_POLL_SECONDS):
                quiet_since = time.monotonic()
            if not self.pipeline.ended and time.monotonic() - told > _AGAIN_SECONDS:
                # 0.17 sees the signal only while it waits for events: one that comes between two waits is lost. Were
                # it sent again, and came while END runs, all that END prints would be lost.
                self.process.wake()
                told = time.monotonic()
            if time.monotonic() - quiet_since > _GRACE_SECONDS:
                if killed or self.process.poll() is not None:  # a child that it left behind holds the pipe
                    self.abandon()
                else:
                    self.process.kill()
                    killed, quiet_since = True, time.monotonic()
        self._wait(killed=killed)
        return not killed

    def discard(self, *, killed: bool = False) -> None:
        """End it at once; what it has still to say does not matter. ``killed``: it had to be, and was."""
        self._is_told_to_end = True
        self.process.kill()
        self._wait(killed=killed)

    def _close_gate(self) -> None:
        """Let no more events be emitted, and read those that were: what bpftrace reads once it is told to end is lost.

        A stranger's program has no gate and goes on; what it has emitted until now is read. Without a gate, signals of
        ours emit no events.
        """
        if not self.pipeline.gated:
            if self.signals[0].manifest.process == "own":
                self.settle(_SETTLE_SECONDS)
            return
        deadline = time.monotonic() + _GATE_SECONDS
        self.process.nudge(STOP_SIGNAL)
        while not self.pipeline.stopped and not self.at_end and time.monotonic() < deadline:
            self.pump(_POLL_SECONDS)
        while self.pump(_QUIET_SECONDS) and time.monotonic() < deadline:
            pass

    def abandon(self) -> None:
        """Read no further: the process was killed, and a child of it holds the pipe."""
        self.at_end = True
        self.pipeline.close()

    def settle(self, seconds: float) -> None:
        """Pump for so long, or to the end."""
        deadline = time.monotonic() + seconds
        while not self.at_end and (left := deadline - time.monotonic()) > 0:
            self.pump(left)
        if not self.at_end:
            self._tell_loaded()

    @property
    def names(self) -> str:
        """The signals."""
        return ", ".join(signal.name for signal in self.signals)

    def ended_well(self) -> bool:
        """Whether a program that has the process for itself has come to its own end, by exit()."""
        return self._is_own_end(self._wait())

    def failure(self) -> str:
        """Why bpftrace ended by itself, in a sentence."""
        return self._explain(self._wait())

    def _wait(self, *, killed: bool = False) -> int:
        """The exit code of what has ended, or must now; the audit trail is told of it once."""
        code = self.process.wait(_GRACE_SECONDS)
        if self.audit is not None and not self._has_ended:
            self._has_ended = True
            self._tell_ended(self.audit, code, killed=killed)
        return code

    def _tell_loaded(self) -> None:
        if self.audit is not None and not self._is_loaded:
            self._is_loaded = True
            self.audit.loaded(self._program)

    def _tell_ended(self, audit: Audit, code: int, *, killed: bool) -> None:
        if self._is_told_to_end:
            audit.ended(self._program, code, "killed" if killed else "stopped")
        elif self._is_own_end(code):
            self._tell_loaded()
            audit.ended(self._program, code, "exited")
        elif self._is_loaded:
            audit.ended(self._program, code, "died", self._explain(code))
        else:
            audit.failed(self._program, code, self._explain(code))

    def _is_own_end(self, code: int) -> bool:
        return self.signals[0].manifest.process == "own" and (self.pipeline.ended or code == 0)

    def _explain(self, code: int) -> str:
        return explain([*self._plain, *self.process.stderr], code)

    @property
    def _program(self) -> Program:
        return Program([signal.name for signal in self.signals], self.process, self.pipeline.probes)

    def told(self) -> list[str]:
        """What bpftrace said on stderr, without the harmless."""
        return worth_telling(self.process.stderr)


class _Nothing:
    """A sink for trials."""

    def log(self, _scope: Scope, _record: LogRecord) -> None:
        """Take nothing."""

    def events(self, _scope: Scope, _batch: EventBatch) -> None:
        """Take nothing."""

    def metrics(self, _metrics: dict[Scope, list[Metric]]) -> None:
        """Take nothing."""

    def profile(self, _scope: Scope, _profile: Profile) -> None:
        """Take nothing."""

    def span(self, _scope: Scope, _span: Span) -> None:
        """Take nothing."""


def start_capture(
    launch: Launch,
    process: BpftraceProcess,
    signals: Sequence[Signal],
    make_capture: Callable[[BpftraceProcess, Sequence[Signal]], Capture],
    stopped: Callable[[], bool],
) -> tuple[Capture, dict[str, str]]:
    """Wait for the joined program; if it cannot start, find out which signals cannot, and start it without them.

    Returns the capture and the reason of each signal that was left out. Raises HostError when none is left.
    """
    capture = make_capture(process, signals)
    if capture.wait_ready(stopped) or stopped():
        return capture, {}
    if signals[0].manifest.process == "own":
        capture.failure()  # which the audit trail has then
        # Perhaps it is our part that does not fit; if not, its complaints now stand where its author looks.
        capture = make_capture(launch.start(signals, as_written=True), signals)
        capture.pipeline.as_written = True
        if capture.wait_ready(stopped):
            capture.settle(_ATTACHING_SECONDS)  # up to 0.23 it says that probes are attached before it attaches them
        if not capture.at_end or stopped() or capture.ended_well():
            return capture, {}
    reason = capture.failure()
    if len(signals) == 1:
        raise HostError(f"{signals[0].name} cannot run: {reason}")
    failed = {
        signal.name: why
        for signal in signals
        if (why := _trial(launch, signal, stopped, capture.audit)) is not None and not stopped()
    }
    good = [signal for signal in signals if signal.name not in failed]
    if not good:
        raise HostError("; ".join(f"{name} cannot run: {why}" for name, why in failed.items()))
    if not failed:
        raise HostError(f"{', '.join(signal.name for signal in signals)} cannot run together: {reason}")
    capture, more = start_capture(launch, launch.start(good), good, make_capture, stopped)
    return capture, {**failed, **more}


def _trial(launch: Launch, signal: Signal, stopped: Callable[[], bool], audit: Audit | None) -> str | None:
    """Why a signal cannot start by itself; None if it can."""
    capture = Capture(launch.start([signal]), [signal], _Nothing())
    capture.audit = audit
    if capture.wait_ready(stopped) or stopped():
        capture.discard()
        return None
    return capture.failure()
