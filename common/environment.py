"""Vector environments in one shape: flat float32 observations, actions from 0, and no autoreset surprises.

Since Gymnasium 1.0 a vector environment resets itself. Under NEXT_STEP it spends one step on the reset: the action is
ignored, the reward is 0, the observation is the new episode's first. Such a step is no environment step: here it comes
back with `valid` False, and nobody stores or counts it. Under SAME_STEP the final observation hides in the infos.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple, cast

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from numpy.typing import NDArray

from common.config import BadInput
from common.env_args import arguments, has_index
from common.seeding import environment_seeds, seed_global_streams, seed_torch
from common.single_environment import (
    guarded,
    import_environment,
    make_single,
    refuse_silent_end,
    seed_spaces,
    warn_once,
    why_not_made,
)
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

    def __init__(
        self,
        env_id: str,
        num_envs: int,
        args: Sequence[str] = (),
        first_index: int = 0,
        streams: np.random.SeedSequence | None = None,
    ) -> None:
        """`streams` seeds the process's global random streams, before anything of the environment's could draw."""
        self.num_envs = num_envs
        self._streams = streams
        if streams is not None:
            import_environment(env_id)
            if seed_global_streams(streams):
                self._streams = None
        self._vector = _make_vector(env_id, num_envs, args, first_index)
        self._seed_torch()
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
        seed = environment_seeds(seeds, self.num_envs)
        one_by_one = isinstance(self._vector.unwrapped, SyncVectorEnv)
        if not one_by_one:
            seed_spaces(self._vector, seed[0])
        raw, _ = guarded(self._vector.reset, seed=seed if one_by_one else seed[0])
        self._seed_torch()
        self.observation = flatten(self._space, raw, self.num_envs)
        self._needs_reset = np.zeros(self.num_envs, dtype=np.bool_)

    def step(self, action: NDArray[np.int64]) -> Step:
        """Steps every environment; action `[E]` from 0."""
        shifted = action + self._action_start if self._action_start else action
        actions = shifted.astype(self._action_dtype)
        try:
            raw, reward, terminated, truncated, infos = self._vector.step(actions)
        except BaseException as error:
            refuse_silent_end(error)
            raise
        observation = flatten(self._space, raw, self.num_envs)
        reward = np.asarray(reward, dtype=np.float64)
        terminated = np.asarray(terminated, dtype=np.bool_)
        truncated = np.asarray(truncated, dtype=np.bool_)
        if not (reward.shape == terminated.shape == truncated.shape == self._needs_reset.shape):
            raise ValueError(
                f"{self._vector}: step returned reward, terminated and truncated of shapes {reward.shape}, "
                f"{terminated.shape} and {truncated.shape}; return ({self.num_envs},), one for each environment"
            )
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
            reward=reward,
            terminated=terminated,
            truncated=truncated,
            valid=valid,
        )

    def close(self) -> None:
        """Frees what the environments hold."""
        guarded(self._vector.close)

    def _seed_torch(self) -> None:
        """Where the environment brings torch in late."""
        if self._streams is not None and seed_torch(self._streams):
            self._streams = None

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

    Integers of Discrete and MultiDiscrete spaces become one-hot, as in `gymnasium.spaces.flatten`. Raises ValueError on
    integers outside their space, and on another shape than the space's.
    """
    values = np.asarray(observation)
    if values.shape != (count, *(space.shape or ())):
        raise ValueError(f"observations have shape {values.shape}, expected {(count, *(space.shape or ()))} of {space}")
    if isinstance(space, spaces.Discrete):
        return _one_hot(space, values.reshape(count, 1), np.array([space.start]), np.array([space.n]))
    if isinstance(space, spaces.MultiDiscrete):
        return _one_hot(space, values.reshape(count, -1), space.start.ravel(), space.nvec.ravel())
    return values.reshape(count, -1).astype(np.float32)


def _one_hot(space: spaces.Space[Any], values: NDArray[Any], start: NDArray[Any], sizes: NDArray[Any]) -> Float32:
    """`[count, K]` integers -> `[count, sum of sizes]`, for the price of the result."""
    start, sizes = start.astype(np.int64), sizes.astype(np.int64)  # spaces may have unsigned ones
    positions = values.astype(np.int64) - start
    outside = (positions < 0) | (positions >= sizes)
    if outside.any():
        raise ValueError(f"the observation {values[outside.any(axis=1)][0]} lies outside its space {space}")
    count, total = len(values), int(sizes.sum())
    rows = np.zeros((count, total), dtype=np.float32)
    rows[np.arange(count)[:, None], positions + (np.cumsum(sizes) - sizes)] = 1.0
    return rows


def probe(env_id: str, args: Sequence[str] = (), index: int = 0) -> EnvironmentSpec:
    """Makes the environment once and describes it. Raises BadInput where this system cannot use it."""
    try:
        env = make_single(env_id, args, index)
    except Exception as error:  # a user's code may raise anything
        raise BadInput(why_not_made(env_id, args, error)) from None
    try:
        return describe(env_id, env, args)
    finally:
        env.close()


def describe(env_id: str, env: gymnasium.Env[Any, Any], args: Sequence[str] = ()) -> EnvironmentSpec:
    """What the rest of the system needs to know. Raises BadInput where this system cannot use it."""
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
    limit = env.spec.max_episode_steps if env.spec is not None else None
    return EnvironmentSpec(
        id=env_id,
        observation_size=size,
        action_count=int(actions.n),
        observation_low=tuple(low.tolist()),
        observation_high=tuple(high.tolist()),
        reward_threshold=None if threshold is None else float(threshold),
        max_episode_steps=limit,
        args=tuple(args),
    )


def _make_vector(env_id: str, num_envs: int, args: Sequence[str], first_index: int) -> VectorEnv[Any, Any, Any]:
    """The environment's own vectorised class where it has one that can be used, else single ones side by side."""
    spec, named = import_environment(env_id), arguments(args, first_index)
    limited = named.get("max_episode_steps", 1) not in (-1, None)  # what Gymnasium alone understands
    if spec.vector_entry_point is not None and not spec.additional_wrappers and limited and not has_index(args):
        try:
            return guarded(
                gymnasium.make_vec,
                env_id,
                num_envs=num_envs,
                vectorization_mode=gymnasium.VectorizeMode.VECTOR_ENTRY_POINT,
                **named,
            )
        except TypeError as error:
            if not any(f"unexpected keyword argument '{name}'" in str(error) for name in named):
                raise
            warn_once(f"{env_id}: single ones side by side, since its vectorised class does not take all of --env-args")
    copies = [partial(make_single, env_id, args, first_index + copy) for copy in range(num_envs)]
    return SyncVectorEnv(copies, autoreset_mode=AutoresetMode.NEXT_STEP)
