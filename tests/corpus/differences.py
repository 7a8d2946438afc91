"""How the telemetry of one program differs between formats and versions, and why: nothing else may differ.

A place is a version, ``0.27.1`` (its JSON and its text), or two, ``0.17.0/0.27.1`` (the JSON of both). A repair is done
on both sides and takes away the one difference; what it leaves must be the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

from tests.corpus.reading import Attributes, Event, Point, Series, Stack, Telemetry, Value

Repair: TypeAlias = Callable[[Telemetry], Telemetry]

OLD, MID, NEW = "0.11.3", "0.17.0", "0.27.1"
ALL = (OLD, MID, NEW)
OLD_MID, MID_NEW = f"{OLD}/{MID}", f"{MID}/{NEW}"


@dataclass(frozen=True)
class Difference:
    """``where``: the places of each case. Each of them must need this repair."""

    reason: str
    repair: Repair
    where: Mapping[str, Iterable[str]]


def _each_value(change: Callable[[Value], Value]) -> Repair:
    """Change the values of all attributes, of events and of metrics."""

    def repair(found: Telemetry) -> Telemetry:
        def attributes(of: Attributes) -> Attributes:
            return tuple((name, change(value)) for name, value in of)

        return replace(
            found,
            events=tuple(replace(event, attributes=attributes(event.attributes)) for event in found.events),
            metrics=tuple(
                replace(one, points=_sorted((attributes(of), point) for of, point in one.points))
                for one in found.metrics
            ),
        )

    return repair


def _sorted(points: Iterable[tuple[Attributes, Point]]) -> tuple[tuple[Attributes, Point], ...]:
    return tuple(sorted(points, key=repr))


def _each_body(change: Callable[[str], str]) -> Repair:
    return lambda found: replace(found, events=tuple(replace(event, body=change(event.body)) for event in found.events))


def both(*repairs: Repair) -> Repair:
    def repair(found: Telemetry) -> Telemetry:
        for one in repairs:
            found = one(found)
        return found

    return repair


without_blanks = _each_value(lambda value: value.replace(" ", "") if isinstance(value, str) else value)
without_parentheses = _each_value(
    lambda value: re.sub(r"\A\((.*)\)\Z", r"\1", value, flags=re.DOTALL) if isinstance(value, str) else value
)


def _as_number(value: Value) -> Value:
    if isinstance(value, bool):
        return int(value)
    return {"true": 1, "false": 0}.get(value, value) if isinstance(value, str) else value


words_as_numbers = both(
    _each_value(_as_number),
    _each_body(lambda body: re.sub(r"\b(true|false)\b", lambda match: str(int(match[0] == "true")), body)),
)


def bodies_only(found: Telemetry) -> Telemetry:
    return replace(found, events=tuple(Event("", event.body) for event in found.events))


def unnamed(pattern: str) -> Repair:
    """Without what was read of the events whose whole body matches."""
    compiled = re.compile(pattern, re.DOTALL)
    return lambda found: replace(
        found,
        events=tuple(Event("", event.body) if compiled.fullmatch(event.body) else event for event in found.events),
    )


def without_unresolved_stacks(name: str) -> Repair:
    """Without the stacks that hold an address, or the symbol that is an address elsewhere."""

    def is_whole(one: Stack) -> bool:
        return not any(frame.startswith("0x") or frame == name for frame in one.frames)

    return lambda found: replace(found, stacks=tuple(one for one in found.stacks if is_whole(one)))


def without_attribute(name: str) -> Repair:
    """Attributes of events only."""
    return lambda found: replace(
        found,
        events=tuple(
            replace(event, attributes=tuple(one for one in event.attributes if one[0] != name))
            for event in found.events
        ),
    )


def in_lines(found: Telemetry) -> Telemetry:
    """What was printed, a line each, without what was read of it."""
    lines = [line.rstrip("\r") for event in found.events for line in event.body.split("\n")]
    return replace(found, events=tuple(Event("", line) for line in lines if line.strip()))


def without_events(pattern: str) -> Repair:
    """Without the events whose whole body matches."""
    compiled = re.compile(pattern, re.DOTALL)
    return lambda found: replace(
        found, events=tuple(event for event in found.events if not compiled.fullmatch(event.body))
    )


def without_metric(name: str) -> Repair:
    return lambda found: replace(found, metrics=tuple(one for one in found.metrics if one.name != name))


def folded_above(bound: float) -> Repair:
    """Histograms with one open bucket for all that is above ``bound``."""

    def fold(point: Point) -> Point:
        if not isinstance(point, tuple):
            return point
        bounds, counts, total = point
        kept = sum(one <= bound for one in bounds)
        return bounds[:kept], (*counts[:kept], sum(counts[kept:])), total

    def repair_series(one: Series) -> Series:
        return replace(one, points=tuple((attributes, fold(point)) for attributes, point in one.points))

    return lambda found: replace(found, metrics=tuple(map(repair_series, found.metrics)))


# What bpftrace itself does otherwise.
_BPFTRACE = [
    Difference(
        "0.24 to 0.27 take the blanks out of map keys in JSON",
        without_blanks,
        {
            "fire-python-usdt": [NEW, MID_NEW],
            "hist": [NEW, MID_NEW],
            "map-keyed": [NEW, MID_NEW],
            "stats": [NEW, MID_NEW],
            "weird-comm": [NEW, MID_NEW],
        },
    ),
    Difference(
        "the elements of a tuple in a key are joined by a comma in JSON, by a comma and a blank in text",
        without_blanks,
        {"map-tuple": [NEW], "map-tuple-multikey": [NEW], "map-tuple-nestedkey": [NEW]},
    ),
    Difference(
        "0.27 takes the parentheses off a string that is a whole key",
        without_parentheses,
        {"weird-comm": [MID_NEW]},
    ),
    Difference(
        "comparisons are 1 and 0 up to 0.23, true and false in 0.24 and later",
        words_as_numbers,
        {
            "bool-enum": [MID_NEW],
            "lang-ternary-logical": [MID_NEW],
            "lang-strcontains": [MID_NEW],
            "map-keyed": [MID_NEW],
            "tuple-str": [MID_NEW],
        },
    ),
    Difference(
        "up to 0.23 print(pid > 0) prints what print(1) does, in 0.24 and later true",
        both(words_as_numbers, unnamed("1")),
        {"print-value": [MID_NEW]},
    ),
    Difference(
        "up to 0.19, JSON has all of 2^31 and more in the last bucket of a hist()",
        folded_above(2**31 - 1),
        {"hist": [OLD, MID, MID_NEW]},
    ),
    Difference(
        "0.11 prints a wrong average of negative numbers in JSON",
        without_metric("ebpf.stats.nega"),
        {"stats": [OLD, OLD_MID]},
    ),
    Difference(
        "0.11 clamps unsigned values to 2^63 - 1",
        without_metric("ebpf.map_scalar.u64"),
        {"map-scalar": [OLD_MID]},
    ),
    Difference(
        "0.11 and 0.17 print no max() of which all values are negative",
        without_metric("ebpf.stats_neg.onlyneg"),
        {"stats-neg": [MID_NEW]},
    ),
    Difference(
        "0.11 does not delete a scalar count()",
        without_metric("ebpf.clear_scalar_delete"),
        {"clear-scalar-delete": [OLD_MID]},
    ),
    Difference(
        "0.11 prints what is above the 32 bits of a value, whatever it is",
        without_events(r"1|\d{14}"),
        {"lang-ternary-logical": [OLD_MID]},
    ),
    Difference(
        "0.11 prints what is above the 32 bits of a field, whatever it is",
        without_events(r"-?\d{1,14}|\((-?\d{1,14}, 1)\)"),
        {"print-int-width": [OLD, OLD_MID], "print-struct-simple": [OLD, OLD_MID]},
    ),
    Difference(
        "0.11 prints other fields of a struct in a tuple than those that are asked for",
        without_events(r"\(-?\d+, -?\d+\)"),
        {"print-array-011": [OLD, OLD_MID]},
    ),
    Difference(
        "0.11 prints the address of a buf() in a tuple as its bytes",
        without_events(r"\(1, .*\)"),
        {"print-buf-old": [OLD, OLD_MID]},
    ),
    Difference(
        "0.11 prints the address of a comm in a tuple as its bytes",
        without_events(r"\(.*, 1\)|@t: .*"),
        {"weird-comm": [OLD_MID]},
    ),
    Difference(
        "0.11 reads no string through a pointer in args->argv",
        without_events(r"-c|a\\xff\\x80b"),
        {"binary-join": [OLD_MID]},
    ),
    Difference(
        "0.11 reads no msg_iov through args->msg",
        without_events("sendmsg .*"),
        {"http-syscall-msg-typed": [OLD_MID]},
    ),
    Difference(
        "only 0.17 finds the fields of args->msg",
        without_events("sendmsg .*"),
        {"http-syscall-msg": [OLD_MID, MID_NEW]},
    ),
    Difference(
        "0.11 has no symbol for the last frame of a stack",
        without_unresolved_stacks("__libc_start_call_main"),
        {"dupkeys-ustack": [OLD, OLD_MID]},
    ),
    Difference(
        "only 0.17 shows the empty query that the client begins with",
        without_events(r"cli mariadb \[\] 0"),
        {"fire-mariadb": [OLD_MID, MID_NEW]},
    ),
    Difference(
        "0.11 has no frames in a stack with a limit, but in a key",
        without_events(r"\s+perf_syscall_enter.397\n\s+syscall_trace_enter.384|\t.*|@v: .*"),
        {"kstack": [OLD_MID]},
    ),
    Difference(
        "0.11 does not know the symbol at the kernel's first address",
        both(without_metric("ebpf.misc_values2.kk"), without_events("fevent .*")),
        {"misc-values2": [OLD_MID]},
    ),
    Difference(
        "0.11 and 0.17 look for the symbols of a process that is gone, and print addresses",
        both(without_metric("ebpf.misc_values2.uk"), without_events("@u: .*")),
        {"misc-values2": [OLD, MID, OLD_MID, MID_NEW]},
    ),
    Difference(
        "up to 0.23 printf() does not make one percent sign of two",
        without_events("pct %%?"),
        {"printf": [MID_NEW]},
    ),
    Difference(
        "enums in keys are names in 0.22 and later",
        without_metric("ebpf.kfree_reason"),
        {"kfree-reason": [MID_NEW]},
    ),
    Difference(
        "enums in keys are names in 0.22 and later",
        without_metric("ebpf.enum_print"),
        {"enum-print": [MID_NEW]},
    ),
    Difference(
        "0.27 prints an enum as its name in text, as its number in JSON",
        without_events("1|SK_RST_REASON_NO_SOCKET"),
        {"enum-print": [NEW]},
    ),
    Difference(
        "errorf() and warnf() go to standard error when the output is text",
        without_events("bad 5|careful x"),
        {"errorf-warnf": [NEW]},
    ),
    Difference(
        "0.17 writes a warning of a helper to standard output when that is text, with the line of source it is about",
        without_events(r"helper-error.*: WARNING: .*|BEGIN .*| *~+"),
        {"helper-error": [MID], "helper-error-kk": [MID]},
    ),
    Difference(
        "0.27 ends what system() printed with a newline in text",
        without_events('nonlq"uote|nonl|q"uote'),
        {"system": [NEW]},
    ),
    Difference(
        "0.27 has no output of the first of several commands in one system()",
        without_events("hello"),
        {"system": [MID_NEW]},
    ),
    Difference(
        "0.24 and later print a buf() as numbers in JSON",
        without_events(r"(@b: )?\((-?\d+, ){7,}.*\)|(@b: )?[^|]*\\x[^|]*|constant|\(1, .*\)"),
        {
            "print-buf": [NEW, MID_NEW],
            "print-buf-old": [NEW, MID_NEW],
            "str-nonresident": [NEW, MID_NEW],
        },
    ),
    Difference(
        "str() of n bytes keeps one less in 0.24 and later",
        without_events(".*(User-Agent|Host): .*|.*nginx/1.*"),
        {
            "http-pred-or3": [MID_NEW],
            "http-pred-strncmp8": [MID_NEW],
            "http-pred-u32": [MID_NEW],
            "http-pred-u32uptr": [MID_NEW],
            "http-syscall-msg": [MID_NEW],
        },
    ),
    Difference(
        "str() of n bytes keeps one less in 0.24 and later, and equals something else",
        without_events("(sendto|write) .*"),
        {
            "http-pred-strncmp4": [MID_NEW],
            "http-syscall-str3": [MID_NEW],
            "http-syscall-str4": [MID_NEW],
            "http-syscall-str5": [MID_NEW],
        },
    ),
]

# What text does not tell.
_TEXT = [
    Difference(
        "a string with newlines is several lines of text",
        in_lines,
        {
            "binary-join": ALL,
            "fire-mariadb": ALL,
            "http-pred-or3": ALL,
            "http-pred-strncmp4": [OLD, MID],
            "http-pred-strncmp8": ALL,
            "http-pred-u32": ALL,
            "http-pred-u32uptr": [MID, NEW],
            "http-syscall-msg": ALL,
            "http-syscall-str4": [OLD, MID],
            "http-syscall-str5": [NEW],
        },
    ),
    Difference(
        "a stack is several lines of text",
        in_lines,
        {"kstack": ALL},
    ),
    Difference(
        "a line that looks like one of a map is one in text",
        bodies_only,
        {"tool-tcpsynbl": [OLD, MID]},
    ),
    Difference(
        "a text with newlines is several lines",
        without_events("two\nlines|two|lines"),
        {"printf": ALL},
    ),
    Difference(
        "a text with newlines is several lines",
        unnamed('str "q" nl'),
        {"print-value": ALL},
    ),
    Difference(
        "text does not tell what of print() and printf() printed a 1",
        unnamed("1"),
        {"bool-enum": ALL},
    ),
    Difference(
        "a name with a newline is two lines of text",
        without_events(r"nl\nx\|1|nl|x\|1|nl\nx|x|\(nl\nx, 1\)|\(nl|x, 1\)"),
        {"weird-comm": ALL},
    ),
    Difference(
        "a line of text loses the carriage return at its end",
        without_events("tab\tcr"),
        {"weird-comm": ALL},
    ),
]

# What we could do better.
_OURS = [
    Difference(
        "ours: in text only a stack can be the key of two entries",
        without_metric("ebpf.dupkeys_ustack.us"),
        {"dupkeys-ustack": ALL},
    ),
    Difference(
        "ours: a tuple in text may be cut at any comma, although its constants are known",
        without_attribute("ebpf.field_3"),
        {"print-value": ALL},
    ),
]

DIFFERENCES = [*_BPFTRACE, *_TEXT, *_OURS]

# Programs that have the same output, in telling, each time that they run; or that did, in all of these runs.
DETERMINISTIC = (
    "begin-exit",
    "binary-cat-system",
    "binary-join",
    "bool-enum",
    "clear-keyed-count",
    "clear-scalar-avg",
    "clear-scalar-count",
    "clear-scalar-delete",
    "clear-scalar-hist",
    "clear-scalar-int",
    "clear-scalar-zero",
    "cmd-c",
    "dupkeys-ustack",
    "enum-print",
    "errorf-warnf",
    "exit-code",
    "exit-in-middle",
    "fail-no-debugfs-only-tracefs",
    "fail-no-tracefs-uprobe",
    "fail-one-missing-uprobe-of-two",
    "fail-only-exit-in-probe-noevents",
    "fail-posparam-missing",
    "fail-root-bpf-perfmon",
    "fire-malloc",
    "fire-mariadb",
    "fire-pg-usdt",
    "fire-pq",
    "fire-python-usdt",
    "fire-ssl-python",
    "helper-error",
    "helper-error-kk",
    "hist",
    "hist-bits",
    "hist-keys-limit",
    "http-pred-or3",
    "http-pred-strncmp4",
    "http-pred-strncmp8",
    "http-pred-u32",
    "http-pred-u32uptr",
    "http-syscall-msg",
    "http-syscall-msg-typed",
    "http-syscall-msg-uptr",
    "http-syscall-str3",
    "http-syscall-str4",
    "http-syscall-str5",
    "join",
    "kfree-reason",
    "kstack",
    "lang-elif",
    "lang-ifdef-comment",
    "lang-missing-list-uprobe",
    "lang-same-tp-twice",
    "lang-shebang-middle",
    "lang-strcontains",
    "lang-ternary-logical",
    "lang-while-loop",
    "lang-wild-match0-uprobe",
    "lhist",
    "macaddr-cgpath",
    "many-args-printf",
    "map-full",
    "map-keyed",
    "map-scalar",
    "map-tuple",
    "map-tuple-multikey",
    "map-tuple-nestedkey",
    "misc-values2",
    "ofile",
    "pct-formats",
    "print-array-011",
    "print-buf",
    "print-buf-old",
    "print-in-loop-exit",
    "print-int-width",
    "print-map-safe",
    "print-struct-simple",
    "print-value",
    "printf",
    "quiet",
    "runtime-error",
    "stats",
    "stats-neg",
    "str-nonresident",
    "system",
    "tool-bashreadline",
    "tool-biolatency-kp",
    "tool-tcpsynbl",
    "tool-vfscount",
    "tool-xfsdist",
    "tseries",
    "tuple-access",
    "tuple-str",
    "weird-comm",
    "weird-sticky-hex",
)

# The others, and what is never the same.
_ADDRESSES = "addresses"
_COUNTS = "counts of what else went on"
_DURATIONS = "durations"
_PROCESSES = "process ids"
_TIMES = "times"
OTHERS: Mapping[str, str] = {
    "fail-div-zero": "the value of a division by zero",
    "fail-verifier": _TIMES,
    "fire-mariadb-srv": _DURATIONS,
    "fire-nginx": _DURATIONS,
    "fire-redis": _DURATIONS,
    "fire-ssl": "how many steps a handshake takes",
    "lang-args-arrow": _PROCESSES,
    "lost-events": _PROCESSES,
    "misc-values": _ADDRESSES,
    "misc-values-old": _ADDRESSES,
    "print-struct": _ADDRESSES,
    "print-struct-017": _ADDRESSES,
    "profile-fp": _COUNTS,
    "profile-mixed": _COUNTS,
    "profile-nofp": _COUNTS,
    "profile-static": _COUNTS,
    "profile-stripped": _COUNTS,
    "profile-ustack-python": _COUNTS,
    "ssl-payload": _TIMES,
    "stack-raw": _ADDRESSES,
    "strftime": _TIMES,
    "time-cat-join": _TIMES,
    "timestamps": _TIMES,
    "tool-biolatency": _DURATIONS,
    "tool-biosnoop": _DURATIONS,
    "tool-biostacks": _COUNTS,
    "tool-bitesize": _COUNTS,
    "tool-cpuwalk": _COUNTS,
    "tool-gethostlatency": _DURATIONS,
    "tool-killsnoop": _PROCESSES,
    "tool-loads": _TIMES,
    "tool-naptime": _PROCESSES,
    "tool-pidpersec": _COUNTS,
    "tool-runqlat": _DURATIONS,
    "tool-runqlen": _COUNTS,
    "tool-setuids": _PROCESSES,
    "tool-ssllatency": _DURATIONS,
    "tool-sslsnoop": _DURATIONS,
    "tool-statsnoop": _PROCESSES,
    "tool-syncsnoop": _PROCESSES,
    "tool-syscount": _COUNTS,
    "tool-tcpdrop": _PROCESSES,
    "tool-threadsnoop": _PROCESSES,
    "tool-vfsstat": _TIMES,
    "tool-writeback": _TIMES,
    "tuple-args": _PROCESSES,
    "ustack-exited": _ADDRESSES,
    "ustack-live": _ADDRESSES,
    "ustack-print-live": _ADDRESSES,
}


@dataclass(frozen=True)
class OtherNames:
    """Names of events and metrics that only one format has."""

    reason: str
    only_json: frozenset[str]
    only_text: frozenset[str]


def _names(reason: str, only_json: Iterable[str] = (), only_text: Iterable[str] = ()) -> OtherNames:
    return OtherNames(reason, frozenset(only_json), frozenset(only_text))


_LINES = "a string with newlines is several lines of text"
# (case, version); in all other cases both formats give the same names.
NAMES: Mapping[tuple[str, str], OtherNames] = {
    ("ssl-payload", OLD): _names(_LINES, ["ebpf.ssl_payload.ssl_read"], ["ebpf.ssl_payload"]),
    ("ssl-payload", MID): _names(_LINES, ["ebpf.ssl_payload.ssl_read"], ["ebpf.ssl_payload"]),
    ("ssl-payload", NEW): _names(_LINES, ["ebpf.ssl_payload.ssl_read"], ["ebpf.ssl_payload"]),
    ("time-cat-join", OLD): _names("two time() on a line are one line of text", ["ebpf.time_cat_join.begin"]),
    ("time-cat-join", MID): _names(
        "ours: a line of text can always have been printed by join()",
        ["ebpf.time_cat_join", "ebpf.time_cat_join.begin"],
        ["ebpf.time_cat_join.sys_enter_execve"],
    ),
    ("time-cat-join", NEW): _names(
        "ours: a line of text can always have been printed by join()",
        ["ebpf.time_cat_join", "ebpf.time_cat_join.begin"],
        ["ebpf.time_cat_join.sys_enter_execve"],
    ),
}
