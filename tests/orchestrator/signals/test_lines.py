from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.manifest import Field, Piece, Print
from orchestrator.signals.clock import Moment
from orchestrator.signals.lines import LineReader
from orchestrator.signals.model import LogRecord
from parsers.records import Data

MOMENT = Moment(unix=1_700_000_000_000_000_000, offset=1_600_000_000_000_000_000)
MUCH_LATER = Moment(unix=1_700_000_050_000_000_000, offset=1_600_000_000_000_000_000)
LATER = Moment(unix=1_700_000_005_000_000_000, offset=1_600_000_000_000_000_000)

PID = Field(attribute="process.pid")
TID = Field(attribute="thread.id")
UID = Field(attribute="process.user.id")
CPU = Field(attribute="cpu.logical_number")
COMM = Field(attribute="thread.name", type="comm")
FILE = Field(attribute="ebpf.filename", type="string")
ARGS = Field(attribute="process.command_line", type="string")
NSECS = Field(type="time")
LATENCY = Field(attribute="ebpf.duration", scale="1e-6")


def printf(text: str, *fields: Field) -> Piece:
    return Piece(printf=text, fields=list(fields))


def rule(name: str, *pieces: Piece) -> Print:
    return Print(name=name, pieces=list(pieces))


# time("%H:%M:%S "); printf("%-6d %-16s ", pid, comm); join(args->argv);
EXEC = rule("exec", Piece(time="%H:%M:%S "), printf("%-6d %-16s ", PID, COMM), Piece(join=True, fields=[ARGS]))
TIME, WHO, WHAT = ("time", "05:41:00 "), ("printf", "7      a b              "), ("join", "ls -l /")
EXECUTED = {"process.pid": 7, "thread.name": "a b", "process.command_line": "ls -l /"}

Text = str | tuple[str, str]


class Lines:
    """A reader, and what it gave."""

    def __init__(self, *rules: Print, whole_lines: bool = False) -> None:
        self._reader = LineReader(rules, "mine", whole_lines=whole_lines)
        self.records: list[LogRecord] = []

    def text(self, *texts: Text, moment: Moment = MOMENT) -> Lines:
        for text in texts:
            kind, data = ("printf", text) if isinstance(text, str) else text
            self.records += self._reader.text(kind, data, moment)
        return self

    def value(self, *values: Data, moment: Moment = MOMENT) -> Lines:
        for value in values:
            self.records += self._reader.value(value, moment)
        return self

    def end(self) -> Lines:
        self.records += self._reader.flush()
        return self

    @property
    def told(self) -> list[tuple[str, str, dict[str, object]]]:
        return [(record.event_name, record.body, dict(record.attributes)) for record in self.records]

    @property
    def bodies(self) -> list[str]:
        return [record.body for record in self.records]

    @property
    def attributes(self) -> list[dict[str, object]]:
        return [dict(record.attributes) for record in self.records]


def lines(*rules: Print) -> Lines:
    return Lines(*rules)


def whole(*rules: Print) -> Lines:
    return Lines(*rules, whole_lines=True)


# In pieces, as JSON has them.


@pytest.mark.parametrize("ending", ["", "\n"])
def test_the_pieces_of_a_line_are_one_record(ending: str) -> None:
    """join() says nothing in JSON of the newline that it ends with."""
    found = lines(EXEC).text(TIME, WHO, ("join", f"ls -l /{ending}"))
    assert found.told == [("exec", "05:41:00 7      a b              ls -l /", EXECUTED)]
    assert found.end().records == found.records


def test_a_record_comes_when_its_line_ends() -> None:
    found = lines(EXEC).text(TIME, WHO)
    assert found.records == []
    (record,) = found.text(WHAT, moment=LATER).records
    assert (record.time_unix_nano, record.observed_time_unix_nano) == (LATER.unix, LATER.unix)


def test_lines_one_after_the_other() -> None:
    found = lines(EXEC).text(
        TIME, WHO, WHAT, ("time", "05:41:01 "), ("printf", "8      sh               "), ("join", "w")
    )
    assert found.attributes == [
        EXECUTED,
        {"process.pid": 8, "thread.name": "sh", "process.command_line": "w"},
    ]


