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
from common.env_ids import import_environment
from common.observations import Float32, bounds, flatten, flatten_one, has_numbers, image_shape, leaves, one_of
from common.seeding import environment_seeds, seed_global_streams, seed_torch
from common.single_environment import make_single, seed_spaces, why_not_made
from common.types import EnvironmentSpec
from common.user_code import blame, guarded, refuse_silent_end
from common.vector_class import is_gymnasiums_own, other_play, other_spaces

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
        wrapper: str | None = None,
        vectorised: bool = False,
    ) -> None:
        """`streams` seeds the process's global random streams, before anything of the environment's could draw.

        `vectorised`: by the environment's own class, see `own_class`, instead of single ones side by side.
        """
        self.num_envs = num_envs
        self._streams = streams
        if streams is not None:
            import_environment(env_id)
            if seed_global_streams(streams):
                self._streams = None
        if vectorised:
            self._vector = _make_own(env_id, num_envs, args, first_index)
        else:
            copies = range(first_index, first_index + num_envs)
            makers = [partial(make_single, env_id, args, copy, wrapper=wrapper) for copy in copies]
            self._vector = SyncVectorEnv(makers, autoreset_mode=AutoresetMode.NEXT_STEP)
        self._seed_torch()
        self._mode = self._vector.metadata.get("autoreset_mode")
        if self._mode not in (AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP):
            raise ValueError(f"{env_id} resets itself by {self._mode}; NEXT_STEP and SAME_STEP are handled")
        self._space = self._vector.single_observation_space
        self.action_space = cast("spaces.Discrete", self._vector.single_action_space)
        self._action_start = int(self.action_space.start)
        self._action_dtype = cast("np.dtype[Any]", self.action_space.dtype)
        self._needs_reset = np.zeros(num_envs, dtype=np.bool_)
        self.observation: Float32 = np.zeros((num_envs, 0), dtype=np.float32)  # [E, D], what to act on next

    @classmethod
    def of(
        cls, spec: EnvironmentSpec, num_envs: int, first_index: int, streams: np.random.SeedSequence | None = None
    ) -> VectorEnvironment:
        """As the probe described it, so that every process plays the same."""
        return cls(spec.id, num_envs, spec.args, first_index, streams, spec.wrapper, spec.vectorised)

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
            patched[index] = flatten_one(self._space, one_of(self._space, infos["final_obs"], int(index)))
        return patched


def probe(env_id: str, args: Sequence[str] = (), index: int = 0, wrapper: str | None = None) -> EnvironmentSpec:
    """Makes the environment once and describes it. Raises BadInput where this system cannot use it."""
    try:
        env = make_single(env_id, args, index, wrapper=wrapper)
    except BadInput:
        raise
    except Exception as error:  # a user's code may raise anything
        raise BadInput(why_not_made(env_id, args, error)) from None
    try:
        spec = describe(env_id, env, args, wrapper)
        return spec._replace(vectorised=own_class(spec, env, index).used)
    finally:
        env.close()


def describe(
    env_id: str, env: gymnasium.Env[Any, Any], args: Sequence[str] = (), wrapper: str | None = None
) -> EnvironmentSpec:
    """What the rest of the system needs to know. Raises BadInput where this system cannot use it."""
    actions, observations = env.action_space, env.observation_space
    if not isinstance(actions, spaces.Discrete):
        raise BadInput(f"--env {env_id}: its action space is {actions}; DQN needs a Discrete one, as CartPole-v1 has")
    for leaf in leaves(observations):
        if not has_numbers(leaf.space):
            raise BadInput(f"--env {env_id}: {_why_not_flat(env, leaf.name, leaf.space)}")
    low, high = bounds(observations)
    if low.size == 0:
        raise BadInput(f"--env {env_id}: its observations are empty ({observations})")
    # Of the outermost layer that tells: where a wrapper cannot be described, Gymnasium says nothing of what is inside.
    told = [spec for layer in _layers(env) if (spec := layer.spec) is not None]
    threshold = next((spec.reward_threshold for spec in told if spec.reward_threshold is not None), None)
    return EnvironmentSpec(
        id=env_id,
        observation_size=low.size,
        action_count=int(actions.n),
        observation_low=tuple(low.tolist()),
        observation_high=tuple(high.tolist()),
        reward_threshold=None if threshold is None else float(threshold),
        max_episode_steps=next((spec.max_episode_steps for spec in told if spec.max_episode_steps is not None), None),
        args=tuple(args),
        wrapper=wrapper,
        image=image_shape(observations),
    )


