from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from parsers.printf import UNSURE, Conversion, Kind, PrintfMatcher, Unknown, parse_format

Value = int | str | Unknown


@pytest.mark.parametrize(
    ("format", "parts"),
    [
        ("", ()),
        ("plain\n", ("plain\n",)),
        ("%d", (Conversion("", 0, None, "d"),)),
        ("pid %-6lld|", ("pid ", Conversion("-", 6, None, "d"), "|")),
        ("%s%s", (Conversion("", 0, None, "s"), Conversion("", 0, None, "s"))),
        ("%05d%#010hhx", (Conversion("0", 5, None, "d"), Conversion("#0", 10, None, "x"))),
        ("%-+ #08.3i", (Conversion("-+ #0", 8, 3, "i"),)),
        ("%.3s", (Conversion("", 0, 3, "s"),)),
        ("%r %rx %rh %gr", ("r", " ", "rx", " ", "rh", " ", "gr")),
        ("100%% of %u%%\n", ("100% of ", Conversion("", 0, None, "u"), "%\n")),
        ("%5%", ("%",)),
        ("100%", ("100%",)),
        ("%z|%1$d", ("%z|%1$d",)),
    ],
)
def test_parse_format(format: str, parts: tuple[str | Conversion, ...]) -> None:  # noqa: A002
    letters = ("r", "rx", "rh", "gr")
    assert parse_format(format) == tuple(Conversion("", 0, None, part) if part in letters else part for part in parts)


@pytest.mark.parametrize("format", ["%f", "%n", "%*d", "%.*s", "%-5.2e", "%a", "%g"])
def test_parse_format_refuses_what_bpftrace_refuses(format: str) -> None:  # noqa: A002
    with pytest.raises(ValueError, match="no %"):
        parse_format(format)


def test_parse_format_refuses_what_no_line_is_wide_enough_for() -> None:
    assert PrintfMatcher("%4095d").match(" " * 4094 + "1") == (1,)
    with pytest.raises(ValueError, match="wider"):
        parse_format("%4096d")


def test_matcher_refuses_more_kinds_than_conversions() -> None:
    with pytest.raises(ValueError, match="more kinds"):
        PrintfMatcher("%s", ("comm", "word"))


def test_matcher_tells_what_its_format_is_like() -> None:
    matcher = PrintfMatcher("open %d%% é %s\n")
    assert (matcher.conversions, matcher.literal_size, matcher.has_newline) == (2, 11, True)
    assert not PrintfMatcher("%d").has_newline


BASH = "%s %s [%s]\n"
COLUMNS = "%-6d %-16s %4d %3d %s\n"
NAMES = "%s|%-16s|%d\n"


