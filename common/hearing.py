"""What the environment's code in a role's process prints and warns of: kept for the driver, who says it to the user.

Ray writes the streams of a role's process to a file of its own, which nobody looks at. They still go there; here a few
lines are kept: every warning once, and the first lines that were printed.
"""

from __future__ import annotations

import re
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from common.user_code import is_brought, shown_file

_MOST_PRINTED, _MOST_WARNINGS = 5, 20  # lines of a process
_LONGEST = 300  # characters of a line
_WARNING = "\0"  # before a line that is one; it is taken out again
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class Hearing:
    """The lines kept, each once, in their order."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # environments may have threads
        self._lines: tuple[str, ...] = ()
        self._printed = self._warned = 0

    @property
    def lines(self) -> tuple[str, ...]:
        """A snapshot, from any thread."""
        return self._lines

    def take(self, line: str) -> None:
        """A line that was written."""
        is_warning = line.startswith(_WARNING)
        text = plain(line.removeprefix(_WARNING))
        with self._lock:
            room = self._warned < _MOST_WARNINGS if is_warning else self._printed < _MOST_PRINTED
            if not text or not room or text in self._lines:
                return
            self._warned += is_warning
            self._printed += not is_warning
            self._lines = (*self._lines, text)


def plain(line: str) -> str:
    """Without colours, and of bearable length."""
    return _COLOURS.sub("", line).strip()[:_LONGEST]


@contextmanager
def listening(hearing: Hearing) -> Iterator[None]:
    """While it lasts, in this process."""
    streams, formatting = (sys.stdout, sys.stderr), warnings.formatwarning
    sys.stdout, sys.stderr = _Listener(sys.stdout, hearing), _Listener(sys.stderr, hearing)
    warnings.formatwarning = format_warning
    try:
        yield
    finally:
        sys.stdout, sys.stderr = streams
        warnings.formatwarning = formatting


def format_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    """In one line, as `warnings.formatwarning` is to be replaced by; with its place, unless it is one of ours."""
    text = " ".join(str(message).split())
    where = f" ({shown_file(filename)}:{lineno})" if is_brought(filename) else ""
    return f"{_WARNING}{category.__name__}: {text}{where}\n"


class _Listener:
    """A text stream that passes everything on."""

    def __init__(self, stream: TextIO, hearing: Hearing) -> None:
        self._stream = stream
        self._hearing = hearing
        self._unfinished = ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        *lines, rest = (self._unfinished + text).split("\n")
        self._unfinished = rest[:_LONGEST]
        for line in lines:
            self._hearing.take(line)
        return self._stream.write(text.replace(_WARNING, ""))
