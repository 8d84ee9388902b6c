"""The signals that stop a run: the first in order, a later SIGINT or SIGTERM at once.

SIGHUP comes when a terminal is closed; SIGUSR1, SIGUSR2 and SIGXCPU are what batch systems send before their limit.
SIGINT and SIGTERM are handled even where they arrive ignored, as SIGINT does in a script's `launch.py &`; the others
stay ignored, as SIGHUP does under nohup.

They reach a thread of their own, whatever the main thread does meanwhile: Ray's C++ code may hold that for minutes. In
the main thread they are blocked, and so in all processes that are started from here on: a closed terminal and a batch
system signal all processes of a run, but those are needed until the driver has saved what they hold.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, NoReturn

EXIT_CODES: dict[int, int] = {
    signal.SIGINT: 130,
    signal.SIGTERM: 143,
    signal.SIGHUP: 143,
    signal.SIGUSR1: 143,
    signal.SIGUSR2: 143,
    signal.SIGXCPU: 143,
}
THREAD = "signals"  # name of the one that gets them
NOTHING_TO_SAVE = "stopped at the start: there was nothing to save"
_URGENT = (signal.SIGINT, signal.SIGTERM)  # what a second time means: at once
_SAME_SECONDS = 0.5  # `timeout`, for one, sends its signal to the process and then to its group
_OPENING_SECONDS = 3.0  # for a start to notice the signal by itself
_WAKE_UP = b"\0"  # no signal has this number


class StoppedEarly(Exception):  # noqa: N818  what the user did, rather than what the program met
    """A signal before there was anything to save."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.exit_code = EXIT_CODES[number]


class StopSignals:
    """Remembers the first signal, for whoever looks.

    Until `opens` it ends the process at once, because there is nothing yet; until `opened` after some seconds.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self.spared: set[int] = set()  # pids of processes that end by themselves, and tidy up before
        self._reader, self._writer = socket.socketpair()
        self._lock = threading.Lock()
        self._received_at = 0.0
        self._patience: float | None = 0.0  # seconds from the first signal on; None: for ever
        self._limit: tuple[float, str] | None = None  # time.monotonic() when the process ends with 1, and its words
        self._clean_up: Callable[[], None] = lambda: None
        self._watch = threading.Thread(target=self._watch_signals, name=THREAD, daemon=True)
        self._before: dict[int, Any] = {}  # handlers

    def install(self) -> None:
        """From the main thread, before anything is started."""
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        handled = {number for number in EXIT_CODES if number in _URGENT or signal.getsignal(number) != signal.SIG_IGN}
        self._before = {number: signal.getsignal(number) for number in handled}
        self.install_again()
        self._watch.start()  # before they are blocked, because a thread inherits what is blocked
        signal.pthread_sigmask(signal.SIG_BLOCK, handled)

    def install_again(self) -> None:
        """From the main thread, after `ray.init`, which replaces the handler of SIGTERM by one that raises."""
        for number in self._before:
            signal.signal(number, self._handle)

    def uninstall(self) -> None:
        """For a command that a signal may simply end. Raises StoppedEarly where one came before."""
        signal.set_wakeup_fd(-1)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, self._before)
        self._before = {}
        with suppress(OSError):
            self._writer.close()  # which ends the thread
        if self.received is not None:
            raise StoppedEarly(self.received)

    def opens(self, clean_up: Callable[[], None]) -> None:
        """From here on a start notices a signal by itself; where it hangs, `clean_up` removes what it has made."""
        self._settle(patience=_OPENING_SECONDS, clean_up=clean_up)

    def opened(self) -> None:
        """From here on a signal has all the time that it needs, because there is something to save."""
        self._settle(patience=None, clean_up=lambda: None)

    @contextmanager
    def at_most(self, seconds: float, words: str) -> Iterator[None]:
        """Ends the process with 1 and these words where it takes longer."""
        self._settle(limit=(time.monotonic() + seconds, words))
        try:
            yield
        finally:
            self._settle(limit=None)

    def _settle(self, **changes: object) -> None:
        with self._lock:
            for name, value in changes.items():
                setattr(self, f"_{name}", value)
        with suppress(OSError):  # full, and so awake, or not installed
            self._writer.send(_WAKE_UP)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        """Python writes the number to the socket when it has a handler to call."""

    def _watch_signals(self) -> None:
        while True:
            readable, _, _ = select.select([self._reader], [], [], self._seconds_to_wait())
            numbers = self._reader.recv(4096) if readable else _WAKE_UP
            if not numbers:
                self._reader.close()
                return
            for number in numbers:
                if number in EXIT_CODES:
                    self._note(signal.Signals(number))

    def _note(self, number: signal.Signals) -> None:
        now = time.monotonic()
        if self.received is None:
            self._received_at = now
            self.received = number
        elif number in _URGENT and now - self._received_at > _SAME_SECONDS:
            self._end("\nstopped at once; nothing more is saved", EXIT_CODES[number])

    def _seconds_to_wait(self) -> float | None:
        """Until this process is to be ended; ends it where that is now."""
        now = time.monotonic()
        with self._lock:
            ends = []
            if self.received is not None and self._patience is not None:
                ends.append((self._received_at + self._patience, NOTHING_TO_SAVE, EXIT_CODES[self.received]))
            if self._limit is not None:
                ends.append((*self._limit, 1))
            if not ends:
                return None
            at, words, exit_code = min(ends)
            if at <= now:
                self._end(words, exit_code)
            return at - now

    def _end(self, words: str, exit_code: int) -> NoReturn:
        from driver.processes import descendants, kill  # here, because a signal may come while the rest is imported

        kill(process for process in descendants() if process.pid not in self.spared)
        self._clean_up()
        with suppress(OSError):  # gone with its terminal
            if select.select([], [2], [], 1.0)[1]:  # else nobody reads, and this would wait for ever
                os.write(2, f"{words}\n".encode())
        os._exit(exit_code)
