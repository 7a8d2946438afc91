"""Which transport a protocol needs, and what all of them share: TLS, and reading what a receiver says."""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from typing import Any

from google.protobuf.message import DecodeError
from google.rpc.status_pb2 import Status as RpcStatus  # type: ignore[import-untyped]
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.profiles.v1development.profiles_service_pb2 import ExportProfilesServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from config.errors import ConfigError
from config.otlp import OtlpSettings, Signal, SignalEndpoint
from orchestrator.delivery.transport import Outcome, Request, Status, Transport
from orchestrator.text import printable

__all__ = (
    "CREDENTIALS",
    "NOT_TRUSTED",
    "accepted",
    "clean",
    "look_up",
    "no_endpoint",
    "open_transport",
    "rejected",
    "response_type",
    "rpc_status",
    "shown_endpoints",
    "tls_context",
    "unsupported",
)

# The answer to an export, and the field of its partial_success that counts what was refused.
_ANSWERS: dict[Signal, tuple[type[Any], str]] = {
    "logs": (ExportLogsServiceResponse, "rejected_log_records"),
    "metrics": (ExportMetricsServiceResponse, "rejected_data_points"),
    "traces": (ExportTraceServiceResponse, "rejected_spans"),
    "profiles": (ExportProfilesServiceResponse, "rejected_profiles"),
}
_SHOWN_CHARS = 200
_NO_PROFILES = (
    "it takes no profiles: a Collector does with --feature-gates=service.profilesSupport and a pipeline for them"
)
CREDENTIALS = "are the credentials in OTEL_EXPORTER_OTLP_HEADERS right?"
NOT_TRUSTED = "its certificate is not trusted: name its authority in OTEL_EXPORTER_OTLP_CERTIFICATE"


def open_transport(settings: OtlpSettings) -> Transport:
    """Return the transport of the protocol; only its own library is imported.

    Raises:
        ConfigError: a certificate or key cannot be used.
    """
    if settings.protocol == "grpc":
        from orchestrator.delivery.grpc import GrpcTransport  # noqa: PLC0415  # 35 ms and 7 threads

        return GrpcTransport(settings)
    from orchestrator.delivery.http import HttpTransport  # noqa: PLC0415

    return HttpTransport(settings)


def tls_context(endpoint: SignalEndpoint) -> ssl.SSLContext:
    """Verify against ``certificate`` alone, or the system's authorities; show the client certificate if there is one.

    Raises:
        ConfigError: a file does not hold what it should.
    """
    try:
        context = ssl.create_default_context(cafile=endpoint.certificate)
    except OSError as error:
        raise _unusable("CERTIFICATE", endpoint.certificate, "a PEM file of the authorities to trust", error) from None
    if endpoint.client_certificate is not None:
        try:  # without a password, even an empty one, OpenSSL would ask for it on the terminal
            context.load_cert_chain(endpoint.client_certificate, endpoint.client_key, password=lambda: "")
        except OSError as error:
            expected = "a PEM certificate, and its unencrypted key in it or in ..._CLIENT_KEY"
            raise _unusable("CLIENT_CERTIFICATE", endpoint.client_certificate, expected, error) from None
    return context


def _unusable(name: str, path: str | None, expected: str, error: OSError) -> ConfigError:
    return ConfigError(f"OTEL_EXPORTER_OTLP_{name}: {path!r} is wrong; expected {expected} ({clean(str(error))})")


def response_type(signal: Signal) -> type[Any]:
    """The protobuf class of the answer to an export."""
    return _ANSWERS[signal][0]


def accepted(request: Request, endpoint: SignalEndpoint, response: Any) -> Outcome:
    """Read partial_success. "Servers MAY also use it to convey warnings": a message and nothing refused."""
    partial = response.partial_success
    refused = min(max(getattr(partial, _ANSWERS[request.signal][1]), 0), request.items)
    said = clean(partial.error_message, endpoint)
    if refused:
        counted = f"the receiver refused {refused} of {request.items} items of {request.signal}"
        return Outcome(Status.ACCEPTED, refused, f"{counted}: {said}" if said else counted)
    return Outcome(Status.ACCEPTED, 0, f"the receiver warns about {request.signal}: {said}" if said else "")


def rpc_status(body: bytes) -> Any:
    """Return the google.rpc.Status in ``body``, an empty one if there is none."""
    status = RpcStatus()
    try:
        status.ParseFromString(body)
    except DecodeError:
        status.Clear()
    return status


def rejected(request: Request, message: str) -> Outcome:
    """All of it is lost: trying again would not help."""
    return Outcome(Status.REJECTED, request.items, message)


def unsupported(request: Request, message: str, mend: str = "") -> Outcome:
    """The receiver does not have this signal; profiles are in development, many do not have them yet: the mend then."""
    mend = _NO_PROFILES if request.signal == "profiles" else mend
    shown = f"{message}; {mend}" if mend else message
    return Outcome(Status.REJECTED, request.items, shown, missing=request.signal)


def no_endpoint(request: Request) -> Outcome:
    """Only endpoints of other signals were given."""
    variables = f"OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_{request.signal.upper()}_ENDPOINT"
    message = f"no endpoint takes {request.signal}: give --otlp-endpoint, {variables}"
    return Outcome(Status.REJECTED, request.items, message, missing=request.signal)


def shown_endpoints(settings: OtlpSettings) -> str:
    """Where the signals go, for messages: the common address, or all that there are."""
    return ", ".join(dict.fromkeys(endpoint.target for endpoint in settings.signals.values()))


def look_up(table: Iterable[tuple[str, str]], text: str) -> str | None:
    """Return the second of the first pair whose first part stands in ``text``."""
    return next((meaning for part, meaning in table if part in text), None)


def clean(text: str, endpoint: SignalEndpoint | None = None) -> str:
    """One printable line of at most 200 characters, whatever a receiver sent; without the secrets of ``endpoint``."""
    text = endpoint.redact(text) if endpoint else text
    return printable(" ".join(text.split()))[:_SHOWN_CHARS]
