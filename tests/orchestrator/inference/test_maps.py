from __future__ import annotations

from fractions import Fraction

import pytest

from config.manifest import Key, Metric
from orchestrator.inference.maps import MapRules, infer_maps
from orchestrator.signals.series import Bounds, MapRecord, kind_of
from parsers.records import Hist, Map, Stats, TimeSeries
from parsers.script import read_script

TICK = "interval:s:1"


def rules(source: str) -> MapRules:
    return infer_maps("tool", read_script(source))


def metric(source: str, name: str = "m") -> Metric:
    return rules(source).metrics[name]


def assigned(statement: str, head: str = "kprobe:f") -> Metric:
    return metric(f"{head} {{ {statement}; }}")


@pytest.mark.parametrize(
    ("statement", "instrument"),
    [
        ("@m = count()", "counter"),
        ("@m[pid] = count()", "counter"),
        ("@m = sum(args->len)", "counter"),
        ("@m = sum(args->nr_bytes)", "counter"),
        ("@m = sum(args->nr_sector * 512)", "counter"),
        ("@m = sum(nsecs - @start[tid])", "counter"),
        ("@m = sum(1)", "counter"),
        ("@m = sum(args->ret)", "updowncounter"),  # -ENOENT, for one
        ("@m = sum(retval)", "updowncounter"),
        ("@m = sum($delta)", "updowncounter"),
        ("@m = sum(-1)", "updowncounter"),
        ("@m = sum(args->ret - 1)", "updowncounter"),
        ("@m = sum(args->new - 100)", "updowncounter"),
        ("@m++", "counter"),
        ("++@m", "counter"),
        ("@m[comm]++", "counter"),
        ("@m--", "updowncounter"),
        ("--@m", "updowncounter"),
        ("@m++; @m--", "updowncounter"),
        ("@m += args->len", "counter"),
        ("@m += args->ret", "updowncounter"),
        ("@m += 1; @m -= 1", "updowncounter"),
        ("@m = hist(args->len)", "histogram"),
        ("@m = lhist(args->len, 0, 100, 10)", "histogram"),
        ("@m = stats(args->len)", "histogram"),
        ("@m = avg(args->len)", "gauge"),
        ("@m = min(args->len)", "gauge"),
        ("@m = max(args->len)", "gauge"),
        ("@m = tseries(args->len, 1s, 10)", "gauge"),
        ("@m = args->len", "gauge"),
        ("@m = 5; @m++", "gauge"),
        ("@m *= 2", "gauge"),
    ],
)
def test_a_map_is_what_fills_it(statement: str, instrument: str) -> None:
    assert assigned(statement).instrument == instrument


def test_what_goes_up_in_one_probe_and_down_in_another_is_no_counter() -> None:
    assert metric("kprobe:f { @m++; } kretprobe:f { @m--; }").instrument == "updowncounter"
    assert metric("kprobe:f { @m[cpu] += 1; } kretprobe:f { @m[cpu] -= 1; }").instrument == "updowncounter"
    assert metric("kprobe:f { @m = sum(1); } kretprobe:f { @m = sum(-1); }").instrument == "updowncounter"


@pytest.mark.parametrize("begin", ["BEGIN", "begin"])
def test_a_zero_at_the_beginning_is_where_a_counter_starts(begin: str) -> None:
    assert metric(f"{begin} {{ @m = 0; }} kprobe:f {{ @m++; }}").instrument == "counter"
    assert metric(f"{begin} {{ @m = 0; }} kprobe:f {{ @m++; @m--; }}").instrument == "updowncounter"
    assert metric(f"{begin} {{ @m = 7; }} kprobe:f {{ @m++; }}").instrument == "gauge"
    assert metric(f"kprobe:f {{ @m++; }} {TICK} {{ @m = 0; }}").instrument == "gauge"


