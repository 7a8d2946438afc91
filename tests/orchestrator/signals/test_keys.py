from __future__ import annotations

from typing import Any

import pytest

from config.manifest import Key
from orchestrator.signals.keys import WHOLE_KEY, KeyReader

NAME_AND_PID = [Key(attribute="thread.name", type="string"), Key(attribute="process.pid")]
TWO_TEXTS = [Key(attribute="a", type="string"), Key(attribute="b", type="string")]


def test_the_whole_key_is_an_attribute_of_ours() -> None:
    assert WHOLE_KEY == "ebpf.key"


@pytest.mark.parametrize(
    ("keys", "key", "separator", "attributes"),
    [
        ([], None, ",", {}),
        ([], "", ",", {WHOLE_KEY: ""}),
        ([], "a,1", ",", {WHOLE_KEY: "a,1"}),
        (NAME_AND_PID, "sh,7", ",", {"thread.name": "sh", "process.pid": 7}),
        (NAME_AND_PID, "a, b, 7", ", ", {"thread.name": "a, b", "process.pid": 7}),
        ([Key(attribute="x", type="any")], "42", ",", {"x": 42}),
        ([Key(attribute="x", type="any")], "0x2a", ",", {"x": "0x2a"}),
        ([Key(attribute="x", type="any")], "007", ",", {"x": "007"}),
        ([Key(attribute="x", type="any"), Key(attribute="y")], "vfs_read,-1", ",", {"x": "vfs_read", "y": -1}),
        (
            [Key(attribute="stack", type="stack"), Key(attribute="thread.name", type="string")],
            "\n    f+12\n    main+3\n,sh",
            ",",
            {"stack": "\n    f+12\n    main+3\n", "thread.name": "sh"},
        ),
        # A part without a name is not exported, but has to be there.
        ([Key(), Key(attribute="y")], "1,2", ",", {"y": 2}),
        # What the manifest says of a part.
        ([Key(attribute="error.type", decode="errno", omit=0)], "-2", ",", {"error.type": "ENOENT"}),
        ([Key(attribute="error.type", decode="errno", omit=0)], "0", ",", {}),
        ([Key(attribute="role", values={0: "passive", 1: "active"})], "1", ",", {"role": "active"}),
        ([Key(attribute="role", values={0: "passive"}, default="_OTHER")], "5", ",", {"role": "_OTHER"}),
        (
            [Key(attribute="path", type="string", also={"name": "basename"})],
            "/bin/sh",
            ",",
            {"path": "/bin/sh", "name": "sh"},
        ),
        ([Key(attribute="id")], "18446744073709551615", ",", {"id": "18446744073709551615"}),
    ],
)
@pytest.mark.parametrize("lenient", [False, True])
def test_keys(keys: list[Key], key: str | None, separator: str, attributes: dict[str, Any], lenient: bool) -> None:
    assert KeyReader(keys, lenient=lenient).read(key, separator) == attributes


@pytest.mark.parametrize(
    ("keys", "key"),
    [
        (NAME_AND_PID, "sh"),
        (NAME_AND_PID, "sh,x"),
        (NAME_AND_PID, ""),
        (TWO_TEXTS, "a,b,c"),  # a,b and c, or a and b,c
        ([Key(attribute="x")], "x"),
    ],
)
def test_a_key_of_another_shape(keys: list[Key], key: str) -> None:
    with pytest.raises(ValueError, match="another shape"):
        KeyReader(keys).read(key, ",")
    assert KeyReader(keys, lenient=True).read(key, ",") == {WHOLE_KEY: key}


@pytest.mark.parametrize("lenient", [False, True])
def test_a_map_without_keys_where_some_were_expected(lenient: bool) -> None:
    with pytest.raises(ValueError, match="another shape"):
        KeyReader(NAME_AND_PID, lenient=lenient).read(None, ",")


def test_two_texts_without_commas_of_their_own_are_two() -> None:
    assert KeyReader(TWO_TEXTS).read("a,b", ",") == {"a": "a", "b": "b"}
