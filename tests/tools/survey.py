"""What becomes of bpftrace's own tools: each is run with a workload that makes it print, and what it printed counted.

    python -m tests.tools.survey [--bpftrace 0.17=PATH ...] [--tool NAME ...] [--duration 2s] [--markdown]    (as root)

Without ``--bpftrace`` the host's bpftrace is taken, and those of Debian's trixie and sid (tests/tools/bpftrace-suite).
The tools are those that are packaged with each. A tool starts if bpftrace itself can start it here: its program is
given to ``bpftrace -f json -``, and the exit code after SIGINT counts. Those that do are run by ``orchestrate run``,
and its recording is held against its output. The exit code is 1 if anything of what was printed is missing.
``--markdown`` writes docs/tools.md.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import re
import secrets
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.unlimited import unlimited
from config.durations import parse_duration
from orchestrator.bpftrace.binary import find_bpftrace, read_version
from orchestrator.bpftrace.complaints import explain
from tests.live.harness import Run
from tests.tools import workloads
from tests.tools.arrived import Arrived, Event, Printed, missing, seen, untrue

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
DOCUMENT = ROOT / "docs" / "tools.md"
SUITES = ("trixie", "sid")
KPROBES = Path("/sys/kernel/tracing/kprobe_events").exists()
_TOOLS_IN = ("usr/sbin", "usr/share/bpftrace/tools")
_START_SECONDS = 60.0
_SEEN_SECONDS = 30.0
_QUIET_SECONDS = 1.5


@dataclass(frozen=True)
class Bpftrace:
    """One bpftrace, and the root of the file system that it sees."""

    version: str
    path: str
    root: Path

    @classmethod
    def of(cls, path: str, version: str | None = None) -> Bpftrace:
        """A path; a wrapper ``bpftrace-SUITE`` of bpftrace-suite has its root in SUITE beside it."""
        file = Path(path)
        chroot = file.parent / file.name.removeprefix("bpftrace-")
        found = read_version(path)
        name = version or (f"{found.major}.{found.minor}" if found else "unknown")
        return cls(name, path, chroot if file.name != chroot.name and chroot.is_dir() else Path("/"))

    @property
    def tools(self) -> dict[str, Path]:
        """The tools that are packaged with it, by name."""
        folder = next((self.root / one for one in _TOOLS_IN if any((self.root / one).glob("*.bt"))), None)
        return {file.stem: file for file in sorted(folder.glob("*.bt"))} if folder else {}

    def command(self, tool: str, mark: str, folder: Path) -> list[str]:
        """The workload of a tool, with the libraries that this bpftrace sees: its probes are on those."""
        command = [sys.executable, str(HERE / "workloads.py"), tool, mark, str(folder)]
        loader = next(self.root.glob("lib64/ld-linux*"), None) or next(self.root.glob("lib/ld-linux*"), None)
        libraries = next(self.root.glob("usr/lib/*-linux-gnu*"), None)
        if self.root == Path("/") or not loader or not libraries or "uprobe:" not in self.tools[tool].read_text():
            return command
        return [str(loader), "--library-path", str(libraries), *command]


@dataclass
class Finding:
    """What became of one tool with one bpftrace. ``why`` it does not start; all else is of those that do."""

    tool: str
    version: str
    why: str = ""
    exit_code: int = 0
    stderr: str = ""
    records: Counter[str] = field(default_factory=Counter)
    events: list[Event] = field(default_factory=list)
    metrics: list[str] = field(default_factory=list)
    profiles: list[str] = field(default_factory=list)
    unparsed: int = 0
    unknown: int = 0
    unread: int = 0
    lost: int = 0
    odd: int = 0
    missing: list[str] = field(default_factory=list)
    untrue: list[str] = field(default_factory=list)
    mixed: int = 0
    without: str = ""

    @property
    def starts(self) -> bool:
        return not self.why

    @property
    def became(self) -> str:
        """``412 logs with 5 attributes, 2 of text only; histogram ebpf.biolatency.usecs (3 series)``."""
        typed: Counter[int] = Counter()
        for event in self.events:
            typed[event.attributes] += event.typed
            typed[0] += event.count - event.typed
        plain = typed.pop(0, 0)
        logs = [
            f"{_many(count, 'log')} with {_many(number, 'attribute')}"
            for number, count in sorted(typed.items())
            if count
        ]
        logs += [f"{_many(plain, 'log')} of text only"] if plain else []
        mixed = [f"{_many(self.mixed, 'line')} cut by another CPU's"] if self.mixed else []
        return "; ".join([*logs, *self.metrics, *self.profiles, *mixed]) or "nothing"

    @property
    def ended_well(self) -> bool:
        """Whether nothing was complained of, but events that bpftrace says it lost itself."""
        complaints = re.findall(r"^orchestrate: (.*)", self.stderr, re.MULTILINE)
        return self.exit_code == 0 or (
            self.exit_code == 1 and bool(complaints) and all(map(_BPFTRACES_OWN.search, complaints))
        )

    @property
    def problems(self) -> list[str]:
        """All that should not be."""
        found = [f"{count} {what}" for count, what in zip(self._counts, _WHAT, strict=True) if count]
        if self.starts and not self.ended_well:
            found.append(f"exit code {self.exit_code}: {self.stderr.strip()[-500:]}")
        return [*found, *self.missing, *self.untrue]

    @property
    def lacking(self) -> int:
        """How much of what was printed or done did not arrive."""
        return sum(self._counts) + len(self.missing) + len(self.untrue)

    @property
    def _counts(self) -> tuple[int, int, int]:
        return self.unparsed, self.unknown, self.unread


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


_BPFTRACES_OWN = re.compile(r"events were lost, says bpftrace")
_WHAT = ("unparsed", "of an unknown type", "entries unread")


def starts(bpftrace: Bpftrace, source: str) -> tuple[int, list[str]]:
    """The exit code of bare bpftrace, told to end when it has begun to print, and its stderr."""
    with tempfile.TemporaryFile("w+") as stderr:
        process = subprocess.Popen(
            [bpftrace.path, "-f", "json", "-"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            start_new_session=True,
        )
        assert process.stdin
        assert process.stdout
        process.stdin.write(source.encode())
        process.stdin.close()
        if _comes(process.stdout.fileno(), _START_SECONDS):
            time.sleep(_QUIET_SECONDS)
        for number in (signal.SIGINT, signal.SIGINT, signal.SIGKILL):
            if process.poll() is None:
                os.killpg(process.pid, number)
            if _drain(process.stdout.fileno(), 10.0):
                break
        process.stdout.close()
        code = process.wait(10.0)
        stderr.seek(0)
        return code, stderr.read().splitlines()


def _comes(descriptor: int, seconds: float) -> bool:
    """Whether something comes; False at the end, too."""
    return bool(select.select([descriptor], [], [], seconds)[0]) and bool(os.read(descriptor, 1 << 16))


def _drain(descriptor: int, seconds: float) -> bool:
    """Read to the end; False if it does not come."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        if select.select([descriptor], [], [], left)[0] and not os.read(descriptor, 1 << 16):
            return True
    return False


