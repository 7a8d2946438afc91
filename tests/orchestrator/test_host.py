from __future__ import annotations

import gzip
import struct
from pathlib import Path

import pytest

from orchestrator.host import Host, parse_capabilities

RELEASE = "6.1.0-13-cloud-amd64"
STATE_FORMAT = """\
name: inet_sock_set_state
ID: 1444
format:
	field:unsigned short common_type;	offset:0;	size:2;	signed:0;
	field:int common_pid;	offset:4;	size:4;	signed:1;

	field:const void * skaddr;	offset:8;	size:8;	signed:0;
	field:__u16 sport;	offset:24;	size:2;	signed:0;
	field:__u8 saddr[4];	offset:32;	size:4;	signed:0;
	field:__data_loc char[] filename;	offset:40;	size:4;	signed:0;

print fmt: "field:bogus; sport=%hu", REC->sport
"""


def tree(root: Path, files: dict[str, str | bytes]) -> Host:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return Host(root)


def tracefs(root: Path, folder: str = "sys/kernel/tracing", **files: str) -> Host:
    events = {"events/sock/inet_sock_set_state/format": STATE_FORMAT, "events/enable": "0"}
    return tree(root, {f"{folder}/{name}": content for name, content in (events | files).items()})


def test_nothing_raises_on_an_empty_tree(tmp_path: Path) -> None:
    host = Host(tmp_path)
    assert host.kernel_release == ""
    assert host.kernel_version is None
    assert host.kernel_build_id is None
    assert host.kernel_config() is None
    assert host.lockdown == "none"
    assert host.perf_event_paranoid is None
    assert host.cgroup is None
    assert host.tracefs is None
    assert host.capabilities == frozenset()
    assert host.has_tracepoint("sched", "sched_switch") is None
    assert host.tracepoint_fields("sched", "sched_switch") is None
    assert host.has_function("vfs_read") is None
    has = [host.has_btf, host.debugfs_mounted, host.tracefs_hidden, host.has_kprobes, host.has_uprobes, host.has_fentry]
    assert not any(has)


def test_kernel_version(tmp_path: Path) -> None:
    host = tree(tmp_path, {"proc/sys/kernel/osrelease": f"{RELEASE}\n"})
    assert host.kernel_release == RELEASE
    assert host.kernel_version == (6, 1)


def note(name: bytes, kind: int, data: bytes) -> bytes:
    """An ELF note as the kernel has it: sizes and type, then name and data, each filled up to a multiple of 4."""
    filled = [part + bytes(-len(part) % 4) for part in (name, data)]
    return struct.pack("=III", len(name), len(data), kind) + b"".join(filled)


BUILD_ID = bytes(range(20))
GNU = note(b"GNU\0", 3, BUILD_ID)
XEN = note(b"Xen\0", 6, b"linux\0")
LINUX = note(b"Linux\0", 257, b"\1")


@pytest.mark.parametrize(
    "notes",
    [
        GNU,
        XEN + LINUX + GNU,
        GNU + XEN,
        note(b"GNU\0", 1, b"an ABI tag......") + GNU,  # another of GNU's notes
        note(b"Go\0\0", 3, b"x" * 20) + GNU,  # a note of that type, but another's
        note(b"", 0, b"") + GNU,
    ],
)
def test_kernel_build_id(tmp_path: Path, notes: bytes) -> None:
    assert tree(tmp_path, {"sys/kernel/notes": notes}).kernel_build_id == "000102030405060708090a0b0c0d0e0f10111213"


@pytest.mark.parametrize(
    "notes",
    [
        b"",
        XEN + LINUX,
        XEN + GNU[:8],
        XEN + GNU[:12],
        XEN + GNU[:-1],
        note(b"GNU\0", 3, b""),
        b"\xff" * 40,
    ],
    ids=["empty", "others", "sizes cut", "name cut", "id cut", "an id of nothing", "sizes of another world"],
)
def test_kernel_build_id_of_notes_without_one(tmp_path: Path, notes: bytes) -> None:
    assert tree(tmp_path, {"sys/kernel/notes": notes}).kernel_build_id is None


CONFIG = b"CONFIG_BPF=y\n# CONFIG_KPROBES is not set\nCONFIG_HZ=250\nCONFIG_UPROBES=m\n"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("proc/config.gz", gzip.compress(CONFIG, mtime=0)),
        (f"boot/config-{RELEASE}", CONFIG),
        (f"lib/modules/{RELEASE}/config", CONFIG),
    ],
)
def test_kernel_config_wherever_it_is(tmp_path: Path, name: str, content: bytes) -> None:
    host = tree(tmp_path, {"proc/sys/kernel/osrelease": RELEASE, name: content})
    assert host.kernel_config() == {"BPF": "y", "HZ": "250", "UPROBES": "m"}


def test_kernel_config_passes_over_a_broken_file(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {"proc/sys/kernel/osrelease": RELEASE, f"boot/config-{RELEASE}": CONFIG}
    good = gzip.compress(CONFIG)
    for broken in (b"not gzip", good[:-12], good[:10] + b"\xff" * 40):
        host = tree(tmp_path, {**files, "proc/config.gz": broken})
        assert host.kernel_config() == {"BPF": "y", "HZ": "250", "UPROBES": "m"}


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        ("[none] integrity confidentiality\n", "none"),
        ("none [integrity] confidentiality\n", "integrity"),
        ("none integrity [confidentiality]\n", "confidentiality"),
    ],
)
def test_lockdown(tmp_path: Path, text: str, mode: str) -> None:
    assert tree(tmp_path, {"sys/kernel/security/lockdown": text}).lockdown == mode


