"""Whether an environment's own vectorised class may stand for single ones: only where it is seen to play the same.

Such a class may preprocess on its own, as that of ale-py, whose frames are others and whose rewards are clipped. Which
are registered is what `gymnasium.make` gives, so that is what is played.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import VectorEnv

if TYPE_CHECKING:
    from common.environment import Step, VectorEnvironment

_EPISODES = 10
_STEPS = 100  # of an episode
_SECONDS = 0.5  # in all; a start should not wait for it
_OWN = "gymnasium.envs."


def other_spaces(vector: VectorEnv[Any, Any, Any], env: gymnasium.Env[Any, Any]) -> str | None:
    """What a space of the class is where it is not that of a single one."""
    for name in ("observation_space", "action_space"):
        own, single = getattr(vector, f"single_{name}"), getattr(env, name)
        if own != single:
            return f"the {name} of the class is {_short(own)}, and that of gymnasium.make {_short(single)}"
    return None


def is_gymnasiums_own(vector: VectorEnv[Any, Any, Any], env: gymnasium.Env[Any, Any]) -> bool:
    """Both are of one file of Gymnasium's: that needs no trial, which its start states would not allow."""
    own = type(vector.unwrapped).__module__
    return own.startswith(_OWN) and own == type(env.unwrapped).__module__


def other_play(own: VectorEnvironment, single: VectorEnvironment, seeds: np.random.SeedSequence) -> str | None:
    """What one copy of the class does otherwise than a single one, from the same seeds by the same random actions."""
    rng = np.random.default_rng(seeds)
    action_count = int(single.action_space.n)
    deadline = time.monotonic() + _SECONDS
    for start in seeds.spawn(_EPISODES):
        own.reset(start)
        single.reset(start)
        if not _same(own.observation, single.observation):
            return "from one seed the class starts elsewhere, so that nothing shows that it plays the same"
        for number in range(_STEPS):
            action = rng.integers(action_count, size=1)
            one, other = own.step(action), single.step(action)
            if (name := _difference(one, other)) is not None:
                shown = f"{one.reward[0]:g}, and not {other.reward[0]:g}" if name == "reward" else "another"
                return f"at step {number + 1} of an episode the {name.replace('_', ' ')} of the class is {shown}"
            if other.terminated[0] or other.truncated[0] or time.monotonic() > deadline:
                break
        if time.monotonic() > deadline:
            break
    return None


def _difference(one: Step, other: Step) -> str | None:
    fields = zip(one._fields, one, other, strict=True)
    return next((name for name, a, b in fields if not _same(a, b)), None)


def _same(one: Any, other: Any) -> bool:
    """But for what float32 loses on the way."""
    return one.shape == other.shape and np.allclose(one, other, rtol=1e-3, atol=1e-5, equal_nan=True)


def _short(space: spaces.Space[Any]) -> str:
    text = " ".join(str(space).split())
    return text if len(text) <= 60 else f"{text[:57]}..."
