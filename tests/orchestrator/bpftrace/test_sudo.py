"""Starting by sudo, with small programs in the place of sudo and of bpftrace. No root is needed for that."""

from __future__ import annotations

import getpass
import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from orchestrator.bpftrace.binary import read_version
from orchestrator.bpftrace.process import BpftraceProcess
from orchestrator.bpftrace.sudo import Sudo
from orchestrator.errors import HostError
from orchestrator.limits import LIMITS, Limits

# Without a terminal to ask at: these tests run where there may be one. Variables come before the command, as in sudo.
SUDO = """\
#!/bin/sh
printf '%s\\n' "$*" >>"$0.calls"
[ "$1" = -n ] && shift
variables=
while case "$1" in *=*) true ;; *) false ;; esac; do variables="$variables $1"; shift; done
{refuse}
exec env -u BPFTRACE_STRLEN -u BPFTRACE_MAX_STRLEN $variables "$@"
"""
BPFTRACE = """\
#!/bin/sh
[ "$1" = --version ] && exec echo "bpftrace v{version}"
echo "strings ${{BPFTRACE_STRLEN:-none}}"
exec cat
"""
# Says which signals come; the group of a terminal gets them, not one process.
TELLS = """\
#!{python}
import os, signal, sys, time
if sys.argv[1:] == ["--version"]:
    print("bpftrace v0.17.0")
    sys.exit()
def tell(number, frame):
    os.write(1, b"%d\\n" % number)
for number in (2, 20, 28):
    signal.signal(number, tell)
sys.stdin.read()
os.write(1, b"ready\\n")
while True:
    signal.pause()
"""
NO_VARIABLES = """\
if [ "$variables" ]; then
    echo "sudo: sorry, you are not allowed to set the following environment variables:$variables" >&2
    exit 1
fi
"""
ENVIRONMENT = {"BPFTRACE_STRLEN": "200", "BPFTRACE_MAX_STRLEN": "200", "BPFTRACE_PERF_RB_PAGES": "x}", "HOME": "/"}


