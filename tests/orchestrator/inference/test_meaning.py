from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.inference.meaning import Meaning, Scope, meaning_of, unique
from parsers.script import read_script

# A value that goes from one probe to another, in the ways in which tools do it.
TIMED = """
kprobe:f { @start[tid] = nsecs; @who[tid] = comm; @two = pid; }
kretprobe:f /@start[tid]/ {
    $now = nsecs;
    $ns = $now - @start[tid];
    $lat = (nsecs - @start[tid]) / 1000;
    $ms = $ns / 1000000;
    $copy = $ms;
    $id = pid;
    $name = str(args->filename);
    $task = (struct task_struct *)curtask;
    $fd = args->ret < 0 ? -1 : args->ret;
    $a = $b; $b = $a;
    $count = $count + 1;
    @two = tid;
}
"""
ENTRY, RETURN = 0, 1


def meaning(expression: str, probe: int = RETURN) -> Meaning:
    return meaning_of(expression, Scope(read_script(TIMED), probe))


def named(expression: str, probe: int = RETURN) -> tuple[str | None, str]:
    found = meaning(expression, probe)
    return found.attribute, found.type


@pytest.mark.parametrize(
    ("expression", "attribute", "kind"),
    [
        ("comm", "thread.name", "comm"),
        ("pid", "process.pid", "int"),
        ("tid", "thread.id", "int"),
        ("ppid", "process.parent_pid", "int"),
        ("uid", "process.user.id", "int"),
        ("username", "process.user.name", "word"),
        ("cpu", "cpu.logical_number", "int"),
        ("func", "code.function.name", "word"),
        ("probe", "ebpf.probe", "word"),
        ("nsecs", "ebpf.nsecs", "time"),
        ("kstack", "ebpf.stack.kernel", "stack"),
        ("kstack(perf, 3)", "ebpf.stack.kernel", "stack"),
        ("ustack", "ebpf.stack.user", "stack"),
        ("ustack(5)", "ebpf.stack.user", "stack"),
        ("args->ret", "ebpf.return_code", "int"),
        ("args.ret", "ebpf.return_code", "int"),
        ("retval", "ebpf.return_code", "any"),
    ],
)
def test_builtins_have_the_names_of_the_conventions(expression: str, attribute: str, kind: str) -> None:
    assert named(expression) == (attribute, kind)


@pytest.mark.parametrize("form", ["pid()", "pid(init)"])
def test_builtins_of_newer_versions_may_be_called(form: str) -> None:
    """0.23: ``pid([curr_ns|init])``; ``init`` is the default."""
    assert named(form) == ("process.pid", "int")


@pytest.mark.parametrize(
    ("expression", "attribute", "kind"),
    [
        ("args->filename", "ebpf.filename", "string"),
        ("args.filename", "ebpf.filename", "string"),
        ("str(args->filename)", "ebpf.filename", "string"),
        ("str(args.filename, 64)", "ebpf.filename", "string"),
        ("str(*args->argv)", "ebpf.argv", "string"),
        ("args->len", "ebpf.len", "any"),
        ("arg1", "ebpf.arg1", "any"),
        ("str(arg0)", "ebpf.arg0", "string"),
        ("buf(args->data, 16)", "ebpf.data", "string"),
        ("ksym(arg0)", "ebpf.arg0", "word"),
        ("ntop(args->saddr)", "ebpf.saddr", "address"),
        ("bswap(args->dport)", "ebpf.dport", "int"),
        ("((struct sock *)arg0)->__sk_common.skc_dport", "ebpf.skc_dport", "any"),
        ("args->comm", "ebpf.comm", "comm"),
        ("curtask->comm", "ebpf.curtask_comm", "comm"),
        ("$task->real_parent->pid", "ebpf.real_parent_pid", "any"),
        ("curtask->real_parent->comm", "ebpf.real_parent_comm", "comm"),
        ('comm == "bash" ? 1 : 0', "ebpf.comm", "any"),
        ('strftime("%H:%M", nsecs)', "ebpf.time", "string"),
    ],
)
def test_fields_are_called_as_they_are_written(expression: str, attribute: str, kind: str) -> None:
    assert named(expression) == (attribute, kind)


@pytest.mark.parametrize("family", ["AF_INET", "2", "$family", "args->family"])
def test_an_address_is_not_called_by_its_family(family: str) -> None:
    """``ntop([family, ]address)``."""
    assert named(f"ntop({family}, args->saddr)") == ("ebpf.saddr", "address")


@pytest.mark.parametrize(
    ("expression", "attribute"),
    [('getopt("min_ms", 5)', "ebpf.min_ms"), ("$1", "ebpf.parameter_1"), ("$12", "ebpf.parameter_12")],
)
def test_parameters_are_called_as_they_are_asked_for(expression: str, attribute: str) -> None:
    assert named(expression) == (attribute, "any")


def test_a_positional_parameter_can_be_text() -> None:
    assert named("str($1)") == ("ebpf.parameter_1", "string")


@pytest.mark.parametrize(
    ("cast", "plain"),
    [
        ("(uint64)pid", "pid"),
        ("(pid)", "pid"),
        ("((uint32)(pid))", "pid"),
        ("(int32)args->ret", "args->ret"),
        ("(int64) retval", "retval"),
        ("(uint64)$id", "$id"),
        ("(uint64)(nsecs - @start[tid])", "nsecs - @start[tid]"),
        ("(uint8)5", "5"),
        ("(struct task_struct *)$task", "$task"),
    ],
)
def test_casts_and_parentheses_change_no_name(cast: str, plain: str) -> None:
    assert meaning(cast) == meaning(plain)


