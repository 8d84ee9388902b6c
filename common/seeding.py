"""One root seed, one independent stream for each use.

Asynchronous runs do not repeat, whatever the seed: what a seed fixes is each stream, not how they interleave.
"""

from typing import Literal

import numpy as np

Role = Literal["actor", "replay", "learner", "evaluator", "evaluate"]
_ROLE_KEYS: dict[Role, int] = {"actor": 1, "replay": 2, "learner": 3, "evaluator": 4, "evaluate": 5}


def seed_sequence(seed: int, role: Role, index: int = 0, incarnation: int = 0) -> np.random.SeedSequence:
    """The stream of a role: its index tells actors apart, its incarnation a replacement from its predecessor."""
    return np.random.SeedSequence(seed, spawn_key=(_ROLE_KEYS[role], index, incarnation))