class OwnClass(NamedTuple):
    """Whether the environment's own vectorised class is used."""

    used: bool
    why_not: str | None = None  # where it could be; a sentence without the environment's name


def own_class(spec: EnvironmentSpec, env: gymnasium.Env[Any, Any], index: int) -> OwnClass:
    """Decides it, once for all processes of a run. `env`: one as `gymnasium.make` gives it, copy number `index`."""
    registered, named = import_environment(spec.id), arguments(spec.args, index)
    limited = named.get("max_episode_steps", 1) not in (-1, None)  # what Gymnasium alone understands
    if registered.vector_entry_point is None or registered.additional_wrappers or not limited:
        return OwnClass(used=False)
    if spec.wrapper is not None or has_index(spec.args):
        return OwnClass(used=False)
    try:
        why_not = _other_than_single(spec, env, index)
    except (Exception, KeyboardInterrupt) as error:  # a user's code may raise anything
        why_not = f"the class failed ({blame(error)})"
    return OwnClass(used=why_not is None, why_not=why_not)


def _other_than_single(spec: EnvironmentSpec, env: gymnasium.Env[Any, Any], index: int) -> str | None:
    vector = _make_own(spec.id, 1, spec.args, index)
    try:
        why_not = other_spaces(vector, env)
        if why_not is not None or is_gymnasiums_own(vector, env):
            return why_not
    finally:
        guarded(vector.close)
    own = VectorEnvironment(spec.id, 1, spec.args, index, vectorised=True)
    single = VectorEnvironment(spec.id, 1, spec.args, index)
    try:
        return other_play(own, single, np.random.SeedSequence(0))
    finally:
        own.close()
        single.close()


def _make_own(env_id: str, num_envs: int, args: Sequence[str], first_index: int) -> VectorEnv[Any, Any, Any]:
    import_environment(env_id)
    vector: VectorEnv[Any, Any, Any] = guarded(
        gymnasium.make_vec,
        env_id,
        num_envs=num_envs,
        vectorization_mode=gymnasium.VectorizeMode.VECTOR_ENTRY_POINT,
        **arguments(args, first_index),
    )
    return vector


def _why_not_flat(env: gymnasium.Env[Any, Any], name: str, space: spaces.Space[Any]) -> str:
    """Of a leaf that holds no numbers, with the wrapper that helps."""
    found = list(leaves(env.observation_space))
    no_numbers = {leaf.name.partition(".")[0] for leaf in found if not has_numbers(leaf.space)}
    others = list(dict.fromkeys(key for leaf in found if (key := leaf.name.partition(".")[0]) not in no_numbers))
    kinds = "Box, Discrete, MultiDiscrete, MultiBinary, and Dict and Tuple of these work"
    if not name:
        return (
            f"its observation space is {type(space).__name__}; {kinds}: name a wrapper that makes numbers of it with "
            "--env-wrapper MODULE:FUNCTION"
        )
    said = f"its observations have a part {name!r} that is {type(space).__name__}; {kinds}"
    if any(type(layer).__module__.partition(".")[0] == "minigrid" for layer in _layers(env)):
        return f"{said}: use --env-wrapper minigrid.wrappers:ImgObsWrapper, which leaves the image"
    if isinstance(env.observation_space, spaces.Dict) and others:
        return (
            f"{said}: leave it out with --env-wrapper MODULE:FUNCTION, a function of yours that returns "
            f"gymnasium.wrappers.FilterObservation(env, {others})"
        )
    return f"{said}: leave it out with a wrapper, --env-wrapper MODULE:FUNCTION"


def _layers(env: gymnasium.Env[Any, Any]) -> list[gymnasium.Env[Any, Any]]:
    """The environment and all that it wraps, outermost first."""
    found = [env]
    while isinstance(env, gymnasium.Wrapper):
        env = env.env
        found.append(env)
    return found
