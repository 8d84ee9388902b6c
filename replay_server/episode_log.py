"""Finished episodes on their way to the driver."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.types import ChunkFacts, Episodes


class EpisodeRows(NamedTuple):
    """Episodes of one chunk with where they came from."""

    episodes: Episodes
    actor_id: int
    incarnation: int
    env_steps: int  # of all actors when the chunk was inserted
    learner_steps: int  # the newest broadcast then


class EpisodesReply(NamedTuple):
    """The episodes from number `first` on, and the number of the next one to come."""

    rows: list[EpisodeRows]
    next: int
    recent_returns: NDArray[np.float64]  # of the last 100 episodes


class EpisodeLog:
    """Keeps episodes until the driver says that it has them: a lost reply loses nothing."""

    def __init__(self) -> None:
        self._rows: deque[EpisodeRows] = deque()
        self._first = 0
        self._next = 0
        self._recent: deque[float] = deque(maxlen=100)

    def add(self, facts: ChunkFacts, env_steps: int, learner_steps: int) -> None:
        """Takes the episodes of an inserted chunk, copied out of Ray's message."""
        count = len(facts.episodes.episode_return)
        if count == 0:
            return
        own = Episodes._make(column.copy() for column in facts.episodes)
        self._rows.append(EpisodeRows(own, facts.actor_id, facts.incarnation, env_steps, learner_steps))
        self._next += count
        self._recent.extend(own.episode_return[-100:].tolist())

    def read(self, after: int) -> EpisodesReply:
        """Everything from number `after` on, which must be one that an earlier reply called next (or 0)."""
        while self._rows and self._first < after:
            self._first += len(self._rows.popleft().episodes.episode_return)
        return EpisodesReply(rows=list(self._rows), next=self._next, recent_returns=np.array(self._recent))
