"""Whether an environment keeps its promises, seen on one reset and a few steps."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from common.observations import leaf_values
from common.seeding import environment_seeds, seed_global_streams

_MOST_STEPS = 10
_MOST_SECONDS = 1.0  # after the first step


class BrokenPromise(Exception):  # noqa: N818  of the environment's, told in a sentence
    """With this environment nothing can be learnt. Its text says what was returned and what should be."""


def try_out(env: gymnasium.Env[Any, Any], seeds: np.random.SeedSequence) -> list[str]:
    """Warnings, each once. Raises BrokenPromise, and whatever the environment does."""
    return list(dict.fromkeys(_play(env, seeds)))


def _play(env: gymnasium.Env[Any, Any], seeds: np.random.SeedSequence) -> Iterator[str]:
    rng = np.random.default_rng(seeds)
    seed_global_streams(seeds)
    actions = env.action_space
    assert isinstance(actions, spaces.Discrete)
    observation, _ = env.reset(seed=environment_seeds(seeds, 1)[0])
    yield from check_observation(env.observation_space, observation, "reset")
    began = time.monotonic()
    for _ in range(_MOST_STEPS):
        action = actions.dtype.type(actions.start + rng.integers(actions.n))
        observation, reward, terminated, truncated, _ = env.step(action)
        yield from check_observation(env.observation_space, observation, "step")
        if not np.isfinite(float(reward)):
            raise BrokenPromise(f"step returned the reward {reward}; it must be a finite number")
        if terminated or truncated:
            observation, _ = env.reset()
            yield from check_observation(env.observation_space, observation, "reset")
        if time.monotonic() - began > _MOST_SECONDS:
            return


def check_observation(space: spaces.Space[Any], observation: Any, method: str) -> Iterator[str]:
    """Yields warnings. Raises BrokenPromise on what cannot be learnt from."""
    for leaf, value in leaf_values(space, observation):
        yield from _check_leaf(leaf.space, value, method, f" in its part {leaf.name}" if leaf.name else "")


def _check_leaf(space: spaces.Space[Any], observation: Any, method: str, where: str) -> Iterator[str]:
    values = np.asarray(observation)
    if space.shape is not None and values.shape != space.shape:
        raise BrokenPromise(
            f"{method} returned an observation of shape {values.shape}{where}; its space has {space.shape}"
        )
    if not np.isfinite(values.astype(np.float64)).all():
        raise BrokenPromise(
            f"{method} returned an observation that is not finite{where}: {_first(values, ~np.isfinite(values))}"
        )
    if isinstance(space, spaces.Box):
        # As float32, which all observations become: the last digits of a float64 are no news.
        with np.errstate(over="ignore"):
            low, high, seen = (np.atleast_1d(array).astype(np.float32) for array in (space.low, space.high, values))
        outside = (seen < low) | (seen > high)
        if outside.any():
            index = tuple(int(axis[0]) for axis in np.nonzero(outside))
            yield (
                f"{method} returned an observation outside its space{where}: {_first(values, outside)}, and its bounds "
                f"are [{low[index]:g}, {high[index]:g}]"
            )
    elif not space.contains(observation):
        raise BrokenPromise(f"{method} returned the observation {observation}{where}, which is not in {space}")


def _first(values: Any, chosen: Any) -> str:
    values, chosen = np.atleast_1d(values), np.atleast_1d(chosen)
    index = tuple(int(axis[0]) for axis in np.nonzero(chosen))
    return f"number {', '.join(map(str, index))} is {values[index]}"
