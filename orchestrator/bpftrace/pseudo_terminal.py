"""A terminal of its own for a program that no signal of ours reaches: the driver sends them in our place.

The kernel asks for no permission then: ^C and ^Z (termios(3)), a new size, a hangup.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import struct
import termios
import tty
from collections.abc import Callable, Iterator

__all__ = ("PseudoTerminal", "open_keyboard")

_SIZE = struct.Struct("HHHH")  # struct winsize: rows, columns, and two that nobody uses
_ROWS, _COLUMNS = 24, 80
# Under nohup, or in the background of a script, these are ignored, and sudo hands that on.
_ORDINARY = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP)
_LOOK_SECONDS = 0.01
_CLEAR_LINE = b"\r\x1b[K"


class PseudoTerminal:
    """Both ends are held here: were the inner one closed by all, its session would have no terminal any more.

    When it is closed, or our process ends, however it does, the kernel hangs it up: its session gets SIGHUP.
    """

    def __init__(self) -> None:
        self._outer, self._inner = os.openpty()
        characters = termios.tcgetattr(self._inner)[6]
        self._interrupt, self._suspend = characters[termios.VINTR], characters[termios.VSUSP]
        self._columns = _COLUMNS
        self._is_open = True

    def adopt(self) -> None:
        """In a child that leads a session, before exec: it is the session's controlling terminal."""
        fcntl.ioctl(self._inner, termios.TIOCSCTTY, 0)
        for number in _ORDINARY:
            signal.signal(number, signal.SIG_DFL)

    def interrupt(self) -> None:
        """SIGINT to the group in the foreground."""
        self._type(self._interrupt)

    def suspend(self) -> None:
        """SIGTSTP to it."""
        self._type(self._suspend)

    def resize(self) -> None:
        """SIGWINCH to it; the kernel sends none where the size is the same."""
        if self._is_open:
            self._columns ^= 1
            fcntl.ioctl(self._outer, termios.TIOCSWINSZ, _SIZE.pack(_ROWS, self._columns, 0, 0))

    def close(self) -> None:
        """Hang up."""
        if self._is_open:
            self._is_open = False
            os.close(self._outer)
            os.close(self._inner)

    def converse(self, keyboard: int | None, done: Callable[[], bool]) -> None:
        """Let whoever sits at ``keyboard`` answer what is asked here, until ``done``.

        Nothing is shown there that was not written here: who asks for a password has switched the echo off. The
        keyboard is left alone until something is asked: a process in the background would be stopped for touching it.
        """
        with contextlib.ExitStack() as stack:
            listening = False
            while True:
                finished = done()  # asked first, so that the last words are not missed
                sources = [self._outer, keyboard] if listening and keyboard is not None else [self._outer]
                ready, _, _ = select.select(sources, [], [], 0 if finished else _LOOK_SECONDS)
                if self._outer in ready:
                    said = os.read(self._outer, 4096)
                    if keyboard is not None:
                        if not listening:
                            stack.enter_context(_raw(keyboard))
                            said = _CLEAR_LINE + said
                        listening = True
                        os.write(keyboard, said)
                elif finished:
                    return
                if keyboard in ready:
                    self._type(os.read(keyboard, 1024))

    def _type(self, characters: bytes) -> None:
        if self._is_open:
            os.write(self._outer, characters)


@contextlib.contextmanager
def _raw(keyboard: int) -> Iterator[None]:
    """Every key goes through as it is, Ctrl-C too, and none is shown."""
    before = termios.tcgetattr(keyboard)
    tty.setraw(keyboard)
    try:
        yield
    finally:
        termios.tcsetattr(keyboard, termios.TCSADRAIN, before)


@contextlib.contextmanager
def open_keyboard() -> Iterator[int | None]:
    """The terminal that our process was started from; None if there is none (cron, systemd)."""
    try:
        descriptor = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        yield None
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)