@pytest.mark.parametrize("predicate", ["args->ret > 0", "args->ret >= 0 && pid == 7", "(int64)retval>0"])
def test_a_return_code_that_is_no_error_only_grows(predicate: str) -> None:
    assert assigned("@m = sum(args->ret)", f"tracepoint:syscalls:sys_exit_read /{predicate}/").instrument == "counter"


@pytest.mark.parametrize("predicate", ["args->ret < 0", "pid == 7", "args->ret != 0"])
def test_a_return_code_that_may_be_an_error_does_not_only_grow(predicate: str) -> None:
    found = assigned("@m = sum(args->ret)", f"tracepoint:syscalls:sys_exit_read /{predicate}/")
    assert found.instrument == "updowncounter"


@pytest.mark.parametrize(
    ("statement", "printed"),
    [
        ("@m = count()", Map("m", ())),
        ("@m = sum(args->len)", Map("m", ())),
        ("@m = min(args->len)", Map("m", ())),
        ("@m = max(args->len)", Map("m", ())),
        ("@m++", Map("m", ())),
        ("@m = args->len", Map("m", ())),
        ("@m = avg(args->len)", Stats("m", ())),
        ("@m = avg(args->len)", Map("m", ())),  # in text
        ("@m = stats(args->len)", Stats("m", ())),
        ("@m = hist(args->len)", Hist("m", ())),
        ("@m = lhist(args->len, 0, 10, 1)", Hist("m", ())),
        ("@m = tseries(args->len, 1s, 10)", TimeSeries("m", ())),
    ],
)
def test_what_bpftrace_prints_of_a_map_can_be_read(statement: str, printed: MapRecord) -> None:
    assert kind_of(printed, assigned(statement).instrument, Fraction(1), Bounds()) is not None


@pytest.mark.parametrize(
    ("statement", "unit"),
    [
        ("@usecs = hist((nsecs - @start[tid]) / 1000)", "us"),
        ("@read_us = hist($x)", "us"),
        ("@lat_ns = stats($x)", "ns"),
        ("@ms[comm] = lhist($x, 0, 100, 10)", "ms"),
        ("@milliseconds = max($x)", "ms"),
        ("@secs = avg($x)", "s"),
        ("@bytes = sum(args->len)", "By"),
        ("@read_bytes += args->len", "By"),
        ("@kb = hist($x)", "KiBy"),
        ("@pages = sum($x)", "{page}"),
        ("@lat = hist(nsecs - @start[tid])", "ns"),
        ("@lat = hist((nsecs - @start[tid]) / 1000)", "us"),
        ("@lat = avg((nsecs - @start[tid]) / 1000000)", "ms"),
        ("@lat = sum((nsecs - @start[tid]) / 1000000000)", "s"),
        ("@lat = hist((nsecs-@start[tid])/1000)", "us"),
        ("@size = hist(args->nr_bytes)", "By"),
        ("@size = hist(args->bytes)", "By"),
        ("@[args->comm] = hist(args->bytes)", "By"),  # bitesize.bt
        ("@reads = count()", "1"),
        ("@reads[pid]++", "1"),
        ("@bytes = count()", "1"),
        ("@us[comm]++", "1"),
        ("@status = args->status", "1"),
        ("@columns = hist(args->len)", "1"),
    ],
)
def test_units(statement: str, unit: str) -> None:
    (found,) = rules(f"kprobe:f {{ {statement}; }}").metrics.values()
    assert found.unit == unit


def test_a_unit_is_traced_through_variables() -> None:
    source = (
        "kprobe:f { @start[tid] = nsecs; } kretprobe:f { $d = nsecs - @start[tid]; $u = $d / 1000; @m = hist($u); }"
    )
    assert metric(source).unit == "us"


@pytest.mark.parametrize(
    ("map_name", "name"),
    [
        ("@reads", "ebpf.tool.reads"),
        ("@ReadBytes", "ebpf.tool.readbytes"),
        ("@a_b", "ebpf.tool.a_b"),
        ("@", "ebpf.tool"),
    ],
)
def test_names(map_name: str, name: str) -> None:
    (found,) = rules(f"kprobe:f {{ {map_name}[comm] = count(); }}").metrics.values()
    assert found.name == name


