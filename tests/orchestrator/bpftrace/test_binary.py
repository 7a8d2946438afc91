from __future__ import annotations

import re
from pathlib import Path

import pytest
from pytest_subprocess import FakeProcess

from orchestrator.bpftrace import binary, complaints
from orchestrator.bpftrace.binary import Version
from orchestrator.errors import HostError

RLIMIT = (
    'couldn\'t set RLIMIT_MEMLOCK for bpftrace. If your program is not loading, you can try "ulimit -l 8192" to fix'
)
HARMLESS_17 = [f"ERROR: Unknown error -1: {RLIMIT} the problem"]
HARMLESS_27 = [
    "WARNING: Could not read functions from /sys/kernel/debug/tracing/available_filter_functions. If this is expected, "
    "use --traceable-functions to set this path manually. This file is needed in order to determine which functions "
    "can safely be traced without causing issues in the kernel.",
    f"WARNING: Unknown error -1: {RLIMIT} the problem",
]


def executable(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


# --- find_bpftrace ---


def test_find_takes_the_given_path(tmp_path: Path) -> None:
    path = str(executable(tmp_path / "mine"))
    assert binary.find_bpftrace(path) == path


def test_find_looks_into_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = executable(tmp_path / "bin" / "bpftrace")
    monkeypatch.setenv("PATH", str(path.parent))
    assert binary.find_bpftrace(None) == str(path)


def test_find_looks_beyond_the_short_path_of_cron(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = executable(tmp_path / "sbin" / "bpftrace")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(binary, "_ALSO_IN", str(path.parent))
    assert binary.find_bpftrace(None) == str(path)


@pytest.mark.parametrize("mode", [None, 0o644])
def test_find_refuses_a_path_that_cannot_be_executed(tmp_path: Path, mode: int | None) -> None:
    path = tmp_path / "bpftrace"
    if mode is not None:
        path.touch(mode)
    with pytest.raises(HostError, match=r"bpftrace is not an executable file: give .*--bpftrace"):
        binary.find_bpftrace(str(path))


@pytest.mark.parametrize(
    ("tool", "mend"),
    [
        ("apt-get", "bpftrace is not installed: apt-get install bpftrace"),
        ("dnf", "bpftrace is not installed: dnf install bpftrace"),
        ("pacman", "bpftrace is not installed: pacman -S bpftrace"),
        ("unheard-of", "bpftrace is not installed: install bpftrace with your distribution's package manager"),
    ],
)
def test_find_names_the_package_manager_of_this_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tool: str, mend: str
) -> None:
    executable(tmp_path / tool)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(binary, "_ALSO_IN", "")
    with pytest.raises(HostError) as caught:
        binary.find_bpftrace(None)
    assert str(caught.value) == mend
    assert caught.value.exit_code == 3


# --- version ---


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("bpftrace v0.17.0\n", Version(0, 17, 0)),
        ("bpftrace v0.23.2\n", Version(0, 23, 2)),
        ("v0.27.1", Version(0, 27, 1)),
        ("bpftrace 0.20", Version(0, 20, 0)),
        ("bpftrace v0.21.0-89-g0a1b2c3d-dirty", Version(0, 21, 0)),
        ("libbpf: some noise\nbpftrace v1.2.3-rc1", Version(1, 2, 3)),
        ("bpftrace unknown", None),
        ("", None),
        ("usage: 3.4 of them", None),
    ],
)
def test_parse_version(text: str, version: Version | None) -> None:
    assert binary.parse_version(text) == version


def test_versions_compare_as_numbers() -> None:
    assert Version(0, 9, 4) < binary.MINIMUM <= Version(0, 17, 0) < Version(0, 17, 1)
    assert str(Version(0, 17, 0)) == "0.17.0"


def test_read_version_runs_the_binary(fp: FakeProcess) -> None:
    fp.register(["/usr/bin/bpftrace", "--version"], stdout="bpftrace v0.23.2\n")
    assert binary.read_version("/usr/bin/bpftrace") == Version(0, 23, 2)


def test_read_version_runs_the_binary_once(fp: FakeProcess) -> None:
    fp.register(["/opt/bpftrace", "--version"], stdout="bpftrace v0.23.2\n")
    assert [binary.read_version("/opt/bpftrace") for _ in range(3)] == [Version(0, 23, 2)] * 3
    assert fp.call_count(["/opt/bpftrace", "--version"]) == 1


