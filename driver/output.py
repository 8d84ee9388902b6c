"""Standard streams that may go away: a pipe whose reader has ended, a terminal that was closed, a disk that is full.

What is said to nobody must not end a run: `guard_output` is for commands that train. The others end with their reader.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import Any, TextIO


def open_closed_streams() -> None:
    """Opens /dev/null for each standard stream that is closed: else the next file that is opened takes its number."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free, which is this one
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115  as long as the process lives


def watch_output() -> None:
    """From here on a failure to write to standard output raises OutputFailed: whoever asked hears nothing any more."""
    sys.stdout = GuardedStream(sys.stdout, "stdout", ends=True)


def guard_output() -> None:
    """From here on a failure to write to standard output or standard error is said once, where somebody may read it."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        inner = stream.inner if isinstance(stream, GuardedStream) else stream
        setattr(sys, name, GuardedStream(inner, name, ends=False))


class OutputFailed(Exception):  # noqa: N818  what happened to the output, rather than to the program
    """What a command says cannot be written. Its text is why; empty where the reader has seen enough."""


class GuardedStream:
    """A text stream; once it has failed, what is written to it goes nowhere."""

    def __init__(self, inner: TextIO, name: str, ends: bool) -> None:
        """`name`: in sys. `ends`: raises OutputFailed once it has failed."""
        self.inner = inner
        self._name = name
        self._ends = ends
        self._gone = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def write(self, text: str) -> int:
        """As TextIO does, but raises no OSError; what the encoding lacks becomes a question mark."""
        if not self._gone:
            try:
                return self.inner.write(text)
            except UnicodeEncodeError:
                encoding = self.inner.encoding
                return self.write(text.encode(encoding, errors="replace").decode(encoding))
            except (OSError, ValueError) as error:  # ValueError: it has been closed
                self._fail(error)
        return len(text)

    def flush(self) -> None:
        """As TextIO does, but raises no OSError."""
        if not self._gone:
            try:
                self.inner.flush()
            except (OSError, ValueError) as error:
                self._fail(error)

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
