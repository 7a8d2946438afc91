from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from config.errors import ConfigError
from config.loader import load, nearest, place
from config.manifest import BoolParameter, IntParameter, Manifest, StringParameter
from config.parameters import Assignment
from config.settings import RunSettings, assignments, load_run_settings

MANIFEST = """\
summary: Things
traces: Every thing
cost: None
kernel: "5.10"
bpftrace: "0.17"
parameters:
  pid:
    type: int
    range: [0, 10]
    default: 0
    help: Only this one
  flag: {type: bool, default: true, help: Whether}
  comm:
    type: string
    pattern: "[a-z]*"
    default: ""
    help: Only of this name
metrics:
  things:
    name: ebpf.things
    instrument: counter
    unit: "{thing}"
    description: Things
    keys:
      - {attribute: error.type, decode: errno, omit: 0}
      - attribute: server.port
  other: {name: ebpf.other, instrument: gauge, unit: "1", description: Others}
events:
  thing:
    name: ebpf.thing
    severity: warn
    fields:
      - {name: time, type: time}
      - attribute: process.pid
    parts:
      thing_path: {attribute: process.executable.path, decode: c_string}
"""


def complaint(path: Path, text: str | bytes, kind: type[msgspec.Struct] = Manifest) -> str:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(ConfigError) as caught:
        load(path, kind)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    return message.removeprefix(str(path))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "signal.yaml"


def test_load_gives_typed_values(path: Path) -> None:
    path.write_text(MANIFEST)
    manifest = load(path, Manifest)
    assert manifest.kernel == "5.10"
    assert manifest.parameters["pid"] == IntParameter(range=(0, 10), default=0, help="Only this one")
    assert manifest.parameters["flag"] == BoolParameter(default=True, help="Whether")
    assert manifest.parameters["comm"] == StringParameter(pattern="[a-z]*", default="", help="Only of this name")
    assert [key.attribute for key in manifest.metrics["things"].keys] == ["error.type", "server.port"]
    assert manifest.metrics["things"].limit == 1000
    assert manifest.events["thing"].parts["thing_path"].decode == "c_string"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        # A key that is not known: at the top, in an entry of a mapping, in one of a list, in a parameter.
        ("summary: Things", "summery: Things", [":1: ", "unknown key 'summery'", "did you mean summary"]),
        ("    unit: ", "    units: ", [":22: ", "unknown key 'units' in metrics.things", "did you mean unit?"]),
        ("    severity", "    severities", [":31: ", "'severities' in events.thing", "did you mean severity"]),
        ("decode: errno", "decoder: errno", [":25: ", "'decoder' in metrics.things.keys.0", "did you mean decode?"]),
        ("      - attribute: s", "      - atribute: s", [":26: ", "'atribute' in metrics.things.keys.1", "attribute"]),
        ("- attribute: process", "- attributes: process", [":34: ", "'attributes' in events.thing.fields.1"]),
        ("path, decode", "path, limits", [":36: ", "'limits' in events.thing.parts.thing_path", "did you mean limit"]),
        ("    range: [0, 10]", "    rage: [0, 10]", [":9: ", "unknown key 'rage' in parameters.pid", "range"]),
        # Values of the wrong kind.
        ("    default: 0", "    default: none", [":10: ", "parameters.pid.default", "expected `int`, got `str`"]),
        ("default: true", "default: 1", [":12: ", "parameters.flag.default", "expected `bool`"]),
        ("range: [0, 10]", "range: 10", [":9: ", "parameters.pid.range"]),
        ("range: [0, 10]", "range: [0]", [":9: ", "parameters.pid.range"]),
        ('"{thing}"', "5", [":22: ", "metrics.things.unit", "expected `str`, got `int`"]),
        ('kernel: "5.10"', "kernel: 5.10", [":4: ", "kernel", "expected `str | null`, got `float`"]),
        ("summary: Things", 'summary: ""', [":1: ", "summary", "length >= 1"]),
        ("other: {name", "other: {limit: 0, name", [":27: ", "metrics.other.limit", ">= 1"]),
        ("other: {name", "other: {scale: 1/3, name", [":27: ", "metrics.other.scale"]),
        ("metrics:\n", "metrics: 5\nx:\n", [":18: ", "metrics", "expected `object`, got `int`"]),
        ("summary: Things\n", "", [":1: ", "missing required field `summary`"]),
        ("description: Others}", "}", [":27: ", "metrics.other", "missing required field `description`"]),
        # Words of which only some are known.
        ("instrument: gauge", "instrument: guage", [":27: ", "metrics.other.instrument", "guage", "counter", "gauge"]),
        ("severity: warn", "severity: warning", [":31: ", "events.thing.severity", "warning", "known: debug, info"]),
        (
            "type: time}",
            "type: date}",
            [":33: ", "events.thing.fields.0.type", "known: any, int, string, comm, word, address, time)"],
        ),
        ("type: bool", "type: boolean", [":12: ", "parameters.flag", "boolean"]),
        # No YAML at all.
        ("metrics:\n", "metrics: [\n", ["not valid YAML"]),
        ("metrics:\n", "metrics: {a: b: c}\n", [":18: ", "not valid YAML"]),
        ("summary: Things", "summary: \ttabs: [", [":", "not valid YAML"]),
        ("summary: Things", "summary: \x01", ["not valid YAML"]),
        ("summary: Things", "summary: 2026-13-45", ["not valid YAML"]),
        ("summary: Things", "summary: !!python/object/apply:os.getcwd []", [":1: ", "not valid YAML"]),
    ],
)
def test_load_says_what_is_wrong_and_where(path: Path, old: str, new: str, words: list[str]) -> None:
    assert MANIFEST.count(old) == 1
    message = complaint(path, MANIFEST.replace(old, new))
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["missing required field"]),
        ("# only a comment\n", ["missing required field"]),
        ("- a\n- b\n", [":1: the file: expected `object`, got `array`"]),
        ("just words", [":1: the file: expected `object`, got `str`"]),
        ("1: 2\n", ["expected `str`"]),
        (b"\xff\xfe", ["is not UTF-8 text"]),
        ("summary: caf\xe9".encode("latin-1"), ["is not UTF-8 text"]),
    ],
)
def test_load_refuses_what_is_no_mapping(path: Path, text: str | bytes, words: list[str]) -> None:
    message = complaint(path, text)
    for word in words:
        assert word in message


