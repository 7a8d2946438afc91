"""Log records in protobuf's wire format -> their JSON, without the messages in between.

An attribute that came before is known by its bytes. Whatever is not as our encoders write it is refused, for the
general way (``json_format``) says the same of all messages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from struct import unpack_from

import msgspec

from orchestrator.otlp.wire import Memo, read_varint

__all__ = ("Converters", "logs_to_json")

# The tags of opentelemetry/proto/logs/v1/logs.proto, LogRecord: its field numbers and wire types.
_ATTRIBUTE, _BODY, _FLAGS, _SEVERITY_NUMBER = 0x32, 0x2A, 0x45, 0x10
_TIMES = {0x09: b'"timeUnixNano":"%d"', 0x59: b'"observedTimeUnixNano":"%d"'}
_IDS = {0x4A: b'"traceId":"%b"', 0x52: b'"spanId":"%b"'}
_TEXTS = {0x1A: b'"severityText":%b', 0x62: b'"eventName":%b'}
_MOST_INT32 = 2**31 - 1
_json_text = Memo[bytes, bytes](lambda text: msgspec.json.encode(text.decode()))


Convert = Callable[[bytes], bytes]
# The one field number of what is inside, in a request, its ResourceLogs and their ScopeLogs; all of it is delimited.
_ABOUT, _INNER, _SCHEMA_URL = 0x0A, 0x12, 0x1A


# Attributes above so many bytes (all arguments of a command) are not remembered.
_MOST_KEPT = 256
_RESOURCE = b'{"resource":%b,"scopeLogs":[%b],"schemaUrl":%b}'
_SCOPE = b'{"scope":%b,"logRecords":[%b],"schemaUrl":%b}'


class Converters:
    """What makes JSON of serialised messages: Resource, InstrumentationScope, KeyValue (remembered), AnyValue."""

    def __init__(self, resource: Convert, scope: Convert, key_value: Convert, any_value: Convert) -> None:
        self.resource, self.scope = resource, scope
        self.make_key_value, self.key_value = key_value, Memo(key_value)
        self.any_value = any_value


def logs_to_json(body: bytes, converters: Converters) -> bytes:
    """The JSON of an ExportLogsServiceRequest. Raises ValueError or IndexError for what ours do not hold."""
    resources = []
    for tag, begin, end in _fields(body, 0, len(body)):
        if tag != _ABOUT:
            raise ValueError(f"tag {tag}")
        resources.append(_holder(body, begin, end, _RESOURCE, converters))
    if not resources:
        raise ValueError("one of ours is not empty")
    return b'{"resourceLogs":[%b]}' % b",".join(resources)


def _holder(data: bytes, begin: int, end: int, form: bytes, converters: Converters) -> bytes:
    """A ResourceLogs or ScopeLogs: what it is about, what is in it, and the URL of its schema."""
    about = url = None
    inner = []
    for tag, start, stop in _fields(data, begin, end):
        if tag == _ABOUT and about is None:
            about = data[start:stop]
        elif tag == _INNER and form is _RESOURCE:
            inner.append(_holder(data, start, stop, _SCOPE, converters))
        elif tag == _INNER:
            inner.append(_record(data, start, stop, converters))
        elif tag == _SCHEMA_URL:
            url = data[start:stop]
        else:
            raise ValueError(f"tag {tag}")
    if about is None or not (inner and url):
        raise ValueError("one of ours has all three")
    convert = converters.resource if form is _RESOURCE else converters.scope
    return form % (convert(about), b",".join(inner), _json_text[url])


def _fields(data: bytes, place: int, end: int) -> Iterator[tuple[int, int, int]]:
    """The tag of each field of a message that has delimited fields only, and where its content begins and ends."""
    while place < end:
        tag = data[place]
        size, begin = read_varint(data, place + 1)
        place = begin + size
        yield tag, begin, place
    if place != end:
        raise ValueError("cut off")


def _record(data: bytes, begin: int, end: int, converters: Converters) -> bytes:
    """The JSON of the LogRecord between two places."""
    parts: list[bytes] = []
    attributes: list[bytes] = []
    known = converters.key_value
    place, last = begin, 0
    while place < end:
        tag, size = data[place], data[place + 1]
        # In the order of their numbers and, but for attributes, once: protobuf itself would merge what comes twice.
        if tag <= last and not tag == last == _ATTRIBUTE:
            raise ValueError(f"tag {tag} after {last}")
        last = tag
        if tag in _TIMES:
            parts.append(_TIMES[tag] % unpack_from("<Q", data, place + 1)[0])
            place += 9
        elif tag == _FLAGS:
            parts.append(b'"flags":%d' % unpack_from("<I", data, place + 1)[0])
            place += 5
        elif tag == _SEVERITY_NUMBER:
            number, place = read_varint(data, place + 1)
            if number > _MOST_INT32:
                raise ValueError(f"severity {number}")
            parts.append(b'"severityNumber":%d' % number)
        else:
            size, begin = (size, place + 2) if size < 0x80 else read_varint(data, place + 1)
            place = begin + size
            content = data[begin:place]
            if tag != _ATTRIBUTE:
                parts.append(_other(tag, content, converters))
                continue
            if not attributes:
                where = len(parts)
                parts.append(b"")
            attributes.append(known[content] if size <= _MOST_KEPT else converters.make_key_value(content))
    if place != end:
        raise ValueError("cut off")
    if attributes:
        parts[where] = b'"attributes":[%b]' % b",".join(attributes)
    return b"{%b}" % b",".join(parts)


def _other(tag: int, content: bytes, converters: Converters) -> bytes:
    if tag == _BODY:
        return b'"body":' + converters.any_value(content)
    if tag in _IDS:
        return _IDS[tag] % content.hex().encode()
    if tag in _TEXTS:
        return _TEXTS[tag] % _json_text[content]
    raise ValueError(f"tag {tag}")