def test_a_beginning_ends_the_line_that_waits_for_its_end() -> None:
    """Two CPUs: the first line's end comes later, or is lost; until then an end can be either's."""
    other = (("time", "05:41:01 "), ("printf", "8      sh               "))
    found = lines(EXEC).text(TIME, WHO, *other, ("join", "w"), WHAT)
    assert found.told == [
        ("exec", "05:41:00 7      a b              ", {"process.pid": 7, "thread.name": "a b"}),
        ("exec", "05:41:01 8      sh               ", {"process.pid": 8, "thread.name": "sh"}),
        ("exec", "w", {"process.command_line": "w"}),
        ("exec", "ls -l /", {"process.command_line": "ls -l /"}),
    ]


def test_an_end_that_does_not_come_is_not_waited_for_any_longer() -> None:
    other = (("time", "05:41:01 "), ("printf", "8      sh               "))
    found = lines(EXEC).text(TIME, WHO).text(*other, moment=LATER)
    assert found.text(TIME, WHO, WHAT, moment=MUCH_LATER).told[-1] == (
        "exec",
        "05:41:00 7      a b              ls -l /",
        EXECUTED,
    )


def test_a_line_that_waited_has_the_time_at_which_it_came() -> None:
    found = lines(EXEC).text(TIME, WHO).text(TIME, moment=LATER)
    assert [record.time_unix_nano for record in found.records] == [MOMENT.unix]


def test_an_end_without_its_beginning_is_a_line() -> None:
    assert lines(EXEC).text(WHAT).told == [("exec", "ls -l /", {"process.command_line": "ls -l /"})]


def test_the_line_of_one_probe_has_nothing_of_another() -> None:
    one = rule("one", printf("a %d ", PID), printf("A %d\n", TID))
    other = rule("other", printf("b %d ", UID), printf("B %d\n", CPU))
    found = lines(one, other).text("a 1 ", "b 2 ", "A 3\n", "B 4\n").end()
    assert sorted("".join(found.bodies).replace(" ", "")) == sorted("a1b2A3B4")
    of_each = ({"process.pid", "thread.id"}, {"process.user.id", "cpu.logical_number"})
    for attributes in found.attributes:
        assert any(attributes.keys() <= names for names in of_each)


def test_a_line_that_was_never_ended_is_given_on_at_the_end() -> None:
    found = lines(rule("bye", printf("Bye %d", PID))).text("Bye 7")
    assert found.records == []
    assert found.end().told == [("bye", "Bye 7", {"process.pid": 7})]
    assert len(found.end().records) == 1


def test_a_statement_that_comes_again_begins_anew() -> None:
    found = lines(rule("dot", printf("%d ", PID))).text("1 ", "2 ", "3 ").end()
    assert found.attributes == [{"process.pid": 1}, {"process.pid": 2}, {"process.pid": 3}]


def test_lines_of_branches_go_on_with_what_was_begun() -> None:
    """printf("%d ", pid); if (...) { printf("x %d\n", tid); } else { printf("y\n"); }"""
    rules = (rule("f", printf("%d ", PID)), rule("f_2", printf("x %d\n", TID)), rule("f_3", printf("y\n")))
    assert lines(*rules).text("7 ", "x 8\n", "9 ", "y\n").told == [
        ("f", "7 x 8", {"process.pid": 7, "thread.id": 8}),
        ("f", "9 y", {"process.pid": 9}),
    ]


def test_what_begins_alike_is_told_apart_by_what_follows() -> None:
    rules = (
        rule("one", Piece(time="%H:%M:%S "), printf("one %d\n", PID)),
        rule("two", Piece(time="%H:%M:%S "), printf("two %d\n", UID)),
    )
    assert lines(*rules).text(("time", "05:41:00 "), "one 7\n", ("time", "05:41:01 "), "two 8\n").told == [
        ("one", "05:41:00 one 7", {"process.pid": 7}),
        ("two", "05:41:01 two 8", {"process.user.id": 8}),
    ]


