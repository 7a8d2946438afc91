"""SIGHUP where a service is told to read its configuration again: one run ends, the next begins in the same process."""

from __future__ import annotations

import contextlib
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from config.errors import ConfigError
from orchestrator.errors import OrchestratorError, UsageError
from orchestrator.notify import notify
from orchestrator.options import Options
from orchestrator.stop import Stop
from orchestrator.terminal import Terminal

__all__ = ("Reloader", "run_with_reload")

_LEAST_SECONDS = 0.1  # as of --duration


class Reloader:
    """Takes SIGHUP, and has the options of the next run. ``read`` raises ConfigError and OrchestratorError."""

    def __init__(self, read: Callable[[], Options]) -> None:
        self._read = read
        self._is_asked = False
        self._began: float | None = None

    def ask(self, *_: object) -> None:
        """A signal handler: nothing in it may wait."""
        self._is_asked = True

    @contextlib.contextmanager
    def on_signal(self) -> Iterator[None]:
        """Listen to SIGHUP, between two runs as well."""
        before = signal.signal(signal.SIGHUP, self.ask)
        try:
            yield
        finally:
            signal.signal(signal.SIGHUP, before)

    def look(self) -> Options | None:
        """The new options, if they were asked for and are right; if not, what is wrong with them is said."""
        if not self._is_asked:
            return None
        self._is_asked = False
        notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")  # sd_notify(3)
        try:
            return self._read()
        except (ConfigError, OrchestratorError) as error:
            Terminal().say(f"orchestrate: nothing was reloaded: {error}")
            notify("READY=1")
            return None

    def run(self, options: Options, do: Callable[[Options, Stop], int]) -> int:
        """One run after the other; the worst of their exit codes."""
        code, following = 0, options
        while True:
            stop = _ReloadingStop(self)
            code = max(code, do(following, stop))
            self._began = self._began or stop.began
            if stop.following is None or stop.insisted():  # which was no SIGHUP any more
                return code
            following = self._continued(stop.following, following)
            if following.duration is not None and following.duration < _LEAST_SECONDS:
                return code

    def _continued(self, options: Options, before: Options) -> Options:
        """With what is left of the duration; files of ``before`` are gone on with."""
        left = options.duration
        if left is not None and self._began is not None:
            left -= time.monotonic() - self._began
        begun = before.wishes.begun.union(filter(None, (before.wishes.output, before.record)))
        return replace(options, duration=left, wishes=replace(options.wishes, begun=begun))


class _ReloadingStop(Stop):
    """Also ends a run for which there are new options."""

    def __init__(self, reloader: Reloader) -> None:
        super().__init__()
        self._reloader = reloader
        self.following: Options | None = None

    def __call__(self) -> bool:
        if not super().__call__():
            self.following = self._reloader.look()
            self.goes_on = self.following is not None
            if self.goes_on:
                self.request()
        return super().__call__()

    def _numbers(self) -> list[signal.Signals]:
        return [signal.SIGINT, signal.SIGTERM]


def run_with_reload(options: Options, read: Callable[[], Options], do: Callable[[Options, Stop], int]) -> int:
    """Do runs until one of them ends for another reason than SIGHUP.

    On a terminal, which a person may have closed, and under nohup SIGHUP means what it always does.
    """
    is_on_terminal = sys.stdin.isatty() or sys.stderr.isatty()
    if is_on_terminal or signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        return do(options, Stop())

    def read_as_root() -> Options:
        if options.user is not None:
            raise UsageError(f"{options.user.pw_name} cannot start bpftrace again: restart orchestrate")
        following = read()
        if following.user is not None:  # our files are root's already
            raise UsageError(f"to become {following.user.pw_name}, restart orchestrate")
        return following

    reloader = Reloader(read_as_root)
    with reloader.on_signal():
        return reloader.run(options, do)
