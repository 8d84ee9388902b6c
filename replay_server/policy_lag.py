"""How old the params are that actors act with."""

from __future__ import annotations

from collections import deque

import numpy as np


class PolicyLag:
    """Of each chunk, in learner steps: the newest version when it is inserted less the oldest acted with in it."""

    def __init__(self) -> None:
        self.newest_version = 0
        self.chunks = 0
        self.largest = 0
        self._sum = 0
        self._recent: deque[int] = deque(maxlen=100)

    def published(self, version: int) -> None:
        """A version that the learner published; a late one changes nothing."""
        self.newest_version = max(self.newest_version, version)

    def inserted(self, version: int) -> None:
        """A chunk acted with this version, and newer ones."""
        # A replaced actor, which asks the learner, may be faster than the publication of what it acted with.
        self.published(version)
        lag = self.newest_version - version
        self.chunks += 1
        self.largest = max(self.largest, lag)
        self._sum += lag
        self._recent.append(lag)

    @property
    def mean(self) -> float:
        """Over all chunks; NaN before the first."""
        return self._sum / self.chunks if self.chunks else float("nan")

    @property
    def recent(self) -> float:
        """Over the last 100 chunks; NaN before the first."""
        return float(np.mean(self._recent)) if self._recent else float("nan")
