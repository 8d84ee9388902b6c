"""What each actor last told of itself, added up over the processes that were it, and how old its params are."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from actors.actor import ActorStats
from common.time_use import ACTIVITIES

_ANSWERED_SECONDS = 3.0  # an older answer is not one to the last question


class _Answer(NamedTuple):
    stats: ActorStats
    seconds: float  # when it came, on the run's clock


class ActorAnswers:
    """Takes an actor's statistics, which count from the start of its process; a replacement is another process."""

    def __init__(self, seconds: Callable[[], float]) -> None:
        """`seconds`: the run's clock."""
        self._seconds = seconds
        self._last: dict[int, _Answer] = {}  # by actor
        self._spent: dict[tuple[int, str], dict[str, float]] = {}  # by actor and process: activity -> seconds

    def take(self, process: str, stats: ActorStats) -> None:
        """An answer of this process."""
        self._last[stats.actor_id] = _Answer(stats, self._seconds())
        self._spent[stats.actor_id, process] = stats.seconds

    def spent_seconds(self) -> dict[str, float]:
        """Activity -> seconds of all actors."""
        return {activity: sum(spent[activity] for spent in self._spent.values()) for activity in ACTIVITIES["actors"]}

    def waiting_seconds(self, actor_id: int) -> float:
        """For acks."""
        return sum(spent["waiting"] for (owner, _), spent in self._spent.items() if owner == actor_id)

    def params_age_learner_steps(self, actor_id: int, newest_version: int) -> int | None:
        """Of the version that it last told, so it grows while the actor is silent; None before the first."""
        answer = self._last.get(actor_id)
        if answer is None or answer.stats.params_age_seconds is None:
            return None
        # It may have answered a moment after the learner, with params that are newer still.
        return max(0, newest_version - answer.stats.params_version)

    def params_age_seconds(self, actor_id: int) -> float | None:
        """By the actor's own clock, and while it is silent by the driver's too; None before the first."""
        answer = self._last.get(actor_id)
        if answer is None or answer.stats.params_age_seconds is None:
            return None
        silent = self._seconds() - answer.seconds
        return answer.stats.params_age_seconds + (silent if silent > _ANSWERED_SECONDS else 0.0)
