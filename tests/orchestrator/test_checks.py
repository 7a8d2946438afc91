from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.bpftrace.binary import Version
from orchestrator.checks import Check, host_checks, preflight
from orchestrator.endpoint import endpoint_check
from orchestrator.host import Host
from orchestrator.probe_checks import signal_checks

OLD, NEW = Version(0, 17, 0), Version(0, 27, 1)
BPFTRACE = "/usr/bin/bpftrace"
OPTIONS = [
    *("BPF", "BPF_SYSCALL", "BPF_EVENTS", "PERF_EVENTS", "TRACEPOINTS", "FTRACE_SYSCALLS"),
    *("KPROBES", "KPROBE_EVENTS", "UPROBES", "UPROBE_EVENTS", "DEBUG_INFO_BTF"),
]
CONFIG = "boot/config-6.1.0-13-amd64"
TRACING = "sys/kernel/tracing"
ROOT, USER = 0, 1000
ALL, NONE = "000001ffffffffff", "0000000000000000"
BPF_PERFMON = "000000c000000000"
FOUR = "000000c000000006"
FOUR_AND_ADMIN = "000000c000200006"


def status(uid: int, caps: str) -> str:
    return f"Name:\tx\nUid:\t{uid}\t{uid}\t{uid}\t{uid}\nCapEff:\t{caps}\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A host where all is well, seen by root."""
    files = {
        "proc/sys/kernel/osrelease": "6.1.0-13-amd64\n",
        "proc/self/status": status(ROOT, ALL),
        "proc/self/mounts": "debugfs /sys/kernel/debug debugfs rw 0 0\ncgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n",
        "proc/sys/kernel/perf_event_paranoid": "2\n",
        "proc/kallsyms": "0000000000000000 T vfs_read\n",
        "sys/kernel/btf/vmlinux": "",
        "sys/kernel/security/lockdown": "[none] integrity confidentiality\n",
        CONFIG: "".join(f"CONFIG_{name}=y\n" for name in OPTIONS),
        f"{TRACING}/events/sock/inet_sock_set_state/format": "",
        f"{TRACING}/kprobe_events": "",
        f"{TRACING}/uprobe_events": "",
        f"{TRACING}/available_filter_functions": "vfs_read\n",
        "usr/lib/libc.so.6": "",
    }
    for name, content in files.items():
        write(tmp_path, name, content)
    return tmp_path


def write(root: Path, name: str, content: str) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(content)


def remove_tracefs(root: Path) -> None:
    (root / TRACING).rename(root / "elsewhere")
    (root / TRACING).mkdir()


def line(root: Path, subject: str, version: Version | None = OLD) -> Check:
    (found,) = [check for check in host_checks(Host(root), BPFTRACE, version) if check.subject == subject]
    return found


def test_a_good_host_has_one_ok_line_for_each_subject(root: Path) -> None:
    checks = host_checks(Host(root), BPFTRACE, OLD)
    assert [check.subject for check in checks] == [
        *("kernel", "kernel config", "BTF", "tracefs", "debugfs", "lockdown", "kprobes", "uprobes", "privileges"),
        *("bpftrace", "bpftrace features", "cgroup"),
    ]
    assert {check.status for check in checks} == {"ok"}
    assert preflight(Host(root), BPFTRACE, OLD) is None


@pytest.mark.parametrize("version", [None, Version(0, 11, 3), OLD, NEW])
@pytest.mark.parametrize("path", [None, BPFTRACE])
def test_every_line_that_is_not_ok_has_a_mend(tmp_path: Path, path: str | None, version: Version | None) -> None:
    write(tmp_path, "proc/self/status", status(USER, NONE))
    for check in host_checks(Host(tmp_path), path, version):
        assert bool(check.mend) == (check.status != "ok"), check
        assert check.detail


@pytest.mark.parametrize(("release", "expected"), [("5.10.0-26", "ok"), ("5.4.0-150", "fail"), ("odd", "warning")])
def test_kernel(root: Path, release: str, expected: str) -> None:
    write(root, "proc/sys/kernel/osrelease", release)
    assert line(root, "kernel").status == expected