@pytest.mark.parametrize("name", ["x\n", "\n", "x\n\n", "05:41:00 \n", "a\nb\n"])
def test_a_newline_in_a_value_does_not_end_a_line(name: str) -> None:
    """A process may call itself so."""
    found = lines(rule("f", printf("%d %s", PID, COMM), printf(" took %d\n", TID))).text(f"7 {name}", " took 8\n")
    assert found.told == [
        ("f", f"7 {name} took 8", {"process.pid": 7, "thread.name": name, "thread.id": 8}),
    ]


def test_newlines_in_the_last_piece_and_in_arguments_are_kept() -> None:
    assert lines(EXEC).text(TIME, WHO, ("join", "sh -c a\nb\n c")).attributes == [
        {**EXECUTED, "process.command_line": "sh -c a\nb\n c"}
    ]
    assert lines(rule("f", printf("%s\n", FILE))).text("/a\nb\n\n").told == [
        ("f", "/a\nb", {"ebpf.filename": "/a\nb\n"})
    ]


def test_pieces_that_never_end_are_given_up_in_the_end() -> None:
    found = lines().text(*["."] * 10_000)
    assert 1 <= len(found.records) < 1000
    assert "".join(found.end().bodies) == "." * 10_000


# Which statement printed it.


@pytest.mark.parametrize("order", [1, -1])
def test_the_more_specific_format_wins(order: int) -> None:
    rules = [rule("any", printf("%s\n", COMM)), rule("open", printf("open %s\n", FILE))][::order]
    for found in (lines(*rules), whole(*rules)):
        assert found.text("open /x\n", "sh\n").told == [
            ("open", "open /x", {"ebpf.filename": "/x"}),
            ("any", "sh", {"thread.name": "sh"}),
        ]


def test_formats_that_cannot_be_told_apart_say_nothing_that_differs() -> None:
    """Neither which of them it was, nor the values that they call by other names."""
    rules = (rule("one", printf("%d %d\n", PID, TID)), rule("two", printf("%d %d\n", PID, CPU)))
    for found in (lines(*rules), whole(*rules)):
        ((name, body, attributes),) = found.text("7 8\n").told
        assert body == "7 8"
        assert name not in {"one", "two"}
        assert attributes in ({}, {"process.pid": 7})


def test_formats_that_print_and_mean_the_same_are_one() -> None:
    rules = (rule("one", printf("%d\n", PID)), rule("one", printf("%d\n", PID)))
    for found in (lines(*rules), whole(*rules)):
        assert found.text("7\n").told == [("one", "7", {"process.pid": 7})]


def test_a_constant_argument_tells_lines_apart() -> None:
    read, write = Field(type="string", equals="read"), Field(type="string", equals="write")
    rules = (rule("read", printf("%s %d\n", read, PID)), rule("write", printf("%s %d\n", write, TID)))
    for found in (lines(*rules), whole(*rules)):
        assert found.text("read 7\n", "write 8\n", "seek 9\n").told == [
            ("read", "read 7", {"process.pid": 7}),
            ("write", "write 8", {"thread.id": 8}),
            ("mine", "seek 9", {}),
        ]


HEADER = printf("%-6s %s\n", Field(type="string", equals="PID"), Field(type="string", equals="COMM"))


def test_banners_and_headers_are_records_without_attributes() -> None:
    rules = (
        rule("begin", printf("Tracing... Hit Ctrl-C to end.\n")),
        rule("header", HEADER),
        rule("row", printf("%-6s %s\n", Field(attribute="ebpf.state", type="word"), COMM)),
    )
    for found in (lines(*rules), whole(*rules)):
        assert found.text("Tracing... Hit Ctrl-C to end.\n", "PID    COMM\n", "42     a b\n").told == [
            ("begin", "Tracing... Hit Ctrl-C to end.", {}),
            ("header", "PID    COMM", {}),
            ("row", "42     a b", {"ebpf.state": "42", "thread.name": "a b"}),
        ]


