r"""The words, brackets and parts of a bpftrace program.

All versions of the language have the same words, so they are read in one go, without a mode. Two things that bpftrace
decides by where it is are decided by looks here:

- ``uprobe:/usr/lib/*/libc.so.6:malloc`` is one word: no expression begins with a slash, so ``name:/`` is a path (if no
  comment follows), and what follows ``uprobe:`` is one as well.
- a slash before ``{`` ends a predicate and every other one inside it divides. bpftrace does the same (``peek_binop`` of
  ``src/parser.cpp``, ENDPRED of the older ``src/lexer.l``).

Brackets are matched with a stack of our own, so depth costs no recursion, and every step forward is final, so time is
linear in the length of the text.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pyparsing as pp

__all__ = ("MAX_LENGTH", "Code", "Problem", "Section", "Span", "Token", "group", "lex", "sections")

MAX_LENGTH = 1 << 18  # characters that are read; real programs have less than a tenth of it
MAX_DEPTH = 100  # of brackets; real programs have less than 20

# The order counts: comments, directives and paths first, so that nothing inside them is taken for code.
_KINDS = {
    "comment": r"//[^\n]*|/\*.*?(?:\*/|\Z)",
    # A line of the C preprocessor with the lines that continue it; a comment in it may end lines later.
    "directive": r'(?<!\S)\#(?:\\\r?\n|//[^\n]*|/\*.*?(?:\*/|\Z)|"[^"\\\n]*(?:\\[^\n][^"\\\n]*)*"?|[^\n])*',
    "path": r'(?:[A-Za-z_]\w*:\.{0,2}/(?![/*])|(?:uprobe|uretprobe|usdt):)(?:\\.|[^\s{,"\\]+)*',
    "name": r"[A-Za-z_]\w*",
    "number": r"\d\w*",
    "map": r"@(?:[A-Za-z_]\w*)?",
    "variable": r"\$(?:[A-Za-z_]\w*|\d+|\#)",
    "string": r'"[^"\\\n]*(?:\\[^\n][^"\\\n]*)*"?',
    "bracket": r"[][(){}]",
    "operator": r"<<=|>>=|\+\+|--|->|\.\.|&&|\|\||<<|>>|[-+*/%&|^<>=!]=|[-+*/%&|^<>=!~?:.,;]",
    "junk": r"[^\x20-\x7e\s]+|.",
}
_WORD = pp.Regex("|".join(f"(?P<{kind}>{text})" for kind, text in _KINDS.items()), re.ASCII | re.DOTALL, as_match=True)
_PROGRAM = pp.ZeroOrMore(_WORD.set_whitespace_chars(" \t\r\n\f\v")).parse_with_tabs()

_CLOSING = {"(": ")", "[": "]", "{": "}"}
# `"\x4" "1"`: as one literal this would be another character.
_OPEN_ESCAPE = re.compile(r'(?<!\\)(?:\\\\)*\\(?:[xX][0-9a-fA-F]?|[0-7]{1,2})"\Z')


class Token(NamedTuple):
    """A word of the program: its kind (one of those above), its text, where it is and the line on which it begins."""

    kind: str
    text: str
    start: int
    end: int
    line: int


class Problem(NamedTuple):
    """What could not be understood, and where."""

    line: int
    message: str


class Span(NamedTuple):
    """The tokens from ``first`` up to, not including, ``last``."""

    first: int
    last: int


def lex(source: str) -> Iterator[Token]:
    """Every word of ``source`` up to ``MAX_LENGTH``, comments too. What belongs to no other kind is junk."""
    line, position = 1, 0
    for word in _PROGRAM.parse_string(source[:MAX_LENGTH]):
        line += source.count("\n", position, word.start())
        position = word.start()
        yield Token(word.lastgroup, word[0], position, word.end(), line)


@dataclass(frozen=True, slots=True)
class Code:
    """Tokens without comments and directives, and for each opening bracket the index of what ends its group."""

    tokens: Sequence[Token]
    closes: Sequence[int]

    def has(self, index: int, *texts: str) -> bool:
        """Whether there is a token at ``index``, one of ``texts``."""
        return 0 <= index < len(self.tokens) and self.tokens[index].text in texts

    def kind(self, index: int) -> str:
        """The kind of the token at ``index``, "" beyond the end."""
        return self.tokens[index].kind if 0 <= index < len(self.tokens) else ""

    def after(self, index: int) -> int:
        """The index after a token, or after the whole group that it opens."""
        close = self.closes[index]
        is_closed = close == index or self.has(close, _CLOSING[self.tokens[index].text])
        return close + 1 if is_closed else close

    def seek(self, span: Span, stops: Container[str]) -> int:
        """The index of the first of ``stops`` in the span and outside its brackets, else the span's end."""
        index = span.first
        while index < span.last and self.tokens[index].text not in stops:
            index = self.after(index)
        return min(index, span.last)

    def text(self, span: Span) -> str:
        """The span as written, with single blanks, without comments; adjacent string literals become one."""
        parts: list[str] = []
        previous = None
        for token in self.tokens[span.first : span.last]:
            if previous and _are_one_literal(previous, token):
                parts[-1:] = [parts[-1][:-1], token.text[1:]]
            else:
                parts += [" " if previous and previous.end < token.start else "", token.text]
            previous = token
        return "".join(parts)

    def split(self, span: Span) -> tuple[str, ...]:
        """The texts between the commas of the span that are outside its brackets; a comma at the end ends nothing."""
        parts = []
        while span.first < span.last:
            end = self.seek(span, {","})
            parts.append(self.text(Span(span.first, end)))
            span = Span(end + 1, span.last)
        return tuple(parts)

    def call(self, span: Span) -> tuple[str, tuple[str, ...]] | None:
        """The name and arguments if the span is one call and nothing else."""
        first, bracket = span.first, span.first + 1
        if self.kind(first) != "name" or not self.has(bracket, "(") or bracket >= span.last:
            return None
        if self.after(bracket) != span.last or not self.has(span.last - 1, ")"):
            return None
        return self.tokens[first].text, self.split(Span(bracket + 1, span.last - 1))


