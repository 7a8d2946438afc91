"""Holds a run to its ``resource_limits``: reads what it takes, asks the policy, does what that says, and tells."""

from __future__ import annotations

import math
import os
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Protocol

from orchestrator.pipeline import OWN_SCOPE
from orchestrator.signals.model import LogRecord, Metric, Scope
from orchestrator.signals.sampling import Sampler
from orchestrator.supervision.bpf import count_run_time
from orchestrator.supervision.policy import Decision, Policy, Reading, costliest
from orchestrator.supervision.usage import (
    BpftraceUsage,
    ProcessReader,
    overhead_metrics,
    own_cpu_seconds,
    own_memory,
    usage_metrics,
)

if TYPE_CHECKING:
    from config.settings import ResourceLimits
    from orchestrator.supervision.capture import Capture

__all__ = ("LIMIT_REACHED", "LIMIT_RESTORED", "Governor")

# The events of our own scope.
LIMIT_REACHED, LIMIT_RESTORED = "ebpf.limit.reached", "ebpf.limit.restored"
# Where nothing can be above a limit, it is read for the metrics only.
_READ_SECONDS, _UNLIMITED_SECONDS = 2.0, 10.0
_MEASURED = {"max_cpu_percent": "tracing takes {:.2f} % of all CPUs", "max_memory_mb": "tracing takes {:,.0f} MB"}


class _Outlet(Protocol):
    """Where it is told of."""

    def log(self, scope: Scope, record: LogRecord) -> None: ...

    def say(self, message: str) -> None: ...


class _Watched:
    """A capture, and what its bpftrace took when it was read last."""

    def __init__(self, capture: Capture) -> None:
        self.capture = capture
        self.signals = [signal.name for signal in capture.signals]
        self._reader = ProcessReader(capture.process.pid, self.signals, own=len(self.signals) == 1)
        self.usage: BpftraceUsage | None = None

    @property
    def is_live(self) -> bool:
        """Whether it works; compiling is not judged."""
        return self.capture.pipeline.ready and not self.capture.at_end

    def read(self) -> tuple[float, dict[str, int]]:
        """CPU seconds since the last reading, and nanoseconds by signal since the programs were loaded."""
        now = self._reader.read()
        before = now if self.usage is None else self.usage
        if now.memory:  # it is still there
            self.usage = now
        spent = now.cpu_seconds + now.kernel_seconds - before.cpu_seconds - before.kernel_seconds
        times = Counter[str]()
        for program in now.programs:
            times[program.signal] += program.nanoseconds
        return max(0.0, spent), times


