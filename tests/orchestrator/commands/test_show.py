"""`show`: what a signal becomes, as comments before its program."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.__main__ import main

PROGRAM = """\
tracepoint:syscalls:sys_enter_getpriority { print(("begin", nsecs, tid, comm)); printf("q %d %d\\n", pid, 5); }
tracepoint:syscalls:sys_exit_getpriority { print(("end", nsecs, tid, args->ret)); }
tracepoint:syscalls:sys_enter_getpgid { print(("note", nsecs, pid)); @s[ustack, comm] = count(); @a[kstack] = avg(5); }
"""
MANIFEST = """\
summary: Calls
process: own
parameters:
  slow: {type: duration, default: "0", help: Only calls that take as long}
events:
  begin:
    name: ebpf.begin
    fields: [{type: time}, {name: tid}, {attribute: thread.name, type: comm}]
  end:
    name: ebpf.end
    fields: [{type: time}, {name: tid}, {attribute: error.type, decode: errno_error}]
  note: {name: ebpf.note, fields: [{type: time}, {attribute: process.pid}]}
prints:
  - name: ebpf.query
    pieces: [{printf: "q %d %d\\n", fields: [{attribute: process.pid}, {name: took}]}]
spans:
  - name: call {thread.name}
    event: begin
    end: end
    key: [tid]
    log: LOG
    keep: {min_duration: slow, only: {}, one_in: 10}
    metrics:
      - {name: app.calls, of: count, unit: "{call}", description: Calls}
      - {name: app.call.duration, description: Durations of calls}
  - {name: query, event: ebpf.query, duration: took, kind: client, keep: {min_duration: 5000}}
stacks:
  s: {keys: [{type: ustack}, {attribute: thread.name, type: string}], profiles: [{type: calls, unit: count}]}
  a: {keys: [{type: kstack}]}
"""


def comments(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    assert main(["show", *arguments]) == 0
    return [line.removeprefix("// ") for line in capsys.readouterr().out.splitlines() if line.startswith("//")]


def section(lines: list[str], title: str) -> list[str]:
    begin = lines.index(title) + 1
    return lines[begin : next(index for index in range(begin, len(lines)) if lines[index].strip() in {"", "//"})]


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "calls.bt"
    path.write_text(PROGRAM)
    return path


def test_a_program_with_spans_says_which_events_they_are_and_what_is_kept(
    program: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program.with_suffix(".yaml").write_text(MANIFEST.replace("LOG", "false"))
    lines = comments(capsys, str(program))
    assert section(lines, "Events and the spans they become:") == [
        "  begin to end by tid -> internal span call {thread.name}",
        "    kept: one trace in 10",
        "    all: counter app.calls ({call}), histogram app.call.duration (s)",
        "  ebpf.query -> client span query",
        "    kept: a duration of at least 5000 ns",
    ]


def test_events_that_are_spans_are_no_log_records_unless_that_is_wanted(
    program: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    title, note = "Events and the log records they become:", "  note -> ebpf.note: process.pid"
    program.with_suffix(".yaml").write_text(MANIFEST.replace("LOG", "false"))
    assert section(comments(capsys, str(program)), title) == [note]
    program.with_suffix(".yaml").write_text(MANIFEST.replace("LOG", "true"))
    assert section(comments(capsys, str(program)), title) == [
        "  begin -> ebpf.begin: thread.name",
        "  end -> ebpf.end: error.type",
        note,
    ]


def test_maps_with_stacks_say_which_profiles_they_become(program: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program.with_suffix(".yaml").write_text(MANIFEST.replace("LOG", "false"))
    assert section(comments(capsys, str(program)), "Maps with stacks and the profiles they become:") == [
        "  @s[ustack, thread.name] -> calls (count)",
        "  @a[kstack] -> counted only: its values cannot be added up",
    ]


def test_conversations_become_spans_of_both_sides(capsys: pytest.CaptureFixture[str]) -> None:
    lines = comments(capsys, "http")
    found = section(lines, "Events and the spans they become:")
    assert "  http_data (http1) -> server span {method}, child of traceparent" in found
    assert "  http_data (http1) -> client span {method}, child of traceparent" in found
    assert any("http.server.request.duration (s)" in line for line in found)
    assert "Events and the log records they become:" not in lines


def test_a_filter_that_is_set_shows_its_value(capsys: pytest.CaptureFixture[str]) -> None:
    assert not any("kept:" in line for line in comments(capsys, "http"))
    assert main(["show", "http", "--set", "status=5xx", "--set", "sampling=3"]) == 0
    assert "kept: http.response.status_code of 5xx, one trace in 3" in capsys.readouterr().out


def test_parameters_say_what_they_take(capsys: pytest.CaptureFixture[str]) -> None:
    http, cpu = (section(comments(capsys, name), "Parameters (--set NAME=VALUE):") for name in ("http", "cpu"))
    assert any("up to 4 whole numbers from 1 to 65535, separated by commas" in line for line in http)
    assert any("a duration such as 100us" in line for line in http)
    assert any(line.startswith("  hz=99  ") and "but not 1, 2, " in line for line in cpu)


def test_the_numbers_of_a_list_are_set_in_the_program(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "http", "--set", "ports=8080,9090"]) == 0
    shown = capsys.readouterr().out
    assert "8080" in shown
    assert "9090" in shown
    assert "getopt" not in shown
