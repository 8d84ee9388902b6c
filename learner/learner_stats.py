"""What the learner tells of itself, apart from the learner so that the driver need not import torch."""

from __future__ import annotations

from typing import NamedTuple


class LearnerStats(NamedTuple):
    """`loss` is the last minibatch's, `mean_q` the mean greedy Q-value at the last sync; NaN before the first."""

    learner_steps: int
    target_syncs: int
    newest_version: int  # of the params published, learner steps
    learning_rate: float
    loss: float
    mean_q: float
    mean_abs_td_error: float
    seconds: dict[str, float]  # by activity, see common/time_use.py
    first_step_time: float | None  # time.time() of the first reply trained on
    torch_threads: int
