"""The command line: ``orchestrate COMMAND``. Errors become one line on stderr and an exit code, never a traceback."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from config.errors import ConfigError
from orchestrator import __version__
from orchestrator.commands import COMMANDS
from orchestrator.errors import OrchestratorError
from orchestrator.text import printable

__all__ = ("main",)

_EXIT_CODES = """\
exit codes: 0 all went well; 1 something was lost, or one of several signals failed; 2 the command or a file is
wrong; 3 this host cannot run it"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="orchestrate",
        description="Runs bpftrace programs and turns what they print into OpenTelemetry metrics and logs.",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for command in COMMANDS:
        subparser = commands.add_parser(
            command.name,
            help=command.help,
            description=command.help[0].upper() + command.help[1:] + ".",
            epilog=_EXIT_CODES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        import_module(command.module).add_arguments(subparser)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    parsed = _parser().parse_args(arguments)
    try:
        code: int = import_module(f"orchestrator.commands.{parsed.command}").run(parsed)
        sys.stdout.flush()
    except (ConfigError, OrchestratorError) as error:
        print(f"orchestrate: {printable(str(error))}", file=sys.stderr)  # noqa: T201
        return error.exit_code
    except BrokenPipeError:  # `orchestrate list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130
    return code


if __name__ == "__main__":
    sys.exit(main())
