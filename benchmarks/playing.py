"""Plays a saved network with nothing of this project: torch reads the file, gymnasium flattens and plays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray

CHECK_SEED = 1_000_000  # start states of the check: CHECK_SEED, CHECK_SEED + 1, ... on no training stream
STEP_LIMIT = 10_000  # of an episode: some environments have no limit of their own, and a policy may never end one
_SIDE_BY_SIDE = 25


class Played(NamedTuple):
    """What came out of greedy episodes."""

    returns: NDArray[np.float64]  # [episodes]
    unended: int  # episodes that STEP_LIMIT cut off; they count with what they had reached
    score: float | None  # mean of what `info["score"]` says at the end, in environments that say it


def read_network(path: Path) -> torch.nn.Sequential:
    """The Q-network of `weight, bias, weight, bias ...` with ReLU between."""
    state = list(torch.load(path, weights_only=True).values())
    layers: list[torch.nn.Module] = []
    for weight, bias in zip(state[::2], state[1::2], strict=True):
        linear = torch.nn.Linear(weight.shape[1], weight.shape[0])
        linear.load_state_dict({"weight": weight, "bias": bias})
        layers += [linear, torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1])


def greedy_actions(network: torch.nn.Sequential, observations: list[NDArray[Any]]) -> NDArray[np.int64]:
    """`[B]`, from 0, for flat observations of any number type."""
    with torch.no_grad():
        q_values = network(torch.as_tensor(np.stack(observations).astype(np.float32)))
    actions: NDArray[np.int64] = q_values.argmax(dim=1).numpy()
    return actions


def play(network: torch.nn.Sequential, make: Callable[[], gymnasium.Env[Any, Any]], episodes: int) -> Played:
    """Greedy episodes on start states of the check, some side by side so that one forward pass serves many."""
    environments = [make() for _ in range(min(episodes, _SIDE_BY_SIDE))]
    returns = np.zeros(episodes)
    scores: list[float] = []
    unended = 0
    for first in range(0, episodes, len(environments)):
        numbers = range(first, min(first + len(environments), episodes))
        running = dict(zip(numbers, environments, strict=False))
        seen = {number: _flat(env, env.reset(seed=CHECK_SEED + number)[0]) for number, env in running.items()}
        steps = 0
        while running and steps < STEP_LIMIT:
            actions = greedy_actions(network, [seen[number] for number in running])
            for (number, env), action in zip(list(running.items()), actions, strict=True):
                start = int(getattr(env.action_space, "start", 0))
                observation, reward, terminated, truncated, info = env.step(int(action) + start)
                returns[number] += float(reward)
                seen[number] = _flat(env, observation)
                if terminated or truncated:
                    del running[number]
                    if "score" in info:
                        scores.append(float(info["score"]))
            steps += 1
        unended += len(running)
    for env in environments:
        env.close()
    return Played(returns, unended, float(np.mean(scores)) if scores else None)


def _flat(env: gymnasium.Env[Any, Any], observation: Any) -> NDArray[Any]:
    return np.asarray(gymnasium.spaces.flatten(env.observation_space, observation))