@pytest.mark.parametrize("folder", ["sys/kernel/tracing", "sys/kernel/debug/tracing"])
def test_tracefs_in_both_places(tmp_path: Path, folder: str) -> None:
    assert tracefs(tmp_path, folder).tracefs == tmp_path / folder


def test_tracefs_is_not_mounted_where_there_is_only_its_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "sys/kernel/tracing").mkdir(parents=True)
    host = Host(tmp_path)
    assert host.tracefs is None
    assert not host.tracefs_hidden


def test_tracefs_hidden_from_those_who_are_not_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sys/kernel/tracing").mkdir(parents=True)
    monkeypatch.setattr("os.access", lambda *_: False)  # the tests may run as root, to whom nothing is closed
    assert Host(tmp_path).tracefs_hidden


def test_probes_by_the_files_that_make_them(tmp_path: Path) -> None:
    host = tracefs(tmp_path, uprobe_events="")
    assert host.has_uprobes
    assert not host.has_kprobes
    assert tracefs(tmp_path, kprobe_events="").has_kprobes


def test_fentry_needs_btf_and_a_list_of_functions(tmp_path: Path) -> None:
    assert not tracefs(tmp_path, available_filter_functions="vfs_read\n").has_fentry
    btf = tree(tmp_path, {"sys/kernel/btf/vmlinux": b"\x9f\xeb"})
    assert btf.has_fentry
    assert not tracefs(tmp_path, available_filter_functions="").has_fentry
    (tmp_path / "sys/kernel/tracing/available_filter_functions").unlink()
    assert not btf.has_fentry


def test_has_tracepoint(tmp_path: Path) -> None:
    host = tracefs(tmp_path)
    assert host.has_tracepoint("sock", "inet_sock_set_state") is True
    assert host.has_tracepoint("sock", "inet_*") is True
    assert host.has_tracepoint("*", "*") is True
    assert host.has_tracepoint("sock", "sock_send_length") is False
    assert host.has_tracepoint("tcp", "inet_sock_set_state") is False
    assert host.has_tracepoint("sock/inet_sock_set_state", "format") is False
    assert host.has_tracepoint("..", "events") is False


def test_tracepoint_fields(tmp_path: Path) -> None:
    host = tracefs(tmp_path)
    assert host.tracepoint_fields("sock", "inet_sock_set_state") == frozenset({"skaddr", "sport", "saddr", "filename"})
    assert host.tracepoint_fields("sock", "nonesuch") is None


def test_has_function(tmp_path: Path) -> None:
    symbols = (
        "0000000000000000 T vfs_read\n0000000000000000 t do_exit.cold\n0000000000000000 D data\n"
        "0000000000000000 t in_module\t[nf_tables]\n"
    )
    host = tree(tmp_path, {"proc/kallsyms": symbols})
    assert host.has_function("vfs_read") is True
    assert host.has_function("in_module") is True
    assert [host.has_function(name) for name in ("vfs", "do_exit", "data", "vfs.read")] == [False] * 4


@pytest.mark.parametrize(
    ("mounts", "version"),
    [
        ("cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0\n", "2"),
        ("cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n", "1"),
        ("cgroup /sys/fs/cgroup/cpu cgroup rw 0 0\ncgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n", "hybrid"),
        ("cgroup2 /cgroup2 tmpfs rw 0 0\n", None),
    ],
)
def test_cgroup(tmp_path: Path, mounts: str, version: str | None) -> None:
    assert tree(tmp_path, {"proc/self/mounts": mounts}).cgroup == version


def test_debugfs(tmp_path: Path) -> None:
    assert tree(tmp_path, {"proc/self/mounts": "debugfs /sys/kernel/debug debugfs rw 0 0\n"}).debugfs_mounted


def test_perf_event_paranoid(tmp_path: Path) -> None:
    assert tree(tmp_path, {"proc/sys/kernel/perf_event_paranoid": "-1\n"}).perf_event_paranoid == -1


STATUS = "Name:\tpython3\nUid:\t1000\t0\t0\t0\nCapPrm:\tffffffffffffffff\nCapEff:\t{caps}\nCapBnd:\t000001ffffffffff\n"


@pytest.mark.parametrize(
    ("caps", "names"),
    [
        ("0000000000000000", set()),
        ("000000c000000000", {"CAP_BPF", "CAP_PERFMON"}),
        ("0000000000000006", {"CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH"}),
        ("0000000000200000", {"CAP_SYS_ADMIN"}),
        # a container's default set
        ("00000000a80425fb", {"CAP_DAC_OVERRIDE"}),
    ],
)
def test_parse_capabilities_takes_the_effective_ones(caps: str, names: set[str]) -> None:
    assert parse_capabilities(STATUS.format(caps=caps)) == names


def test_uid_is_the_effective_one(tmp_path: Path) -> None:
    host = tree(tmp_path, {"proc/self/status": STATUS.format(caps="000000c000000000")})
    assert host.uid == 0
    assert host.capabilities == {"CAP_BPF", "CAP_PERFMON"}


def test_what_is_mounted_meanwhile_is_seen(tmp_path: Path) -> None:
    host = Host(tmp_path)
    assert host.tracefs is None
    tracefs(tmp_path)
    assert host.tracefs is not None
