"""How long published params take until the last actor acts with them."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

_RECENT_VERSIONS = 1000
_OPEN_VERSIONS = 100  # an actor that is gone must not keep versions for ever


@dataclass
class _Open:
    """A version that some actors do not act with yet."""

    published_time: float
    missing: set[int]
    latest: float  # of the actors that do: when the last one began


class ParamsDelay:
    """From publication to the last actor that acts with this version or a newer one.

    Counts the actors that had shipped a chunk before the publication. All times are time.time() of their own machines:
    across machines the delays are as true as their clocks.
    """

    def __init__(self) -> None:
        self._actors: set[int] = set()
        self._open: dict[int, _Open] = {}  # by version, oldest first
        self._recent: deque[float] = deque(maxlen=_RECENT_VERSIONS)

    def published(self, version: int, published_time: float) -> None:
        """A newer version than any before."""
        if self._actors:
            self._open[version] = _Open(published_time, set(self._actors), published_time)
        if len(self._open) > _OPEN_VERSIONS:
            del self._open[next(iter(self._open))]

    def acting(self, actor_id: int, version: int, since: float) -> None:
        """This actor acts with this version, since this time."""
        self._actors.add(actor_id)
        for published in [published for published in self._open if published <= version]:
            open_ = self._open[published]
            if actor_id in open_.missing:
                open_.missing.remove(actor_id)
                open_.latest = max(open_.latest, since)
                if not open_.missing:
                    self._recent.append(open_.latest - open_.published_time)
                    del self._open[published]

    def percentile(self, percent: float) -> float:
        """Of the last 1,000 versions, seconds; NaN before the first."""
        return float(np.percentile(self._recent, percent)) if self._recent else float("nan")
