"""What bpftrace says on stderr: which of it is worth telling, and what a failure means and how to mend it."""

from __future__ import annotations

import re
import signal
from collections import Counter
from collections.abc import Sequence

from orchestrator.text import printable

__all__ = ("explain", "is_harmless", "worth_telling")

_LONGEST_LINE = 500
# `f.bt:1:9-17: ERROR: text`, `f.bt:51-53: WARNING: text`: the source follows, and for a single line an underline.
_LOCATED = re.compile(r"\S.*?:(?:(?P<first>\d+)-(?P<last>\d+)|\d+:\d+-\d+): (?P<level>[A-Z]+): (?P<text>.*)")
_UNDERLINE = re.compile(r"[ ~]*")
_GOES_WITH_THE_ABOVE = re.compile(r"HINT: |\S.*?:\d[\d:-]*: [A-Z]+: expanded from\b")
# Said by bpftrace on healthy hosts, or about the style of a program.
_HARMLESS = re.compile(
    r"couldn't set RLIMIT_MEMLOCK|Could not read (functions|symbols) from \S*available_filter_functions"
    r"|BPFTRACE_\w+ is deprecated|While loops are deprecated|Addrspace (mismatch|is not set)|: Unnecessary cast: "
    r"|: Return value discarded|using 'print\(\)' in a loop|: signed operands for '.' can lead to undefined behavior"
    r"|: Expression of type: \w+ being cast to type:|does not support loading an iterator program against it"
    r"|failed to look up stack id"  # a sample without a stack, which is counted
    r"|^Attach(ing|ed) \d+ probes?|^Log: cannot resolve location"
)


def _clean(line: str) -> str:
    text = printable(line.rstrip("\r\n").replace("\t", " "))
    return text if len(text) <= _LONGEST_LINE else text[:_LONGEST_LINE] + "..."


def _length(lines: list[str], start: int) -> int:
    """The number of lines that the message at ``start`` takes with the source it quotes."""
    located = _LOCATED.match(lines[start])
    rest = lines[start + 1 : start + 3]
    if located is None:
        return 1
    if located["first"] is None:
        return 3 if len(rest) == 2 and _UNDERLINE.fullmatch(rest[1]) else 1
    # Of a place of several lines, old versions quote nothing and new ones every line.
    end = start + 1
    most = end + int(located["last"]) - int(located["first"]) + 1
    while end < min(most, len(lines)) and not re.match(r"[A-Z]+: ", lines[end]) and not _LOCATED.match(lines[end]):
        end += 1
    return end - start


def _messages(lines: Sequence[str]) -> list[tuple[str, ...]]:
    """Whole messages: each with the source lines, underline, hints and places of expansion that belong to it."""
    clean = [_clean(line) for line in lines]
    messages: list[tuple[str, ...]] = []
    at = 0
    while at < len(clean):
        message = tuple(clean[at : at + _length(clean, at)])
        at += len(message)
        if _GOES_WITH_THE_ABOVE.match(message[0]):
            messages[-1:] = [(*messages[-1], *message)] if messages else []
        elif not _UNDERLINE.fullmatch("".join(message)):  # blank, or left of a message whose beginning is forgotten
            messages.append(message)
    return messages


def is_harmless(line: str) -> bool:
    """Whether a message that begins with ``line`` tells a user nothing."""
    return bool(_HARMLESS.search(line))


def worth_telling(lines: Sequence[str]) -> list[str]:
    """The messages of stderr that are worth a person's time, safe to print; a repeated one comes once, ``(x 12)``."""
    counts = Counter(message for message in _messages(lines) if not is_harmless(message[0]))
    told: list[str] = []
    for (head, *rest), count in counts.items():
        told += [f"{head} (x {count})" if count > 1 else head, *rest]
    return told


