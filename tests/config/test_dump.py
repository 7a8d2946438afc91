from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import yaml

from config.dump import as_yaml
from config.loader import load
from config.manifest import (
    BoolParameter,
    ChoiceParameter,
    DurationParameter,
    Event,
    Exchange,
    Field,
    HostFact,
    IntParameter,
    IntsParameter,
    Keep,
    Key,
    Manifest,
    Metric,
    Part,
    Piece,
    Print,
    Span,
    SpanMetric,
    SpanShape,
    StackMap,
    StackProfile,
    StringParameter,
    TextMap,
)

SCRIPTS = sorted((Path(__file__).parents[2] / "bt_scripts").glob("*.yaml"))
EVERY_WORD = Manifest(
    summary="Every word — é, 日本",
    traces="Line one\nand two",
    cost='"None": 5 # at all',
    kernel="5.10",
    bpftrace="0.17",
    before={"0.20": "shorter"},
    process="own",
    parameters={
        "1": IntParameter(help="A number", default=-5, range=(-10, 10), never=[0]),
        "ports": IntsParameter(help="Up to four", most=4, range=(1, 65535), default="80,443"),
        "least": DurationParameter(help="A time", default="10ms"),
        "flag": BoolParameter(help="yes", default=True),
        "word": ChoiceParameter(help="One of", default="on", choices={"on": 1, "off": 0, "null": 2}),
        "comm": StringParameter(help="Text", default="'\"\\ \t", pattern="[ -~]*", expected="any text"),
    },
    host={
        "btf": HostFact(btf="required"),
        "no_btf": HostFact(btf=False),
        "ports": HostFact(tracepoint="tcp:tcp_send_reset", field="sport", without="saddr", since="4.16", before="6.10"),
    },
    emitted="emitted",
    metrics={
        "": Metric(name="ebpf.m", instrument="counter", unit="1", description="@ = count()"),
        "all": Metric(
            name="ebpf.all",
            instrument="histogram",
            unit="{thing}",
            description="x" * 300 + " " + "words " * 60,
            keys=[
                Key(
                    attribute="role",
                    values={0: "passive", 1: "active", -1: "none"},
                    decode="errno",
                    default="_OTHER",
                    omit=0,
                    also={"network.type": "address_family", "on": "same"},
                    type="any",
                ),
                Key(attribute="a", omit="0", type="string"),
                Key(attribute="s", type="stack"),
                Key(),
            ],
            attributes={"network.transport": "tcp", "yes": "no", "a": True, "b": 5, "c": 1.5, "d": "1.5", "e": ""},
            scale="1e-9",
            range=(1, 10_000_000),
            limit=7,
            cleared=True,
            snapshot=False,
        ),
    },
    events={
        "tag": Event(
            name="ebpf.event",
            fields=[
                Field(type="time", name="time"),
                Field(attribute="process.pid", scale="0.001"),
                Field(name="size"),
                Field(attribute="network.peer.address", type="address", equals="::1"),
                Field(attribute="thread.name", type="comm"),
                Field(attribute="x", type="word"),
                Field(attribute="y", type="any"),
            ],
            severity="error",
            body="{process.pid}: {thread.name}",
            attributes={"a": "b"},
            parts={
                "tag_path": Part(attribute="p", decode="argv", size="size", limit=24, also={"n": "length"}, name="data")
            },
        )
    },
    prints=[
        Print(
            name="ebpf.line",
            pieces=[
                Piece(time="%H:%M:%S "),
                Piece(
                    printf='%-6d "%s"\t\\ 100%%\n', fields=[Field(attribute="a"), Field(attribute="b", type="string")]
                ),
                Piece(join=True, fields=[Field(attribute="c", type="string")]),
                Piece(print=True, fields=[Field(equals="#tag", type="string"), Field()]),
            ],
            severity="warn",
            attributes={"x": "y"},
        )
    ],
    texts={"names": TextMap(name="ebpf.names", keys=[Key(attribute="k")])},
    stacks={
        "stacks": StackMap(
            keys=[Key(type="kstack"), Key(type="ustack")],
            profiles=[
                StackProfile(type="samples", unit="count", frequency="hz"),
                StackProfile(
                    type="alloc_space",
                    unit="bytes",
                    value="total",
                    scale="1024",
                    period_type="memory",
                    period_unit="bytes",
                    period=1,
                ),
            ],
            depth=20,
            cleared=True,
            twin="other",
        )
    },
    spans=[
        Span(
            name="{op} x",
            kind="client",
            attributes={"a": 1},
            parent="traceparent",
            links=["caused_by"],
            keep=Keep(min_duration="least", only={"status": "word"}, one_in=10),
            metrics=[
                SpanMetric(
                    name="ebpf.op.duration",
                    description="How long",
                    of="count",
                    unit="{operation}",
                    attributes=["a"],
                    bounds=(0.1, 1.0),
                    limit=5,
                )
            ],
            event="begin",
            end="finish",
            duration="took",
            time="start",
            key=["tid"],
            order="lifo",
            timeout=1.5,
            waiting=7,
            log=True,
        )
    ],
    exchanges={
        "segment": Exchange(
            protocol="http1",
            end="over",
            server=SpanShape(name="{method}", kind="server"),
            client=SpanShape(name="{method}"),
            options={"query": "word"},
            timeout=5.0,
            connections=3,
        )
    },
)


