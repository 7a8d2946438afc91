"""The command line: ``orchestrate COMMAND``. Errors become one line on stderr and an exit code, never a traceback."""

from __future__ import annotations

import argparse
import os
import signal
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
wrong; 3 this host cannot run it; 75 skipped, as the same job runs already (--on-overlap skip)"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="orchestrate",
        description="Runs bpftrace programs and turns what they print into OTLP metrics, logs, traces and profiles.",
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
    _open_standard_streams()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        parsed = _parser().parse_args(arguments)
        code: int = import_module(f"orchestrator.commands.{parsed.command}").run(parsed)
        sys.stdout.flush()
    except (ConfigError, OrchestratorError) as error:
        return _fail(str(error), error.exit_code)
    except BrokenPipeError:  # `orchestrate list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        return _fail(str(error), 1)
    except KeyboardInterrupt:  # before there was anything to end: an ordinary end
        return 0
    return code


def _fail(message: str, code: int) -> int:
    print(f"orchestrate: {printable(message)}", file=sys.stderr)  # noqa: T201
    return code


def _open_standard_streams() -> None:
    """Give back what was closed (`>&-`): the next file to be opened would take its place, and be written to."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            descriptor = os.open(os.devnull, os.O_RDWR)
            if descriptor != number:
                os.dup2(descriptor, number)
                os.close(descriptor)
            setattr(sys, name, os.fdopen(number, "r" if number == 0 else "w", closefd=False))


if __name__ == "__main__":
    sys.exit(main())
