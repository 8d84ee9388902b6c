"""Mean and 95 % interval of a set of returns."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Summary(NamedTuple):
    """Of n values; the interval is that of the mean, by Student's t. One value has no spread: NaN, as are both ends."""

    mean: float
    std: float  # of the sample, n - 1
    interval_low: float
    interval_high: float


def summarize(values: NDArray[np.float64], confidence: float = 0.95) -> Summary:
    """Raises ValueError on no value at all."""
    if values.size == 0:
        raise ValueError("cannot summarize 0 values")
    mean = float(values.mean())
    if values.size == 1:
        return Summary(mean=mean, std=float("nan"), interval_low=float("nan"), interval_high=float("nan"))
    from scipy.special import stdtrit  # here, because the roles should not pay for it at their start

    std = float(values.std(ddof=1))
    half = float(stdtrit(values.size - 1, 0.5 + confidence / 2)) * std / float(np.sqrt(values.size))
    return Summary(mean=mean, std=std, interval_low=mean - half, interval_high=mean + half)
