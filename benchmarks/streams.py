"""Streams as bpftrace 0.17 prints them with `-f json`, always the same bytes for the same arguments.

    python benchmarks/streams.py events 300000 [--new-paths] >events.json
    python benchmarks/streams.py maps 200 1000 [--map @bytes] >maps.json
    python benchmarks/streams.py hists 200 1000 [--map @us] >hists.json      (0 keys: a histogram without a key)

Functions yield lines, each with its newline; the first one always tells of attached probes.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

FIRST = b'{"type": "attached_probes", "data": {"probes": 1}}\n'
# The fields of an event after its tag: nanoseconds, three ids, a name, a CPU's number, open(2)'s flags, a path.
FIELDS = ("time", "pid", "tid", "uid", "comm", "cpu", "flags", "path")
_BEGIN = 1_000_000_000_000
_FLAGS = (0, 2, 0o1101, 0o2000000)  # O_RDONLY, O_RDWR, O_WRONLY | O_CREAT | O_TRUNC, O_CLOEXEC
_BUCKETS = 12


def events(count: int, *, new_paths: bool = False) -> Iterator[bytes]:
    """`count` records of `print(("bench_open", nsecs, pid, tid, uid, comm, cpu, args->flags, str(args->filename)))`.

    About one each microsecond, of 50 processes on 2 CPUs, to 200 paths; with `new_paths` each path is seen once.
    """
    yield FIRST
    for number in range(count):
        # Spread evenly by a multiplication, as neighbours that are alike would flatter whoever compares or caches.
        spread = number * 2_654_435_761 % 2**32 >> 8
        process = spread % 50
        path = number if new_paths else spread // 50 % 200
        yield (
            f'{{"type": "value", "data": ["bench_open",{_BEGIN + number * 1000 + spread % 900},{1000 + process},'
            f'{1000 + process + spread % 3},{process % 2 * 1000},"proc{process % 7}",{spread % 2},'
            f'{_FLAGS[spread // 7 % 4]},"/usr/lib/x86_64-linux-gnu/lib{path}.so"]}}\n'
        ).encode()


def maps(count: int, keys: int, name: str = "@bytes") -> Iterator[bytes]:
    """`count` prints of a map `name[pid, comm]` with `keys` keys, whose sums grow from print to print."""
    yield FIRST
    for number in range(count):
        values = {key: (number + 1) * (1000 + place) for place, key in enumerate(_keys(keys))}
        yield _record("map", name, values)


def hists(count: int, keys: int, name: str = "@us") -> Iterator[bytes]:
    """`count` prints of `name[pid, comm] = hist(...)` with `keys` keys, or of `name = hist(...)` if that is 0.

    Histograms have 12 buckets [min, max], both inclusive, from [4, 7] to [8192, 16383], whose counts grow.
    """
    yield FIRST
    for number in range(count):
        if keys:
            yield _record("hist", name, {key: _buckets(number, place) for place, key in enumerate(_keys(keys))})
        else:
            yield _record("hist", name, _buckets(number, 0))


def write(path: Path, lines: Iterable[bytes]) -> int:
    """Write a stream to a file; returns its size in bytes."""
    with path.open("wb") as file:
        file.writelines(lines)
        return file.tell()


def _keys(count: int) -> list[str]:
    return [f"{1000 + place},proc{place % 7}" for place in range(count)]


def _buckets(number: int, place: int) -> list[dict[str, int]]:
    return [
        {"min": 4 << bucket, "max": (8 << bucket) - 1, "count": (number + 1) * ((place + bucket) % 5)}
        for bucket in range(_BUCKETS)
    ]


def _record(kind: str, name: str, value: object) -> bytes:
    # json.dumps separates as bpftrace's maps do: {"@b": {"1,x": 5, "2,y": 6}}
    return json.dumps({"type": kind, "data": {name: value}}).encode() + b"\n"


def main() -> None:
    """Write a stream to standard output."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_subparsers(dest="kind", required=True)
    kind = kinds.add_parser("events")
    kind.add_argument("count", type=int)
    kind.add_argument("--new-paths", action="store_true")
    for name, default in (("maps", "@bytes"), ("hists", "@us")):
        kind = kinds.add_parser(name)
        kind.add_argument("count", type=int)
        kind.add_argument("keys", type=int)
        kind.add_argument("--map", default=default)
    arguments = parser.parse_args()
    if arguments.kind == "events":
        lines = events(arguments.count, new_paths=arguments.new_paths)
    else:
        lines = (maps if arguments.kind == "maps" else hists)(arguments.count, arguments.keys, arguments.map)
    sys.stdout.buffer.writelines(lines)


if __name__ == "__main__":
    main()
