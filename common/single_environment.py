"""One copy of the user's environment, whose answers are what Gymnasium says they should be, or a sentence about them.

Odd answers that can only mean one thing are taken, with a warning once in a process. What the rest of the system needs
of an environment is all that passes: infos, which nobody here reads, end at this door.
"""

from __future__ import annotations

import functools
import inspect
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from common.env_args import arguments
from common.env_ids import advice, import_environment, package_of
from common.env_wrapper import wrapped
from common.observations import has_numbers, parts_of
from common.seeding import environment_seeds
from common.user_code import blame, guarded, in_user_code, refuse_silent_end

Info = dict[str, Any]

_EXPECTED_OF_STEP = "(observation, reward, terminated, truncated, info), as Gymnasium does"
_EXPECTED_OF_RESET = "(observation, info), as Gymnasium does"


def make_single(
    env_id: str,
    args: Sequence[str] = (),
    index: int = 0,
    render_mode: str | None = None,
    wrapper: str | None = None,
) -> PlainEnvironment:
    """Copy `index`. Raises what the environment's code raises, but nothing that would end the process silently.

    Raises BadInput where `wrapper` cannot be put around it.
    """
    named = arguments(args, index)
    if render_mode is not None:
        named["render_mode"] = render_mode
    import_environment(env_id)
    env = guarded(gymnasium.make, env_id, disable_env_checker=True, **named)
    # Gymnasium's own wrappers unpack what the environment returns: an odd number of values is to be named before that.
    if isinstance(env, gymnasium.Wrapper):
        innermost = env
        while isinstance(innermost.env, gymnasium.Wrapper):
            innermost = innermost.env
        innermost.env = _RightlyShaped(innermost.env, env_id)
    return PlainEnvironment(env if wrapper is None else wrapped(env, wrapper), env_id)


def why_not_made(env_id: str, args: Sequence[str], error: BaseException) -> str:
    """The setting, what is wrong and what would work, of anything that `make_single` raises."""
    for setting in args:
        if f"unexpected keyword argument '{setting.partition('=')[0]}'" in str(error):
            return f"--env-args {setting}: {blame(error)}; leave it out"
    if isinstance(error, ModuleNotFoundError) and isinstance(error.__cause__, ModuleNotFoundError):
        error = error.__cause__  # without Gymnasium's own words around it
    module = env_id.rpartition(":")[0]
    unknown_module = isinstance(error, ModuleNotFoundError) and module.startswith(error.name or " ")
    missing_package = isinstance(error, gymnasium.error.DependencyNotInstalled)
    unknown_id = isinstance(error, gymnasium.error.Error) and not missing_package and not in_user_code(error)
    if unknown_module:
        package = package_of(module)
        works = "use a registered Gymnasium id, or module:id" if package is None else f"pip install '{package}'"
        return f"--env {env_id}: {error}; {works}"
    if unknown_id:
        says = _one_line(error).rstrip(".")
        return f"--env {env_id}: {advice(env_id) or f'{says}; use a registered Gymnasium id, or module:id'}"
    works = "; give it as --env-args NAME=VALUE" if re.search(r"missing \d+ required", str(error)) else ""
    return f"{shown_setting(env_id, args)}: {blame(error).replace(f'{env_id}: ', '')}{works}"


def shown_setting(env_id: str, args: Sequence[str], wrapper: str | None = None) -> str:
    """The environment as the user gave it."""
    arguments_too = f" --env-args {' '.join(args)}" if args else ""
    return f"--env {env_id}{arguments_too}{'' if wrapper is None else f' --env-wrapper {wrapper}'}"


@functools.cache
def warn_once(text: str) -> None:
    """A warning, whatever the filters say of repetitions."""
    warnings.warn(text, stacklevel=2)


