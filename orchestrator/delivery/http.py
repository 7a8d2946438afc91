"""OTLP/HTTP, protobuf or JSON, by urllib3.

Retries and redirects are ours to judge, so urllib3 does neither. Nothing but the settings says whom to trust or
where to send: no proxy, ``.netrc`` or REQUESTS_CA_BUNDLE of the environment.
"""

from __future__ import annotations

import errno
import gzip
import json
import re
import ssl
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from email.utils import parsedate_to_datetime
from http.client import BadStatusLine

import urllib3
from google.protobuf.json_format import Parse, ParseError
from google.protobuf.message import DecodeError
from urllib3.exceptions import HTTPError, NewConnectionError
from urllib3.exceptions import TimeoutError as NoAnswer

from config.otlp import OtlpSettings, SignalEndpoint
from orchestrator import __version__
from orchestrator.delivery import transports
from orchestrator.delivery.transport import Outcome, Request, Status

__all__ = ("HttpTransport",)

# "MUST limit responses": 4 MiB, as gRPC has it.
_MAX_ANSWER = 4 << 20
# Below that many bytes a piece of a request waits for the next one.
_SMALL = 1 << 14
_RETRYABLE = frozenset({429, 502, 503, 504})
_USE_GRPC = "this looks like a gRPC port: use --otlp-protocol grpc"
_NOT_FOUND = "is the path right, and is this an OTLP endpoint that takes this signal?"
_MENDS = {
    401: transports.CREDENTIALS,
    403: transports.CREDENTIALS,
    405: "is the path right, and is this an OTLP endpoint?",
    413: "the receiver's limit for a request is too low for this batch",
    415: "try another --otlp-protocol: http/protobuf, http/json or grpc",
    426: _USE_GRPC,
    464: _USE_GRPC,  # AWS load balancers: the target group speaks another HTTP version
    505: _USE_GRPC,
}
_PLAIN = "it speaks no TLS: use http://"
_CLIENT = "it refuses our client certificate or the lack of one: set OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE"
_TLS_MENDS = (
    ("CERTIFICATE_VERIFY_FAILED", transports.NOT_TRUSTED),
    ("APPLICATION_PROTOCOL", _USE_GRPC),
    ("ALERT_CERTIFICATE", _CLIENT),
    ("ALERT_BAD_CERTIFICATE", _CLIENT),
    ("ALERT_UNKNOWN_CA", _CLIENT),
    ("WRONG_VERSION", _PLAIN),
    ("RECORD_LAYER", _PLAIN),  # OpenSSL 3.2 and later say it so
)
# How what is no HTTP begins: an HTTP/2 SETTINGS frame (its length first), or a TLS alert.
_FOREIGN = (("\0\0", _USE_GRPC), ("\x15\3", "it speaks TLS: use https://"))
_NEVER_ANSWERED = "gRPC ports do that (--otlp-protocol grpc), and receivers that want TLS or a client certificate"


class HttpTransport:
    """POSTs requests over connections that it keeps."""

    def __init__(self, settings: OtlpSettings) -> None:
        self.endpoint = transports.shown_endpoints(settings)
        self._signals = settings.signals
        self._is_json = settings.protocol == "http/json"
        self._pools: dict[object, urllib3.PoolManager] = {}
        for endpoint in settings.signals.values():
            if endpoint.credentials not in self._pools:
                self._pools[endpoint.credentials] = _open_pool(endpoint)
        self._answered: set[str] = set()

    def send(self, request: Request, timeout: float) -> Outcome:
        """Try to deliver ``request`` within ``timeout`` seconds, or those of OTEL_EXPORTER_OTLP_TIMEOUT if fewer."""
        endpoint = self._signals.get(request.signal)
        if endpoint is None:
            return transports.no_endpoint(request)
        try:
            response = self._post(request, endpoint, timeout)
            body = _read(response)
        except (HTTPError, OSError) as error:
            return self._explain(request, endpoint, error)
        self._answered.add(endpoint.url)
        if 200 <= response.status < 300:
            return _accept(request, endpoint, response, body)
        return _refuse(request, endpoint, response, body or b"")

    def close(self) -> None:
        """Release connections."""
        for pool in self._pools.values():
            pool.clear()

    def _post(self, request: Request, endpoint: SignalEndpoint, timeout: float) -> urllib3.BaseHTTPResponse:
        headers = {"user-agent": f"bpftrace-orchestrator/{__version__}", **endpoint.headers}
        headers["content-type"] = "application/json" if self._is_json else "application/x-protobuf"
        pieces = request.pieces
        if self._is_json:
            from orchestrator.otlp.json_format import to_json  # noqa: PLC0415  # protobuf does not need it

            pieces = [to_json(request.signal, request.body)]
        if endpoint.compression == "gzip":
            # A fifth of the CPU of level 9 for a tenth more bytes.
            pieces = [gzip.compress(b"".join(pieces), compresslevel=1)]
            headers["content-encoding"] = "gzip"
        headers["content-length"] = str(sum(map(len, pieces)))
        seconds = max(min(timeout, endpoint.timeout), 0.001)
        return self._pools[endpoint.credentials].request(
            "POST",
            endpoint.url,
            body=_together(pieces, time.monotonic() + seconds),
            headers=headers,
            timeout=urllib3.Timeout(total=seconds),
            retries=False,
            redirect=False,
            preload_content=False,
        )

    def _explain(self, request: Request, endpoint: SignalEndpoint, error: Exception) -> Outcome:
        """Tell what may pass from what needs a person."""
        if isinstance(error, NoAnswer) and not isinstance(error, NewConnectionError):
            return Outcome(Status.RETRYABLE, 0, f"{endpoint.shown}: no answer in time")
        cause = error.__cause__ or next((part for part in reversed(error.args) if isinstance(part, Exception)), error)
        is_cut = isinstance(cause, (ConnectionResetError, BrokenPipeError, ssl.SSLEOFError))
        if isinstance(cause, BadStatusLine) and not is_cut:
            # Such a peer hangs up at once: whether its bytes or a reset are seen is chance, and both are tried again.
            foreign = transports.look_up(_FOREIGN, str(cause)[:4]) or "is the port right?"
            return Outcome(Status.RETRYABLE, 0, f"{endpoint.shown}: no HTTP came back; {foreign}")
        message = f"{endpoint.shown}: {transports.clean(_words(cause), endpoint)}"
        if isinstance(cause, ssl.SSLError) and (mend := transports.look_up(_TLS_MENDS, cause.reason or "")):
            return transports.rejected(request, f"{message}; {mend}")
        doubt = f"; {_NEVER_ANSWERED}" if is_cut and endpoint.url not in self._answered else ""
        return Outcome(Status.RETRYABLE, 0, message + doubt)


