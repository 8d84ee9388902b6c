"""How many copies of an environment are made, by what one takes in memory and time."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from actors.copies import Copies
from common.environment import Step, VectorEnvironment
from common.memory import available_memory, held_memory

MB = 2**20


class Machine:
    """Memory and time as the test has them; copies that take their share of both."""

    def __init__(
        self, available: int = 8000 * MB, each: int = 0, once: int = 0, make_seconds: float = 0.0, step: float = 0.0
    ) -> None:
        self.made: list[int] = []
        self.alive = 0
        self.now = 0.0
        self._each, self._once = each, once
        self._make_seconds, self._step_seconds = make_seconds, step
        self.copies = Copies(self._make, lambda: available, self._held, lambda: self.now)

    def numbers(self, *episodes: int) -> list[int]:
        """Of copies, for looks of so many episodes one after the other."""
        return [self.copies.for_episodes(count).num_envs for count in episodes]

    def _make(self, count: int) -> Made:
        assert self.alive == 0  # they would have the same numbers
        self.now += self._make_seconds * count
        self.made.append(count)
        self.alive = count
        return Made(self, count)

    def _held(self) -> int:
        return (self._once if self.made else 0) + self.alive * self._each

    def stepped(self) -> None:
        self.now += self._step_seconds * self.alive


class Made:
    """Environments that do nothing."""

    def __init__(self, machine: Machine, count: int) -> None:
        self.num_envs = count
        self.observation = np.zeros((count, 1), dtype=np.float32)
        self._machine = machine

    def reset(self, seeds: np.random.SeedSequence) -> None:
        pass

    def step(self, action: NDArray[np.int64]) -> Step:
        assert action.shape == (self.num_envs,)
        self._machine.stepped()
        flags = np.zeros(self.num_envs, dtype=np.bool_)
        return Step(self.observation, np.zeros(self.num_envs), flags, flags, ~flags)

    def close(self) -> None:
        self._machine.alive = 0


def test_there_is_a_copy_for_each_episode_and_100_at_most() -> None:
    machine = Machine()
    assert machine.numbers(30, 100, 500) == [30, 100, 100]
    assert machine.copies.note is None


def test_copies_take_at_most_a_quarter_of_the_memory_and_it_is_said() -> None:
    machine = Machine(available=8000 * MB, each=85 * MB, once=900 * MB)
    assert machine.numbers(100) == [23]
    assert machine.copies.note == (
        "greedy episodes are played on at most 23 copies of the environment: one takes 85 MB"
    )


def test_one_copy_is_made_however_little_memory_there_is() -> None:
    assert Machine(available=100 * MB, each=2000 * MB).numbers(100) == [1]


def test_copies_that_take_long_to_make_are_few() -> None:
    machine = Machine(make_seconds=4.0)
    assert machine.numbers(100) == [5]
    assert machine.copies.note == (
        "greedy episodes are played on at most 5 copies of the environment: one takes 4.0 s to make"
    )


def test_copies_are_made_anew_only_where_too_few_are_there_or_half_of_them_would_idle() -> None:
    machine = Machine()
    assert machine.numbers(12, 12, 10, 100, 60, 12) == [12, 12, 12, 100, 100, 12]
    assert machine.made == [1, 2, 12, 100, 12]


def test_for_one_or_two_episodes_nothing_is_measured() -> None:
    machine = Machine()
    assert machine.numbers(1) == [1]
    assert machine.made == [1]


def test_a_step_of_a_copy_is_timed_before_the_first_episode() -> None:
    machine = Machine(step=0.02)
    machine.copies.measure()
    assert machine.copies.step_seconds == pytest.approx(0.02)


def test_real_copies_are_measured_on_a_real_machine() -> None:
    copies = Copies(lambda count: VectorEnvironment("CartPole-v1", count))
    assert copies.for_episodes(3).num_envs == 3
    assert copies.step_seconds > 0
    assert held_memory() > 0
    assert available_memory() > 0
    copies.close()
