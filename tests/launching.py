"""Starts launch.py as a user does, and watches it."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

import launch
from driver.signals import StopSignals

ROOT = Path(__file__).resolve().parent.parent
END_SECONDS = 60  # for the machine at its busiest; the product's promise is in the assertions
LONG = ("--actors", "2", "--no-stop-when-solved", "--hidden", "16", "--max-env-steps", "1000000000")


def run_main(*arguments: str) -> int:
    """launch.main in this process; only for input that starts nothing."""
    patch = pytest.MonkeyPatch()
    patch.setattr(sys, "argv", ["launch.py", *arguments])
    before = dict(os.environ)  # main settles what Ray reads there
    signals = StopSignals()
    signals.install()
    try:
        return launch.main(signals)
    except SystemExit as stopped:
        return int(stopped.code or 0)
    finally:
        signals.uninstall()
        os.environ.clear()
        os.environ.update(before)
        patch.undo()


def user_environment() -> dict[str, str]:
    """Without what this process has settled for its own Ray."""
    return {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}


@contextmanager
def folder_for_ray() -> Iterator[Path]:
    """Its temporary one; below pytest's the paths of Ray's sockets would be too long."""
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@contextmanager
def launched(
    run_dir: Path, *options: str, ignore_sigint: bool = False, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """A run of its own, killed with all its processes if the test fails. `environment`: on top of the user's."""
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "launch.py"), "--no-dashboard", "--run-dir", str(run_dir), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**user_environment(), "HOME": str(run_dir.parent), **(environment or {})},
        preexec_fn=(lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)) if ignore_sigint else None,  # noqa: PLW1509
    )
    with ended_with_its_family(process):
        yield process


@contextmanager
def launched_on_a_terminal(
    run_dir: Path, *options: str
) -> Iterator[tuple[subprocess.Popen[bytes], Callable[[], None]]]:
    """As `launched`, in the foreground of a terminal of its own. Also yields what closes the terminal."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "launch.py"), "--no-dashboard", "--run-dir", str(run_dir), *options],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**user_environment(), "HOME": str(run_dir.parent)},
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509
    )
    os.close(theirs)
    closed = threading.Event()

    def look() -> None:
        """Else the run waits until somebody reads what it writes."""
        while not closed.is_set():
            if select.select([ours], [], [], 0.1)[0]:
                with suppress(OSError):  # the run has ended
                    os.read(ours, 65536)
        os.close(ours)

    person = threading.Thread(target=look)
    person.start()

    def close() -> None:
        closed.set()
        person.join()

    try:
        with ended_with_its_family(process):
            yield process, close
    finally:
        close()


@contextmanager
def ended_with_its_family(process: subprocess.Popen[Any]) -> Iterator[None]:
    """However the test ends."""
    timer = threading.Timer(3 * END_SECONDS, process.kill)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        if process.poll() is None:
            for child in psutil.Process(process.pid).children(recursive=True):
                child.kill()
            process.kill()
        process.wait()


def read_until(process: subprocess.Popen[str], text: str) -> str:
    """Output up to the line that holds `text`."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if text in line:
            return "".join(lines)
    raise AssertionError(f"{text!r} never came:\n{''.join(lines)}")


def read_until_all_play(process: subprocess.Popen[str]) -> str:
    """Output of a run of LONG up to its first figures, once all its roles are up; learning may begin before that."""
    output = read_until(process, "env steps")
    wait_for_all_roles(process)
    return output


def wait_for_all_roles(process: subprocess.Popen[Any]) -> None:
    """Of a run of LONG."""
    roles = {"ray::learner", "ray::replay-0", "ray::evaluator", "ray::actor-0", "ray::actor-1"}

    def all_are_up() -> bool:
        return roles <= {child.name() for child in psutil.Process(process.pid).children(recursive=True)}

    wait_until(all_are_up, "all roles are up")


def wait_until(holds: Callable[[], bool], what: str, patience_seconds: float = END_SECONDS) -> None:
    """Fails with `what` where it does not come."""
    deadline = time.monotonic() + patience_seconds
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)  # between two looks at another process


def wait_for_children(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """The first processes that Ray starts."""
    parent, deadline = psutil.Process(process.pid), time.monotonic() + END_SECONDS
    while time.monotonic() < deadline:
        if children := parent.children(recursive=True):
            return children
    raise AssertionError("no child process came up")


def assert_all_gone(processes: list[psutil.Process]) -> None:
    """The product promises 10 seconds from its end."""
    _, alive = psutil.wait_procs(processes, timeout=10)
    assert alive == []


def holders(secret: str, *folders: Path) -> list[Path]:
    """The files that hold it."""
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    assert files != []
    return [path for path in files if secret.encode() in path.read_bytes()]
