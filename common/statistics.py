"""Mean and interval of a set of returns."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Summary(NamedTuple):
    """Of n values; the interval is that of the mean. One value has no spread: NaN, as are both ends."""

    mean: float
    std: float  # of the sample, n - 1
    interval_low: float
    interval_high: float


def summarize(values: NDArray[np.float64], confidence: float = 0.95) -> Summary:
    """The interval by Student's t. Raises ValueError on no value at all."""
    if values.size == 0:
        raise ValueError("cannot summarize 0 values")
    mean = float(values.mean())
    if values.size == 1:
        return Summary(mean=mean, std=float("nan"), interval_low=float("nan"), interval_high=float("nan"))
    from scipy.special import stdtrit  # here, because the roles should not pay for it at their start

    std = float(values.std(ddof=1))
    half = float(stdtrit(values.size - 1, 0.5 + confidence / 2)) * std / float(np.sqrt(values.size))
    return Summary(mean=mean, std=std, interval_low=mean - half, interval_high=mean + half)


def summarize_skewed(values: NDArray[np.float64], alike: NDArray[np.float64], confidence: float) -> Summary:
    """The mean of `values`, with an interval that holds far out and for skewed values too.

    Returns are often skewed: most episodes at the most there is, and some far below. Student's interval is then too
    high, the more so the surer it should be. This one turns the t quantiles by Hall's cubic transformation, which takes
    the skewness out (https://doi.org/10.1111/j.2517-6161.1992.tb01435.x).

    Args:
        values: At least two.
        alike: More values of the same kind. Spread and skewness are those of all together, because 100 values without
            the rare bad one look surer than they are.
    """
    from scipy.special import stdtrit  # as above

    mean, both = float(values.mean()), np.concatenate([values, alike])
    std = float(both.std(ddof=1))
    if std == 0:
        return Summary(mean=mean, std=float(values.std(ddof=1)), interval_low=mean, interval_high=mean)
    n = values.size
    skewness = float((((both - both.mean()) / std) ** 3).mean())
    quantile = float(stdtrit(n - 1, 0.5 + confidence / 2))
    high, low = (_unskewed(sign * quantile, skewness, n) * std / float(np.sqrt(n)) for sign in (-1, 1))
    return Summary(mean=mean, std=float(values.std(ddof=1)), interval_low=mean - low, interval_high=mean - high)


def _unskewed(quantile: float, skewness: float, n: int) -> float:
    """The t of n values whose transformed t is `quantile`."""
    bend = skewness / (3 * float(np.sqrt(n)))
    if abs(bend) < 1e-9:
        return quantile
    return float(np.cbrt(1 + 3 * bend * (quantile - bend / 2)) - 1) / bend
