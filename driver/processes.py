"""The processes below this one."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

import psutil

LATE_NICENESS = 19


def descendants() -> list[psutil.Process]:
    """Children, their children, and so on."""
    children: list[psutil.Process] = psutil.Process().children(recursive=True)
    return children


class Latecomers:
    """Processes that start from now on: they yield to those that run already."""

    def __init__(self) -> None:
        self._known = {process.pid for process in descendants()}

    def yield_to_the_others(self) -> None:
        """Raises the niceness of those that have started since the last call."""
        for process in descendants():
            if process.pid not in self._known:
                self._known.add(process.pid)
                with suppress(psutil.NoSuchProcess):
                    process.nice(LATE_NICENESS)


def kill(processes: Iterable[psutil.Process]) -> None:
    """SIGKILL; one that has ended meanwhile is fine."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
