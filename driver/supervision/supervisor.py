"""Supervisor: starts the roles, watches them, replaces killed actors, and ends the run for one of its reasons.

Learning begins with the replay server or its shards, the learner and the first actors; the others come up beside it.
The supervisor holds one outstanding call for each role's `run`, so the first error ends the run at once, with the
role's name and the real traceback.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import ray
from ray.exceptions import ActorDiedError, ObjectLostError, RayActorError, RayError, RayTaskError

from actors.evaluator import LooksReply
from common.config import Config
from common.messages import inline_limit_bytes
from driver.cluster.watch import CLUSTER, watch_head, watch_nodes
from driver.cluster.whereabouts import Whereabouts, mismatch, versions, whereabouts
from driver.reporting.display import Display
from driver.reporting.observer import Observer
from driver.reporting.ray_metrics import RayMetrics
from driver.reporting.run_folder import RunFolder
from driver.signals import StopSignals
from driver.supervision.calls import Calls
from driver.supervision.ending import Ending
from driver.supervision.networks import Networks
from driver.supervision.outcome import Failure, Outcome
from driver.supervision.polling import Polling
from driver.supervision.replacing import Replacing
from driver.supervision.starting import Starting
from driver.supervision.topology import LOOKS_GROUP, Role, Roles, Topology
from learner.client import ParamsBroadcaster, ParamsReader
from replay_server.client import ReplayWriter

if TYPE_CHECKING:
    from driver.cluster.head import Head

_TICK_SECONDS = 0.2
_FIRST_ACTORS = 3  # learning from fewer takes more steps
_CAUSE_SECONDS = 5.0  # for the death behind a peer's failure to show


class Supervisor:
    """One run, from the creation of its roles to their end."""

    def __init__(
        self,
        config: Config,
        topology: Topology,
        folder: RunFolder,
        display: Display,
        metrics: RayMetrics,
        signals: StopSignals,
        seconds: Callable[[], float],
        head: Head | None,
        solved_return: float | None,
    ) -> None:
        """`seconds`: since the start that seconds_to_solve counts from. `head`: of the cluster, if this is one.

        `solved_return`: the threshold, if there is one.
        """
        self._config = config
        self._folder = folder
        self._display = display
        self._signals = signals
        self._seconds = seconds
        self._observer = Observer(config, folder, display, metrics, seconds, solved_return)
        self._roles = Roles.of(topology, config.actor.actors)
        self._calls = Calls(self._role_raised, self._process_died)
        first_actors, others = self._roles.actors[:_FIRST_ACTORS], self._roles.actors[_FIRST_ACTORS:]
        first = [self._roles.replay, *self._roles.shards, self._roles.learner, *first_actors, self._roles.evaluator]
        # On one machine as many as Ray starts at once: a queue of them keeps all cores busy with starting, and learning
        # waits for it. A cluster starts them on all its nodes, and an autoscaler must see what is asked for.
        at_once = None if head else os.cpu_count() or 1
        self._versions = versions() if head else {}
        self._starting = Starting(
            first, others, at_once, self._calls, seconds, self._became_ready, with_versions=head is not None
        )
        self._replacing = Replacing(self._roles.actors, config.run.actor_restarts_per_minute, head, display)
        self._head = head
        self._watches = [watch_head(head)] if head else []
        self._polling = Polling(self._roles, self._calls, self._observer, display, lambda: self._replacing.count)
        self._networks = Networks(self._roles.learner, self._calls, folder)
        self._runs: dict[str, Any] = {}  # role name -> ref of its `run`
        self._started = False
        self._stopped_by: str | None = None
        self._failure: Failure | None = None
        self._peer_failure: tuple[float, Failure] | None = None
        self._playing = time.monotonic()  # when some actor last played
        for role in (*first, *others):
            role.may_wait = config.placement.wait_for_resources

    def run(self) -> Outcome:
        """Until the run ends, for whatever reason; the roles are gone then."""
        try:
            self._starting.create_first()
            while self._stopped_by is None:
                self._calls.collect(_TICK_SECONDS)
                self._tick()
            ending = Ending(self._roles, self._observer)
            reached_a_limit = self._stopped_by in ("max_env_steps", "max_learner_steps", "max_seconds")
            ending.stop(
                [] if self._failure else self._outstanding_runs(),
                looking=self._runs.get(self._roles.evaluator.name) if reached_a_limit else None,
                run_seconds=self._seconds(),
                hurry=lambda: self._signals.received is not None,
            )
            ending.ask_for_looks()
            ending.fetch_networks(self._networks)
            ending.ask(self._polling.observe)
            self._polling.export()
        finally:
            for role in self._starting.created():
                ray.kill(role.handle)
        return Outcome(
            stopped_by=self._stopped_by,
            failure=self._failure,
            progress=self._observer.progress,
            shards=self._observer.shards,
            solved=self._observer.solved,
            last_look=self._observer.last_look,
            kept=self._observer.kept,
            reach=self._observer.reach,
            first_learner_step_seconds=self._observer.first_learner_step_seconds,
            ready_seconds=self._starting.ready_seconds,
            nodes=self._nodes() if self._head else None,
            saved_version=self._networks.saved_version,
        )

    def _nodes(self) -> dict[str, str]:
        return {role.name: role.whereabouts.node for role in self._starting.created() if role.whereabouts}

    # What may end a run

    def _tick(self) -> None:
        now = time.monotonic()
        if self._signals.received is not None:
            self._end("interrupted" if self._signals.received.name == "SIGINT" else "terminated")
        limit = self._config.run.max_seconds
        if limit is not None and self._seconds() >= limit:
            self._end("max_seconds")
        if self._peer_failure is not None and now - self._peer_failure[0] > _CAUSE_SECONDS:
            self._fail(*self._peer_failure[1])
        for watch in self._watches:
            if (complaint := watch.complaint()) is not None:
                self._fail(CLUSTER, complaint)
        if self._stopped_by is None:
            self._starting.create_others()
            self._starting.ask_again_if_due()
            self._replacing.look_for_lost_nodes()
            self._check_readiness()
        if self._started:
            self._polling.poll_if_due()
            self._networks.fetch_if_due()
        self._folder.flush_if_due()

    def _end(self, stopped_by: str) -> None:
        self._stopped_by = self._stopped_by or stopped_by

    def _fail(self, role: str, text: str) -> None:
        if self._stopped_by is None:
            self._failure = Failure(role, text)
            self._end("error")

    def _role_raised(self, role: Role, error: RayTaskError) -> None:
        """An exception in the role's own code, or what it met when a peer died: then the peer is the one to name."""
        failure = Failure(role.name, _plain(str(error)))
        if isinstance(error.cause, RayActorError | ObjectLostError):
            self._peer_failure = self._peer_failure or (time.monotonic(), failure)
            for peer in (self._roles.replay, *self._roles.shards):
                self._calls.watch(peer, peer.call("__ray_ready__"), lambda _: None)
        else:
            self._fail(*failure)

    def _process_died(self, role: Role, error: RayError) -> None:
        """Or it cannot be reached any more."""
        if isinstance(error, ActorDiedError) and error.actor_init_failed:
            self._fail(role.name, _plain(str(error)))
        elif role not in self._roles.actors:
            where = role.whereabouts if self._head else None
            node = f" on node {where.node}" if where else ""
            self._fail(role.name, f"its process{node} died\n{error}")
        else:
            # Every outstanding call to it fails; only the first may count.
            self._calls.forget(role)
            self._starting.await_again(role)

    # Starting

    def _became_ready(self, role: Role, where: Whereabouts) -> None:
        """A new role, or an actor's replacement."""
        if self._head and (wrong := mismatch(self._versions, where)) is not None:
            self._fail(role.name, f"{wrong}; every node needs the same versions")
        before, role.whereabouts = role.whereabouts, where
        if self._stopped_by is not None or role not in self._roles.actors:
            return
        if before is not None and before.is_same_process(where):
            # Only the connection had broken: its `run` goes on, and nobody would hear how it ends.
            role.restarted_on_purpose = True
            ray.kill(role.handle, no_restart=False)
            self._starting.await_again(role)
            return
        if before is not None and (failure := self._replacing.replaced(role, before)) is not None:
            self._fail(role.name, failure)
            return
        role.may_wait = self._config.placement.wait_for_resources
        if self._started:
            self._run_actor(role)

    def _check_readiness(self) -> None:
        patience = self._config.run.ready_seconds
        missing = self._starting.missing()
        if self._starting.waited_seconds() > patience:
            missing = [role for role in missing if not role.may_wait]
            names = ", ".join(role.name for role in missing)
            self._fail(missing[0].name, f"not ready after {patience:g} s: {names}; wait longer with --ready-seconds")
        elif self._started:
            self._check_somebody_plays(patience)
        else:
            names = ", ".join(role.name for role in missing)
            room = ", until there is room" if self._config.placement.wait_for_resources else ""
            self._display.starting(f"waiting for {names}{room}")
            actors = self._roles.actors
            enough_actors = sum(role.ready for role in actors) >= min(_FIRST_ACTORS, len(actors))
            first = (self._roles.replay, *self._roles.shards, self._roles.learner)
            if all(role.ready for role in first) and enough_actors:
                self._start()

    def _check_somebody_plays(self, patience: float) -> None:
        now = time.monotonic()
        if any(role.running for role in self._roles.actors):
            self._playing = now
        elif now - self._playing > patience and not self._config.placement.wait_for_resources:
            self._fail("actors", f"none has played for {patience:g} s; wait longer with --ready-seconds")

    def _start(self) -> None:
        """Sets everybody going who is there; the others follow."""
        self._started = True
        # Several actors on a node share one copy of an object; on a single machine a copy for each is the faster one.
        by_value_bytes = 0 if self._head else inline_limit_bytes()
        broadcaster = ParamsBroadcaster(self._roles.replay.handle, self._roles.evaluator.handle, by_value_bytes)
        # Learner and actors all end when the replay server says stop: at max_env_steps, in any order.
        self._watch_run(
            self._roles.learner,
            self._roles.learner.call("run", broadcaster),
            lambda reached_its_limit: self._end("max_learner_steps" if reached_its_limit else "max_env_steps"),
        )
        self._watch_run(self._roles.evaluator, self._roles.evaluator.call("run"), lambda _: None)
        self._ask_for_looks()
        for role in self._roles.actors:
            if role.ready:
                self._run_actor(role)
        self._watch_core_nodes()

    def _watch_core_nodes(self) -> None:
        """But not the driver's own, of which nothing is silent."""
        if self._head is None:
            return
        roles: dict[str, list[str]] = {}  # by node id
        for role in (self._roles.replay, *self._roles.shards, self._roles.learner):
            if role.whereabouts:
                roles.setdefault(role.whereabouts.node_id, []).append(role.name)
        roles.pop(whereabouts(with_versions=False).node_id, None)
        self._watches += watch_nodes(self._head, roles)

    def _run_actor(self, role: Role) -> None:
        rings = self._roles.shards or [self._roles.replay]
        writer = ReplayWriter(*(ring.handle for ring in rings))
        reader = ParamsReader(self._roles.learner.handle)
        run = role.call("run", role.incarnation, writer, reader)
        self._watch_run(role, run, lambda _: self._end("max_env_steps"))

    # Watching

    def _watch_run(self, role: Role, ref: Any, on_end: Callable[[Any], None]) -> None:
        role.running = True
        self._runs[role.name] = ref
        self._calls.watch(role, ref, on_end)

    def _outstanding_runs(self) -> list[Any]:
        return self._calls.outstanding(list(self._runs.values()))

    def _ask_for_looks(self) -> None:
        ref = self._roles.evaluator.call("next_looks", self._observer.looks_seen, group=LOOKS_GROUP)
        self._calls.watch(self._roles.evaluator, ref, self._take_looks_and_ask_again)

    def _take_looks_and_ask_again(self, reply: LooksReply) -> None:
        self._observer.take_looks(reply)
        if reply.kept is not None:
            self._networks.keep(reply.kept.params)
        if self._observer.solved and self._config.evaluator.stop_when_solved:
            self._end("solved")
        self._ask_for_looks()


def _plain(text: str) -> str:
    """Without the colours that Ray puts into its tracebacks."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)
