r"""A line that bpftrace's ``printf(FORMAT, ...)`` printed -> its arguments, each typed, or known to be unsure.

``printf("%s %s\n", comm, str(args->filename))`` prints ``a b c\n``, and nobody can tell what the process is called. A
pattern would cut the line somewhere. Here all ways to cut it into the items of the format are considered, and an
argument has a value only if it begins and ends at the same place in all of them.

Strategy. The ways are far too many to list, but the places where one item can end and the next begin are not: they are
one set of positions for each border between items. Forward, the set holds what can be reached from the beginning of the
text; backward, what can reach its end; what is in both lies on a way through. A set is an int whose bit *i* is position
*i*, so that one operation moves all positions at once, and the time is linear in the text's length whatever it holds.
Where an item can stand is told by windows: a width, and the positions at which such a text of that width begins. Behind
some windows, the heads, any number of bytes of a class may follow.

An item is what any bpftrace prints. That changed with 0.24, from C's printf to C++ streams (seen in 0.17, 0.23, 0.27):

=========  ========  ===========  =========================================
format     value     to 0.23      since 0.24
=========  ========  ===========  =========================================
``%05d``   -5        ``-0005``    ``000-5``
``%-05d``  5         ``5    ``    ``50000``, so a 0 at the end says nothing
``%.2s``   "abc"     ``ab``       ``abc``: no precision, for numbers either
``%p``     0         ``(nil)``    ``0``
``%08p``   1         ``0x000001`` ``000000x1``
``%c``     0         nothing      a zero byte
``%d%%``   5         ``5%%``      ``5%``
``%+d``    5         not known    ``+5``
``% d``    5         not known    ``5``
``%#x``    255       not known    ``0xff``
=========  ========  ===========  =========================================
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import lru_cache
from typing import Final, Literal, Protocol

from parsers.escapes import to_bytes

__all__ = ("UNSURE", "Conversion", "Kind", "PrintfMatcher", "Unknown", "parse_format")

Kind = Literal["any", "comm", "word", "address"]
_NAME_SIZE = 15  # TASK_COMM_LEN without the zero byte


class Unknown(Enum):
    """The type of ``UNSURE``: an argument whose place in the line is not certain."""

    UNSURE = "unsure"


UNSURE: Final = Unknown.UNSURE


@dataclass(frozen=True, slots=True)
class Conversion:
    """``%-16s``: flags "-", width 16, precision None, letter "s". Length modifiers (``%lld``) change no text: left out.

    ``kind`` is what the argument of a ``%s`` can hold: "any" thing, a process name ("comm", at most 15 bytes), a "word"
    without blanks and newlines (``probe``, ``func``), an IP "address" (hex digits, dots, colons; may be empty).
    """

    flags: str
    width: int
    precision: int | None
    letter: str
    kind: Kind = "any"


# As 0.24 and later read formats (src/format_string.cpp). Before, `-` was the only flag, beside the 0 of a width.
_CONVERSION = re.compile(
    r"%(?P<flags>-?\+? ?#?0?)(?P<width>\*|\d+)?(?:\.(?P<precision>\*|\d+))?[hlLjzt]*"
    r"(?P<letter>[diouxXeEfFGaAcspn%]|gr|g|rh|rx|r)",
    re.ASCII,
)
_NUMBERS = frozenset("diouxXp")
_WIDEST = 4095  # characters of one conversion: more is not promised by C
_STRINGS = frozenset(("s", "c", "r", "rx", "rh", "gr"))


def _conversion(found: re.Match[str]) -> Conversion:
    width, precision = found["width"] or "0", found["precision"]
    if found["letter"] not in _NUMBERS | _STRINGS or "*" in (width, precision):
        raise ValueError(f"bpftrace's printf has no {found[0]}")
    if len(width) > 4 or int(width) > _WIDEST:
        raise ValueError(f"{found[0]} is wider than {_WIDEST}")
    return Conversion(found["flags"], int(width), None if precision is None else int(precision), found["letter"])


def _pieces(format: str) -> Iterator[str | Conversion]:  # noqa: A002
    end = 0
    for found in _CONVERSION.finditer(format):
        yield format[end : found.start()]
        yield "%" if found["letter"] == "%" else _conversion(found)
        end = found.end()
    yield format[end:]


def parse_format(format: str) -> tuple[str | Conversion, ...]:  # noqa: A002
    """The literal texts and the conversions of a format, in their order; ``%%`` is the text ``%``.

    So is a ``%`` that begins no conversion (``100%``), as in bpftrace. ValueError: what bpftrace refuses, ``%f``,
    ``%n`` and ``%*d``, and widths above 4095.
    """
    parts: list[str | Conversion] = []
    for piece in _pieces(format):
        if isinstance(piece, str) and parts and isinstance(parts[-1], str):
            parts[-1] += piece
        elif piece != "":
            parts.append(piece)
    return tuple(parts)


# --- Sets of bytes and of borders: bit i is the i-th byte, or the border before it; the last border is behind all.


@lru_cache(maxsize=512)
def _class(members: bytes) -> bytes:
    """A table for bytes.translate() that makes binary digits of bytes: 1 for a member."""
    return bytes(ord("1") if byte in members else ord("0") for byte in range(256))


_BLANK, _ZERO, _BLANK_OR_ZERO = _class(b" "), _class(b"0"), _class(b" 0")
_DECIMAL, _OCTAL = _class(b"0123456789"), _class(b"01234567")
_HEX, _UPPER_HEX = _class(b"0123456789abcdef"), _class(b"0123456789ABCDEF")
_MINUS, _SIGN = _class(b"-"), _class(b"+-")
_WORD = _class(bytes(set(range(256)) - set(b" \t\n\v\f\r")))
_ADDRESS = _class(b"0123456789abcdefABCDEF.:")
_PRINTABLE = _class(bytes(range(32, 127)))  # %r: `GET /\x0d\x0a`; a backslash stays as it is
_ESCAPED = _class(b"\\x0123456789abcdef")  # %rx: `\x61\x00\xff`
_PAIRS = _class(b" 0123456789abcdef")  # %rh: `61 00 ff`
_ANY = _class(bytes(range(256)))

_MIRROR = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def _mirror(bits: int, size: int) -> int:
    """The lowest ``size`` bits in opposite order."""
    count = (size + 7) // 8
    return int.from_bytes(bits.to_bytes(count, "little").translate(_MIRROR), "big") >> (count * 8 - size)


def _run(bits: int, count: int) -> int:
    """Where ``count`` bits in a row are set; for none, that is everywhere."""
    if count <= 0:
        return -1
    done = 1
    while done * 2 <= count:
        bits &= bits >> done
        done *= 2
    return bits & (bits >> (count - done))


def _follow(starts: int, inside: int) -> int:
    """The borders that are reached from ``starts`` over the bytes ``inside``: the carry runs through to their end."""
    return (((starts & inside) + inside) ^ inside) | starts


def _around(left: int, mark: int, size: int, right: int, width: int) -> int:
    """Windows with a mark of ``size`` bytes in them, one byte or more of ``left`` before it, of ``right`` behind it."""
    before, behind = left, 0
    for count in range(1, width - size):
        behind = (behind & (right >> (count + size - 1))) | (before & (mark >> count))
        before &= left >> count
    return behind & (right >> (width - 1)) if width else 0


class _Line:
    """The bytes of a text, and where those of a class stand."""

    __slots__ = ("_backwards", "_inside", "_mirrored", "borders", "data", "size")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.size = len(data)
        self.borders = (2 << self.size) - 1
        self._backwards = data[::-1]  # the first digit is the highest bit
        self._inside: dict[bytes, int] = {}
        self._mirrored: dict[bytes, int] = {}

    def where(self, table: bytes) -> int:
        bits = self._inside.get(table)
        if bits is None:
            bits = self._inside[table] = int(self._backwards.translate(table) or b"0", 2)
        return bits

    def find(self, text: bytes) -> int:
        """Where a text begins; it may overlap itself."""
        if len(text) == 1:
            return self.where(_class(text))
        marks = bytearray(b"0") * (self.size + 1)
        place = self.data.find(text)
        while place >= 0:
            marks[self.size - place] = ord("1")
            place = self.data.find(text, place + 1)
        return int(marks, 2)

    def follow(self, starts: int, table: bytes) -> int:
        """The borders that are reached from ``starts`` over bytes of a class, if any."""
        if table is _ANY:
            return self.borders & -(starts & -starts)
        return _follow(starts, self.where(table))

    def lead(self, ends: int, table: bytes) -> int:
        """The borders from which ``ends`` are reached over bytes of a class, if any: follow() in the mirror."""
        if table is _ANY:
            return (1 << ends.bit_length()) - 1
        inside = self._mirrored.get(table)
        if inside is None:
            inside = self._mirrored[table] = int(self.data.translate(table) or b"0", 2)
        return _mirror(_follow(_mirror(ends, self.size + 1), inside), self.size + 1)


# --- Items: literal texts and arguments, each knowing where it can stand.

_Window = tuple[int, int]  # a width, and the borders before texts of that width
_Places = tuple[Sequence[_Window], Sequence[_Window], bytes]  # windows, heads, the class of what may follow the heads


class _Item(Protocol):
    def places(self, line: _Line) -> _Places: ...


@dataclass(frozen=True, slots=True)
class _Text:
    """Literal text in one or two spellings."""

    spellings: tuple[bytes, ...]

    def places(self, line: _Line) -> _Places:
        return [(len(text), line.find(text)) for text in self.spellings], (), _ANY


@dataclass(frozen=True, slots=True)
class _Anything:
    width: int

    def places(self, line: _Line) -> _Places:
        return (), [(self.width, line.borders >> self.width)], _ANY


@dataclass(frozen=True, slots=True)
class _Name:
    """A process name: any 15 bytes or less."""

    width: int
    left: bool
    padding: bytes

    def places(self, line: _Line) -> _Places:
        spare = self.width - _NAME_SIZE
        if spare <= 0:
            return [(size, line.borders >> size) for size in range(self.width, _NAME_SIZE + 1)], (), _ANY
        padded = _run(line.where(self.padding), spare)
        padded = padded >> _NAME_SIZE if self.left else padded & (line.borders >> self.width)
        return [(self.width, padded)], (), _ANY


@dataclass(frozen=True, slots=True)
class _Byte:
    """``%c``. Of a zero byte bpftrace to 0.23 prints nothing, nor the blanks behind it."""

    width: int  # 1 at least
    left: bool
    padding: bytes

    def places(self, line: _Line) -> _Places:
        spare = self.width - 1
        padded = _run(line.where(self.padding), spare) & line.borders
        if self.left:
            return [(self.width, (padded >> 1) & (line.borders >> self.width)), (0, line.borders)], (), _ANY
        return [(self.width, padded & (line.borders >> self.width)), (spare, padded)], (), _ANY


@dataclass(frozen=True, slots=True)
class _Run:
    """Bytes of a class, ``least`` or more of them, perhaps with a sign before them; or nothing, if it can be empty."""

    width: int
    left: bool
    table: bytes
    least: int = 1
    empty: bool = False
    sign: bytes | None = None
    signed: bool = False  # never without it
    blanks: bool = True  # fill the width
    zeros: bool = False  # fill the width: behind the sign to 0.23, before it since

    def places(self, line: _Line) -> _Places:
        inside = line.where(self.table)
        sign = line.where(self.sign) if self.sign else 0
        size = max(self.width, self.least)
        heads = [] if self.signed else [(size, _run(inside, size))]
        if sign:
            size = max(self.width, self.least + 1)
            heads.append((size, sign & _run(inside >> 1, size - 1)))
        return self._windows(line, inside, sign), heads, self.table

    def _windows(self, line: _Line, inside: int, sign: int) -> list[_Window]:
        windows = [(0, line.borders)] if self.empty and not self.width else []
        if self.blanks and self.width and (blank := line.where(_BLANK)):
            windows.append((self.width, self.padded(inside, sign, blank)))
        if self.zeros and sign and not self.left:
            windows.append((self.width, _around(line.where(_ZERO), sign, 1, inside, self.width)))
        return windows

    def padded(self, inside: int, sign: int, blank: int) -> int:
        """Where blanks fill the width: known by the first byte, the last one, and every two neighbours."""
        value, spare = inside | sign, self.width - 1
        first = (sign if self.signed else value) | (blank if self.empty else 0)
        last = inside if self.least else value
        within = value & (inside >> 1)
        if self.left:
            near = within | ((last | blank) & (blank >> 1))
            return first & _run(near, spare) & (blank >> spare)
        near = within | (blank & ((blank | first) >> 1))
        return blank & _run(near, spare) & ((last | (blank if self.empty else 0)) >> spare)


@dataclass(frozen=True, slots=True)
class _Prefixed:
    """Digits behind ``0x``, or one of the ``words`` for zero."""

    width: int
    left: bool
    table: bytes
    prefix: bytes
    words: tuple[bytes, ...]
    zeros: bool  # fill the width: behind the prefix to 0.23, before it since

    def places(self, line: _Line) -> _Places:
        windows = [(len(word), line.find(word)) for word in self.words]
        marks, digits = line.find(self.prefix), line.where(self.table)
        if marks:
            windows += [(self.width, where) for where in self._padded(line, marks, digits)]
        size = max(1, self.width - 2)
        return windows, [(size + 2, marks & (_run(digits, size) >> 2))], self.table

    def _padded(self, line: _Line, marks: int, digits: int) -> Iterator[int]:
        blank = line.where(_BLANK)
        if not self.left:
            yield _around(blank, marks, 2, digits, self.width)
        elif self.width > 3:
            yield marks & (_Run(self.width - 2, True, self.table).padded(digits, 0, blank) >> 2)
        if self.zeros and not self.left:
            yield _around(line.where(_ZERO), marks, 2, digits, self.width)


_CLASSES = {"r": _PRINTABLE, "rx": _ESCAPED, "rh": _PAIRS}
_DIGITS = {"o": _OCTAL, "x": _HEX, "X": _UPPER_HEX, "p": _HEX}
_BASES = {"o": 8, "x": 16, "X": 16, "p": 16}
_MOST_DIGITS = 22  # of 64 bits, in octal


def _prefixed(conversion: Conversion) -> _Prefixed:
    width, left, zeros = conversion.width, "-" in conversion.flags, "0" in conversion.flags
    names = (b"0", b"(nil)") if conversion.letter == "p" else (b"0",)
    words = {name.ljust(width) if left else name.rjust(width) for name in names}
    if zeros:
        words.add(b"0" * max(width, 1))
    prefix = b"0X" if conversion.letter == "X" else b"0x"
    return _Prefixed(width, left, _DIGITS[conversion.letter], prefix, tuple(words), zeros)


def _number(conversion: Conversion) -> _Run:
    flags, width, precision = conversion.flags, conversion.width, conversion.precision
    left, zeros = "-" in flags, "0" in flags
    run = _Run(width, left, _DIGITS.get(conversion.letter, _DECIMAL), empty=precision == 0)  # C: no digit for 0
    run = replace(run, zeros=zeros, blanks=left or not zeros or precision is not None)
    if conversion.letter in "di":
        return replace(run, sign=_SIGN if "+" in flags else _MINUS, signed="+" in flags)
    if conversion.letter == "o" and "#" in flags:
        return replace(run, sign=_ZERO, signed=True, least=0, zeros=False)
    return run


def _string(conversion: Conversion) -> _Item:
    width, left, kind = conversion.width, "-" in conversion.flags, conversion.kind
    if conversion.letter in _CLASSES:
        return _Run(width, left, _CLASSES[conversion.letter], empty=True, blanks=conversion.letter == "rx")
    if conversion.letter == "gr" or kind == "any":
        return _Anything(width)
    if kind == "comm":
        return _Name(width, left, _BLANK_OR_ZERO if "0" in conversion.flags else _BLANK)
    return _Run(width, left, _ADDRESS if kind == "address" else _WORD, empty=True)


def _item(part: str | Conversion) -> _Item:
    if isinstance(part, str):
        return _Text((to_bytes(part),))
    if part.letter == "p" or (part.letter in "xX" and "#" in part.flags):
        return _prefixed(part)
    if part.letter == "c":
        return _Byte(max(part.width, 1), "-" in part.flags, _BLANK_OR_ZERO if "0" in part.flags else _BLANK)
    return _number(part) if part.letter in _NUMBERS else _string(part)


# --- The ways through the items.


def _ends(line: _Line, starts: int, places: _Places) -> int:
    windows, heads, table = places
    ends = reached = 0
    for width, where in windows:
        ends |= (starts & where) << width
    for width, where in heads:
        reached |= (starts & where) << width
    return ends | line.follow(reached, table) if reached else ends


def _starts(line: _Line, ends: int, places: _Places) -> int:
    windows, heads, table = places
    starts = 0
    for width, where in windows:
        starts |= (ends >> width) & where
    if heads:
        ends = line.lead(ends, table)
    for width, where in heads:
        starts |= (ends >> width) & where
    return starts


def _one(borders: int) -> bool:
    return borders & (borders - 1) == 0


def _borders(line: _Line, items: Sequence[_Item]) -> list[int] | None:
    """Where each item begins, and where the last one ends, in all ways to cut the line; None: there is no way."""
    places: list[_Places] = []
    borders = [1]
    for item in items:
        places.append(item.places(line))
        borders.append(_ends(line, borders[-1], places[-1]))
        if not borders[-1]:
            return None
    borders[-1] &= 1 << line.size
    for index in reversed(range(len(items))):
        if not _one(borders[index]):  # the only one lies on all ways
            borders[index] &= _starts(line, borders[index + 1], places[index])
    return borders if borders[-1] else None


# --- From the text of an argument to its value.


def _zeros_may_fill(conversion: Conversion, text: bytes) -> bool:
    """Zeros that may be the argument's own: `%-05d` of 5 since 0.24, `%05s` of "ab"."""
    if "0" not in conversion.flags or len(text) != conversion.width or conversion.letter == "c":
        return False
    if "-" in conversion.flags:
        return text.endswith(b"0")
    return conversion.letter in _STRINGS and text.startswith(b"0")


