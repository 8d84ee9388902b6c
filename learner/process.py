"""The learner as the Ray actor that the driver creates.

Creating a Ray actor imports its class in the driver too; this one imports torch, which takes a second, only in the
learner's own process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from common.types import Params
from learner.learner_stats import LearnerStats

if TYPE_CHECKING:
    from learner.learner import Broadcaster


class LearnerProcess:
    """Hands everything on to a Learner."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Takes what Learner takes."""
        from learner.learner import Learner

        self._learner = Learner(*args, **kwargs)

    def __repr__(self) -> str:
        return "learner"

    def run(self, broadcast: Broadcaster) -> bool:
        """See Learner.run."""
        return self._learner.run(broadcast)

    def newest(self) -> Params:
        """See Learner.newest."""
        return self._learner.newest()

    def stats(self) -> LearnerStats:
        """See Learner.stats."""
        return self._learner.stats()
