"""A peer of `benchmarks cold`: Stable-Baselines3's DQN with the settings of its RL Zoo for CartPole-v1.

https://github.com/DLR-RM/rl-baselines3-zoo/blob/master/hyperparams/dqn.yml
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.peer_looks import ENV_ID, Looks, not_installed, parse

TOTAL_ENV_STEPS = 50_000
ROLLOUT_ENV_STEPS = 256


def main(seed: int, looks: Looks) -> None:
    """Trains until the looks say that it ends. Raises BadInput where it is not installed."""
    try:
        from stable_baselines3 import DQN
    except ImportError as error:
        raise not_installed(error) from None

    model = DQN(
        "MlpPolicy",
        ENV_ID,
        learning_rate=2.3e-3,
        batch_size=64,
        buffer_size=100_000,
        learning_starts=1000,
        gamma=0.99,
        target_update_interval=10,
        train_freq=ROLLOUT_ENV_STEPS,
        gradient_steps=128,
        exploration_fraction=0.16,
        exploration_final_eps=0.04,
        policy_kwargs={"net_arch": [256, 256]},
        seed=seed,
    )

    def policy(observations: NDArray[np.float32]) -> NDArray[np.int64]:
        actions: NDArray[np.int64] = model.predict(observations, deterministic=True)[0]
        return actions

    def goes_on(_locals: dict[str, Any], _globals: dict[str, Any]) -> bool:
        """Called after each environment step; a rollout's updates are done at the first one of the next."""
        steps = model.num_timesteps
        first_of_a_rollout = steps > ROLLOUT_ENV_STEPS and steps % ROLLOUT_ENV_STEPS == 1
        return not (first_of_a_rollout and looks.look(policy, steps))

    # Epsilon falls over 16 % of the first 50,000 steps; where these do not solve it, training goes on at the final one.
    while not looks.ended:
        model.learn(TOTAL_ENV_STEPS, callback=goes_on, reset_num_timesteps=False)


if __name__ == "__main__":
    options = parse(__doc__)
    main(options.seed, Looks(options.seed, options.limit_seconds))
