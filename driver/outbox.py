"""Writes what is said from a thread of its own.

A terminal that was stopped with Ctrl-S, a stalled connection or a pager that nobody scrolls takes nothing for as long
as it likes. Whoever writes to it then waits; here nobody else does.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable

_MOST_BYTES = 1_000_000  # that wait; what comes on top is dropped


class Outbox:
    """In the order in which it is put in, to whatever descriptor. The thread starts with the first of it."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[int, bytes, Callable[[OSError], None]]] = deque()
        self._bytes = 0  # of what waits, and of what is being written
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def put(self, descriptor: int, content: bytes, on_failure: Callable[[OSError], None]) -> None:
        """Returns at once. `on_failure` is called from the thread."""
        with self._changed:
            if self._bytes + len(content) > _MOST_BYTES:
                return
            self._bytes += len(content)
            self._waiting.append((descriptor, content, on_failure))
            if self._thread is None:
                self._thread = threading.Thread(target=self._write, name="output", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def drain(self, seconds: float) -> bool:
        """Waits until all is written, but not longer. Returns whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: self._bytes == 0, timeout=seconds)

    def _write(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: len(self._waiting) > 0)
                descriptor, content, on_failure = self._waiting.popleft()
            left = content
            try:
                while left:
                    left = left[os.write(descriptor, left) :]
            except OSError as error:
                on_failure(error)
            with self._changed:
                self._bytes -= len(content)
                self._changed.notify_all()
