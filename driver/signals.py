"""SIGINT and SIGTERM: the first stops the run in order, the second at once."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

import psutil

EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}


class StopSignals:
    """Install after `ray.init`, which replaces the SIGTERM handler.

    Installs for SIGINT even where it arrives ignored, as in a script's `launch.py &`.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None

    def install(self) -> None:
        """From the main thread."""
        for number in EXIT_CODES:
            signal.signal(number, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.received is None:
            self.received = signal.Signals(number)
            return
        sys.stderr.write("\nstopped at once; nothing more is saved\n")
        sys.stderr.flush()
        kill_children()
        os._exit(EXIT_CODES[signal.Signals(number)])


def kill_children() -> None:
    """SIGKILL for everything below this process."""
    for child in psutil.Process().children(recursive=True):
        try:
            child.kill()
        except psutil.NoSuchProcess:
            continue
