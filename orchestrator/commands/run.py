"""``orchestrate run``: from signals to delivered telemetry."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from orchestrator.options import Options

__all__ = ("add_arguments", "run")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of ``run``; they are a contract."""
    parser.add_argument(
        "targets",
        metavar="TARGET[,TARGET...]",
        nargs="?",
        help="signals (`orchestrate list`) or paths of .bt files; default: `targets` of the config",
    )
    parser.add_argument(
        "--duration",
        metavar="TIME",
        help="how long, from when all probes are attached: 500ms, 30s, 5m; default: until Ctrl-C or SIGTERM",
    )
    parser.add_argument("--interval", metavar="TIME", help="how often metrics are read (default 10s)")
    parser.add_argument("--config", metavar="FILE", help="a YAML file with defaults (README)")
    parser.add_argument(
        "--set",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="a parameter of a signal; SIGNAL.NAME=VALUE where two share it",
    )
    parser.add_argument("--pid", metavar="N", help="only this process, filtered in the kernel")
    parser.add_argument("--comm", metavar="NAME", help="only processes of this command name, filtered in the kernel")
    parser.add_argument("--output", metavar="FILE|-", help="write OTLP JSON lines; - is standard output")
    parser.add_argument("--otlp-endpoint", metavar="URL", help="send OTLP there (or OTEL_EXPORTER_OTLP_ENDPOINT)")
    parser.add_argument("--otlp-protocol", metavar="PROTOCOL", help="grpc, http/protobuf or http/json")
    parser.add_argument("--record", metavar="FILE", help="keep bpftrace's own output as well")
    parser.add_argument(
        "--on-overlap",
        choices=("wait", "skip", "run"),
        help="what to do while another run of this job (targets, config, parameters) that has the flag too is at work: "
        "wait for its end, skip this one (exit code 75), or run beside it, seen by none (default)",
    )
    parser.add_argument("--bpftrace", metavar="PATH", help="the bpftrace to run (default: from PATH)")
    parser.add_argument(
        "--unsafe", action="store_true", help="let programs of your own change the system (bpftrace's --unsafe)"
    )
    parser.add_argument("--sudo", action="store_true", help="run bpftrace, and nothing else, as root by sudo")
    parser.add_argument("--user", metavar="NAME", help="as root: become this user once bpftrace has started")
    parser.add_argument("--quiet", action="store_true", help="say only what goes wrong: cron mails all that is said")
    parser.add_argument("--summary", action="store_true", help="print the summary also when stderr is no terminal")


def run(arguments: argparse.Namespace) -> int:
    """Trace until the time is over or a signal comes; return the exit code."""
    from orchestrator.options import Options  # noqa: PLC0415 - everything else hangs on these

    options = Options.of(arguments)
    if options.on_overlap == "run":
        return _run(arguments, options)
    from orchestrator.overlap import guard, job_of  # noqa: PLC0415

    with guard(options.on_overlap, job_of(options, arguments.config)):
        return _run(arguments, options)


def _run(arguments: argparse.Namespace, options: Options) -> int:
    from orchestrator.run import run_capture  # noqa: PLC0415
    from orchestrator.stop import Stop  # noqa: PLC0415

    if not arguments.config:
        return run_capture(options, Stop())
    from orchestrator.options import Options  # noqa: PLC0415
    from orchestrator.reload import run_with_reload  # noqa: PLC0415

    return run_with_reload(options, lambda: Options.of(arguments), run_capture)