def survey(bpftrace: Bpftrace, tool: str, folder: Path, duration: float) -> Finding:
    """Start a tool bare, and if it starts run it as it is meant to be, for ``duration`` seconds or more."""
    code, stderr = starts(bpftrace, bpftrace.tools[tool].read_text())
    if code:
        return Finding(tool, bpftrace.version, why=_in_few_words(explain(stderr, code)))
    return run(bpftrace, tool, folder, duration)


def examine(bpftrace: Bpftrace, tool: str, folder: Path) -> Finding:
    """Run a tool; where `orchestrate` says that it cannot run here, bpftrace itself has to say so, too."""
    try:
        return run(bpftrace, tool, folder, 0.0)
    except NotStartedError as error:
        code, stderr = starts(bpftrace, bpftrace.tools[tool].read_text())
        finding = Finding(tool, bpftrace.version, why=_in_few_words(explain(stderr, code)), exit_code=error.code)
        finding.missing = [f"bpftrace by itself starts it, and orchestrate says {error}"] if not code else []
        return finding


class NotStartedError(Exception):
    """The exit code, and why."""

    def __init__(self, code: int, stderr: str) -> None:
        super().__init__(stderr)
        self.code = code


def _in_few_words(why: str) -> str:
    """Without the mend."""
    if why.startswith("bpftrace said: "):
        return re.sub(r"\s*\(exit code \d+\)$", "", why.removeprefix("bpftrace said: ")).strip(" .")
    return re.split(r": (?=[a-z`])", why)[0]