def test_the_name_of_a_program_can_be_any_file_name() -> None:
    (found,) = infer_maps("My Tool-2.0", read_script("kprobe:f { @Reads = count(); }")).metrics.values()
    assert found.name == "ebpf.my_tool_2_0.reads"


def test_a_metric_says_what_the_program_does() -> None:
    assert assigned("@m[pid, comm] = hist(args->len)").description == "@m[pid, comm] = hist(args->len)"
    assert len(assigned(f"@m = sum({' + '.join(['args->len'] * 100)})").description) <= 200


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("pid, comm", [("process.pid", "int"), ("thread.name", "string")]),
        ("comm, args->ret", [("thread.name", "string"), ("ebpf.return_code", "int")]),
        ("str(args->filename)", [("ebpf.filename", "string")]),
        ("probe, func", [("ebpf.probe", "string"), ("code.function.name", "string")]),
        ("args->dev, $x", [("ebpf.dev", "any"), ("ebpf.x", "any")]),
        ('"read", pid', [("ebpf.key_1", "string"), ("process.pid", "int")]),
        ("pid, 5", [("process.pid", "int"), ("ebpf.key_2", "int")]),
        ("args->prev->pid, args->next->pid", [("ebpf.prev_pid", "any"), ("ebpf.next_pid", "any")]),
        ("args->dev, args->dev", [("ebpf.dev", "any"), ("ebpf.dev_2", "any")]),
        ("cpu, nsecs / 1000000", [("cpu.logical_number", "int"), ("ebpf.nsecs", "any")]),
        ("nsecs", [("ebpf.nsecs", "int")]),
        ("ntop(args->saddr)", [("ebpf.saddr", "string")]),
        ("ksym(arg0), usym(arg1)", [("ebpf.arg0", "string"), ("ebpf.arg1", "string")]),
    ],
)
def test_keys(keys: str, expected: list[tuple[str, str]]) -> None:
    found = assigned(f"@m[{keys}] = count()").keys
    assert [(key.attribute, key.type) for key in found] == expected


def test_a_key_that_is_a_variable_is_what_was_put_into_it() -> None:
    assert assigned("$who = comm; @m[$who] = count()").keys == [Key(attribute="thread.name", type="string")]


@pytest.mark.parametrize("key", ["kstack", "ustack", "kstack(5), comm", "comm, ustack(perf)", "pid, kstack()"])
def test_maps_with_stacks_in_their_keys_are_no_metrics(key: str) -> None:
    found = rules(f"profile:hz:99 {{ @m[{key}] = count(); }}")
    assert (found.metrics, found.texts) == ({}, {})
    assert {part.type for part in found.stacks["m"].keys} & {"kstack", "ustack"}


@pytest.mark.parametrize(
    "value",
    [
        "comm",
        "str(args->filename)",
        "probe",
        "(pid, 1)",
        '"text"',
        "ntop(args->addr)",
        "ksym(arg0)",
        "usym(arg0)",
        "kstack",
        'strftime("%H", nsecs)',
    ],
)
def test_maps_of_text_are_no_metrics(value: str) -> None:
    found = rules(f"kprobe:f {{ @m[pid] = {value}; }}")
    assert (found.metrics, found.stacks) == ({}, {})
    assert (found.texts["m"].name, found.texts["m"].keys) == ("ebpf.tool.m", [Key(attribute="process.pid")])


def test_a_number_of_text_is_a_metric() -> None:
    assert list(rules("kprobe:f { @m = strlen(str(args->filename)); @n[comm] = 5; }").metrics) == ["m", "n"]


