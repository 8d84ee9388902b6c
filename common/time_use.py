"""Where the time of a role's thread goes."""

from __future__ import annotations

import time
from collections.abc import Callable

ACTIVITIES: dict[str, tuple[str, ...]] = {
    "actors": ("acting", "environment", "accumulating", "shipping", "waiting"),
    "replay": ("inserting", "sampling", "between_calls"),
    "learner": ("sampling", "updating", "broadcasting"),
    "evaluator": ("looking", "waiting"),
}
"""actors: Q-values and actions; the environments' steps; n-step rows and episodes; joining a chunk; its ack.
replay: chunks into the ring; rows out of it; waiting, and Ray's handling of calls.
learner: asking for rows and waiting for them; gradient steps; target copy and publication.
evaluator: greedy episodes; waiting for params that are due.
"""


class TimeUse:
    """Every moment belongs to the activity that ends with it, so the sum is all the time since `begin`."""

    def __init__(self, activities: tuple[str, ...], clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._seconds = dict.fromkeys(activities, 0.0)
        self._last = clock()

    def begin(self) -> None:
        """What was before belongs to nothing."""
        self._last = self._clock()

    def spent(self, activity: str) -> None:
        """Since the last call, or `begin`, the time went into this. Raises KeyError on one not named at the start."""
        now = self._clock()
        self._seconds[activity] += now - self._last
        self._last = now

    @property
    def seconds(self) -> dict[str, float]:
        """Activity -> seconds, a copy."""
        return dict(self._seconds)


def column(role: str, activity: str) -> str:
    """The name in metrics.parquet, `learner_updating_seconds`."""
    return f"{role}_{activity}_seconds"


def columns() -> list[str]:
    """All of them."""
    return [column(role, activity) for role, activities in ACTIVITIES.items() for activity in activities]