def test_read_version_of_something_else_is_unknown(fp: FakeProcess) -> None:
    fp.register(["/bin/true", "--version"], stdout="true (GNU coreutils) 9.1\n")
    fp.register(["/bin/false", "--version"], stdout="v0.27.1", returncode=1)
    assert binary.read_version("/bin/true") is None
    assert binary.read_version("/bin/false") is None


def test_read_version_does_not_wait_for_ever(tmp_path: Path) -> None:
    path = executable(tmp_path / "bpftrace")
    path.write_text("#!/bin/sh\nexec sleep 60\n")
    with pytest.raises(HostError, match=r"--version gave no answer in 0\.1 s"):
        binary.read_version(str(path), timeout=0.1)


def test_read_version_of_a_file_for_another_machine(tmp_path: Path) -> None:
    path = executable(tmp_path / "bpftrace")
    path.write_bytes(b"\x7fELF nonsense")
    with pytest.raises(HostError, match="cannot be run"):
        binary.read_version(str(path))


# --- environment ---


def test_environment_sets_the_names_of_all_versions() -> None:
    assert binary.environment({"HOME": "/root"}, strings=200, map_keys=4096, pages=512) == {
        "HOME": "/root",
        "BPFTRACE_STRLEN": "200",
        "BPFTRACE_MAX_STRLEN": "200",
        "BPFTRACE_MAP_KEYS_MAX": "4096",
        "BPFTRACE_MAX_MAP_KEYS": "4096",
        "BPFTRACE_PERF_RB_PAGES": "512",
    }


def test_environment_leaves_what_the_user_set() -> None:
    base = {"BPFTRACE_STRLEN": "64", "BPFTRACE_PERF_RB_PAGES": "16", "BPFTRACE_MAX_MAP_KEYS": "9"}
    result = binary.environment(base, strings=200, map_keys=4096, pages=512)
    # 0.27 reads the new name only: the user's 64 must reach it too
    assert (result["BPFTRACE_STRLEN"], result["BPFTRACE_MAX_STRLEN"]) == ("64", "64")
    assert (result["BPFTRACE_MAP_KEYS_MAX"], result["BPFTRACE_MAX_MAP_KEYS"]) == ("9", "9")
    assert result["BPFTRACE_PERF_RB_PAGES"] == "16"
    assert base == {"BPFTRACE_STRLEN": "64", "BPFTRACE_PERF_RB_PAGES": "16", "BPFTRACE_MAX_MAP_KEYS": "9"}


def test_environment_leaves_the_strings_of_a_strangers_program_alone() -> None:
    """They share the stack with all else that it has there."""
    assert binary.environment({"HOME": "/root"}, strings=None, map_keys=4096, pages=512) == {
        "HOME": "/root",
        "BPFTRACE_MAP_KEYS_MAX": "4096",
        "BPFTRACE_MAX_MAP_KEYS": "4096",
        "BPFTRACE_PERF_RB_PAGES": "512",
    }


@pytest.mark.parametrize("name", ["BPFTRACE_STRLEN", "BPFTRACE_MAX_STRLEN"])
def test_environment_gives_the_users_own_size_of_strings_to_every_version(name: str) -> None:
    result = binary.environment({name: "64"}, strings=None, map_keys=4096, pages=512)
    assert (result.get("BPFTRACE_STRLEN"), result.get("BPFTRACE_MAX_STRLEN")) == ("64", "64")


# --- capabilities ---

TWO = ("CAP_BPF", "CAP_PERFMON")
FOUR = (*TWO, "CAP_DAC_READ_SEARCH", "CAP_DAC_OVERRIDE")
UPROBE = ["uprobe:/lib/libc.so.6:malloc"]