def test_load_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: No such file or directory"):
        load(tmp_path / "nowhere.yaml", Manifest)
    with pytest.raises(ConfigError, match="Is a directory"):
        load(tmp_path, Manifest)


@pytest.mark.parametrize(
    ("word", "shown"),
    [("tpc", " (did you mean tcp?)"), ("xxxxx", " (known: exec, tcp)"), ("exce", " (did you mean exec?)")],
)
def test_nearest(word: str, shown: str) -> None:
    assert nearest(word, ["tcp", "exec"]) == shown
    assert nearest(word, []) == ""


def test_settings_of_a_file(path: Path) -> None:
    path.write_text(
        "duration: 30s\notlp_endpoint: http://localhost:4318\nparameters:\n"
        "  exec:\n    exits: true\n    failed: false\n    pid: 42\n    comm: yes_it_is\n  tcp: {events: all}\n"
    )
    settings = load_run_settings(str(path))
    assert settings.duration == "30s"
    assert settings.interval is None
    assert assignments(settings, str(path), ["exec"], ["exec", "tcp"]) == [
        Assignment("exec.exits", "true", f"{path}:5"),
        Assignment("exec.failed", "false", f"{path}:6"),
        Assignment("exec.pid", "42", f"{path}:7"),
        Assignment("exec.comm", "yes_it_is", f"{path}:8"),
    ]
    assert assignments(settings, str(path), ["tcp", "disk"], ["exec", "tcp"]) == [
        Assignment("tcp.events", "all", f"{path}:9")
    ]
    assert assignments(settings, str(path), [], ["exec", "tcp"]) == []
    with pytest.raises(ConfigError, match=r":9: no signal 'tcp' \(did you mean tpc\?\)"):
        assignments(settings, str(path), ["exec"], ["exec", "tpc"])


@pytest.mark.parametrize("text", ["", "# duration: 30s\n"])
def test_settings_of_an_empty_file_are_none(path: Path, text: str) -> None:
    path.write_text(text)
    assert load_run_settings(str(path)) == RunSettings() == load_run_settings(None)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("interval: 1s\nduratoin: 5s\n", [":2: unknown key 'duratoin' (did you mean duration?)"]),
        ("duration: 30\n", [":1: duration: expected `str | null`, got `int`"]),
        ("parameters:\n  exec:\n    pid: 1.5\n", [":3: parameters.exec.pid: ", "got `float`"]),
        ("parameters:\n  tcp: {}\n  exec: {pid: [1]}\n", [":3: parameters.exec.pid: ", "got `array`"]),
        ("parameters: {exec: on}\n", [":1: parameters.exec: expected `object`"]),
        ("parameters:\n  1: {a: b}\n", ["expected `str`, got `int`"]),
    ],
)
def test_settings_errors_name_the_line(path: Path, text: str, words: list[str]) -> None:
    message = complaint(path, text, RunSettings)
    for word in words:
        assert word in message


def test_place_is_the_line_of_a_key(path: Path) -> None:
    path.write_text("a: 1\nb:\n  c: [x,\n    y]\n  d: 5\n")
    assert place(path, "b", "d") == f"{path}:5"
    assert place(path, "b", "c", "1") == f"{path}:4"
    assert place(path, "b", "missing") == f"{path}:2"
    path.write_text("")
    assert place(path, "b") == f"{path}:1"
