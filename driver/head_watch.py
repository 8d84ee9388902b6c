"""Watches whether the head of a cluster is there: without it nothing ends, and nobody says why."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from driver.head import Head

CLUSTER = "cluster"  # what a run's failure then names in the place of a role
_ASK_SECONDS = 2.0
_PATIENCE_SECONDS = 20.0  # a cut of ten seconds passes


class HeadWatch:
    """`complaint` is to be asked often; it never waits."""

    def __init__(self, head: Head, clock: Callable[[], float] = time.monotonic) -> None:
        self._head = head
        self._clock = clock
        self._answered = self._asked = clock()
        self._question = head.ask()

    def complaint(self) -> str | None:
        """What is wrong with the head, once it has been wrong for long enough."""
        now = self._clock()
        if self._question.done():
            if self._question.exception() is None:
                self._answered = self._asked
            if now - self._asked >= _ASK_SECONDS:
                self._asked = now
                self._question = self._head.ask()
        silent = now - self._answered
        if silent <= _PATIENCE_SECONDS:
            return None
        return f"the head of the cluster, {self._head.address}, has not answered for {silent:.0f} s"
