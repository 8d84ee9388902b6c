"""How a return is written: CartPole's are hundreds, MiniGrid's lie between 0 and 1."""

from __future__ import annotations

import math

_MOST_DIGITS = 6


def return_text(value: float) -> str:
    """With as many digits as tell something: 498.2, 7.93, 0.744."""
    return return_texts(value)[0]


def interval_text(mean: float, low: float, high: float) -> str:
    """A mean and the interval around it, all with the same digits: 0.744 [0.701, 0.787]."""
    shown_mean, shown_low, shown_high = return_texts(mean, low, high)
    return f"{shown_mean} [{shown_low}, {shown_high}]"


def return_texts(*values: float) -> list[str]:
    """All with the same digits, by the largest of them."""
    size = max((abs(value) for value in values if math.isfinite(value)), default=0.0)
    digits = 1 if size >= 10 or size == 0 else min(_MOST_DIGITS, 2 - math.floor(math.log10(size)))
    return [f"{value:.{digits}f}" for value in values]
