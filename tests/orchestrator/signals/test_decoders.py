from __future__ import annotations

from typing import Any

import pytest

from orchestrator.signals.decoders import DECODERS, INPUTS


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
        ("errno_error", -2, "ENOENT"),
        ("errno_error", -11, "EAGAIN"),
        ("errno_error", -4095, "4095"),
        ("errno_error", 0, None),
        ("errno_error", 2, None),
        ("errno_error", -4096, None),
        ("errno_error", -(2**47), None),
        ("length", ["a", "b"], 2),
        ("length", [], 0),
        ("same", 80, 80),
    ],
)
def test_decoders(decoder: str, value: Any, decoded: Any) -> None:
    assert DECODERS[decoder](value) == decoded


# struct sockaddr_in {AF_INET, 8080, 10.1.2.3} and sockaddr_in6 {AF_INET6, 443, 2001:db8::1}, as Linux has them.
IPV4 = bytes.fromhex("02001f900a010203") + bytes(8)
IPV6 = bytes.fromhex("0a0001bb00000000") + bytes.fromhex("20010db8000000000000000000000001") + bytes(4)
MAPPED = bytes.fromhex("0a0001bb00000000") + bytes(10) + b"\xff\xff\x7f\0\0\x01" + bytes(4)


@pytest.mark.parametrize(
    ("data", "address", "port"),
    [
        (IPV4, "10.1.2.3", 8080),
        (IPV4[:8], "10.1.2.3", 8080),
        (b"\0\x02" + IPV4[2:], "10.1.2.3", 8080),
        (IPV6, "2001:db8::1", 443),
        (IPV6[:24], "2001:db8::1", 443),
        (MAPPED, "127.0.0.1", 443),
        (bytes.fromhex("0200000000000000"), "0.0.0.0", None),
        (IPV4[:7], None, None),
        (IPV6[:23], None, None),
        (b"\x01\0/run/x.sock\0", None, None),
        (b"", None, None),
    ],
)
def test_socket_addresses_in_any_print(data: bytes, address: str | None, port: int | None) -> None:
    signed = [byte - 256 if byte > 127 else byte for byte in data]
    mixed = "".join(chr(byte) if 0x20 <= byte < 0x7F else f"\\x{byte:02x}" for byte in data)
    for value in (data, data.hex(" "), mixed, "".join(f"\\x{byte:02x}" for byte in data), signed):
        assert (DECODERS["sockaddr"](value), DECODERS["sockaddr_port"](value)) == (address, port)


def test_what_is_no_socket_address() -> None:
    for value in (7, None, "text", {"a": 1}, ["x"]):
        assert (DECODERS["sockaddr"](value), DECODERS["sockaddr_port"](value)) == (None, None)


def test_what_decoders_take_is_known_of_decoders_that_exist() -> None:
    assert INPUTS.keys() <= DECODERS.keys()
