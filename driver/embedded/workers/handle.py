"""The template as the driver holds it. Imports neither Ray nor torch: it starts before anything else does."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from driver.embedded.workers import entry

_PROGRAM = Path(__file__).with_name("template.py")
_WAITING_WORKERS = 128  # while the template is importing
_LONGEST_PATH = 107  # bytes, of a socket on Linux


@contextmanager
def worker_template() -> Iterator[None]:
    """While it lasts, sessions that start here fork their workers.

    Elsewhere than on Linux, and where the temporary folder's path is too long for a socket, it does nothing: workers
    start as Ray starts them.
    """
    folder = tempfile.mkdtemp(prefix="dqn-workers-")  # for this user only
    path = os.path.join(folder, "socket")
    with socket.socket(socket.AF_UNIX) as listener:
        if sys.platform != "linux" or len(os.fsencode(path)) > _LONGEST_PATH:
            os.rmdir(folder)
            yield
            return
        listener.bind(path)
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
        yield
    finally:
        os.environ.pop(entry.SOCKET_VARIABLE, None)
        template.kill()
        template.communicate()
        shutil.rmtree(folder, ignore_errors=True)


def entry_program() -> str | None:
    """What Ray is to start for each worker, or None for its own."""
    return entry.__file__ if entry.SOCKET_VARIABLE in os.environ else None
