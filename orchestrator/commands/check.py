"""``orchestrate check``: what this host has and lacks, and what to do about it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from orchestrator.bpftrace.binary import Version
    from orchestrator.checks import Check

__all__ = ("add_arguments", "run")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of ``check``."""
    parser.add_argument("signals", metavar="SIGNAL", nargs="*", help="only these signals (default: all)")
    parser.add_argument("--json", action="store_true", help="for machines")
    parser.add_argument("--bpftrace", metavar="PATH", help="the bpftrace to check (default: from PATH)")
    parser.add_argument("--otlp-endpoint", metavar="URL", help="is it reachable? (or OTEL_EXPORTER_OTLP_ENDPOINT)")
    parser.add_argument("--otlp-protocol", metavar="PROTOCOL", help="grpc, http/protobuf or http/json")


def run(arguments: argparse.Namespace) -> int:
    """Print all checks; the exit code is 3 if something keeps a signal from running, 1 if only the endpoint is away."""
    from orchestrator.catalog import load_signal, signal_names  # noqa: PLC0415
    from orchestrator.checks import host_checks  # noqa: PLC0415
    from orchestrator.feasibility import checks_of  # noqa: PLC0415
    from orchestrator.host import Host  # noqa: PLC0415

    host = Host()
    path, version, error = _bpftrace(arguments.bpftrace)
    checks = host_checks(host, path, version, error)
    wanted = arguments.signals or signal_names()
    signals = {name: checks_of(load_signal(name), host, version=version) for name in wanted}
    endpoints = _endpoints(arguments.otlp_endpoint, arguments.otlp_protocol)
    if arguments.json:
        import json  # noqa: PLC0415 - the help of all commands does without

        print(json.dumps(_as_json(checks + endpoints, signals), indent=2))
    else:
        _print(checks + endpoints, signals)
    if any(check.status == "fail" for group in (checks, *signals.values()) for check in group):
        return 3
    return 1 if any(check.status == "fail" for check in endpoints) else 0


def _bpftrace(given: str | None) -> tuple[str | None, Version | None, str]:
    """Where it is, which one, and why that is not known."""
    from orchestrator.bpftrace.binary import find_bpftrace, read_version  # noqa: PLC0415
    from orchestrator.errors import HostError  # noqa: PLC0415

    found = None
    try:
        found = find_bpftrace(given)
        return found, read_version(found), ""
    except HostError as error:
        return found, None, str(error)


def _endpoints(endpoint: str | None, protocol: str | None) -> list[Check]:
    from config.otlp import load_otlp_settings  # noqa: PLC0415
    from orchestrator.endpoint import endpoint_check  # noqa: PLC0415

    settings = load_otlp_settings(os.environ, endpoint, protocol)
    if settings is None:
        return []
    urls = dict.fromkeys(signal.target for signal in settings.signals.values())
    return [endpoint_check(url) for url in urls]


def _as_json(checks: list[Check], signals: dict[str, list[Check]]) -> dict[str, object]:
    def rows(items: list[Check]) -> list[dict[str, str]]:
        return [
            {"subject": check.subject, "status": check.status, "detail": check.detail, "mend": check.mend}
            for check in items
        ]

    return {
        "checks": rows(checks),
        "signals": {
            name: {"can_run": all(check.status != "fail" for check in items), "checks": rows(items)}
            for name, items in signals.items()
        },
    }


def _print(checks: list[Check], signals: dict[str, list[Check]]) -> None:
    for check in checks:
        _line(check)
    for name, items in signals.items():
        bad = [check for check in items if check.status != "ok"]
        verdict = "cannot run here" if any(check.status == "fail" for check in bad) else "can run here"
        print(f"\nsignal {name}: {verdict}")
        for check in bad:
            _line(check)


def _line(check: Check) -> None:
    print(f"{check.status:<8} {check.subject:<18} {check.detail}")
    if check.mend:
        print(f"{'':<8} {'':<18} -> {check.mend}")