class Place:
    """A PATH with a sudo of our own, and a bpftrace."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.hints: list[str] = []
        self.stopped = False

    def write(self, name: str, text: str) -> Path:
        path = self._folder / name
        path.write_text(text)
        path.chmod(0o755)
        return path

    def start(self, *, joined: bool = True, program: str = "BEGIN { }") -> BpftraceProcess:
        path = str(self._folder / "bpftrace")
        environment = {**ENVIRONMENT, "PATH": os.environ["PATH"]}
        sudo = Sudo(path, self.hints.append, lambda: self.stopped)
        return sudo.start([path, "-f", "json", "-"], program, environment, joined=joined)

    @property
    def calls(self) -> list[str]:
        return (self._folder / "sudo.calls").read_text().splitlines()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    read_version.cache_clear()
    made = Place(tmp_path)
    made.write("sudo", SUDO.format(refuse=""))
    made.write("bpftrace", BPFTRACE.format(version="0.17.0"))
    return made


def read(process: BpftraceProcess, lines: int) -> bytes:
    """So many lines, or all."""
    found = b""
    while found.count(b"\n") < lines and (chunk := process.output.get(30)):
        found += chunk
    return found


def test_an_old_bpftrace_gets_its_limits_as_variables(place: Place) -> None:
    process = place.start()
    assert read(process, 2) == b"strings 200\nBEGIN { }"
    assert process.wait(30) == 0
    assert process.limits == LIMITS
    assert "HOME=" not in place.calls[0]
    assert place.hints == []


def test_a_sudo_that_lets_no_variables_through_is_asked_without_and_the_limits_are_the_usual(place: Place) -> None:
    place.write("sudo", SUDO.format(refuse=NO_VARIABLES))
    process = place.start()
    assert read(process, 2) == b"strings none\nBEGIN { }"
    assert process.wait(30) == 0
    assert process.limits == Limits(64, 4096, 64)
    assert len(place.calls) == 2
    (hint,) = place.hints
    assert f"{getpass.getuser()} ALL=(root) SETENV: " in hint


def test_a_newer_bpftrace_reads_its_limits_in_our_program(place: Place) -> None:
    """Only numbers go there: what a variable holds is no code."""
    place.write("bpftrace", BPFTRACE.format(version="0.23.0"))
    process = place.start()
    assert read(process, 2) == b"strings none\nconfig = { max_strlen = 200; } BEGIN { }"
    assert process.wait(30) == 0
    assert process.limits == LIMITS


def test_a_newer_bpftrace_takes_a_program_of_ones_own_as_it_is(place: Place) -> None:
    place.write("bpftrace", BPFTRACE.format(version="0.23.0"))
    process = place.start(joined=False)
    assert read(process, 2) == b"strings none\nBEGIN { }"
    assert process.wait(30) == 0
    assert process.limits == Limits(1024, 4096, 64)


def test_a_large_program_arrives_whole(place: Place) -> None:
    program = "x" * 300_000
    process = place.start(program=program)
    found = read(process, 2)
    assert found.removeprefix(b"strings 200\n").decode() == program
    assert process.wait(30) == 0


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("sudo: a password is required", "there is no terminal or no answer: .*ALL=.root. NOPASSWD: .*/bpftrace"),
        ("sudo: 3 incorrect password attempts", "was not given the password"),
        (
            "Sorry, user x is not allowed to execute '/bin/bpftrace' as root on h.",
            "may not run .*ALL=.root. .*/bpftrace",
        ),
        ("x is not in the sudoers file.", "may not run"),
        ('sudo: The "no new privileges" flag is set, which prevents sudo from running as root.', "cannot become root"),
        ("sudo: unable to resolve host h: x\nsudo: unknown user root", "sudo said: unknown user root"),
    ],
)
def test_a_refusal_is_one_line_with_its_mend(place: Place, said: str, expected: str) -> None:
    place.write("sudo", SUDO.format(refuse=f"cat >&2 <<'E'\n{said}\nE\nexit 1"))
    with pytest.raises(HostError, match=expected) as error:
        place.start()
    assert error.value.exit_code == 3
    assert "\n" not in str(error.value)


def test_what_bpftrace_itself_complains_of_is_told_by_its_own_reader(place: Place) -> None:
    place.write("bpftrace", "#!/bin/sh\n[ $1 = --version ] && exec echo v0.17.0\necho 'ERROR: no' >&2\nexit 1\n")
    process = place.start()
    assert process.wait(30) == 1
    assert process.stderr == ["ERROR: no"]


def test_without_sudo(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sudo").unlink()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HostError, match="sudo is not installed"):
        place.start()


def test_signals_come_from_the_terminal(place: Place) -> None:
    """A new size is a signal each time. What has no parent in its session is not stopped by SIGTSTP, only woken."""
    place.write("bpftrace", TELLS.format(python=sys.executable))
    process = place.start()
    assert read(process, 1) == b"ready\n"
    resize = partial(process.nudge, signal.SIGWINCH)
    acts: list[tuple[Callable[[], None], int]] = [
        (resize, signal.SIGWINCH),
        (resize, signal.SIGWINCH),
        (process.interrupt, signal.SIGINT),
        (process.wake, signal.SIGTSTP),
        (process.interrupt, signal.SIGINT),
    ]
    for act, number in acts:
        act()
        assert read(process, 1) == b"%d\n" % number
    process.kill()
    process.kill()
    assert process.wait(30) == -signal.SIGHUP
    process.interrupt()  # too late, and harmless


def test_a_hangup_ends_it_also_where_we_ignore_it(place: Place) -> None:
    """Under nohup, whose children inherit that."""
    place.write("bpftrace", TELLS.format(python=sys.executable))
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        process = place.start()
        assert read(process, 1) == b"ready\n"
        process.kill()
        assert process.wait(30) == -signal.SIGHUP
    finally:
        signal.signal(signal.SIGHUP, before)


def test_one_who_does_not_want_to_wait_for_the_password_any_more(place: Place) -> None:
    place.write("sudo", SUDO.format(refuse="exec sleep 60"))
    place.stopped = True
    process = place.start()
    process.kill()
    assert process.wait(30) == -signal.SIGHUP
