"""The template: a process that has imported Ray, torch and the roles, and becomes a worker by forking.

In:   connections to the socket whose descriptor is the first argument, one for each worker; see entry.py
      standard input          closed at the driver's end, however that comes: then the template ends too, and before
                              that kills what is left of the driver's Ray session
Out:  a forked process that runs Ray's own worker program

It forks only while it has a single thread and nothing has used Ray, torch or a random stream yet. Run by its path.
"""

from __future__ import annotations

import gc
import json
import os
import runpy
import select
import shutil
import signal
import socket
import sys
import time
from contextlib import suppress
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
_PROCESSES = Path("/proc")
_THREADS = Path("/proc/self/task")
_END_SECONDS = 20.0  # for the session's processes to be gone; the kernel may take some for a large one
_LOOK_SECONDS = 0.1
_ENDED = ("Z", "X")  # states in /proc
_THREAD_COUNTS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

_WORKER_PROGRAM = "ray._private.workers.default_worker"
_PRELOADED = (
    _WORKER_PROGRAM,
    "actors.actor",
    "actors.evaluator",
    "common.environment",
    "driver.cluster.whereabouts",
    "learner.client",
    "learner.learner",
    "learner.process",
    "replay_server.client",
    "replay_server.coordinator",
    "replay_server.server",
    "replay_server.shard",
    # What Ray and Gymnasium import at a worker's first call; pyarrow, which starts a thread, is not among them.
    "cloudpickle",
    "gymnasium.envs.classic_control",
    "pydantic.v1",
    "scipy.special",
)


def load() -> str:
    """Imports what workers need. Returns the path of Ray's worker program."""
    from driver.embedded.workers.entry import JOB_ID

    for name in _THREAD_COUNTS:  # libraries start their threads when they are imported
        os.environ[name] = "1"
    # Ray reads these two when it is imported, and never again. Forked workers watch the template instead of the raylet.
    os.environ["RAY_JOB_ID"] = JOB_ID
    os.environ["RAY_RAYLET_PID"] = str(os.getpid())

    for name in _PRELOADED:
        import_module(name)
    return str(sys.modules[_WORKER_PROGRAM].__file__)


def next_worker(listener: socket.socket) -> socket.socket | None:
    """Waits for a connection; None when the driver has gone."""
    readable, _, _ = select.select([listener, sys.stdin], [], [])
    return None if sys.stdin in readable else listener.accept()[0]


def take_over(connection: socket.socket) -> list[str]:
    """In the forked process: takes what the process had that Ray started. Returns its arguments."""
    import numpy as np
    from ray._raylet import Config  # type: ignore[attr-defined]

    from common import search_path
    from driver.embedded.workers.entry import TAKEN

    os.setpgid(0, 0)  # as Ray does: whoever ends this worker's group ends no other
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _, descriptors, _, _ = socket.recv_fds(connection, 1, 3)
    with connection, connection.makefile("rb") as stream:
        request = json.load(stream)
        for number, descriptor in enumerate(descriptors):
            os.dup2(descriptor, number)
            os.close(descriptor)
        os.chdir(request["folder"])
        search_path.settle()  # once more, for this folder
        os.environ.clear()
        os.environ.update(request["environment"])
        Config.initialize("")  # Ray reads its environment variables once more
        np.random.seed()  # else numpy's global stream, which an environment may use, is the same in all workers
        connection.sendall(TAKEN)
    arguments: list[str] = request["arguments"]
    return arguments


def end_session(folder: Path) -> None:
    """Kills what the driver has left: this process's workers, Ray's own processes, and what these have started.

    Some of Ray's agents would look for their raylet for minutes. `folder`: this template's own.
    """
    deadline = time.monotonic() + _END_SECONDS
    while (left := _members(folder)) and time.monotonic() < deadline:
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(_LOOK_SECONDS)


def _members(folder: Path) -> list[int]:
    from driver.embedded.workers.entry import SESSION_FILE, SOCKET_VARIABLE

    mark = f"{SOCKET_VARIABLE}={folder / 'socket'}".encode()
    note = folder / SESSION_FILE
    session = note.read_text() if note.exists() else None
    pids = [int(process.name) for process in _PROCESSES.iterdir() if process.name.isdecimal()]
    return [pid for pid in pids if pid != os.getpid() and _is_member(_PROCESSES / str(pid), mark, session)]


def _is_member(process: Path, mark: bytes, session: str | None) -> bool:
    """Whether this process is this template's, has our mark in its environment, or is one of Ray's with our session.

    Ray's title of a process often takes the place of its environment and its command line; its log files stay open.
    """
    with suppress(OSError):  # it has ended, or is another user's
        name, _, rest = (process / "stat").read_text().rpartition(")")
        state, parent = rest.split()[:2]
        if state in _ENDED:
            return False
        if int(parent) == os.getpid() or mark in (process / "environ").read_bytes().split(b"\0"):
            return True
        if session is not None and name.partition("(")[2].startswith("ray"):
            return any(os.readlink(link).startswith(f"{session}/") for link in (process / "fd").iterdir())
    return False


def main() -> None:
    """Forks until the driver has gone."""
    sys.path[0] = str(ROOT)
    from common import search_path

    search_path.settle()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the workers: no zombies
    listener = socket.socket(fileno=int(sys.argv[1]))
    folder = Path(listener.getsockname()).parent
    program = load()
    if len(list(_THREADS.iterdir())) > 1:
        return  # a fork would have their locks and not them
    gc.freeze()  # collections in a worker then leave what is shared with the template untouched
    while (connection := next_worker(listener)) is not None:
        if os.fork() == 0:
            listener.close()
            sys.argv = [program, *take_over(connection)]
            runpy.run_path(program, run_name="__main__")
            return
        connection.close()
    end_session(folder)
    shutil.rmtree(folder, ignore_errors=True)  # as the driver does, where it still can
    os._exit(0)


if __name__ == "__main__":
    main()
