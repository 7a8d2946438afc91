"""What was loaded into the kernel, by whom, and how it ended: the audit trail, as log records."""

from __future__ import annotations

import contextlib
import hashlib
import os
import pwd
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from orchestrator.bpftrace import binary
from orchestrator.errors import HostError
from orchestrator.signals.model import AttributeValue, LogRecord, Scope
from orchestrator.telemetry import OWN_SCOPE
from parsers.source import probes_used

if TYPE_CHECKING:
    from config.parameters import Value
    from orchestrator.bpftrace.process import BpftraceProcess

__all__ = ("Audit", "Program", "caller")

_VERSION_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Program:
    """What one bpftrace was started with, and how many probes it said it had attached."""

    signals: Sequence[str]
    process: BpftraceProcess
    probes: int | None


class Audit:
    """Makes the records of one run and gives them to ``log``.

    ``values`` are the parameters of each signal. Make it where bpftrace was started already: its version is asked for
    meanwhile, which takes a while.
    """

    def __init__(
        self, log: Callable[[Scope, LogRecord], None], path: str, values: Mapping[str, Mapping[str, Value]]
    ) -> None:
        self._log, self._path, self._values = log, path, values
        self._caller = caller(os.environ)
        self._version = ""
        self._asks = threading.Thread(target=self._ask_version, daemon=True, name="version")
        self._asks.start()

    def loaded(self, program: Program) -> None:
        """All probes of a program are attached, or as many as could be."""
        text = program.process.program
        self._write(
            "ebpf.program.loaded",
            "info",
            f"{', '.join(program.signals)}: {program.probes or 0} probes attached",
            {**self._about(program), "ebpf.program.probes": probes_used(text)},
        )

    def ended(self, program: Program, code: int, reason: str, told: str = "") -> None:
        """A program that was loaded runs no more. ``reason``: ``stopped``, ``exited``, ``killed`` or ``died``."""
        severity = {"killed": "warn", "died": "error"}.get(reason, "info")
        self._write("ebpf.program.ended", severity, told or reason, self._end(program, code, reason))

    def failed(self, program: Program, code: int, why: str) -> None:
        """A program could not be started."""
        self._write("ebpf.program.failed", "error", why, self._end(program, code, "not_started"))

    def left_out(self, signal: str, why: str) -> None:
        """A signal was not tried, for what this host lacks."""
        attributes = {"ebpf.signals": [signal], "ebpf.program.parameters": self._parameters([signal])}
        self._write("ebpf.program.failed", "error", why, {**attributes, "ebpf.program.end.reason": "not_started"})

    def _end(self, program: Program, code: int, reason: str) -> dict[str, AttributeValue]:
        seconds = max(0, time.time_ns() - program.process.started) / 1e9
        return {
            **self._about(program),
            "process.exit.code": code,
            "ebpf.program.end.reason": reason,
            "ebpf.program.duration": seconds,
        }

    def _about(self, program: Program) -> dict[str, AttributeValue]:
        process = program.process
        return {
            "ebpf.program.sha256": hashlib.sha256(process.program.encode()).hexdigest(),
            "ebpf.signals": list(program.signals),
            "ebpf.program.parameters": self._parameters(program.signals),
            "ebpf.program.probes.attached": program.probes or 0,
            "process.pid": process.pid,
            "process.creation.time": _iso(process.started),
        }

    def _parameters(self, signals: Sequence[str]) -> list[str]:
        return [f"{signal}.{name}={value}" for signal in signals for name, value in self._values[signal].items()]

    def _write(self, event: str, severity: str, body: str, attributes: Mapping[str, AttributeValue]) -> None:
        now = time.time_ns()
        self._asks.join(_VERSION_SECONDS)
        bpftrace_of_run = {"process.executable.path": self._path, "ebpf.bpftrace.version": self._version or "unknown"}
        self._log(
            OWN_SCOPE, LogRecord(now, now, event, severity, body, {**attributes, **bpftrace_of_run, **self._caller})
        )

    def _ask_version(self) -> None:
        with contextlib.suppress(HostError):
            self._version = str(binary.read_version(self._path) or "")


def caller(environment: Mapping[str, str]) -> dict[str, AttributeValue]:
    """Who runs us: the user id, its name, and who became that user by sudo."""
    found: dict[str, AttributeValue] = {"user.id": str(os.getuid())}
    with contextlib.suppress(KeyError):
        found["user.name"] = pwd.getpwuid(os.getuid()).pw_name
    if environment.get("SUDO_USER"):
        found["ebpf.sudo.user.name"] = environment["SUDO_USER"]
    return found


def _iso(time_unix_nano: int) -> str:
    """As the conventions have it: ``2023-11-21T09:25:34.853Z``."""
    moment = datetime.fromtimestamp(time_unix_nano / 1e9, timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
