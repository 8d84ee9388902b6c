"""What the learner tells of itself, apart from the learner so that the driver need not import torch."""

from __future__ import annotations

from typing import NamedTuple


class LearnerStats(NamedTuple):
    """`loss` is the last minibatch's; `mean_q` to `silent_units` are of one at the last sync. NaN before the first."""

    learner_steps: int
    target_syncs: int
    newest_version: int  # of the params published, learner steps
    learning_rate: float
    loss: float
    mean_q: float  # of the greedy Q-values
    q_spread: float  # their standard deviation over the observations
    silent_units: float  # share of a hidden layer's units that are 0 for all observations, of the worst layer
    trouble: str  # what is wrong with the network and what to change; "" while nothing is
    mean_abs_td_error: float
    seconds: dict[str, float]  # by activity, see common/time_use.py
    first_step_time: float | None  # time.time() of the first reply trained on
    torch_threads: int