def test_what_no_statement_prints_is_a_record_all_the_same() -> None:
    for found in (lines(EXEC), whole(EXEC)):
        told = found.text(("cat", "0.10 0.20\n"), ("syscall", "Mon 23 Nov\n"), ("printf", "something else\n")).told
        assert told == [("mine", "0.10 0.20", {}), ("mine", "Mon 23 Nov", {}), ("mine", "something else", {})]


@pytest.mark.parametrize("text", ["", "\n", " \n", "\r\n", "\t\n\n"])
def test_what_shows_nothing_is_no_record(text: str) -> None:
    for found in (lines(EXEC), lines(), whole(EXEC), whole()):
        assert found.text(text).end().records == []


def test_a_line_that_is_only_a_time_is_no_record() -> None:
    """It heads the maps that are printed below it; they have times of their own."""
    clock = rule("interval", Piece(time="%H:%M:%S\n"))
    assert lines(clock).text(("time", "05:41:00\n")).end().records == []
    assert whole(clock).text("05:41:00\n").end().records == []


# What it says.


def test_values_have_types_and_units() -> None:
    rules = rule("f", printf("%s took %d us, %x %d\n", COMM, LATENCY, Field(attribute="flags"), Field(attribute="ret")))
    for found in (lines(rules), whole(rules)):
        assert found.text("a b took 2500 us, ff -2\n").attributes == [
            {"thread.name": "a b", "ebpf.duration": 0.0025, "flags": 255, "ret": -2}
        ]


def test_values_are_decoded_as_the_rule_says() -> None:
    fields = (
        Field(attribute="error.type", decode="errno", omit=0),
        Field(attribute="ebpf.role", values={0: "reader", 1: "writer"}),
    )
    assert lines(rule("f", printf("%d %d\n", *fields))).text("-2 1\n", "0 0\n").attributes == [
        {"error.type": "ENOENT", "ebpf.role": "writer"},
        {"ebpf.role": "reader"},
    ]


def test_values_at_the_end_that_a_rule_says_nothing_of_are_left_out() -> None:
    for found in (lines(rule("f", printf("%d %d %s\n", PID))), whole(rule("f", printf("%d %d %s\n", PID)))):
        assert found.text("7 8 x\n").told == [("f", "7 8 x", {"process.pid": 7})]


def test_a_rule_has_a_severity_and_attributes_of_its_own() -> None:
    alarm = Print(name="oom", pieces=[printf("OOM %d\n", PID)], severity="warn", attributes={"ebpf.kind": "oom"})
    (record,) = lines(alarm).text("OOM 7\n").records
    assert (record.severity, record.attributes) == ("warn", {"ebpf.kind": "oom", "process.pid": 7})
    (other,) = lines(alarm).text("x\n").records
    assert (other.severity, other.attributes) == ("info", {})


def test_the_kernel_s_time_is_the_time_of_the_event() -> None:
    stamped = rule("f", printf("%llu ", NSECS), printf("%d\n", PID))
    (record,) = lines(stamped).text("99000000123 ", "7\n", moment=MOMENT).records
    assert record.time_unix_nano == 1_600_000_000_000_000_000 + 99_000_000_123
    assert record.observed_time_unix_nano == MOMENT.unix
    assert record.attributes == {"process.pid": 7}
    (record,) = whole(stamped).text("99000000123 7\n").records
    assert record.time_unix_nano == 1_600_000_000_000_000_000 + 99_000_000_123


def test_a_time_is_of_its_line_alone() -> None:
    found = lines(rule("f", printf("%llu %d\n", NSECS, PID)), rule("g", printf("g\n"))).text("99000000123 7\n", "g\n")
    assert [record.time_unix_nano for record in found.records] == [1_600_000_099_000_000_123, MOMENT.unix]