@pytest.mark.parametrize(
    ("expression", "kind", "literal"),
    [
        ('"text"', "string", "text"),
        (r'"a\tb\"c"', "string", 'a\tb"c'),
        ("5", "int", "5"),
        ("-1", "int", "-1"),
        ("0x1f", "int", "0x1f"),
        ("1e6", "int", "1e6"),
        ("1_000", "int", "1_000"),
        ("(uint64)5", "int", "5"),
        ("true", "int", "true"),
    ],
)
def test_literals_have_no_name_for_they_never_change(expression: str, kind: str, literal: str) -> None:
    found = meaning(expression)
    assert (found.attribute, found.type, found.literal) == (None, kind, literal)


@pytest.mark.parametrize(
    ("expression", "scale"),
    [
        ("nsecs - @start[tid]", "1e-9"),
        ("(nsecs - @start[tid])", "1e-9"),
        ("(nsecs - @start[tid]) / 1000", "1e-6"),
        ("(nsecs - @start[tid]) / 1e3", "1e-6"),
        ("((nsecs - @start[tid])) / 1000000", "1e-3"),
        ("(nsecs - @start[tid]) / 1_000_000", "1e-3"),
        ("(nsecs - @start[tid]) / 1000 / 1000", "1e-3"),
        ("(nsecs - @start[tid]) / 1000000000", "1e0"),
        ("(uint64)(nsecs - @start[tid]) / 1000", "1e-6"),
        ("$now - @start[tid]", "1e-9"),
        ("($now - @start[tid]) / 1000", "1e-6"),
        ("$ns", "1e-9"),
        ("$ns / 1000", "1e-6"),
        ("$lat", "1e-6"),
        ("$ms", "1e-3"),
        ("$copy", "1e-3"),
        ("elapsed / 1e6", "1e-3"),
    ],
)
def test_a_time_less_an_earlier_one_is_a_duration(expression: str, scale: str) -> None:
    assert meaning(expression) == Meaning("ebpf.duration", "int", scale)


@pytest.mark.parametrize(
    "expression",
    [
        "(nsecs-@start[tid])/1000",
        "(nsecs-@start[tid]) / 1000",
        "(nsecs - @start[tid])/1000",
        "(nsecs -@start[tid])/ 1000",
        "( nsecs\n- @start[tid] )\t/ 1000",
    ],
)
def test_blanks_change_nothing_of_a_duration(expression: str) -> None:
    assert meaning(expression) == Meaning("ebpf.duration", "int", "1e-6")


def test_what_has_elapsed_is_in_nanoseconds() -> None:
    assert meaning("elapsed") == Meaning("ebpf.elapsed", "int", "1e-9")


@pytest.mark.parametrize(
    "expression",
    [
        "nsecs",
        "@start[tid]",
        "args->len / 1000",
        "args->later - args->earlier",
        "(args->a - args->b) / 1000",
        "(nsecs - @start[tid]) / args->count",
        "$fd / 1000",
        "$unknown",
        "pid - 1",
        "-5 / 1000",
    ],
)
def test_what_is_no_duration(expression: str) -> None:
    assert meaning(expression).scale is None


@pytest.mark.parametrize(
    ("expression", "attribute", "kind"),
    [
        ("$id", "process.pid", "int"),
        ("$name", "ebpf.name", "string"),
        ("$fd", "ebpf.fd", "any"),
        ("$unknown", "ebpf.unknown", "any"),
        ("$count", "ebpf.count", "any"),
        ("$a", "ebpf.a", "any"),
        ("@who[tid]", "thread.name", "comm"),
        ("@two", "ebpf.two", "any"),
        ("@unknown[pid, comm]", "ebpf.unknown", "any"),
        ("@[tid]", "ebpf.value", "any"),
    ],
)
def test_variables_and_maps_are_what_was_put_into_them(expression: str, attribute: str, kind: str) -> None:
    assert named(expression) == (attribute, kind)


def test_a_variable_belongs_to_its_probe() -> None:
    assert named("$id", ENTRY) == ("ebpf.id", "any")
    assert meaning("$lat", ENTRY).scale is None


def test_a_time_that_was_kept_is_not_the_time_of_the_event() -> None:
    assert named("@start[tid]") == ("ebpf.start", "int")
    assert named("$now") == ("ebpf.now", "int")


@pytest.mark.parametrize(
    ("expression", "attribute"),
    [
        ("args->bytes / 1024", "ebpf.bytes_kib"),
        ("args->bytes / 1048576", "ebpf.bytes_mib"),
        ("args->bytes / 1024 / 1024", "ebpf.bytes_mib"),
        ("args->bytes/1024", "ebpf.bytes_kib"),
        ("args->bytes/1024/1024", "ebpf.bytes_mib"),
    ],
)
def test_sizes_that_were_divided_say_so(expression: str, attribute: str) -> None:
    assert meaning(expression).attribute == attribute


def test_a_name_that_comes_again_is_numbered() -> None:
    names = ["pid", "args->dev", "pid", '"x"', "args->dev", "5", "pid"]
    assert [one.attribute for one in unique(meaning(name) for name in names)] == [
        "process.pid",
        "ebpf.dev",
        "process.pid_2",
        None,
        "ebpf.dev_2",
        None,
        "process.pid_3",
    ]


@given(st.lists(st.sampled_from(["a", "a_2", "a_2_2", "a_3", "b", None])))
def test_no_two_values_have_one_name(names: list[str | None]) -> None:
    found = [one.attribute for one in unique(Meaning(name) for name in names)]
    assert [name is None for name in found] == [name is None for name in names]
    kept = [name for name in found if name is not None]
    assert len(kept) == len(set(kept))