def loaded_again(manifest: Manifest, path: Path) -> Manifest:
    path.write_text(as_yaml(manifest), encoding="utf-8")
    return load(path, Manifest)


@pytest.mark.parametrize("script", SCRIPTS, ids=[path.stem for path in SCRIPTS])
def test_what_is_written_of_a_built_in_signal_is_read_as_the_same(script: Path, tmp_path: Path) -> None:
    manifest = load(script, Manifest)
    assert loaded_again(manifest, tmp_path / "again.yaml") == manifest


def test_every_word_is_written_and_read_as_the_same(tmp_path: Path) -> None:
    text = as_yaml(EVERY_WORD)
    structs: list[type[msgspec.Struct]] = [
        *(Manifest, Metric, Key, Event, Field, Part, Print, Piece, TextMap, StackMap, StackProfile, HostFact),
        *(IntParameter, IntsParameter, DurationParameter, BoolParameter, ChoiceParameter, StringParameter),
        *(Span, Keep, SpanMetric, Exchange),
    ]
    for word in {field.encode_name for struct in structs for field in msgspec.structs.fields(struct)}:
        assert f"{word}:" in text, f"{word} is a new word: give it a value above"
    assert loaded_again(EVERY_WORD, tmp_path / "again.yaml") == EVERY_WORD


@pytest.mark.parametrize(
    "text",
    [
        "5",
        "5.10",
        "1e-9",
        "0x1f",
        "0o7",
        "010",
        "1_000",
        "12:34:56",
        "2026-11-23",
        "true",
        "No",
        "on",
        "~",
        "null",
        "",
        " x ",
        "-",
        "- a",
        "? a",
        "a: b",
        "a #b",
        "#a",
        "{a}",
        "[a]",
        "&a",
        "*a",
        "!a",
        "%a",
        "@a",
        "`a",
        "'a'",
        '"a"',
        "\\n",
        "a\nb",
        "a\n",
        "\n",
        "a\r\nb",
        "\t",
        "a\u2028b\u0085c",
        "\ufeffa",
        "\x1b[2J\x00\x7f",
        "é 日本 🐝",
        "=",
        "<<",
        "...",
        "---",
        "x " * 200,
        "x" * 500,
    ],
)
def test_any_text_is_read_as_the_same(text: str, tmp_path: Path) -> None:
    """As a value, as a key, and in the lists and mappings that stand on one line."""
    manifest = Manifest(
        summary="s",
        traces=text,
        parameters={text: StringParameter(help="h", default=text, pattern=text)},
        metrics={
            text: Metric(
                name="n",
                instrument="gauge",
                unit="1",
                description="d",
                keys=[Key(attribute=text, values={1: text}), Key(omit=text)],
                attributes={text: text},
            )
        },
        prints=[Print(name="n", pieces=[Piece(printf=text, fields=[Field(equals=text)])])],
    )
    assert loaded_again(manifest, tmp_path / "again.yaml") == manifest


def test_it_is_what_a_person_would_write() -> None:
    manifest = Manifest(
        summary="Reads",
        process="own",
        metrics={
            "reads": Metric(
                name="ebpf.reads",
                instrument="counter",
                unit="1",
                description="Reads",
                keys=[Key(attribute="process.pid"), Key(attribute="error.type", values={1: "one"})],
            )
        },
        prints=[Print(name="ebpf.line", pieces=[Piece(printf="%d é\n", fields=[Field(attribute="a")])])],
    )
    assert as_yaml(manifest) == (
        "summary: Reads\n"
        "process: own\n"
        "metrics:\n"
        "  reads:\n"
        "    name: ebpf.reads\n"
        "    instrument: counter\n"
        "    unit: '1'\n"
        "    description: Reads\n"
        "    keys:\n"
        "    - {attribute: process.pid}\n"
        "    - attribute: error.type\n"
        "      values: {1: one}\n"
        "prints:\n"
        "- name: ebpf.line\n"
        "  pieces:\n"
        '  - printf: "%d é\\n"\n'
        "    fields:\n"
        "    - {attribute: a}\n"
    )


def test_what_says_nothing_is_left_out() -> None:
    assert yaml.safe_load(as_yaml(Manifest(summary="s"))) == {"summary": "s"}


def test_nothing_refers_to_what_stands_elsewhere() -> None:
    """YAML's anchors, &id001 and *id001, are for machines."""
    keys = [Key(attribute="process.pid")]
    metric = Metric(name="n", instrument="gauge", unit="1", description="d", keys=keys)
    text = as_yaml(Manifest(summary="s", metrics={"a": metric, "b": metric}))
    assert "&" not in text
    assert "*" not in text