_ROOT = "run it as root (sudo)"
_TRACEFS = "mount it: `mount -t tracefs tracefs /sys/kernel/tracing`"
_FEWER = "ask for fewer map keys or buffer pages"
# The first pattern that any message matches wins, so the particular stand before the general. Quoted from 0.17 to 0.27.
_CAUSES: tuple[tuple[str, str], ...] = (
    (r"only supports running as the root user", f"this bpftrace runs only as root: {_ROOT}"),
    (r"Missing (CAP_\w+) capability", f"bpftrace lacks the capability {{1}}: {_ROOT}, or grant the capability"),
    (
        r"failed to create\s+map: Operation not permitted|Error creating \w+ map: Operation not permitted",
        f"bpftrace lacks the capability CAP_BPF: {_ROOT}, or grant the capability",
    ),
    (
        r"perf_event_open: Permission denied",
        f"bpftrace lacks the capability CAP_PERFMON: {_ROOT}, or grant the capability",
    ),
    (r"set to 'confidentiality'", "kernel lockdown forbids tracing: boot without lockdown=confidentiality"),
    (r"Error reading events from \S+available_events", f"tracefs is not mounted: {_TRACEFS}"),
    (r"open\(\S*kprobe_events\)", "this kernel has no kprobes (CONFIG_KPROBE_EVENTS): use tracepoints instead"),
    (r"open\(\S*uprobe_events\)", f"tracefs is not mounted, or this kernel has no uprobes: {_TRACEFS}"),
    (
        r"(?:tracepoints? not found:|No matches for tracepoint) (\S+?)\.?$",
        "this kernel has no tracepoint {1}, or tracefs is not mounted: `orchestrate check` tells which",
    ),
    (
        r"No matches for (\w+) (.+?)\.$",
        "this host has no {1} {2}, or its kernel no such probes: `bpftrace -l` as root lists what can be probed",
    ),
    (
        r"((?:kfunc|fentry)/\w+|iter \w+) not available for your kernel",
        "this kernel has no {1} probes: use tracepoints or kprobes instead",
    ),
    (
        r"Can not access field '(\w+)' on type '\(ctx\)",
        "the program writes args.{1}, which this bpftrace does not know: use a newer one, or write args->{1}",
    ),
    (r"(target file '.+?' does not exist or is not executable)", "{1}: give the path of the program or library"),
    (
        r"Could not resolve symbol: (.+?),",
        "there is no symbol {1} (a stripped file?): `bpftrace -l` shows the others",
    ),
    (r"Failed to find usdt probe: (\S+)", "there is no USDT probe {1}: `bpftrace -l` shows those of a file"),
    (
        r"Unable to attach probe: (u(?:ret)?probe:.+?|usdt:.+?)\. If this",
        f"the kernel refused the probe {{1}}, which may want CAP_SYS_ADMIN: {_ROOT}, or grant the capability",
    ),
    (
        r"(?:Unable to attach probe:|Error attaching probe:) '?(.+?)'?(?:\. If this.*)?$",
        "the kernel lacks the probe {1} or refuses it: leave it out, or see what `orchestrate check` says",
    ),
    (
        r"valid attach points|No probes to attach",
        "nothing on this host matches a probe of the program: `bpftrace -l` as root lists what can be probed",
    ),
    (
        r"(type '.+?' does not contain a field named '\w+')",
        "{1}: this kernel's version of it differs; `bpftrace -lv PROBE` shows its fields",
    ),
    (
        r"BPF stack limit of 512|Stack size is too large",
        "the program needs more than the 512 bytes of BPF stack: use shorter or fewer strings in one action",
    ),
    (r"'(\w+)' (\d+) exceeds the current maximum of (\d+)", "{1}={2} is too much for this bpftrace: give at most {3}"),
    (
        r"ERROR: (?:syntax|unterminated|invalid character|unexpected end of file).*",
        "the program cannot be parsed ({line}): correct it, or it needs a newer bpftrace",
    ),
    (
        r"ERROR: ((?:Unknown (?:function|identifier)|Undefined or undeclared variable|Invalid probe type).*)",
        "{1}: correct the program, or it needs a newer bpftrace",
    ),
    (
        r"FATAL: Invalid probe type",
        "the program has a kind of probe that this bpftrace does not know: use a newer one",
    ),
    (
        r"(Unknown struct/union: .*|Cannot resolve unknown type .*)",
        "{1}: it needs a kernel with BTF (/sys/kernel/btf/vmlinux), or an #include of its header",
    ),
    (
        r"'(\S+\.h)' file not found",
        "the header {1} is missing: install the kernel headers, or use a kernel with BTF",
    ),
    (
        r"Error loading (?:BPF )?program(?: for|:) (\w+)",
        "the kernel's verifier rejected the program of {1}: simplify its loops and reads; bpftrace -v shows the log",
    ),
    (r"(bad_alloc|Cannot allocate memory|[Oo]ut of memory)", f"there is not enough memory ({{1}}): {_FEWER}"),
    (r"failed to create map: '?(@\w*)'?: (.+)", f"the kernel refused the map {{1}} ({{2}}): {_FEWER}"),
    (r"Failed to open perf buffer", "the buffer was refused: BPFTRACE_PERF_RB_PAGES must be a power of two that fits"),
    (
        r"Unknown BPF object load failure",
        f"the kernel refused the program (no CAP_BPF or CAP_PERFMON?) or its maps (too big?): {_ROOT}, or {_FEWER}",
    ),
    (r"Env var '(\w+)' did not contain", "the variable {1} is not a number: correct or unset it"),
    (
        r"^(\w+): expecting a number",
        "the setting {1} (BPFTRACE_... in the environment) is not a number: correct or unset it",
    ),
    (r"unrecognized option '(.+?)'", "this bpftrace has no option {1}: leave it out, or use a newer one"),
    (r"exceeds the current limit of (\d+)", "the program has more than {1} probes: narrow its wildcards"),
    (r"(\w+\(\)) is an unsafe function", "{1} can change the system: run the program with --unsafe, or remove it"),
)
_SIGNALS = {
    "SIGKILL": "if nobody did that, memory ran out; `dmesg` tells",
    "SIGABRT": "it met a fault of its own; another version may do better",
    "SIGSEGV": "it met a fault of its own; another version may do better",
}
_TELLING = re.compile(r"(?:ERROR|FATAL|error|BUG): (.*)|what\(\):\s*(.*)")


def _killed_by(returncode: int) -> str | None:
    """The name of the signal that ended the process; a shell or sudo in between says 128 + N."""
    number = -returncode if returncode < 0 else returncode - 128
    return signal.Signals(number).name if number in set(signal.Signals) else None


def explain(lines: Sequence[str], returncode: int) -> str:
    """One sentence: what went wrong, and the mend."""
    heads = [message[0] for message in _messages(lines) if not is_harmless(message[0])]
    for pattern, sentence in _CAUSES:
        for head in heads:
            if match := re.search(pattern, head):
                return sentence.format(match[0], *match.groups(), line=head)
    telling = [match[1] or match[2] for head in heads if (match := _TELLING.search(head))] or heads
    killed = _killed_by(returncode)
    if killed == "SIGKILL" or (killed and not telling):
        return f"bpftrace was killed by {killed}: {_SIGNALS.get(killed, 'start it again')}"
    if not telling:
        return f"bpftrace ended with exit code {returncode} and said nothing: its probes may not exist on this host"
    return f"bpftrace said: {telling[-1].strip()} ({killed or f'exit code {returncode}'})"