@pytest.mark.parametrize(
    ("format", "kinds", "text", "values"),
    [
        # As bpftrace 0.17, 0.23 and 0.27 printed them.
        ("plain line\n", (), "plain line\n", ()),
        ("two\nlines\n", (), "two\nlines\n", ()),
        ("", (), "", ()),
        ("%d %d %d\n", (), "1 2 3\n", (1, 2, 3)),
        (
            "%d %u %x %s %c %5d|%-5d|%05d %lld\n",
            (),
            "-1 1 ff str A     3|3    |00003 -9223372036854775807\n",
            (-1, 1, 255, "str", "A", 3, 3, 3, -9223372036854775807),
        ),
        (
            "%c|%-10s|%10s|%.2s|%llu|%hhd|%i|%o|%X|%#x|%lx\n",
            (),
            "A|ab        |        cd|efgh|5|6|7|10|FF|0xff|1000\n",  # 0.27 does not cut
            ("A", "ab", "cd", "efgh", 5, 6, 7, 8, 255, 255, 4096),
        ),
        ("[%.3s][%5.3s][%-5.3s]", (), "[abc][  abc][abc  ]", ("abc", "abc", "abc")),
        ("[%.3s][%5.3s][%-5.3s]", (), "[abcdef][abcdef][abcdef]", ("abcdef", "abcdef", "abcdef")),
        ("[%.3d][%6.3d][%06.3d]", (), "[005][   005][  -005]", (5, 5, -5)),
        ("[%.3d][%6.3d][%06.3d]", (), "[5][     5][0000-5]", (5, 5, -5)),
        ("[%.0d]", (), "[]", (0,)),
        ("[%d][%u][%x]", (), "[-1][4294967295][ffffffff]", (-1, 2**32 - 1, 2**32 - 1)),
        ("[%lld][%llu][%llx]", (), f"[-1][{2**64 - 1}][{'f' * 16}]", (-1, 2**64 - 1, 2**64 - 1)),
        ("[%llo]", (), "[1777777777777777777777]", (2**64 - 1,)),
        ("[%p][%p][%p]", (), "[(nil)][0x1][0xffffffffffffffff]", (0, 1, 2**64 - 1)),
        ("[%p][%p][%p]", (), "[0][0x1][0xffffffffffffffff]", (0, 1, 2**64 - 1)),
        ("[%20p][%-20p][%020p]", (), "[                 0x1][0x1                 ][0x000000000000000001]", (1, 1, 1)),
        ("[%20p][%-20p][%020p]", (), "[                 0x1][0x1                 ][000000000000000000x1]", (1, 1, 1)),
        ("[%5p][%-8p]", (), "[(nil)][(nil)   ]", (0, 0)),
        ("[%5p][%-8p]", (), "[    0][0       ]", (0, 0)),
        ("[%020p]", (), "[               (nil)]", (0,)),
        ("[%020p]", (), "[00000000000000000000]", (0,)),
        ("[%05c][%-05c]", (), "[0000A][A0000]", ("A", "A")),
        ("[%c][%c][%c]", (), "[A][\n][\udcc8]", ("A", "\n", "\udcc8")),
        ("[%-5c][%5c][%c]", (), "[][    ][]", ("", "", "")),
        ("[%-5c][%5c][%c]", (), "[\0    ][    \0][\0]", ("\0", "\0", "\0")),
        ("[%5c]", (), "[     ]", (" ",)),
        ("[%5d][%-5d][%05d]", (), "[   -1][-1   ][-0001]", (-1, -1, -1)),
        ("[%5d][%-5d][%05d]", (), "[   -1][-1   ][000-1]", (-1, -1, -1)),
        ("[%+5d][%-+5d][%+05d][% d]", (), "[   +1][+1   ][000+1][1]", (1, 1, 1, 1)),
        ("[%-06d]", (), "[5     ]", (5,)),
        ("[%-06d]", (), "[500000]", (UNSURE,)),  # by 0.17 it is half a million, by 0.27 five
        ("[%10s][%-10s][%010s]", (), "[        ab][ab        ][        ab]", ("ab", "ab", "ab")),
        ("[%10s][%-10s][%010s]", (), "[        ab][ab        ][00000000ab]", ("ab", "ab", UNSURE)),
        ("[%#x][%#o][%#10x][%#010x]", (), "[0xff][010][      0xff][0000000xff]", (255, 8, 255, 255)),
        ("[%#x][%#o][%#X]", (), "[0][0][0]", (0, 0, 0)),
        ("[%s][%s]", (), "[true][(1, a)]", ("true", "(1, a)")),
        ("%d%% %d%%\n", (), "5% 6%%\n", (5, 6)),
        ("%d%% %d%%\n", (), "5% 6%\n", (5, 6)),
        ("pct %%\n", (), "pct %%\n", ()),
        ("pct %%\n", (), "pct %\n", ()),
        ("%d 100%\n", (), "5 100%\n", (5,)),
        ("%5s|%-5s|%5s\n", (), "     |     |   é\n", ("", "", "é")),
        ("%r|%rx\n", (), '\\x01AB\\xff"\\|\\x01\\x41\\xff\n', ('\\x01AB\\xff"\\', "\\x01\\x41\\xff")),
        ("[%r][%rx][%rh]|", (), "[a b][\\x61\\x62][61 62]|", ("a b", "\\x61\\x62", "61 62")),
        ("[%12rh][%-20r]", (), "[       61 62][ab                  ]", ("61 62", "ab")),
        ("[%rh][%r][%rx]|", (), "[][][]|", ("", "", "")),
        ("%gr", (), "GFP_KERNEL|0x100000", ("GFP_KERNEL|0x100000",)),
        (
            "%s %s %s %s %s\n",
            ("word", "address", "word", "word", "word"),
            "0x562b0a573169 127.0.0.1 uprobe:/opt/demo/bin/tgt:fevent root _text\n",
            ("0x562b0a573169", "127.0.0.1", "uprobe:/opt/demo/bin/tgt:fevent", "root", "_text"),
        ),
        ("[%s]", (), "[\n        f+12\n        g+3\n]", ("\n        f+12\n        g+3\n",)),
        ("%s|%d\n", ("comm",), "nl\nx|1\n", ("nl\nx", 1)),
        ("%s|%d\n", ("comm",), " lead trail |1\n", (" lead trail ", 1)),
        ("%s|%d\n", ("comm",), "\udcff\udcfe\udc80bad|1\n", ("\udcff\udcfe\udc80bad", 1)),
        (NAMES, ("comm", "comm"), "fifteen_chars_x|fifteen_chars_x |1\n", ("fifteen_chars_x", "fifteen_chars_x", 1)),
        # What can and what cannot be told.
        ("%s %s", (), "a b", ("a", "b")),
        ("%s %s", (), "a b c", (UNSURE, UNSURE)),
        ("%d %s %s\n", (), "5 a b c\n", (5, UNSURE, UNSURE)),
        ("%s (%d)\n", (), "x (1) (2)\n", ("x (1)", 2)),
        ("%s%s", (), "", ("", "")),
        ("%s%s", (), "a", (UNSURE, UNSURE)),
        ("%d%d", (), "123", (UNSURE, UNSURE)),
        ("%d%d", (), "-1-2", (-1, -2)),
        ("%d%d", (), "12", (1, 2)),
        ("%d%s", (), "12ab", (UNSURE, UNSURE)),
        ("%s %s %s", ("word", "any", "word"), "a b c d", ("a", "b c", "d")),
        ("%s %s", ("comm", "any"), "0123456789abcde f g", ("0123456789abcde", "f g")),
        ("%s:%d -> %s:%d\n", ("address", "any", "address", "any"), "::1:80 -> ::2:443\n", ("::1", 80, "::2", 443)),
        (BASH, (), "write bash [echo x]\n", ("write", "bash", "echo x")),
        (BASH, (), "write my bash [echo x]\n", (UNSURE, UNSURE, "echo x")),
        (BASH, ("word",), "write my bash [echo x]\n", ("write", "my bash", "echo x")),
        (BASH, (), "write bash [echo [x]]\n", (UNSURE, UNSURE, UNSURE)),
        (COLUMNS, (), "1234   bash                5   0 /etc/passwd\n", (1234, "bash", 5, 0, "/etc/passwd")),
        (COLUMNS, (), "1234567 Web Content         5   0 a b\n", (1234567, "Web Content", 5, 0, "a b")),
        (COLUMNS, (), "1      bash                5   0    6   7 x\n", (1, UNSURE, UNSURE, UNSURE, UNSURE)),
        (COLUMNS, ("any", "comm"), "1      bash                5   0    6   7 x\n", (1, "bash", 5, 0, "   6   7 x")),
    ],
)
def test_match(format: str, kinds: Sequence[Kind], text: str, values: tuple[Value, ...]) -> None:  # noqa: A002
    found = PrintfMatcher(format, kinds).match(text)
    assert found == values
    assert found is not None
    assert [type(value) for value in found] == [type(value) for value in values]


