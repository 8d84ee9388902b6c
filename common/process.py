"""What a role does to its own process, and whether the process of a run is still there."""

from __future__ import annotations

import os
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

_THREADS = Path("/proc/self/task")  # Linux keeps a niceness for each thread, and a new thread has its creator's
_ENDED = ("Z", "X")  # states in /proc: dead, though its parent has not asked for its exit code yet


class ProcessId(NamedTuple):
    """One process and no later one with its number."""

    host: str
    pid: int
    started: float  # see start_seconds


def be_nice(niceness: int) -> None:
    """Raises this process's niceness to at least `niceness`; never lowers it, which only root may."""
    threads = [int(thread.name) for thread in _THREADS.iterdir()] if _THREADS.exists() else [0]
    for thread in threads:
        with suppress(ProcessLookupError):  # one that has ended meanwhile
            os.setpriority(os.PRIO_PROCESS, thread, max(niceness, os.getpriority(os.PRIO_PROCESS, thread)))


def start_seconds(pid: int) -> float | None:
    """When a process started, or None where there is none.

    On Linux in seconds since boot, exact to a clock tick and untouched by changes of the clock; elsewhere since 1970.
    """
    if sys.platform != "linux":
        import psutil  # here, because no role needs it

        try:
            return float(psutil.Process(pid).create_time())
        except psutil.NoSuchProcess:
            return None
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in _ENDED else int(fields[19]) / os.sysconf("SC_CLK_TCK")  # field 22, in ticks


def this_process() -> ProcessId:
    """The one that asks."""
    started = start_seconds(os.getpid())
    assert started is not None
    return ProcessId(socket.gethostname(), os.getpid(), started)


def is_there(process: ProcessId) -> bool | None:
    """Whether it still runs; None where it is another host's."""
    if process.host != socket.gethostname():
        return None
    return start_seconds(process.pid) == process.started