def _are_one_literal(left: Token, right: Token) -> bool:
    if left.kind != "string" or right.kind != "string" or len(left.text) < 2 or left.text[-1] != '"':
        return False
    return not (_OPEN_ESCAPE.search(left.text) and re.match(r'"[0-9a-fA-F]', right.text))


def group(words: Iterable[Token]) -> tuple[Code, list[Problem]]:
    """Find what the brackets hold. A ``}`` ends what is open inside its braces; others without a partner stand alone.

    What comes after brackets deeper than ``MAX_DEPTH`` is left out.
    """
    tokens, closes, stack = list(words), [], _Stack([], [])
    for index, token in enumerate(tokens):
        if len(stack.opened) > MAX_DEPTH:
            del tokens[index:]
            stack.problems.append(Problem(token.line, f"nested more than {MAX_DEPTH} deep: the rest is not read"))
            break
        closes.append(index)
        if token.kind == "bracket":
            stack.take(tokens, closes, index)
    stack.end(tokens, closes)
    return Code(tokens, closes), stack.problems


class _Stack(NamedTuple):
    """The brackets that are open, by index, and what is wrong with those that were seen."""

    opened: list[int]
    problems: list[Problem]

    def take(self, tokens: Sequence[Token], closes: list[int], index: int) -> None:
        text = tokens[index].text
        if text in _CLOSING:
            self.opened.append(index)
        elif text == "}" and any(tokens[opened].text == "{" for opened in reversed(self.opened)):
            while tokens[self._pop(tokens, closes, index)].text != "{":
                pass
        elif text != "}" and self.opened and _CLOSING[tokens[self.opened[-1]].text] == text:
            self._pop(tokens, closes, index)
        else:
            self.problems.append(Problem(tokens[index].line, f"{text!r} closes nothing"))

    def _pop(self, tokens: Sequence[Token], closes: list[int], index: int) -> int:
        opened = self.opened.pop()
        closes[opened] = index
        if _CLOSING[tokens[opened].text] != tokens[index].text:
            self.problems.append(Problem(tokens[opened].line, f"{tokens[opened].text!r} is not closed"))
        return opened

    def end(self, tokens: Sequence[Token], closes: list[int]) -> None:
        if self.opened and len(self.opened) <= MAX_DEPTH:
            line, text = tokens[self.opened[-1]].line, tokens[self.opened[-1]].text
            self.problems.append(Problem(line, f"{text!r} is not closed"))
        for opened in self.opened:
            closes[opened] = len(tokens)


class Section(NamedTuple):
    """A part of the program at its top level: what it is, its head and what its braces hold; a macro's name.

    ``kind`` is probe, macro, fn, config, import, let, struct or "" for what is none of them.
    """

    kind: str
    line: int
    attach_points: tuple[str, ...] = ()
    predicate: Span | None = None
    body: Span = Span(0, 0)
    problem: str = ""
    name: str = ""


def sections(code: Code) -> Iterator[Section]:
    """The parts of a program, one after the other."""
    index = 0
    while index < len(code.tokens):
        if code.has(index, ";", "}"):  # after a struct, or too much
            index += 1
            continue
        section, index = _section(code, index)
        yield section


