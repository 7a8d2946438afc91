"""Large maps that are read in one pass are what they are the general way."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsers import json_output
from parsers.json_output import JsonDecoder
from parsers.map_lines import decode_hist, decode_map
from parsers.records import Record


def map_line(values: Any) -> bytes:
    return f'{{"type": "map", "data": {{"@x": {json.dumps(values)}}}}}'.encode()


def hist_line(values: Any) -> bytes:
    return f'{{"type": "hist", "data": {{"@x": {json.dumps(values)}}}}}'.encode()


def general(line: bytes, monkeypatch: pytest.MonkeyPatch) -> Record | None:
    with monkeypatch.context() as patched:
        nothing: Callable[[bytes], None] = lambda _: None  # noqa: E731
        patched.setattr(json_output, "decode_map", nothing)
        patched.setattr(json_output, "decode_hist", nothing)
        return JsonDecoder().decode(line)


KEYS = st.one_of(st.text(max_size=9), st.sampled_from(["1,sh", '": ', '": [', "a b", ""]))
BUCKETS = st.lists(
    st.one_of(
        st.fixed_dictionaries(
            {"min": st.integers(-9, 9), "max": st.integers(0, 2**40), "count": st.integers(0, 2**40)}
        ),
        st.fixed_dictionaries({"min": st.just(-(1 << 31)), "max": st.just(0), "count": st.integers(1, 9)}),
        st.fixed_dictionaries({"min": st.integers(1, 9), "count": st.integers(0, 9)}),
    ),
    max_size=4,
)


@given(st.dictionaries(KEYS, st.one_of(st.integers(), st.just("9007199254740993"), st.lists(st.integers()))))
def test_a_map_is_what_it_is_the_general_way(values: dict[str, Any]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        assert JsonDecoder().decode(map_line(values)) == general(map_line(values), patch)


@given(st.dictionaries(KEYS, BUCKETS))
def test_histograms_are_what_they_are_the_general_way(values: dict[str, Any]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        assert JsonDecoder().decode(hist_line(values)) == general(hist_line(values), patch)


def test_large_maps_are_read_in_one_pass() -> None:
    assert decode_map(map_line({"1,sh": 2, "2,sh": -3})) is not None
    assert decode_hist(hist_line({"1,sh": [{"min": 4, "max": 7, "count": 1}]})) is not None


@pytest.mark.parametrize(
    "line",
    [
        b'{"type": "map", "data": {"@x": {"a": 1, "a": 2}}}',
        b'{"type": "map", "data": {"@x": 7}}',
        b'{"type": "map", "data": {"@x": {"a": 1}, "@y": {"b": 2}}}',
        b'{"type": "map", "data": {"@x": {"a": 1.5}}}',
        b'{"type": "map", "data": {"@x": {"a": true}}}',
        b'{"type": "map", "data": {"@x": {"\\n": 1}}}',
        b'{"type": "map", "data": {"@x": {"a": 1}',
    ],
)
def test_what_is_special_is_left_to_the_general_way(line: bytes) -> None:
    assert decode_map(line) is None


def test_a_key_that_is_printed_twice_counts_twice() -> None:
    line = b'{"type": "hist", "data": {"@x": {"a": [{"min": 1, "max": 1, "count": 1}], "a": []}}}'
    assert decode_hist(line) is None
