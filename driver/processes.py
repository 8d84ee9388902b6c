"""The processes below this one."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

import psutil


def descendants() -> list[psutil.Process]:
    """Children, their children, and so on."""
    children: list[psutil.Process] = psutil.Process().children(recursive=True)
    return children


def kill(processes: Iterable[psutil.Process]) -> None:
    """SIGKILL; one that has ended meanwhile is fine."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
