"""A manifest and the values of its parameters -> the manifest in which numbers stand instead of their names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from msgspec import structs

from config.manifest import Keep, Manifest, SpanShape, StackProfile
from config.parameters import Value

__all__ = ("asked_parameters", "resolve")

S = TypeVar("S", bound=SpanShape)


def resolve(manifest: Manifest, values: Mapping[str, Value]) -> Manifest:
    """What leaves nothing to ask for: a recording that holds it can be read by itself."""
    return structs.replace(
        manifest,
        stacks={
            name: structs.replace(one, profiles=[_profile(profile, values) for profile in one.profiles])
            for name, one in manifest.stacks.items()
        },
        spans=[_shape(one, values) for one in manifest.spans],
        exchanges={
            tag: structs.replace(
                one,
                server=_shape(one.server, values),
                client=_shape(one.client, values),
                options={name: _given(value, values) for name, value in one.options.items()},
            )
            for tag, one in manifest.exchanges.items()
        },
    )


def asked_parameters(manifest: Manifest) -> set[str]:
    """The parameters that the manifest itself wants, not its program."""
    shapes = [*manifest.spans, *(shape for one in manifest.exchanges.values() for shape in (one.server, one.client))]
    given = [
        *(profile.frequency for one in manifest.stacks.values() for profile in one.profiles),
        *(value for one in manifest.exchanges.values() for value in one.options.values()),
        *(value for shape in shapes for value in (shape.keep.min_duration, shape.keep.one_in)),
        *(value for shape in shapes for value in shape.keep.only.values()),
    ]
    return {name for name in given if isinstance(name, str)}


def _given(value: int | str, values: Mapping[str, Value]) -> Any:
    return values[value] if isinstance(value, str) and value in values else value


def _profile(profile: StackProfile, values: Mapping[str, Value]) -> StackProfile:
    return structs.replace(profile, frequency=None if profile.frequency is None else _given(profile.frequency, values))


def _shape(shape: S, values: Mapping[str, Value]) -> S:
    keep = shape.keep
    settled = Keep(
        min_duration=_given(keep.min_duration, values),
        only={name: _given(value, values) for name, value in keep.only.items()},
        one_in=_given(keep.one_in, values),
    )
    return structs.replace(shape, keep=settled)
