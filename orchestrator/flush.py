"""Sends what waits on disk, destination by destination."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from config.otlp import OtlpSettings, by_target, load_otlp_settings
from config.settings import load_run_settings
from orchestrator.delivery.sender import Sender
from orchestrator.delivery.spool import Spool, SpoolLimits
from orchestrator.delivery.transports import open_transport
from orchestrator.errors import UsageError
from orchestrator.options import otlp_destinations, spool_wish
from orchestrator.report import undelivered
from orchestrator.spools import About, folder_of, settings_for, spool_folders
from orchestrator.stop import Stop
from orchestrator.terminal import Terminal
from orchestrator.trust import read_trusted

if TYPE_CHECKING:
    import argparse

__all__ = ("flush",)

# A receiver that takes nothing for so long is away.
_PATIENCE_SECONDS = 15.0
_POLL_SECONDS = 0.1
# No run has this name: nothing in a spool is of our own.
_NO_RUN = "flush"


def flush(arguments: argparse.Namespace) -> int:
    """Send all; 0 if nothing is left or lost, else 1. Raises ConfigError, UsageError and HostError."""
    if arguments.otlp_protocol and not arguments.otlp_endpoint:
        raise UsageError("--otlp-protocol goes with --otlp-endpoint; without both each request goes where it was to go")
    settings = load_run_settings(arguments.config, read_trusted)
    wish = spool_wish(settings, arguments.config)
    one_for_all = (
        load_otlp_settings(os.environ, arguments.otlp_endpoint, arguments.otlp_protocol)
        if arguments.otlp_endpoint
        else None
    )
    configured = otlp_destinations(settings, settings.otlp_endpoint, settings.otlp_protocol)
    known = [part for one in configured for part in by_target(one)]
    flushing = _Flush(wish.limits, refused=arguments.refused)
    folders = spool_folders(wish.directory)
    with flushing.stop.on_signals():
        left = [flushing.send(folder, one_for_all or _settings(folder, about, known)) for folder, about in folders]
    if not flushing.has_sent:
        flushing.say(f"nothing waits in {wish.directory}")
    return 1 if any(left) else 0


def _settings(folder: Path, about: About, known: list[OtlpSettings]) -> OtlpSettings:
    """Those of the configuration that mean this folder, with all that the folder does not write down."""
    for one in known:
        if folder_of(folder.parent, one) == folder:
            return one
    return settings_for(about, os.environ)


class _Flush:
    """Sends folders, and says what became of them. ``refused``: what receivers did not take is tried again."""

    def __init__(self, limits: SpoolLimits, *, refused: bool) -> None:
        self.stop, self.has_sent = Stop(), False
        self._terminal, self._limits, self._refused = Terminal(), limits, refused

    def say(self, message: str) -> None:
        """Tell a person."""
        self._terminal.say(f"orchestrate: {message}")

    def send(self, folder: Path, settings: OtlpSettings) -> int:
        """Send the requests of a destination; returns how many are left, and all that was refused or lost now."""
        spool = Spool(folder, _NO_RUN, self._limits)
        transport = open_transport(settings)
        # From here on it counts what is too old.
        sender = Sender(lambda: transport, spool, self.say, name=transport.endpoint, everyones=True)
        if self._refused:
            spool.restore()
        if not (waiting := len(spool.waiting())):
            self._hint(spool, transport.endpoint)
            return self._tell_losses(sender)
        self.has_sent = True
        if not spool.lock():
            self.say(f"{transport.endpoint}: another process is sending what waits for it")
            return waiting + self._tell_losses(sender)
        sender.start()
        _wait(sender, self.stop)
        sender.finish(0.0)
        lost = self._tell_losses(sender)
        if not sender.counts.refused:
            self._hint(spool, transport.endpoint)
        left = len(spool.waiting())
        self.say(f"{transport.endpoint}: {sender.counts.sent:,} delivered; {left:,} requests still wait")
        return left + lost

    def _hint(self, spool: Spool, endpoint: str) -> None:
        refused = sum(entry.is_refused for entry in spool.entries())
        if refused and not self._refused:
            self.say(f"{endpoint}: {refused:,} refused requests are kept: `orchestrate flush --refused` sends them")

    def _tell_losses(self, sender: Sender) -> int:
        """Say what did not arrive; how many kinds of loss there are."""
        losses = undelivered(sender)
        for loss in losses:
            self.say(loss)
        return len(losses)


def _wait(sender: Sender, stop: Stop) -> None:
    """Until all is sent, nothing is taken for too long, or somebody wants it to end."""
    attempts, since = -1, time.monotonic()
    while not sender.is_idle and not stop():
        taken = sender.counts.attempts - sender.counts.failures
        if taken != attempts:
            attempts, since = taken, time.monotonic()
        elif time.monotonic() - since > _PATIENCE_SECONDS:
            return
        time.sleep(_POLL_SECONDS)
