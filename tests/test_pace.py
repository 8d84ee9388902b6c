"""How many episodes a look has, and how soon it follows the last, on a clock that the test sets."""

from __future__ import annotations

import pytest

from actors.pace import Pace, final_seconds


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
    assert Run().pace.episodes(step_seconds=0.001, episode_env_steps=0.0) == 50  # nothing known: 200 steps


def test_a_confirmation_of_several_rounds_is_as_quick_as_its_rounds() -> None:
    run = Run()
    run.pace.looked(episodes=1000, seconds=15.0)
    assert run.pace.wait_seconds() <= 0


@pytest.mark.parametrize(
    ("run_seconds", "wait"),
    [
        (40.0, 36.0),  # as after one round of 18 s
        (400.0, 100.0),  # a quarter of the run so far
        (4000.0, 360.0),  # a third of the time is the confirmation's
    ],
)
def test_after_a_slow_confirmation_the_next_look_waits_but_is_not_missed_for_a_large_part_of_the_run(
    run_seconds: float, wait: float
) -> None:
    run = Run()
    run.now = run_seconds
    run.pace.looked(episodes=1000, seconds=180.0)
    assert run.pace.wait_seconds() == pytest.approx(wait)


def test_looks_of_long_runs_may_take_a_twentieth_of_them() -> None:
    run = Run()
    run.look(episode_seconds=2.0)
    run.now = 2400.0
    assert run.look(episode_seconds=2.0) == 60


def test_a_look_at_the_end_has_the_time_that_is_left() -> None:
    run = Run()
    run.look(episode_seconds=0.05)
    assert run.pace.episodes(step_seconds=0.0, episode_env_steps=0.0, allowed=3.5) == 60  # three turns of 20
    assert run.pace.episodes(step_seconds=0.0, episode_env_steps=0.0, allowed=0.9) == 18
    assert run.pace.note is None


@pytest.mark.parametrize(("run_seconds", "expected"), [(15.0, 10.0), (180.0, 18.0), (36_000.0, 30.0)])
def test_the_last_looks_may_take_a_tenth_of_the_run_but_10_seconds_always_and_30_at_most(
    run_seconds: float, expected: float
) -> None:
    assert final_seconds(run_seconds) == expected
    run = Run()
    run.now = run_seconds
    assert run.pace.final_seconds() == expected


def test_a_look_at_the_end_that_would_be_too_short_to_say_something_is_left_out() -> None:
    run = Run()
    run.look(episode_seconds=0.05)
    assert run.pace.episodes(step_seconds=0.0, episode_env_steps=0.0, allowed=0.49) == 0


@pytest.mark.parametrize(("episode_seconds", "expected"), [(0.06, True), (0.08, False)])
def test_whether_a_confirmation_fits_goes_by_the_last_look(episode_seconds: float, expected: bool) -> None:
    run = Run()
    assert not run.pace.fits(1, allowed=1e9)
    run.look(episode_seconds)
    assert run.pace.fits(100, allowed=7.0) == expected


def test_a_look_in_turns_has_no_part_of_a_turn() -> None:
    """All copies take each step of it."""
    run = Run()
    run.look(episode_seconds=0.4)
    assert run.look(episode_seconds=0.4) == 20  # where 25 would fit into 10 s, and take as long as 40


def test_what_an_episode_takes_is_not_told_before_it_is_known() -> None:
    pace = Run().pace
    assert pace.episodes(step_seconds=0.02, episode_env_steps=0.0) == 10
    assert pace.note is None
    assert pace.episodes(step_seconds=0.02, episode_env_steps=25.0) == 20
    assert pace.note == "a look has 20 episodes, not 100, because one takes 0.5 s"


def test_a_guess_of_what_an_episode_takes_makes_no_turns() -> None:
    """Of two copies a step takes many times what each of a hundred takes that make it together, as CartPole's do."""
    pace = Run().pace
    assert pace.episodes(step_seconds=165e-6, episode_env_steps=0.0) == 100  # 3.3 s, it seems
    assert pace.turn(100) == 100


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
