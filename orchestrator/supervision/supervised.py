"""One bpftrace kept at work: if it dies or stalls, it is ended for good and started again after a while.

``pump`` never waits for a start: a program that compiles is pumped like one that runs, so others go on beside it.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from orchestrator.catalog import Signal
from orchestrator.errors import HostError
from orchestrator.pipeline import OWN_SCOPE
from orchestrator.report import losses
from orchestrator.signals.model import AttributeValue, LogRecord
from orchestrator.sink import Sink
from orchestrator.supervision.capture import Capture
from orchestrator.supervision.pulse import Pulse
from orchestrator.supervision.usage import ProcessReader
from orchestrator.telemetry import Restarts

__all__ = ("ENDED", "GIVEN_UP", "RESTARTED", "Crew", "Patience", "Supervised", "end")

# The events of our own scope.
ENDED, RESTARTED, GIVEN_UP = "ebpf.bpftrace.ended", "ebpf.bpftrace.restarted", "ebpf.bpftrace.given_up"
_NEVER_READY = "it did not come to attach its probes"
# Forerunners that are remembered to the end of the run; of older ones their losses are said at once.
_REMEMBERED = 20
_KILL_SECONDS = 10.0

State = Literal["running", "starting", "ending", "waiting", "over"]


class Crew(Protocol):
    """What a run gives those that it supervises."""

    @property
    def sink(self) -> Sink:
        """Where data goes."""

    @property
    def interval(self) -> float:
        """Seconds between two snapshots."""

    @property
    def say(self) -> Callable[[str], None]:
        """Tells a person."""

    def begin(self, signals: Sequence[Signal], *, as_written: bool) -> Capture:
        """Start a bpftrace. Raises HostError."""

    def marks_snapshots(self, signals: Sequence[Signal]) -> bool:
        """Whether their program tells of each snapshot."""


@dataclass(frozen=True, slots=True)
class Patience:
    """In seconds: the first wait and the longest, what makes a start long, and what makes it a success.

    After ``failures`` without a success between them there is no further try.
    """

    first: float = 1.0
    longest: float = 60.0
    start: float = 60.0
    healthy: float = 60.0
    failures: int = 5
    # Before the end of the run nothing is begun that would not see anything.
    least: float = 1.0

    def wait(self, failures: int, chance: float) -> float:
        """Before the next try, after so many failures in a row; ``chance`` (0 to 1) keeps hosts apart."""
        return min(self.longest, self.first * 2.0 ** (failures - 1)) * (1 + chance / 4)


@dataclass(slots=True)
class Supervised:
    """A capture and those that come after it. ``deadline``: when the run ends, by ``now``."""

    capture: Capture
    crew: Crew
    patience: Patience = Patience()
    now: Callable[[], float] = time.monotonic
    chance: Callable[[], float] = random.random
    deadline: float = math.inf
    captures: list[Capture] = field(init=False)
    signals: list[Signal] = field(init=False)
    state: State = field(default="running", init=False)
    problems: list[str] = field(default_factory=list, init=False)
    _since: float = field(default=0.0, init=False)
    _due: float = field(default=0.0, init=False)
    _failures: int = field(default=0, init=False)
    _restarts: int = field(default=0, init=False)
    _has_died: bool = field(default=False, init=False)
    _gap: float = field(default=0.0, init=False)
    _gap_since: float | None = field(default=None, init=False)
    _cause: str = field(default="", init=False)
    _pulse: Pulse = field(init=False)
    _is_beating: bool = field(init=False)
    _ready_at: float | None = field(default=None, init=False)
    _first_start: int | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.captures, self.signals = [self.capture], list(self.capture.signals)
        self._go_on()

    @property
    def names(self) -> str:
        """The signals."""
        return ", ".join(signal.name for signal in self.signals)

    @property
    def is_over(self) -> bool:
        """Whether nothing will come any more."""
        return self.state == "over"

    def pump(self, timeout: float) -> bool:
        """Pass on what has come, or wait for at most ``timeout`` seconds; whether there may be more at once."""
        return _TURNS[self.state](self, timeout)

    def finish(self) -> None:
        """Bring it to its end, in the ordinary way if it runs."""
        if self.state in ("running", "starting", "ending"):
            problem = end(self.capture)
            self.problems += [f"{self.names}: {problem}"] if problem else []
        elif self.state == "waiting":
            self.problems.append(f"{self.names}: bpftrace ended ({self._cause}), and the run before its next start")
        self._close_gap()
        if self._restarts:
            times = f"{self._restarts:,} time{'s' if self._restarts > 1 else ''}"
            lost = f"what happened in {self._gap:.1f} s{', and what was counted last before,' * self._has_died} is lost"
            self.problems.append(f"{self.names}: bpftrace was started again {times}: {lost}")
        self.state = "over"

    def without(self, name: str) -> None:
        """Go on without one signal: a bpftrace of the others takes the place of this one; without others it ends."""
        rest = [signal for signal in self.signals if signal.name != name]
        if self.is_over or len(rest) == len(self.signals):
            return
        problem = end(self.capture) if self.state != "waiting" else ""
        self.problems += [f"{self.names}: {problem}"] if problem else []
        if not rest:
            self.state = "over"
            return
        self.signals = rest
        self._open_gap()
        self._cause = f"without {name}"
        self._begin()

    def _run(self, timeout: float) -> bool:
        more = self.capture.pump(timeout)
        pipeline = self.capture.pipeline
        if self.capture.at_end:
            self._ended()
        elif not pipeline.ended and self._is_beating and self._pulse.has_stopped(pipeline.marks, more=more):
            self._end_for_good(f"stalled: no snapshot for {self._pulse.quiet:.0f} s", self._pulse.quiet)
        return more

    def _start(self, timeout: float) -> bool:
        more = self.capture.pump(timeout)
        if self.capture.at_end:
            self._ended()
        elif self.capture.pipeline.ready:
            self._restarted()
        elif self.now() - self._since > self.patience.start:
            self._end_for_good(_NEVER_READY)
        return more

    def _end(self, timeout: float) -> bool:
        """It was killed: read the rest. A child of it may hold the pipe open for ever."""
        more = self.capture.pump(timeout)
        if not self.capture.at_end and self.now() - self._since > _KILL_SECONDS:
            self.capture.abandon()
        if self.capture.at_end:
            self.capture.discard(killed=True)
            self._failed(self._cause, self._cause)
        return more

    def _wait(self, timeout: float) -> bool:
        left = self._due - self.now()
        if left > 0:
            time.sleep(min(timeout, left))
        else:
            self._begin()
        return False

    def _rest(self, _timeout: float) -> bool:
        return False

    def _ended(self) -> None:
        if self.capture.ended_well():
            self._close_gap()
            self.state = "over"
            return
        self._failed(_how(self.capture.process.wait(_KILL_SECONDS)), self.capture.failure())

    def _end_for_good(self, cause: str, quiet: float = 0.0) -> None:
        self._open_gap(quiet)
        self.capture.process.kill()
        self._cause, self._since, self.state = cause, self.now(), "ending"

    def _failed(self, cause: str, reason: str) -> None:
        """``cause``: in a word; ``reason``: with a mend."""
        now = self.now()
        if self._ready_at is not None and now - self._ready_at >= self.patience.healthy:
            self._failures = 0
        self._failures += 1
        self._has_died = True
        self._open_gap()
        self._cause = cause
        wait = self.patience.wait(self._failures, self.chance())
        if self._failures >= self.patience.failures:
            self._give_up(f"given up after {self._failures} failures in a row: {reason}")
        elif now + wait > self.deadline - self.patience.least:
            self.problems.append(f"{self.names}: bpftrace ended by itself: {reason}")
            self.state = "over"
        else:
            self._report(ENDED, f"bpftrace ended ({cause}); started again in {wait:.1f} s", {"ebpf.cause": cause})
            self._due, self.state = now + wait, "waiting"

    def _give_up(self, why: str) -> None:
        self._report(GIVEN_UP, why, {"ebpf.cause": self._cause}, severity="error")
        self.problems.append(f"{self.names}: {why}")
        self.state = "over"

    def _begin(self) -> None:
        """Start anew; what compiles is pumped until it is ready."""
        as_written = self.capture.pipeline.as_written
        self._first_start = self._first_start or self.captures[0].pipeline.start
        self._since, self._ready_at, self.state = self.now(), None, "starting"
        try:
            capture = self.crew.begin(self.signals, as_written=as_written)
        except HostError as error:
            self._failed("not started", str(error))
            return
        self._restarts += 1
        capture.pipeline.restarts = Restarts(self._restarts, self._first_start)
        self.capture = capture
        self.captures.append(capture)
        if len(self.captures) > _REMEMBERED:
            self._forget(self.captures.pop(0))

    def _forget(self, capture: Capture) -> None:
        lost = [*capture.problems, *losses(capture.pipeline)]
        for line in lost:
            self.crew.say(line)
        if lost:
            self.problems.append(f"{self.names}: bpftraces of before lost more, as was said")

    def _restarted(self) -> None:
        gap = self._close_gap()
        facts: dict[str, AttributeValue] = {"ebpf.cause": self._cause, "ebpf.gap.duration": gap}
        self._report(RESTARTED, f"bpftrace runs again, after {gap:.1f} s ({self._cause})", facts)
        self.capture.relax()
        self._go_on()

    def _go_on(self) -> None:
        self.state, self._ready_at = "running", self.now()
        reader = ProcessReader(self.capture.process.pid, [signal.name for signal in self.signals], own=False)
        self._pulse = Pulse(self.crew.interval, reader.cpu_seconds, self.now)  # sudo itself does nothing
        self._is_beating = not self.capture.pipeline.as_written and self.crew.marks_snapshots(self.signals)

    def _open_gap(self, ago: float = 0.0) -> None:
        if self._gap_since is None:
            self._gap_since = self.now() - ago

    def _close_gap(self) -> float:
        """The seconds in which nothing was seen; 0 if there is no gap."""
        gap = 0.0 if self._gap_since is None else min(self.now(), self.deadline) - self._gap_since
        self._gap_since = None
        self._gap += gap
        return gap

    def _report(
        self, event: str, what: str, facts: dict[str, AttributeValue], severity: Literal["warn", "error"] = "warn"
    ) -> None:
        """To a person, and to where the data goes."""
        self.crew.say(f"{self.names}: {what}")
        names = [signal.name for signal in self.signals]
        now = time.time_ns()
        attributes = {"ebpf.signals": names, "ebpf.restarts": self._restarts, **facts}
        self.crew.sink.log(OWN_SCOPE, LogRecord(now, now, event, severity, f"{self.names}: {what}", attributes))


_TURNS: dict[State, Callable[[Supervised, float], bool]] = {
    "running": Supervised._run,
    "starting": Supervised._start,
    "ending": Supervised._end,
    "waiting": Supervised._wait,
    "over": Supervised._rest,
}


def end(capture: Capture) -> str:
    """Bring a capture to its end; what went wrong, if anything did."""
    if capture.at_end:
        return "" if capture.ended_well() else f"bpftrace ended by itself: {capture.failure()}"
    if not capture.stop():
        return "bpftrace did not end when asked to and was killed: what it counted last is lost"
    pipeline = capture.pipeline
    if pipeline.ready and not pipeline.ended and not pipeline.as_written:
        return f"bpftrace ended without its last words: what it counted last is lost ({capture.failure()})"
    return ""


def _how(code: int) -> str:
    """How a process ended; a shell or sudo in between says 128 + N of one that was killed by signal N."""
    number = -code if code < 0 else code - 128
    return f"killed by signal {number}" if number > 0 else f"exit code {code}"