@pytest.mark.parametrize(
    ("version", "uid", "probes", "wanted"),
    [
        (Version(0, 17, 0), 0, [], (False, TWO)),
        (Version(0, 17, 0), 1000, [], (True, FOUR)),
        (Version(0, 23, 2), 1000, [], (True, FOUR)),
        (Version(0, 25, 0), 1000, [], (False, FOUR)),
        (Version(0, 27, 1), 0, [], (False, TWO)),
        (Version(0, 27, 1), 1000, [], (False, FOUR)),
        (None, 1000, [], (False, FOUR)),
        (Version(0, 23, 2), 0, UPROBE, (False, TWO)),
        (Version(0, 27, 1), 0, UPROBE, (False, (*TWO, "CAP_SYS_ADMIN"))),
        (Version(0, 27, 1), 1000, ["usdt:/bin/x:a:b"], (False, (*FOUR, "CAP_SYS_ADMIN"))),
        (Version(0, 27, 1), 1000, ["tracepoint:sched:sched_switch", "profile:hz:99"], (False, FOUR)),
    ],
)
def test_capabilities_wanted(
    version: Version | None, uid: int, probes: list[str], wanted: tuple[bool, tuple[str, ...]]
) -> None:
    assert binary.capabilities_wanted(version, uid, probes) == wanted


# --- worth_telling ---


@pytest.mark.parametrize(
    "lines",
    [
        HARMLESS_17,
        HARMLESS_27,
        ["WARNING: Could not read symbols from /sys/kernel/debug/tracing/available_filter_functions: Operation not"],
        ["WARNING: BPFTRACE_STRLEN is deprecated. Use BPFTRACE_MAX_STRLEN instead."],
        ["WARNING: Addrspace is not set"],
        ["Attached 3 probes", "", ""],
        [
            "stdin:1:17-41: WARNING: While loops are deprecated and may be removed in the future.",
            "BEGIN { $i = 0; while ($i < 3) { $i++; } exit(); }",
            "                ~~~~~~~~~~~~~~~~~~~~~~~~",
            "HINT: For loops support ranges (e.g. `for ($x : $start..$end) { ... }`), and can be used in place of",
        ],
        [
            "stdin:1:40-49: WARNING: Due to it's asynchronous nature using 'print()' in a loop can lead to unexpected "
            "behavior. The map will likely be updated before the runtime can 'print' it.",
            "BEGIN { $i = 0; while ($i < 3) { $i++; print($i); } @a[1]=1; exit(); }",
            "                                       ~~~~~~~~~",
        ],
        [
            "/usr/sbin/naptime.bt:53:7-20: WARNING: Addrspace mismatch",
            "  if (args.ret == 0) {",
            "      ~~~~~~~~~~~~~",
            "/usr/sbin/naptime.bt:51:1-22: WARNING: expanded from",
            "/has_key(@rqtp, tid)/",
            "~~~~~~~~~~~~~~~~~~~~~",
            "/usr/sbin/naptime.bt:59:3-21: WARNING: Return value discarded.",
            "  delete(@rqtp, tid);",
            "  ~~~~~~~~~~~~~~~~~~",
            "f.bt:2:9-17: WARNING: Unnecessary cast: expression is already of type uint64",
            "  $a = (uint64)nsecs;",
            "       ~~~~~~~~~~~~~",
        ],
        [
            "f.bt:4-5: WARNING: Return value discarded.",
            "  delete(@a,",
            "    tid);",
        ],
    ],
)
def test_worth_telling_drops_what_healthy_hosts_say(lines: list[str]) -> None:
    assert complaints.worth_telling(lines) == []
    assert complaints.is_harmless(lines[0])


def test_worth_telling_keeps_an_error_with_its_source() -> None:
    error = [
        "syntax.bt:1:20-21: ERROR: syntax: expected ')'",
        'BEGIN { printf("x" }',
        "                   ~",
    ]
    harmless = ["f.bt:1:1-2: WARNING: Addrspace mismatch", "BEGIN", "~"]
    assert complaints.worth_telling([*HARMLESS_27, *harmless, *error, *harmless]) == error


def test_worth_telling_keeps_a_hint_of_what_it_keeps() -> None:
    lines = [
        "stdin:1:1-15: ERROR: Your program is trying to generate more than 2305 BPF programs",
        "tracepoint:*:* { @=count(); }",
        "~~~~~~~~~~~~~~",
        "HINT: You can increase the limit through the BPFTRACE_MAX_BPF_PROGS environment variable.",
    ]
    assert complaints.worth_telling(lines) == lines