@pytest.mark.parametrize(
    ("format", "kinds", "text"),
    [
        ("plain", (), "plain\n"),
        ("a%sa", (), "a"),
        ("%d\n", (), "\n"),
        ("%d\n", (), "-\n"),
        ("%d\n", (), "1 2\n"),
        ("%d\n", (), "+1\n"),
        ("%d\n", (), "1_0\n"),
        ("%d\n", (), "18446744073709551616\n"),
        ("%d\n", (), "9" * 10_000 + "\n"),
        ("%u", (), "-1"),
        ("%x", (), "FF"),
        ("%x", (), "0xff"),
        ("%#x", (), "ff"),
        ("%+d", (), "1"),
        ("%p", (), "x1"),
        ("%p", (), "00x1"),
        ("%p", (), "0x"),
        ("%o", (), "8"),
        ("%3d", (), "1"),
        ("%3d", (), "  12"),
        ("%3d", (), "1  "),
        ("%-3d", (), "  1"),
        ("%05d", (), "10-01"),
        ("%05d", (), "    1"),
        ("%5s", (), "abc"),
        ("%c", (), "ab"),
        ("%3c", (), "ab "),
        ("%r", (), "a\n"),
        ("%rx", (), "abg"),
        ("%rh", (), "61 6g"),
        ("%s", ("comm",), "0123456789abcdef"),
        ("%16s", ("comm",), "0123456789abcdef"),
        ("%-16s", ("comm",), " 0123456789abcde"),
        ("%s", ("word",), "a b"),
        ("%s", ("word",), "a\n"),
        ("%4s", ("word",), " a b"),
        ("%s", ("address",), "example.org"),
        ("%s%%", (), "5%d"),
        ("%s\n", (), "\ud800\n"),  # from no bytes
    ],
)
def test_match_of_a_foreign_text_is_none(format: str, kinds: Sequence[Kind], text: str) -> None:  # noqa: A002
    assert PrintfMatcher(format, kinds).match(text) is None