def _to_int(conversion: Conversion, text: bytes) -> int | None:
    """None: it is no number of 64 bits, so bpftrace did not print it."""
    digits = text.strip(b" ").lstrip(b"+-0xX")  # `-0005`, `000-5`, `000x5`
    if digits in (b"", b"(nil)"):
        return 0
    if len(digits) > _MOST_DIGITS:  # int() takes time that grows with their square
        return None
    number = int(digits, _BASES.get(conversion.letter, 10)) * (-1 if b"-" in text else 1)
    return number if -(2**63) <= number < 2**64 else None


def _to_text(conversion: Conversion, text: bytes) -> str:
    left = "-" in conversion.flags
    if conversion.letter == "c":
        text = text[:1] if left else text[max(conversion.width, 1) - 1 :]
    elif len(text) == conversion.width:
        text = text.rstrip(b" ") if left else text.lstrip(b" ")
    return text.decode("utf-8", "surrogateescape")


def _value(conversion: Conversion, text: bytes) -> int | str | Unknown | None:
    if _zeros_may_fill(conversion, text):
        return UNSURE
    return _to_int(conversion, text) if conversion.letter in _NUMBERS else _to_text(conversion, text)


def _argument(data: bytes, borders: Sequence[int], index: int, conversion: Conversion) -> int | str | Unknown | None:
    start, end = borders[index], borders[index + 1]
    if not (_one(start) and _one(end)):
        return UNSURE
    return _value(conversion, data[start.bit_length() - 1 : end.bit_length() - 1])


