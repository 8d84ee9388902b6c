"""The Ray actors of one run, as they are created and as the driver follows them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from ray.actor import ActorHandle

from driver.cluster.whereabouts import Whereabouts

LOOKS_GROUP = "looks"  # the evaluator's concurrency group for the question that waits for a look


class Topology(NamedTuple):
    """Whom learning needs first, as handles, and how to create the others.

    Only the driver creates Ray actors, because the death of a creator kills what it created.
    """

    replay: ActorHandle[Any]  # the replay server; of several shards their coordinator
    shards: tuple[ActorHandle[Any], ...]  # none beside a single replay server
    learner: ActorHandle[Any]
    create_evaluator: Callable[[], ActorHandle[Any]]
    create_actor: Callable[[int], ActorHandle[Any]]  # by actor id


@dataclass(eq=False)
class Role:
    """A role's process as the driver knows it."""

    name: str
    create: Callable[[], Any]
    handle: Any = None  # once created
    ready: bool = False
    running: bool = False
    silent: bool = False  # left a last question unanswered
    incarnation: int = 0
    whereabouts: Whereabouts | None = None  # of its last process that came up
    may_wait: bool = False  # for room on the cluster, while others work
    restarted_on_purpose: bool = False
    starting_since: float = 0.0  # time.monotonic() when it was created, or had to come up again

    def call(self, method: str, *args: Any, group: str | None = None) -> Any:
        """Ray's ref of a call to the role; `group`: its concurrency group where it is not the default one."""
        remote = getattr(self.handle, method)
        return (remote if group is None else remote.options(concurrency_group=group)).remote(*args)

    @property
    def process(self) -> str:
        """Its name, and which process under this name."""
        return f"{self.name}, {self.incarnation}"


class Roles(NamedTuple):
    """Everybody in a run."""

    replay: Role  # the replay server; of several shards their coordinator
    shards: tuple[Role, ...]  # none beside a single replay server
    learner: Role
    evaluator: Role
    actors: tuple[Role, ...]

    @classmethod
    def of(cls, topology: Topology, actors: int) -> Roles:
        """Not created yet."""
        return cls(
            replay=Role("replay-coordinator" if topology.shards else "replay server", lambda: topology.replay),
            shards=tuple(
                Role(f"replay-{shard}", partial(topology.shards.__getitem__, shard))
                for shard in range(len(topology.shards))
            ),
            learner=Role("learner", lambda: topology.learner),
            evaluator=Role("evaluator", topology.create_evaluator),
            actors=tuple(
                Role(f"actor-{actor_id}", partial(topology.create_actor, actor_id)) for actor_id in range(actors)
            ),
        )