# --- Formats, arguments and lines made at random; printed here as C does it (to 0.23) and as C++ streams do.

LITERALS = st.text(" %0123456789abdsx-+()|\n\té€", min_size=1, max_size=3)
LETTERS = ["d", "i", "u", "o", "x", "X", "p", "c", "s", "s", "s", "r", "rx", "rh"]
KINDS: list[Kind] = ["any", "any", "comm", "word", "address"]


@dataclass(frozen=True)
class Part:
    """A literal text, or a conversion and its argument."""

    literal: str = ""
    flags: str = ""
    width: int = 0
    precision: int | None = None
    size: str = ""
    letter: str = ""
    kind: Kind = "any"
    argument: int | bytes = 0

    @property
    def format(self) -> str:
        if not self.letter:
            return self.literal.replace("%", "%%")
        width, precision = self.width or "", "" if self.precision is None else f".{self.precision}"
        return f"%{self.flags}{width}{precision}{self.size}{self.letter}"


def digits(part: Part, number: int) -> tuple[str, str]:
    """What stands before the digits, and the digits."""
    if part.letter in "di":
        return "-" if number < 0 else "+" if "+" in part.flags else "", str(abs(number))
    text = {"u": "{}", "o": "{:o}", "X": "{:X}"}.get(part.letter, "{:x}").format(number)
    if number and (part.letter == "p" or ("#" in part.flags and part.letter != "u")):
        return {"o": "0", "X": "0X"}.get(part.letter, "0x"), text
    return "", text


def print_by_c(part: Part) -> bytes:
    left, zeros, width = "-" in part.flags, "0" in part.flags, part.width
    if isinstance(part.argument, bytes):
        text = part.argument[: part.precision]
        padded = text.ljust(width) if left else text.rjust(width)
        return padded.partition(b"\0")[0] if part.letter == "c" else padded
    sign, number = digits(part, part.argument)
    if part.letter == "p" and not part.argument:
        sign, number, zeros = "", "(nil)", False
    elif part.precision is not None:
        number, zeros = number.rjust(part.precision, "0") if part.argument or part.precision else "", False
    if zeros and not left:
        number = number.rjust(width - len(sign), "0")
    text = f"{sign}{number}".encode()
    return text.ljust(width) if left else text.rjust(width)


