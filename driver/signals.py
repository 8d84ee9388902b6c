"""SIGINT and SIGTERM: the first stops the run in order, the second at once.

Both are handled even where SIGINT arrives ignored, as in a script's `launch.py &`.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from types import FrameType

from driver.processes import descendants, kill

EXIT_CODES: dict[int, int] = {signal.SIGINT: 130, signal.SIGTERM: 143}


class StoppedEarly(Exception):  # noqa: N818  what the user did, rather than what the program met
    """A signal before there was anything to save."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.exit_code = EXIT_CODES[number]


class StopSignals:
    """Remembers the first signal, for whoever looks.

    `ray.init` replaces the handler of SIGTERM by one that raises SystemExit, which gets lost where it interrupts a
    callback of some library. So until `install_again` the interpreter also writes the signals' numbers to a socket.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._reader, self._writer = socket.socketpair()

    def install(self) -> None:
        """From the main thread, before `ray.init`."""
        for end in (self._reader, self._writer):
            end.setblocking(False)
        signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        self._install_handlers()

    def install_again(self) -> None:
        """From the main thread, after `ray.init`; remembers a signal that came meanwhile."""
        self._install_handlers()
        signal.set_wakeup_fd(-1)
        try:
            numbers = self._reader.recv(4096)
        except BlockingIOError:
            numbers = b""
        self._reader.close()
        self._writer.close()
        for number in numbers:
            if number in EXIT_CODES:
                self.received = self.received or signal.Signals(number)

    def _install_handlers(self) -> None:
        for number in EXIT_CODES:
            signal.signal(number, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.received is None:
            self.received = signal.Signals(number)
            return
        sys.stderr.write("\nstopped at once; nothing more is saved\n")
        sys.stderr.flush()
        kill(descendants())
        os._exit(EXIT_CODES[number])
