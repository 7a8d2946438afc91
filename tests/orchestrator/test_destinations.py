"""Several destinations, each with a queue of its own."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from config.otlp import OtlpSettings, load_otlp_settings
from orchestrator.delivery.spool import SpoolLimits, read_entries
from orchestrator.delivery.transport import Request
from orchestrator.destinations import Destinations
from orchestrator.spools import folder_of, make_folder, spool_folders
from orchestrator.wishes import SpoolWish, Wishes
from tests.orchestrator.delivery.receivers import http_receiver

AWAY = "http://127.0.0.1:9"


class Bench:
    def __init__(self, state: Path, otlp: Sequence[OtlpSettings], output: str | None = None) -> None:
        self.state = state
        self.said: list[str] = []
        wishes = Wishes(output, otlp, False, SpoolWish(state, SpoolLimits(1 << 20, 3600.0)))
        self.destinations = Destinations(wishes, "aaaaaaaabbbb", self.said.append, lambda: None)

    def waiting(self) -> dict[str, list[str]]:
        return {
            about.shown: [one.signal for one in read_entries(folder)] for folder, about in spool_folders(self.state)
        }


def settings(environ: dict[str, str]) -> OtlpSettings:
    found = load_otlp_settings(environ, None, None)
    assert found is not None
    return found


def test_one_that_is_away_does_not_hold_up_the_other(tmp_path: Path) -> None:
    with http_receiver() as receiver:
        there, away = (settings({"OTEL_EXPORTER_OTLP_ENDPOINT": url}) for url in (receiver.url, AWAY))
        bench = Bench(tmp_path, [away, there])
        for number in range(5):
            bench.destinations(Request("logs", [b"%d" % number], 1))
        bench.destinations.close(lambda: False)
        assert [one.body for one in receiver.requests] == [b"0", b"1", b"2", b"3", b"4"]
    assert bench.waiting() == {AWAY: ["logs"] * 5, receiver.url: []}
    assert bench.destinations.described == [
        "0 delivered to 127.0.0.1:9",
        f"5 delivered to {receiver.url.removeprefix('http://')}",
    ]


def test_signals_with_addresses_of_their_own_do_not_wait_for_each_other(tmp_path: Path) -> None:
    with http_receiver() as receiver:
        variables = {
            "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": f"{AWAY}/v1/logs",
            "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": f"{receiver.url}/v1/metrics",
        }
        bench = Bench(tmp_path, [settings(variables)])
        bench.destinations(Request("logs", [b"a"], 1))
        bench.destinations(Request("metrics", [b"b"], 1))
        bench.destinations.close(lambda: False)
        assert [one.path for one in receiver.requests] == ["/v1/metrics"]
    assert bench.waiting() == {AWAY: ["logs"], receiver.url: []}


def test_a_signal_without_an_address_is_refused_and_said(tmp_path: Path) -> None:
    with http_receiver() as receiver:
        bench = Bench(tmp_path, [settings({"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": f"{receiver.url}/v1/logs"})])
        bench.destinations(Request("traces", [b"a"], 3))
        bench.destinations.close(lambda: False)
    (message,) = bench.said
    assert "no endpoint takes traces" in message
    assert bench.destinations.senders[0].counts.refused == 3


@pytest.mark.parametrize("place", ["a file is there", "nobody may write there"])
def test_a_spool_that_cannot_be_used_is_said_and_all_goes_on(tmp_path: Path, place: str) -> None:
    if place == "nobody may write there" and os.geteuid() == 0:
        state = Path("/proc/spool")
    else:
        state = tmp_path / "state"
        state.write_text("")
    with http_receiver() as receiver:
        bench = Bench(state, [settings({"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url})])
        bench.destinations(Request("logs", [b"a"], 1))
        bench.destinations.close(lambda: False)
        assert len(receiver.requests) == 1
    (message,) = bench.said
    assert message.startswith(f"{state}: ")
    assert "waits in memory only" in message


def test_what_will_come_is_told_to_the_one_who_gets_it(tmp_path: Path) -> None:
    with http_receiver() as receiver:
        bench = Bench(tmp_path, [settings({"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url})])
        bench.destinations.expect("logs", 7)
        (ledger,) = tmp_path.glob("*/*.ledger")
        assert int.from_bytes(ledger.read_bytes()[:8], "little") == 7
        bench.destinations.close(lambda: False)
    assert not ledger.exists()


def test_addresses_that_differ_in_the_query_are_kept_apart(tmp_path: Path) -> None:
    one, other = (settings({"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": f"{AWAY}/v1/logs?tenant={name}"}) for name in "ab")
    assert folder_of(tmp_path, one) != folder_of(tmp_path, other)
    bench = Bench(tmp_path, [one, other])
    bench.destinations.close(lambda: True)


def test_a_folder_that_does_not_say_where_it_goes_is_told_anew(tmp_path: Path) -> None:
    away = settings({"OTEL_EXPORTER_OTLP_ENDPOINT": AWAY})
    folder = make_folder(tmp_path, away)
    (folder / "about.json").write_bytes(b"")  # the disk was full, or we were killed
    assert make_folder(tmp_path, away) == folder
    ((found, about),) = spool_folders(tmp_path)
    assert (found, about.shown) == (folder, AWAY)
