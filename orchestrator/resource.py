"""What all data of a run share: the attributes of its Resource."""

from __future__ import annotations

import os
import platform
import uuid
from pathlib import Path

from opentelemetry.sdk.resources import OTELResourceDetector

from orchestrator import __version__
from orchestrator.signals.model import AttributeValue

__all__ = ("resource_attributes",)

_NAMESPACE = uuid.UUID("6ad70b34-52d5-4c5a-8a5b-3b1c3f0b6f1e")


def resource_attributes(run_id: str, root: Path = Path("/")) -> dict[str, AttributeValue]:
    """Host, operating system, service and run; ``OTEL_RESOURCE_ATTRIBUTES`` and ``OTEL_SERVICE_NAME`` override them.

    ``service.instance.id`` is the host's, so that a new run continues the series of the last one, as far as the run
    id lets a backend.
    """
    name = os.uname()
    host_id = _read(root / "etc/machine-id")
    attributes: dict[str, AttributeValue] = {
        "service.name": "bpftrace-orchestrator",
        "service.version": __version__,
        "service.instance.id": str(uuid.uuid5(_NAMESPACE, host_id or name.nodename)),
        "host.name": name.nodename,
        "host.arch": {"x86_64": "amd64", "aarch64": "arm64"}.get(name.machine, name.machine),
        "os.type": "linux",
        "os.version": name.release,
        "ebpf.enabled": True,
        "ebpf.run.id": run_id,
        "collection.method": "ebpf",
    }
    if host_id:
        attributes["host.id"] = host_id
    description = platform.freedesktop_os_release().get("PRETTY_NAME") if Path("/etc/os-release").exists() else None
    if description:
        attributes["os.description"] = description
    given = OTELResourceDetector().detect().attributes
    attributes.update({key: value for key, value in given.items() if isinstance(value, (str, int, float, bool))})
    return attributes


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
