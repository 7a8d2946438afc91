from __future__ import annotations

from typing import Any

import pytest

from orchestrator.signals.decoders import DECODERS


@pytest.mark.parametrize(
    ("decoder", "value", "decoded"),
    [
        ("errno", 0, None),
        ("errno", 2, "ENOENT"),
        ("errno", -2, "ENOENT"),
        ("errno", -11, "EAGAIN"),
        ("errno", 35, "EDEADLK"),
        ("errno", 95, "EOPNOTSUPP"),
        ("errno", 104, "ECONNRESET"),
        ("errno", 110, "ETIMEDOUT"),
        ("errno", 111, "ECONNREFUSED"),
        ("errno", -512, "512"),
        ("signal", 0, None),
        ("signal", -1, None),
        ("signal", 1, "SIGHUP"),
        ("signal", 9, "SIGKILL"),
        ("signal", 11, "SIGSEGV"),
        ("signal", 15, "SIGTERM"),
        ("signal", 35, "SIGRTMIN+1"),
        ("address", "::ffff:127.0.0.1", "127.0.0.1"),
        ("address", "10.0.0.1", "10.0.0.1"),
        ("address", "::1", "::1"),
        ("address", "::", "::"),
        ("address", "fe80::1", "fe80::1"),
        ("address", "::ffff:0:1", "::ffff:0:1"),
        ("address", "", None),
        ("address_family", "127.0.0.1", "ipv4"),
        ("address_family", "::ffff:10.0.0.1", "ipv4"),
        ("address_family", "::1", "ipv6"),
        ("address_family", "", None),
        ("c_string", b"/bin/echo\0", "/bin/echo"),
        ("c_string", b"/bin/echo\0\0\0junk", "/bin/echo"),
        ("c_string", b"/bin/echo", "/bin/echo"),
        ("c_string", b"/x/\xff\0", "/x/\udcff"),
        ("c_string", "é".encode(), "é"),
        ("c_string", b"\0", None),
        ("c_string", b"", None),
        ("argv", b"/bin/echo\0one\0two three\0", ["/bin/echo", "one", "two three"]),
        ("argv", b"sh\0-c\0\0", ["sh", "-c", ""]),
        ("argv", b"\0", [""]),
        ("argv", b"sh\0cut off", ["sh", "cut off"]),
        ("argv", b"a\0\xff\xfe\0\xc3\xa9\0", ["a", "\udcff\udcfe", "é"]),
        ("argv", b"", []),
        ("basename", "/usr/bin/python3", "python3"),
        ("basename", "python3", "python3"),
        ("basename", "./a b", "a b"),
        ("basename", "/", None),
        ("length", ["a", "b"], 2),
        ("length", [], 0),
        ("same", 80, 80),
    ],
)
def test_decoders(decoder: str, value: Any, decoded: Any) -> None:
    assert DECODERS[decoder](value) == decoded
