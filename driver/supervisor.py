"""Supervisor: starts the roles, watches them, replaces killed actors, and ends the run for one of its reasons.

It holds one outstanding call for each role's `run`, so the first error ends the run at once, with the role's name and
the real traceback. Everything it waits for goes through one table, from Ray's ref to what to do with its value.
"""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import ray
from ray.exceptions import ActorDiedError, GetTimeoutError, RayActorError, RayError, RayTaskError

from actors.evaluator import LooksReply
from common.config import Config
from common.run_files import LAST_Q_NETWORK, Q_NETWORK
from common.types import Look, Params
from driver.display import Display
from driver.progress import Counts, Progress, observe
from driver.ray_metrics import RayMetrics
from driver.run_folder import RunFolder
from driver.signals import StopSignals
from driver.topology import Topology
from learner.client import CONTROL_GROUP, ParamsBroadcaster, ParamsReader
from learner.learner_stats import LearnerStats
from learner.network_file import encode_network
from replay_server.client import ReplayWriter
from replay_server.episode_log import EpisodesReply
from replay_server.server import ReplayReport

_TICK_SECONDS = 0.2
_POLL_SECONDS = 1.0
_STOP_SECONDS = 4.0  # for the roles to end by themselves
_ANSWER_SECONDS = 1.0  # for a last question to a role
_CAUSE_SECONDS = 5.0  # for the death behind a peer's failure to show
LOOKS_GROUP = "looks"


class Failure(NamedTuple):
    """What went wrong, where."""

    role: str
    text: str


class Solved(NamedTuple):
    """When the driver knew, and by which confirmation."""

    seconds: float
    candidate: Look
    confirmation: Look
    params: Params


@dataclass(eq=False)
class Role:
    """A role's process as the driver knows it."""

    name: str
    handle: Any
    ready: bool = False
    running: bool = False
    incarnation: int = 0
    starting_since: float = field(default_factory=time.monotonic)


