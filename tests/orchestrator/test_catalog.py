from __future__ import annotations

import re
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


def sampled(frequency: str) -> str:
    """Stacks of so many samples a second, before the events."""
    profile = f"{{type: samples, unit: count, frequency: {frequency}}}"
    return f"stacks:\n  scratch: {{keys: [{{type: kstack}}], profiles: [{profile}]}}\nevents:\n"


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
        own = {map_name for map_name in map_names(signal.source) if not map_name.startswith("orchestrator_")}
        assert all(map_name.startswith(f"{name}_") for map_name in own)
        assert not {"BEGIN", "END"} & set(probes_used(signal.source))


def test_no_two_lists_of_probes_share_one_of_them() -> None:
    """bpftrace 0.17 puts probes of different lists into one section then, and runs the wrong one in silence."""
    lists: dict[str, str] = {}
    for name in signal_names():
        for head in re.findall(r"^(tracepoint:[\w:,\s]+?)\s*^[/{]", load_signal(name).source, re.MULTILINE):
            points = " ".join(head.split())
            for point in points.split(", "):
                assert lists.setdefault(point, points) == points
    assert "tracepoint:syscalls:sys_exit_read" in lists


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


@pytest.mark.parametrize(
    ("release", "ports", "addresses"), [("6.9.12-1", 1, 0), ("6.10.0-1", 0, 1), ("7.0.0", 0, 1), ("odd", 0, 0)]
)
def test_where_tracefs_is_hidden_the_kernels_version_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, release: str, ports: int, addresses: int
) -> None:
    """As for an unprivileged user with --sudo: bpftrace sees more than we."""
    (tmp_path / "proc/sys/kernel").mkdir(parents=True)
    (tmp_path / "proc/sys/kernel/osrelease").write_text(f"{release}\n")
    monkeypatch.setattr(Host, "tracefs_hidden", property(lambda _: True))
    facts = load_signal("tcp").facts(Host(tmp_path))
    assert facts == {"btf": 0, "no_btf": 1, "reset_ports": ports, "reset_addresses": addresses}


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
        (
            "tpc",
            "no signal 'tpc' (did you mean tcp or http?); `orchestrate list` shows them all, and a path that ends in",
        ),
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


COUNTS = ["count()", "sum(args->prev_pid)"]
GAUGES = ["avg(1)", "min(1)", "max(1)", "tseries(1, 1s, 10)"]
HISTOGRAMS = ["hist(1)", "hist(1, 2)", "lhist(1, 0, 10, 1)"]
NUMBERS = {"counter", "updowncounter", "gauge"}


@pytest.mark.parametrize("instrument", ["counter", "updowncounter", "gauge", "histogram"])
@pytest.mark.parametrize(
    ("function", "possible"),
    [
        *((function, NUMBERS) for function in COUNTS),
        *((function, {"gauge"}) for function in GAUGES),
        *((function, {"histogram"}) for function in HISTOGRAMS),
        ("stats(1)", {"histogram", "gauge"}),
    ],
)
def test_a_map_that_the_metric_cannot_be_made_of(
    tmp_path: Path, function: str, possible: set[str], instrument: str
) -> None:
    path = pair(
        tmp_path,
        bt=BT.replace("@things[args->prev_pid] = count()", f"@things[args->prev_pid] = {function}"),
        yaml=YAML.replace("instrument: counter", f"instrument: {instrument}"),
    )
    if instrument in possible:
        assert load_signal(path).manifest.metrics["things"].instrument == instrument
        return
    with pytest.raises(ConfigError) as caught:
        load_signal(path)
    message = str(caught.value)
    assert f"metrics.things: @things is {function.partition('(')[0]}(), which can be a " in message
    assert set(message.rpartition("can be a ")[2].split(" or ")) == possible


OWN_BT = """\
kprobe:vfs_read /pid == $1 && comm == str($3)/ { @reads = count(); @last[tid] = nsecs; print(("own", nsecs, pid)); }
"""
OWN_YAML = """\
summary: Reads
process: own
parameters:
  "1": {type: int, default: 7, help: Whose}
  "3": {type: string, default: "", pattern: "[a-z]*", help: Called so}
metrics:
  reads: {name: ebpf.reads, instrument: counter, unit: "1", description: Reads}
  last: {name: ebpf.last, instrument: gauge, unit: "1", description: Last, snapshot: false}
events:
  own: {name: ebpf.own, fields: [{type: time}, {attribute: process.pid}]}
"""


def test_a_program_of_ones_own_need_not_say_what_it_costs(tmp_path: Path) -> None:
    signal = load_signal(pair(tmp_path, OWN_BT, OWN_YAML, "own"))
    assert (signal.manifest.kernel, signal.manifest.emitted) == (None, None)
    assert signal.snapshot_maps == ["reads"]


def test_snapshot_maps_are_none_that_the_program_clears(tmp_path: Path) -> None:
    cleared = OWN_YAML.replace("description: Reads}", "description: Reads, cleared: true}")
    assert load_signal(pair(tmp_path, OWN_BT, cleared, "own")).snapshot_maps == []


@pytest.mark.parametrize(
    ("values", "arguments"),
    [
        ({"1": 7, "3": ""}, ["7"]),
        ({"1": 7, "3": "bash"}, ["7", "", "bash"]),
        ({"1": 0, "3": ""}, ["0"]),
        ({"1": "", "3": ""}, []),
        ({"1": 1, "2": 2, "10": 10}, ["1", "2", "", "", "", "", "", "", "", "10"]),
        ({"pid": 5}, []),
    ],
)
def test_positional_parameters_become_arguments(
    tmp_path: Path, values: dict[str, int | str], arguments: list[str]
) -> None:
    assert load_signal(pair(tmp_path, OWN_BT, OWN_YAML, "own")).arguments(values) == arguments


