"""The numpy forward pass, and the epsilon schedules."""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
import pytest
import torch
from fakes import random_arrays
from torch import nn

from actors.policy import QFunction, epsilon_schedule, exploration_steps, ladder_epsilons, mean_epsilon, not_greedy
from common.config import ActorConfig
from common.params import layer_shapes


@pytest.mark.parametrize("hidden", [(128, 128), (64,), (256,), (64, 64), (256, 256), ()])
def test_q_values_are_those_of_torch(hidden: tuple[int, ...]) -> None:
    arrays = random_arrays(layer_shapes(4, hidden, 3), seed=1)
    layers: list[nn.Module] = []
    for fan_in, fan_out in itertools.pairwise([4, *hidden, 3]):
        layers += [nn.Linear(fan_in, fan_out), nn.ReLU()]
    network = nn.Sequential(*layers[:-1])
    network.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
    observation = np.random.default_rng(2).standard_normal((50, 4)).astype(np.float32)
    with torch.no_grad():
        expected = network(torch.from_numpy(observation)).numpy()
    got = QFunction(arrays)(observation)
    assert got.shape == (50, 3)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5)


def test_q_values_by_hand() -> None:
    """hidden = relu([x - 1, -x]), q = [10 * first, first + 2 * second + 1]."""
    arrays = {
        "0.weight": np.array([[1], [-1]], dtype=np.float32),
        "0.bias": np.array([-1, 0], dtype=np.float32),
        "2.weight": np.array([[10, 0], [1, 2]], dtype=np.float32),
        "2.bias": np.array([0, 1], dtype=np.float32),
    }
    observation = np.array([[3], [0], [-4]], dtype=np.float32)
    assert QFunction(arrays)(observation).tolist() == [[20, 3], [0, 1], [0, 9]]
    assert observation.tolist() == [[3], [0], [-4]]


def test_params_written_after_the_function_was_made_change_nothing() -> None:
    arrays = random_arrays(layer_shapes(4, (8,), 2), seed=1)
    q_function = QFunction(arrays)
    observation = np.ones((1, 4), dtype=np.float32)
    before = q_function(observation).copy()
    for array in arrays.values():
        array.fill(7)
    np.testing.assert_array_equal(q_function(observation), before)


def exponential(actors: int, envs_per_actor: int = 2) -> ActorConfig:
    return ActorConfig(
        actors=actors,
        envs_per_actor=envs_per_actor,
        epsilon_schedule="exponential",
        epsilon_start=1.0,
        epsilon_end=0.05,
        epsilon_spread=0.0,
        epsilon_decay_env_steps=3000,
    )


@pytest.mark.parametrize(
    ("env_steps", "expected"),
    [(0, 1.0), (3000, 0.05 + 0.95 / math.e), (6000, 0.05 + 0.95 / math.e**2), (10**7, 0.05)],
)
@pytest.mark.parametrize("actors", [1, 2, 8])
def test_exponential_epsilon_depends_on_global_environment_steps_alone(
    actors: int, env_steps: int, expected: float
) -> None:
    config = exponential(actors)
    for actor_id in range(actors):
        epsilon = epsilon_schedule(config, actor_id)(env_steps)
        assert epsilon.dtype == np.float32
        assert epsilon.tolist() == pytest.approx([expected] * 2, abs=1e-6)
    assert mean_epsilon(config, env_steps) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("env_steps", "terminations", "expected"),
    [
        (0, 0, 0),
        (3000, 0, 0),  # nothing has terminated yet
        (3000, 5, 1500),  # half of what one decay of 3,000 takes
        (3000, 10, 3000),
        (3000, 1000, 3000),
        (6000, 0, 0),
        (6500, 0, 500),  # nothing has terminated for two decays: there may be no such end
        (6500, 5, 1500),
        (10_000, 5, 4000),
    ],
)
def test_exploration_waits_for_episodes_that_terminate_but_not_for_ever(
    env_steps: int, terminations: int, expected: float
) -> None:
    assert exploration_steps(exponential(actors=1), env_steps, terminations) == expected


def test_exploration_that_need_not_wait_follows_environment_steps() -> None:
    config = dataclasses.replace(exponential(actors=1), epsilon_wait_terminations=0)
    assert exploration_steps(config, 3000, 0) == 3000


def test_final_epsilons_span_powers_around_the_end_interleaved_over_actors() -> None:
    """0.1 ** 0.5, 0.1 ** (5 / 6), 0.1 ** (7 / 6), 0.1 ** 1.5 for four environments of two actors."""
    config = dataclasses.replace(exponential(actors=2), epsilon_end=0.1, epsilon_spread=0.5)
    first, second = (epsilon_schedule(config, actor_id)(1e9).tolist() for actor_id in (0, 1))
    assert [first[0], second[0], first[1], second[1]] == pytest.approx([0.31623, 0.14678, 0.06813, 0.03162], abs=1e-5)
    assert mean_epsilon(config, 1e9) == pytest.approx((0.31623 + 0.14678 + 0.06813 + 0.03162) / 4, abs=1e-5)