def test_worth_telling_does_not_swallow_what_follows_a_warning_without_source() -> None:
    lines = ["f.bt:3-9: WARNING: Return value discarded.", "ERROR: Error attaching probe: 'kprobe:vfs_read'"]
    assert complaints.worth_telling(lines) == lines[1:]


def test_worth_telling_folds_repeated_messages() -> None:
    full = [
        "f.bt:1:1-5: WARNING: Map full; can't update element.",
        "@a[tid] = 1;",
        "~~~~",
    ]
    skipped = "WARNING: could not attach probe kprobe:blk_account_io_start, skipping."
    told = complaints.worth_telling([*full, skipped, *full, *full])
    assert told == [f"{full[0]} (x 3)", *full[1:], skipped]


def test_worth_telling_is_safe_to_print() -> None:
    (told,) = complaints.worth_telling(["ERROR:\x1b]0;owned\x07\x1b[2J\t\udcff\u202e end\r\n"])
    assert told == "ERROR:\\x1b]0;owned\\x07\\x1b[2J \\xff\\u202e end"
    assert len(complaints.worth_telling(["x" * 100_000])[0]) < 1000


# --- explain ---

NO_CAPS_17 = [
    "ERROR: failed to create  map: Operation not permitted",
    "Creation of the required BPF maps has failed.",
    "Make sure you have all the required permissions and are not confined (e.g. like",
    "snapcraft does). `dmesg` will likely have useful output for further troubleshooting",
]
KPROBE_17 = [
    "kprobe.bt:1:1-16: WARNING: vfs_read is not traceable (either non-existing, inlined, or marked as "
    '"notrace"); attaching to it will likely fail',
    "kprobe:vfs_read { exit(); }",
    "~~~~~~~~~~~~~~~",
    "create_probe_event: open(/sys/kernel/debug/tracing/kprobe_events): No such file or directory",
    "ERROR: Error attaching probe: 'kprobe:vfs_read'",
]
KPROBE_27 = [
    "kprobe.bt:1:1-16: ERROR: No matches for kprobe vfs_read.",
    "kprobe:vfs_read { exit(); }",
    "~~~~~~~~~~~~~~~",
]
FIELD_17 = "Struct/union of type 'struct _tracepoint_sched_sched_switch' does not contain a field named 'nonesuch'"
FIELD_27 = "Struct/union of type 'struct tracepoint:sched:sched_switch_args' does not contain a field named 'nonesuch'"
NO_EVENTS_27 = (
    "ERROR: Failed to open kernel function info: Error reading events from /sys/kernel/tracing/available_events "
    "(No such file or directory)"
)
UPROBE_27 = (
    "ERROR: Unable to attach probe: uprobe:/lib/x86_64-linux-gnu/libc.so.6:malloc. If this is expected, set the "
    "'missing_probes' config variable to 'warn'."
)
HZ_27 = UPROBE_27.replace("uprobe:/lib/x86_64-linux-gnu/libc.so.6:malloc", "profile:hz:1000000")
STACK_17 = (
    "error: <unknown>:0:0: in function BEGIN i64 (i8*): Looks like the BPF stack limit of 512 bytes is exceeded. "
    "Please move large on stack variables into BPF per-cpu array map."
)
LOAD_23 = 'ERROR: Unknown BPF object load failure. Try using the "-d libbpf" option to see the full loading log.'
REJECTED_27 = (
    "ERROR: Error loading BPF program for begin_1. Error code: -28 (No space left on device). "
    "Use -v for full kernel error log."
)


