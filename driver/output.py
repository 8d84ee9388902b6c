"""Standard streams that may go away: a pipe whose reader has ended, a terminal that was closed, a disk that is full.

What is said to nobody must not end a run. `guard_output` is for commands that train; the others end with their reader.
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


def guard_output() -> None:
    """From here on a failure to write to standard output or standard error is said once, where somebody may read it."""
    for name, other in (("stdout", "stderr"), ("stderr", None)):
        stream = getattr(sys, name)
        if not isinstance(stream, GuardedStream):
            setattr(sys, name, GuardedStream(stream, name, other))


def flush_output() -> int:
    """At a command's end. Returns its exit code. Raises BrokenPipeError."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        end_quietly()
        print(f"error: what this command says cannot be written ({error.strerror})", file=sys.stderr)
        return 1
    return 0


def end_quietly() -> None:
    """What is left to be flushed at the interpreter's end goes nowhere."""
    with suppress(OSError, ValueError):
        _point_at_nothing(sys.stdout)


class GuardedStream:
    """A text stream; once it has failed, what is written to it goes nowhere."""

    def __init__(self, stream: TextIO, name: str, other: str | None) -> None:
        """`other`: the name in sys of the stream that is told of a failure."""
        self._stream = stream
        self._name = name
        self._other = other
        self._gone = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """As TextIO does, but never raises OSError; what the encoding lacks becomes a question mark."""
        if not self._gone:
            try:
                return self._stream.write(text)
            except UnicodeEncodeError:
                encoding = self._stream.encoding
                return self.write(text.encode(encoding, errors="replace").decode(encoding))
            except (OSError, ValueError) as error:  # ValueError: it has been closed
                self._fail(error)
        return len(text)

    def flush(self) -> None:
        """As TextIO does, but never raises OSError."""
        if not self._gone:
            try:
                self._stream.flush()
            except (OSError, ValueError) as error:
                self._fail(error)

    def isatty(self) -> bool:
        """Not when it is gone."""
        return not self._gone and self._stream.isatty()

    def _fail(self, error: Exception) -> None:
        self._gone = True
        with suppress(OSError, ValueError):
            _point_at_nothing(self._stream)
        if self._other is not None:
            why = error.strerror if isinstance(error, OSError) else str(error)
            other = getattr(sys, self._other)
            other.write(f"{self._name} cannot be written any more ({why}); the run goes on\n")
            other.flush()


def _point_at_nothing(stream: TextIO) -> None:
    """Its descriptor, so that what it still holds can be flushed."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, stream.fileno())
    os.close(nothing)