def test_spread_epsilons_all_begin_at_the_start() -> None:
    config = dataclasses.replace(exponential(actors=2), epsilon_spread=0.8)
    assert epsilon_schedule(config, 1)(0).tolist() == pytest.approx([1.0, 1.0])


@pytest.mark.parametrize("end", [0.0, 1.0])
def test_an_end_of_0_or_1_is_that_of_all_environments(end: float) -> None:
    config = dataclasses.replace(exponential(actors=2), epsilon_end=end, epsilon_spread=0.8)
    assert epsilon_schedule(config, 1)(1e9).tolist() == pytest.approx([end, end])


def test_a_single_environment_ends_at_the_end() -> None:
    config = dataclasses.replace(exponential(actors=1, envs_per_actor=1), epsilon_spread=0.8)
    assert epsilon_schedule(config, 0)(1e9).tolist() == pytest.approx([0.05])


def test_actions_of_the_highest_value_are_greedy_ties_included() -> None:
    q_values = np.array([[1, 3, 3], [1, 3, 3], [2, 0, 1], [2, 0, 1]], dtype=np.float32)
    assert not_greedy(q_values, np.array([1, 2, 0, 2])).tolist() == [False, False, False, True]


def test_exponential_epsilon_can_be_0_from_the_start() -> None:
    config = ActorConfig(epsilon_schedule="exponential", epsilon_start=0.0, epsilon_end=0.0)
    assert epsilon_schedule(config, 0)(0).tolist() == [0.0] * config.envs_per_actor


def ladder(actors: int, envs_per_actor: int, base: float, alpha: float) -> list[list[float]]:
    """The epsilons of each actor."""
    config = ActorConfig(
        actors=actors,
        envs_per_actor=envs_per_actor,
        epsilon_schedule="ladder",
        epsilon_ladder_base=base,
        epsilon_ladder_alpha=alpha,
    )
    return [epsilon_schedule(config, actor_id)(12345).tolist() for actor_id in range(actors)]


@pytest.mark.parametrize(
    ("actors", "envs_per_actor", "alpha", "expected"),
    [
        (1, 1, 2, [[1 / 4]]),  # base ** (1 + alpha / 2)
        (1, 1, 4, [[1 / 8]]),
        (1, 3, 2, [[1 / 2, 1 / 4, 1 / 8]]),
        (3, 1, 2, [[1 / 2], [1 / 4], [1 / 8]]),
        (2, 2, 3, [[1 / 2, 1 / 8], [1 / 4, 1 / 16]]),  # interleaved: i = 0, 2 and i = 1, 3
        (2, 3, 5, [[1 / 2, 1 / 8, 1 / 32], [1 / 4, 1 / 16, 1 / 64]]),
        (2, 2, 0, [[1 / 2, 1 / 2], [1 / 2, 1 / 2]]),
    ],
)
def test_ladder_epsilons_by_hand(actors: int, envs_per_actor: int, alpha: float, expected: list[list[float]]) -> None:
    got = ladder(actors, envs_per_actor, base=0.5, alpha=alpha)
    assert len(got) == len(expected)
    for got_of_actor, expected_of_actor in zip(got, expected, strict=True):
        assert got_of_actor == pytest.approx(expected_of_actor, rel=1e-6)


@pytest.mark.parametrize(("actors", "envs_per_actor"), [(8, 8), (1, 64), (16, 3), (5, 1)])
def test_ladder_epsilons_of_all_environments_differ_and_span_the_ladder(actors: int, envs_per_actor: int) -> None:
    everyone = [epsilon for of_actor in ladder(actors, envs_per_actor, base=0.7, alpha=7) for epsilon in of_actor]
    assert len(set(everyone)) == actors * envs_per_actor
    assert max(everyone) == pytest.approx(0.7)
    assert min(everyone) == pytest.approx(0.7**8)


def test_the_mean_of_the_ladder_is_over_all_environments_of_all_actors() -> None:
    config = ActorConfig(
        actors=2, envs_per_actor=2, epsilon_schedule="ladder", epsilon_ladder_base=0.5, epsilon_ladder_alpha=3
    )
    assert mean_epsilon(config, 0) == pytest.approx((1 / 2 + 1 / 4 + 1 / 8 + 1 / 16) / 4)
    assert ladder_epsilons(config, 1).dtype == np.float32