def test_kernel_config_names_what_is_missing(root: Path) -> None:
    write(root, CONFIG, "".join(f"CONFIG_{name}=y\n" for name in OPTIONS if "KPROBE" not in name))
    check = line(root, "kernel config")
    assert (check.status, check.detail) == ("warning", "without CONFIG_KPROBES, CONFIG_KPROBE_EVENTS")
    write(root, CONFIG, "".join(f"CONFIG_{name}=y\n" for name in OPTIONS if name != "BPF_EVENTS"))
    assert line(root, "kernel config").status == "fail"
    (root / CONFIG).unlink()
    assert line(root, "kernel config").status == "warning"


def test_btf_is_needed_from_0_25_on(root: Path) -> None:
    (root / "sys/kernel/btf/vmlinux").unlink()
    assert line(root, "BTF", OLD).status == "warning"
    assert line(root, "BTF", NEW).status == "fail"


def test_tracefs_not_mounted(root: Path) -> None:
    remove_tracefs(root)
    check = line(root, "tracefs")
    assert check.status == "fail"
    assert "mount -t tracefs" in check.mend
    assert line(root, "kprobes").status == "warning"
    error = preflight(Host(root), BPFTRACE, OLD)
    assert error is not None
    assert error.exit_code == 3
    assert "mount -t tracefs" in str(error)


