"""Exact mean returns where an environment states its own probabilities: Taxi, FrozenLake, CliffWalking.

100 episodes of FrozenLake at its optimum have a standard error of 0.04, so that "within 0.05 of the optimum" cannot be
read off them.
"""

from __future__ import annotations

from typing import NamedTuple

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from benchmarks.playing import STEP_LIMIT

Float64 = NDArray[np.float64]
_SETTLED = 1e-10


class StatedModel(NamedTuple):
    """What `env.unwrapped.P` states. S states, A actions."""

    reward: Float64  # [S, A], expected
    goes_on: Float64  # [S, A, S], probability to be there next and not at the end
    starts: Float64  # [S], probability to start there
    steps: int  # the time limit, or STEP_LIMIT


def stated_model(env_id: str) -> StatedModel | None:
    """None where the environment does not state its probabilities, or observes something else than its state."""
    env = gymnasium.make(env_id)
    inner = env.unwrapped
    table, starts = getattr(inner, "P", None), getattr(inner, "initial_state_distrib", None)
    if table is None or starts is None or not isinstance(env.observation_space, spaces.Discrete):
        return None
    states, actions = len(table), len(table[0])
    reward, goes_on = np.zeros((states, actions)), np.zeros((states, actions, states))
    for state in range(states):
        for action in range(actions):
            for probability, following, gained, terminated in table[state][action]:
                reward[state, action] += probability * gained
                if not terminated:
                    goes_on[state, action, following] += probability
    limit = None if env.spec is None else env.spec.max_episode_steps
    env.close()
    return StatedModel(reward, goes_on, np.asarray(starts, dtype=np.float64), limit or STEP_LIMIT)


def optimum(model: StatedModel) -> float:
    """The highest mean return within the time limit, of a policy that may look at the clock."""
    value = np.zeros(len(model.starts))
    for _ in range(model.steps):
        before, value = value, (model.reward + model.goes_on @ value).max(axis=1)
        if np.abs(value - before).max() < _SETTLED:
            break
    return float(model.starts @ value)


def mean_return(model: StatedModel, actions: NDArray[np.int64]) -> float:
    """Of the policy that takes `actions[S]`, within the time limit."""
    rows = np.arange(len(model.starts))
    reward, goes_on = model.reward[rows, actions], model.goes_on[rows, actions]
    value = np.zeros(len(model.starts))
    for _ in range(model.steps):
        before, value = value, reward + goes_on @ value
        if np.abs(value - before).max() < _SETTLED:
            break
    return float(model.starts @ value)
