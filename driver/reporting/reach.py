"""Whether the threshold can be reached at all, by what candidates come to."""

from __future__ import annotations

import math

import numpy as np

from common.return_text import interval_text
from common.statistics import Summary, summarize
from common.types import Kept, Look

_ATTEMPTS = 3  # that were refused, before anything is said
_EPISODES = 1_000  # of a confirmation
_SURE_STANDARD_ERRORS = 4.0  # a threshold so far below the mean is confirmed nearly always


class Reach:
    """Sees the looks of a run with a threshold, and says it where the best comes near and stays below."""

    def __init__(self, threshold: float | None) -> None:
        self._threshold = threshold
        self._refused: list[Look] = []  # the last ones
        self._best = float("-inf")  # mean on fresh episodes
        self._best_env_steps = 0
        self._told: str | None = None

    def see(self, look: Look) -> str | None:
        """A sentence, once in a run: candidates are refused, and nothing has got better for half of the run."""
        if self._threshold is None:
            return None
        if look.kind != "look" and look.mean > self._best:
            self._best, self._best_env_steps = look.mean, look.env_steps
        if look.kind == "confirmation" and not look.solved:
            self._refused = [*self._refused, look][-_ATTEMPTS:]
        still = look.env_steps >= 2 * self._best_env_steps
        if self._told is None and len(self._refused) == _ATTEMPTS and still:
            together = np.concatenate([refused.returns for refused in self._refused])
            summary = summarize(together)
            if summary.mean < self._threshold:
                self._told = (
                    f"the last {_ATTEMPTS} candidates together reach {_shown(summary)} in {together.size:,} fresh "
                    f"episodes: the threshold {self._threshold:g} may be above what this environment allows; "
                    f"--solved-return {_sure(summary):g} would count"
                )
                return self._told
        return None

    def at_the_end(self, kept: Kept | None) -> str | None:
        """Of a run that has not solved though its best may be there, whose figures then are the newer ones."""
        if self._threshold is None or kept is None or kept.fresh is None:
            return self._told
        fresh = kept.fresh
        if self._told is not None and fresh.mean < self._threshold:
            return self._told
        if fresh.solved or not fresh.interval_low <= self._threshold <= fresh.interval_high:
            return None
        summary = Summary(fresh.mean, fresh.std, fresh.interval_low, fresh.interval_high)
        return (
            f"the best network seen, {_shown(summary)}, is too near the threshold {self._threshold:g} to tell them "
            f"apart; --solved-return {_sure(summary):g} would count, or train on with --initial-params"
        )


def _shown(summary: Summary) -> str:
    return interval_text(summary.mean, summary.interval_low, summary.interval_high)


def _sure(summary: Summary) -> float:
    """A threshold that such a network is above, for certain enough to be confirmed; rounded down."""
    scale = 10.0 ** _digits(summary)
    return math.floor((summary.mean - _SURE_STANDARD_ERRORS * _standard_error(summary)) * scale) / scale


def _digits(summary: Summary) -> int:
    """Behind the point, so that a standard error shows."""
    error = _standard_error(summary)
    return max(0, min(6, -math.floor(math.log10(error)))) if error > 0 else 1


def _standard_error(summary: Summary) -> float:
    return summary.std / math.sqrt(_EPISODES)
