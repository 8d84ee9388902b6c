"""The signals that stop a run. Those sent to this process find handlers that are put back afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from launching import END_SECONDS, wait_until

from driver.signals import EXIT_CODES, StoppedEarly, StopSignals

ROOT = Path(__file__).resolve().parent.parent
ALL = sorted(EXIT_CODES)
# A driver whose main thread hangs outside of Python, as in Ray's C++ code: a signal handler of Python never runs there.
HANGS = """
import ctypes, signal, subprocess, sys
from pathlib import Path
from driver.signals import StopSignals
signals = StopSignals()
signals.install()
made = Path(sys.argv[1])
child = subprocess.Popen(["sleep", "300"])
def hang():
    print(child.pid, flush=True)
    ctypes.CDLL(None).sleep(300)
    ctypes.CDLL(None).sleep(300)
"""
AT_THE_BEGINNING = "hang()"
WHILE_IT_OPENS = "made.mkdir(); signals.opens(made.rmdir); hang()"
IN_A_RUN = "signals.opens(lambda: None); signals.opened(); hang()"
TOO_LONG = (
    "made.mkdir(); signals.opens(made.rmdir); limit = signals.at_most(0.1, 'too long'); limit.__enter__(); hang()"
)


@pytest.fixture
def stop_signals() -> Iterator[StopSignals]:
    signals = StopSignals()
    signals.opens(lambda: None)
    signals.opened()
    signals.install()
    yield signals
    signals.received = None
    signals.uninstall()


def send(number: int) -> None:
    """Not `raise_signal`, which sends it to this thread alone."""
    os.kill(os.getpid(), number)


def await_signal(signals: StopSignals) -> int:
    wait_until(lambda: signals.received is not None, "the signal is remembered")
    assert signals.received is not None
    return signals.received


@contextmanager
def hanging(tmp_path: Path, where: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", HANGS + where, str(tmp_path / "made")],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def child_of(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    return int(process.stdout.readline())


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("number", ALL)
def test_the_first_signal_is_remembered(stop_signals: StopSignals, number: int) -> None:
    assert stop_signals.received is None
    send(number)
    assert await_signal(stop_signals) == number


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_another_handler_took_is_remembered(stop_signals: StopSignals, number: int) -> None:
    signal.signal(number, lambda taken, frame: None)  # as ray.init does with SIGTERM
    send(number)
    assert await_signal(stop_signals) == number


def test_the_handlers_are_back_after_a_library_replaced_them(stop_signals: StopSignals) -> None:
    before = signal.getsignal(signal.SIGTERM)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    stop_signals.install_again()
    assert signal.getsignal(signal.SIGTERM) == before
    send(signal.SIGTERM)
    assert await_signal(stop_signals) == signal.SIGTERM


def test_a_process_that_is_started_from_here_outlives_them(stop_signals: StopSignals) -> None:
    """A closed terminal and a batch system signal all processes of a run."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        for number in ALL:
            child.send_signal(number)
        assert child.communicate("still here", timeout=END_SECONDS)[0] == "still here"


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1])
def test_what_arrives_ignored_stays_ignored_but_for_the_usual_two(number: int) -> None:
    before = signal.signal(number, signal.SIG_IGN)
    term = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signals = StopSignals()
    signals.opens(lambda: None)
    signals.opened()
    signals.install()
    try:
        send(number)
        send(signal.SIGTERM)
        assert await_signal(signals) == signal.SIGTERM
    finally:
        signals.received = None
        signals.uninstall()
        signal.signal(number, before)
        signal.signal(signal.SIGTERM, term)


def test_a_command_without_a_run_gets_the_handlers_back_and_hears_of_an_earlier_signal() -> None:
    before = {number: signal.getsignal(number) for number in ALL}
    signals = StopSignals()
    signals.opens(lambda: None)
    signals.install()
    send(signal.SIGHUP)
    await_signal(signals)
    with pytest.raises(StoppedEarly) as stopped:
        signals.uninstall()
    assert stopped.value.exit_code == 143
    assert {number: signal.getsignal(number) for number in ALL} == before
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) & set(ALL) == set()


@pytest.mark.parametrize(
    ("number", "exit_code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 143), (signal.SIGUSR2, 143)],
)
def test_before_anything_is_made_a_signal_ends_a_process_that_hangs(
    tmp_path: Path, number: int, exit_code: int
) -> None:
    with hanging(tmp_path, AT_THE_BEGINNING) as process:
        child = child_of(process)
        process.send_signal(number)
        errors = process.communicate(timeout=END_SECONDS)[1]
    assert process.returncode == exit_code
    assert errors == "stopped at the start: there was nothing to save\n"
    wait_until(lambda: not is_running(child), "its child is gone")


def test_a_start_that_hangs_ends_within_seconds_of_a_signal_and_leaves_nothing(tmp_path: Path) -> None:
    with hanging(tmp_path, WHILE_IT_OPENS) as process:
        child = child_of(process)
        assert (tmp_path / "made").exists()
        process.send_signal(signal.SIGTERM)
        errors = process.communicate(timeout=END_SECONDS)[1]
    assert process.returncode == 143
    assert errors == "stopped at the start: there was nothing to save\n"
    assert not (tmp_path / "made").exists()
    wait_until(lambda: not is_running(child), "its child is gone")


def test_a_start_that_takes_too_long_ends_by_itself(tmp_path: Path) -> None:
    with hanging(tmp_path, TOO_LONG) as process:
        assert process.communicate(timeout=END_SECONDS)[1] == "too long\n"
    assert process.returncode == 1
    assert not (tmp_path / "made").exists()


def test_a_run_ends_at_once_only_by_a_later_sigint_or_sigterm(tmp_path: Path) -> None:
    """`timeout` sends its signal twice, to the process and to its group; a closed terminal does too."""
    with hanging(tmp_path, IN_A_RUN) as process:
        child = child_of(process)
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGHUP):
            process.send_signal(number)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=1)
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGINT)
        errors = process.communicate(timeout=END_SECONDS)[1]
    assert process.returncode == 130
    assert errors == "\nstopped at once; nothing more is saved\n"
    wait_until(lambda: not is_running(child), "its child is gone")
