"""The bpftraces of one run: pumped in turn, each kept at work, ended together."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.supervision.capture import Capture
from orchestrator.supervision.supervised import Crew, Supervised

__all__ = ("Supervisor",)

_PUMP_SECONDS = 1.0
_TURN_SECONDS = 0.05


class Supervisor:
    """Pump it until the time is over or nothing runs any more, then finish it."""

    def __init__(self, captures: Sequence[Capture], crew: Crew) -> None:
        self._all = [Supervised(capture, crew) for capture in captures]

    def end_at(self, deadline: float) -> None:
        """When the run ends, by time.monotonic(): shortly before it nothing is started again."""
        for one in self._all:
            one.deadline = deadline

    @property
    def captures(self) -> list[Capture]:
        """All there were, those that were replaced too."""
        return [capture for one in self._all for capture in one.captures]

    @property
    def problems(self) -> list[str]:
        """What was lost or went wrong, a sentence each."""
        return [problem for one in self._all for problem in one.problems]

    @property
    def is_over(self) -> bool:
        """Whether nothing runs, and nothing will."""
        return all(one.is_over for one in self._all)

    def pump(self, left: float) -> None:
        """Pass on what has come; wait a moment if nothing has, for at most ``left`` seconds."""
        running = [one for one in self._all if not one.is_over]
        progress = [one.pump(0) for one in running[1:]]
        most = 0.0 if any(progress) else _TURN_SECONDS if progress else _PUMP_SECONDS
        for one in running[:1]:
            one.pump(max(0.0, min(most, left)))

    def wake(self) -> None:
        """End the wait of ``pump``; a signal handler may call it."""
        for one in self._all:
            one.capture.process.output.wake()

    def drop_signal(self, name: str) -> None:
        """Go on without a signal; those that shared a bpftrace with it get a new one."""
        for one in self._all:
            one.without(name)

    def finish(self) -> None:
        """Bring all to their ends, and read their last words."""
        for one in self._all:
            one.finish()