class _RightlyShaped(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Raises unless `reset` gives a pair and `step` five values; goes around the environment itself."""

    def __init__(self, env: gymnasium.Env[Any, Any], env_id: str) -> None:
        super().__init__(env)
        self._id = env_id
        _check_reset_takes_a_seed(env, env_id)

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[Any, Info]:
        return _pair(self._id, self.env.reset(seed=seed, options=options)), {}

    def step(self, action: Any) -> Any:
        result = self.env.step(action)
        return result if type(result) is tuple and len(result) == 5 else _five(self._id, result)


class PlainEnvironment(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Goes around everything: observations of the space's dtype and shape, float rewards, bool flags, no infos."""

    def __init__(self, env: gymnasium.Env[Any, Any], env_id: str) -> None:
        super().__init__(env)
        self._id = env_id
        self._space = env.observation_space
        for name, space in (("observation_space", self._space), ("action_space", env.action_space)):
            if not isinstance(space, spaces.Space):
                raise ValueError(f"{env_id}: its {name} is {_shown(space)}; set it to a space of gymnasium.spaces")
        self._dtype, self._shape = self._space.dtype, self._space.shape
        self._discrete = isinstance(self._space, spaces.Discrete)

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[Any, Info]:
        """See Gymnasium; a seed also decides what the spaces' `sample()` gives."""
        if seed is not None:
            seed_spaces(self.env, seed)
        result = guarded(self.env.reset, seed=seed, options=options)
        return self._right_observation("reset", _pair(self._id, result)), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, Info]:
        """See Gymnasium."""
        try:
            result = self.env.step(action)
        except BaseException as error:
            refuse_silent_end(error)
            raise
        if type(result) is not tuple or len(result) != 5:
            result = _five(self._id, result)
        observation, reward, terminated, truncated, _ = result
        if type(reward) is not float:
            reward = _right_reward(self._id, reward)
        if type(terminated) is not bool:
            terminated = _right_flag(self._id, "terminated", terminated)
        if type(truncated) is not bool:
            truncated = _right_flag(self._id, "truncated", truncated)
        return self._right_observation("step", observation), reward, terminated, truncated, {}

    def close(self) -> None:
        """See Gymnasium."""
        guarded(self.env.close)

    def _right_observation(self, source: str, observation: Any) -> Any:
        kind = type(observation)
        if kind is np.ndarray and observation.dtype == self._dtype and observation.shape == self._shape:
            return observation
        if self._discrete and (kind is int or kind is np.int64):
            return observation
        return _fitted(f"{self._id}: {source}", observation, self._space)


def seed_spaces(env: Any, seed: int) -> None:
    """Gives the spaces of an environment, and of all that it wraps, streams that follow from `seed`."""
    seeds = environment_seeds(np.random.SeedSequence(seed), 4)
    names = ("observation_space", "action_space", "single_observation_space", "single_action_space")
    while True:
        for name, own_seed in zip(names, seeds, strict=True):
            space = getattr(env, name, None)
            if isinstance(space, spaces.Space):
                space.seed(own_seed)
        if not isinstance(env, gymnasium.Wrapper | gymnasium.vector.VectorWrapper):
            return
        env = env.env


