"""One root seed, one independent stream for each use.

Asynchronous runs do not repeat, whatever the seed: what a seed fixes is each stream, not how they interleave.
"""

import random
import sys
from typing import Any, Literal

import numpy as np

Role = Literal["actor", "replay", "learner", "evaluator", "evaluate", "probe"]
_ROLE_KEYS: dict[Role, int] = {"actor": 1, "replay": 2, "learner": 3, "evaluator": 4, "evaluate": 5, "probe": 6}
_SEED_END = 2**31  # simulators take an int32


def seed_sequence(seed: int, role: Role, index: int = 0, incarnation: int = 0) -> np.random.SeedSequence:
    """The stream of a role: its index tells actors apart, its incarnation a replacement from its predecessor."""
    return np.random.SeedSequence(seed, spawn_key=(_ROLE_KEYS[role], index, incarnation))


def environment_seeds(seeds: np.random.SeedSequence, count: int) -> list[int]:
    """What the `reset` of `count` environments gets. Each plus `count` is an int32: vector classes add the index."""
    return [int(word) % (_SEED_END - count) for word in seeds.generate_state(count, np.uint64)]


def seed_global_streams(seeds: np.random.SeedSequence) -> bool:
    """Seeds the streams that anyone's code may draw from: `random`, numpy's old one, torch's where it is imported.

    Forked processes share torch's and numpy's; processes that start anew have other numbers in each run.

    Returns:
        Whether torch is there; whoever imports it later calls `seed_torch` with the same seeds.
    """
    random.seed(_child(seeds, 0).generate_state(8).tobytes())
    np.random.seed(_child(seeds, 1).generate_state(8))
    return seed_torch(seeds)


def seed_torch(seeds: np.random.SeedSequence) -> bool:
    """Seeds torch's global streams, of all devices, if somebody has imported it. Returns whether."""
    torch: Any = sys.modules.get("torch")
    if torch is None:
        return False
    torch.manual_seed(int(_child(seeds, 2).generate_state(1, np.uint64)[0] >> 1))
    return True


def _child(seeds: np.random.SeedSequence, number: int) -> np.random.SeedSequence:
    """As `seeds.spawn` makes them, but the same at each call."""
    return np.random.SeedSequence(seeds.entropy, spawn_key=(*seeds.spawn_key, number))
