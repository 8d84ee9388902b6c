"""One environment: what it may answer, what is put right, and what is refused by a sentence."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from ray._raylet import raise_sys_exit_with_custom_error_message

from common.environment import VectorEnvironment, probe
from common.single_environment import make_single

Answer = Callable[[], Any]
ZEROS = np.zeros(2, dtype=np.float32)


class Answers(gymnasium.Env[Any, int]):
    """Answers what it is told to; its spaces too."""

    action_space = spaces.Discrete(2)

    def __init__(
        self,
        space: spaces.Space[Any] | None = None,
        observation: Any = ZEROS,
        reward: Any = 0.0,
        terminated: Any = False,
        truncated: Any = False,
        info: Any = None,
        at_reset: Answer | None = None,
        at_step: Answer | None = None,
    ) -> None:
        self.observation_space = space if space is not None else spaces.Box(-9, 9, (2,), np.float32)
        self._answer = (observation, reward, terminated, truncated, {} if info is None else info)
        self._at_reset, self._at_step = at_reset, at_step

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return self._at_reset() if self._at_reset else (self._answer[0], {})

    def step(self, action: int) -> Any:
        return self._at_step() if self._at_step else self._answer


class Unwrapping(gymnasium.Wrapper[Any, Any, Any, Any]):
    """A user's wrapper that looks into what comes."""

    def step(self, action: Any) -> Any:
        observation, reward, terminated, truncated, info = self.env.step(action)
        return observation, reward, terminated, truncated, info


_names = iter(range(10_000))


def register(max_episode_steps: int | None = None, **answers: Any) -> str:
    """An id of its own for each, since a warning comes once."""
    env_id = f"Answers{next(_names)}-v0"
    gymnasium.register(env_id, entry_point=lambda: Answers(**answers), max_episode_steps=max_episode_steps)
    return env_id


def answer_of(env_id: str) -> tuple[Any, float, bool, bool, dict[str, Any]]:
    env = make_single(env_id)
    env.reset(seed=1)
    return env.step(0)


def refusal_of(env_id: str) -> str:
    with pytest.raises(ValueError, match=env_id) as refusal:
        answer_of(env_id)
    assert "\n" not in str(refusal.value)
    return str(refusal.value)