@dataclass
class Outcome:
    """How the run ended, and what is left of it."""

    stopped_by: str
    failure: Failure | None = None
    progress: Progress | None = None
    solved: Solved | None = None
    last_look: Look | None = None
    newest_version: int | None = None  # of the params that somebody still had
    networks: dict[str, bytes] = field(default_factory=dict)  # by file name


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
    ) -> None:
        """`seconds`: since the start that seconds_to_solve counts from."""
        self._config = config
        self._folder = folder
        self._display = display
        self._metrics = metrics
        self._signals = signals
        self._seconds = seconds
        self._replay = Role("replay server", topology.replay)
        self._learner = Role("learner", topology.learner)
        self._evaluator = Role("evaluator", topology.evaluator)
        self._actors = [Role(f"actor-{index}", handle) for index, handle in enumerate(topology.actors)]
        self._roles = [self._replay, self._learner, self._evaluator, *self._actors]
        self._pending: dict[Any, tuple[Role, Callable[[Any], None]]] = {}
        self._runs: dict[str, Any] = {}  # role name -> ref of its `run`
        self._poll_ref: Any = None  # the last question of a poll
        self._started = False
        self._stopped_by: str | None = None
        self._failure: Failure | None = None
        self._peer_failure: tuple[float, Failure] | None = None
        self._restarts: deque[float] = deque()
        self._restart_count = 0
        self._progress: Progress | None = None
        self._learner_stats: LearnerStats | None = None
        self._waited_before = 0.0
        self._episodes = EpisodesReply(rows=[], next=0, recent_returns=np.zeros(0))
        self._looks: list[Look] = []
        self._solved: Solved | None = None
        self._polled = 0.0

    def run(self) -> Outcome:
        """Until the run ends, for whatever reason; the roles are gone then."""
        try:
            for role in self._roles:
                self._await_ready(role)
            while self._stopped_by is None:
                self._collect(_TICK_SECONDS)
                self._tick()
            newest = self._stop_roles()
            networks = self._encode_networks(newest)
        finally:
            for role in self._roles:
                ray.kill(role.handle)
        return Outcome(
            stopped_by=self._stopped_by,
            failure=self._failure,
            progress=self._progress,
            solved=self._solved,
            last_look=next((look for look in reversed(self._looks) if not look.confirmation), None),
            newest_version=newest.version if newest else None,
            networks=networks,
        )

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
        self._check_readiness(now)
        if self._started and now - self._polled >= _POLL_SECONDS:
            self._polled = now
            self._poll()
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
        if isinstance(error.cause, RayActorError):
            self._peer_failure = self._peer_failure or (time.monotonic(), failure)
            self._watch(self._replay, self._replay.handle.report.remote(self._episodes.next), lambda report: None)
        else:
            self._fail(*failure)

    def _process_died(self, role: Role, error: RayError) -> None:
        if role not in self._actors:
            self._fail(role.name, f"its process died\n{error}")
        elif isinstance(error, ActorDiedError) and error.actor_init_failed:
            self._fail(role.name, _plain(str(error)))
        else:
            self._replace(role, error)

    # Starting

    def _await_ready(self, role: Role) -> None:
        role.ready = role.running = False
        role.starting_since = time.monotonic()

        def is_ready(_: Any) -> None:
            role.ready = True
            if self._started and role in self._actors:
                self._run_actor(role)

        self._watch(role, role.handle.__ray_ready__.remote(), is_ready)

    def _check_readiness(self, now: float) -> None:
        missing = [role for role in self._roles if not role.ready]
        patience = self._config.run.ready_seconds
        if missing and now - min(role.starting_since for role in missing) > patience:
            names = ", ".join(role.name for role in missing)
            self._fail(missing[0].name, f"not ready after {patience:g} s: {names}; wait longer with --ready-seconds")
        elif not self._started:
            self._display.starting(f"waiting for {', '.join(role.name for role in missing)}")
            enough_actors = 2 * sum(role.ready for role in self._actors) >= len(self._actors)
            if self._replay.ready and self._learner.ready and enough_actors:
                self._start()

    def _start(self) -> None:
        """Sets everybody going; actors that are not ready follow. With fewer than half there is too little to see."""
        self._started = True
        broadcaster = ParamsBroadcaster(self._replay.handle, self._evaluator.handle)
        # Learner and actors all end when the replay server says stop: at max_env_steps, in any order.
        self._watch_run(
            self._learner,
            self._learner.handle.run.remote(broadcaster),
            lambda reached_its_limit: self._end("max_learner_steps" if reached_its_limit else "max_env_steps"),
        )
        self._watch_run(self._evaluator, self._evaluator.handle.run.remote(), lambda _: None)
        self._ask_for_looks()
        for role in self._actors:
            if role.ready:
                self._run_actor(role)

    def _run_actor(self, role: Role) -> None:
        writer, reader = ReplayWriter(self._replay.handle), ParamsReader(self._learner.handle)
        run = role.handle.run.remote(role.incarnation, writer, reader)
        self._watch_run(role, run, lambda _: self._end("max_env_steps"))

    def _replace(self, role: Role, error: RayError) -> None:
        """Ray restarts the process; here is the budget, and the new process's `run`."""
        now = time.monotonic()
        self._restarts.append(now)
        while now - self._restarts[0] > 60:
            self._restarts.popleft()
        budget = self._config.run.actor_restarts_per_minute
        if len(self._restarts) > budget:
            self._fail(
                role.name, f"{len(self._restarts)} actor processes died within a minute, {budget} are replaced\n{error}"
            )
            return
        self._restart_count += 1
        role.incarnation += 1
        self._display.say(f"{role.name}: its process died; replaced (number {role.incarnation})", style="yellow")
        self._await_ready(role)

    # Watching

    def _watch(self, role: Role, ref: Any, on_value: Callable[[Any], None]) -> None:
        self._pending[ref] = (role, on_value)

    def _watch_run(self, role: Role, ref: Any, on_end: Callable[[Any], None]) -> None:
        role.running = True
        self._runs[role.name] = ref
        self._watch(role, ref, on_end)

    def _collect(self, timeout: float) -> None:
        """Waits for the first of all outstanding calls and deals with every one that is done."""
        done, _ = ray.wait(list(self._pending), num_returns=1, timeout=timeout)
        while done:
            role, on_value = self._pending.pop(done[0])
            try:
                value = ray.get(done[0])
            except RayTaskError as error:
                self._role_raised(role, error)
            except RayError as error:
                self._process_died(role, error)
            else:
                on_value(value)
            done = ray.wait(list(self._pending), num_returns=1, timeout=0)[0] if self._pending else []

    def _poll(self) -> None:
        """Asks the learner and on its answer the replay server, so that both speak of the same moment.

        What is not answered yet is not asked again.
        """
        if self._poll_ref not in self._pending:
            self._poll_ref = self._learner.handle.stats.options(concurrency_group=CONTROL_GROUP).remote()
            self._watch(self._learner, self._poll_ref, self._take_learner_stats_and_ask_replay)

    def _take_learner_stats_and_ask_replay(self, stats: LearnerStats) -> None:
        self._take_learner_stats(stats)
        self._poll_ref = self._replay.handle.report.remote(self._episodes.next)
        self._watch(self._replay, self._poll_ref, self._take_replay_report)

    def _take_learner_stats(self, stats: LearnerStats) -> None:
        self._learner_stats = stats

    def _take_replay_report(self, report: ReplayReport) -> None:
        self._display.show(self._observe(report))

    def _observe(self, report: ReplayReport) -> Progress:
        """A new moment of the run, for files and metrics."""
        self._folder.add_episodes(report.episodes.rows, self._episodes.next, self._seconds())
        self._episodes = report.episodes._replace(rows=[])
        replay = report.stats
        alive = sum(role.running for role in self._actors)
        recent = self._episodes.recent_returns
        waiting = replay.waiting_for
        if waiting and alive < len(self._actors):
            waiting = f"{waiting}, {alive} of {len(self._actors)} actors alive"
        counts = Counts(
            seconds=self._seconds(),
            episodes=self._episodes.next,
            recent_return=float(recent.mean()) if recent.size else None,
            actors_alive=alive,
            actor_restarts=self._restart_count,
            waiting_for=waiting,
        )
        looks = [look for look in self._looks if not look.confirmation]
        look = looks[-1] if looks else None
        stats = self._learner_stats
        self._progress = observe(self._config, counts, replay, stats, look, self._progress, self._waited_before)
        self._waited_before = stats.seconds_waiting if stats else 0.0
        self._folder.add_progress(self._progress)
        self._metrics.export(self._progress)
        return self._progress

    def _ask_for_looks(self) -> None:
        ask = self._evaluator.handle.next_looks.options(concurrency_group=LOOKS_GROUP)
        self._watch(self._evaluator, ask.remote(len(self._looks)), self._take_looks_and_ask_again)

    def _take_looks_and_ask_again(self, reply: LooksReply) -> None:
        self._take_looks(reply)
        self._ask_for_looks()

    def _take_looks(self, reply: LooksReply) -> None:
        seconds = self._seconds()
        for look in reply.looks:
            if look.solved and reply.confirmed is not None and self._solved is None:
                self._solved = Solved(seconds, candidate=self._looks[-1], confirmation=look, params=reply.confirmed)
                if self._config.evaluator.stop_when_solved:
                    self._end("solved")
            self._looks.append(look)
            self._folder.add_look(look, seconds)
            self._display.look(look)

    # Stopping

    def _stop_roles(self) -> Params | None:
        """Ends every role in order and asks the last questions. Returns the newest params that somebody has."""
        reached_a_limit = self._stopped_by in ("max_env_steps", "max_learner_steps", "max_seconds")
        control = {"concurrency_group": CONTROL_GROUP}
        replay, learner, evaluator = self._replay.handle, self._learner.handle, self._evaluator.handle
        replay.stop.remote()
        evaluator.stop.options(**control).remote(final_look=reached_a_limit)
        runs = [ref for ref in self._runs.values() if ref in self._pending]
        if runs and self._failure is None:
            ray.wait(runs, num_returns=len(runs), timeout=_STOP_SECONDS)
        next_looks = evaluator.next_looks.options(concurrency_group=LOOKS_GROUP)
        self._ask(self._evaluator, lambda: next_looks.remote(len(self._looks)), self._take_looks)
        self._ask(self._learner, learner.stats.options(**control).remote, self._take_learner_stats)
        self._ask(self._replay, lambda: replay.report.remote(self._episodes.next), self._observe)
        newest: list[Params] = []
        for role in (self._evaluator, self._learner):
            if not newest:
                self._ask(
                    role,
                    role.handle.newest.options(**control).remote,
                    lambda params: newest.append(params) if params is not None else None,
                )
        return newest[0] if newest else None

    def _encode_networks(self, newest: Params | None) -> dict[str, bytes]:
        """The confirmed params, or else the newest, and the newest, as files; by the learner while there is one."""
        saved = self._solved.params if self._solved else newest
        files: dict[str, bytes] = {}
        for name, params in ((Q_NETWORK, saved), (LAST_Q_NETWORK, newest)):
            if params is not None:
                encode = self._learner.handle.encode.options(concurrency_group=CONTROL_GROUP)
                self._ask(self._learner, partial(encode.remote, params.arrays), partial(files.__setitem__, name))
                if name not in files:
                    files[name] = encode_network(params.arrays)
        return files

    def _ask(self, role: Role, ask: Callable[[], Any], on_value: Callable[[Any], object]) -> None:
        """A question that a dead or stuck role leaves unanswered; one that never came up is not asked."""
        if not role.ready:
            return
        try:
            value = ray.get(ask(), timeout=_ANSWER_SECONDS)
        except (RayError, GetTimeoutError):
            return
        on_value(value)


def _plain(text: str) -> str:
    """Without the colours that Ray puts into its tracebacks."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)
