"""An HTTP exchange -> the attributes of its span, by the semantic conventions for HTTP (1.44, all stable but sizes)."""

from __future__ import annotations

import re
from collections.abc import Mapping

from orchestrator.signals.http_decoders import METHODS, OTHER_METHOD, redacted_query
from orchestrator.signals.logs import TRUNCATED
from orchestrator.signals.model import AttributeValue
from parsers.http1 import Exchange

__all__ = ("Http",)

# example.com, example.com:8080, [::1]:8080; anything else that a client sends as its host may hold a secret.
_AUTHORITY = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._~-]{1,255})(?::(?P<port>\d{1,5}))?", re.ASCII)
# http://user:password@host/path?query
_ABSOLUTE = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)")
_QUERY = re.compile(r"[?#]")
_WHOLE_QUERY = 2  # the option's number
_CREDENTIALS = "REDACTED:REDACTED@"
_PORTS = {"http": 80, "https": 443}
# What a connection that closed too early leaves; the conventions leave the words to the instrumentation.
_NO_ANSWER, _HALF_AN_ANSWER = "no_response", "incomplete_response"

Attributes = dict[str, AttributeValue]


class Http:
    """Describes exchanges. Option ``query``: 0 leaves the query out, 1 its values, 2 has all of it."""

    def __init__(self, options: Mapping[str, int | str]) -> None:
        self._query = int(options.get("query", 1))

    def describe(self, exchange: Exchange, begun: Mapping[str, AttributeValue]) -> tuple[Attributes, Attributes]:
        """The attributes of its span, and fields that rules may use: method and traceparent.

        ``begun``: the attributes of the segment with which it began, its process and addresses.
        """
        attributes: Attributes = dict(begun)
        method = exchange.method if exchange.method in METHODS else OTHER_METHOD
        attributes["http.request.method"] = method
        if method == OTHER_METHOD:
            attributes["http.request.method_original"] = exchange.method
        absolute = _ABSOLUTE.match(exchange.target)
        query = self._query_of(exchange.target)
        if method != "CONNECT":
            attributes.update(_target(exchange.target, absolute, query))
        attributes.update(_server_of(exchange, absolute, attributes))
        if not exchange.server:
            attributes["url.full"] = _full(exchange, absolute, query, attributes)
        attributes.update(_answer(exchange))
        if exchange.version:
            attributes["network.protocol.version"] = exchange.version
        if agent := exchange.request_headers.get("user-agent"):
            attributes["user_agent.original"] = agent
        if exchange.server and (peer := attributes.get("network.peer.address")) is not None:
            attributes["client.address"] = peer
        if unsure := _unsure(exchange):
            attributes[TRUNCATED] = unsure
        fields: Attributes = {"method": "HTTP" if method == OTHER_METHOD else method}
        if len(exchange.traceparent) == 1:
            fields["traceparent"] = exchange.traceparent[0]
        return attributes, fields

    def _query_of(self, target: str) -> str:
        """As much of the query as is wanted."""
        if not self._query:
            return ""
        query = target.partition("#")[0].partition("?")[2]
        return query if self._query == _WHOLE_QUERY else redacted_query(query)


def _path(target: str, absolute: re.Match[str] | None) -> str:
    return _QUERY.split(target[absolute.end() :] if absolute else target, maxsplit=1)[0]


def _target(target: str, absolute: re.Match[str] | None, query: str) -> Attributes:
    found: Attributes = {"url.scheme": absolute["scheme"].lower() if absolute else "http"}
    path = _path(target, absolute)
    if absolute and not path:
        path = "/"
    if path.startswith("/"):
        found["url.path"] = path
    if query:
        found["url.query"] = query
    return found


def _full(exchange: Exchange, absolute: re.Match[str] | None, query: str, attributes: Attributes) -> str:
    """The URL without credentials, and with as much of its query as is wanted; of a CONNECT only where it leads."""
    target = exchange.target
    if exchange.method == "CONNECT":
        return target.rpartition("@")[2]
    if absolute is not None:
        user, at, host = absolute["authority"].rpartition("@")
        authority = f"{_CREDENTIALS if at and user else ''}{host}"
        base = f"{absolute['scheme']}://{authority}"
    else:
        host = exchange.request_headers.get("host", "")
        base = f"http://{host if _AUTHORITY.fullmatch(host) else _peer(attributes)}"
    path = _path(target, absolute)
    return f"{base}{path if path.startswith('/') else ''}{'?' + query if query else ''}"


def _peer(attributes: Attributes) -> str:
    address, port = attributes.get("network.peer.address", ""), attributes.get("network.peer.port", _PORTS["http"])
    return f"[{address}]:{port}" if ":" in str(address) else f"{address}:{port}"


def _server_of(exchange: Exchange, absolute: re.Match[str] | None, attributes: Attributes) -> Attributes:
    """Whom the client means: by the URL or Host, else the address of the connection."""
    side = "local" if exchange.server else "peer"
    address, port = attributes.get(f"network.{side}.address"), attributes.get(f"network.{side}.port")
    if exchange.method == "CONNECT":
        named = exchange.target
    else:
        named = absolute["authority"] if absolute else exchange.request_headers.get("host", "")
    match = _AUTHORITY.fullmatch(named.rpartition("@")[2])
    if match:
        address = match["host"].strip("[]")
        if match["port"]:
            port = int(match["port"])
        elif absolute:
            port = _PORTS.get(absolute["scheme"].lower(), port)
    found = {"server.address": address, "server.port": port}
    return {name: value for name, value in found.items() if value is not None}


def _answer(exchange: Exchange) -> Attributes:
    """Status and sizes. A server's answer is its failure from 500 on, a client's from 400 on."""
    sizes = {
        "http.request.size": exchange.request_size,
        "http.response.size": exchange.response_size,
        "http.request.body.size": exchange.request_body_size,
        "http.response.body.size": exchange.response_body_size,
    }
    found: Attributes = {name: size for name, size in sizes.items() if size is not None}
    if exchange.status is None:
        found["error.type"] = _NO_ANSWER
        return found
    found["http.response.status_code"] = exchange.status
    if exchange.status >= (500 if exchange.server else 400):
        found["error.type"] = str(exchange.status)
    elif exchange.aborted:
        found["error.type"] = _HALF_AN_ANSWER
    return found


def _unsure(exchange: Exchange) -> list[str]:
    """What may not be whole: a target that was cut, and an end that nobody saw."""
    return [
        *(["url.path"] if not exchange.version else []),
        *(["ebpf.duration"] if exchange.status is not None and not (exchange.complete or exchange.aborted) else []),
    ]