class Governor:
    """``drop_signal`` ends a signal, ``end`` the run.

    Every capture of the run is to be adopted, and ``tick`` to be called often. If there is a limit on CPU, the kernel
    counts the run time of BPF programs until ``close``: of all that there are, which costs each run of them some 75 ns.
    """

    def __init__(
        self,
        limits: ResourceLimits,
        outlet: _Outlet,
        drop_signal: Callable[[str], None],
        end: Callable[[], None],
    ) -> None:
        self.sampler = Sampler(limits.max_events_per_sec)
        self.problems: list[str] = []
        self.told: list[str] = []
        self._policy = Policy(limits.max_cpu_percent, limits.max_memory_mb, limits.at_limit, os.cpu_count() or 1)
        self._outlet = outlet
        self._drop_signal = drop_signal
        self._end = end
        self._watched: list[_Watched] = []
        self._times: dict[str, int] = {}
        self._costs_before: tuple[dict[str, int], dict[str, int]] = {}, {}
        self._spent = 0.0
        self._memory = 0, 0
        self._read_at = self._judged_at = -math.inf
        self._least = 1.0
        self._is_limited = bool(limits.max_cpu_percent or limits.max_memory_mb)
        self._statistics = count_run_time() if limits.max_cpu_percent else None

    def adopt(self, capture: Capture) -> Capture:
        """Thin its events and read its process, from before anything of it is read."""
        watched = _Watched(capture)
        self._watched.append(watched)
        capture.pipeline.limit(self.sampler)
        capture.pipeline.more_metrics = partial(self._metrics, watched)
        return capture

    def tick(self) -> None:
        """Read and judge, if it is time, however lately something was read for our own metrics."""
        if time.monotonic() - self._judged_at < (_READ_SECONDS if self._is_limited else _UNLIMITED_SECONDS):
            return
        self.read()
        self._judged_at = self._read_at
        decision = self._policy.see(Reading(self._read_at, self._spent + own_cpu_seconds(), sum(self._memory)))
        if decision is not None:
            _ACTIONS[decision.action](self, decision)
            self._costs_before = self._costs()

    def read(self) -> None:
        """Read what all captures take, now."""
        self._read_at = time.monotonic()
        self._watched = [watched for watched in self._watched if not watched.capture.at_end]
        for watched in self._live:
            spent, times = watched.read()
            self._spent += spent
            self._times.update(times)
        self._memory = sum(one.usage.memory for one in self._live if one.usage is not None), own_memory()

    def close(self) -> None:
        """Read for the last time, and let the kernel count no more."""
        self.read()
        self._read_at = math.inf
        if self._statistics is not None:
            os.close(self._statistics)
            self._statistics = None

    @property
    def why_thinned(self) -> str:
        """What events were left out by, if any were."""
        return f"max_events_per_sec {self.sampler.limit}" if self._least == 1 else "resource_limits"

    @property
    def _live(self) -> list[_Watched]:
        return [watched for watched in self._watched if watched.is_live]

    def _costs(self) -> tuple[dict[str, int], dict[str, int]]:
        """Run time and events of each signal until now."""
        counts = [item for watched in self._live for item in watched.capture.pipeline.counts.items()]
        return dict(self._times), {name: count.received for name, count in counts}

    def _metrics(self, watched: _Watched, start: int, now: int) -> list[Metric]:
        """Of one pipeline; what is of all of them goes with the first."""
        if time.monotonic() - self._read_at >= _READ_SECONDS:
            self.read()
        made = usage_metrics(watched.usage or BpftraceUsage(), start, now)
        if self._watched and watched is self._watched[0]:
            made += overhead_metrics(self._policy.percent, *self._memory, start, now)
        return made

    def _sample(self, decision: Decision) -> None:
        self.sampler.scale(decision.factor)
        self._least = min(self._least, decision.factor)
        self.told = [f"resource_limits: events were thinned down to 1/{1 / self._least:.0f} of their rate"]
        self._tell(decision, f"events are thinned to {self._rate(decision.factor)}")

    def _restore(self, decision: Decision) -> None:
        self.sampler.scale(decision.factor)
        what = "all events" if decision.factor >= 1 else f"events up to {self._rate(decision.factor)}"
        self._tell(decision, f"{what} are let through again")

    def _rate(self, factor: float) -> str:
        """What events are thinned to; nothing has come yet where no number is known."""
        rate, is_known = self.sampler.rate, self.sampler.rate < (self.sampler.limit or math.inf)
        return f"{rate:,.0f} a second" if is_known else f"1/{1 / factor:.0f} of their rate"

    def _stop_costliest(self, decision: Decision) -> None:
        times, events = self._costs()
        times_before, events_before = self._costs_before
        name = costliest(
            {signal: time - times_before.get(signal, 0) for signal, time in times.items()},
            {signal: count - events_before.get(signal, 0) for signal, count in events.items()},
        )
        if name is not None:
            self.problems.append(self._tell(decision, f"{name}, which costs most, is stopped"))
            self._drop_signal(name)

    def _stop(self, decision: Decision) -> None:
        self.problems.append(self._tell(decision, "the run is ended"))
        self._end()

    def _tell(self, decision: Decision, what: str) -> str:
        """A person at once, and the receiver."""
        measured = _MEASURED[decision.limit].format(decision.measured)
        message = f"{measured} ({decision.limit} {decision.allowed:g}): {what}"
        restored = decision.action == "restore"
        now = time.time_ns()
        attributes = {
            "ebpf.limit.name": decision.limit,
            "ebpf.limit.value": decision.allowed,
            "ebpf.limit.measured": decision.measured,
            "ebpf.limit.action": decision.action,
        }
        event, severity = (LIMIT_RESTORED, "info") if restored else (LIMIT_REACHED, "warn")
        self._outlet.log(OWN_SCOPE, LogRecord(now, now, event, severity, message, attributes))
        self._outlet.say(message)
        return message


_ACTIONS: dict[str, Callable[[Governor, Decision], None]] = {
    "sample": Governor._sample,
    "restore": Governor._restore,
    "stop_costliest": Governor._stop_costliest,
    "stop": Governor._stop,
}
