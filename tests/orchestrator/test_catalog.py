from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from config.errors import ConfigError
from config.parameters import resolve_parameters
from orchestrator.catalog import Signal, find_signals, load_signal, signal_names
from orchestrator.errors import UsageError
from orchestrator.host import Host
from parsers.source import getopt_defaults, map_names, probes_used

BT = """\
tracepoint:sched:sched_switch /getopt("pid", 0) == 0 || pid == getopt("pid", 0)/
{
  @things[args->prev_pid] = count();
  @emitted = count();
  @scratch[tid] = nsecs;
  printf("thing_path %llu %d 0 %rh\\n", nsecs, pid, buf(0, 1));
  print(("thing", nsecs, pid, 1));
}
"""
YAML = """\
summary: Things
traces: Every thing
cost: None
kernel: "5.10"
bpftrace: "0.17"
parameters:
  pid: {type: int, default: 0, help: Only this one}
emitted: emitted
metrics:
  things:
    name: ebpf.things
    instrument: counter
    unit: "{thing}"
    description: Things
    keys: [{attribute: process.pid, decode: same}]
events:
  thing:
    name: ebpf.thing
    fields: [{name: time, type: time}, {attribute: process.pid}, {name: size}]
    parts:
      thing_path: {attribute: process.executable.path, decode: c_string, size: size}
"""


def pair(folder: Path, bt: str = BT, yaml: str = YAML, name: str = "things") -> str:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.bt").write_text(bt)
    (folder / f"{name}.yaml").write_text(yaml)
    return str(folder / f"{name}.bt")


def host(root: Path, *, btf: bool = True, reset_field: str | None = "sport") -> Host:
    """A host with or without BTF, and with one of the two shapes of tcp_send_reset, or without that tracepoint."""
    root.mkdir(parents=True, exist_ok=True)
    if btf:
        (root / "sys/kernel/btf").mkdir(parents=True)
        (root / "sys/kernel/btf/vmlinux").touch()
    events = root / "sys/kernel/tracing/events"
    events.mkdir(parents=True)
    (events / "enable").write_text("0")
    if reset_field:
        (events / "tcp/tcp_send_reset").mkdir(parents=True)
        (events / "tcp/tcp_send_reset/format").write_text(
            f"format:\n\tfield:__u16 {reset_field};\toffset:24;\tsize:2;\n"
        )
    return Host(root)


def rendered(name: str, at: Host, **settings: int | str) -> str:
    signal = load_signal(name)
    values = resolve_parameters({name: signal.manifest}, [])[name]
    return signal.render({**values, **settings}, at)


def test_the_built_in_signals_are_found_and_whole() -> None:
    assert {"exec", "tcp"} <= set(signal_names())
    for name in signal_names():
        signal = load_signal(name)
        assert signal.name == name
        # Joined with others, its maps must not clash.
        own = {map_name for map_name in map_names(signal.source) if map_name != "orchestrator_end"}
        assert all(map_name.startswith(f"{name}_") for map_name in own)
        assert not {"BEGIN", "END"} & set(probes_used(signal.source))


def test_exported_and_scratch_maps() -> None:
    signal = load_signal("exec")
    assert signal.exported_maps == ["exec_calls", "exec_emitted"]
    assert signal.scratch_maps == ["exec_time", "exec_filename", "exec_argv"]
    assert "tcp_start" in load_signal("tcp").scratch_maps
    assert "tcp_connections" in load_signal("tcp").exported_maps


def test_needs_btf() -> None:
    assert load_signal("exec").needs_btf
    assert not load_signal("tcp").needs_btf


@pytest.mark.parametrize(
    ("btf", "field", "facts"),
    [
        (True, "sport", {"btf": 1, "no_btf": 0, "reset_ports": 1, "reset_addresses": 0}),
        (False, "sport", {"btf": 0, "no_btf": 1, "reset_ports": 1, "reset_addresses": 0}),
        (True, "saddr", {"btf": 1, "no_btf": 0, "reset_ports": 0, "reset_addresses": 1}),
        (True, None, {"btf": 1, "no_btf": 0, "reset_ports": 0, "reset_addresses": 0}),
    ],
)
def test_facts_of_a_host(tmp_path: Path, btf: bool, field: str | None, facts: dict[str, int]) -> None:
    assert load_signal("tcp").facts(host(tmp_path, btf=btf, reset_field=field)) == facts


