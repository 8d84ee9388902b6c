"""Vector environments in one shape, on environments of all kinds."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from common.config import BadInput
from common.environment import Step, VectorEnvironment, flatten, probe

Info = dict[str, Any]


class Reusing(gymnasium.Env[np.ndarray, int]):
    """The observation is (episode, t), always in the same array object. Never terminates."""

    observation_space = spaces.Box(-1000, 1000, (2,), np.float32)
    action_space = spaces.Discrete(2)

    def __init__(self) -> None:
        self._array = np.array([-1, 0], dtype=np.float32)

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[np.ndarray, Info]:
        super().reset(seed=seed)
        self._array[0] += 1
        self._array[1] = 0
        return self._array, {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, Info]:
        self._array[1] += 1
        return self._array, float(action), False, False, {}


class OneStep(Reusing):
    """Terminates at its first step."""

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, Info]:
        observation, reward, _, truncated, info = super().step(action)
        return observation, reward, True, truncated, info


class Fresh(Reusing):
    """The same in an array of its own each time: Gymnasium overwrites the final observation of a reused one."""

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[np.ndarray, Info]:
        observation, info = super().reset(seed=seed)
        return observation.copy(), info

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, Info]:
        observation, *rest = super().step(action)
        return (observation.copy(), *rest)


def same_step(num_envs: int, max_episode_steps: int) -> SyncVectorEnv:
    """Stands for a vector class of its own that resets in the step that ends an episode."""
    return SyncVectorEnv(
        [lambda: gymnasium.wrappers.TimeLimit(Fresh(), max_episode_steps)] * num_envs,
        autoreset_mode=AutoresetMode.SAME_STEP,
    )


def never_reset(num_envs: int, max_episode_steps: int) -> SyncVectorEnv:
    """Stands for a vector class of its own that leaves resets to the caller."""
    return SyncVectorEnv([Reusing] * num_envs, autoreset_mode=AutoresetMode.DISABLED)


class RandomStart(Reusing):
    """The first observation is drawn; action i, counted from 5, pays i."""

    observation_space = spaces.Box(0, 1, (2,), np.float64)
    action_space = spaces.Discrete(3, start=5)

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[np.ndarray, Info]:
        super().reset(seed=seed)
        return self.np_random.random(2), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, Info]:
        assert self.action_space.contains(action)
        return np.zeros(2), float(action), False, False, {}


class Grid(gymnasium.Env[Any, int]):
    """Walks through cells 7, 8 and 9, then ends."""

    observation_space: spaces.Space[Any] = spaces.Discrete(3, start=7)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[Any, Info]:
        super().reset(seed=seed)
        self._t = 0
        return self._observation(), {}

    def step(self, action: int) -> tuple[Any, float, bool, bool, Info]:
        self._t += 1
        return self._observation(), 0.0, self._t == 2, False, {}

    def _observation(self) -> Any:
        return np.int64(7 + self._t)


class MultiGrid(Grid):
    """Two coordinates: (t, 1)."""

    observation_space = spaces.MultiDiscrete([3, 2])

    def _observation(self) -> Any:
        return np.array([self._t, 1])


class Image(Grid):
    """Small integers in two dimensions."""

    observation_space = spaces.Box(0, 255, (2, 2), np.uint8)

    def _observation(self) -> Any:
        return np.array([[self._t, 200], [0, 255]], dtype=np.uint8)


class DictObservations(Grid):
    """What is refused."""

    observation_space = spaces.Dict({"a": spaces.Box(-1, 1, (1,), np.float32)})


class NoObservations(Grid):
    """What is refused."""

    observation_space = spaces.Box(-1, 1, (0,), np.float32)


gymnasium.register("Reusing-v0", entry_point=Reusing, max_episode_steps=4)
gymnasium.register("OneStep-v0", entry_point=OneStep)
gymnasium.register("SameStep-v0", entry_point=Reusing, vector_entry_point=same_step, max_episode_steps=4)
gymnasium.register("NeverReset-v0", entry_point=Reusing, vector_entry_point=never_reset, max_episode_steps=4)
gymnasium.register("RandomStart-v0", entry_point=RandomStart, reward_threshold=12)
gymnasium.register("Grid-v0", entry_point=Grid)
gymnasium.register("MultiGrid-v0", entry_point=MultiGrid)
gymnasium.register("Image-v0", entry_point=Image)
gymnasium.register("DictOnly-v0", entry_point=DictObservations)
gymnasium.register("NoObservations-v0", entry_point=NoObservations)


@pytest.mark.parametrize(
    ("space", "observation", "expected"),
    [
        (spaces.Box(-9, 9, (2,), np.float64), np.array([[0.5, 1], [2, 3]]), [[0.5, 1], [2, 3]]),
        (spaces.Box(-9, 9, (2,), np.int64), np.array([[-1, 2]]), [[-1, 2]]),
        (spaces.Box(0, 255, (1, 2, 2), np.uint8), np.array([[[[1, 2], [3, 255]]]], np.uint8), [[1, 2, 3, 255]]),
        (spaces.Box(-9, 9, (), np.float32), np.array([4.0, 5.0], np.float32), [[4], [5]]),
        (spaces.Discrete(3), np.array([0, 2]), [[1, 0, 0], [0, 0, 1]]),
        (spaces.Discrete(3, start=-1), np.array([-1, 1]), [[1, 0, 0], [0, 0, 1]]),
        (spaces.MultiDiscrete([3, 2]), np.array([[2, 0], [0, 1]]), [[0, 0, 1, 1, 0], [1, 0, 0, 0, 1]]),
        (spaces.MultiDiscrete([3, 2], start=[5, -1]), np.array([[7, -1]]), [[0, 0, 1, 1, 0]]),
        (spaces.MultiDiscrete([[2, 2], [1, 2]]), np.array([[[0, 1], [0, 1]]]), [[1, 0, 0, 1, 1, 0, 1]]),
        (spaces.MultiBinary(3), np.array([[1, 0, 1]], np.int8), [[1, 0, 1]]),
    ],
    ids=lambda value: str(value) if isinstance(value, spaces.Space) else "",
)
def test_observations_of_any_kind_become_flat_float32(
    space: spaces.Space[Any], observation: np.ndarray, expected: list[list[float]]
) -> None:
    flat = flatten(space, observation, len(expected))
    assert flat.dtype == np.float32
    assert flat.tolist() == expected
    for row, raw in zip(flat, observation, strict=True):
        if space.contains(raw):
            np.testing.assert_array_equal(row, spaces.flatten(space, raw))


def test_a_flat_observation_is_never_a_view() -> None:
    raw = np.zeros((2, 3), dtype=np.float32)
    flat = flatten(spaces.Box(-9, 9, (3,), np.float32), raw, 2)
    assert not np.shares_memory(flat, raw)


def play(environment: VectorEnvironment, steps: int, action: int = 0) -> list[tuple[np.ndarray, Step]]:
    """The very arrays handed out, each observation with the step taken from it."""
    kept = []
    for _ in range(steps):
        observation = environment.observation
        kept.append((observation, environment.step(np.full(environment.num_envs, action, dtype=np.int64))))
    return kept


def reset(env_id: str, num_envs: int, seed: int = 1) -> VectorEnvironment:
    environment = VectorEnvironment(env_id, num_envs)
    environment.reset(np.random.SeedSequence(seed))
    return environment


# Of an environment cut after 4 steps, (episode, t) for two episodes: what was acted on, what came, valid, truncated.
NEXT_STEP_RESETS = [
    ((0, 0), (0, 1), True, False),
    ((0, 1), (0, 2), True, False),
    ((0, 2), (0, 3), True, False),
    ((0, 3), (0, 4), True, True),
    ((0, 4), (1, 0), False, False),  # the reset
    ((1, 0), (1, 1), True, False),
    ((1, 1), (1, 2), True, False),
    ((1, 2), (1, 3), True, False),
    ((1, 3), (1, 4), True, True),
    ((1, 4), (2, 0), False, False),
]
SAME_STEP_RESETS = [
    ((0, 0), (0, 1), True, False),
    ((0, 1), (0, 2), True, False),
    ((0, 2), (0, 3), True, False),
    ((0, 3), (0, 4), True, True),
    ((1, 0), (1, 1), True, False),
    ((1, 1), (1, 2), True, False),
    ((1, 2), (1, 3), True, False),
    ((1, 3), (1, 4), True, True),
]


@pytest.mark.parametrize(("env_id", "expected"), [("Reusing-v0", NEXT_STEP_RESETS), ("SameStep-v0", SAME_STEP_RESETS)])
def test_steps_never_alias_and_truncation_keeps_the_true_final_observation(
    env_id: str, expected: list[tuple[tuple[int, int], tuple[int, int], bool, bool]]
) -> None:
    """Compared only at the end, though the environment wrote to the same array all the time."""
    environment = reset(env_id, num_envs=3)
    kept = play(environment, len(expected), action=1)
    for (observation, step), (acted_on, came, valid, truncated) in zip(kept, expected, strict=True):
        assert observation.tolist() == [list(acted_on)] * 3
        assert step.next_observation.tolist() == [list(came)] * 3
        assert step.valid.tolist() == [valid] * 3
        assert step.truncated.tolist() == [truncated] * 3
        assert step.terminated.tolist() == [False] * 3
        if valid:
            assert step.reward.tolist() == [1.0] * 3
        assert [array.dtype for array in step] == [np.float32, np.float64, np.bool_, np.bool_, np.bool_]


def test_one_step_episodes_have_a_reset_after_each_step() -> None:
    kept = play(reset("OneStep-v0", num_envs=2), 4)
    assert [step.valid.tolist() for _, step in kept] == [[True] * 2, [False] * 2] * 2
    assert [step.terminated.tolist() for _, step in kept] == [[True] * 2, [False] * 2] * 2
    assert [step.next_observation[0].tolist() for _, step in kept] == [[0, 1], [1, 0], [1, 1], [2, 0]]


def test_environments_can_be_reset_in_the_middle_of_an_episode_and_at_its_end() -> None:
    environment = reset("Reusing-v0", num_envs=1)
    play(environment, 4)  # the next step would be the autoreset
    environment.reset(np.random.SeedSequence(1))
    assert environment.observation.tolist() == [[1, 0]]
    ((_, step),) = play(environment, 1)
    assert step.valid.tolist() == [True]
    assert step.next_observation.tolist() == [[1, 1]]


def test_a_class_that_does_not_reset_itself_is_refused() -> None:
    with pytest.raises(ValueError, match=r"NeverReset-v0 resets itself by .*DISABLED"):
        VectorEnvironment("NeverReset-v0", 2)


def test_real_steps_of_cartpole_are_told_from_resets() -> None:
    """A real step moves the cart by 0.02 s times its speed; a reset puts it within 0.05 of the middle."""
    environment = reset("CartPole-v1", num_envs=5)
    rng = np.random.default_rng(2)
    needs_reset = np.zeros(5, dtype=np.bool_)
    real_steps = finished_steps = 0
    length = np.zeros(5, dtype=np.int64)
    for _ in range(400):
        observation = environment.observation
        step = environment.step(rng.integers(2, size=5))
        np.testing.assert_array_equal(step.valid, ~needs_reset)
        moved = observation[:, 0] + 0.02 * observation[:, 1]
        np.testing.assert_allclose(step.next_observation[step.valid, 0], moved[step.valid], rtol=0, atol=1e-6)
        assert (np.abs(step.next_observation[~step.valid]) <= 0.05).all()
        assert (step.reward[step.valid] == 1).all()
        needs_reset = step.terminated | step.truncated
        assert not (needs_reset & ~step.valid).any()
        fallen = (np.abs(step.next_observation[:, 0]) > 2.4) | (np.abs(step.next_observation[:, 2]) > 0.2094395)
        np.testing.assert_array_equal(step.terminated, fallen)
        length += step.valid
        finished_steps += int(length[needs_reset].sum())
        length[needs_reset] = 0
        real_steps += int(step.valid.sum())
    assert real_steps == finished_steps + int(length.sum())
    assert 5 * 400 - real_steps > 50  # resets there were


@pytest.mark.parametrize("env_id", ["RandomStart-v0", "CartPole-v1"])
def test_every_environment_and_every_stream_starts_elsewhere(env_id: str) -> None:
    starts = [reset(env_id, num_envs=8, seed=seed).observation for seed in (1, 2)]
    assert len(np.unique(np.concatenate(starts), axis=0)) == 16
    np.testing.assert_array_equal(reset(env_id, num_envs=8, seed=1).observation, starts[0])


def test_actions_count_from_0_whatever_the_environment_calls_them() -> None:
    environment = reset("RandomStart-v0", num_envs=3)
    assert environment.step(np.array([0, 2, 1])).reward.tolist() == [5, 7, 6]
    environment.close()


@pytest.mark.parametrize(
    ("env_id", "size", "expected"),
    [
        ("Grid-v0", 3, [[1, 0, 0], [0, 1, 0], [0, 0, 1]]),
        ("MultiGrid-v0", 5, [[1, 0, 0, 0, 1], [0, 1, 0, 0, 1], [0, 0, 1, 0, 1]]),
        ("Image-v0", 4, [[0, 200, 0, 255], [1, 200, 0, 255], [2, 200, 0, 255]]),
    ],
)
def test_integer_observations_arrive_flat(env_id: str, size: int, expected: list[list[float]]) -> None:
    assert probe(env_id).observation_size == size
    environment = reset(env_id, num_envs=2)
    seen = [environment.observation] + [step.next_observation for _, step in play(environment, 2)]
    assert [observation.tolist() for observation in seen] == [[row] * 2 for row in expected]


def test_probe_describes_cartpole() -> None:
    spec = probe("CartPole-v1")
    assert (spec.id, spec.observation_size, spec.action_count, spec.reward_threshold) == ("CartPole-v1", 4, 2, 475.0)
    assert spec.observation_high == pytest.approx((4.8, np.inf, 0.4189, np.inf), abs=1e-4)
    assert spec.observation_low == pytest.approx((-4.8, -np.inf, -0.4189, -np.inf), abs=1e-4)


def test_probe_takes_bounds_in_the_order_of_the_flat_observation() -> None:
    spec = probe("Image-v0")
    assert (spec.observation_low, spec.observation_high) == ((0.0,) * 4, (255.0,) * 4)
    grid = probe("Grid-v0")
    assert (grid.observation_low, grid.observation_high) == ((0.0,) * 3, (1.0,) * 3)


def test_an_environment_without_a_reward_threshold_is_fine() -> None:
    assert probe("Reusing-v0").reward_threshold is None
    assert probe("RandomStart-v0").reward_threshold == 12.0


@pytest.mark.parametrize(
    ("env_id", "reason"),
    [
        ("NoSuchThing-v0", "doesn't exist"),
        ("CartPole-v9", "doesn't exist"),
        ("not an id", "Malformed"),
        ("no_such_module:Thing-v0", "No module named 'no_such_module'"),
        (":Reusing-v0", ""),
        ("..no_such_module:Reusing-v0", ""),
        ("Pendulum-v1", "DQN needs a Discrete one"),
        ("DictOnly-v0", "its observation space is Dict"),
        ("NoObservations-v0", "its observations are empty"),
    ],
)
def test_probe_refuses_what_cannot_be_used_with_option_value_and_reason(env_id: str, reason: str) -> None:
    with pytest.raises(BadInput) as refusal:
        probe(env_id)
    message = str(refusal.value)
    assert message.startswith(f"--env {env_id}: ")
    assert reason in message
    assert "\n" not in message


def accepted(env_id: str) -> bool:
    try:
        probe(env_id)
    except BadInput:
        return False
    return True


def test_an_id_without_its_version_is_refused_by_probe_or_can_be_stepped() -> None:
    """What probe accepts must work in the actors; gymnasium.make takes such an id, gymnasium.spec does not."""
    if accepted("Reusing"):
        reset("Reusing", num_envs=2).step(np.zeros(2, dtype=np.int64))