def test_what_is_not_certain_is_left_out() -> None:
    """``a b c``: a process ``a`` and a file ``b c``, or ``a b`` and ``c``."""
    rules = rule("f", printf("%d %s %s\n", PID, COMM, FILE))
    for found in (lines(rules), whole(rules)):
        assert found.text("7 a b c\n", "7 a /x\n").told == [
            ("f", "7 a b c", {"process.pid": 7}),
            ("f", "7 a /x", {"process.pid": 7, "thread.name": "a", "ebpf.filename": "/x"}),
        ]


def test_a_time_that_is_not_certain_is_not_taken() -> None:
    found = lines(rule("f", printf("%s %llu %s\n", FILE, NSECS, FILE))).text("a 1 2 b\n")
    assert [record.time_unix_nano for record in found.records] == [MOMENT.unix]


def test_bytes_that_are_no_text_are_exact_in_attributes_and_shown_in_the_body() -> None:
    rules = rule("f", printf("%d %s\n", PID, FILE))
    for found in (lines(rules), whole(rules)):
        assert found.text("7 /\udcff\udcfe\u00e9\n", "7 \u00e9\u6f22\n").told == [
            ("f", "7 /\\xff\\xfe\u00e9", {"process.pid": 7, "ebpf.filename": "/\udcff\udcfe\u00e9"}),
            ("f", "7 \u00e9\u6f22", {"process.pid": 7, "ebpf.filename": "\u00e9\u6f22"}),
        ]


# Whole lines, as text has them.


def test_a_whole_line_is_read_by_all_of_its_statements() -> None:
    assert whole(EXEC).text("05:41:00 7      a b              ls -l /\n").told == [
        ("exec", "05:41:00 7      a b              ls -l /", EXECUTED)
    ]


def test_the_time_before_a_whole_line_is_of_its_format() -> None:
    rules = (
        rule("clock", Piece(time="%H:%M:%S "), printf("%d\n", PID)),
        rule("date", Piece(time="%d %b %Y: "), printf("%d\n", TID)),
    )
    assert whole(*rules).text("05:41:00 7\n", "23 Nov 2026: 8\n", "25:41:00 9\n").told == [
        ("clock", "05:41:00 7", {"process.pid": 7}),
        ("date", "23 Nov 2026: 8", {"thread.id": 8}),
        ("mine", "25:41:00 9", {}),
    ]


def test_a_whole_line_that_a_printed_value_ends() -> None:
    value = Piece(print=True, fields=[Field(attribute="process.pid", type="any"), Field(attribute="x", type="any")])
    assert whole(rule("f", printf("pair "), value)).text("pair (7, a)\n").told == [
        ("f", "pair (7, a)", {"process.pid": 7, "x": "a"})
    ]


def test_a_piece_of_a_whole_line_is_not_read_as_one() -> None:
    assert whole(EXEC).text("ls -l /\n", "05:41:00 \n").attributes == [{}, {}]


# Printed values.

OPEN = rule(
    "open", Piece(print=True, fields=[Field(type="any", equals="open"), NSECS, Field(attribute="p", type="any")])
)
CLOSE = rule(
    "close", Piece(print=True, fields=[Field(type="any", equals="close"), NSECS, Field(attribute="q", type="any")])
)
THREE = rule("three", Piece(print=True, fields=[Field(attribute=name, type="any") for name in "abc"]))


def test_a_printed_tuple_is_told_by_its_constants() -> None:
    found = lines(THREE, CLOSE, OPEN).value(["open", 99, 7], ["close", 98, "x"], ["dup", 97, 8], ["open", 96])
    assert found.told == [
        ("open", "(open, 99, 7)", {"p": 7}),
        ("close", "(close, 98, x)", {"q": "x"}),
        ("three", "(dup, 97, 8)", {"a": "dup", "b": 97, "c": 8}),
        ("mine", "(open, 96)", {}),
    ]
    assert [record.time_unix_nano - MOMENT.offset for record in found.records[:2]] == [99, 98]


def test_a_printed_value() -> None:
    one = rule("one", Piece(print=True, fields=[Field(attribute="process.pid", type="any")]))
    assert lines(one).value(7).told == [("one", "7", {"process.pid": 7})]
    assert lines(one).value("9007199254740993").attributes == [{"process.pid": 2**53 + 1}]  # 0.24 and later


