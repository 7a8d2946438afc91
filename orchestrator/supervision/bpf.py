"""What bpf(2) says of loaded programs, and the switch of their statistics (include/uapi/linux/bpf.h)."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

__all__ = ("Program", "count_run_time", "describe")

# The number of the system call, by machine (arch/*/include/generated/asm and syscall.tbl).
_NUMBERS = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "loongarch64": 280, "ppc64le": 361, "s390x": 351}
_PROG_GET_FD_BY_ID, _MAP_GET_FD_BY_ID, _OBJ_GET_INFO_BY_FD, _ENABLE_STATS = 13, 14, 15, 32
_RUN_TIME = 0
# struct bpf_prog_info: type, id, tag, lengths and addresses of code, load_time, uid, nr_map_ids, map_ids, name.
_PROG_INFO = struct.Struct("=II8sIIQQQIIQ16s")
# struct bpf_map_info: type, id, key_size, value_size, max_entries, map_flags, name.
_MAP_INFO = struct.Struct("=IIIIII16s")
_MOST_MAPS = 64
_LIBC = ctypes.CDLL(None, use_errno=True)


class Program(NamedTuple):
    """A loaded program: its name and those of the maps that it uses, all cut to 15 bytes by the kernel."""

    name: str
    maps: tuple[str, ...]


def count_run_time() -> int | None:
    """Let the kernel count the run time of all BPF programs for as long as the descriptor that is returned is open.

    Linux 5.8 and later, with CAP_SYS_ADMIN; None elsewhere. It ends with our process, however that ends.
    """
    try:
        return _bpf(_ENABLE_STATS, struct.pack("=I", _RUN_TIME))
    except OSError:
        return None


def describe(program: int) -> Program | None:
    """What is known of the program with this id; None where it is gone, or not for us to see (CAP_SYS_ADMIN)."""
    try:
        ids = (ctypes.c_uint32 * _MOST_MAPS)()
        wanted = _PROG_INFO.pack(0, 0, b"", 0, 0, 0, 0, 0, 0, _MOST_MAPS, ctypes.addressof(ids), b"")
        with _opened(_PROG_GET_FD_BY_ID, program) as descriptor:
            found = _PROG_INFO.unpack(_info(descriptor, wanted))
        return Program(_text(found[11]), tuple(_map_name(one) for one in ids[: min(found[9], _MOST_MAPS)]))
    except OSError:
        return None


def _map_name(number: int) -> str:
    with _opened(_MAP_GET_FD_BY_ID, number) as descriptor:
        return _text(_MAP_INFO.unpack(_info(descriptor, bytes(_MAP_INFO.size)))[6])


@contextmanager
def _opened(command: int, number: int) -> Iterator[int]:
    descriptor = _bpf(command, struct.pack("=III", number, 0, 0))
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _info(descriptor: int, wanted: bytes) -> bytes:
    """An info struct; ``wanted`` says where lists are to go."""
    buffer = ctypes.create_string_buffer(wanted, len(wanted))
    _bpf(_OBJ_GET_INFO_BY_FD, struct.pack("=IIQ", descriptor, len(wanted), ctypes.addressof(buffer)))
    return buffer.raw


def _bpf(command: int, attributes: bytes) -> int:
    number = _NUMBERS.get(os.uname().machine)
    if number is None:
        raise OSError("unknown machine")
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    found: int = _LIBC.syscall(number, command, buffer, len(attributes))
    if found < 0:
        raise OSError(ctypes.get_errno(), "bpf")
    return found


def _text(name: bytes) -> str:
    return name.partition(b"\0")[0].decode(errors="replace")
