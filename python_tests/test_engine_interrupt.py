"""Signals between two steps: the first asks, a second Ctrl-C insists, everything is put back."""

import contextlib
import os
import signal
import threading

import pytest

from sarcore.engine.interrupt import stop_on_interrupt

BOTH = (signal.SIGINT, signal.SIGTERM)


@pytest.fixture(autouse=True)
def no_launcher(monkeypatch):
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)


def send(number: int) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", BOTH)
def test_the_first_signal_is_a_request_that_names_it(number):
    before = [signal.getsignal(n) for n in BOTH]
    with stop_on_interrupt() as stop:
        assert not stop.requested
        send(number)
        assert stop.requested
        assert stop.signal == number
    assert [signal.getsignal(n) for n in BOTH] == before


def press(times: int) -> int:
    """How many presses of Ctrl-C it takes until the program is left, of so many."""
    done = 0
    with contextlib.suppress(KeyboardInterrupt), stop_on_interrupt() as stop:
        for _ in range(times):
            done += 1
            send(signal.SIGINT)
            assert stop.requested
    return done


def test_a_second_ctrl_c_aborts():
    assert press(3) == 2


def test_more_sigterms_do_not_and_the_first_signal_counts():
    with stop_on_interrupt() as stop:
        for _ in range(3):
            send(signal.SIGTERM)
        send(signal.SIGINT)
        assert stop.signal == signal.SIGTERM


def test_under_torchrun_a_ctrl_c_arrives_twice(monkeypatch):
    """From the terminal and from torchrun: the third is the second of the user."""
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    assert press(4) == 3


def test_handlers_are_put_back_after_an_error():
    before = [signal.getsignal(n) for n in BOTH]
    with pytest.raises(ZeroDivisionError), stop_on_interrupt():
        _ = 1 / 0
    assert [signal.getsignal(n) for n in BOTH] == before


def test_what_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)  # as nohup does for the hang-up
    try:
        with stop_on_interrupt() as stop:
            send(signal.SIGTERM)
            assert not stop.requested
    finally:
        signal.signal(signal.SIGTERM, before)


def test_other_threads_catch_nothing():
    seen = []

    def work():
        with stop_on_interrupt() as stop:
            seen.append((stop.requested, [signal.getsignal(n) for n in BOTH] == before))

    before = [signal.getsignal(n) for n in BOTH]
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(False, True)]
