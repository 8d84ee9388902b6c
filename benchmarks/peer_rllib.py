"""A peer of `benchmarks cold`: RLlib's DQN of the installed Ray, with the settings of its own example for CartPole-v1.

https://github.com/ray-project/ray/blob/master/rllib/tuned_examples/dqn/cartpole_dqn.py, without a remote env runner.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import ray
import torch
from numpy.typing import NDArray

from benchmarks.peer_looks import CARTPOLE, Looks, not_installed, parse


def main(seed: int, looks: Looks) -> None:
    """Trains until the looks say that it ends. Raises BadInput where it is not installed."""
    try:
        from ray.rllib.algorithms.dqn import DQNConfig
        from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig
    except ImportError as error:
        raise not_installed(error) from None

    ray.init(address="local", include_dashboard=False)
    config = (
        DQNConfig()
        .environment(CARTPOLE)
        .env_runners(num_env_runners=0)
        .training(
            lr=5e-4,
            train_batch_size_per_learner=32,
            replay_buffer_config={
                "type": "PrioritizedEpisodeReplayBuffer",
                "capacity": 50_000,
                "alpha": 0.6,
                "beta": 0.4,
            },
            n_step=(2, 5),
            double_q=True,
            dueling=True,
            epsilon=[(0, 1.0), (10_000, 0.02)],
        )
        .rl_module(
            model_config=DefaultModelConfig(
                fcnet_hiddens=[256],
                fcnet_activation="tanh",
                fcnet_bias_initializer="zeros_",
                head_fcnet_bias_initializer="zeros_",
                head_fcnet_hiddens=[256],
            )
        )
        .debugging(seed=seed)
    )
    algorithm = config.build_algo()

    def policy(observations: NDArray[np.float32]) -> NDArray[np.int64]:
        with torch.no_grad():
            output = algorithm.get_module().forward_inference({"obs": torch.from_numpy(observations)})
        actions: NDArray[np.int64] = output["actions"].numpy()
        return actions

    while not looks.ended:
        result = algorithm.train()
        looks.look(policy, int(result["num_env_steps_sampled_lifetime"]))
    algorithm.stop()
    ray.shutdown()
    Path(algorithm.logdir).rmdir()  # empty; RLlib leaves one in ~/ray_results each time


if __name__ == "__main__":
    options = parse(__doc__)
    main(options.seed, Looks(options.seed, options.limit_seconds))
