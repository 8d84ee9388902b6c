"""Transitions as CartPole's, made up."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from common.types import Transition

OBSERVATION_SIZE = 4
_FILL_ROWS = 1000  # of a chunk while a ring is filled


def chunks_to_fill(capacity: int, rng: np.random.Generator) -> Iterator[Transition]:
    """Chunks of rows, `capacity` in all."""
    for first in range(0, capacity, _FILL_ROWS):
        yield cartpole_rows(min(_FILL_ROWS, capacity - first), rng)


def cartpole_rows(count: int, rng: np.random.Generator) -> Transition:
    """Transitions `[count]` of CartPole's shapes and dtypes, every row another one."""
    return Transition(
        observation=rng.standard_normal((count, OBSERVATION_SIZE), dtype=np.float32),
        action=rng.integers(2, size=count, dtype=np.int64),
        reward=rng.random(count, dtype=np.float32),
        discount=rng.random(count, dtype=np.float32),
        next_observation=rng.standard_normal((count, OBSERVATION_SIZE), dtype=np.float32),
    )
