"""Mean, spread and interval of a few numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from common.statistics import summarize


def test_three_numbers_have_the_interval_of_students_t() -> None:
    """1, 2, 3: standard deviation 1, half 4.303 * 1 / sqrt(3)."""
    summary = summarize(np.array([1.0, 2.0, 3.0]))
    assert (summary.mean, summary.std) == (2.0, 1.0)
    assert summary.interval_high - summary.mean == pytest.approx(2.484, abs=0.001)
    assert summary.mean - summary.interval_low == pytest.approx(2.484, abs=0.001)


def test_one_number_has_no_spread() -> None:
    mean, *spread = summarize(np.array([7.0]))
    assert mean == 7.0
    assert all(math.isnan(value) for value in spread)


def test_no_number_has_no_mean() -> None:
    with pytest.raises(ValueError, match="0 values"):
        summarize(np.zeros(0))
