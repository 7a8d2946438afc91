"""Every line of every output is read."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from parsers.records import Unknown, Unparsed
from tests.corpus.reading import FORMATS, SUFFIXES, VERSIONS, Format, cases, exit_codes, has, path_of, read_records

_NO_PROBES = ("plain text on standard output, whatever the format", [b"No probes to attach"])
_LAST_EMPTY = ("whether rows follow a header is not known at the end", [b"@v: "])
# Lines that no record can be made of, and why.
UNPARSED: Mapping[tuple[str, str, Format], tuple[str, list[bytes]]] = {
    ("0.11.3", "fail-uprobe-nosym", "json"): _NO_PROBES,
    ("0.11.3", "fail-uprobe-wild-none", "json"): _NO_PROBES,
    ("0.17.0", "fail-uprobe-nosym", "json"): _NO_PROBES,
    ("0.17.0", "fail-uprobe-wild-none", "json"): _NO_PROBES,
    ("0.17.0", "fail-usdt-none", "json"): _NO_PROBES,
    ("0.27.1", "fail-empty", "json"): _NO_PROBES,
    ("0.27.1", "fail-no-probes", "json"): _NO_PROBES,
    ("0.11.3", "kstack", "text"): _LAST_EMPTY,
}


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("case", cases(".json", ".txt"))
def test_each_line_is_read(case: str, kind: Format) -> None:
    for version in [version for version in VERSIONS if has(version, case, kind)]:
        records = read_records(version, case, kind)
        # Nothing but blank lines says nothing.
        assert bool(records) == bool(path_of(version, case, SUFFIXES[kind]).read_bytes().strip()), version
        assert [record for record in records if isinstance(record, Unknown)] == [], version
        unparsed = [record.line for record in records if isinstance(record, Unparsed)]
        assert unparsed == UNPARSED.get((version, case, kind), ("", []))[1], version


def test_each_exception_is_of_a_file() -> None:
    assert [one for one in UNPARSED if not has(*one)] == []


@pytest.mark.parametrize("case", cases(".err"))
def test_each_run_has_an_exit_code(case: str) -> None:
    for version in [version for version in VERSIONS if path_of(version, case, ".err").is_file()]:
        codes = exit_codes(version, case)
        assert "json" in codes, version
        assert [kind for kind in FORMATS if has(version, case, kind) and kind not in codes] == [], version
