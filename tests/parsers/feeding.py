"""Feeds the parser every case in three ways: whole, byte by byte, and with more behind it."""

from __future__ import annotations

from pathlib import Path

from parsers.records import Record, Value
from parsers.stream import OutputStream

DATA = Path(__file__).parent.parent / "data" / "bpftrace"
ATTACHED = {
    "0.11.3": b'{"type": "attached_probes", "data": {"probes": 1}}\n',
    "0.17.0": b'{"type": "attached_probes", "data": {"probes": 1}}\n',
    "0.23.2": b'{"type": "attached_probes", "data": {"probes": 1}}\n',
    "0.27.1": b'{"type": "attached_probes", "count": 1, "data": {"probes": 1}}\n',
}
_NEIGHBOUR = b'{"type": "value", "data": ["neighbour",7]}\n'


def captured(version: str, case: str) -> bytes:
    return (DATA / version / f"{case}.json").read_bytes()


def read(data: bytes) -> list[Record]:
    """The records of ``data``, which is all of a stream; a last line without its newline is a cut one."""
    whole = OutputStream()
    records = whole.feed(data) + whole.close()

    single = OutputStream()
    singly = [record for byte in data for record in single.feed(bytes([byte]))] + single.close()
    assert singly == records

    more = OutputStream()
    newline = b"" if data.endswith(b"\n") or not data else b"\n"
    assert more.feed(data + newline + _NEIGHBOUR) + more.close() == [*records, Value(["neighbour", 7])]
    return records


def read_line(line: bytes, version: str = "0.27.1") -> Record:
    """The one record of a line of that version."""
    (_, record) = read(ATTACHED[version] + line + b"\n")
    return record


def read_captured(version: str, case: str) -> list[Record]:
    """The records of a capture but the first one, which says how many probes are attached."""
    return read(captured(version, case))[1:]
