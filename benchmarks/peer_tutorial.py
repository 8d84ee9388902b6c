"""A peer of `benchmarks cold`: the single-process script of a good DQN tutorial, one thread, one environment."""

from __future__ import annotations

import copy
import math
import random

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.peer_looks import CARTPOLE, Looks, parse

REPLAY_CAPACITY = 5_000
BATCH_SIZE = 64
LEARNING_RATE = 1e-3
GAMMA = 0.99
TARGET_UPDATE_ENV_STEPS = 50
LOOK_ENV_STEPS = 500

Row = tuple[NDArray[np.float32], int, float, NDArray[np.float32], bool]
"""observation, action, reward, next observation, done"""


def main(seed: int, looks: Looks) -> None:
    """Trains until the looks say that it ends."""
    torch.set_num_threads(1)
    random.seed(seed)
    torch.manual_seed(seed)
    env = gymnasium.make(CARTPOLE)
    online = nn.Sequential(nn.Linear(4, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 2))
    target = copy.deepcopy(online)
    optimizer = torch.optim.Adam(online.parameters(), lr=LEARNING_RATE)
    replay: list[Row] = []
    steps = 0
    observation, _ = env.reset(seed=seed)
    while True:
        epsilon = 0.05 + 0.95 * math.exp(-steps / 750)
        action = random.randrange(2) if random.random() < epsilon else int(greedy(online, observation))
        next_observation, reward, terminated, truncated, _ = env.step(action)
        done = terminated or truncated
        row = (observation, action, float(reward), next_observation, done)
        if len(replay) < REPLAY_CAPACITY:
            replay.append(row)
        else:
            replay[steps % REPLAY_CAPACITY] = row
        observation = env.reset()[0] if done else next_observation
        steps += 1
        if len(replay) >= BATCH_SIZE:
            optimizer.zero_grad()
            squared_error(online, target, random.sample(replay, BATCH_SIZE)).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        if steps % TARGET_UPDATE_ENV_STEPS == 0:
            target.load_state_dict(online.state_dict())
        if steps % LOOK_ENV_STEPS == 0 and looks.look(lambda observations: greedy(online, observations), steps):
            return


def greedy(network: nn.Module, observation: NDArray[np.float32]) -> NDArray[np.int64]:
    """The best actions `[...]` for observations `[..., 4]`."""
    with torch.no_grad():
        best: NDArray[np.int64] = network(torch.from_numpy(observation)).argmax(dim=-1).numpy()
    return best


def squared_error(online: nn.Module, target: nn.Module, rows: list[Row]) -> Tensor:
    """The mean over the rows."""
    observations, actions, rewards, next_observations, dones = zip(*rows, strict=True)
    q_values = online(torch.from_numpy(np.array(observations)))  # [B, 2]
    q_value = q_values.gather(1, torch.tensor(actions).unsqueeze(1)).squeeze(1)  # [B]
    with torch.no_grad():
        next_value = target(torch.from_numpy(np.array(next_observations))).max(dim=1).values
        wanted = torch.tensor(rewards) + GAMMA * next_value * (1.0 - torch.tensor(dones, dtype=torch.float32))
    return nn.functional.mse_loss(q_value, wanted)


if __name__ == "__main__":
    options = parse(__doc__)
    main(options.seed, Looks(options.seed, options.limit_seconds))
