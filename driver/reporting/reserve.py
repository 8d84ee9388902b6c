"""Room on the disk that a run keeps for its last files, so that a disk that fills up meanwhile cannot cost them."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

_STEP_BYTES = 4096
_FULL = (errno.ENOSPC, errno.EDQUOT)


class Reserve:
    """A file of a given size that is given up for a moment when there is no other room."""

    def __init__(self, path: Path, size_bytes: int) -> None:
        """Nothing is on the disk before `hold`."""
        self._path = path
        self._size = size_bytes

    def hold(self) -> None:
        """Takes the room. Raises OSError where there is not enough."""
        if self._size > 0:
            self._grow_to(self._size)

    def shrink(self, size_bytes: int) -> None:
        """Keeps only so much from here on."""
        self.give_up()
        self._size = min(self._size, size_bytes)
        self._hold_what_is_left()

    def give_up(self) -> None:
        """For good, or until it is held again."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)

    def spend(self, write: Callable[[], None]) -> None:
        """Calls `write`, and once more in the reserved room where the disk is full. Raises OSError."""
        try:
            write()
        except OSError as error:
            if error.errno not in _FULL:
                raise
            self.give_up()
            try:
                write()
            finally:
                self._hold_what_is_left()

    def _hold_what_is_left(self) -> None:
        """All of it, before tables that also wait for room take some."""
        size = self._size
        while size > 0:
            try:
                self._grow_to(size)
            except OSError:
                size -= _STEP_BYTES
            else:
                return

    def _grow_to(self, size: int) -> None:
        with self._path.open("ab") as file:
            missing = size - file.tell()
            if missing > 0 and hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), file.tell(), missing)
            elif missing > 0:
                file.write(bytes(missing))
