"""OTLP/gRPC by grpcio's public API: the bytes of a request pass through as they are."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

# Read when the library loads. Its fork handlers complain on stderr whenever bpftrace is started; its C++ log repeats
# there what the outcome says.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

import grpc
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped]

from config.otlp import OtlpSettings, Signal, SignalEndpoint
from orchestrator import __version__
from orchestrator.delivery import transports
from orchestrator.delivery.transport import Outcome, Request, Status

__all__ = ("GrpcTransport",)

_SERVICES: dict[Signal, str] = {
    "logs": "logs.v1.LogsService",
    "metrics": "metrics.v1.MetricsService",
    "traces": "trace.v1.TraceService",
    "profiles": "profiles.v1development.ProfilesService",
}
# RESOURCE_EXHAUSTED is retryable too, but only if the receiver says with RetryInfo that it can recover.
_RETRYABLE = frozenset(
    {
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)
_MENDS = {
    grpc.StatusCode.UNAUTHENTICATED: transports.CREDENTIALS,
    grpc.StatusCode.PERMISSION_DENIED: transports.CREDENTIALS,
    grpc.StatusCode.RESOURCE_EXHAUSTED: "the receiver's limit for a request may be too low for this batch",
}
# What UNAVAILABLE says of a connection that will fail next time too: `failed to connect to all addresses; last error:
# INTERNAL: ipv4:127.0.0.1:4318: Failed parsing HTTP/2 (Expected SETTINGS frame as the first frame, got frame type 80)
# (Trying to connect an http1.x server (HTTP status 400))`. A refused connection says `Connection refused` there.
_FAILED_TO_CONNECT = "failed to connect"
_HOPELESS = (
    ("http1.x server", "this looks like an HTTP port: use --otlp-protocol http/protobuf"),
    ("Failed parsing HTTP/2", "this looks like an HTTP port: use --otlp-protocol http/protobuf"),
    ("WRONG_VERSION_NUMBER", "it speaks no TLS: use http://"),
    ("CERTIFICATE_VERIFY_FAILED", transports.NOT_TRUSTED),
    ("Hostname Verification", "its certificate is for another name"),
)
# The same may come from a balancer without backends, so it is tried again.
_DOUBTFUL = (
    ("Socket closed", "if it wants TLS, use https://; if a client certificate, OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE"),
)
_OPTIONS = (
    ("grpc.primary_user_agent", f"bpftrace-orchestrator/{__version__}"),
    ("grpc.enable_retries", 0),
    # By default two minutes, in which our own attempts would fail without being made.
    ("grpc.max_reconnect_backoff_ms", 5000),
)


class GrpcTransport:
    """Calls ``Export``; signals with the same target and credentials share a connection."""

    def __init__(self, settings: OtlpSettings) -> None:
        self.endpoint = transports.shown_endpoints(settings)
        self._signals = settings.signals
        self._channels: dict[object, grpc.Channel] = {}
        self._exports = {signal: self._export_call(signal, endpoint) for signal, endpoint in settings.signals.items()}

    def send(self, request: Request, timeout: float) -> Outcome:
        """Try to deliver ``request`` within ``timeout`` seconds, or those of OTEL_EXPORTER_OTLP_TIMEOUT if fewer."""
        endpoint = self._signals.get(request.signal)
        if endpoint is None:
            return transports.no_endpoint(request)
        is_gzip = endpoint.compression == "gzip"
        try:
            response = self._exports[request.signal](
                request.body,
                timeout=max(min(timeout, endpoint.timeout), 0.001),
                metadata=_metadata(endpoint),
                compression=grpc.Compression.Gzip if is_gzip else grpc.Compression.NoCompression,
            )
        except grpc.RpcError as error:
            return _explain(request, endpoint, error)
        return transports.accepted(request, endpoint, response)

    def close(self) -> None:
        """Release connections."""
        for channel in self._channels.values():
            channel.close()

    def _export_call(self, signal: Signal, endpoint: SignalEndpoint) -> Callable[..., Any]:
        key = (endpoint.target, endpoint.credentials)
        if key not in self._channels:
            self._channels[key] = _open_channel(endpoint)
        path = f"/opentelemetry.proto.collector.{_SERVICES[signal]}/Export"
        decode = transports.response_type(signal).FromString
        return self._channels[key].unary_unary(path, request_serializer=None, response_deserializer=decode)


def _open_channel(endpoint: SignalEndpoint) -> grpc.Channel:
    if not endpoint.tls:
        return grpc.insecure_channel(endpoint.target, options=_OPTIONS)
    transports.tls_context(endpoint)  # gRPC never says which file is bad, and only when it connects
    credentials = grpc.ssl_channel_credentials(
        root_certificates=_read(endpoint.certificate),
        private_key=_read(endpoint.client_certificate and (endpoint.client_key or endpoint.client_certificate)),
        certificate_chain=_read(endpoint.client_certificate),
    )
    return grpc.secure_channel(endpoint.target, credentials, options=_OPTIONS)


def _read(path: str | None) -> bytes | None:
    if path is None:
        return None
    with open(path, "rb") as file:
        return file.read()


def _metadata(endpoint: SignalEndpoint) -> tuple[tuple[str, str | bytes], ...]:
    """Headers as gRPC takes them: lower-case keys, and bytes for the keys that end in ``-bin``."""
    headers = ((key.lower(), value) for key, value in endpoint.headers.items())
    return tuple((key, value.encode() if key.endswith("-bin") else value) for key, value in headers)


def _explain(request: Request, endpoint: SignalEndpoint, error: grpc.RpcError) -> Outcome:
    code, detail = error.code(), error.details() or ""
    message = f"{endpoint.target}: {code.name}: {transports.clean(detail, endpoint)}"
    if code is grpc.StatusCode.UNIMPLEMENTED:
        missing = f"the receiver has no {request.signal} service ({transports.clean(detail, endpoint)})"
        return transports.unsupported(request, f"{endpoint.target}: {missing}")
    is_connecting = code is grpc.StatusCode.UNAVAILABLE and detail.startswith(_FAILED_TO_CONNECT)
    if is_connecting and (mend := transports.look_up(_HOPELESS, detail)):
        return transports.rejected(request, f"{message}; {mend}")
    delay = _retry_delay(error)
    if code in _RETRYABLE or (code is grpc.StatusCode.RESOURCE_EXHAUSTED and delay is not None):
        doubt = transports.look_up(_DOUBTFUL, detail) if is_connecting else None
        return Outcome(Status.RETRYABLE, 0, f"{message}; {doubt}" if doubt else message, delay)
    return transports.rejected(request, f"{message}; {_MENDS[code]}" if code in _MENDS else message)


def _retry_delay(error: grpc.RpcError) -> float | None:
    """Seconds of the RetryInfo among the details of the google.rpc.Status that the receiver may send."""
    trailers: Any = error.trailing_metadata() or ()
    for key, value in trailers:
        if key == "grpc-status-details-bin":
            for detail in transports.rpc_status(value).details:
                if detail.Is(RetryInfo.DESCRIPTOR):
                    return _seconds(detail.value)
    return None


def _seconds(retry_info: bytes) -> float | None:
    try:
        delay = RetryInfo.FromString(retry_info).retry_delay
    except DecodeError:
        return None
    return max(float(delay.seconds + delay.nanos / 1e9), 0.0)
