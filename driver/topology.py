"""The Ray actors of one run."""

from __future__ import annotations

from typing import Any, NamedTuple

from ray.actor import ActorHandle


class Topology(NamedTuple):
    """Handles; the driver created every one, because the death of a creator kills what it created."""

    replay: ActorHandle[Any]
    learner: ActorHandle[Any]
    evaluator: ActorHandle[Any]
    actors: list[ActorHandle[Any]]
