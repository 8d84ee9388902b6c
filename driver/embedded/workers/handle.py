"""The template as the driver holds it. Imports neither Ray nor torch: it starts before anything else does."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from common.config import BadInput
from driver.embedded.workers import entry
from driver.short_folder import place_for_sockets

_PROGRAM = Path(__file__).with_name("template.py")
_WAITING_WORKERS = 128  # while the template is importing
_PREFIX = "dqn-workers-"


@contextmanager
def worker_template() -> Iterator[int | None]:
    """While it lasts, sessions that start here fork their workers. Yields the template's process id.

    Where this process ends without leaving the context, the template kills all that is left of its session. Elsewhere
    than on Linux, and where there is no place for a socket, there is none: workers start as Ray starts them.
    """
    folder = _make_folder() if sys.platform == "linux" else None
    if folder is None:
        yield None
        return
    path = os.path.join(folder, "socket")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        os.chmod(path, 0o600)  # whatever the umask says
        listener.listen(_WAITING_WORKERS)
        template = subprocess.Popen(
            [sys.executable, str(_PROGRAM), str(listener.fileno())],
            pass_fds=[listener.fileno()],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,  # if it fails, workers start without it, and say what is wrong
            stderr=subprocess.DEVNULL,
            process_group=0,  # Ctrl-C is for the driver alone
        )
    os.environ[entry.SOCKET_VARIABLE] = path
    try:
        yield template.pid
    finally:
        os.environ.pop(entry.SOCKET_VARIABLE, None)
        template.kill()
        template.communicate()
        shutil.rmtree(folder, ignore_errors=True)


def entry_program() -> str | None:
    """What Ray is to start for each worker where there is a template; else None."""
    return entry.__file__ if entry.SOCKET_VARIABLE in os.environ else None


def note_session(folder: str) -> None:
    """Tells the template, where there is one, which Ray session it is to end if this process cannot."""
    if path := os.environ.get(entry.SOCKET_VARIABLE):
        with suppress(OSError):
            Path(path).with_name(entry.SESSION_FILE).write_text(folder)


def _make_folder() -> str | None:
    """For this user only; None where there is no place."""
    try:
        return tempfile.mkdtemp(prefix=_PREFIX, dir=place_for_sockets(f"{_PREFIX}{'x' * 8}/socket").folder)
    except (BadInput, OSError):
        return None