@pytest.mark.parametrize(
    ("lines", "returncode", "sentence"),
    [
        (["ERROR: bpftrace currently only supports running as the root user."], 1, "runs only as root.*sudo"),
        (
            ["ERROR: Missing CAP_DAC_READ_SEARCH capability, please run bpftrace as the root user."],
            1,
            "lacks the capability CAP_DAC_READ_SEARCH: run it as root",
        ),
        # 0.27 forgets the blank of this one
        (
            ["ERROR: Missing CAP_DAC_OVERRIDE capabilityplease run bpftrace as"],
            1,
            "lacks the capability CAP_DAC_OVERRIDE:",
        ),
        (NO_CAPS_17, 1, "lacks the capability CAP_BPF: run it as root"),
        (
            ["perf_event_open: Permission denied", "ERROR: Failed to open perf buffer"],
            255,
            "CAP_PERFMON: run it as root",
        ),
        ([LOAD_23, "ERROR: Loading BPF object(s) failed."], 255, "CAP_BPF.*maps.*sudo.*fewer map keys"),
        ([NO_EVENTS_27], 1, "tracefs is not mounted: .*mount -t tracefs"),
        (["open(/sys/kernel/tracing/uprobe_events): No such file or directory"], 0, "tracefs is not mounted"),
        (
            ["f.bt:1:1-36: ERROR: tracepoint not found: sched:sched_process_exec", "tracepoint:...", "~~~~~~"],
            1,
            "no tracepoint sched:sched_process_exec, or tracefs is not mounted",
        ),
        (["tp.bt:1:1-21: ERROR: tracepoints not found: nosuch*:*"], 1, r"no tracepoint nosuch\*:\*,"),
        (["f.bt:1:1-19: ERROR: No matches for tracepoint foo:bar."], 1, "no tracepoint foo:bar, or"),
        (["f.bt:1:1-21: ERROR: Probe has no valid attach points. If this is"], 1, "nothing on this host matches"),
        (["No probes to attach"], 1, "nothing on this host matches"),
        (KPROBE_17, 255, "this kernel has no kprobes.*: use tracepoints"),
        (KPROBE_27, 1, "no kprobe vfs_read, or its kernel no such probes"),
        (["k.bt:1:1-15: ERROR: kfunc/kretfunc not available for your kernel version."], 1, "no kfunc/kretfunc probes"),
        ([f"unknown-field.bt:1:33-53: ERROR: {FIELD_17}"], 1, "field named 'nonesuch': this kernel's version"),
        ([f"unknown-field.bt:1:39-53: ERROR: {FIELD_27}"], 1, "field named 'nonesuch': this kernel's version"),
        ([STACK_17], 1, "512 bytes of BPF stack: use shorter"),
        (["ERROR: 'BPFTRACE_STRLEN' 4096 exceeds the current maximum of 200 bytes."], 1, "at most 200"),
        (["lexer.bt:1:14-30: ERROR: unterminated string"], 1, r"cannot be parsed \(lexer.bt:1:14-30: .*unterminated"),
        (["stdin:1:14-15: ERROR: invalid character '`'"], 1, "cannot be parsed"),
        (['s.bt:1:20-21: ERROR: syntax error, unexpected }, expecting ) or ","'], 1, "cannot be parsed"),
        (["s.bt:1:20-21: ERROR: syntax: expected ')'"], 1, "cannot be parsed.*or it needs a newer bpftrace"),
        (["stdin:1:9-21: ERROR: Unknown function: getopt"], 1, "Unknown function: getopt: .*newer bpftrace"),
        (["FATAL: Invalid probe type made it to attachpoint parser"], -6, "does not know: use a newer one"),
        (["ERROR: Error loading program: BEGIN (try -v)"], 255, "verifier rejected the program of BEGIN"),
        (["ERROR: Error loading BPF program for BEGIN_1. Use -v for"], 255, "verifier rejected the program of BEGIN_1"),
        ([REJECTED_27], 255, "verifier rejected the program of begin_1: simplify"),
        (
            ["ERROR: failed to create map: '@a': Argument list too long"],
            1,
            r"the map @a \(Argument list too long\).*fewer",
        ),
        (["ERROR: failed to create map: '@a': Cannot allocate memory"], 1, "not enough memory"),
        (["terminate called after throwing an instance of 'std::bad_alloc'"], -6, "not enough memory"),
        (["mmap: Invalid argument", "ERROR: Failed to open perf buffer"], 255, "must be a power of two"),
        ([UPROBE_27], 255, r"probe uprobe:\S+:malloc, which may want CAP_SYS_ADMIN"),
        ([HZ_27], 255, "lacks the probe profile:hz:1000000 or refuses it"),
        (
            ["ERROR: uprobe target file '/nonexistent/lib.so' does not exist or is not executable"],
            1,
            "/nonexistent/lib.so",
        ),
        (
            ["ERROR: Could not resolve symbol: /bin/true:nosuch, cannot attach probe."],
            255,
            "no symbol /bin/true:nosuch",
        ),
        (
            ["ERROR: Env var 'BPFTRACE_STRLEN' did not contain a valid uint64_t, or was"],
            1,
            "variable BPFTRACE_STRLEN is",
        ),
        (["max_strlen: expecting a number, got xx"], 2, "setting max_strlen"),
        (["/usr/bin/bpftrace: unrecognized option '--no-warnings'", "USAGE:"], 1, "has no option --no-warnings"),
        (
            ["definitions.h:2:10: fatal error: 'linux/nonesuch.h' file not found"],
            1,
            "header linux/nonesuch.h is missing: install the kernel headers",
        ),
        (
            ["stdin:1:9-21: ERROR: system() is an unsafe function being used in safe mode"],
            1,
            r"system\(\) can change the system: run the program with --unsafe",
        ),
        (
            ["o.bt:1:36-45: ERROR: Can not access field 'filename' on type '(ctx) struct _tracepoint *'"],
            1,
            "args.filename, which this bpftrace does not know: .*args->filename",
        ),
        (["s:1:14-33: ERROR: Unknown struct/union: 'struct nonesuch'"], 1, "needs a kernel with BTF"),
        (['s:1:15-32: ERROR: Cannot resolve unknown type "struct nonesuch"'], 1, "needs a kernel with BTF"),
    ],
)
@pytest.mark.parametrize("harmless", [HARMLESS_17, HARMLESS_27], ids=["0.17", "0.27"])
def test_explain(lines: list[str], returncode: int, sentence: str, harmless: list[str]) -> None:
    said = complaints.explain([*harmless, *lines], returncode)
    assert re.search(sentence, said), said
    assert "\n" not in said
    assert ": " in said, "a cause and a mend"


