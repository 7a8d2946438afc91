from __future__ import annotations

import pytest

from config.errors import ConfigError
from config.manifest import (
    BoolParameter,
    ChoiceParameter,
    DurationParameter,
    IntParameter,
    IntsParameter,
    Manifest,
    Parameter,
    StringParameter,
)
from config.parameters import (
    Assignment,
    Value,
    default_of,
    default_values,
    describe,
    literals,
    resolve_parameters,
    value_of,
)

PID = IntParameter(help="h", default=0, range=(0, 4194304))
NUMBER = IntParameter(help="h", default=-5)
FLAG = BoolParameter(help="h", default=True)
EVENTS = ChoiceParameter(help="h", default="none", choices={"none": 0, "open": 1, "all": 3})
COMM = StringParameter(help="h", default="", pattern="[ -~]{0,15}")
HZ = IntParameter(help="h", default=99, range=(1, 999), never=[100, 250])
PORTS = IntsParameter(help="h", most=4, range=(1, 65535))
NICES = IntsParameter(help="h", most=2, range=(-20, 19), default="-5,0")
SLOW = DurationParameter(help="h", default="0")
PAUSE = DurationParameter(help="h", default="10ms")


def manifest(**parameters: Parameter) -> Manifest:
    return Manifest(summary="s", traces="t", cost="c", kernel="5.10", bpftrace="0.17", parameters=parameters)


BOTH = {"exec": manifest(pid=PID, comm=COMM, exits=FLAG), "tcp": manifest(pid=PID, events=EVENTS)}


@pytest.mark.parametrize(
    ("parameter", "text", "value"),
    [
        (PID, "0", 0),
        (PID, "4194304", 4194304),
        (PID, "007", 7),
        (NUMBER, "-9223372036854775808", -(2**63)),
        (NUMBER, "9223372036854775807", 2**63 - 1),
        (FLAG, "true", 1),
        (FLAG, "Yes", 1),
        (FLAG, "on", 1),
        (FLAG, "1", 1),
        (FLAG, "false", 0),
        (FLAG, "NO", 0),
        (FLAG, "off", 0),
        (FLAG, "0", 0),
        (EVENTS, "none", 0),
        (EVENTS, "all", 3),
        (COMM, "", ""),
        (COMM, 'a "b" \\ c', 'a "b" \\ c'),
        (COMM, "123456789012345", "123456789012345"),
        (HZ, "99", 99),
        (HZ, "101", 101),
        (PORTS, "", (0, 0, 0, 0)),
        (PORTS, "80", (80, 0, 0, 0)),
        (PORTS, "80,443", (80, 443, 0, 0)),
        (PORTS, " 80 , 443 ", (80, 443, 0, 0)),
        (PORTS, "1,2,3,65535", (1, 2, 3, 65535)),
        (PORTS, "80,80", (80, 80, 0, 0)),
        (NICES, "-20,19", (-20, 19)),
        (SLOW, "0", 0),
        (SLOW, "100ms", 100_000_000),
        (SLOW, "10us", 10_000),
        (SLOW, "1.5s", 1_500_000_000),
        (SLOW, "0.3s", 300_000_000),  # not 299,999,999
        (SLOW, "2m", 120_000_000_000),
    ],
)
def test_value_of(parameter: Parameter, text: str, value: Value) -> None:
    found = value_of(parameter, text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("parameter", "text"),
    [
        (PID, "-1"),
        (PID, "4194305"),
        (PID, ""),
        (PID, " 1"),
        (PID, "1 "),
        (PID, "1\n"),
        (PID, "+1"),
        (PID, "1_0"),
        (PID, "0x10"),
        (PID, "1e3"),
        (PID, "1.0"),
        (PID, '1; system("x")'),
        (PID, "1 || 1"),
        (PID, "pid"),
        (PID, "9" * 5000),
        (NUMBER, "9223372036854775808"),
        (NUMBER, "-9223372036854775809"),
        (FLAG, ""),
        (FLAG, "2"),
        (FLAG, "maybe"),
        (FLAG, "1 "),
        (EVENTS, "All"),
        (EVENTS, "3"),
        (EVENTS, ""),
        (EVENTS, "all; exit()"),
        (COMM, "1234567890123456"),
        (COMM, "é"),
        (COMM, "a\n"),
        (COMM, "a\nb"),
        (COMM, "\x00"),
        (HZ, "100"),
        (HZ, "0100"),
        (HZ, "250"),
        (HZ, "0"),
        (HZ, "1000"),
        (PORTS, "0"),  # it stands for none
        (PORTS, "65536"),
        (PORTS, "-1"),
        (PORTS, "80,"),
        (PORTS, ",80"),
        (PORTS, "80,,443"),
        (PORTS, "80;443"),
        (PORTS, "80 443"),
        (PORTS, "http"),
        (PORTS, " "),
        (PORTS, "1,2,3,4,5"),
        (SLOW, ""),
        (SLOW, "0ms"),
        (SLOW, "100"),
        (SLOW, "100 ms"),
        (SLOW, "-1s"),
        (SLOW, "1ns"),
        (SLOW, "9999h"),
    ],
)
def test_value_of_refuses(parameter: Parameter, text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the caller words it
        value_of(parameter, text)


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        (PID, 0),
        (NUMBER, -5),
        (FLAG, 1),
        (EVENTS, 0),
        (COMM, ""),
        (HZ, 99),
        (PORTS, (0, 0, 0, 0)),
        (NICES, (-5, 0)),
        (SLOW, 0),
        (PAUSE, 10_000_000),
    ],
)
def test_default_of(parameter: Parameter, value: Value) -> None:
    found = default_of(parameter)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("parameter", "shown"),
    [
        (PID, "a whole number from 0 to 4194304"),
        (NUMBER, "a whole number"),
        (FLAG, "true or false"),
        (EVENTS, "one of none, open, all"),
        (COMM, "printable ASCII text that matches [ -~]{0,15}"),
        (HZ, "a whole number from 1 to 999, but not 100, 250"),
        (PORTS, "up to 4 whole numbers from 1 to 65535, separated by commas"),
        (SLOW, "a duration such as 100us, 10ms or 2s; 0 for none"),
    ],
)
def test_describe(parameter: Parameter, shown: str) -> None:
    assert describe(parameter) == shown


