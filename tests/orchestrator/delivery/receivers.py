"""Receivers in this process that answer as they are told and keep what they got."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import SHUT_WR, socket
from typing import Any

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from config.otlp import OtlpSettings, Protocol, Signal, SignalEndpoint

PATHS: dict[Signal, str] = {
    "logs": "/v1/logs",
    "metrics": "/v1/metrics",
    "traces": "/v1/traces",
    "profiles": "/v1development/profiles",
}


def settings_for(protocol: Protocol, base: str, **options: Any) -> OtlpSettings:
    """All four signals to ``base``; HTTP adds the path of each."""
    paths = {signal: "" if protocol == "grpc" else path for signal, path in PATHS.items()}
    return OtlpSettings(protocol, {signal: SignalEndpoint(base + path, **options) for signal, path in paths.items()})


@dataclass
class HttpAnswer:
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class HttpRequest:
    path: str
    headers: dict[str, str]
    body: bytes


class HttpReceiver:
    """``answers`` are given in turn, the last one for ever; ``missing`` are paths at which there is nothing."""

    def __init__(
        self, answers: list[HttpAnswer], context: ssl.SSLContext | None = None, missing: Sequence[str] = ()
    ) -> None:
        self.answers = answers
        self.requests: list[HttpRequest] = []
        self.clients: set[tuple[str, int]] = set()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {key.lower(): value for key, value in self.headers.items()}
                receiver.requests.append(HttpRequest(self.path, headers, body))
                receiver.clients.add(self.client_address)
                answers = [HttpAnswer(404, b"404 page not found")] if self.path in missing else receiver.answers
                answer = answers.pop(0) if len(answers) > 1 else answers[0]
                self.send_response(answer.status)
                for key, value in ({"Content-Length": str(len(answer.body))} | answer.headers).items():
                    self.send_header(key, value)
                self.end_headers()
                self.wfile.write(answer.body)

            def log_message(self, *args: Any) -> None:
                pass

        self._server = _Server(("127.0.0.1", 0), Handler)
        if context is not None:  # the handshake belongs to the thread of the connection
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.port: int = self._server.server_address[1]
        self.url = f"http{'s' if context else ''}://127.0.0.1:{self.port}"

    @contextmanager
    def running(self) -> Iterator[HttpReceiver]:
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away, or that fails its handshake, is what some tests want."""


@contextmanager
def http_receiver(
    *answers: HttpAnswer, context: ssl.SSLContext | None = None, missing: Sequence[str] = ()
) -> Iterator[HttpReceiver]:
    with HttpReceiver(list(answers) or [HttpAnswer()], context, missing).running() as receiver:
        yield receiver


@contextmanager
def raw_receiver(talk: Callable[[socket], None]) -> Iterator[int]:
    """Yield the port of a listener that lets ``talk`` have every connection, one after the other."""
    with closing(socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        stopped = threading.Event()

        def serve() -> None:
            while True:
                connection, _ = listener.accept()
                with closing(connection):
                    if stopped.is_set():
                        return
                    with suppress(OSError):  # the client may close first
                        talk(connection)
                        _hang_up(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        port: int = listener.getsockname()[1]
        try:
            yield port
        finally:
            stopped.set()
            with closing(socket()) as waker:
                waker.connect(("127.0.0.1", port))
            thread.join()


def _hang_up(connection: socket) -> None:
    """Close without a reset, which would take with it what the client has not read yet."""
    connection.shutdown(SHUT_WR)
    connection.settimeout(10.0)
    while connection.recv(1 << 16):
        pass


def closed_port() -> int:
    """A port that was free a moment ago."""
    with closing(socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class GrpcAnswer:
    code: grpc.StatusCode = grpc.StatusCode.OK
    message: str = ""
    details: bytes | None = None
    body: bytes = b""
    wait_for: threading.Event | None = None


@dataclass
class GrpcRequest:
    method: str
    metadata: dict[str, str | bytes]
    body: bytes
    peer: str


class GrpcReceiver(grpc.GenericRpcHandler):
    """Takes every method but those of ``missing`` services; ``answers`` are given in turn, the last one for ever."""

    def __init__(self, answers: list[GrpcAnswer], missing: Sequence[str] = ()) -> None:
        self.answers = answers
        self._missing = missing
        self.requests: list[GrpcRequest] = []
        self.port = 0

    def service(self, handler_call_details: Any) -> Any:
        if any(service in handler_call_details.method for service in self._missing):
            return None  # the library answers UNIMPLEMENTED then

        def export(body: bytes, context: Any) -> bytes:
            metadata = dict(context.invocation_metadata())
            self.requests.append(GrpcRequest(handler_call_details.method, metadata, body, context.peer()))
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            if answer.wait_for is not None:
                answer.wait_for.wait()
            if answer.details is not None:
                context.set_trailing_metadata((("grpc-status-details-bin", answer.details),))
            if answer.code is not grpc.StatusCode.OK:
                context.abort(answer.code, answer.message)
            return answer.body

        return grpc.unary_unary_rpc_method_handler(export)


@contextmanager
def grpc_receiver(
    *answers: GrpcAnswer, credentials: grpc.ServerCredentials | None = None, missing: Sequence[str] = ()
) -> Iterator[GrpcReceiver]:
    receiver = GrpcReceiver(list(answers) or [GrpcAnswer()], missing)
    pool = futures.ThreadPoolExecutor(2)
    server = grpc.server(pool, handlers=[receiver])
    if credentials is None:
        receiver.port = server.add_insecure_port("127.0.0.1:0")
    else:
        receiver.port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    try:
        yield receiver
    finally:
        server.stop(None).wait()
        pool.shutdown()


@dataclass(frozen=True)
class Identity:
    """PEM files of a certificate and its key."""

    certificate: Path
    key: Path

    def server_context(self, clients: Path | None = None) -> ssl.SSLContext:
        """For http.server; with ``clients``, only those who show a certificate of that authority may come in."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        if clients is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(clients)
        return context

    def grpc_credentials(self, clients: Path | None = None) -> grpc.ServerCredentials:
        """The same for grpc.server."""
        pair = (self.key.read_bytes(), self.certificate.read_bytes())
        return grpc.ssl_server_credentials([pair], clients.read_bytes() if clients else None, clients is not None)


class Authority:
    """Makes certificates for 127.0.0.1, or for ``address``."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.certificate = folder / f"{name}.pem"
        usage = dict.fromkeys(_USAGES, False) | {"key_cert_sign": True, "crl_sign": True}
        builder = self._builder(self._name, self._key, is_authority=True).add_extension(x509.KeyUsage(**usage), True)
        self.certificate.write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM))

    def issue(self, name: str, address: str = "127.0.0.1") -> Identity:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = self._builder(subject, key, is_authority=False).add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), False
        )
        identity = Identity(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        identity.certificate.write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM))
        identity.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return identity

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, *, is_authority: bool
    ) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.timezone.utc)
        public, issuer = key.public_key(), self._key.public_key()
        return (
            x509.CertificateBuilder(self._name, subject, public, x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(is_authority, None), True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer), False)
        )


_USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)