@pytest.mark.parametrize("empty", ["clear(@m)", "zero(@m)"])
@pytest.mark.parametrize("shown", ["print(@m)", "print(@m, 10)", "time(); print(@m)"])
def test_a_map_that_is_printed_and_emptied_each_interval_is_added_up(empty: str, shown: str) -> None:
    found = metric(f"kprobe:f {{ @m[comm] = count(); }} {TICK} {{ {shown}; {empty}; }}")
    assert (found.instrument, found.cleared, found.snapshot) == ("counter", True, False)


def test_a_map_that_is_emptied_each_interval_and_at_the_end_too() -> None:
    assert metric(f"kprobe:f {{ @m = hist(pid); }} {TICK} {{ print(@m); clear(@m); }} END {{ clear(@m); }}").cleared


@pytest.mark.parametrize("end", ["END", "end"])
def test_only_the_end_empties(end: str) -> None:
    found = metric(f"kprobe:f {{ @m = count(); }} {end} {{ print(@m); clear(@m); }}")
    assert (found.cleared, found.snapshot) == (False, True)


def test_another_map_is_emptied() -> None:
    source = f"kprobe:f {{ @m = count(); @mm = count(); }} {TICK} {{ print(@mm); clear(@mm); }}"
    assert (metric(source).cleared, metric(source, "mm").cleared) == (False, True)


def test_what_is_printed_more_often_than_emptied_is_not_added_up() -> None:
    """Each print holds what the one before it held: 10 events a second would become 550 in ten seconds."""
    found = metric(f"kprobe:f {{ @m = count(); }} {TICK} {{ print(@m); }} interval:s:10 {{ clear(@m); }}")
    assert (found.instrument, found.cleared) == ("gauge", False)


def test_what_is_emptied_unseen_is_no_counter() -> None:
    """It falls, and nobody knows by how much."""
    assert metric(f"kprobe:f {{ @m = count(); }} {TICK} {{ clear(@m); }}").instrument == "gauge"


@pytest.mark.parametrize("delete", ["delete(@m[pid])", "delete(@m, pid)"])
def test_a_map_that_forgets_keys_is_no_counter(delete: str) -> None:
    found = metric(f"kprobe:f {{ @m[pid] = count(); }} kprobe:g {{ {delete}; }}")
    assert (found.instrument, found.snapshot) == ("gauge", False)
    ended = metric(f"kprobe:f {{ @m[pid] = count(); }} END {{ {delete}; }}")
    assert (ended.instrument, ended.snapshot) == ("counter", True)


@pytest.mark.parametrize(
    "rest",
    [
        "kretprobe:f /@m[tid]/ { @us = hist((nsecs - @m[tid]) / 1000); delete(@m[tid]); }",
        "kretprobe:f { @us = hist((nsecs - @m[tid]) / 1000); }",
        'kretprobe:f { $s = @m[tid]; printf("%d", nsecs - $s); }',
        "kretprobe:f { if (@m[tid]) { exit(); } }",
    ],
)
def test_a_map_that_carries_a_value_to_another_probe_is_not_shown(rest: str) -> None:
    assert not metric(f"kprobe:f {{ @m[tid] = nsecs; }} {rest}").snapshot


def test_a_last_value_that_nobody_reads_is_shown() -> None:
    assert metric("kprobe:f { @m = args->len; }").snapshot


@pytest.mark.parametrize(
    ("statement", "snapshot"),
    [
        ("print(@m)", False),  # the whole map, whenever the program likes
        ("print(@m, 10)", True),  # a part of it
        ("print(@m, 0, 1000)", True),
        ("print(@m[1])", True),
        ("print(@mm)", True),
        ("exit()", True),
    ],
)
def test_a_map_that_the_program_prints_itself_is_not_printed_by_us(statement: str, snapshot: bool) -> None:
    found = metric(f"kprobe:f {{ @m[pid] = count(); @mm = count(); }} {TICK} {{ {statement}; }}")
    assert (found.cleared, found.snapshot) == (False, snapshot)


def test_a_map_that_is_only_read_has_no_meaning() -> None:
    assert rules("kprobe:f { if (@never) { exit(); } print(@other); }") == MapRules()