def test_tracefs_that_only_root_may_see_is_no_reason_to_stop(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remove_tracefs(root)
    monkeypatch.setattr("os.access", lambda *_: False)
    assert line(root, "tracefs").status == "warning"
    assert line(root, "tracefs").mend == "run this check as root"
    assert preflight(Host(root), BPFTRACE, OLD) is None


def test_debugfs_is_not_missed_where_tracefs_is(root: Path) -> None:
    write(root, "proc/self/mounts", "")
    assert line(root, "debugfs").status == "ok"
    remove_tracefs(root)
    assert line(root, "debugfs").status == "warning"


def test_lockdown(root: Path) -> None:
    write(root, "sys/kernel/security/lockdown", "none [integrity] confidentiality\n")
    assert line(root, "lockdown").status == "ok"
    write(root, "sys/kernel/security/lockdown", "none integrity [confidentiality]\n")
    assert line(root, "lockdown").status == "fail"
    assert "lockdown" in str(preflight(Host(root), BPFTRACE, OLD))


def test_missing_kprobes_are_no_failure(root: Path) -> None:
    (root / TRACING / "kprobe_events").unlink()
    assert line(root, "kprobes").status == "warning"
    assert line(root, "uprobes").status == "ok"


@pytest.mark.parametrize(
    ("uid", "caps", "version", "expected", "words"),
    [
        (ROOT, BPF_PERFMON, OLD, "ok", "uid 0 with CAP_BPF, CAP_PERFMON"),
        (ROOT, BPF_PERFMON, NEW, "ok", ""),
        (ROOT, "0000000000200000", NEW, "ok", ""),  # CAP_SYS_ADMIN stands for both
        (ROOT, "0000008000000000", OLD, "fail", "uid 0 lacks CAP_PERFMON of CAP_BPF, CAP_PERFMON"),
        (USER, FOUR, OLD, "fail", "runs only as root, and this is uid 1000"),
        (USER, FOUR, NEW, "ok", "CAP_DAC_READ_SEARCH, CAP_DAC_OVERRIDE"),
        (USER, BPF_PERFMON, NEW, "fail", "lacks CAP_DAC_READ_SEARCH, CAP_DAC_OVERRIDE of"),
        (USER, NONE, None, "fail", "lacks CAP_BPF, CAP_PERFMON, CAP_DAC_READ_SEARCH, CAP_DAC_OVERRIDE"),
    ],
)
def test_privileges(root: Path, uid: int, caps: str, version: Version | None, expected: str, words: str) -> None:
    write(root, "proc/self/status", status(uid, caps))
    check = line(root, "privileges", version)
    assert check.status == expected
    assert words in check.detail
    error = preflight(Host(root), BPFTRACE, version)
    assert (error is not None) == (expected == "fail")


def test_with_sudo_it_does_not_matter_who_we_are_and_what_we_may_see(root: Path) -> None:
    write(root, "proc/self/status", status(USER, NONE))
    assert preflight(Host(root), BPFTRACE, OLD, sudo=True) is None
    write(root, "sys/kernel/security/lockdown", "none integrity [confidentiality]\n")
    assert "lockdown" in str(preflight(Host(root), BPFTRACE, OLD, sudo=True))


def test_privileges_mend_can_be_copied(root: Path) -> None:
    write(root, "proc/self/status", status(USER, "0000000000000006"))
    mend = line(root, "privileges", NEW).mend
    assert "run with --sudo" in mend
    assert "AmbientCapabilities=CAP_BPF CAP_PERFMON in the unit" in mend
    assert "`setcap cap_bpf,cap_perfmon+ep /usr/bin/bpftrace`" in mend


def test_privileges_of_root_in_a_container(root: Path) -> None:
    write(root, "proc/self/status", status(ROOT, "00000000a80425fb"))
    assert "CapabilityBoundingSet=CAP_BPF CAP_PERFMON" in line(root, "privileges").mend
    assert "sudo" not in line(root, "privileges").mend


def test_privileges_where_perf_is_closed_by_ubuntu(root: Path) -> None:
    write(root, "proc/sys/kernel/perf_event_paranoid", "4\n")
    write(root, "proc/self/status", status(USER, FOUR))
    assert line(root, "privileges", NEW).status == "warning"
    write(root, "proc/self/status", status(USER, FOUR_AND_ADMIN))
    assert line(root, "privileges", NEW).status == "ok"


def test_bpftrace(root: Path) -> None:
    assert line(root, "bpftrace", OLD) == Check("bpftrace", "ok", "/usr/bin/bpftrace 0.17.0", "")
    assert line(root, "bpftrace", Version(0, 16, 0)).status == "fail"
    assert line(root, "bpftrace", None).status == "warning"
    checks = host_checks(Host(root), None, None, "bpftrace is not installed: apt-get install bpftrace")
    assert Check("bpftrace", "fail", "not found", "bpftrace is not installed: apt-get install bpftrace") in checks


def test_features(root: Path) -> None:
    old = line(root, "bpftrace features", OLD)
    assert old.status == "ok"
    assert "but not config blocks (0.20)" in old.detail
    assert "getopt" in old.detail.partition("but not")[2]
    middle = line(root, "bpftrace features", Version(0, 23, 2)).detail.partition("but not")
    assert "config blocks" in middle[0]
    assert "getopt" in middle[2]
    assert "but not" not in line(root, "bpftrace features", NEW).detail


def test_cgroup(root: Path) -> None:
    write(root, "proc/self/mounts", "cgroup /sys/fs/cgroup/cpu cgroup rw 0 0\n")
    assert line(root, "cgroup").status == "warning"


# --- signal_checks ---


@pytest.mark.parametrize(
    ("probe", "expected", "words"),
    [
        ("tracepoint:sock:inet_sock_set_state", "ok", ""),
        ("t:sock:inet_*", "ok", ""),
        ("tracepoint:sock:sock_send_length", "fail", "no tracepoint sock:sock_send_length"),
        ("kprobe:vfs_read", "ok", ""),
        ("kretprobe:vfs_read", "ok", ""),
        ("kprobe:vfs_*", "ok", ""),
        ("kprobe:vfs_read+16", "ok", ""),
        ("kprobe:blk_account_io_start", "fail", "no function blk_account_io_start"),
        ("kfunc:vfs_read", "ok", ""),
        ("fentry:vmlinux:vfs_read", "ok", ""),
        ("fexit:nonesuch", "fail", "no function nonesuch"),
        ("uprobe:/usr/lib/libc.so.6:malloc", "ok", ""),
        ("uretprobe:/usr/lib/none.so:malloc", "fail", "no file /usr/lib/none.so"),
        ("usdt:libc:setjmp", "ok", ""),
        ("profile:hz:99", "ok", ""),
        ("interval:s:1", "ok", ""),
        ("software:page-faults:100", "ok", ""),
        ("BEGIN", "ok", ""),
        ("self:signal:SIGUSR1", "ok", ""),
        ("hardware:cpu-cycles:100000", "warning", "cannot be checked"),
        ("nonsense", "warning", "cannot be checked"),
    ],
)
def test_signal_probe(root: Path, probe: str, expected: str, words: str) -> None:
    (check,) = signal_checks(Host(root), [probe])
    assert (check.subject, check.status) == (probe, expected)
    assert words in check.detail
    assert bool(check.mend) == (expected != "ok")


@pytest.mark.parametrize(
    ("missing", "probe"),
    [
        ("kprobe_events", "kprobe:vfs_read"),
        ("uprobe_events", "uprobe:/usr/lib/libc.so.6:malloc"),
        ("available_filter_functions", "kfunc:vfs_read"),
    ],
)
def test_signal_probe_of_a_kind_that_the_kernel_lacks(root: Path, missing: str, probe: str) -> None:
    (root / TRACING / missing).unlink()
    (check,) = signal_checks(Host(root), [probe])
    assert check.status == "fail"


@pytest.mark.parametrize(
    "probe", ["tracepoint:a:b", "kprobe:vfs_read", "uprobe:/usr/lib/libc.so.6:x", "fentry:vfs_read"]
)
def test_signal_probe_without_tracefs_is_not_judged(root: Path, probe: str) -> None:
    remove_tracefs(root)
    (check,) = signal_checks(Host(root), [probe])
    assert check.status == "warning"
    assert "mount -t tracefs" in check.mend


def test_signal_uprobe_without_cap_sys_admin(root: Path) -> None:
    write(root, "proc/self/status", status(USER, FOUR))
    (check,) = signal_checks(Host(root), ["uprobe:/usr/lib/libc.so.6:malloc"])
    assert (check.status, check.detail) == ("warning", "uprobes may want CAP_SYS_ADMIN")


def test_signal_needs_btf(root: Path) -> None:
    assert [check.status for check in signal_checks(Host(root), ["BEGIN", "BEGIN"], True)] == ["ok", "ok"]
    (root / "sys/kernel/btf/vmlinux").unlink()
    assert [(check.subject, check.status) for check in signal_checks(Host(root), [], True)] == [("BTF", "fail")]
    assert signal_checks(Host(root), [], False) == signal_checks(Host(root), []) == []


# --- endpoint_check ---


@pytest.fixture
def listener() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize("form", ["http://127.0.0.1:{}", "http://127.0.0.1:{}/v1/metrics", "127.0.0.1:{}"])
def test_endpoint_that_listens(listener: int, form: str) -> None:
    check = endpoint_check(form.format(listener), 1.0)
    assert check == Check("endpoint", "ok", f"127.0.0.1:{listener} accepts connections", "")


def test_endpoint_that_does_not_listen() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    check = endpoint_check(f"http://user:secret@127.0.0.1:{port}", 1.0)
    assert (check.status, check.detail) == ("fail", f"127.0.0.1:{port} cannot be reached: Connection refused")
    assert check.mend
    assert "secret" not in repr(check)


@pytest.mark.parametrize(
    ("error", "words"),
    [(TimeoutError("timed out"), "gave no answer in 0.5 s"), (socket.gaierror(-2, "unknown"), "has no address")],
)
def test_endpoint_out_of_reach(monkeypatch: pytest.MonkeyPatch, error: OSError, words: str) -> None:
    asked: list[object] = []

    def refuse(address: object, timeout: float) -> socket.socket:
        asked.append((address, timeout))
        raise error

    monkeypatch.setattr(socket, "create_connection", refuse)
    check = endpoint_check("https://collector.example", 0.5)
    assert asked == [(("collector.example", 443), 0.5)]
    assert check.status == "fail"
    assert words in check.detail
    assert check.mend


@pytest.mark.parametrize("url", ["", "http://", "http://host:99999", "http://[", "unix:///run/otlp.sock"])
def test_endpoint_without_an_address(url: str) -> None:
    assert endpoint_check(url, 1.0).status == "fail"