def test_render_leaves_no_question_open(tmp_path: Path) -> None:
    for name in signal_names():
        program = rendered(name, host(tmp_path / name))
        assert getopt_defaults(program) == {}
        assert program.count("{") == program.count("}")


def test_render_has_only_the_probes_that_this_host_and_wish_need(tmp_path: Path) -> None:
    full = host(tmp_path / "full")
    plain = rendered("tcp", full)
    assert "print((" not in plain
    assert "tcp_sock" in plain
    assert not any("accept" in probe for probe in probes_used(plain))
    assert probes_used(plain).count("tracepoint:tcp:tcp_send_reset") == 1
    assert "saddr[2]" not in plain
    events = rendered("tcp", full, events=3)
    assert 'print(("tcp_open"' in events
    assert "tracepoint:syscalls:sys_exit_accept4" in probes_used(events)
    assert "struct" not in rendered("tcp", host(tmp_path / "bare", btf=False), events=3)
    assert "tracepoint:tcp:tcp_send_reset" not in probes_used(rendered("tcp", host(tmp_path / "old", reset_field=None)))


def test_render_exec_by_parameter(tmp_path: Path) -> None:
    at = host(tmp_path)
    assert "tracepoint:sched:sched_process_exit" not in probes_used(rendered("exec", at))
    assert "tracepoint:sched:sched_process_exit" in probes_used(rendered("exec", at, exits=1))
    assert list(probes_used(rendered("exec", at, failed=0))) == ["tracepoint:sched:sched_process_exec"]
    assert 'comm == "q\\"uo\\\\te"' in rendered("exec", at, comm='q"uo\\te')


def test_find_signals_keeps_order_and_drops_doubles() -> None:
    assert [signal.name for signal in find_signals("tcp, exec,tcp")] == ["tcp", "exec"]


def test_a_pair_of_files(tmp_path: Path) -> None:
    path = pair(tmp_path)
    signal = load_signal(path)
    assert isinstance(signal, Signal)
    assert (signal.name, signal.source) == ("things", BT)
    assert [found.name for found in find_signals(f"exec,{path}")] == ["exec", "things"]


