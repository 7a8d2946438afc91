"""An expression of a program -> what it is called as an attribute, its type, and its unit where it is a time."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import count
from typing import Literal

from orchestrator.signals.names import identifier
from parsers.escapes import storable
from parsers.literals import call_of, unescape
from parsers.script import Script

__all__ = ("Meaning", "Scope", "meaning_of", "unique")

Type = Literal["any", "int", "string", "comm", "word", "address", "stack", "time"]


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a value is. ``scale`` is set for durations: what turns it into seconds. A ``literal`` never changes."""

    attribute: str | None
    type: Type = "any"
    scale: str | None = None
    literal: str | None = None


# bpftrace's builtins (docs/language.md, "Builtins"); names by the semantic conventions where they have one.
_BUILTINS = {
    "args->ret": Meaning("ebpf.return_code", "int"),
    "args.ret": Meaning("ebpf.return_code", "int"),
    "cgroup": Meaning("ebpf.cgroup.id", "int"),
    "comm": Meaning("thread.name", "comm"),
    "cpu": Meaning("cpu.logical_number", "int"),
    "elapsed": Meaning("ebpf.elapsed", "int", "1e-9"),
    "func": Meaning("code.function.name", "word"),
    "gid": Meaning("ebpf.gid", "int"),
    "kstack": Meaning("ebpf.stack.kernel", "stack"),
    "nsecs": Meaning("ebpf.nsecs", "time"),
    "numaid": Meaning("ebpf.numa.node", "int"),
    "pcomm": Meaning("ebpf.parent.thread.name", "comm"),
    "pid": Meaning("process.pid", "int"),
    "ppid": Meaning("process.parent_pid", "int"),
    "probe": Meaning("ebpf.probe", "word"),
    "retval": Meaning("ebpf.return_code", "any"),
    "tid": Meaning("thread.id", "int"),
    "uid": Meaning("process.user.id", "int"),
    "username": Meaning("process.user.name", "word"),
    "ustack": Meaning("ebpf.stack.user", "stack"),
}
# What a function returns; its first argument names the value.
_FUNCTIONS: dict[str, Type] = {
    "buf": "string",
    "bswap": "int",
    "cgroup_path": "string",
    "kaddr": "int",
    "ksym": "word",
    "macaddr": "word",
    "ntop": "address",
    "path": "string",
    "reg": "int",
    "str": "string",
    "strerror": "string",
    "uaddr": "int",
    "uptr": "any",
    "usym": "string",
}
# Functions that are called the same whatever their arguments are.
_CALLS = {
    "kstack": Meaning("ebpf.stack.kernel", "stack"),
    "nsecs": Meaning("ebpf.nsecs", "int"),  # of another clock, perhaps
    "strftime": Meaning("ebpf.time", "string"),
    "ustack": Meaning("ebpf.stack.user", "stack"),
}
_NUMBER = re.compile(r"-?(?:0x[0-9a-fA-F]+|\d[\d_]*(?:e\d+)?)[uUlL]*")
_TEXTUAL_FIELD = re.compile(r"(?:^|_)(?:comm|(?:file|disk|path|dev|sys)?name|path|rwbs|msg|devname|str)$")
_WORDS = re.compile(r"[A-Za-z_]\w*")
_NOT_NAMES = {"struct", "union", "enum", "unsigned", "signed", "int", "char", "long", "short", "void", "args"} | {
    f"{sign}int{bits}{suffix}" for sign in ("", "u") for bits in (8, 16, 32, 64) for suffix in ("", "_t")
}
_CAST = re.compile(r"\(\s*(?:struct |union |enum |unsigned )?\w+[\s*]*\)\s*(?=[\w$@(\"])")
_DIVISION = re.compile(r"(?P<value>.+)/\s*1(?:(?P<zeros>(?:_?000)*)|e(?P<power>\d{1,2}))", re.DOTALL)
_PARTS = ((r"/\s*1024\s*/\s*1024$|/\s*1048576$", "mib"), (r"/\s*1024$", "kib"))
_DIFFERENCE = re.compile(r"(?P<later>.+?[^-])\s*-(?![->])\s*(?P<earlier>.+)", re.DOTALL)
_DEPTH = 8


@dataclass(frozen=True, slots=True)
class Scope:
    """Where an expression stands: ``$variables`` of a probe and maps lead to what was assigned to them."""

    script: Script
    probe: int

    def definition(self, name: str) -> str | None:
        """The expression behind ``$variable`` or ``@map``; None if there is none, or more than one for a map."""
        if name.startswith("$"):
            return self.script.variables.get((self.probe, name))
        found = {
            one.arguments[0]
            for one in self.script.assignments
            if one.map == name[1:] and one.operator == "=" and one.function is None
        }
        return found.pop() if len(found) == 1 else None


def unique(meanings: Iterable[Meaning]) -> list[Meaning]:
    """The same meanings, the second one of a name numbered."""
    meanings = list(meanings)
    wanted = {meaning.attribute for meaning in meanings}
    seen: set[str] = set()
    found = []
    for meaning in meanings:
        name = meaning.attribute
        numbers = count(2)
        while name is not None and (name in seen or (name != meaning.attribute and name in wanted)):
            name = f"{meaning.attribute}_{next(numbers)}"
        seen |= {name} if name is not None else set()
        found.append(replace(meaning, attribute=name))
    return found


