"""Memory of a run's processes, as the benchmarks sample it.

The unique set size (USS) of a process is what its end would give back. A page of a library or of Ray's object store
counts in it while no other process maps that page: where another Ray or torch runs on the machine and ends, the USS of
ours jumps. So beside it stands the anonymous memory, which only the process itself can change. The proportional set
size (PSS) shares each page out among the processes that map it, so those of all add up. MB are 10**6 bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

import psutil

from benchmarks.watching import Processes

MB = 10**6


class Sample(NamedTuple):
    """One process at one moment."""

    seconds: float  # since the start of the run
    role: str
    pid: int
    uss: float  # MB
    pss: float  # MB
    anonymous: float  # MB that no file backs: what it allocated


def sample(seconds: float, processes: Processes) -> Iterator[Sample]:
    """One sample of every process that is still there."""
    for role, process in processes:
        with suppress(psutil.NoSuchProcess):  # it ended meanwhile
            memory = process.memory_full_info()
            anonymous = memory.rss - memory.shared
            yield Sample(seconds, role, process.pid, memory.uss / MB, memory.pss / MB, anonymous / MB)
