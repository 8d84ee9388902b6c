"""Standard streams that may go away: a pipe whose reader has ended, a terminal that was closed, a disk that is full.

What is said to nobody must not end a run: `guard_output` is for commands that train. The others end with their reader.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import Any, TextIO

from driver.outbox import Outbox

_FINISH_SECONDS = 1.0


def open_closed_streams() -> None:
    """Opens /dev/null for each standard stream that is closed: else the next file that is opened takes its number."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            # It gets the lowest number that is free, which is this one. Processes that are started have it too.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115  as long as the process lives


def watch_output() -> None:
    """From here on a failure to write to standard output raises OutputFailed: whoever asked hears nothing any more."""
    sys.stdout = GuardedStream(sys.stdout, "stdout", ends=True)


def guard_output() -> None:
    """From here on a failure to write to standard output or standard error is said once, where somebody may read it.

    A reader that takes nothing holds up nobody: what is written goes by way of a thread, until `finish_output`.
    """
    outbox = Outbox()
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        inner = stream.inner if isinstance(stream, GuardedStream) else stream
        with suppress(OSError, ValueError):
            inner.flush()
        setattr(sys, name, GuardedStream(inner, name, ends=False, outbox=outbox))


def finish_output() -> None:
    """At the end: waits a little for what is still to be written."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, GuardedStream):
            stream.finish(_FINISH_SECONDS)


class OutputFailed(Exception):  # noqa: N818  what happened to the output, rather than to the program
    """What a command says cannot be written. Its text is why; empty where the reader has seen enough."""


class GuardedStream:
    """A text stream; once it has failed, what is written to it goes nowhere."""

    def __init__(self, inner: TextIO, name: str, ends: bool, outbox: Outbox | None = None) -> None:
        """`name`: in sys. `ends`: raises OutputFailed once it has failed. `outbox`: writes for it."""
        self.inner = inner
        self._name = name
        self._ends = ends
        self._gone = False
        try:
            self._descriptor: int | None = inner.fileno()
        except (OSError, ValueError):  # a stand-in for a stream
            self._descriptor = None
        self._outbox = None if self._descriptor is None else outbox

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def write(self, text: str) -> int:
        """As TextIO does, but raises no OSError; what the encoding lacks becomes a question mark."""
        if self._gone:
            return len(text)
        encoding = self.inner.encoding or "utf-8"
        content = text.encode(encoding, errors="replace")
        try:
            if self._outbox is not None and self._descriptor is not None:
                self._outbox.put(self._descriptor, content, self._fail)
            else:
                self.inner.write(content.decode(encoding))
        except (OSError, ValueError) as error:  # ValueError: it has been closed
            self._fail(error)
        return len(text)

    def flush(self) -> None:
        """As TextIO does, but raises no OSError."""
        if not self._gone and self._outbox is None:
            try:
                self.inner.flush()
            except (OSError, ValueError) as error:
                self._fail(error)

    def finish(self, seconds: float) -> None:
        """Waits so long for what is still to be written."""
        if self._outbox is not None:
            self._outbox.drain(seconds)

    def isatty(self) -> bool:
        """Not when it is gone."""
        return not self._gone and self.inner.isatty()

    def _fail(self, error: Exception) -> None:
        self._gone = True
        with suppress(OSError, ValueError):
            _point_at_nothing(self.inner)
        why = (error.strerror if isinstance(error, OSError) else None) or str(error)
        if self._ends:
            raise OutputFailed("" if isinstance(error, BrokenPipeError) else why) from None
        if self._name == "stdout":
            sys.stderr.write(f"stdout cannot be written any more ({why}); the run goes on\n")
            sys.stderr.flush()


def _point_at_nothing(stream: TextIO) -> None:
    """Its descriptor, so that what it still holds can be flushed."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, stream.fileno())
    os.close(nothing)
