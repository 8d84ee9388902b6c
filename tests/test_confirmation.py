"""The judgement on candidates: who passes, how soon, and how often wrongly."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from actors.confirmation import Confirmation, allowed_error

Draw = Callable[[int], NDArray[np.float64]]


def candidate(draw: Draw, threshold: float, episodes: int) -> NDArray[np.float64]:
    """Looks until one has the mean."""
    while (look := draw(episodes)).mean() < threshold:
        pass
    return look


def attempt(draw: Draw, threshold: float, number: int = 1, episodes: int = 100) -> Confirmation:
    """One of a policy with such returns, to its end."""
    confirmation = Confirmation(threshold, number, candidate(draw, threshold, episodes), episodes)
    while confirmation.solved is None:
        confirmation.add(draw(confirmation.episodes))
    return confirmation


def bernoulli(rng: np.random.Generator, share: float) -> Draw:
    return lambda count: (rng.random(count) < share).astype(np.float64)


def share_solved(draw: Draw, threshold: float, number: int, times: int) -> float:
    return float(np.mean([attempt(draw, threshold, number).solved for _ in range(times)]))


def test_all_judgements_of_a_run_together_may_be_wrong_in_one_of_forty_runs() -> None:
    for rounds in (1, 2, 3, 10):
        errors = [allowed_error(number, round_, rounds) for number in range(1, 2000) for round_ in range(1, rounds + 1)]
        assert sum(errors) == pytest.approx(0.025, rel=1e-3)
        assert sum(errors) < 0.025
        assert min(errors) > 0


@pytest.mark.parametrize(("episodes", "size", "rounds"), [(2, 100, 10), (100, 100, 10), (300, 300, 3), (5000, 5000, 1)])
def test_a_round_has_100_episodes_at_least_and_all_rounds_1000_unless_one_has_more(
    episodes: int, size: int, rounds: int
) -> None:
    """A policy at the threshold exactly goes on to the end; and is refused."""
    undecided = Confirmation(0.0, 1, np.array([-1.0, 1.0]), episodes)
    assert undecided.episodes == size
    count = 0
    while undecided.solved is None:
        undecided.add(np.resize([-1.0, 1.0], size))
        count += 1
    assert (count, undecided.solved, undecided.returns.size) == (rounds, False, rounds * size)


def test_a_spread_of_0_passes_at_once_at_the_threshold_itself() -> None:
    sure = Confirmation(475.0, 1, np.full(100, 475.0), 100)
    sure.add(np.full(100, 475.0))
    assert sure.solved is True
    assert sure.summary is not None
    assert (sure.summary.interval_low, sure.summary.interval_high) == (475.0, 475.0)


def test_a_hundred_episodes_without_a_failure_are_not_enough_where_the_look_had_some() -> None:
    """Five failures in the look: a hundred fresh episodes without one are luck in one of 170 cases."""
    lucky = Confirmation(0.95, 3, np.repeat([0.0, 1.0], [5, 95]), 100)
    lucky.add(np.ones(100))
    assert lucky.solved is None


def test_a_standard_error_below_the_threshold_ends_it() -> None:
    """Of 100 fresh episodes with a spread of 10 the mean is certain to about 1."""
    for mean, solved in ((-1.1, False), (-0.9, None)):
        hopeless = Confirmation(0.0, 1, np.zeros(100), 100)
        hopeless.add(mean + np.resize([-10.0, 10.0], 100))
        assert hopeless.solved is solved


def test_the_optimum_of_frozen_lake_passes_in_most_first_attempts() -> None:
    """It reaches the goal in 74.4 % of episodes, the threshold is 70 %: 100 episodes hardly tell them apart."""
    draw = bernoulli(np.random.default_rng(1), 0.744)
    assert share_solved(draw, 0.7, number=1, times=80) > 0.6
    assert share_solved(draw, 0.7, number=3, times=80) > 0.35


def test_a_policy_well_above_the_threshold_nearly_always_passes_with_100_episodes() -> None:
    rng = np.random.default_rng(2)
    attempts = [attempt(lambda count: np.minimum(500, rng.normal(490, 25, count)), 475.0) for _ in range(100)]
    assert all(one.solved for one in attempts)
    assert np.mean([one.returns.size == 100 for one in attempts]) > 0.9


@pytest.mark.parametrize("case", ["normal", "skewed", "rare failures"])
def test_a_policy_at_the_threshold_passes_in_50_attempts_of_a_run_in_at_most_a_fortieth_of_runs(case: str) -> None:
    """Of 60 runs 1.5 are allowed; four or fewer are seen in 98 % of cases, and the seed is fixed."""
    rng = np.random.default_rng(3)
    draw, threshold = {
        "normal": (lambda count: rng.normal(0.0, 1.0, count), 0.0),
        "skewed": (lambda count: np.where(rng.random(count) < 0.8, 500.0, rng.uniform(200, 500, count)), 470.0),
        "rare failures": (bernoulli(rng, 0.95), 0.95),
    }[case]
    # Late attempts are allowed next to nothing: the first 8 of 50 have nine tenths of all the error.
    runs = [any(attempt(draw, threshold, number).solved for number in range(1, 9)) for _ in range(60)]
    assert sum(runs) <= 4


def test_the_confidence_shown_is_that_of_the_interval_that_decided() -> None:
    one = Confirmation(0.0, 1, np.zeros(100), 100)
    one.add(np.resize([-10.0, 10.0], 100))
    first = one.summary
    assert one.confidence == pytest.approx(1 - 2 * 0.025 / 2 * 0.3)
    assert first is not None
    assert first.interval_high == pytest.approx(-first.interval_low)
    assert first.interval_high == pytest.approx(1.94, abs=0.02)  # 2.74 standard errors of the mean
