"""Fuzzes the parsers, guided by coverage: ``python tests/fuzz/fuzz_parsers.py --seconds 60 [--seed N]``.

What must hold of any input stands in the checks below. Beyond them nothing may raise, reading 64 KiB once may take two
seconds at most, and memory may not grow. An input that breaks this is saved, and read again by ``--input FILE``.

Exit codes: 0 all held, 1 something did not, 2 wrong arguments, 77 atheris cannot be imported (it exists for CPython on
Linux x86_64, up to a version of its own).
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import math
import os
import random
import shutil
import sys
import tempfile
import time
import traceback
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn, get_args

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "tests" / "data" / "bpftrace"

NO_ATHERIS = 77
MAX_SIZE = 1 << 16
SECONDS_A_READING = 2.0
MAX_GROWTH = 100 << 20
# Of CPU for each target, and after them twice its share of the time: a slow one leaves the others theirs.
FIRST_SECONDS = 5.0
DEEPEST = 200
VERSIONS = (None, (0, 11), (0, 17), (0, 22), (0, 23), (0, 24), (0, 27))


class BrokenError(AssertionError):
    """What must hold does not."""


def must(condition: bool, what: str) -> None:
    if not condition:
        raise BrokenError(what)


def parser(name: str) -> Any:
    """A module of the parsers; imported late, so that it can be instrumented."""
    return importlib.import_module(f"parsers.{name}")


def must_be_records(records: Sequence[Any]) -> None:
    module = parser("records")
    for record in records:
        must(isinstance(record, get_args(module.Record)), f"no record: {record!r:.200}")
        must_be_plain([getattr(record, field.name) for field in dataclasses.fields(record)], 0)
        if isinstance(record, module.Unparsed):
            must(len(record.line) <= 4096, "an Unparsed line is not cut")


def must_be_plain(data: Any, depth: int) -> None:
    """Nothing but data, that can be written down and sent."""
    must(depth < DEEPEST, "nested too deeply")
    if isinstance(data, str):
        data.encode("utf-8", "surrogateescape")
    elif isinstance(data, float):
        must(math.isfinite(data), f"no number: {data}")
    elif isinstance(data, dict):
        must_be_plain([*data, *data.values()], depth + 1)
    elif isinstance(data, (list, tuple)):
        for item in data:
            must_be_plain(item, depth + 1)
    elif dataclasses.is_dataclass(data):
        must_be_plain([getattr(data, field.name) for field in dataclasses.fields(data)], depth + 1)
    else:
        must(data is None or isinstance(data, (bytes, int)), f"no data: {data!r:.200}")


def dice(data: bytes) -> random.Random:
    """Chance that is the same for the same input."""
    return random.Random(zlib.crc32(data))


def check_stream(data: bytes) -> None:
    """Chunks change nothing; a stream that is cut gives the same records as far as it goes, and invents none."""
    chance = dice(data)
    version = chance.choice(VERSIONS)

    def run(chunks: Sequence[bytes]) -> list[Any]:
        stream = parser("stream").OutputStream(version=version)
        return [*(record for chunk in chunks for record in stream.feed(chunk)), *stream.close()]

    whole = run([data])
    must_be_records(whole)
    places = sorted({0, len(data), *(chance.randint(0, len(data)) for _ in range(chance.randint(0, 20)))})
    chunks = [data[start:end] for start, end in pairwise(places)]
    must(run(chunks) == whole, f"other records in chunks at {places}")

    # Behind a bracket a cut line looks most like a whole one.
    brackets = [place for place, byte in enumerate(data, 1) if byte == ord("}")]
    cut = chance.choice(brackets) if brackets and chance.random() < 0.5 else chance.randint(0, len(data))
    line = data.rfind(b"\n", 0, cut) + 1
    before = run([data[:line]])
    must(whole[: len(before)] == before, f"other records of the lines before {cut}")
    if data.startswith(b'{"type": "', line):
        last, all_of_it = (known(run([data[:end]])[len(before) :]) for end in (cut, end_of_line(data, line)))
        must(last == all_of_it[: len(last)], f"a record made of a line that is cut at {cut}")


def end_of_line(data: bytes, place: int) -> int:
    end = data.find(b"\n", place)
    return len(data) if end < 0 else end


def known(records: Sequence[Any]) -> list[Any]:
    module = parser("records")
    return [record for record in records if not isinstance(record, (module.Unknown, module.Unparsed))]


def check_gap(data: bytes) -> None:
    """A gap loses the lines around it, and nothing else."""
    chance = dice(data)
    start, end = sorted(chance.randint(0, len(data)) for _ in range(2))
    stream, other = parser("stream").OutputStream(), parser("stream").OutputStream()
    records = stream.feed(data[:start])
    stream.gap()
    records += stream.feed(data[end:]) + stream.close()
    must_be_records(records)
    line, after = data.rfind(b"\n", 0, start) + 1, data.find(b"\n", end) + 1
    rest = data[after:] if after else b""
    must(records == other.feed(data[:line]) + other.feed(rest) + other.close(), f"other records around {start}-{end}")


def check_lines(data: bytes) -> None:
    """A line that is one record is the same record read either way."""
    one, several = parser("json_output").JsonDecoder(), parser("json_output").JsonDecoder()
    for line in data.split(b"\n"):
        records = several.decode_all(line)
        must_be_records(records)
        if len(records) < 2 and not any(isinstance(record, parser("records").Unparsed) for record in records):
            must([one.decode(line)] == (records or [None]), f"decode() and decode_all() differ: {line!r:.200}")
        else:
            one = several = parser("json_output").JsonDecoder()


def check_text(data: bytes) -> None:
    decoder = parser("text_output").TextDecoder()
    for line in data.split(b"\n"):
        must_be_records(decoder.feed(line))
    must_be_records(decoder.close())


def check_script(data: bytes) -> None:
    parser("script").read_script(data.decode("utf-8", "surrogateescape"))


def check_printf(data: bytes) -> None:
    """The first line is the format, the rest what it printed."""
    chance = dice(data)
    first, _, rest = data.decode("utf-8", "surrogateescape").partition("\n")
    kinds = [chance.choice(["any", "comm", "word", "address"]) for _ in range(chance.randint(0, 3))]
    try:
        matcher = parser("printf").PrintfMatcher(first, kinds)
    except ValueError:
        return
    values = matcher.match(rest)
    must(values is None or len(values) == matcher.conversions, f"{values!r:.200} of {matcher.conversions}")


# What chance would take long to find.
TRAPS = (
    b'{"type": "value", "data": [1,{"type": "value", "data": 5}]}',
    b'{"type": "map", "data": {"@a": {"type": "value", "data": 5}}}{"type": "value", "data": 6}',
    b'no newline{"type": "value", "data": ["}{",{"type": "map"}]}more{"type": "map", "data": {"@a": {"x": 1}}}',
    b'{"type": "value", "data": 1e999}\n{"type": "value", "data": [NaN]}\n{"type": "value", "data": "\\ud800\\udc41"}',
    b'{"type": "value", "data": ' + b"[" * 5000,
    b'{"type": "value", "data": ' + b'{"a": [' * 40 + b"1" + b"]}" * 40 + b"}",
    b'{"type": "value", "data": "' + b'\\"' * 2000,
    b'{"type": "hist", "data": {"@h": {"\\u0001": [{"min": 4, "max": 7, "count": 1e5},{"min": 8, "count": 1}]}}}\n' * 2,
    b'{"type": "map", "data": {"@k": {"a\\\\n\\\\uffffffc3": 1}}}\n{"type": "map", "data": {"@k": {"a\\\\x": 1}}}',
    b'{"type": "value", "data": [1,05:41, 2,{"a": x, y, "b": 1}]}',
)
PRINTED = (b"%s %d\nbash 42", b"%-10s|%5lld|%x %r%%\nbash      |   -1|ff \\x00a%", b"%rh %p %c\n61 00 ff 0xff x")


@dataclasses.dataclass(frozen=True)
class Target:
    """What to fuzz. An input of it begins with ``letter``; its seeds are files, pieces of them, and ``extra``.

    ``readings`` is how often its check reads all of an input.
    """

    letter: str
    name: str
    module: str
    check: Callable[[bytes], None]
    seeds: tuple[Path, str] | None
    extra: tuple[bytes, ...] = ()
    readings: int = 1

    def read_seeds(self) -> Iterator[bytes]:
        yield from self.extra
        for path in sorted(self.seeds[0].rglob(self.seeds[1])) if self.seeds else ():
            content = path.read_bytes()
            yield content[:MAX_SIZE]
            yield from (line for line in content[:4096].splitlines()[:4] if line)


TARGETS = (
    Target("s", "stream", "stream", check_stream, (DATA, "*.json"), TRAPS, 5),
    Target("g", "gap", "stream", check_gap, (DATA, "*.json"), TRAPS, 2),
    Target("l", "lines", "json_output", check_lines, (DATA, "*.json"), TRAPS, 2),
    Target("t", "text", "text_output", check_text, (DATA, "*.txt")),
    Target("b", "script", "script", check_script, (ROOT / "bt_scripts", "*.bt")),
    Target("p", "printf", "printf", check_printf, None, PRINTED),
)

WORDS = (
    *(
        f'{{"type": "{kind}", "data": '
        for kind in ("value", "map", "hist", "stats", "tseries", "printf", "lost_events")
    ),
    '{"type": "attached_probes", "count": 1, "data": {"probes": 1}}',
    '{"type": "attached_probes", "data": {"probes": 1}}',
    '{"type": "helper_error", "helper": "h", "retcode": -7',
    '{"min": 4, "max": 7, "count": ',
    '{"interval_start":',
    '"value":',
    '{"@',
    '"}',
    "}}\n",
    "},{",
    "}, {",
    "\\u0001",
    "\\uffffffc3",
    "\\\\uffffffc3",
    "\\\\n",
    "\\ud800",
    "05:41",
    "NaN",
    "1e999",
    "9007199254740993",
    "ffffffffffffffec",
)


def resident() -> int:
    """Bytes of memory in use."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Run:
    """Gives inputs to the checks until the time is over; does not return from that."""

    def __init__(self, targets: Sequence[Target], seconds: float, seed: int, folder: Path) -> None:
        self._targets = {ord(target.letter): target for target in targets}
        self._order = tuple(targets)
        self._seconds = seconds
        self._seed = seed
        self._folder = folder
        self._counts: Counter[str] = Counter()
        self._took = dict.fromkeys((target.name for target in targets), 0.0)
        self._start = time.monotonic()
        self._early: int | None = None

    def __call__(self, data: bytes) -> None:
        """Take one input."""
        elapsed = time.monotonic() - self._start
        target = self._targets.get(data[0]) or self._order[data[0] % len(self._order)] if data else None
        if target and self._took[target.name] <= FIRST_SECONDS + 2 * elapsed / len(self._order):
            try:
                self._check(target, data[1:])
            except BaseException:
                self._fail(target, data[1:], traceback.format_exc())
            self._counts[target.name] += 1
        if self._early is None and elapsed > self._seconds / 10:
            self._early = resident()
        if elapsed > self._seconds:
            self._end(elapsed)

    def _check(self, target: Target, data: bytes) -> None:
        start = time.process_time()
        target.check(data)
        took = time.process_time() - start
        self._took[target.name] += took
        limit = SECONDS_A_READING * target.readings * max(1.0, len(data) / MAX_SIZE)
        must(took <= limit, f"took {took:.1f} s")

    def _fail(self, target: Target, data: bytes, why: str) -> NoReturn:
        content = target.letter.encode() + data
        path = Path(f"fuzz-{target.name}-{zlib.crc32(content):08x}.bin").resolve()
        path.write_bytes(content)
        print(f"{why}\n{target.name}: failed with seed {self._seed}; the input is in {path}")
        self._leave(1)

    def _end(self, elapsed: float) -> NoReturn:
        for target in self._order:
            print(f"{target.name:8} {self._counts[target.name]:10,} inputs, {self._took[target.name]:.1f} s of CPU")
        early, late = self._early or 0, resident()
        print(f"{'in all':8} {self._counts.total():10,} inputs in {elapsed:.0f} s, seed {self._seed}")
        print(f"resident {early >> 20} MB after a tenth of the time, {late >> 20} MB at its end")
        idle = [target.name for target in self._order if not self._counts[target.name]]
        if idle:
            print(f"never tried: {', '.join(idle)}")
        if late - early > MAX_GROWTH:
            print("memory has grown too much")
        self._leave(1 if idle or late - early > MAX_GROWTH else 0)

    def _leave(self, code: int) -> NoReturn:
        shutil.rmtree(self._folder, ignore_errors=True)
        sys.stdout.flush()
        os._exit(code)  # libFuzzer has its own idea of how to end


