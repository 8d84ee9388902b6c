"""Outcome: what the supervision of a run leaves to be written."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from common.types import Kept, Look
from driver.reporting.observer import Solved
from driver.reporting.progress import Progress
from replay_server.stats import ShardStats


class Failure(NamedTuple):
    """What went wrong, where."""

    role: str
    text: str


@dataclass
class Outcome:
    """How the run ended, and what is left of it."""

    stopped_by: str
    failure: Failure | None = None
    progress: Progress | None = None
    shards: tuple[ShardStats, ...] = ()
    solved: Solved | None = None
    last_look: Look | None = None
    kept: Kept | None = None  # what was to be saved; None: whatever was newest
    reach: str | None = None  # a sentence on a threshold that was not reached
    first_learner_step_seconds: float | None = None  # since the start that seconds_to_solve counts from
    ready_seconds: dict[str, float] = field(default_factory=dict)  # likewise, when each role first came up
    nodes: dict[str, str] | None = None  # of a cluster, by role: where its last process was
    saved_version: int | None = None  # of the params in q_network.pth; None where nobody ever had any
