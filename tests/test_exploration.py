"""How often actions are random, and how long they are held."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from actors.exploration import Exploration

NOBODY = np.zeros(1, dtype=np.bool_)


def exploration(num_envs: int = 1, actions: int = 2, hold_share: float = 0.0, seed: int = 3) -> Exploration:
    return Exploration(num_envs, actions, hold_share, np.random.default_rng(seed))


def with_episodes_of(steps: int, num_envs: int = 1, actions: int = 2, hold_share: float = 0.05) -> Exploration:
    """After 200 such episodes."""
    exploring = exploration(num_envs, actions, hold_share)
    everybody = np.ones(num_envs, dtype=np.bool_)
    for step in range(200 * steps):
        exploring.stepped(everybody, everybody if step % steps == 0 else ~everybody)
    return exploring


def epsilons(*values: float) -> NDArray[np.float32]:
    return np.array(values, dtype=np.float32)


def test_actions_come_at_the_rates_of_epsilon() -> None:
    """3 actions, the second the best: with epsilon 0.3 it comes at 0.7 + 0.1, the others at 0.1; 6 sigma are 0.01."""
    q_values = np.tile(np.array([0, 1, 0.5], dtype=np.float32), (60_000, 1))
    actions = exploration(60_000, 3).actions(q_values, np.full(60_000, 0.3, dtype=np.float32))
    assert actions.dtype == np.int64
    assert np.bincount(actions) / 60_000 == pytest.approx([0.1, 0.8, 0.1], abs=0.01)


@pytest.mark.parametrize("steps_of_episodes", [10, 500])
def test_each_environment_explores_at_its_own_epsilon_however_long_actions_are_held(steps_of_episodes: int) -> None:
    """Epsilon 0, 0.5 and 1 side by side: the best of 2 actions comes at 1, 0.75 and 0.5."""
    exploring = with_episodes_of(steps_of_episodes, num_envs=3)
    q_values = np.array([[1, 0]] * 3, dtype=np.float32)
    actions = np.array([exploring.actions(q_values, epsilons(0, 0.5, 1)) for _ in range(60_000)])
    assert (actions == 0).mean(axis=0) == pytest.approx([1.0, 0.75, 0.5], abs=0.03)


def test_epsilon_0_never_explores() -> None:
    rng = np.random.default_rng(5)
    q_values = rng.standard_normal((100_000, 4)).astype(np.float32)
    actions = exploration(100_000, 4).actions(q_values, np.zeros(100_000, dtype=np.float32))
    np.testing.assert_array_equal(actions, q_values.argmax(axis=1))


@pytest.mark.parametrize(
    ("steps", "hold_share", "most"), [(20, 0.05, 1), (210, 0.05, 10), (5000, 0.05, 20), (200, 0, 1)]
)
def test_the_longest_hold_is_a_share_of_an_episode(steps: int, hold_share: float, most: int) -> None:
    assert with_episodes_of(steps, hold_share=hold_share).most_steps == most


@pytest.mark.parametrize(("time_limit", "most"), [(None, 10), (100, 5), (1000, 10)])
def test_before_the_first_episode_has_ended_holds_go_by_what_ran_but_not_beyond_the_time_limit(
    time_limit: int | None, most: int
) -> None:
    """4 environments with 50 steps each: as if one episode had run for 200, unless it is cut before."""
    exploring = Exploration(4, 2, 0.05, np.random.default_rng(3), time_limit)
    for _ in range(50):
        exploring.stepped(np.ones(4, dtype=np.bool_), np.zeros(4, dtype=np.bool_))
    assert exploring.most_steps == most
    for _ in range(100):  # resets are no steps
        exploring.stepped(np.zeros(4, dtype=np.bool_), np.zeros(4, dtype=np.bool_))
    assert exploring.most_steps == most
    exploring.stepped(np.ones(4, dtype=np.bool_), np.ones(4, dtype=np.bool_))
    assert exploring.most_steps == 2  # 204 steps, 4 episodes


def test_holds_of_n_steps_come_at_one_over_n_squared() -> None:
    """Of 1,000 actions, so that two holds in a row hardly ever have the same; at most 10 steps."""
    exploring = with_episodes_of(210, actions=1000)
    q_values = np.zeros((1, 1000), dtype=np.float32)
    taken = [int(exploring.actions(q_values, epsilons(1.0))[0]) for _ in range(40_000)]
    runs = [len(list(run)) for _, run in itertools.groupby(taken)]
    wanted = 1.0 / np.arange(1, 11) ** 2
    assert max(runs[:-1]) <= 20  # two of the same
    share = np.bincount(runs, minlength=11)[1:11] / len(runs)
    assert share == pytest.approx(wanted / wanted.sum(), abs=0.02)


def test_a_hold_ends_with_the_episode() -> None:
    exploring = with_episodes_of(400)
    q_values = np.array([[1.0, 0.0]], dtype=np.float32)
    exploring._left[:], exploring._held[:] = 10, 1
    assert exploring.actions(q_values, epsilons(0.0)).tolist() == [1]
    exploring.stepped(~NOBODY, NOBODY)
    assert exploring.actions(q_values, epsilons(0.0)).tolist() == [1]
    exploring.stepped(~NOBODY, ~NOBODY)
    assert exploring.actions(q_values, epsilons(0.0)).tolist() == [0]