def test_a_printed_tuple_beside_a_printed_value() -> None:
    one = rule("one", Piece(print=True, fields=[Field(attribute="process.pid", type="any")]))
    two = rule("two", Piece(print=True, fields=[Field(attribute=name, type="any") for name in "ab"]))
    assert lines(one, two).value([7, "x"], 8).told == [
        ("two", "(7, x)", {"a": 7, "b": "x"}),
        ("one", "8", {"process.pid": 8}),
    ]


def test_printed_values_that_cannot_be_told_apart_say_nothing() -> None:
    other = rule("other", Piece(print=True, fields=[Field(attribute=name, type="any") for name in "abd"]))
    ((name, body, attributes),) = lines(THREE, other).value([1, 2, 3]).told
    assert (name, body) == ("mine", "(1, 2, 3)")
    assert "c" not in attributes
    assert "d" not in attributes


def test_printed_durations_are_scaled() -> None:
    took = rule("f", Piece(print=True, fields=[Field(attribute="d", type="any", scale="1e-9"), PID]))
    assert lines(took).value([2500, 7], ["9007199254740993", 7]).attributes == [
        {"d": 2.5e-06, "process.pid": 7},
        {"d": 9007199.254740993, "process.pid": 7},
    ]


OF_NUMBERS = [NSECS, PID, LATENCY, Field(attribute="a", type="any", scale="1e-9")]


@pytest.mark.parametrize("value", ["x", None, [1, 2], {"a": 1}, 1.5])
@pytest.mark.parametrize("field", OF_NUMBERS)
def test_a_value_of_another_kind_than_its_rule_says_is_no_error(value: Data, field: Field) -> None:
    """The program was changed since, or another one printed it."""
    found = lines(rule("pair", Piece(print=True, fields=[COMM, field]))).value(["a", value])
    assert len(found.records) == 1


@pytest.mark.parametrize("value", ["9007199254740993", "18446744073709551615", -1, True])
@pytest.mark.parametrize("field", OF_NUMBERS)
def test_numbers_come_in_many_forms(value: Data, field: Field) -> None:
    """0.24 and later print those above 2^53 as text, and booleans as words."""
    ((_, _, attributes),) = lines(rule("pair", Piece(print=True, fields=[COMM, field]))).value(["a", value]).told
    assert len(attributes) == 1 + (field is not NSECS)


@pytest.mark.parametrize("field", OF_NUMBERS)
def test_a_line_of_another_kind_than_its_rule_says_is_no_error(field: Field) -> None:
    value = rule("value", Piece(print=True, fields=[field]))
    ((_, body, attributes),) = whole(value).text("something else\n").told
    assert (body, attributes) == ("something else", {})


def test_a_printed_value_ends_the_line_before_it() -> None:
    """printf("pair "); print((pid, comm)); is one line to whoever sees it."""
    value = Piece(print=True, fields=[Field(attribute="process.pid", type="any"), Field(attribute="x", type="any")])
    found = lines(rule("f", printf("pair "), value)).text("pair ").value([7, "a"]).end()
    assert found.told == [("f", "pair (7, a)", {"process.pid": 7, "x": "a"})]


# Lines that nobody knows, under a header.


def test_a_table_is_read_where_there_is_no_rule() -> None:
    for found in (lines(), whole()):
        assert found.text("Tracing...\n", "PID    COMM\n", "42     a b\n").told == [
            ("mine", "Tracing...", {}),
            ("mine", "PID    COMM", {}),
            ("mine", "42     a b", {"process.pid": 42, "thread.name": "a b"}),
        ]


def test_a_table_is_not_read_where_there_are_rules() -> None:
    assert lines(rule("header", HEADER)).text("PID    COMM\n", "42     a b\n").attributes == [{}, {}]


