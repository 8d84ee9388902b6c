"""Vector environments in one shape: flat float32 observations, actions from 0, and no autoreset surprises.

Since Gymnasium 1.0 a vector environment resets itself. Under NEXT_STEP it spends one step on the reset: the action is
ignored, the reward is 0, the observation is the new episode's first. Such a step is no environment step: here it comes
back with `valid` False, and nobody stores or counts it. Under SAME_STEP the final observation hides in the infos.
"""

from __future__ import annotations

import importlib
from typing import Any, NamedTuple, cast

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from numpy.typing import NDArray

from common.config import BadInput
from common.types import EnvironmentSpec

Float32 = NDArray[np.float32]
Bool = NDArray[np.bool_]


class Step(NamedTuple):
    """One step of all environments, `[E]` each. Rows with `valid` False are resets, not environment steps."""

    next_observation: Float32  # [E, D], the true one, also at an episode's end
    reward: NDArray[np.float64]  # [E]
    terminated: Bool  # [E]
    truncated: Bool  # [E]
    valid: Bool  # [E]


class VectorEnvironment:
    """E copies of one environment, stepped together."""

    def __init__(self, env_id: str, num_envs: int) -> None:
        self.num_envs = num_envs
        self._vector = _make_vector(env_id, num_envs)
        self._mode = self._vector.metadata.get("autoreset_mode")
        if self._mode not in (AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP):
            raise ValueError(f"{env_id} resets itself by {self._mode}; NEXT_STEP and SAME_STEP are handled")
        self._space = self._vector.single_observation_space
        action_space = cast("spaces.Discrete", self._vector.single_action_space)
        self._action_start = int(action_space.start)
        self._action_dtype = cast("np.dtype[Any]", action_space.dtype)
        self._needs_reset = np.zeros(num_envs, dtype=np.bool_)
        self.observation: Float32 = np.zeros((num_envs, 0), dtype=np.float32)  # [E, D], what to act on next

    def reset(self, seeds: np.random.SeedSequence) -> None:
        """Starts new episodes everywhere, every environment with a seed of its own where the class takes several."""
        if isinstance(self._vector.unwrapped, SyncVectorEnv):
            seed: Any = [int(word) for word in seeds.generate_state(self.num_envs)]
        else:
            seed = int(seeds.generate_state(1)[0])
        raw, _ = self._vector.reset(seed=seed)
        self.observation = flatten(self._space, raw, self.num_envs)
        self._needs_reset = np.zeros(self.num_envs, dtype=np.bool_)

    def step(self, action: NDArray[np.int64]) -> Step:
        """Steps every environment; action `[E]` from 0."""
        raw, reward, terminated, truncated, infos = self._vector.step(
            (action + self._action_start).astype(self._action_dtype)
        )
        observation = flatten(self._space, raw, self.num_envs)
        ended = terminated | truncated
        if self._mode == AutoresetMode.NEXT_STEP:
            next_observation, valid = observation, ~self._needs_reset
            self._needs_reset = ended
        else:
            valid = np.ones(self.num_envs, dtype=np.bool_)
            next_observation = self._with_final_observations(observation, ended, infos)
        self.observation = observation
        return Step(
            next_observation=next_observation,
            reward=np.asarray(reward, dtype=np.float64),
            terminated=np.asarray(terminated, dtype=np.bool_),
            truncated=np.asarray(truncated, dtype=np.bool_),
            valid=valid,
        )

    def close(self) -> None:
        """Frees what the environments hold."""
        self._vector.close()

    def _with_final_observations(self, observation: Float32, ended: Bool, infos: dict[str, Any]) -> Float32:
        if not ended.any():
            return observation
        if "final_obs" not in infos:
            raise ValueError(f"{self._vector} resets in the same step but hands out no final_obs")
        patched = observation.copy()
        for index in np.flatnonzero(ended):
            patched[index] = flatten(self._space, np.asarray(infos["final_obs"][index])[None], 1)[0]
        return patched


def flatten(space: spaces.Space[Any], observation: Any, count: int) -> Float32:
    """`[count, ...]` -> a fresh `[count, D]` float32 array, never a view: environments may reuse theirs.

    Integers of Discrete and MultiDiscrete spaces become one-hot, as in `gymnasium.spaces.flatten`.
    """
    values = np.asarray(observation)
    if isinstance(space, spaces.Discrete):
        rows: Float32 = np.eye(int(space.n), dtype=np.float32)[values.reshape(count) - int(space.start)]
        return rows
    if isinstance(space, spaces.MultiDiscrete):
        columns = (values.reshape(count, -1) - space.start.ravel()).T
        sizes = space.nvec.ravel()
        return np.concatenate(
            [np.eye(int(n), dtype=np.float32)[column] for n, column in zip(sizes, columns, strict=True)], axis=1
        )
    return values.reshape(count, -1).astype(np.float32)


def probe(env_id: str) -> EnvironmentSpec:
    """Makes the environment once and describes it. Raises BadInput where this system cannot use it."""
    try:
        env = gymnasium.make(env_id)
    except (gymnasium.error.Error, ImportError, TypeError, ValueError) as error:
        raise BadInput(f"--env {env_id}: {_one_line(error)}; use a registered Gymnasium id, or module:id") from None
    try:
        return _describe(env_id, env)
    finally:
        env.close()


def _describe(env_id: str, env: gymnasium.Env[Any, Any]) -> EnvironmentSpec:
    actions, observations = env.action_space, env.observation_space
    if not isinstance(actions, spaces.Discrete):
        raise BadInput(f"--env {env_id}: its action space is {actions}; DQN needs a Discrete one, as CartPole-v1 has")
    if isinstance(observations, spaces.Box | spaces.MultiBinary):
        size = int(np.prod(observations.shape))
    elif isinstance(observations, spaces.Discrete | spaces.MultiDiscrete):
        size = spaces.flatdim(observations)
    else:
        raise BadInput(
            f"--env {env_id}: its observation space is {type(observations).__name__}; "
            "Box, Discrete, MultiDiscrete and MultiBinary work, a wrapper can flatten others"
        )
    if size == 0:
        raise BadInput(f"--env {env_id}: its observations are empty ({observations})")
    if isinstance(observations, spaces.Box):
        low = observations.low.astype(np.float64).ravel()
        high = observations.high.astype(np.float64).ravel()
    else:
        low, high = np.zeros(size), np.ones(size)
    threshold = env.spec.reward_threshold if env.spec is not None else None
    return EnvironmentSpec(
        id=env_id,
        observation_size=size,
        action_count=int(actions.n),
        observation_low=tuple(low.tolist()),
        observation_high=tuple(high.tolist()),
        reward_threshold=None if threshold is None else float(threshold),
    )


def _make_vector(env_id: str, num_envs: int) -> VectorEnv[Any, Any, Any]:
    """The environment's own vectorised class where it has one that can be used, else single ones side by side."""
    module, _, name = env_id.rpartition(":")
    if module:
        importlib.import_module(module)
    spec = _newest_spec(name)
    own_class = spec.vector_entry_point is not None and not spec.additional_wrappers
    mode = gymnasium.VectorizeMode.VECTOR_ENTRY_POINT if own_class else gymnasium.VectorizeMode.SYNC
    return gymnasium.make_vec(env_id, num_envs=num_envs, vectorization_mode=mode)


def _newest_spec(name: str) -> EnvSpec:
    """The registered spec; for an id without its version that of the newest one, as in `gymnasium.make`."""
    try:
        return gymnasium.spec(name)
    except gymnasium.error.Error:
        env = gymnasium.make(name)
        env.close()
        if env.spec is None:
            raise
        return env.spec


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