def test_positional_parameters_are_checked_against_the_manifest(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"parameter '3' is not used by own\.bt"):
        load_signal(pair(tmp_path, OWN_BT.replace("str($3)", "str($1)"), OWN_YAML, "own"))
    with pytest.raises(ConfigError, match=r"own\.bt asks for '2', which is neither a parameter"):
        load_signal(pair(tmp_path, OWN_BT.replace("$1", "$2"), OWN_YAML, "own"))


def test_a_comment_asks_for_no_parameter(tmp_path: Path) -> None:
    load_signal(pair(tmp_path, f"// USAGE: own.bt PID $2 NAME\n{OWN_BT}", OWN_YAML, "own"))


def test_a_program_of_ones_own_may_ask_for_facts_of_the_host_and_for_yes_or_no(tmp_path: Path) -> None:
    bt = 'kprobe:vfs_read /getopt("all") || getopt("btf", 0)/ { @reads = count(); }\n'
    yaml = """\
summary: Reads
process: own
parameters:
  all: {type: bool, default: false, help: All}
host:
  btf: {btf: true}
"""
    signal = load_signal(pair(tmp_path, bt, yaml, "own"))
    rendered = signal.render({"all": 1}, host(tmp_path / "root"))
    assert rendered == "kprobe:vfs_read /(1 == 1) || 1/ { @reads = count(); }\n"


def test_programs_with_processes_of_their_own_may_share_names(tmp_path: Path) -> None:
    one, two = (pair(tmp_path, OWN_BT, OWN_YAML, name) for name in ("one", "two"))
    shared = pair(tmp_path, BT.replace("scratch", "reads"), name="three")
    assert [signal.name for signal in find_signals(f"{one},{two},{shared}")] == ["one", "two", "three"]


@pytest.mark.parametrize("version", ["abc", "5", "5.10.3", "-1.0"])
def test_a_version_that_is_none(tmp_path: Path, version: str) -> None:
    with pytest.raises(ConfigError, match="kernel"):
        load_signal(pair(tmp_path, yaml=YAML.replace('kernel: "5.10"', f'kernel: "{version}"')))


def test_find_signals_refuses_two_of_one_name(tmp_path: Path) -> None:
    first, second = pair(tmp_path / "a"), pair(tmp_path / "b")
    with pytest.raises(UsageError, match="two targets are called things"):
        find_signals(f"{first},{second}")


def test_a_program_without_a_manifest_gets_one_and_a_process_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "alone.bt").write_text(BT)
    signal = load_signal(str(tmp_path / "alone.bt"))
    assert (signal.name, signal.source) == ("alone", BT)
    assert signal.manifest.process == "own"
    metric = signal.manifest.metrics["things"]
    assert (metric.name, metric.instrument) == ("ebpf.alone.things", "counter")
    assert [key.type for key in metric.keys] == ["any"]
    assert list(signal.manifest.parameters) == ["pid"]
    # It is run as it was written.
    rendered = signal.render({"pid": 0}, Host(tmp_path))
    assert rendered == BT.replace('getopt("pid", 0)', "0")


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
        (
            "instrument: counter",
            "instrument: histogram",
            ["metrics.things: @things is count(), which can be a counter or updowncounter or gauge"],
        ),
        ("emitted: emitted\n", "", ["events without `emitted`"]),
        ("traces: Every thing\n", "", ["traces is missing"]),
        ("cost: None\n", "", ["cost is missing"]),
        ('kernel: "5.10"\n', "", ["kernel is missing"]),
        ('bpftrace: "0.17"\n', "", ["bpftrace is missing"]),
        ("events:\n", "texts:\n  scrach: {name: ebpf.x}\nevents:\n", ["no map @scrach", "did you mean scratch"]),
        ("events:\n", "stacks:\n  stack: {keys: [{type: kstack}]}\nevents:\n", ["no map @stack"]),
        ("events:\n", sampled("pid"), ["stacks.scratch: frequency: parameter 'pid' may be 0 or less"]),
        (
            "{type: int, default: 0, help: Only this one}\n",
            "{type: bool, default: false, help: h}\n" + sampled("pid").removesuffix("events:\n"),
            ["stacks.scratch: frequency: parameter 'pid' is no int"],
        ),
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


def test_a_frequency_of_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"things.yaml:\d+: stacks.scratch.profiles.0.frequency: expected `int` >= 1"):
        load_signal(pair(tmp_path, yaml=YAML.replace("events:\n", sampled("0"))))


def test_a_copy_of_a_built_in_pair_can_be_run_from_its_files(tmp_path: Path) -> None:
    folder = load_signal("exec").path.parent
    for suffix in ("bt", "yaml"):
        shutil.copy(folder / f"exec.{suffix}", tmp_path / f"mine.{suffix}")
    assert load_signal(str(tmp_path / "mine.bt")).name == "mine"


def test_an_empty_manifest_is_none(tmp_path: Path) -> None:
    """`show FILE.bt --manifest > FILE.yaml`: the shell makes the file first."""
    (tmp_path / "a.bt").write_text("BEGIN { @x = count(); }")
    (tmp_path / "a.yaml").touch()
    assert "x" in load_signal(str(tmp_path / "a.bt")).manifest.metrics