def test_a_header_in_the_middle_begins_another_table() -> None:
    for found in (lines(), whole()):
        found.text("PID    COMM\n", "42     a\n", "TIME     CPU\n", "05:41:00 3\n", "PID    COMM\n", "43     b\n")
        assert found.attributes == [
            {},
            {"process.pid": 42, "thread.name": "a"},
            {},
            {"ebpf.time": "05:41:00", "cpu.logical_number": 3},
            {},
            {"process.pid": 43, "thread.name": "b"},
        ]


def test_a_row_of_pieces_is_read_as_a_whole() -> None:
    assert lines().text("TIME     PID\n", ("time", "05:41:00 "), "42\n").attributes[1] in (
        {},
        {"ebpf.time": "05:41:00", "process.pid": 42},
    )


KINDS = st.sampled_from(["printf", "time", "join", "cat", "syscall", "output"])
TEXTS = st.text(st.characters(min_codepoint=32, max_codepoint=126) | st.sampled_from("\n\t\udcff\u00e9"), max_size=30)
KNOWN = st.sampled_from(
    [TIME, WHO, WHAT, ("printf", "read 7\n"), ("printf", "PID    COMM\n"), ("printf", "42     a\n")]
)
RULES = [EXEC, rule("header", HEADER), rule("f", printf("%s %d\n", COMM, PID)), rule("g", printf("%d ", TID))]


@given(st.lists(KNOWN | st.tuples(KINDS, TEXTS), max_size=20), st.booleans())
def test_no_text_is_lost_or_made_up(texts: list[tuple[str, str]], with_rules: bool) -> None:
    found = lines(*RULES if with_rules else ()).text(*texts).end()
    printed = "".join(text for _, text in texts)
    shown = "".join(found.bodies)
    assert "".join(printed.split()).replace("\udcff", "\\xff") == "".join(shown.split())


@given(st.lists(st.tuples(KINDS, TEXTS), max_size=20))
def test_whole_lines_are_records_one_by_one(texts: list[tuple[str, str]]) -> None:
    found = whole(*RULES).text(*[(kind, text.replace("\n", " ") + "\n") for kind, text in texts]).end()
    assert len(found.records) == sum(bool(text.strip()) for _, text in texts)


# Fields that have a name, for spans.

NAMED = rule(
    "named",
    printf("%d %s ", Field(name="id"), Field(name="what", type="string", attribute="ebpf.what")),
    printf("%llu %d\n", NSECS, Field(name="took", attribute="ebpf.took", scale="1e-9")),
)


@pytest.mark.parametrize("make", [lines, whole])
def test_named_fields_are_kept_as_they_were_printed(make: Callable[..., Lines]) -> None:
    pieces = ["7 read ", "99 2000\n"]
    (record,) = make(NAMED).text(*(["".join(pieces)] if make is whole else pieces)).records
    assert record.fields == {"id": 7, "what": "read", "took": 2000}
    assert record.attributes == {"ebpf.what": "read", "ebpf.took": 2e-6}
    assert record.time_unix_nano == MOMENT.to_unix(99)


def test_named_fields_of_a_printed_value() -> None:
    tuple_of = Piece(print=True, fields=[Field(name="big"), Field(name="x", type="any"), Field(equals="tag")])
    (record,) = lines(rule("value", tuple_of)).value([str(2**60), str(2**61), "tag"]).records
    assert record.fields == {"big": 2**60, "x": 2**61}


def test_a_line_that_two_rules_name_differently_has_no_fields() -> None:
    """Whose it is cannot be told."""
    one, other = (rule("same", printf("%d ok\n", Field(name=name))) for name in ("a", "b"))
    (record,) = lines(one, other).text("5 ok\n").records
    assert record.fields == {}


def test_rules_that_fit_the_same_line_and_name_other_fields_say_nothing() -> None:
    one = rule("same", printf("%d %s\n", Field(name="a"), Field(type="string")))
    other = rule("same", printf("%s %d\n", Field(type="string"), Field(name="a")))
    (record,) = lines(one, other).text("5 6\n").records
    assert (record.event_name, record.fields) == ("mine", {})