def test_a_program_asks_for_the_numbers_of_a_list_one_by_one() -> None:
    values = default_values(manifest(ports=PORTS, nices=NICES, comm=COMM, slow=PAUSE))
    assert literals({**values, "ports": value_of(PORTS, "80,443")}) == {
        "ports.0": 80,
        "ports.1": 443,
        "ports.2": 0,
        "ports.3": 0,
        "nices.0": -5,
        "nices.1": 0,
        "comm": "",
        "slow": 10_000_000,
    }


def test_resolve_parameters_gives_defaults_to_all() -> None:
    assert resolve_parameters(BOTH, []) == {
        "exec": {"pid": 0, "comm": "", "exits": 1},
        "tcp": {"pid": 0, "events": 0},
    }


def test_resolve_parameters_takes_short_and_full_names_the_last_wins() -> None:
    given = {"events": "open", "exec.pid": "7", "comm": "sh", "tcp.events": "all", "exits": "no"}
    assert resolve_parameters(BOTH, [Assignment(name, text, "--set") for name, text in given.items()]) == {
        "exec": {"pid": 7, "comm": "sh", "exits": 0},
        "tcp": {"pid": 0, "events": 3},
    }


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("hz", "100", "a whole number from 1 to 999, but not 100, 250"),
        ("ports", "80,0", "up to 4 whole numbers from 1 to 65535, separated by commas"),
        ("slow", "soon", "a duration such as 100us, 10ms or 2s; 0 for none"),
    ],
)
def test_what_is_refused_says_what_would_be_taken(name: str, text: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve_parameters({"x": manifest(hz=HZ, ports=PORTS, slow=SLOW)}, [Assignment(name, text, "--set")])
    assert str(caught.value) == f"--set: x.{name}={text!r}: expected {expected}"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("pid", "1", "'pid' is a parameter of several signals; write exec.pid or tcp.pid"),
        ("exec.pid", "-1", "exec.pid='-1': expected a whole number from 0 to 4194304"),
        ("events", "some", "tcp.events='some': expected one of none, open, all"),
        ("exits", "maybe", "exec.exits='maybe': expected true or false"),
        ("evnets", "all", "no parameter 'evnets' (did you mean tcp.events"),
        ("exec.events", "all", "no parameter 'exec.events' (did you mean "),
        ("disk.pid", "1", "no parameter 'disk.pid' (did you mean "),
        ("", "1", "no parameter ''"),
    ],
)
def test_resolve_parameters_says_what_is_wrong(name: str, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve_parameters(BOTH, [Assignment(name, text, "run.yaml:7")])
    assert str(caught.value).startswith(f"run.yaml:7: {message}")