def print_by_streams(part: Part) -> bytes:
    text = part.argument if isinstance(part.argument, bytes) else "".join(digits(part, part.argument)).encode()
    fill = b"0" if "0" in part.flags else b" "
    return text.ljust(part.width, fill) if "-" in part.flags else text.rjust(part.width, fill)


@dataclass(frozen=True)
class Line:
    """What is printed, and how."""

    parts: tuple[Part, ...]
    by_c: bool

    @property
    def format(self) -> str:
        return "".join(part.format for part in self.parts)

    @property
    def arguments(self) -> list[Part]:
        return [part for part in self.parts if part.letter]

    def printed(self) -> bytes:
        print_part = print_by_c if self.by_c else print_by_streams
        return b"".join(print_part(part) if part.letter else literal for part, literal in self.literals())

    def literals(self) -> Iterator[tuple[Part, bytes]]:
        last = max((index for index, part in enumerate(self.parts) if part.letter), default=-1)
        for index, part in enumerate(self.parts):
            yield part, (part.format if self.by_c and index > last else part.literal).encode()


def encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def decode(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def strings(letter: str, kind: Kind, longest: int) -> st.SearchStrategy[bytes]:
    if letter == "c":
        return st.binary(min_size=1, max_size=1) | st.sampled_from([b" ", b"0", b"1", b"\0"])
    if letter in ("r", "rx", "rh"):
        unit = {"r": "[ -~]", "rx": r"\\x[0-9a-f]{2}", "rh": "[0-9a-f]{2}"}[letter]
        return (
            st.lists(st.from_regex(unit, fullmatch=True), max_size=4)
            .map((" " if letter == "rh" else "").join)
            .map(encode)
        )
    alphabets = {"word": "a0-1%é(:x", "address": "0123456789abcdef.:"}
    texts = st.text(alphabets.get(kind, " \n\t0123456789%abcx-+é€(|"), max_size=longest)
    if kind in ("word", "address"):
        return texts.map(encode)
    return (texts.map(encode) | st.binary(max_size=longest)).map(lambda data: data[:15] if kind == "comm" else data)


@st.composite
def conversions(draw: st.DrawFn, by_c: bool, longest: int) -> Part:
    letter = draw(st.sampled_from(LETTERS))
    kind = draw(st.sampled_from(KINDS)) if letter == "s" else "any"
    known = ["-", "0"] if by_c else ["-", "+", " ", "#", "0"]
    flags = "".join(flag for flag in known if draw(st.integers(0, 3)) == 0)
    width, precision = draw(st.integers(0, longest)), draw(st.none() | st.none() | st.integers(0, 4))
    if (letter.startswith("r") and by_c) or not draw(st.booleans()):
        flags, width, precision = "", 0, None
    if letter not in "diouxXp":
        size, argument = "", draw(strings(letter, kind, longest))
        precision = None if letter == "c" or (precision is not None and kind != "any") else precision
        return Part("", flags, width, precision, size, letter, kind, argument)
    lowest, highest = (-(2**63), 2**63 - 1) if letter in "di" else (0, 2**64 - 1)
    number = draw(st.integers(lowest, highest) | st.integers(max(lowest, -20), 20))
    if longest < 10:
        number = draw(st.integers(max(lowest, -20), 20))
    precision = None if letter == "p" else precision
    return Part("", flags, width, precision, draw(st.sampled_from(["", "l", "ll"])), letter, "any", number)


@st.composite
def lines(draw: st.DrawFn, longest: int = 20, parts: int = 6) -> Line:
    by_c = draw(st.booleans())
    part = LITERALS.map(lambda text: Part(literal=text)) | conversions(by_c, longest)
    line = Line(tuple(draw(st.lists(part, max_size=parts))), by_c)
    assume(not any(after.literal[:1] in ("x", "h") for before, after in pairwise(line.parts) if before.letter == "r"))
    return line


def expected(part: Part, by_c: bool) -> Value:
    """The argument without what cannot be told from padding."""
    if not isinstance(part.argument, bytes):
        return part.argument
    text = part.argument[: part.precision] if by_c else part.argument
    if part.letter == "c":
        return decode(text.strip(b"\0") if by_c else text)
    if len(text) <= part.width:
        text = text.rstrip(b" ") if "-" in part.flags else text.lstrip(b" ")
    return decode(text)


@given(lines())
@example(Line((Part(letter="s", argument=b"a 1"), Part(" "), Part(letter="d", argument=2)), by_c=False))
def test_match_gives_back_what_was_printed(line: Line) -> None:
    text = decode(line.printed())
    found = PrintfMatcher(line.format, [part.kind for part in line.arguments]).match(text)
    assert found is not None, text
    assert len(found) == len(line.arguments)
    for value, part in zip(found, line.arguments, strict=True):
        assert value == UNSURE or value == expected(part, line.by_c)


@given(lines())
def test_what_is_certain_prints_the_same_again(line: Line) -> None:
    text = line.printed()
    found = PrintfMatcher(line.format, [part.kind for part in line.arguments]).match(decode(text))
    assert found is not None
    values = iter(found)
    again = []
    for part in line.parts:
        value = next(values) if part.letter else UNSURE
        known = encode(value) if isinstance(value, str) else part.argument if isinstance(value, Unknown) else value
        again.append(replace(part, argument=(known or b"\0") if part.letter == "c" else known))
    assert Line(tuple(again), line.by_c).printed() == text


@given(st.lists(st.text(" ab|", max_size=5), min_size=2, max_size=5))
def test_strings_between_bars_are_certain_if_they_hold_none(texts: list[str]) -> None:
    found = PrintfMatcher("|".join(["%s"] * len(texts))).match("|".join(texts))
    assert (found == tuple(texts)) == ("|" not in "".join(texts))


# --- All ways to cut a short text, one by one.

CORES = {
    "d": rb"-?[0-9]+",
    "u": rb"[0-9]+",
    "o": rb"[0-7]+",
    "x": rb"[0-9a-f]+",
    "X": rb"[0-9A-F]+",
    "p": rb"0x[0-9a-f]+|0|\(nil\)",
    "+d": rb"[+-][0-9]+",
    "#o": rb"0[0-7]*",
    "#x": rb"0x[0-9a-f]+|0",
    "#X": rb"0X[0-9A-F]+|0",
    "r": rb"[ -~]*",
    "rx": rb"[\\x0-9a-f]*",
    "rh": rb"[ 0-9a-f]*",
    "any": rb".*",
    "comm": rb".{,15}",
    "word": rb"[^ \t\n\v\f\r]*",
    "address": rb"[0-9A-Fa-f.:]*",
}


def is_prefixed(part: Part) -> bool:
    return part.letter == "p" or ("#" in part.flags and part.letter in "xX")


def core(part: Part) -> re.Pattern[bytes]:
    letter = "d" if part.letter == "i" else part.letter
    marked = [flag + letter for flag in "+#" if flag in part.flags and flag + letter in CORES]
    pattern = CORES[part.kind if letter == "s" else marked[0] if marked else letter]
    empty = part.precision == 0 and letter in "duoxX" and not is_prefixed(part)
    return re.compile(b"|" + pattern if empty else pattern, re.DOTALL)


def paddings(part: Part) -> Iterator[bytes]:
    """What the width can be filled with."""
    number = part.letter in "diouxXp"
    if not number or is_prefixed(part) or "-" in part.flags or "0" not in part.flags or part.precision is not None:
        yield b" "
    if "0" in part.flags and number:
        yield b"0"


def can_be(part: Part, text: bytes) -> bool:
    left, width = "-" in part.flags, part.width
    fills = rb"[ 0]*" if "0" in part.flags else b" *"
    if part.letter == "c":
        inner = (text[1:], text[:0]) if left else (text[: max(width, 1) - 1], text[max(width, 1) :])
        whole = len(text) == max(width, 1) or (not text if left else len(text) == max(width, 1) - 1)
        return whole and all(re.fullmatch(fills, fill) for fill in inner)
    if len(text) >= width and core(part).fullmatch(text):
        return True
    if part.kind == "comm" and len(text) == width > 15:
        return bool(re.fullmatch(fills, text[15:] if left else text[:-15]))
    return len(text) == width and any(
        core(part).fullmatch(inner) and not fill.strip(padding) and (padding == b" " or (inner and b"n" not in inner))
        for padding in paddings(part)
        for cut in range(width + 1)
        for inner, fill in [(text[:cut], text[cut:]) if left else (text[cut:], text[:cut])]
    )


def ways(parts: Sequence[Part], spellings: set[bytes], text: bytes, start: int = 0) -> Iterator[tuple[int, ...]]:
    """The borders between the parts in each way to cut the text; the last literal has ``spellings``."""
    if not parts:
        for spelling in spellings:
            if text[start:] == spelling:
                yield (start,)
        return
    for end in range(start, len(text) + 1):
        part, piece = parts[0], text[start:end]
        if can_be(part, piece) if part.letter else piece == part.literal.encode():
            for rest in ways(parts[1:], spellings, text, end):
                yield (start, *rest)


def zeros_may_fill(part: Part, text: bytes) -> bool:
    if "0" not in part.flags or len(text) != part.width or part.letter == "c":
        return False
    return text.endswith(b"0") if "-" in part.flags else part.letter not in "diouxXp" and text.startswith(b"0")


def certain(line: Line, text: bytes) -> list[bool] | None:
    last = max((index for index, part in enumerate(line.parts) if part.letter), default=-1)
    end = line.parts[last + 1 :]
    spellings = {"".join(part.literal for part in end).encode(), "".join(part.format for part in end).encode()}
    found = list(ways(line.parts[: last + 1], spellings, text))
    spans = [{way[index : index + 2] for way in found} for index, part in enumerate(line.parts) if part.letter]
    return [
        len(span) == 1 and not zeros_may_fill(part, text[slice(*min(span))])
        for span, part in zip(spans, line.arguments, strict=True)
    ] if found else None  # fmt: skip


SHORT = st.lists(st.sampled_from([b" ", b"0", b"1", b"a", b"-", b"+", b"0x", b"%", b"\n"]), max_size=8).map(b"".join)


@settings(deadline=None)
@given(lines(longest=4, parts=4), st.none() | SHORT)
def test_certain_is_what_is_the_same_in_all_ways(line: Line, foreign: bytes | None) -> None:
    text = line.printed()[:12] if foreign is None else foreign
    found = PrintfMatcher(line.format, [part.kind for part in line.arguments]).match(decode(text))
    assert (None if found is None else [value is not UNSURE for value in found]) == certain(line, text)


# --- What a hostile program can do.


@pytest.mark.parametrize(
    "format",
    [
        "%s %s %s %s %s %s %s %s\n",
        "%s%d%s%d%s%d%s%d%s\n",
        "%s a %s a %s a %s a %s\n",
        "%s%5d%-16s%016x%40s%p%s%#8x%s%%",
        "%c%s%r%s%rh%s%rx%s%c\n",
        "%d",
    ],
)
@pytest.mark.parametrize("unit", ["a", " ", "1", "a b 1 ", " a", "0x", "-0x", "0-", "0", "é\n", "(nil)", "%"])
def test_time_is_linear(format: str, unit: str) -> None:  # noqa: A002
    text = (unit * (1_000_000 // len(unit.encode()))) + "\n"
    matcher = PrintfMatcher(format)
    start = time.monotonic()
    matcher.match(text)
    matcher.match(text[:-1])
    assert time.monotonic() - start < 20