def test_explain_does_not_take_the_source_for_a_message() -> None:
    lines = [
        "a.bt:1:17-19: ERROR: Type mismatch for @a: trying to assign value of type 'string[2]'",
        'BEGIN { @a = 1; @a = "tracepoint not found: x"; }',
        "                ~~",
    ]
    said = complaints.explain([*HARMLESS_17, *lines], 1)
    assert said == "bpftrace said: Type mismatch for @a: trying to assign value of type 'string[2]' (exit code 1)"


def test_explain_falls_back_to_the_last_error_and_not_to_the_usage_behind_it() -> None:
    lines = ["ERROR: first", "pid.bt:1:1-2: ERROR: Pid out of range: 99999999", "see the manual"]
    assert complaints.explain(lines, 1) == "bpftrace said: Pid out of range: 99999999 (exit code 1)"
    assert complaints.explain(["something else"], 1) == "bpftrace said: something else (exit code 1)"


@pytest.mark.parametrize("returncode", [-9, 137])
def test_explain_a_kill_points_to_memory(returncode: int) -> None:
    assert "SIGKILL: if nobody did that, memory ran out" in complaints.explain(HARMLESS_27, returncode)


def test_explain_names_other_signals() -> None:
    assert complaints.explain(HARMLESS_17, -15).startswith("bpftrace was killed by SIGTERM")
    assert "SIGABRT" in complaints.explain(["terminate called", "  what():  Failed to get `cgroupid`"], 134)


def test_explain_silence() -> None:
    # 0.17 with a uprobe that matches nothing says so on stdout only
    assert "exit code 1 and said nothing" in complaints.explain(HARMLESS_17, 1)
    assert "exit code 255" in complaints.explain([], 255)


def test_explain_is_safe_to_print_and_to_format() -> None:
    said = complaints.explain(["ERROR: tracepoint not found: {0}\x1b[31m"], 1)
    assert "{0}\\x1b[31m" in said
    assert said.isprintable()


@pytest.mark.parametrize(
    "rest",
    [
        ["~~~~~~~~~~"],
        ["stdin:105:1-33: WARNING: expanded from", "/@call[tid].0 != 0/", "~~~~~~~~~~~~~~~~~~~"],
        ["  "],
    ],
)
def test_what_is_left_of_a_message_whose_beginning_is_forgotten_is_not_told(rest: list[str]) -> None:
    """Of much that 0.27 says, only the last lines are kept."""
    assert complaints.worth_telling([*rest, *HARMLESS_27]) == []
    assert complaints.worth_telling([*rest, "ERROR: something"]) == ["ERROR: something"]
