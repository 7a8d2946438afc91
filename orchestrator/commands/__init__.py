"""One module per command: its arguments, and what it does. Nothing heavy is imported before it is needed."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ("COMMANDS", "Command")


class Command(NamedTuple):
    """A subcommand: ``module`` has ``add_arguments(parser)`` and ``run(arguments) -> exit code``."""

    name: str
    help: str

    @property
    def module(self) -> str:
        """The module that does it."""
        return f"orchestrator.commands.{self.name}"


COMMANDS = (
    Command("run", "trace signals and deliver what they say as OTLP"),
    Command("replay", "turn what was recorded, or what bpftrace printed elsewhere, into the same telemetry"),
    Command("convert", "write the profiles of a capture for other tools: pprof, folded stacks, speedscope"),
    Command("flush", "send what waits on disk for its receiver"),
    Command("spool", "what waits on disk for its receiver, what receivers refused, and what was lost on the way"),
    Command("list", "the signals: what they trace, what they become, whether they can run here"),
    Command("show", "a signal: its program as it would be run, its parameters, what its maps and events become"),
    Command("check", "this host: what tracing needs, and how to mend what is missing"),
)
