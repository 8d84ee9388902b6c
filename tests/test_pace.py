"""How many episodes a look has, and how soon it follows the last, on a clock that the test sets."""

from __future__ import annotations

import pytest

from actors.pace import Pace


class Run:
    """A run whose looks take what the test says."""

    def __init__(self, episodes: int = 100) -> None:
        self.now = 0.0
        self.pace = Pace(episodes, clock=lambda: self.now)
        self.pace.begin()

    def look(self, episode_seconds: float) -> int:
        """Returns how many episodes it had."""
        count = self.pace.episodes(step_seconds=0.0, episode_env_steps=0.0)
        self.now += count * episode_seconds
        self.pace.looked(count, count * episode_seconds)
        return count


def test_quick_looks_are_whole_and_follow_one_another_at_once() -> None:
    """CartPole's at 500 steps take a fifth of a second."""
    run = Run()
    for _ in range(3):
        assert run.look(episode_seconds=0.002) == 100
        assert run.pace.wait_seconds() <= 0
    assert run.pace.note is None


def test_looks_of_a_slow_environment_have_as_many_episodes_as_10_seconds_allow_and_take_a_third_of_the_time() -> None:
    """highway: 49 steps a second, 40 an episode; 100 of them would take 80 s."""
    run = Run()
    run.look(episode_seconds=0.8)
    began = run.now
    assert run.look(episode_seconds=0.8) == 12
    assert run.now - began == pytest.approx(9.6)
    assert run.pace.wait_seconds() == pytest.approx(2 * 9.6)
    run.now += 2 * 9.6
    assert run.pace.wait_seconds() == pytest.approx(0.0)
    assert run.pace.note == "a look has 12 episodes, not 100, because one takes 0.8 s"


def test_the_first_look_goes_by_what_a_step_takes_and_how_long_training_episodes_are() -> None:
    first = Run().pace
    assert first.episodes(step_seconds=0.02, episode_env_steps=40.0) == 12
    assert first.episodes(step_seconds=0.0001, episode_env_steps=500.0) == 100
    assert first.episodes(step_seconds=0.0001, episode_env_steps=20_000.0) == 10  # not 5: fewer say nothing
    assert first.episodes(step_seconds=0.001, episode_env_steps=0.0) == 50  # nothing known: 200 steps


def test_looks_of_long_runs_may_take_a_twentieth_of_them() -> None:
    run = Run()
    run.look(episode_seconds=2.0)
    run.now = 2400.0
    assert run.look(episode_seconds=2.0) == 60


def test_a_look_at_the_end_has_the_time_that_is_left() -> None:
    run = Run()
    run.look(episode_seconds=0.05)
    assert run.pace.episodes(step_seconds=0.0, episode_env_steps=0.0, allowed=1.5) == 30
    assert run.pace.note is None


def test_looks_of_more_than_a_second_are_played_in_turns_of_20_from_then_on() -> None:
    run = Run()
    assert [run.look(episode_seconds=0.009), run.pace.turn(100)] == [100, 100]
    assert [run.look(episode_seconds=0.011), run.pace.turn(100)] == [100, 100]
    assert [run.look(episode_seconds=0.009), run.pace.turn(100)] == [100, 20]
    run.look(episode_seconds=0.001)  # copies are not made anew each time
    assert run.pace.turn(100) == 20
    assert run.pace.turn(12) == 12


def test_nobody_gets_more_episodes_than_wanted() -> None:
    assert Run(episodes=4).look(episode_seconds=60.0) == 4
