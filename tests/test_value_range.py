"""The range of values, by hand and against an MDP's true values."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from learner.value_range import ValueRange


def range_of(*rows: tuple[float, float]) -> tuple[float, float]:
    """(low, high) after transitions of (reward, discount)."""
    values = ValueRange()
    reward, discount = np.array(rows, dtype=np.float32).reshape(-1, 2).T
    values.widen(reward, discount)
    return values.low, values.high


def test_before_any_transition_only_0_is_possible() -> None:
    assert range_of() == (0.0, 0.0)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([(1.0, 0.0)], (0.0, 1.0)),  # one reward, then the end
        ([(1.0, 0.5)], (0.0, 2.0)),  # 1 + 1/2 + 1/4 ...
        ([(-1.0, 0.5)], (-2.0, 0.0)),
        ([(1.0, 0.5), (-3.0, 0.0), (0.0, 0.9)], (-3.0, 2.0)),
        ([(1.0, 1.0)], (0.0, math.inf)),  # undiscounted: no limit
        ([(-1.0, 1.0), (1.0, 0.0)], (-math.inf, 1.0)),
        ([(0.0, 1.0)], (0.0, 0.0)),
        ([(math.nan, 0.5), (1.0, 0.0)], (-math.inf, math.inf)),  # the TD error is to show it
        ([(math.inf, 0.5)], (-math.inf, math.inf)),
        ([(1.0, math.inf)], (-math.inf, math.inf)),
    ],
)
def test_ranges_by_hand(rows: list[tuple[float, float]], expected: tuple[float, float]) -> None:
    assert range_of(*rows) == expected


@pytest.mark.parametrize("n", [1, 3, 10])
def test_n_step_sums_have_the_range_of_single_steps(n: int) -> None:
    """Reward 1 a step at gamma 0.99 is worth 100, however many steps a row spans."""
    reward = sum(0.99**k for k in range(n))
    assert range_of((reward, 0.99**n)) == (0.0, pytest.approx(100.0, rel=1e-4))


def test_it_only_widens() -> None:
    values = ValueRange()
    for reward in (1.0, 5.0, -2.0, 0.5):
        values.widen(np.array([reward], dtype=np.float32), np.zeros(1, dtype=np.float32))
    assert (values.low, values.high) == (-2.0, 5.0)


def test_what_lies_inside_is_left_alone_and_what_is_not_a_number_stays_seen() -> None:
    values = ValueRange()
    values.widen(np.array([-1.0, 3.0], dtype=np.float32), np.zeros(2, dtype=np.float32))
    clamped = values.clamp(torch.tensor([-7.0, -1.0, 0.5, 3.0, 8.0, math.nan]))
    assert clamped[:5].tolist() == [-1.0, -1.0, 0.5, 3.0, 3.0]
    assert torch.isnan(clamped[5])


@given(
    st.lists(
        st.tuples(st.floats(-10, 10, width=32), st.sampled_from([0.0, 0.5, 0.9, 0.97]), st.integers(0, 4)),
        min_size=5,
        max_size=12,
    )
)
def test_the_true_values_of_any_mdp_lie_in_its_range(rows: list[tuple[float, float, int]]) -> None:
    """Row i leads from state i % 5 to its last entry; value iteration for the best and for the worst policy."""
    values = ValueRange()
    values.widen(np.array([row[0] for row in rows], dtype=np.float32), np.array([row[1] for row in rows], np.float32))
    for choose in (max, min):
        value = [0.0] * 5
        for _ in range(600):
            value = [
                choose(reward + discount * value[to] for i, (reward, discount, to) in enumerate(rows) if i % 5 == state)
                for state in range(5)
            ]
        assert all(values.low - 1e-3 <= v <= values.high + 1e-3 for v in value)
