"""A bpftrace that gets its signals from a terminal of its own, because we may not send any, or soon shall not."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

from orchestrator.bpftrace.process import BpftraceProcess
from orchestrator.bpftrace.pseudo_terminal import PseudoTerminal
from orchestrator.errors import HostError
from orchestrator.limits import LIMITS, Limits
from orchestrator.user import go_back

__all__ = ("TerminalProcess",)


class TerminalProcess(BpftraceProcess):
    """As BpftraceProcess. When our process ends, however it does, the kernel hangs up, and it ends by SIGHUP."""

    def __init__(
        self, argv: Sequence[str], program: str, environment: Mapping[str, str], limits: Limits = LIMITS
    ) -> None:
        self._terminal = PseudoTerminal()
        try:
            super().__init__(argv, program, environment, limits)
        except HostError:
            self._terminal.close()
            raise

    def wait(self, timeout: float) -> int:
        """As BpftraceProcess does."""
        try:
            return super().wait(timeout)
        finally:
            self._terminal.close()

    # What the driver of a terminal does in place of each signal. A group that has no parent in its session does not
    # stop at ^Z, but its wait in the kernel has ended; one in a terminal of sudo's is continued by sudo.
    _DOES: ClassVar[dict[int, Callable[[PseudoTerminal], None]]] = {
        signal.SIGINT: PseudoTerminal.interrupt,
        signal.SIGWINCH: PseudoTerminal.resize,
        signal.SIGSTOP: PseudoTerminal.suspend,
        signal.SIGCONT: lambda _: None,
        signal.SIGKILL: PseudoTerminal.close,
    }

    def _signal(self, number: int) -> None:
        self._DOES[number](self._terminal)

    def _in_child(self) -> Callable[[], None]:
        def prepare() -> None:
            self._terminal.adopt()
            go_back()

        return prepare
