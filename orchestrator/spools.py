"""The spools of this host: a folder for each destination, which says where it is to be sent."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path

import msgspec

from config.errors import ConfigError
from config.otlp import OtlpSettings, load_otlp_settings
from orchestrator.delivery.spool import Spool, SpoolLimits, write_file
from orchestrator.errors import HostError

__all__ = ("About", "folder_of", "make_folder", "open_spool", "read_about", "settings_for", "spool_folders")

_ABOUT = "about.json"


class About(msgspec.Struct, frozen=True):
    """Where a folder's requests are to go: a URL for each signal, without what may be secret in it."""

    protocol: str
    urls: dict[str, str]

    @classmethod
    def of(cls, settings: OtlpSettings) -> About:
        """What is written down of settings; headers and certificates are the environment's."""
        return cls(settings.protocol, {signal: endpoint.shown for signal, endpoint in settings.signals.items()})

    @property
    def shown(self) -> str:
        """For a person: the URLs as one, where they differ in the signal only."""
        return ", ".join(dict.fromkeys(re.sub(r"/v1(development)?/\w+$", "", url) for url in self.urls.values()))


def folder_of(directory: Path, settings: OtlpSettings) -> Path:
    """``<directory>/collector.example_4318-5c0ffee1``: a name for people, and one for what is sent where and how."""
    where: list[object] = [About.of(settings)]
    queries = [endpoint.url for endpoint in settings.signals.values() if endpoint.url != endpoint.shown]
    if queries:  # another tenant, or token: not to be mixed up
        where.append(queries)
    key = hashlib.sha256(b"".join(msgspec.json.encode(part, order="sorted") for part in where)).hexdigest()[:8]
    host = re.sub(r"[^A-Za-z0-9.-]+", "_", next(iter(settings.signals.values())).target.rpartition("//")[2]).strip("_")
    return directory / f"{host[:80]}-{key}"


def make_folder(directory: Path, settings: OtlpSettings) -> Path:
    """The folder of a destination, made where it is missing. Raises OSError."""
    folder = folder_of(directory, settings)
    if not (folder / _ABOUT).exists() or read_about(folder) is None:
        write_file(folder, _ABOUT, [msgspec.json.encode(About.of(settings)), b"\n"])
    return folder


def open_spool(directory: Path, limits: SpoolLimits, settings: OtlpSettings, run: str) -> Spool:
    """The spool of a destination for one run. Raises OSError."""
    return Spool(make_folder(directory, settings), run, limits)


def spool_folders(directory: Path) -> list[tuple[Path, About]]:
    """The folders of all destinations that there ever were. Raises HostError if that is not for us to see."""
    if directory.exists() and not os.access(directory, os.R_OK | os.X_OK):
        raise HostError(f"{directory}: only its owner can read it: run this as that user")
    found = []
    for path in sorted(directory.glob("*/" + _ABOUT)):
        with contextlib.suppress(OSError):
            if (about := read_about(path.parent)) is not None:
                found.append((path.parent, about))
    return found


def read_about(folder: Path) -> About | None:
    """What a folder says of itself; None if it makes no sense. Raises OSError."""
    try:
        return msgspec.json.decode((folder / _ABOUT).read_bytes(), type=About)
    except msgspec.MsgspecError:
        return None


def settings_for(about: About, environ: Mapping[str, str]) -> OtlpSettings:
    """How to send a folder where it was to go, with the headers and certificates of the environment."""
    endpoints = {f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT": url for signal, url in about.urls.items()}
    settings = load_otlp_settings({**environ, **endpoints}, None, about.protocol)
    if settings is None:
        raise ConfigError("the spool names no endpoint: give --otlp-endpoint")
    return settings