def run(bpftrace: Bpftrace, tool: str, folder: Path, duration: float) -> Finding:
    """Run a tool with its workload until all of that was printed, and hold what was printed against what arrived."""
    record, output, scratch = folder / "record", folder / "output", folder / "scratch"
    scratch.mkdir(parents=True)
    path = bpftrace.tools[tool]
    own = Run(
        folder, str(path), "--bpftrace", bpftrace.path, "--interval", "1s",
        "--record", str(record), "--output", str(output), "--summary", "--config", str(unlimited(folder)),
    )  # fmt: skip
    truth: workloads.Truth = []
    try:
        _ready(own)
        begun = time.monotonic()
        mark = f"sv{secrets.token_hex(4)}"
        with subprocess.Popen(
            bpftrace.command(tool, mark, scratch), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as workload:
            assert workload.stdout
            text = workload.stdout.readline()
            truth = workloads.truth_of(text) if _sees(tool, path.read_text()) else []
            until = time.monotonic() + _SEEN_SECONDS
            while time.monotonic() < until and not seen(truth, record.read_bytes()):
                time.sleep(0.05)
            time.sleep(max(0.0, begun + duration - time.monotonic()))
            if b'["orchestrator",' not in record.read_bytes():  # not begun yet, or it never will
                with contextlib.suppress(subprocess.TimeoutExpired):
                    own.process.wait(_SEEN_SECONDS)
            code, _, stderr = own.stop()
    finally:
        own.process.kill()
    if "bpftrace ended by itself" in stderr:
        raise NotStartedError(code, stderr)
    finding = Finding(tool, bpftrace.version, exit_code=code, stderr=stderr)
    if "kprobe:" in path.read_text() and not KPROBES:
        finding.without = "its kprobes"
    elif workloads.NEEDED_PROBES.get(tool, "") not in path.read_text():
        finding.without = f"{workloads.NEEDED_PROBES[tool]}, which is where it is now"
    return _finding(finding, record, output, truth)


def _ready(own: Run) -> None:
    try:
        own.ready()
    except AssertionError as error:
        raise NotStartedError(own.wait()[0], str(error)) from None


def _sees(tool: str, source: str) -> bool:
    """Whether a tool can see its workload: not by kprobes, which name what other kernels do not have."""
    return "kprobe:" not in source and workloads.NEEDED_PROBES.get(tool, "") in source


def _finding(finding: Finding, record: Path, output: Path, truth: workloads.Truth) -> Finding:
    printed, arrived = Printed.read(record), Arrived(output)
    finding.records, finding.odd = printed.types, printed.odd
    finding.events = arrived.events
    finding.metrics = [
        f"{series.kind} {name} ({len(series.points):,} series)" for name, series in sorted(arrived.metrics.items())
    ]
    stderr = finding.stderr
    finding.profiles = [
        f"profile {one.type}/{one.unit} ({_many(len(one.samples), 'sample')})" for one in arrived.profiles
    ]
    finding.unparsed = _said(stderr, r"([\d,]+) lines of bpftrace's output could not be read")
    finding.unknown = _said(stderr, r"([\d,]+) records of bpftrace are of a type")
    finding.unread = _said(stderr, r"([\d,]+) entries of maps could not be read")
    finding.lost = _said(stderr, r"([\d,]+) events were lost, says bpftrace")
    told = arrived.dropped.get("unparsed", 0)
    if told != finding.unparsed + finding.unread:
        finding.missing.append(f"ebpf_events_dropped_total says {told} unparsed, stderr another number")
    amount = sum(value for one in arrived.profiles for _, _, value in one.samples)
    if amount != printed.stack_amount:
        finding.missing.append(f"stacks that add up to {printed.stack_amount} were printed, and {amount} arrived")
    finding.missing += missing(printed, arrived)
    if not finding.lost:
        finding.untrue, finding.mixed = untrue(truth, printed, arrived)
    return finding


def _said(stderr: str, pattern: str) -> int:
    match = re.search(pattern, stderr)
    return int(match[1].replace(",", "")) if match else 0


def rows(findings: Sequence[Finding]) -> Iterator[tuple[str, ...]]:
    """The table."""
    yield "tool", "bpftrace", "starts here", "records", "became", "unread"
    for one in findings:
        if not one.starts:
            yield one.tool, one.version, f"no: {one.why}", "", "", ""
            continue
        records = ", ".join(f"{count:,} {kind}" for kind, count in one.records.most_common())
        without = f", without {one.without}" if one.without else ""
        yield one.tool, one.version, f"yes{without}", records, one.became, str(one.lacking)


def markdown(findings: Sequence[Finding], versions: Sequence[str], command: str) -> str:
    """docs/tools.md."""
    head, *body = rows(findings)
    started = [one for one in findings if one.starts]
    kernel = ".".join(platform.release().split(".")[:2])
    kprobes = "" if KPROBES else " without kprobes"
    lines = [
        "# bpftrace's own tools",
        "",
        f"Written by `{command}` on Linux {kernel}{kprobes}, with bpftrace",
        f"{', '.join(versions)} and the tools that are packaged with each. Each tool was run by",
        "`orchestrate run TOOL.bt`, without a manifest, with a small workload that makes it print",
        "(`tests/tools/workloads.py`); what else the host did meanwhile is in the figures, too.",
        "",
        "*Starts here* is what bpftrace by itself says to the tool on this kernel. *Records* are those of its JSON",
        "output, ours left out. *Unread* counts lines, map entries and printed values that did not arrive as log",
        "records or data points.",
        "",
        f"{len(started)} of {len(findings)} start. Unread: {sum(one.lacking for one in findings)}.",
        "",
        f"| {' | '.join(head)} |",
        f"|{'---|' * len(head)}",
        *(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in body),
    ]
    return "\n".join(lines) + "\n"


def _found(given: Sequence[str]) -> list[Bpftrace]:
    if given:
        pairs = [one.partition("=") for one in given]
        return [Bpftrace.of(path, version) for version, _, path in pairs]
    made = [
        subprocess.run([HERE / "bpftrace-suite", suite], capture_output=True, text=True, check=True).stdout.strip()
        for suite in SUITES
    ]
    return [Bpftrace.of(path) for path in (find_bpftrace(None), *made)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bpftrace", metavar="VERSION=PATH", action="append", default=[])
    parser.add_argument("--tool", metavar="NAME", action="append", default=[])
    parser.add_argument("--duration", metavar="TIME", default="2s")
    parser.add_argument("--markdown", action="store_true", help="write docs/tools.md")
    arguments = parser.parse_args()
    duration = parse_duration(arguments.duration, "--duration", least=0.1)
    bpftraces = _found(arguments.bpftrace)
    findings = []
    for tool in sorted({tool for one in bpftraces for tool in one.tools}):
        for one in bpftraces:
            if tool in one.tools and (not arguments.tool or tool in arguments.tool):
                with tempfile.TemporaryDirectory() as folder:
                    finding = survey(one, tool, Path(folder), duration)
                findings.append(finding)
                print(" | ".join(list(rows([finding]))[1]), flush=True)
                for problem in finding.problems:
                    print(f"    {problem}", flush=True)
    if arguments.markdown:
        DOCUMENT.parent.mkdir(exist_ok=True)
        command = "python -m tests.tools.survey --markdown"
        DOCUMENT.write_text(markdown(findings, [one.version for one in bpftraces], command))
    return 1 if any(one.problems for one in findings) else 0


if __name__ == "__main__":
    sys.exit(main())
