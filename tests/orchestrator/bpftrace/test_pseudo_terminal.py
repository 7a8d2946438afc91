"""A terminal of its own, and a person at another one who answers what is asked there."""

from __future__ import annotations

import os
import signal
import subprocess
import termios
import threading
from collections.abc import Iterator

import pytest

from orchestrator.bpftrace.pseudo_terminal import PseudoTerminal

ASK = """
stty -echo </dev/tty; printf 'password: ' >/dev/tty
read answer </dev/tty
stty echo </dev/tty; printf '\\nthanks\\n' >/dev/tty; echo "$answer"
read done </dev/tty
"""


@pytest.fixture
def terminal() -> Iterator[PseudoTerminal]:
    made = PseudoTerminal()
    yield made
    made.close()


@pytest.fixture
def person() -> Iterator[tuple[int, int]]:
    """Where a person sits, and what is the keyboard to us."""
    ends = os.openpty()
    yield ends
    for end in ends:
        os.close(end)


def start(terminal: PseudoTerminal, script: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        ["sh", "-c", script], stdout=subprocess.PIPE, start_new_session=True, preexec_fn=terminal.adopt
    )


def read_until(descriptor: int, expected: bytes) -> bytes:
    found = b""
    while expected not in found:
        found += os.read(descriptor, 1024)
    return found


def test_a_person_answers_and_the_answer_is_not_shown(terminal: PseudoTerminal, person: tuple[int, int]) -> None:
    seat, keyboard = person
    before = termios.tcgetattr(keyboard)
    process = start(terminal, ASK)
    shown = []

    def answer() -> None:
        shown.append(read_until(seat, b"password: "))
        os.write(seat, b"open sesame\r")  # what the Enter key sends
        shown.append(read_until(seat, b"thanks"))
        os.write(seat, b"\r")

    at_seat = threading.Thread(target=answer)
    at_seat.start()
    terminal.converse(keyboard, lambda: process.poll() is not None)
    at_seat.join(30)
    assert process.communicate()[0] == b"open sesame\n"
    assert process.returncode == 0
    assert b"sesame" not in b"".join(shown)
    assert termios.tcgetattr(keyboard) == before


def test_a_person_interrupts(terminal: PseudoTerminal, person: tuple[int, int]) -> None:
    seat, keyboard = person
    process = start(terminal, ASK)
    at_seat = threading.Thread(target=lambda: (read_until(seat, b"password: "), os.write(seat, b"\x03")))
    at_seat.start()
    terminal.converse(keyboard, lambda: process.poll() is not None)
    at_seat.join(30)
    process.communicate()
    assert process.returncode == -signal.SIGINT


def test_a_keyboard_is_left_alone_where_nothing_is_asked(terminal: PseudoTerminal, person: tuple[int, int]) -> None:
    seat, keyboard = person
    os.write(seat, b"ls\n")  # for the shell, later
    process = start(terminal, "true")
    terminal.converse(keyboard, lambda: process.poll() is not None)
    process.communicate()
    assert os.read(keyboard, 10) == b"ls\n"
