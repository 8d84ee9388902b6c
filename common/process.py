"""What a role does to its own process."""

import os
from contextlib import suppress
from pathlib import Path

_THREADS = Path("/proc/self/task")  # Linux keeps a niceness for each thread, and a new thread has its creator's


def be_nice(niceness: int) -> None:
    """Raises this process's niceness to at least `niceness`; never lowers it, which only root may."""
    threads = [int(thread.name) for thread in _THREADS.iterdir()] if _THREADS.exists() else [0]
    for thread in threads:
        with suppress(ProcessLookupError):  # one that has ended meanwhile
            os.setpriority(os.PRIO_PROCESS, thread, max(niceness, os.getpriority(os.PRIO_PROCESS, thread)))
