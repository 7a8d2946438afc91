"""One round: a load, a run of ours with a receiver, what goes wrong as planned, and the account."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.unlimited import unlimited
from tests.tools.chaos import evidence
from tests.tools.chaos.account import Account, make_account
from tests.tools.chaos.plan import AWAY, FULL_DISK, FULL_EARLY, SMALL_SPOOL, Plan
from tests.tools.chaos.processes import Away, Command, choose_directory, start_load

__all__ = ("Round", "play")

_HERE = Path(__file__).parent
_DISK = "1m"
_END_SECONDS = 120.0
# What fills a megabyte in seconds.
_FULL_RATE = 3
_FLUSHES = 8
_SENDING_SECONDS = (0.5, 3.0)
# A receiver that reads slowly may still have a request of a run that was killed.
_SLOWEST_SECONDS = 1.0
# What orchestrate says of each bpftrace in log records of its own: that it was loaded and ended (the audit trail), and
# of one that dies that it ended and that another was started (orchestrator/supervision/supervised.py).
_OWN_RECORDS = 4
_WRAPPER = '#!/bin/sh\nexec "{python}" -ISE "{program}" "{bpftrace}" "{folder}" "$@"\n'


@dataclass(frozen=True, slots=True)
class Round:
    """A plan, what came of it, and how long it took in seconds."""

    plan: Plan
    account: Account
    seconds: float


class _Stage:
    """The folder and the processes of a round."""

    def __init__(self, plan: Plan, folder: Path, bpftrace: str, rate: int) -> None:
        self._plan, self._rate = plan, rate
        self._folder, self._state = folder, folder / "state"
        self._copies = folder / "copies"
        for path in (self._state, self._copies):
            path.mkdir(parents=True)
        self._receiver = Away(folder / "receiver")
        wrapper = folder / "bpftrace"
        real = shutil.which(bpftrace) or bpftrace
        values = {"python": sys.executable, "program": _HERE / "passthrough.py", "folder": self._copies}
        wrapper.write_text(_WRAPPER.format(bpftrace=real, **values))
        wrapper.chmod(0o755)
        self._directory = choose_directory()
        self._config = unlimited(folder)
        if SMALL_SPOOL in plan.faults:
            self._config.write_text(f"{self._config.read_text()}spool: {{max_mb: 1}}\n")
            self._rate *= _FULL_RATE
        self._said: list[str] = []
        self._faults: list[str] = []
        self._kills = 0

    def play(self) -> Account:
        """Do it all."""
        with _small_disk(self._state) if self._is_full else contextlib.nullcontext():
            try:
                self._receiver.start()
                if FULL_EARLY in self._plan.faults:  # but not so early that there was never a run
                    self._end("the run before", self._next_run())
                    self._fill()
                run = self._capture()
                self._mend(run)
                return self._weigh(run)
            finally:
                self._receiver.kill()

    def _capture(self) -> Command:
        arguments = [*self._program, "--interval", "1s"]
        if self._plan.small:
            arguments += ["--output", "out.jsonl"]
        run = Command.ready(self._folder, "run", *self._receiving, *arguments, environment=self._environment)
        name = f"{random.getrandbits(32):08x}"
        try:
            with start_load(name, self._rate, self._plan.seconds, self._directory) as load:
                self._act(run)
                load.wait(_END_SECONDS)
            if self._plan.freed:
                self._free()
            self._end("run", run, signal.SIGTERM)
        finally:
            run.kill()
        return run

    @property
    def _is_full(self) -> bool:
        return bool({FULL_DISK, FULL_EARLY}.intersection(self._plan.faults))

    @property
    def _program(self) -> list[str]:
        directory = f"directory={self._directory}"
        return [str(_HERE / "sequence.bt"), "--set", directory, "--bpftrace", str(self._folder / "bpftrace")]

    @property
    def _receiving(self) -> list[str]:
        return [
            "--config",
            str(self._config),
            "--otlp-endpoint",
            self._receiver.url,
            "--otlp-protocol",
            "http/protobuf",
        ]

    @property
    def _environment(self) -> dict[str, str]:
        return {"STATE_DIRECTORY": str(self._state)}

    def _act(self, run: Command) -> None:
        began = time.monotonic()
        for act in self._plan.acts:
            time.sleep(max(0.0, began + act.at - time.monotonic()))
            self._do(act.what, run)

    def _do(self, what: str, run: Command) -> None:
        done: dict[str, Callable[[], None]] = {
            FULL_DISK: self._fill,
            AWAY: self._receiver.kill,
            "kill orchestrate": run.kill,
            "kill bpftrace": run.kill_bpftrace,
            "kill receiver": self._restart_receiver,
        }
        if what in done:
            done[what]()
        else:
            self._receiver.start()  # from being away
            self._receiver.behave(what)

    def _restart_receiver(self) -> None:
        self._receiver.kill()
        self._receiver.start()

    def _fill(self) -> None:
        with (self._state / "filler").open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(1 << 12))
        os.truncate(self._state / "filler", max(0, (self._state / "filler").stat().st_size - self._plan.room))

    def _free(self) -> None:
        (self._state / "filler").unlink(missing_ok=True)

    def _end(self, what: str, command: Command, number: int | None = None) -> int:
        """Wait for the end of a command, and listen to what it says."""
        code, _, said = command.end(_END_SECONDS, number)
        self._said.append(said)
        if command.killed_at is not None:
            self._kills += 1
        elif code not in (0, 1):
            self._faults.append(f"{what} ended with {code}")
        elif code == 0 and _tells_of_loss(said):
            self._faults.append(f"{what} ended with 0 although something was lost")
        elif code == 1 and "run" in what and "kill bpftrace" not in self._plan.faults and not _tells_of_loss(said):
            self._faults.append(f"{what} ended with 1 although it tells of nothing that was lost")
        if "Traceback" in said:
            self._faults.append(f"{what} ended with a traceback")
        return code

    def _mend(self, run: Command) -> None:
        """All is well again; what waits is delivered."""
        self._taken_items = None
        started = self._started
        self._own_taken = [1] if started == 1 else list(range((started - 2) * _OWN_RECORDS + 1, started * _OWN_RECORDS))
        if run.killed_at is not None:
            self._taken_items = evidence.taken_by_killed(self._state)
            time.sleep(_SLOWEST_SECONDS)
        self._next_at = time.monotonic_ns()
        if self._is_full:
            self._end("spool", Command(self._folder, "spool", environment=self._environment))
            self._free()
        self._receiver.start()
        if "kill sender" in self._plan.faults:
            self._receiver.behave("slow reads")  # so that it is killed while it sends
            sender = self._send()
            time.sleep(random.Random(self._plan.seed).uniform(*_SENDING_SECONDS))
            sender.kill()
            self._end("a killed sender", sender)
        self._receiver.behave("well")
        if self._plan.next_run:
            self._end("the next run", self._next_run())
        for _ in range(_FLUSHES):
            if self._end("flush", self._flush()) == 0:
                return
        self._faults.append("flush does not come to an end")

    @property
    def _started(self) -> int:
        """How many bpftraces there were."""
        return len(list(self._copies.glob("*.copy")))

    def _send(self) -> Command:
        return self._next_run() if self._plan.next_run else self._flush()

    def _next_run(self) -> Command:
        arguments = [*self._receiving, *self._program, "--duration", "1s"]
        return Command(self._folder, "run", *arguments, environment=self._environment)

    def _flush(self) -> Command:
        return Command(self._folder, "flush", *self._receiving, environment=self._environment)

    def _weigh(self, run: Command) -> Account:
        code, told, said = Command(self._folder, "spool", "--json", environment=self._environment).end(_END_SECONDS)
        if code:
            raise RuntimeError(f"orchestrate spool --json: {said}")
        lost, left = evidence.tally(told)
        if left:
            self._faults.append(f"{left} requests are left in the spool")
        for one in map(evidence.told_losses, self._said):  # what a full disk could not keep is told
            for cause, items in one.items():
                lost[cause] = max(lost.get(cause, 0), items)
        rejected = max(lost.pop("rejected", 0), sum(map(evidence.told_rejections, self._said)))
        requests, answered = evidence.taken(self._receiver.folder)
        account = make_account(
            evidence.Evidence(
                printed=evidence.printed(self._copies),
                taken=requests,
                answered=answered,
                rejections=rejected,
                tally=lost,
                killed_at=run.killed_at,
                taken_items=self._taken_items,
                next_at=self._next_at,
                kills=self._kills,
                own=self._started * _OWN_RECORDS,
                own_taken=self._own_taken,
            )
        )
        return _with_faults(account, self._faults)


def _tells_of_loss(said: str) -> bool:
    return "were lost" in said or evidence.told_rejections(said) > 0


def _with_faults(account: Account, faults: list[str]) -> Account:
    return replace(account, faults=(*account.faults, *faults))


@contextlib.contextmanager
def _small_disk(path: Path) -> Iterator[None]:
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_DISK}", "tmpfs", path], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", path], check=True)


def play(plan: Plan, folder: Path, bpftrace: str, rate: int) -> Round:
    """Play a round in a folder that is not there yet."""
    began = time.monotonic()
    account = _Stage(plan, folder, bpftrace, rate).play()
    return Round(plan, account, time.monotonic() - began)
