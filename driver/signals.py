"""SIGINT and SIGTERM: during the start they end the process; then the first stops the run in order, the second at once.

Both are handled even where SIGINT arrives ignored, as in a script's `launch.py &`.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

from driver.processes import descendants, kill

EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}


class StoppedEarly(BaseException):
    """A signal before there was anything to save. Only `main` catches it for good, as with KeyboardInterrupt."""

    def __init__(self, number: signal.Signals) -> None:
        super().__init__(number)
        self.exit_code = EXIT_CODES[number]


def stop_early(number: int, frame: FrameType | None) -> None:
    """The handler until a run has one of its own."""
    raise StoppedEarly(signal.Signals(number))


def install_for_the_start() -> None:
    """From the main thread. `ray.init` replaces the handler of SIGTERM by one that raises SystemExit."""
    for number in EXIT_CODES:
        signal.signal(number, stop_early)


class StopSignals:
    """Install after `ray.init`, which replaces the SIGTERM handler."""

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
        kill(descendants())
        os._exit(EXIT_CODES[signal.Signals(number)])