def _section(code: Code, index: int) -> tuple[Section, int]:
    word, next_kind = code.tokens[index].text, code.kind(index + 1)
    if word == "config" and code.has(index + 1, "="):
        return _definition(code, index, "config")
    if word in {"macro", "fn"} and next_kind == "name":
        return _definition(code, index, word)
    if word in {"struct", "union", "enum", "typedef"} and (next_kind == "name" or code.has(index + 1, "{")):
        return _definition(code, index, "struct")
    if (word, next_kind) in {("import", "string"), ("let", "map")}:
        return _statement(code, index)
    return _probe(code, index)


def _definition(code: Code, index: int, kind: str) -> tuple[Section, int]:
    """``fn f($x : int64) : int64 { ... }``, ``macro m { ... }``, ``config = { ... }``, structs, unions and enums."""
    line = code.tokens[index].line
    stops = {"{", ";", ":", "/", ","} if kind == "struct" else {"{", ";"}
    brace = code.seek(Span(index, len(code.tokens)), stops)
    if not code.has(brace, "{"):
        problem = "" if code.has(brace, ";") else f"{kind} without a block"
        return Section("", line, problem=problem), brace + 1
    end = code.after(brace) if kind != "struct" else _end_of_struct(code, index, brace)
    name = code.tokens[index + 1].text if kind in {"macro", "fn"} else ""
    return Section(kind, line, body=Span(brace + 1, code.closes[brace]), name=name), end


def _end_of_struct(code: Code, index: int, brace: int) -> int:
    """After ``} __attribute__((packed))``, and after the name that a typedef ends with."""
    end = code.after(brace)
    while code.has(end, "__attribute__") and code.has(end + 1, "("):
        end = code.after(end + 1)
    return code.seek(Span(end, len(code.tokens)), {"{", ";"}) if code.has(index, "typedef") else end


def _statement(code: Code, index: int) -> tuple[Section, int]:
    """``import "name";`` and ``let @name = lruhash(100);``, the last with or without the semicolon."""
    word, line = code.tokens[index].text, code.tokens[index].line
    end = index + 2
    if word == "let" and code.has(end, "=") and code.has(end + 2, "("):
        end = code.after(end + 2)
    return Section(word, line, body=Span(index + 1, end)), end


def _probe(code: Code, index: int) -> tuple[Section, int]:
    """``kprobe:f, kprobe:g /pid == 1/ { ... }``."""
    line, slash = code.tokens[index].line, _end_of_attach_points(code, index)
    points = _attach_points(code, Span(index, slash))
    predicate, brace, problem = _predicate(code, slash)
    if not code.has(brace, "{"):
        return Section("", line, problem=problem or f"not understood: {' '.join(points)[:60]!r}"), brace + 1
    problem = problem if points else "a block without an attach point"
    return Section("probe", line, points, predicate, Span(brace + 1, code.closes[brace]), problem), code.after(brace)


def _predicate(code: Code, slash: int) -> tuple[Span | None, int, str]:
    """The predicate, if a slash begins one, where its probe's block begins, and what is wrong with it."""
    if not code.has(slash, "/"):
        return None, slash, ""
    end = _end_of_predicate(code, slash + 1)
    is_closed = code.has(end, "/")
    return Span(slash + 1, end), end + is_closed, "" if is_closed else "the predicate is not closed"


def _end_of_attach_points(code: Code, index: int) -> int:
    has_colon = False
    for end in range(index, len(code.tokens)):
        token = code.tokens[end]
        is_in_path = has_colon and end > index and code.tokens[end - 1].end == token.start
        if token.text in {"{", "}", ";"} or (token.text == "/" and not is_in_path):
            return end
        has_colon = token.text != "," and (has_colon or ":" in token.text)
    return len(code.tokens)


def _attach_points(code: Code, span: Span) -> tuple[str, ...]:
    """The texts between commas; blanks are left out beside a colon and separate two points elsewhere."""
    points = [""]
    previous: Token | None = None
    for token in code.tokens[span.first : span.last]:
        is_apart = previous and previous.end < token.start and ":" not in (previous.text[-1], token.text[0])
        if token.text == "," or is_apart:
            points.append("")
        points[-1] += "" if token.text == "," else token.text
        previous = token
    return tuple(filter(None, points))


def _end_of_predicate(code: Code, index: int) -> int:
    """The slash before a brace; a brace that no slash stands before, if there is none."""
    is_expression = False  # whether a brace here is one of `/ if (a) { b } else { c } /`, as 0.24 and later allow it
    while index < len(code.tokens):
        is_end = code.has(index, "/") and code.has(index + 1, "{")
        if is_end or (code.has(index, "{") and not is_expression):
            return index
        is_expression = code.has(index, "else") or (code.has(index, "(") and code.has(index - 1, "if"))
        index = code.after(index)
    return index
