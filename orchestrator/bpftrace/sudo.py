"""bpftrace under sudo, and nothing else: our own process stays whom it is, and sudoers needs to allow bpftrace only.

We may send no signal to a process of root, and the kernel forgets at sudo's exec that it is to die with us. So sudo
gets a terminal of its own, whose driver does both. It passes on what it gets there, with ``use_pty`` and without it;
standard input, output and error stay pipes.
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import getpass
import os
import re
import select
import shutil
import termios
import threading
from collections.abc import Callable, Mapping, Sequence

from orchestrator.bpftrace.binary import Version, read_version
from orchestrator.bpftrace.process import BpftraceProcess
from orchestrator.bpftrace.pseudo_terminal import open_keyboard
from orchestrator.bpftrace.terminal_process import TerminalProcess
from orchestrator.errors import HostError
from orchestrator.limits import LIMITS, Limits, usual_limits

__all__ = ("Sudo", "SudoProcess")

_LOOK_MS = 10
_END_SECONDS = 10.0
# The first that takes limits from the program itself: sudo needs to let no variable through.
_HAS_CONFIG = Version(0, 20, 0)
_SETTINGS = ("BPFTRACE_MAX_STRLEN", "BPFTRACE_MAX_MAP_KEYS", "BPFTRACE_PERF_RB_PAGES")
_NO_VARIABLES = "not allowed to set the following environment variables"
# What sudo 1.8 to 1.9 says in English when it does not run a command, and what to do then.
_REFUSALS = (
    (
        r"a password is required|a terminal is required",
        "sudo asks for a password, and there is no terminal or no answer: to do without, `visudo` this line: "
        "{user} ALL=(root) NOPASSWD: {path}",
    ),
    (r"incorrect password attempt|no password was provided", "sudo was not given the password of {user}: try again"),
    (
        r"is not allowed to execute|not in the sudoers|may not run sudo",
        "{user} may not run {path} by sudo: `visudo` this line: {user} ALL=(root) {path}",
    ),
    (
        r"no new privileges|effective uid is not 0|must be owned by uid 0",
        "sudo cannot become root here (NoNewPrivileges=, a container, a nosuid mount): allow that, or use capabilities",
    ),
    (r"^sudo: (?!unable to resolve host)(.*)", "sudo said: {0}"),
)


class SudoProcess(TerminalProcess):
    """A bpftrace that sudo runs as root."""

    def __init__(self, argv: Sequence[str], program: str, environment: Mapping[str, str], limits: Limits) -> None:
        self._begun = threading.Event()
        super().__init__(argv, program, environment, limits)

    def converse(self, keyboard: int | None, stopped: Callable[[], bool]) -> bool:
        """Let a person answer sudo; False if it ended, or we were told to stop, before bpftrace read its program."""
        self._terminal.converse(keyboard, lambda: self._begun.is_set() or self.poll() is not None or stopped())
        return self._begun.is_set()

    def _write(self, program: bytes) -> None:
        """Nothing but bpftrace reads standard input: once the program has been taken, sudo has let it begin."""
        with contextlib.suppress(OSError), self._stdin as stdin:
            stdin.write(program)
            poller = select.poll()
            poller.register(stdin, 0)  # which tells only that nobody is left to read
            while waiting := _unread(stdin.fileno()):
                if poller.poll(_LOOK_MS):
                    break
            if not waiting:
                self._begun.set()


class Sudo:
    """Starts every bpftrace of a run; remembers whether sudo lets our variables through.

    ``path``: of bpftrace. ``hint`` tells a person what could be better.
    """

    def __init__(self, path: str, hint: Callable[[str], None], stopped: Callable[[], bool]) -> None:
        if shutil.which("sudo") is None:
            raise HostError("sudo is not installed: install it, or run as root without --sudo")
        self._path = os.path.abspath(path)
        self._version = read_version(path)
        self._hint = hint
        self._stopped = stopped
        self._variables = self._version is None or self._version < _HAS_CONFIG

    def start(
        self, argv: Sequence[str], program: str, environment: Mapping[str, str], *, joined: bool
    ) -> BpftraceProcess:
        """Start it, and let a person give the password where there is one. ``joined``: the program is all ours.

        Raises HostError where sudo refuses.
        """
        arguments = [self._path, *argv[1:]]
        if joined and self._version is not None and self._version >= _HAS_CONFIG:
            return self._begin(arguments, _config(environment) + program, environment, LIMITS)
        if self._variables:
            given = [f"{name}={value}" for name, value in environment.items() if name.startswith("BPFTRACE_")]
            process = self._begin([*given, *arguments], program, environment, LIMITS, may_retry=True)
            if not _refused_variables(process):
                return process
            self._variables = False
            self._hint(
                "sudo lets no variables of bpftrace through, so strings are cut early and maps hold less: "
                f"`visudo` this line: {getpass.getuser()} ALL=(root) SETENV: {self._path}"
            )
        return self._begin(arguments, program, environment, usual_limits(self._version))

    def _begin(
        self,
        arguments: Sequence[str],
        program: str,
        environment: Mapping[str, str],
        limits: Limits,
        *,
        may_retry: bool = False,
    ) -> SudoProcess:
        with open_keyboard() as keyboard:
            flags = ["-n"] if keyboard is None else []
            english = {**environment, "LC_ALL": "C"}
            process = SudoProcess(["sudo", *flags, *arguments], program, english, limits)
            if not process.converse(keyboard, self._stopped) and not self._stopped():
                process.wait(_END_SECONDS)
                if not (may_retry and _refused_variables(process)):
                    self._explain(process.stderr)
        return process

    def _explain(self, lines: Sequence[str]) -> None:
        """Raise what sudo said, if it was sudo that said it."""
        said = "\n".join(lines)
        for pattern, sentence in _REFUSALS:
            if match := re.search(pattern, said, re.MULTILINE):
                raise HostError(sentence.format(*match.groups(), user=getpass.getuser(), path=self._path))


def _refused_variables(process: BpftraceProcess) -> bool:
    return process.poll() is not None and any(_NO_VARIABLES in line for line in process.stderr)


def _config(environment: Mapping[str, str]) -> str:
    """``config = { max_strlen = 200; ... } ``: the limits as bpftrace reads them in a program."""
    given = {name: environment.get(name, "") for name in _SETTINGS}
    settings = [f"{name[len('BPFTRACE_') :].lower()} = {value};" for name, value in given.items() if value.isdigit()]
    return f"config = {{ {' '.join(settings)} }} "


def _unread(pipe: int) -> int:
    """Bytes in a pipe."""
    count = array.array("i", [0])
    fcntl.ioctl(pipe, termios.FIONREAD, count)
    return count[0]
