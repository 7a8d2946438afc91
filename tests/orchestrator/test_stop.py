from __future__ import annotations

import contextlib
import signal

import pytest

from orchestrator.stop import Stop


def test_nothing_was_asked_for() -> None:
    stop = Stop()
    assert not stop()
    assert not stop.insisted()


def test_who_asks_twice_insists() -> None:
    stop = Stop()
    stop.request()
    assert (stop(), stop.insisted()) == (True, False)
    stop.request()
    assert (stop(), stop.insisted()) == (True, True)


def test_each_request_ends_a_wait() -> None:
    stop, woken = Stop(), []
    stop.wake = lambda: woken.append(stop())
    stop.request()
    stop.request()
    assert woken == [True, True]  # whoever is woken sees why


def test_a_request_ends_no_wait_for_the_last_words() -> None:
    stop, woken = Stop(), []
    with stop.waking(lambda: woken.append(stop())):
        stop.request()
    stop.request()
    assert woken == [True]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_a_request(number: signal.Signals) -> None:
    before = signal.signal(number, signal.SIG_DFL)  # it may be ignored, as SIGHUP is under nohup
    try:
        stop = Stop()
        with stop.on_signals():
            signal.raise_signal(number)
            assert (stop(), stop.insisted()) == (True, False)
            signal.raise_signal(signal.SIGTERM)
            assert stop.insisted()
    finally:
        signal.signal(number, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_mean_afterwards_what_they_meant_before(number: signal.Signals) -> None:
    def handler(*_: object) -> None:
        """Another one's."""

    before = signal.signal(number, handler)
    try:
        with contextlib.suppress(ZeroDivisionError), Stop().on_signals():
            assert signal.getsignal(number) != handler
            raise ZeroDivisionError
        assert signal.getsignal(number) == handler
    finally:
        signal.signal(number, before)


def test_under_nohup_a_hangup_means_nothing() -> None:
    stop = Stop()
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop.on_signals():
            signal.raise_signal(signal.SIGHUP)
            assert not stop()
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
