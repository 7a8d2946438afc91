from __future__ import annotations

from typing import Any

import msgspec
import pytest

from config.dump import as_yaml
from config.manifest import Exchange, Keep, Key, Manifest, Span, SpanShape, StackMap, StackProfile
from config.parameters import Value
from config.resolve import asked_parameters, resolve

VALUES: dict[str, Value] = {
    "hz": 49,
    "slow": 100_000_000,
    "status": ">=400",
    "one_in": 10,
    "query": 2,
    "ports": (80, 443),
    "pid": 7,
}


def stacks(frequency: int | str | None) -> dict[str, StackMap]:
    profile = StackProfile(type="samples", unit="count", frequency=frequency)
    return {"s": StackMap(keys=[Key(type="ustack")], profiles=[profile], twin="s_b", depth=5)}


def span(**words: Any) -> Span:
    return Span(name="x", event="e", duration="d", log=True, keep=Keep(**words))


def exchange(keep: Keep, **options: int | str) -> Exchange:
    shape = SpanShape(name="{method}", kind="server", keep=keep)
    return Exchange(protocol="http1", end="end", server=shape, client=SpanShape(name="c"), options=options)


def manifest(**words: Any) -> Manifest:
    return Manifest(summary="s", **words)


WISHES: dict[str, Any] = {"min_duration": "slow", "only": {"http.response.status_code": "status"}, "one_in": "one_in"}
ASKS = manifest(
    stacks=stacks("hz"), spans=[span(**WISHES)], exchanges={"data": exchange(Keep(**WISHES), query="query")}
)
SETTLED: dict[str, Any] = {"min_duration": 100_000_000, "only": {"http.response.status_code": ">=400"}, "one_in": 10}


def test_numbers_stand_in_the_place_of_names_and_nothing_else_is_changed() -> None:
    assert resolve(ASKS, VALUES) == manifest(
        stacks=stacks(49), spans=[span(**SETTLED)], exchanges={"data": exchange(Keep(**SETTLED), query=2)}
    )


def test_a_resolved_manifest_asks_for_nothing() -> None:
    assert asked_parameters(ASKS) == {"hz", "slow", "status", "one_in", "query"}
    assert asked_parameters(resolve(ASKS, VALUES)) - {">=400"} == set()
    assert resolve(resolve(ASKS, VALUES), {}) == resolve(ASKS, VALUES)


def test_numbers_that_stand_there_already_are_kept() -> None:
    fixed = manifest(
        stacks=stacks(99), spans=[span(min_duration=5, one_in=2)], exchanges={"data": exchange(Keep(), query=0)}
    )
    assert asked_parameters(fixed) == set()
    assert resolve(fixed, VALUES) == fixed


@pytest.mark.parametrize("frequency", [0, -99])
def test_a_frequency_of_nothing(frequency: int) -> None:
    with pytest.raises(msgspec.ValidationError, match=r">= 1 .*frequency"):
        msgspec.convert(msgspec.to_builtins(manifest(stacks=stacks(frequency))), Manifest)


def test_stacks_without_a_frequency_have_none() -> None:
    assert resolve(manifest(stacks=stacks(None)), VALUES).stacks["s"].profiles[0].frequency is None


def test_the_client_of_an_exchange_is_kept_by_its_own_rule() -> None:
    one = exchange(Keep())
    both = manifest(
        exchanges={
            "data": Exchange(
                protocol="http1", end="end", server=one.server, client=SpanShape(name="c", keep=Keep(one_in="one_in"))
            )
        }
    )
    found = resolve(both, VALUES).exchanges["data"]
    assert (found.server.keep.one_in, found.client.keep.one_in) == (1, 10)
    assert asked_parameters(both) == {"one_in"}


def test_a_resolved_manifest_can_be_written() -> None:
    text = as_yaml(resolve(ASKS, VALUES))
    assert "frequency: 49" in text
    assert "min_duration: 100000000" in text