@pytest.mark.parametrize(
    ("targets", "words"),
    [
        ("tpc", "no signal 'tpc' (did you mean tcp?); `orchestrate list`"),
        ("", "empty target"),
        ("tcp,,exec", "empty target"),
        ("./nowhere.bt", "no such file: ./nowhere.bt"),
        ("nowhere.bt", "no such file: nowhere.bt"),
    ],
)
def test_find_signals_says_what_is_wrong(targets: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        find_signals(targets)
    assert words in str(caught.value)


def test_find_signals_refuses_a_map_that_two_signals_have(tmp_path: Path) -> None:
    one, two = pair(tmp_path, name="one"), pair(tmp_path, name="two")
    with pytest.raises(UsageError, match="one and two both have @things"):
        find_signals(f"{one},{two}")


@pytest.mark.parametrize(("function", "words"), [("avg(1)", "no metric can be made"), ("hist(1)", "no counter")])
def test_a_map_that_the_metric_cannot_be_made_of(tmp_path: Path, function: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        load_signal(
            pair(tmp_path, bt=BT.replace("@things[args->prev_pid] = count()", f"@things[args->prev_pid] = {function}"))
        )


@pytest.mark.parametrize("version", ["abc", "5", "5.10.3", "-1.0"])
def test_a_version_that_is_none(tmp_path: Path, version: str) -> None:
    with pytest.raises(ConfigError, match="kernel"):
        load_signal(pair(tmp_path, yaml=YAML.replace('kernel: "5.10"', f'kernel: "{version}"')))


def test_find_signals_refuses_two_of_one_name(tmp_path: Path) -> None:
    first, second = pair(tmp_path / "a"), pair(tmp_path / "b")
    with pytest.raises(UsageError, match="two targets are called things"):
        find_signals(f"{first},{second}")


def test_a_program_without_a_manifest(tmp_path: Path) -> None:
    (tmp_path / "alone.bt").write_text(BT)
    with pytest.raises(UsageError, match=r"alone\.bt has no manifest"):
        load_signal(str(tmp_path / "alone.bt"))


def test_a_program_that_is_no_text(tmp_path: Path) -> None:
    path = Path(pair(tmp_path))
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="cannot be read"):
        load_signal(str(path))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("  things:\n", "  thinks:\n", ["no map @thinks", "did you mean things"]),
        ("emitted: emitted", "emitted: emited", ["no map @emited", "did you mean emitted"]),
        ("  thing:\n", "  thin:\n", ["prints no event 'thin'"]),
        ("      thing_path:", "      thing_args:", ["prints no part 'thing_args'"]),
        ("decode: same", "decode: sane", ["metrics.things", "no decoder 'sane'", "did you mean same"]),
        ("decode: c_string", "decode: cstring", ["events.thing.parts.thing_path", "no decoder 'cstring'"]),
        (
            "{attribute: process.pid}",
            "{attribute: a, also: {b: errna}}",
            ["events.thing", "no decoder 'errna'", "errno"],
        ),
        ("size: size}", "size: sizes}", ["events.thing.parts.thing_path", "'sizes'", "did you mean size"]),
        ("type: time", "type: int", ["events.thing: exactly one field has to have type: time"]),
        ("{name: size}", "{name: size, type: time}", ["events.thing: exactly one field has to have type: time"]),
        ("{type: int, default: 0", "{type: int, default: 1", ["parameter 'pid' has default 1, but things.bt has 0"]),
        ("  pid: {", "  pit: {", ["things.bt asks for 'pid', which is neither a parameter nor a host fact"]),
        ("instrument: counter", "instrument: histogram", ["@things is count(), which is no histogram"]),
        ("emitted: emitted\n", "", ["events without `emitted`"]),
        ("{attribute: process.pid, decode: same}", "{attribute: p, decode: c_string}", ["takes bytes", "value is int"]),
        ("{attribute: process.pid}", "{attribute: a, decode: basename}", ["takes string", "value is int"]),
        ("{attribute: process.pid}", "{attribute: a, also: {a: same}}", ["two values are called 'a'"]),
        ("decode: c_string, ", "", ["decode is missing"]),
        (
            "    name: ebpf.thing\n",
            '    name: ebpf.thing\n    body: "{procss.pid}"\n',
            ["body", "did you mean process.pid"],
        ),
        ('    unit: "{thing}"\n', '    unit: "1"\n    range: [9, 1]\n', ["range [9, 1] ends before it begins"]),
        ("{type: int, default: 0,", '{type: string, default: "", pattern: "(",', ["is no regular expression"]),
        ("{type: int, default: 0,", '{type: string, default: é, pattern: ".",', ["'é' is not a value that it takes"]),
        (
            "{type: int, default: 0,",
            "{type: int, default: 0, range: [1, 2],",
            ["parameter 'pid': default 0 is not a value"],
        ),
        (
            "{type: int, default: 0",
            "{type: choice, default: some, choices: {none: 0}",
            ["parameter 'pid': default 'some' is none of its choices"],
        ),
        ("parameters:\n", "parameters:\n  x: {type: bool, default: true, help: h}\n", ["'x' is not used by things.bt"]),
    ],
)
def test_a_pair_whose_halves_do_not_fit(tmp_path: Path, old: str, new: str, words: list[str]) -> None:
    assert YAML.count(old) == 1
    with pytest.raises(ConfigError) as caught:
        load_signal(pair(tmp_path, yaml=YAML.replace(old, new)))
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'things.yaml'}: ")
    for word in words:
        assert word in message


def test_a_copy_of_a_built_in_pair_can_be_run_from_its_files(tmp_path: Path) -> None:
    folder = load_signal("exec").path.parent
    for suffix in ("bt", "yaml"):
        shutil.copy(folder / f"exec.{suffix}", tmp_path / f"mine.{suffix}")
    assert load_signal(str(tmp_path / "mine.bt")).name == "mine"