def _with_kinds(parts: Iterable[str | Conversion], kinds: Sequence[Kind]) -> list[str | Conversion]:
    rest = iter(kinds)
    typed = [part if isinstance(part, str) else replace(part, kind=next(rest, "any")) for part in parts]
    if next(rest, None) is not None:
        raise ValueError(f"more kinds of arguments than conversions: {', '.join(kinds)}")
    return typed


def _pop_text(parts: list[str | Conversion], index: int) -> bytes:
    part = parts[index] if parts else None
    if not isinstance(part, str):
        return b""
    del parts[index]
    return to_bytes(part)


def _raw_end(format: str) -> str:  # noqa: A002
    """What stands behind the last conversion: to 0.23 it is printed as it is written, ``5%%`` by ``%d%%``."""
    found = [match.end() for match in _CONVERSION.finditer(format) if match["letter"] != "%"]
    return format[found[-1] if found else 0 :]


class PrintfMatcher:
    r"""Reads what ``printf(format, ...)`` printed.

    ``kinds`` says what each argument can hold, in order; it matters for those of ``%s``. Where it ends, "any" follows.
    ``conversions`` is how many arguments there are, ``literal_size`` how many bytes of literal text tell this format
    from others, and ``has_newline`` whether it ends in ``\n``. ValueError: what parse_format() refuses, or more kinds
    than conversions.
    """

    def __init__(self, format: str, kinds: Sequence[Kind] = ()) -> None:  # noqa: A002
        parts = _with_kinds(parse_format(format), kinds)
        self.conversions = sum(isinstance(part, Conversion) for part in parts)
        self.literal_size = sum(len(to_bytes(part)) for part in parts if isinstance(part, str))
        self.has_newline = format.endswith("\n")
        self._end, raw_end = _pop_text(parts, -1), to_bytes(_raw_end(format))
        self._begin = _pop_text(parts, 0)
        self._arguments = [(index, part) for index, part in enumerate(parts) if isinstance(part, Conversion)]
        self._items = [_item(part) for part in parts]
        if self._end != raw_end:
            self._items.append(_Text((self._end, raw_end)))
            self._end = b""

    def match(self, text: str) -> tuple[int | str | Unknown, ...] | None:
        """The value of each argument; None: this format did not print the text, or a number is beyond 64 bits.

        A string comes without padding: where it fills its width exactly, blanks on the padded side are taken for it,
        even if they were its own. Bytes that are no UTF-8 are kept as ``surrogateescape`` does it.
        """
        inner = self._between(text)
        if inner is None:
            return None
        borders = _borders(_Line(inner), self._items)
        if borders is None:
            return None
        values = [_argument(inner, borders, index, conversion) for index, conversion in self._arguments]
        known = tuple(value for value in values if value is not None)
        return known if len(known) == len(values) else None

    def _between(self, text: str) -> bytes | None:
        """What stands between the literal texts at the beginning and at the end."""
        try:
            data = to_bytes(text)
        except UnicodeEncodeError:  # half of a surrogate pair stands for no bytes
            return None
        stop = len(data) - len(self._end)
        if stop < len(self._begin) or not (data.startswith(self._begin) and data.endswith(self._end)):
            return None
        return data[len(self._begin) : stop]
