"""Does a series of memory sizes grow?"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

FLAT_MB = 1.0  # what a series may move and still counts as flat
Float64 = NDArray[np.float64]


def describe_growth(seconds: Float64, mb: Float64, settle_seconds: float) -> dict[str, Any]:
    """Of one series: slope after settling in MB a minute, what it grew by from then to the end, and until when."""
    settled = seconds >= settle_seconds
    slope, low, high = slope_per_minute(seconds[settled], mb[settled])
    window = min(60.0, (seconds[-1] - settle_seconds) / 3)
    first = float(np.median(mb[settled & (seconds < settle_seconds + window)]))
    last = float(np.median(mb[seconds > seconds[-1] - window]))
    return {
        "mb": mb.tolist(),
        "slope_mb_per_minute": slope,
        "slope_interval": [low, high],
        "first_mb": first,
        "last_mb": last,
        "window_seconds": window,
        "flat_from_seconds": flat_from(seconds, mb),
    }


def slope_per_minute(seconds: Float64, mb: Float64) -> tuple[float, float, float]:
    """Least squares, and its 95 % interval.

    Seconds that follow one another hardly differ, so that n samples count as n (1 - r) / (1 + r), but as 3 at least;
    r is the residuals' correlation from one to the next (Santer et al. 2000, https://doi.org/10.1029/1999JD901105).
    """
    minutes = (seconds - seconds.mean()) / 60
    slope = float(minutes @ mb / (minutes @ minutes))
    residual = mb - mb.mean() - slope * minutes
    squares = float(residual @ residual)
    correlation = max(0.0, float(residual[1:] @ residual[:-1]) / squares) if squares > 0 else 0.0
    count = max(3.0, len(mb) * (1 - correlation) / (1 + correlation))
    half = float(stdtrit(count - 2, 0.975)) * (squares / (count - 2) / float(minutes @ minutes)) ** 0.5
    return slope, slope - half, slope + half


def flat_from(seconds: Float64, mb: Float64) -> float:
    """The second from which the series stays within 1 MB of its last value: until then something grew."""
    away = np.flatnonzero(np.abs(mb - mb[-1]) > FLAT_MB)
    return float(seconds[away[-1] + 1]) if away.size else float(seconds[0])
