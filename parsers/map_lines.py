r"""Lines of large maps -> their records, in one pass.

It reads what ``JsonDecoder`` would read of lines without escapes, and leaves all others to it: a map of numbers,
``{"type": "map", "data": {"@c": {"a,1": 5}}}``, or of histograms, ``{"type": "hist", "data": {"@h": {"a": [...]}}}``.
"""

from __future__ import annotations

import msgspec

from parsers.records import Bucket, Hist, Map

__all__ = ("HIST_PREFIX", "MAP_PREFIX", "decode_hist", "decode_map")

MAP_PREFIX, HIST_PREFIX = b'{"type": "map", "data": {"@', b'{"type": "hist", "data": {"@'
_COLON, _OPENS = b'": ', b'": ['
# Before the first key: type, data, and the map's name.
_COLONS_BEFORE = 3


class _Bucket(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    count: int
    min: int | None = None
    max: int | None = None


class _MapLine(msgspec.Struct, tag_field="type", tag="map", forbid_unknown_fields=True):
    data: dict[str, dict[str, int]]


class _HistLine(msgspec.Struct, tag_field="type", tag="hist", forbid_unknown_fields=True):
    data: dict[str, dict[str, list[_Bucket]]]


_read_map = msgspec.json.Decoder(_MapLine).decode
_read_hist = msgspec.json.Decoder(_HistLine).decode


def decode_map(line: bytes) -> Map | None:
    """The record of a line that begins with ``MAP_PREFIX``; None if it has to be read another way.

    A dict loses a key that is printed twice, as a stack may be: then there are more colons than keys.
    """
    if b"\\" in line or not line.isascii():
        return None
    try:
        ((name, values),) = _read_map(line).data.items()
    except (msgspec.MsgspecError, ValueError):
        return None
    if line.count(_COLON) != len(values) + _COLONS_BEFORE:
        return None
    return Map(name[1:], tuple(values.items()))


def decode_hist(line: bytes) -> Hist | None:
    """The same for one that begins with ``HIST_PREFIX``; its counts have to be in decimal."""
    if b"\\" in line or not line.isascii():
        return None
    try:
        ((name, series),) = _read_hist(line).data.items()
    except (msgspec.MsgspecError, ValueError):
        return None
    if line.count(_OPENS) != len(series):
        return None
    return Hist(name[1:], tuple((key, tuple(map(_bucket, buckets))) for key, buckets in series.items()))


def _bucket(found: _Bucket) -> Bucket:
    return Bucket.of(found.min, found.max, found.count)
