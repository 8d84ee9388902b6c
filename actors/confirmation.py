"""Confirmation: whether a candidate solves the environment, in rounds of fresh episodes.

A run has many candidates, and each is judged up to ten times. Were each judgement wrong once in forty times, a policy
that only nearly reaches the threshold would be let through in the end. So a run has one budget of error: all of its
judgements together let a policy at or below the threshold through in at most 2.5 % of runs. The attempts share it, and
in an attempt its rounds. The interval that decides is therefore wider than one of 95 %, and comes with its confidence.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from common.statistics import Summary, summarize_skewed

_LEAST_EPISODES = 100  # in a round: fewer say little about rare bad ones
_MOST_EPISODES = 1_000  # of an attempt
_MOST_ALIKE = 2_000  # the last ones; earlier candidates were others
_ERROR = 0.025  # of all attempts of a run together
_FIRST_SHARE, _LAST_SHARE = 0.3, 0.5  # of an attempt's error: clear cases pass at once, hard ones in the end


class Confirmation:
    """One attempt: `add` the returns of `episodes` fresh ones until it is decided."""

    def __init__(self, threshold: float, attempt: int, alike: NDArray[np.float64], evaluation_episodes: int) -> None:
        """`attempt` counts from 1 within a run. `alike`: returns of this candidate's look and of those before it.

        Only their spread counts: by then rare bad episodes have been seen, which some fresh ones may lack.
        A round has as many episodes as a look, but at least 100.
        """
        self._threshold = threshold
        self._attempt = attempt
        self._alike = alike[-_MOST_ALIKE:]
        self.episodes = episodes_of_a_round(evaluation_episodes)
        self._rounds = max(1, _MOST_EPISODES // self.episodes)
        self._round = 0
        self.returns = np.zeros(0)
        self.solved: bool | None = None  # None: not decided yet
        self.confidence = 0.0
        self.summary: Summary | None = None  # with the interval that decides

    def add(self, returns: NDArray[np.float64]) -> None:
        """A round. Refused is also who stays a standard error below the threshold: time is better spent on a newer."""
        self._round += 1
        self.returns = np.concatenate([self.returns, returns])
        self.confidence = 1 - 2 * allowed_error(self._attempt, self._round, self._rounds)
        self.summary = summary = summarize_skewed(self.returns, self._alike, self.confidence)
        standard_error = summary.std / float(np.sqrt(self.returns.size))
        if summary.interval_low >= self._threshold:
            self.solved = True
        elif summary.mean + standard_error < self._threshold or self._round == self._rounds:
            self.solved = False


def episodes_of_a_round(evaluation_episodes: int) -> int:
    """As many as in a look, but at least 100."""
    return max(_LEAST_EPISODES, evaluation_episodes)


def allowed_error(attempt: int, round_: int, rounds: int) -> float:
    """Of one judgement; over all rounds of all attempts it adds up to 2.5 %. Both count from 1.

    Attempt i gets 1 / (i (i + 1)) of it: half, a sixth, a twelfth, so that a late one still has a chance.
    """
    of_attempt = _ERROR / (attempt * (attempt + 1))
    if rounds == 1:
        return of_attempt
    if round_ == 1:
        return of_attempt * _FIRST_SHARE
    if round_ == rounds:
        return of_attempt * (_LAST_SHARE if rounds > 2 else 1 - _FIRST_SHARE)
    return of_attempt * (1 - _FIRST_SHARE - _LAST_SHARE) / (rounds - 2)
