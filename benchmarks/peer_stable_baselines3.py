"""A peer of `benchmarks cold`: Stable-Baselines3's DQN with the settings of its RL Zoo.

https://github.com/DLR-RM/rl-baselines3-zoo/blob/master/hyperparams/dqn.yml
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.peer_looks import CARTPOLE, Looks, not_installed, parse


class Zoo(NamedTuple):
    """What the Zoo has for one environment."""

    total_env_steps: int  # that epsilon's decay is a share of
    look_env_steps: int  # between looks; a multiple of a rollout
    settings: dict[str, Any]


ZOO = {
    CARTPOLE: Zoo(
        total_env_steps=50_000,
        look_env_steps=256,
        settings={
            "learning_rate": 2.3e-3,
            "batch_size": 64,
            "buffer_size": 100_000,
            "learning_starts": 1000,
            "gamma": 0.99,
            "target_update_interval": 10,
            "train_freq": 256,
            "gradient_steps": 128,
            "exploration_fraction": 0.16,
            "exploration_final_eps": 0.04,
            "policy_kwargs": {"net_arch": [256, 256]},
        },
    ),
    "LunarLander-v3": Zoo(
        total_env_steps=100_000,
        look_env_steps=5000,  # a look steps the environment some 30,000 times
        settings={
            "learning_rate": 6.3e-4,
            "batch_size": 128,
            "buffer_size": 50_000,
            "learning_starts": 0,
            "gamma": 0.99,
            "target_update_interval": 250,
            "train_freq": 4,
            "gradient_steps": -1,
            "exploration_fraction": 0.12,
            "exploration_final_eps": 0.1,
            "policy_kwargs": {"net_arch": [256, 256]},
        },
    ),
}


def main(env_id: str, seed: int, looks: Looks) -> None:
    """Trains until the looks say that it ends. Raises BadInput where it is not installed."""
    try:
        from stable_baselines3 import DQN
    except ImportError as error:
        raise not_installed(error) from None

    zoo = ZOO[env_id]
    model = DQN("MlpPolicy", env_id, seed=seed, **zoo.settings)

    def policy(observations: NDArray[np.float32]) -> NDArray[np.int64]:
        actions: NDArray[np.int64] = model.predict(observations, deterministic=True)[0]
        return actions

    def goes_on(_locals: dict[str, Any], _globals: dict[str, Any]) -> bool:
        """Called after each environment step; a rollout's updates are done at the first one of the next."""
        steps = model.num_timesteps
        is_first_of_a_rollout = steps > zoo.look_env_steps and steps % zoo.look_env_steps == 1
        return not (is_first_of_a_rollout and looks.look(policy, steps))

    # Epsilon falls over a share of the first steps; where these do not solve it, training goes on at the final one.
    while not looks.ended:
        model.learn(zoo.total_env_steps, callback=goes_on, reset_num_timesteps=False)


if __name__ == "__main__":
    options = parse(__doc__, tuple(ZOO))
    main(options.env, options.seed, Looks(options.seed, options.limit_seconds, options.env))
