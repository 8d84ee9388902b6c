"""Signals that come while Ray starts. Each test sends them to this process and puts the handlers back."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from driver.signals import StopSignals


@pytest.fixture
def stop_signals() -> Iterator[StopSignals]:
    handlers = [(number, signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM)]
    signals = StopSignals()
    signals.install()
    yield signals
    signal.set_wakeup_fd(-1)
    for number, handler in handlers:
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_is_remembered(stop_signals: StopSignals, number: signal.Signals) -> None:
    assert stop_signals.received is None
    signal.raise_signal(number)
    assert stop_signals.received == number


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_another_handler_took_is_found_afterwards(
    stop_signals: StopSignals, number: signal.Signals
) -> None:
    signal.signal(number, lambda taken, frame: None)  # as ray.init does with SIGTERM
    signal.raise_signal(number)
    assert stop_signals.received is None
    stop_signals.install_again()
    assert stop_signals.received == number


def test_the_handlers_are_back_after_a_library_replaced_them(stop_signals: StopSignals) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    stop_signals.install_again()
    assert stop_signals.received is None
    signal.raise_signal(signal.SIGTERM)
    assert stop_signals.received == signal.SIGTERM