def _check_reset_takes_a_seed(env: gymnasium.Env[Any, Any], env_id: str) -> None:
    try:
        parameters = inspect.signature(env.reset).parameters
    except (TypeError, ValueError):  # of compiled code; then the call tells
        return
    if any(parameter.kind == parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    missing = [name for name in ("seed", "options") if name not in parameters]
    if missing:
        raise TypeError(
            f"{env_id}: its reset takes no {' and no '.join(missing)}, as in the old Gym API; "
            "define reset(self, *, seed=None, options=None), as Gymnasium does"
        )


def _pair(env_id: str, result: Any) -> Any:
    """The observation."""
    if isinstance(result, tuple | list) and len(result) == 2 and (isinstance(result[1], Mapping) or result[1] is None):
        return result[0]
    raise ValueError(
        f"{env_id}: reset returned {_kind(result)} and no info, as the old Gym API did; return {_EXPECTED_OF_RESET}"
    )


def _five(env_id: str, result: Any) -> Any:
    if isinstance(result, tuple | list) and len(result) == 5:
        return result
    if isinstance(result, tuple | list) and len(result) == 4:
        found = "4 values, as the old Gym API did"
    else:
        found = _kind(result)
    raise ValueError(f"{env_id}: step returned {found}; return {_EXPECTED_OF_STEP}")


def _right_reward(env_id: str, reward: Any) -> float:
    if isinstance(reward, int | float | np.number | np.bool_) and not isinstance(reward, np.complexfloating):
        return float(reward)
    single = _only_element(reward)
    if single is None:
        array = _as_array(reward)
        if array is not None and array.ndim == 1 and array.size > 1:
            raise ValueError(
                f"{env_id}: its rewards are vectors of {array.size} numbers, and DQN needs one; weigh them in a "
                f"wrapper, --env-wrapper MODULE:FUNCTION, as mo_gymnasium.wrappers:LinearReward does"
            )
        raise ValueError(
            f"{env_id}: step returned the reward {_shown(reward)}, {_kind(reward)}; return one number, such as "
            "float(reward)"
        )
    warn_once(f"{env_id}: step returned {_kind(reward)} as the reward; return a number, such as float(reward)")
    return float(single)


def _right_flag(env_id: str, name: str, flag: Any) -> bool:
    if isinstance(flag, np.bool_):
        return bool(flag)
    single = _only_element(flag)
    if single is None or single not in (0, 1):
        raise ValueError(
            f"{env_id}: step returned {name} = {_shown(flag)}, {_kind(flag)}; return True or False, such as "
            f"bool({name})"
        )
    warn_once(f"{env_id}: step returned {_kind(flag)} as {name}; return True or False, such as bool({name})")
    return bool(single)


def _only_element(value: Any) -> Any:
    """The number in a number, an array or a sequence of one; None where there is not exactly one."""
    array = _as_array(value)
    return array.item() if array is not None and array.size == 1 and array.dtype.kind in "biuf" else None


def _fitted(who: str, observation: Any, space: spaces.Space[Any]) -> Any:
    """The observation, each leaf in its space's dtype.

    Raises ValueError where that would change it, and where its shape or tree is another. Fractions are rounded to the
    space's dtype, since all of them become float32 in the end.
    """
    parts = parts_of(space)
    if parts is not None:
        _check_tree(who, observation, space, [key for key, _ in parts])
        fitted = {key: _fitted(f"{who} (part {key})", observation[key], part) for key, part in parts}
        return fitted if isinstance(space, spaces.Dict) else tuple(fitted.values())
    return _fitted_leaf(who, observation, space) if has_numbers(space) else observation


def _check_tree(who: str, observation: Any, space: spaces.Space[Any], keys: list[Any]) -> None:
    if isinstance(space, spaces.Tuple):
        if not isinstance(observation, tuple | list) or len(observation) != len(keys):
            raise ValueError(
                f"{who} returned an observation that is {_kind(observation)}, but its observation space is a Tuple of "
                f"{len(keys)}; return so many values"
            )
        return
    if not isinstance(observation, Mapping):
        raise ValueError(
            f"{who} returned an observation that is {_kind(observation)}, but its observation space is a Dict; return "
            f"a dict with the keys {_shown(keys)}"
        )
    if missing := [key for key in keys if key not in observation]:
        raise ValueError(f"{who} returned an observation without {missing[0]!r}, which its observation space has")
    if more := [key for key in observation if key not in keys]:
        warn_once(f"{who} returned an observation with {more[0]!r}, which its observation space has not; leave it out")


def _fitted_leaf(who: str, observation: Any, space: spaces.Space[Any]) -> Any:
    array = _as_array(observation)
    if array is None:
        raise ValueError(f"{who} returned an observation that is {_kind(observation)}; return one of {space}")
    dtype, shape = np.dtype(space.dtype), tuple(space.shape or ())
    if isinstance(space, spaces.Discrete) and array.size == 1 and array.shape != ():
        warn_once(f"{who} returned {_kind(observation)} as the observation; return an integer, such as int(state)")
        array = array.reshape(())
    if array.shape != shape:
        raise ValueError(
            f"{who} returned an observation of shape {array.shape}, but its observation space is {space}; "
            f"return one of shape {shape}"
        )
    if array.dtype == dtype:
        return array
    warn_once(
        f"{who} returned {_kind(observation)} of {array.dtype} as the observation; return the observation space's "
        f"dtype, such as np.array(observation, np.{dtype})"
    )
    if dtype.kind == "f":
        return array.astype(dtype)
    with np.errstate(invalid="ignore"):  # a fraction without an integer, such as NaN, is found below
        fitted = array.astype(dtype)
    changed = np.flatnonzero(fitted.ravel() != array.ravel())
    if changed.size:
        raise ValueError(
            f"{who} returned an observation with the value {array.ravel()[changed[0]]} of {array.dtype}, which is no "
            f"{dtype}; its observation space is {space}"
        )
    return fitted


def _as_array(value: Any) -> np.ndarray[Any, np.dtype[Any]] | None:
    """As numpy sees it; None where it sees no numbers."""
    try:
        array = np.asarray(value)
    except Exception:  # __array__ of the user's classes, and torch's of a tensor with a gradient, may raise anything
        return None
    return array if array.dtype.kind in "biuf" else None


def _kind(value: Any) -> str:
    """What a sentence calls it: `a list`, `an ndarray of shape (1,)`."""
    name = type(value).__name__
    article = "an" if name[0].lower() in "aeiou" or name.startswith("ndarray") else "a"
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple) and not isinstance(value, np.generic):
        return f"{article} {name} of shape {tuple(shape)}"
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return f"{article} {name} of {len(value)}"
    return f"{article} {name}"


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())


def _shown(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."
