"""YAML -> typed values, with errors that name file, line, key and the nearest known key."""

from __future__ import annotations

import difflib
import re
import types
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import msgspec
import yaml

from config.errors import ConfigError

__all__ = ("load", "nearest", "place", "read_text")

T = TypeVar("T", bound=msgspec.Struct)

# msgspec: "Object contains unknown field `foo` - at `$.metrics[...].keys[0]`"
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<key>.*)`")
_WHERE = re.compile(r" - at (?:`key` in )?`\$(?P<path>.*)`$")
_STEP = re.compile(r"\.(?P<name>[A-Za-z_]\w*)|\[(?P<index>\d+)\]|\[\.\.\.\]")
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def nearest(word: str, known: list[str]) -> str:
    """`` (did you mean tcp?)`` for a word near one that is known, else the known ones."""
    close = difflib.get_close_matches(word, known, n=3, cutoff=0.5)
    if close:
        return f" (did you mean {' or '.join(close)}?)"
    return f" (known: {', '.join(sorted(known))})" if known else ""


def read_text(path: Path) -> str:
    """The text of a file. Raises OSError and UnicodeDecodeError."""
    return path.read_text(encoding="utf-8")


def load(path: Path, kind: type[T], read: Callable[[Path], str] = read_text) -> T:
    """Read ``path`` as a ``kind``; any mistake in it is a ConfigError."""
    try:
        text = read(path)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is not UTF-8 text") from None
    try:
        data = yaml.load(text, Loader=_Loader)  # noqa: S506 - a safe loader, in C where there is one
    except (yaml.YAMLError, ValueError) as error:  # ValueError: 2026-13-45 is no date
        raise ConfigError(f"{path}{_mark(error)}: not valid YAML: {_problem(error)}") from None
    try:
        return msgspec.convert({} if data is None else data, kind)  # None: an empty file, or comments only
    except msgspec.ValidationError as error:
        raise ConfigError(_explain(path, data, text, kind, str(error))) from None


def place(path: Path, *names: str) -> str:
    """``file:line`` of the key at ``names``, for mistakes that are found later."""
    return f"{path}:{_line(yaml.compose(path.read_text(encoding='utf-8'), Loader=_Loader), list(names))}"


def _mark(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    return f":{mark.line + 1}" if mark else ""


def _problem(error: Exception) -> str:
    return str(getattr(error, "problem", None) or error).splitlines()[0]


def _explain(path: Path, data: Any, text: str, kind: type[msgspec.Struct], message: str) -> str:
    where = _WHERE.search(message)
    steps = [match["name"] or match["index"] or "..." for match in _STEP.finditer(where["path"])] if where else []
    message = _WHERE.sub("", message)
    unknown = _UNKNOWN.fullmatch(message)
    names, kinds = _resolve(data, [kind], steps)
    wanted = [*names, unknown["key"]] if unknown else names
    where_it_is = f"{path}:{_line(yaml.compose(text, Loader=_Loader), wanted)}"
    dotted = ".".join(names)
    if unknown:
        inside = f" in {dotted}" if dotted else ""
        return f"{where_it_is}: unknown key {unknown['key']!r}{inside}{nearest(unknown['key'], _field_names(kinds))}"
    words = [str(word) for one in kinds if get_origin(one) is Literal for word in get_args(one)]
    known = f" (known: {', '.join(words)})" if words else ""
    return f"{where_it_is}: {dotted or 'the file'}: {message[0].lower()}{message[1:]}{known}"


def _resolve(data: Any, kinds: list[Any], steps: list[str]) -> tuple[list[str], list[Any]]:
    """Follow ``steps`` into the data; return the real names on the way and the types that fit at its end.

    msgspec writes ``[...]`` for a key of a mapping; the one that is meant is the first whose value does not convert.
    """
    if not steps:
        return [], kinds
    step, rest = steps[0], steps[1:]
    inner = _inner(kinds, step)
    if step == "..." and isinstance(data, dict):
        step = next((str(name) for name, value in data.items() if not _converts(value, inner)), "")
        data = {str(name): value for name, value in data.items()}
    child = data[int(step)] if isinstance(data, list) else data.get(step) if isinstance(data, dict) else None
    names, found = _resolve(child, inner, rest)
    return [step, *names], found


def _members(kind: Any) -> list[Any]:
    """The types that a union, an Annotated or a plain type stands for."""
    if get_origin(kind) is Annotated:
        return _members(get_args(kind)[0])
    if get_origin(kind) in (Union, types.UnionType):
        return [member for argument in get_args(kind) for member in _members(argument)]
    return [kind]


def _inner(kinds: list[Any], step: str) -> list[Any]:
    """The types of what stands at ``step`` inside values of ``kinds``."""
    found: list[Any] = []
    for kind in kinds:
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            fields = {field.encode_name: field.type for field in msgspec.structs.fields(kind)}
            found += _members(fields[step]) if step in fields else []
        elif get_origin(kind) in (dict, list) and (step == "..." or step.isdigit()):
            found += _members(get_args(kind)[-1])
    return found


def _converts(value: Any, kinds: list[Any]) -> bool:
    try:
        msgspec.convert(value, Union[tuple(kinds)] if kinds else Any)
    except msgspec.ValidationError:
        return False
    return True


def _field_names(kinds: list[Any]) -> list[str]:
    structs = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, msgspec.Struct)]
    return sorted({field.encode_name for kind in structs for field in msgspec.structs.fields(kind)})


def _line(node: Any, names: list[str]) -> int:
    """The line of the last of ``names`` that stands in the document."""
    line: int = node.start_mark.line + 1 if node else 1
    for name in names:
        children = _children(node)
        if name not in children:
            break
        line, node = children[name]
    return line


def _children(node: Any) -> dict[str, tuple[int, Any]]:
    if isinstance(node, yaml.MappingNode):
        return {key.value: (key.start_mark.line + 1, value) for key, value in node.value}
    if isinstance(node, yaml.SequenceNode):
        return {str(index): (value.start_mark.line + 1, value) for index, value in enumerate(node.value)}
    return {}
