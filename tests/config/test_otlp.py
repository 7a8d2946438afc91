from __future__ import annotations

from pathlib import Path

import pytest

from config.errors import ConfigError
from config.otlp import OtlpSettings, Protocol, Signal, SignalEndpoint, load_otlp_settings

BASE = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}
SIGNALS: tuple[Signal, ...] = ("logs", "metrics", "traces", "profiles")


def load(environ: dict[str, str], endpoint: str | None = None, protocol: str | None = None) -> OtlpSettings:
    settings = load_otlp_settings(environ, endpoint, protocol)
    assert settings is not None
    return settings


def logs(environ: dict[str, str], endpoint: str | None = None, protocol: str | None = None) -> SignalEndpoint:
    return load(environ, endpoint, protocol).signals["logs"]


def complaint(environ: dict[str, str], endpoint: str | None = None, protocol: str | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        load_otlp_settings(environ, endpoint, protocol)
    return str(caught.value)


@pytest.mark.parametrize("environ", [{}, {"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, {"OTEL_EXPORTER_OTLP_TIMEOUT": "5"}])
def test_without_an_endpoint_there_are_no_settings(environ: dict[str, str]) -> None:
    assert load_otlp_settings(environ, None, "grpc") is None


@pytest.mark.parametrize("base", ["http://collector:4318", "http://collector:4318/"])
def test_a_general_endpoint_gets_the_path_of_each_signal(base: str) -> None:
    settings = load({"OTEL_EXPORTER_OTLP_ENDPOINT": base})
    assert settings.protocol == "http/protobuf"
    assert {signal: endpoint.url for signal, endpoint in settings.signals.items()} == {
        "logs": "http://collector:4318/v1/logs",
        "metrics": "http://collector:4318/v1/metrics",
        "traces": "http://collector:4318/v1/traces",
        "profiles": "http://collector:4318/v1development/profiles",
    }


def test_a_general_endpoint_keeps_its_own_path_and_query() -> None:
    endpoint = logs({}, "https://backend.example/otlp/?tenant=1")
    assert endpoint.url == "https://backend.example/otlp/v1/logs?tenant=1"
    assert endpoint.shown == "https://backend.example/otlp/v1/logs"


@pytest.mark.parametrize("url", ["http://loki:3100/otlp/x", "http://loki:3100", "http://loki:3100/"])
def test_the_endpoint_of_one_signal_is_used_as_it_is(url: str) -> None:
    settings = load({**BASE, "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": url})
    assert settings.signals["logs"].url == url
    assert settings.signals["metrics"].url == "http://collector:4318/v1/metrics"


def test_only_signals_with_an_endpoint_are_sent() -> None:
    assert set(load({"OTEL_EXPORTER_OTLP_PROFILES_ENDPOINT": "http://pyroscope:4040/x"}).signals) == {"profiles"}


def test_the_flags_beat_all_variables() -> None:
    environ = {
        **BASE,
        "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "http://other/x",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json",
        "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL": "http/protobuf",
    }
    settings = load(environ, "http://flag:1", "grpc")
    assert settings.protocol == "grpc"
    assert {endpoint.target for endpoint in settings.signals.values()} == {"flag:1"}


@pytest.mark.parametrize(
    ("endpoint", "protocol"),
    [
        ("backend:4317", "grpc"),
        ("http://backend:4317", "grpc"),
        ("https://backend:4317/", "grpc"),
        ("[::1]:4317", "grpc"),
        ("unix:///run/otel.sock", "grpc"),
        ("backend:4318", "http/protobuf"),
        ("http://backend/x:4317", "http/protobuf"),
        ("http://backend:43170", "http/protobuf"),
    ],
)
def test_the_port_of_grpc_means_grpc_where_nothing_else_says(endpoint: str, protocol: Protocol) -> None:
    assert load({}, endpoint).protocol == protocol
    assert load({"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}).protocol == protocol


def test_a_protocol_given_beats_the_port() -> None:
    assert load({"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}, "backend:4317").protocol == "http/json"
    assert load({}, "backend:4317", "http/protobuf").protocol == "http/protobuf"


def test_signals_with_different_protocols_are_refused() -> None:
    message = complaint({**BASE, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc"})
    assert "OTEL_EXPORTER_OTLP_PROTOCOL" in message
    assert "traces: grpc" in message
    assert "--otlp-protocol" in message


@pytest.mark.parametrize(
    ("endpoint", "insecure", "url", "tls"),
    [
        ("backend:4318", None, "http://backend:4318", False),
        ("backend:4318", "true", "http://backend:4318", False),
        ("backend:4318", "FALSE", "https://backend:4318", True),
        ("backend", None, "http://backend:4318", False),
        ("backend/otlp", None, "http://backend:4318/otlp", False),
        ("[::1]", None, "http://[::1]:4318", False),
        ("https://backend", "true", "https://backend", True),
        ("HTTP://backend:80", "false", "http://backend:80", False),
    ],
)
def test_a_scheme_decides_about_tls_and_else_the_variable(
    endpoint: str, insecure: str | None, url: str, tls: bool
) -> None:
    found = logs({"OTEL_EXPORTER_OTLP_INSECURE": insecure or ""}, endpoint)
    assert found.url == f"{url}/v1/logs"
    assert found.tls is tls


@pytest.mark.parametrize(
    ("endpoint", "insecure", "target", "tls"),
    [
        ("backend:4317", None, "backend:4317", False),
        ("backend", None, "backend:4317", False),
        ("backend:4317", "false", "backend:4317", True),
        ("http://backend:4317", "false", "backend:4317", False),
        ("https://backend:4317", "true", "backend:4317", True),
        ("https://backend", None, "backend:443", True),
        ("http://[::1]:4317/", None, "[::1]:4317", False),
        ("dns:4317", None, "dns:4317", False),
        ("unix:///run/otel.sock", None, "unix:///run/otel.sock", False),
        ("dns:///backend:4317", "false", "dns:///backend:4317", True),
    ],
)
def test_a_grpc_endpoint_is_a_target_and_no_path(endpoint: str, insecure: str | None, target: str, tls: bool) -> None:
    found = logs({"OTEL_EXPORTER_OTLP_INSECURE": insecure or ""}, endpoint, "grpc")
    assert (found.target, found.tls) == (target, tls)


@pytest.mark.parametrize(
    "endpoint",
    [
        "",
        "http://",
        "ftp://backend:21",
        "http://backend:port",
        "http://backend:0",
        "http://backend:70000",
        "back end:4318",
        "http://[::1",
        "unix:///run/otel.sock",
        "http://backend\x00:1",
    ],
)
def test_a_bad_endpoint_is_named_with_its_source(endpoint: str) -> None:
    message = complaint({}, endpoint, "http/protobuf")
    assert message.startswith(f"--otlp-endpoint: {endpoint!r} is wrong; expected [http[s]://]HOST:PORT")


def test_a_bad_variable_is_named() -> None:
    message = complaint({**BASE, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://:1"})
    assert message.startswith("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://:1' is wrong")


@pytest.mark.parametrize("endpoint", ["http://me:hunter2@backend:4318", "me:hunter2@backend", "http://me:hunter2/@b"])
def test_a_password_in_the_url_is_refused_and_not_repeated(endpoint: str) -> None:
    message = complaint({}, endpoint)
    assert "hunter2" not in message
    assert "HEADERS" in message


def test_an_at_sign_in_a_path_is_no_password() -> None:
    environ = {"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "http://backend:1/@team/logs"}
    assert logs(environ).url == "http://backend:1/@team/logs"


@pytest.mark.parametrize("source", ["flag", "variable"])
def test_an_unknown_protocol_is_refused(source: str) -> None:
    if source == "flag":
        message = complaint({}, None, "udp")
        assert message.startswith("--otlp-protocol: 'udp'")
    else:
        message = complaint({**BASE, "OTEL_EXPORTER_OTLP_PROTOCOL": "udp"})
        assert message.startswith("OTEL_EXPORTER_OTLP_PROTOCOL: 'udp'")
    assert message.endswith("expected one of grpc, http/protobuf, http/json")


def test_timeouts_are_milliseconds() -> None:
    environ = {**BASE, "OTEL_EXPORTER_OTLP_TIMEOUT": "2500", "OTEL_EXPORTER_OTLP_METRICS_TIMEOUT": "10000"}
    settings = load(environ)
    assert settings.signals["logs"].timeout == 2.5
    assert settings.signals["metrics"].timeout == 10.0
    assert logs(BASE).timeout == 10.0


@pytest.mark.parametrize("value", ["0", "-1", "10s", "1.5", "1e3", "٣"])
def test_a_bad_timeout_is_refused(value: str) -> None:
    message = complaint({**BASE, "OTEL_EXPORTER_OTLP_TIMEOUT": value})
    assert message == (
        f"OTEL_EXPORTER_OTLP_TIMEOUT: {value!r} is wrong; expected a positive whole number of milliseconds"
    )


@pytest.mark.parametrize(("value", "compression"), [("none", "none"), ("gzip", "gzip"), ("", "none"), ("GZIP", "gzip")])
def test_compression_may_be_none_or_gzip(value: str, compression: str) -> None:
    assert logs({**BASE, "OTEL_EXPORTER_OTLP_COMPRESSION": value}).compression == compression


def test_other_compressions_are_refused() -> None:
    message = complaint({**BASE, "OTEL_EXPORTER_OTLP_LOGS_COMPRESSION": "deflate"})
    assert message == "OTEL_EXPORTER_OTLP_LOGS_COMPRESSION: 'deflate' is wrong; expected one of none, gzip"


def test_a_bad_boolean_is_refused() -> None:
    message = complaint({**BASE, "OTEL_EXPORTER_OTLP_INSECURE": "perhaps"})
    assert message == "OTEL_EXPORTER_OTLP_INSECURE: 'perhaps' is wrong; expected one of true, false"


def test_headers_are_decoded_and_their_keys_lower_cased() -> None:
    environ = {**BASE, "OTEL_EXPORTER_OTLP_HEADERS": "Authorization=Basic%20Zm9v= , X-Scope-OrgID = a%2Cb,empty=,"}
    assert logs(environ).headers == {"authorization": "Basic Zm9v=", "x-scope-orgid": "a,b", "empty": ""}


def test_the_headers_of_a_signal_replace_the_general_ones() -> None:
    environ = {**BASE, "OTEL_EXPORTER_OTLP_HEADERS": "a=1", "OTEL_EXPORTER_OTLP_LOGS_HEADERS": "b=2"}
    settings = load(environ)
    assert settings.signals["logs"].headers == {"b": "2"}
    assert settings.signals["traces"].headers == {"a": "1"}


@pytest.mark.parametrize(
    "headers", ["ok=1,s3cret", "ok=1,=s3cret", "ok=1,x=s3cret%0D%0Ay", "ok=1,x y=s3cret", "ok=1,x=s3cret%ff"]
)
def test_bad_headers_are_refused_without_repeating_them(headers: str) -> None:
    message = complaint({**BASE, "OTEL_EXPORTER_OTLP_HEADERS": headers})
    assert message.startswith("OTEL_EXPORTER_OTLP_HEADERS: pair 2 is wrong; expected name=value")
    assert "s3cret" not in message


def test_header_values_are_in_no_repr() -> None:
    settings = load({**BASE, "OTEL_EXPORTER_OTLP_HEADERS": "authorization=s3cret"})
    assert settings.signals["logs"].headers["authorization"] == "s3cret"
    assert "s3cret" not in repr(settings)


@pytest.mark.parametrize("name", ["CERTIFICATE", "CLIENT_CERTIFICATE"])
def test_certificates_must_be_files_that_can_be_read(name: str, tmp_path: Path) -> None:
    pem = tmp_path / "a.pem"
    variable = f"OTEL_EXPORTER_OTLP_{name}"
    message = complaint({**BASE, variable: str(pem)})
    assert message.startswith(f"{variable}: {str(pem)!r} is wrong; expected a PEM file")
    assert "No such file" in message
    pem.touch()
    assert getattr(logs({**BASE, variable: str(pem)}), name.lower()) == str(pem)


def test_a_client_key_needs_its_certificate(tmp_path: Path) -> None:
    pem = tmp_path / "client.pem"
    pem.touch()
    key = {**BASE, "OTEL_EXPORTER_OTLP_CLIENT_KEY": str(pem)}
    assert "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE" in complaint(key)
    endpoint = logs({**key, "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": str(pem)})
    assert (endpoint.client_key, endpoint.client_certificate) == (str(pem), str(pem))


@pytest.mark.parametrize("signal", SIGNALS)
def test_every_signal_has_variables_of_its_own(signal: Signal) -> None:
    environ = {
        f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT": "backend:1/x",
        f"OTEL_EXPORTER_OTLP_{signal.upper()}_PROTOCOL": "http/json",
        f"OTEL_EXPORTER_OTLP_{signal.upper()}_INSECURE": "false",
        f"OTEL_EXPORTER_OTLP_{signal.upper()}_TIMEOUT": "7",
    }
    settings = load(environ)
    assert settings.protocol == "http/json"
    assert settings.signals == {signal: SignalEndpoint("https://backend:1/x", insecure=False, timeout=0.007)}
