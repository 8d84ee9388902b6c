"""Returns of any size can be read."""

from __future__ import annotations

import pytest

from common.return_text import interval_text, return_text


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (10391.26, "10391.3"),
        (498.25, "498.2"),
        (-89.96, "-90.0"),
        (7.93, "7.93"),
        (0.7441, "0.744"),
        (0.0123456, "0.0123"),
        (1e-12, "0.000000"),
        (0.0, "0.0"),
        (float("nan"), "nan"),
    ],
)
def test_a_return_has_the_digits_that_tell_something(value: float, shown: str) -> None:
    assert return_text(value) == shown


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ((0.7, 0.649, 0.751), "0.700 [0.649, 0.751]"),
        ((9.0, 7.5, 10.5), "9.0 [7.5, 10.5]"),
        ((-0.01, -0.2, 0.18), "-0.010 [-0.200, 0.180]"),
    ],
)
def test_a_mean_and_its_interval_have_the_same_digits(values: tuple[float, float, float], shown: str) -> None:
    assert interval_text(*values) == shown
