"""What Ray starts for each worker of an embedded session: asks the template to fork the worker, and ends.

Without a template, or for another job than it was made for, the worker starts as Ray would have started it, but that
files of the user's folder take no module's place. Run by its path: what is imported here costs every worker its time.
"""

from __future__ import annotations

import json
import os
import socket
import sys

SOCKET_VARIABLE = "DQN_WORKER_TEMPLATE"  # environment variable: path of the template's socket
JOB_ID = "01000000"  # of a Ray that has just started: its first driver
SESSION_FILE = "session"  # beside the socket: holds the path of Ray's session folder
TAKEN = b"taken"
_ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))


def handed_over() -> bool:
    """Whether a template has taken over this process's arguments, environment, folder, and standard streams."""
    path = os.environ.get(SOCKET_VARIABLE)
    if path is None or os.environ.get("RAY_JOB_ID") != JOB_ID:
        return False
    request = {"arguments": sys.argv[1:], "environment": dict(os.environ), "folder": os.getcwd()}
    try:
        with socket.socket(socket.AF_UNIX) as template:
            template.connect(path)
            socket.send_fds(template, [b"."], [0, 1, 2])
            template.sendall(json.dumps(request).encode())
            template.shutdown(socket.SHUT_WR)
            return template.recv(len(TAKEN)) == TAKEN
    except OSError:
        return False


def become_plain_worker() -> None:
    """Runs Ray's own worker program."""
    import runpy
    from importlib.util import find_spec

    sys.path[0] = _ROOT
    from common import search_path

    search_path.settle()
    ray = find_spec("ray")
    assert ray is not None
    assert ray.origin is not None
    sys.argv[0] = os.path.join(os.path.dirname(ray.origin), "_private", "workers", "default_worker.py")
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    if handed_over():
        os._exit(0)
    become_plain_worker()
