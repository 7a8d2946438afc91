"""A program's source -> its manifest: what its maps and lines mean, as far as the source tells."""

from __future__ import annotations

import re
from typing import Any

from msgspec import ValidationError, convert, structs, to_builtins

from config.errors import ConfigError
from config.loader import nearest
from config.manifest import BoolParameter, IntParameter, Manifest, Metric, Parameter, StringParameter
from orchestrator.inference.annotations import check_words, place_of
from orchestrator.inference.maps import infer_maps
from orchestrator.inference.prints import infer_prints
from parsers.escapes import storable
from parsers.literals import unescape
from parsers.script import Annotation, Script, read_script

__all__ = ("infer_manifest",)

_PRINTABLE = "[ -~]*"
_METRIC_WORDS = ("name", "unit", "description", "instrument", "scale")


def infer_manifest(program: str, source: str) -> Manifest:
    """The manifest of ``program`` (its name, ``biolatency`` for biolatency.bt). Never fails."""
    script = read_script(source)
    maps = infer_maps(program, script)
    _check_annotations(script)
    return Manifest(
        summary=script.summary or f"The bpftrace program {program}",
        process="own",
        parameters=_parameters(script),
        metrics={name: _annotated(metric, name, script) for name, metric in maps.metrics.items()},
        prints=infer_prints(program, script),
        texts=maps.texts,
        stacks=maps.stacks,
    )


def _parameters(script: Script) -> dict[str, Parameter]:
    """``getopt("name", default)`` and ``$1``; what is a number stays one."""
    found: dict[str, Parameter] = {}
    for one in script.parameters:
        default = one.default or ""
        if one.is_flag or default in {"true", "false"}:
            found[one.name] = BoolParameter(help="Asked for by the program", default=default == "true")
        elif (number := _integer(default)) is not None:
            found[one.name] = IntParameter(help="Asked for by the program", default=number)
        else:
            text = storable(unescape(default)) if default.startswith('"') else default
            found[one.name] = StringParameter(help="Asked for by the program", default=text, pattern=_PRINTABLE)
    return found


def _integer(literal: str) -> int | None:
    """``42``, ``0x2a``, ``1_000``, ``1e6``."""
    text = literal.replace("_", "")
    if re.fullmatch(r"-?[1-9]\d{0,17}|0|0x[0-9a-fA-F]{1,15}", text):
        return int(text, 0)
    match = re.fullmatch(r"([1-9]\d{0,8})e(\d)", text)
    return int(match[1]) * 10 ** int(match[2]) if match else None


def _check_annotations(script: Script) -> None:
    for annotation in script.annotations:
        if annotation.target.startswith("@"):
            name, maps = annotation.target[1:], list(script.maps())
            if name not in maps:
                raise ConfigError(f"{place_of(annotation)}: no such map{nearest(name, maps)}")
            check_words(annotation, (*_METRIC_WORDS, "keys"))


def _annotated(metric: Metric, name: str, script: Script) -> Metric:
    """The metric with what ``// otlp: @map name=... unit=... keys=...`` says of it."""
    for annotation in script.annotations:
        if annotation.target == f"@{name}":
            metric = _apply(metric, annotation)
    return metric


def _apply(metric: Metric, annotation: Annotation) -> Metric:
    changes: dict[str, Any] = {word: annotation.words[word] for word in _METRIC_WORDS if word in annotation.words}
    names = [name.strip() for name in annotation.words.get("keys", "").split(",")]
    keys = [
        structs.replace(key, attribute=names[index]) if index < len(names) and names[index] else key
        for index, key in enumerate(metric.keys)
    ]
    try:
        return convert(to_builtins(structs.replace(metric, keys=keys, **changes)), Metric)
    except ValidationError as error:
        raise ConfigError(f"{place_of(annotation)}: {error}") from None