@pytest.mark.parametrize("reward", [1.5, 2, True, np.float32(1.5), np.int64(2), np.bool_(True)])
def test_every_number_is_a_reward(reward: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        got = answer_of(register(reward=reward))[1]
    assert (type(got), got) == (float, float(reward))


@pytest.mark.parametrize(
    ("reward", "kind"),
    [
        (np.array([1.5]), "an ndarray of shape (1,)"),
        (np.array(1.5, np.float32), "an ndarray of shape ()"),
        (np.array([[1.5]]), "an ndarray of shape (1, 1)"),
        ([1.5], "a list of 1"),
        ((1.5,), "a tuple of 1"),
        (torch.tensor([1.5]), "a Tensor of shape (1,)"),
    ],
    ids=str,
)
def test_a_reward_of_one_element_is_taken_with_one_warning(reward: Any, kind: str) -> None:
    env_id = register(reward=reward)
    with pytest.warns(UserWarning, match="as the reward; return a number") as told:
        assert [answer_of(env_id)[1] for _ in range(3)] == [1.5] * 3
    assert [str(warning.message) for warning in told] == [
        f"{env_id}: step returned {kind} as the reward; return a number, such as float(reward)"
    ]


@pytest.mark.parametrize(
    ("reward", "kind"),
    [
        (np.array([[1.5, 2]]), "an ndarray of shape (1, 2)"),
        (np.zeros(0), "an ndarray of shape (0,)"),
        ([], "a list of 0"),
        (None, "a NoneType"),
        ("1.5", "a str"),
        (1j, "a complex"),
        (torch.tensor([1.5], requires_grad=True), "a Tensor of shape (1,)"),
    ],
    ids=str,
)
def test_what_is_no_single_number_is_no_reward(reward: Any, kind: str) -> None:
    message = refusal_of(register(reward=reward))
    assert f"{kind}; return one number, such as float(reward)" in message


@pytest.mark.parametrize("reward", [np.array([1.5, 2, 0]), [1.5, 2, 0], (1, 2, 3)], ids=str)
def test_a_vector_of_rewards_is_named_as_that_with_what_to_do(reward: Any) -> None:
    message = refusal_of(register(reward=reward))
    assert "its rewards are vectors of 3 numbers, and DQN needs one; weigh them in a wrapper, --env-wrapper" in message


TREE = spaces.Dict(image=spaces.Box(0, 9, (2,), np.float32), rest=spaces.Tuple([spaces.Discrete(3), spaces.Text(4)]))


@pytest.mark.parametrize(
    ("observation", "reason"),
    [
        ({"image": [0, 1], "rest": (1, "a")}, None),
        ({"rest": [np.int8(1), "a"], "image": (0.5, 1)}, None),
        ({"image": [0, 1], "rest": (1, "a"), "more": 3}, None),
        ({"image": [0, 1]}, "returned an observation without 'rest', which its observation space has"),
        ({"image": [0, 1], "rest": (1,)}, "(part rest) returned an observation that is a tuple of 1, but its"),
        ({"image": [0, 1], "rest": 1}, "(part rest) returned an observation that is an int, but its"),
        ({"image": [0, 1, 2], "rest": (1, "a")}, "(part image) returned an observation of shape (3,), but its"),
        ({"image": [0, 1], "rest": (1.5, "a")}, "(part rest) (part 0) returned an observation with the value 1.5"),
        ([[0, 1], (1, "a")], "that is a list of 2, but its observation space is a Dict; return a dict with the keys"),
    ],
    ids=str,
)
def test_an_observation_that_is_a_tree_is_put_right_leaf_by_leaf(observation: Any, reason: str | None) -> None:
    env_id = register(space=TREE, observation=observation)
    if reason is not None:
        assert reason in refusal_of(env_id)
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        got = answer_of(env_id)[0]
    assert TREE.contains(got)


@pytest.mark.parametrize("flag", [True, np.bool_(True)])
def test_bools_of_both_kinds_are_flags(flag: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert answer_of(register(terminated=flag, truncated=flag))[2:4] == (True, True)


@pytest.mark.parametrize("flag", [1, 1.0, np.int64(1), np.array([True]), np.array(1), [True]], ids=repr)
def test_what_can_only_mean_a_flag_is_taken_with_a_warning(flag: Any) -> None:
    env_id = register(truncated=flag)
    with pytest.warns(UserWarning, match=r"as truncated; return True or False, such as bool\(truncated\)"):
        truncated = answer_of(env_id)[3]
    assert truncated is True


@pytest.mark.parametrize("flag", [2, None, "True", np.array([True, False]), [], float("nan")], ids=repr)
def test_what_may_mean_anything_is_no_flag(flag: Any) -> None:
    assert "return True or False, such as bool(terminated)" in refusal_of(register(terminated=flag))


BYTES = spaces.Box(0, 255, (2,), np.uint8)
FLOATS = spaces.Box(-9, 9, (2,), np.float32)


@pytest.mark.parametrize(
    ("space", "observation", "expected"),
    [
        (FLOATS, [0.5, 1], np.array([0.5, 1], np.float32)),
        (FLOATS, (1, 2), np.array([1, 2], np.float32)),
        (FLOATS, np.array([0.1, 1]), np.array([0.1, 1], np.float32)),
        (FLOATS, torch.tensor([0.5, 1.0]), np.array([0.5, 1], np.float32)),
        (spaces.Box(-9, 9, (2,), np.int32), np.array([1, 2]), np.array([1, 2], np.int32)),
        (spaces.Box(-9, 9, (), np.float32), 0.5, np.array(0.5, np.float32)),
        (spaces.MultiDiscrete([3, 2]), [2, 1], np.array([2, 1])),
        (spaces.MultiBinary(2), np.array([True, False]), np.array([1, 0], np.int8)),
    ],
    ids=str,
)
def test_observations_get_the_dtype_of_their_space(space: spaces.Space[Any], observation: Any, expected: Any) -> None:
    got = answer_of(register(space=space, observation=observation))[0]
    assert got.dtype == expected.dtype
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize(
    ("space", "observation", "expected"),
    [
        (BYTES, [1, 255], [1, 255]),
        (BYTES, np.array([1.0, 255.0]), [1, 255]),
        (spaces.MultiBinary(2), [0.0, 1.0], [0, 1]),
        (spaces.Discrete(3), [2], 2),
        (spaces.Discrete(3), np.array([2]), 2),
        (spaces.Discrete(3), 2.0, 2),
    ],
    ids=str,
)
def test_integers_of_an_odd_type_are_taken_with_a_warning(
    space: spaces.Space[Any], observation: Any, expected: Any
) -> None:
    with pytest.warns(UserWarning, match="as the observation; return|returned an observation as"):
        got = answer_of(register(space=space, observation=observation))[0]
    assert (got.dtype, got.tolist()) == (space.dtype, expected)


@pytest.mark.parametrize(
    ("space", "observation", "reason"),
    [
        (BYTES, [1, 256], "the value 256 of int64, which is no uint8"),
        (BYTES, [-1, 2], "the value -1 of int64, which is no uint8"),
        (BYTES, [0.5, 2], "the value 0.5 of float64, which is no uint8"),
        (BYTES, [float("nan"), 2], "the value nan of float64, which is no uint8"),
        (spaces.Box(-9, 9, (2,), np.int32), np.array([1, 2**40]), f"the value {2**40} of int64, which is no int32"),
        (spaces.Discrete(3), 1.5, "the value 1.5 of float64, which is no int64"),
        (spaces.Discrete(3), [1, 2], "shape (2,), but its observation space is Discrete(3)"),
        (FLOATS, [0.5, 1, 2], "shape (3,), but its observation space is Box"),
        (FLOATS, [[0.5, 1]], "shape (1, 2), but its observation space is Box"),
        (FLOATS, [[0.5], [1, 2]], "an observation that is a list of 2"),
        (FLOATS, None, "an observation that is a NoneType"),
        (FLOATS, ["a", "b"], "an observation that is a list of 2"),
    ],
    ids=str,
)
def test_observations_that_their_space_would_change_are_refused(
    space: spaces.Space[Any], observation: Any, reason: str
) -> None:
    assert reason in refusal_of(register(space=space, observation=observation))


@pytest.mark.parametrize("limit", [None, 5])
@pytest.mark.parametrize(
    ("result", "reason"),
    [
        ((ZEROS, 0.0, False, {}), "step returned 4 values, as the old Gym API did"),
        (None, "step returned a NoneType"),
        ((ZEROS, 0.0), "step returned a tuple of 2"),
    ],
    ids=str,
)
def test_a_step_of_the_old_api_is_named_with_and_without_a_time_limit(
    limit: int | None, result: Any, reason: str
) -> None:
    message = refusal_of(register(limit, at_step=lambda: result))
    assert f"{reason}; return (observation, reward, terminated, truncated, info), as Gymnasium does" in message


@pytest.mark.parametrize(
    "result", [np.zeros(2, np.float32), [0.0, 0.0], (0.0, 0.0), ZEROS + ZEROS, None, [0.0, 0.0, 0.0]], ids=str
)
def test_a_reset_of_the_old_api_is_named(result: Any) -> None:
    message = refusal_of(register(5, at_reset=lambda: result))
    assert "and no info, as the old Gym API did; return (observation, info), as Gymnasium does" in message


class OldReset(Answers):
    def reset(self) -> Any:  # type: ignore[override]
        return np.zeros(2, np.float32)


class ResetWithoutOptions(Answers):
    def reset(self, seed: int | None = None) -> Any:  # type: ignore[override]
        return np.zeros(2, np.float32), {}


@pytest.mark.parametrize(
    ("kind", "missing"), [(OldReset, "no seed and no options"), (ResetWithoutOptions, "no option")]
)
def test_a_reset_without_seed_or_options_is_named_before_it_is_called(kind: type, missing: str) -> None:
    env_id = f"{kind.__name__}-v0"
    gymnasium.register(env_id, entry_point=kind)
    with pytest.raises(TypeError, match=f"{env_id}: its reset takes {missing}.*reset\\(self, \\*, seed=None, options"):
        make_single(env_id)


def test_a_wrapper_of_the_users_sees_infos_and_nobody_else() -> None:
    seen = []

    class Reading(gymnasium.Wrapper[Any, Any, Any, Any]):
        def step(self, action: Any) -> Any:
            result = self.env.step(action)
            seen.append(result[4])
            return result

    gymnasium.register("ReadsInfos-v0", entry_point=lambda: Reading(Unwrapping(Answers(info={"lives": [1, 2]}))))
    assert answer_of("ReadsInfos-v0")[4] == {}
    assert seen == [{"lives": [1, 2]}]


def exit_0() -> Any:
    raise SystemExit(0)


class OddEnd(BaseException):
    """What some libraries raise to end a task."""


def end_oddly() -> Any:
    raise OddEnd("enough")


@pytest.mark.parametrize(
    ("end", "reason"), [(exit_0, r"called sys.exit\(0\)"), (end_oddly, r"raised OddEnd\('enough'\)")]
)
def test_an_environment_that_ends_its_process_raises_instead(end: Answer, reason: str) -> None:
    gymnasium.register("EndsInConstructor-v0", entry_point=end, max_episode_steps=3)
    with pytest.raises(RuntimeError, match=f"the environment {reason}"):
        VectorEnvironment("EndsInConstructor-v0", 2)
    at_reset = VectorEnvironment(register(at_reset=end), 2)
    with pytest.raises(RuntimeError, match=f"the environment {reason}"):
        at_reset.reset(np.random.SeedSequence(1))
    at_step = VectorEnvironment(register(at_step=end), 2)
    at_step.reset(np.random.SeedSequence(1))
    with pytest.raises(RuntimeError, match=f"the environment {reason}"):
        at_step.step(np.zeros(2, dtype=np.int64))


def test_a_sigterm_that_ray_answers_while_the_environment_steps_still_ends_the_process() -> None:
    env = make_single(register(at_step=lambda: raise_sys_exit_with_custom_error_message("The process got a SIGTERM.")))
    env.reset()
    with pytest.raises(SystemExit):
        env.step(0)


def interrupt() -> Any:
    raise KeyboardInterrupt


def test_ctrl_c_passes_through() -> None:
    env = make_single(register(at_step=interrupt))
    env.reset()
    with pytest.raises(KeyboardInterrupt):
        env.step(0)


class Samples(Answers):
    """Its observations are samples of its own spaces."""

    def __init__(self) -> None:
        super().__init__(space=spaces.Box(0, 1, (2,), np.float32))
        self.action_space = spaces.Discrete(1000)

    def step(self, action: int) -> Any:
        return self.observation_space.sample(), float(self.action_space.sample()), False, False, {}


def test_samples_of_the_environments_own_spaces_follow_from_the_seed() -> None:
    gymnasium.register("Samples-v0", entry_point=lambda: gymnasium.wrappers.RescaleObservation(Samples(), 0.0, 2.0))

    def played(seed: int) -> list[Any]:
        env = make_single("Samples-v0")
        env.reset(seed=seed)
        return [(observation.tolist(), reward) for observation, reward, *_ in (env.step(0) for _ in range(3))]

    assert played(1) == played(1)
    assert not any(one == other for one, other in zip(played(1), played(2), strict=True))


def test_the_time_limit_is_described_wherever_it_comes_from() -> None:
    assert probe(register()).max_episode_steps is None
    assert probe(register(max_episode_steps=7)).max_episode_steps == 7
    assert probe("CartPole-v1", ["max_episode_steps=9"]).max_episode_steps == 9
