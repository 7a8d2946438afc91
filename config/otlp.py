"""Where OTLP goes: the only module that reads ``OTEL_*`` variables.

The specification's "OpenTelemetry Protocol Exporter" page has the rules; a variable of one signal
(``OTEL_EXPORTER_OTLP_LOGS_TIMEOUT``) beats the general one, an empty one is unset. Where it leaves a choice:
- An endpoint without a scheme (``backend:4317``) is plain text, as the Collector's own listeners are unless they are
  told otherwise; ``OTEL_EXPORTER_OTLP_INSECURE=false`` makes it TLS. A scheme always decides.
- When nothing names a protocol, port 4317 means gRPC, whose port it is; all else is http/protobuf. A run has one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar, get_args
from urllib.parse import SplitResult, unquote, urlsplit

from config.errors import ConfigError

__all__ = ("Compression", "OtlpSettings", "Protocol", "Signal", "SignalEndpoint", "by_target", "load_otlp_settings")

T = TypeVar("T")
Signal = Literal["logs", "metrics", "traces", "profiles"]
Protocol = Literal["grpc", "http/protobuf", "http/json"]
Compression = Literal["none", "gzip"]

_LEAST_SECRET = 6  # what is shorter is the name of a tenant, and stands everywhere
_URL_PORTS = {"http": 80, "https": 443}
_PORTS: dict[Protocol, int] = {"grpc": 4317, "http/protobuf": 4318, "http/json": 4318}
_ON_GRPC_PORT = re.compile(r"(\w+://)?[^/?#]*:4317([/?#]|$)")
# gRPC's own names (`unix:///run/otel.sock`, `dns:///backend:4317`); `dns:4317` is a host and its port.
_GRPC_NAME = re.compile(r"(unix|unix-abstract|vsock|dns|ipv4|ipv6|xds):(?!\d+$).+")


@dataclass(frozen=True, slots=True)
class SignalEndpoint:
    """Where and how one signal is sent, ``timeout`` in seconds. ``insecure`` counts where the URL does not say."""

    url: str
    insecure: bool = True
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    compression: Compression = "none"
    timeout: float = 10.0
    certificate: str | None = None
    client_key: str | None = None
    client_certificate: str | None = None

    @property
    def tls(self) -> bool:
        """Whether the connection is encrypted."""
        return {"http": False, "https": True}.get(urlsplit(self.url).scheme, not self.insecure)

    @property
    def target(self) -> str:
        """``host:port``, as gRPC wants it; its own names (``unix:///run/otel.sock``) as they are."""
        url = urlsplit(self.url)
        port = _URL_PORTS.get(url.scheme)
        return self.url if port is None else url.netloc if url.port else f"{url.netloc.rstrip(':')}:{port}"

    @property
    def credentials(self) -> tuple[bool, str | None, str | None, str | None]:
        """What a connection depends on besides its target."""
        return self.tls, self.certificate, self.client_key, self.client_certificate

    def redact(self, text: str) -> str:
        """``text`` from outside without what we sent in secret: receivers and proxies repeat headers and queries."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text

    @property
    def _secrets(self) -> list[str]:
        """The values of headers, also without their scheme (``Bearer``), and of the query; the longest first."""
        values = [part for value in self.headers.values() for part in (value, value.rpartition(" ")[2])]
        for _, equals, value in (pair.partition("=") for pair in urlsplit(self.url).query.split("&")):
            values += [value, unquote(value)] if equals else []
        return sorted({value for value in values if len(value) >= _LEAST_SECRET}, key=len, reverse=True)

    @property
    def shown(self) -> str:
        """The URL for messages: without its query, which may hold a token."""
        return self.url.partition("?")[0]


@dataclass(frozen=True, slots=True)
class OtlpSettings:
    """One protocol for all, and the endpoint of every signal that has one."""

    protocol: Protocol
    signals: dict[Signal, SignalEndpoint]


def by_target(settings: OtlpSettings) -> list[OtlpSettings]:
    """The settings of each address by themselves, in the order of the signals."""
    found: dict[str, dict[Signal, SignalEndpoint]] = {}
    for signal, endpoint in settings.signals.items():
        found.setdefault(endpoint.target, {})[signal] = endpoint
    return [OtlpSettings(settings.protocol, signals) for signals in found.values()]


@dataclass(frozen=True, slots=True)
class _Given:
    """A value and the flag or variable that it came from."""

    source: str
    value: str

    def wrong(self, expected: str) -> ConfigError:
        return ConfigError(f"{self.source}: {self.value!r} is wrong; expected {expected}")


def load_otlp_settings(
    environ: Mapping[str, str], endpoint: str | None, protocol: str | None, source: str = "--otlp-"
) -> OtlpSettings | None:
    """Read the variables; ``endpoint`` and ``protocol`` beat them. None: no endpoint given.

    Messages call these two ``source`` with their names behind it: flags, unless they stand in a file.

    Raises:
        ConfigError: it names the flag or variable, its value (never a header's) and what was expected.
    """
    flag = None if endpoint is None else _Given(f"{source}endpoint", endpoint.strip())
    chosen = None if protocol is None else _read_protocol(_Given(f"{source}protocol", protocol))
    given = {signal: found for signal in get_args(Signal) if (found := flag or _variable(environ, signal, "ENDPOINT"))}
    if not given:
        return None
    chosen = chosen or _agreed_protocol({signal: _wanted(environ, signal, value) for signal, value in given.items()})
    return OtlpSettings(chosen, {signal: _settle(environ, signal, value, chosen) for signal, value in given.items()})


def _variable(environ: Mapping[str, str], signal: Signal, name: str) -> _Given | None:
    for variable in (f"OTEL_EXPORTER_OTLP_{signal.upper()}_{name}", f"OTEL_EXPORTER_OTLP_{name}"):
        if value := environ.get(variable, "").strip():
            return _Given(variable, value)
    return None


def _wanted(environ: Mapping[str, str], signal: Signal, endpoint: _Given) -> Protocol:
    if variable := _variable(environ, signal, "PROTOCOL"):
        return _read_protocol(variable)
    is_grpc = _ON_GRPC_PORT.match(endpoint.value) or _GRPC_NAME.fullmatch(endpoint.value)
    return "grpc" if is_grpc else "http/protobuf"


def _agreed_protocol(wanted: dict[Signal, Protocol]) -> Protocol:
    if len(set(wanted.values())) > 1:
        shown = ", ".join(f"{signal}: {protocol}" for signal, protocol in wanted.items())
        raise ConfigError(f"OTEL_EXPORTER_OTLP_PROTOCOL: {shown}; expected one for all (--otlp-protocol decides)")
    return next(iter(wanted.values()))


def _settle(environ: Mapping[str, str], signal: Signal, endpoint: _Given, protocol: Protocol) -> SignalEndpoint:
    given = {name: found for name in _READERS if (found := _variable(environ, signal, name.upper()))}
    if "client_key" in given and "client_certificate" not in given:
        raise given["client_key"].wrong("its certificate too, in OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE")
    options = {name: _READERS[name](value) for name, value in given.items()}
    if protocol == "grpc" and _GRPC_NAME.fullmatch(endpoint.value):
        return SignalEndpoint(endpoint.value, **options)
    url = _split_url(endpoint, "http" if options.get("insecure", True) else "https", _PORTS[protocol])
    if protocol != "grpc" and endpoint.source != f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT":
        version = "v1development" if signal == "profiles" else "v1"
        url = url._replace(path=f"{url.path.rstrip('/')}/{version}/{signal}")
    return SignalEndpoint(url.geturl(), **options)


def _split_url(given: _Given, scheme: str, port: int) -> SplitResult:
    """Split a URL, or a ``host[:port]`` to which ``scheme`` and ``port`` are added."""
    bare = "://" not in given.value
    try:
        url = urlsplit(f"{scheme}://{given.value}" if bare else given.value)
        is_right = url.scheme in _URL_PORTS and url.hostname and url.port != 0 and "@" not in url.netloc
    except ValueError:  # a port that is no number, a bracket too many
        is_right = False
    if not is_right or not re.fullmatch(r"[!-~]+", given.value):
        hidden = re.sub(r"^(\w+://)?.*@", r"\1***@", given.value.partition("?")[0])  # http://user:password@host
        raise _Given(given.source, hidden).wrong("[http[s]://]HOST:PORT; user and password go into ..._HEADERS")
    netloc = f"{url.netloc.rstrip(':')}:{port}" if bare and url.port is None else url.netloc
    return url._replace(netloc=netloc, fragment="")


def _read_headers(given: _Given) -> dict[str, str]:
    """Read ``k=v,k2=v2``; values are percent-encoded. Errors give the place and not the text: it may be a secret."""
    headers = {}
    for place, pair in enumerate(given.value.strip(",").split(","), 1):
        key, equals, value = (part.strip() for part in pair.partition("="))
        key, value = key.lower(), unquote(value)
        if not equals or not re.fullmatch(r"[a-z0-9_.-]+", key) or not (value.isascii() and value.isprintable()):
            expected = "name=value, the name of letters, digits and -_. and the value percent-encoded printable ASCII"
            raise ConfigError(f"{given.source}: pair {place} is wrong; expected {expected}")
        headers[key] = value
    return headers


def _read_timeout(given: _Given) -> float:
    if not re.fullmatch(r"[0-9]{1,9}", given.value) or int(given.value) == 0:
        raise given.wrong("a positive whole number of milliseconds")
    return int(given.value) / 1000


def _read_file(given: _Given) -> str:
    try:
        with open(given.value, "rb"):
            return given.value
    except OSError as error:
        raise given.wrong(f"a PEM file that can be read ({error.strerror})") from None


def _one_of(choices: Mapping[str, T]) -> Callable[[_Given], T]:
    def read(given: _Given) -> T:
        if given.value.lower() not in choices:
            raise given.wrong(f"one of {', '.join(choices)}")
        return choices[given.value.lower()]

    return read


_read_protocol: Callable[[_Given], Protocol] = _one_of({protocol: protocol for protocol in get_args(Protocol)})
_READERS: dict[str, Callable[[_Given], Any]] = {
    "insecure": _one_of({"true": True, "false": False}),
    "certificate": _read_file,
    "client_key": _read_file,
    "client_certificate": _read_file,
    "headers": _read_headers,
    "compression": _one_of({choice: choice for choice in get_args(Compression)}),
    "timeout": _read_timeout,
}