def meaning_of(expression: str, scope: Scope, depth: int = 0) -> Meaning:
    """What ``expression`` is."""
    text = _bare(expression)
    if text in _BUILTINS:
        return _BUILTINS[text]
    if text.startswith('"') and text.endswith('"'):
        # Bytes that are no UTF-8 could not be written in a manifest.
        return Meaning(None, "string", literal=storable(unescape(text)))
    if _NUMBER.fullmatch(text) or text in {"true", "false"}:
        return Meaning(None, "int", literal=text)
    if (scale := _duration(text, scope, depth)) is not None:
        return Meaning("ebpf.duration", "int", scale)
    found = _of_call(text, scope, depth) or _of_reference(text, scope, depth)
    return found or Meaning(_readable(text), _type_of_field(text))


def _bare(text: str) -> str:
    """Without casts and outer parentheses."""
    previous = None
    while text != previous:
        previous = text
        text = _CAST.sub("", text, count=1).strip() if _CAST.match(text) else text.strip()
        if text.startswith("(") and text.endswith(")") and _closes_at_end(text):
            text = text[1:-1]
    return text


def _closes_at_end(text: str) -> bool:
    depth = 0
    for index, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if depth == 0:
            # A tuple is no parenthesised value.
            return index == len(text) - 1 and "," not in text
    return False


def _duration(text: str, scope: Scope, depth: int) -> str | None:
    """``(nsecs - @start[tid]) / 1000`` -> 1e-6: what makes seconds of it."""
    power = _power(text, scope, depth)
    return None if power is None else f"1e{power}"


def _power(text: str, scope: Scope, depth: int) -> int | None:
    text = _bare(text)
    if depth > _DEPTH:
        return None
    if text == "elapsed":
        return -9
    division = _DIVISION.fullmatch(text)
    if division and _balanced(division["value"]):
        inner = _power(division["value"], scope, depth + 1)
        power = int(division["power"]) if division["power"] else division["zeros"].count("0")
        return None if inner is None else inner + power
    difference = _DIFFERENCE.fullmatch(text)
    if difference and _balanced(difference["later"]):
        return -9 if _is_now(difference["later"], scope, depth) else None
    definition = scope.definition(text) if re.fullmatch(r"\$\w+", text) else None
    return None if definition is None else _power(definition, scope, depth + 1)


def _is_now(text: str, scope: Scope, depth: int) -> bool:
    text = _bare(text)
    if depth > _DEPTH:
        return False
    definition = scope.definition(text) if re.fullmatch(r"\$\w+", text) else None
    return text == "nsecs" or (definition is not None and _is_now(definition, scope, depth + 1))


def _balanced(text: str) -> bool:
    return text.count("(") == text.count(")") and text.count("[") == text.count("]")


def _of_call(text: str, scope: Scope, depth: int) -> Meaning | None:
    call = call_of(text)
    if call is None:
        return None
    function, arguments = call
    if function == "getopt" and arguments:
        return Meaning(f"ebpf.{identifier(arguments[0])}")
    if function not in _FUNCTIONS or not arguments or depth > _DEPTH:
        return _CALLS.get(function) or _BUILTINS.get(function)
    inner = meaning_of(arguments[-1 if function == "ntop" else 0], scope, depth + 1)  # ntop([family, ] address)
    name = inner.attribute if inner.attribute and inner.literal is None else f"ebpf.{identifier(function)}"
    kind = _FUNCTIONS[function]
    return Meaning(name, "comm" if inner.type == "comm" else kind)


def _of_reference(text: str, scope: Scope, depth: int) -> Meaning | None:
    """A variable or map: what was put into it, if that has a name of its own, else its own name."""
    match = re.fullmatch(r"(?P<name>\$\w+|@\w*)(?:\[.*\])?", text, re.DOTALL)
    if match is None:
        return None
    name = match["name"]
    definition = scope.definition(name) if depth < _DEPTH else None
    found = meaning_of(definition, scope, depth + 1) if definition else Meaning(None)
    if found.attribute and not found.attribute.startswith("ebpf."):
        return found
    if name[1:].isdigit():  # $1, a positional parameter
        return Meaning(f"ebpf.parameter_{name[1:]}")
    own = Meaning(f"ebpf.{identifier(name[1:] or 'value')}", found.type if found.literal is None else "any")
    if found.type == "time":  # a time that was kept, not the time of the event
        return replace(own, type="int")
    return own


def _type_of_field(text: str) -> Type:
    last = _WORDS.findall(text)[-1:]
    if "?" in text:
        return "any"
    if last and re.search(r"(->|\.)\s*\w+$", text):
        if last[0] == "comm":
            return "comm"
        return "string" if _TEXTUAL_FIELD.search(last[0]) else "any"
    return "any"


def _readable(text: str) -> str | None:
    """``$task->real_parent->pid`` -> ebpf.real_parent_pid; ``$tp->bytes_acked / 1024`` -> ebpf.bytes_acked_kib."""
    for pattern, unit in _PARTS:
        shorter, divided = re.subn(pattern, "", text)
        if divided and (name := _readable(shorter)):
            return f"{name}_{unit}"
    text = re.sub(r'"(?:\\.|[^"\\])*"|\b\d\w*', "", text)
    words = [word for word in _WORDS.findall(_CAST.sub("", text)) if word not in _NOT_NAMES | set(_FUNCTIONS)]
    if not words:
        return None
    last = words[-2:] if f"{words[-1]}" in _BUILTINS and len(words) > 1 else words[-1:]
    return f"ebpf.{identifier('_'.join(last))}"