def _together(pieces: Iterable[bytes], deadline: float) -> Iterator[bytes]:
    """The same bytes, small pieces not by themselves: each is sent with a system call of its own.

    Raises TimeoutError after ``deadline`` (monotonic seconds): a receiver may take each in time, and never all.
    """
    waiting: list[bytes] = []
    size = 0
    for piece in pieces:
        waiting.append(piece)
        size += len(piece)
        if size >= _SMALL:
            if time.monotonic() > deadline:
                raise TimeoutError(errno.ETIMEDOUT, "timed out")
            yield b"".join(waiting)
            waiting, size = [], 0
    if waiting:
        yield b"".join(waiting)


def _words(cause: BaseException) -> str:
    """``Connection refused``, without the number before it."""
    if isinstance(cause, OSError) and not isinstance(cause, ssl.SSLError):
        return cause.strerror or str(cause)
    return str(cause)


def _open_pool(endpoint: SignalEndpoint) -> urllib3.PoolManager:
    return urllib3.PoolManager(ssl_context=transports.tls_context(endpoint)) if endpoint.tls else urllib3.PoolManager()


def _read(response: urllib3.BaseHTTPResponse) -> bytes | None:
    """Return the body, None above the limit. Not decompressed: we accept identity, and a bomb stays packed."""
    body = b""
    while len(body) <= _MAX_ANSWER:
        chunk = response.read(_MAX_ANSWER + 1, decode_content=False)
        if not chunk:  # urllib3 raises here, and not before, if the body is shorter than announced
            response.release_conn()
            return body
        body += chunk
    response.close()
    return None


def _is_of_type(response: urllib3.BaseHTTPResponse, kind: str) -> bool:
    return response.headers.get("content-type", "").lower().startswith(kind)


def _accept(
    request: Request, endpoint: SignalEndpoint, response: urllib3.BaseHTTPResponse, body: bytes | None
) -> Outcome:
    """Read the answer; some receivers answer in protobuf with JSON and the other way round, so its own type counts."""
    if _is_of_type(response, "text/html"):  # a login page or a proxy's: whoever answered took no telemetry
        page = f"{endpoint.shown} answered {response.status} with a web page: is this an OTLP endpoint?"
        return transports.rejected(request, page)
    answer = transports.response_type(request.signal)()
    try:
        if _is_of_type(response, "application/json"):
            Parse(body or b"{}", answer, ignore_unknown_fields=True)
        else:
            answer.ParseFromString(body)
    except (ParseError, DecodeError, ValueError, TypeError):  # TypeError: no body, as it was too large
        unread = f"{endpoint.shown} answered {response.status}, but in no OTLP: is this an OTLP endpoint?"
        return Outcome(Status.ACCEPTED, 0, unread)
    return transports.accepted(request, endpoint, answer)


def _refuse(request: Request, endpoint: SignalEndpoint, response: urllib3.BaseHTTPResponse, body: bytes) -> Outcome:
    detail = transports.clean(_detail(response, body), endpoint)
    message = f"{endpoint.shown} answered {response.status}{': ' if detail else ''}{detail}"
    if response.status in _RETRYABLE:
        return Outcome(Status.RETRYABLE, 0, message, _retry_after(response.headers.get("retry-after", "")))
    if 300 <= response.status < 400:
        location = transports.clean(response.headers.get("location", "nowhere"), endpoint)
        message += f"; it redirects to {location}: nothing was sent there, give that address as the endpoint"
    elif _is_of_type(response, "application/grpc"):
        message += f"; {_USE_GRPC}"
    elif response.status == 404:
        return transports.unsupported(request, message, _NOT_FOUND)
    elif mend := _MENDS.get(response.status):
        message += f"; {mend}"
    return transports.rejected(request, message)


def _detail(response: urllib3.BaseHTTPResponse, body: bytes) -> str:
    """What google.rpc.Status says, in protobuf or JSON, or else the first line of a text."""
    if _is_of_type(response, "text/html"):
        return ""
    if _is_of_type(response, "application/json"):
        with suppress(ValueError, KeyError, TypeError, RecursionError):
            return str(json.loads(body)["message"])
    return transports.rpc_status(body).message or next(iter(body[:1000].decode("utf-8", "replace").splitlines()), "")


def _retry_after(text: str) -> float | None:
    """Seconds, or an HTTP-date: ``Wed, 21 Oct 2026 07:28:00 GMT``."""
    if re.fullmatch(r"[0-9]{1,9}", text.strip()):
        return float(text)
    with suppress(ValueError, OverflowError):
        return max(parsedate_to_datetime(text).timestamp() - time.time(), 0.0)
    return None
