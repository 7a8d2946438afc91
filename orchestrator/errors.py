"""Errors that end a command: each carries its exit code, and its message is all that a person gets to read."""

from __future__ import annotations

__all__ = ("HostError", "OrchestratorError", "OverlapError", "UsageError")


class OrchestratorError(Exception):
    """Something was lost or failed on the way (exit code 1)."""

    exit_code = 1


class UsageError(OrchestratorError):
    """The command line is wrong (exit code 2)."""

    exit_code = 2


class HostError(OrchestratorError):
    """This host cannot do what was asked: no bpftrace, no permission, no probe (exit code 3); says the mend."""

    exit_code = 3


class OverlapError(OrchestratorError):
    """Another run of the same job is at work, and this one was to be skipped then (exit code 75, EX_TEMPFAIL)."""

    exit_code = 75
