"""The user's wrapper: around every copy, and one line where it cannot be."""

from __future__ import annotations

import re
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from common.config import BadInput, RunConfig
from common.environment import VectorEnvironment, probe


class Raises(gymnasium.Wrapper[Any, Any, Any, Any]):
    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        raise RuntimeError("no such\n level")


class OnlyNumbers(gymnasium.ObservationWrapper[Any, Any, Any]):
    """One number of several."""

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        super().__init__(env)
        self.observation_space = spaces.Box(-9, 9, (1,), np.float32)

    def observation(self, observation: Any) -> Any:
        return np.float32(observation[:1] * 0 + 3)


def ends(env: gymnasium.Env[Any, Any]) -> None:
    raise SystemExit(3)


def shorter(env: gymnasium.Env[Any, Any]) -> gymnasium.Env[Any, Any]:
    return gymnasium.wrappers.TimeLimit(OnlyNumbers(env), 2)


def without_limit(env: gymnasium.Env[Any, Any]) -> gymnasium.Env[Any, Any]:
    return OnlyNumbers(env.unwrapped)


def returns_nothing(env: gymnasium.Env[Any, Any]) -> None:
    return None


NUMBER = 3
HERE = "test_env_wrapper"


@pytest.mark.parametrize("wrapper", ["flat", "my_wrappers.flat", ":flat", "my_wrappers:", "a:b:c", "a b:c", "", "1a:b"])
def test_what_is_not_module_and_function_is_refused_with_the_form(wrapper: str) -> None:
    with pytest.raises(BadInput, match=rf"^--env-wrapper {re.escape(wrapper)}: must be MODULE:FUNCTION, such as"):
        RunConfig(env_wrapper=wrapper)


@pytest.mark.parametrize(
    ("wrapper", "reason"),
    [
        ("no_such_module:flat", "No module named 'no_such_module'; name a module of an installed package or of the"),
        ("gymnasium.no_such:flat", "No module named 'gymnasium.no_such'; name a module"),
        ("gymnasium.wrappers:FlattenObservations", "has no FlattenObservations; the nearest there is FlattenObservat"),
        ("gymnasium.wrappers:zzz", "gymnasium.wrappers has no zzz; name a function of it, such as"),
        (f"{HERE}:NUMBER", "NUMBER is int, and no function; name one that takes an environment and returns one"),
        (f"{HERE}:Raises", "RuntimeError: no such level ("),
        (f"{HERE}:ends", "the environment called sys.exit(3)"),
        (f"{HERE}:returns_nothing", "returned NoneType, and no gymnasium.Env; return the environment with"),
        ("gymnasium.wrappers:TimeLimit", "TypeError: TimeLimit.__init__() missing 1 required positional argument"),
    ],
)
def test_a_wrapper_that_cannot_be_used_is_refused_in_one_line_that_names_it(wrapper: str, reason: str) -> None:
    with pytest.raises(BadInput) as refusal:
        probe("CartPole-v1", wrapper=RunConfig(env_wrapper=wrapper).env_wrapper)
    assert str(refusal.value).startswith(f"--env-wrapper {wrapper}: ")
    assert reason in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("wrapper", "size", "limit"),
    [
        (f"{HERE}:OnlyNumbers", 1, 500),
        (f"{HERE}:shorter", 1, 2),
        (f"{HERE}:without_limit", 1, None),
        ("gymnasium.wrappers:FlattenObservation", 4, 500),
        ("gymnasium:wrappers.FlattenObservation", 4, 500),
    ],
)
def test_a_wrapped_environment_is_described_as_it_plays(wrapper: str, size: int, limit: int | None) -> None:
    spec = probe("CartPole-v1", wrapper=wrapper)
    assert (spec.observation_size, spec.max_episode_steps, spec.reward_threshold) == (size, limit, 475.0)
    assert spec.wrapper == wrapper
    assert not spec.vectorised  # whose own class would not be wrapped


def test_every_copy_is_wrapped() -> None:
    environment = VectorEnvironment("CartPole-v1", 3, wrapper=f"{HERE}:shorter")
    environment.reset(np.random.SeedSequence(1))
    assert environment.observation.tolist() == [[3.0]] * 3
    truncated = [environment.step(np.zeros(3, dtype=np.int64)).truncated.tolist() for _ in range(2)]
    assert truncated == [[False] * 3, [True] * 3]
