"""Exact mean returns of environments that state their probabilities."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.exact import StatedModel, mean_return, optimum, stated_model
from benchmarks.playing import STEP_LIMIT


def stay_or_leave(steps: int) -> StatedModel:
    """From state 0: action 0 pays 1 and stays, action 1 pays 10 and ends. State 1 is where half of all episodes start;
    everything ends there for 0."""
    return StatedModel(
        reward=np.array([[1.0, 10.0], [0.0, 0.0]]),
        goes_on=np.array([[[1.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]]),
        starts=np.array([0.5, 0.5]),
        steps=steps,
    )


def test_the_optimum_within_a_time_limit_stays_until_the_last_step() -> None:
    assert optimum(stay_or_leave(steps=3)) == (1 + 1 + 10) / 2


@pytest.mark.parametrize(("action", "expected"), [(0, 3 / 2), (1, 10 / 2)])
def test_a_policy_is_worth_what_it_collects_within_the_time_limit(action: int, expected: float) -> None:
    assert mean_return(stay_or_leave(steps=3), np.array([action, 0])) == expected


@pytest.mark.parametrize(("env_id", "best"), [("FrozenLake-v1", 0.744), ("CliffWalking-v1", -13.0)])
def test_known_optima_come_out(env_id: str, best: float) -> None:
    model = stated_model(env_id)
    assert model is not None
    assert optimum(model) == pytest.approx(best, abs=5e-4)


def test_a_policy_that_never_ends_pays_until_the_step_limit() -> None:
    model = stated_model("CliffWalking-v1")
    assert model is not None
    up_against_the_edge = np.zeros(48, dtype=np.int64)
    assert mean_return(model, up_against_the_edge) == -STEP_LIMIT


def test_an_environment_that_states_nothing_has_no_model() -> None:
    assert stated_model("CartPole-v1") is None