def importable(targets: Sequence[Target]) -> list[Target]:
    found = []
    for target in targets:
        try:
            parser(target.module)
        except ImportError as error:
            print(f"{target.name}: left out, {error}")
        else:
            found.append(target)
    return found


def write_corpus(folder: Path, targets: Sequence[Target]) -> None:
    for target in targets:
        for number, seed in enumerate(target.read_seeds()):
            (folder / f"{target.name}-{number}").write_bytes(target.letter.encode() + seed)


def write_words(path: Path) -> None:
    """As libFuzzer wants them: one to a line, in quotes, bytes as ``\\xAB``."""
    words = ("".join(f"\\x{byte:02x}" for byte in word.encode()) for word in WORDS)
    path.write_text("".join(f'"{word}"\n' for word in words))


def fuzz(atheris: Any, targets: Sequence[Target], seconds: float, seed: int) -> NoReturn:
    folder = Path(tempfile.mkdtemp(prefix="fuzz-parsers-"))
    corpus, words = folder / "corpus", folder / "words"
    corpus.mkdir()
    write_corpus(corpus, targets)
    write_words(words)
    options = {
        "seed": seed,
        "dict": words,
        "max_len": MAX_SIZE,
        "timeout": 60,
        "timeout_exitcode": 1,
        "error_exitcode": 1,
        "artifact_prefix": f"{Path.cwd()}/fuzz-crash-",
        "rss_limit_mb": 2048,
        "verbosity": 0,
    }
    run = Run(targets, seconds, seed, folder)
    atheris.Setup([sys.argv[0], *(f"-{option}={value}" for option, value in options.items()), str(corpus)], run)
    atheris.Fuzz()
    sys.exit("atheris ended by itself")


def arguments() -> argparse.Namespace:
    reader = argparse.ArgumentParser(description="Fuzz the parsers, guided by coverage.")
    reader.add_argument("--seconds", type=float, default=60.0, help="how long (60)")
    reader.add_argument("--seed", type=int, default=None, help="of libFuzzer's chance, for the same run again")
    reader.add_argument("--only", choices=[target.name for target in TARGETS], help="one target")
    reader.add_argument("--input", type=Path, help="read a saved input once, without atheris")
    return reader.parse_args()


def main() -> int:
    options = arguments()
    wanted = [target for target in TARGETS if options.only in (None, target.name)]
    if options.input:
        data = options.input.read_bytes()
        next(target for target in TARGETS if target.letter == chr(data[0])).check(data[1:])
        print("held")
        return 0
    try:
        atheris = importlib.import_module("atheris")
    except ImportError as error:
        print(f"atheris cannot be imported here: {error}")
        return NO_ATHERIS
    with atheris.instrument_imports(include=["parsers"]):
        targets = importable(wanted)
    fuzz(atheris, targets, options.seconds, options.seed or random.SystemRandom().randrange(1, 1 << 31))


if __name__ == "__main__":
    sys.exit(main())
