"""Polling: asks every role once a second how it is doing, and hands the answers to the observer and the display."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from actors.actor import ActorStats
from driver.reporting.display import Display
from driver.reporting.observer import Observer
from driver.reporting.progress import Progress
from driver.supervision.calls import Calls
from driver.supervision.topology import Roles
from learner.client import CONTROL_GROUP
from learner.learner_stats import LearnerStats
from replay_server.stats import ReplayReport

_POLL_SECONDS = 1.0
_SILENCE_SECONDS = 3.0  # of the learner, before the others are asked without it
_ALIVE_SECONDS = 10.0  # since an actor last answered; it answers beside its run, so also while it waits for an ack


class Polling:
    """What a role leaves unanswered is not asked again until it answers."""

    def __init__(
        self,
        roles: Roles,
        calls: Calls,
        observer: Observer,
        display: Display,
        restarts: Callable[[], int],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`restarts`: actors replaced until now."""
        self._roles = roles
        self._calls = calls
        self._observer = observer
        self._display = display
        self._restarts = restarts
        self._clock = clock
        self._polled = 0.0
        self._learner_asked = 0.0
        self._heard: dict[str, float] = {}  # by process: when it last answered, or was first asked

    def poll_if_due(self) -> None:
        """Asks the learner and on its answer the replay server or its shards, so that all speak of the same moment.

        A learner that has not answered for a while does not keep the rest from being seen.
        """
        now = self._clock()
        if now - self._polled < _POLL_SECONDS:
            return
        self._polled = now
        self.export()  # by now the answers to the last poll are there, and they belong together
        ask = partial(self._calls.ask_once, group=CONTROL_GROUP)
        if ask("learner", self._roles.learner, "stats", self._take_learner_and_ask_replay):
            self._learner_asked = now
        elif (silent := now - self._learner_asked) > _SILENCE_SECONDS:
            self._ask_replay(f"the driver for the learner, which has not answered for {silent:.0f} s")
        for role in self._roles.actors:
            if role.running:
                self._heard.setdefault(role.process, now)
                ask(role.name, role, "stats", partial(self._take_actor, role.process))
        ask(
            "evaluator",
            self._roles.evaluator,
            "report",
            self._observer.take_evaluator,
            self._observer.longest_episode_env_steps,
            self._observer.mean_episode_env_steps,
        )

    def observe(self, report: ReplayReport, unanswered: str = "") -> Progress:
        """The replay server's report, with what the driver itself knows. `unanswered`: by whom, and for how long."""
        return self._observer.take_replay(report, self._alive(), self._restarts(), unanswered)

    def export(self) -> None:
        """What is known now, as metrics."""
        self._observer.export(self._alive(), [role.incarnation for role in self._roles.actors])

    def _take_learner_and_ask_replay(self, stats: LearnerStats) -> None:
        self._observer.take_learner(stats)
        self._ask_replay("")

    def _ask_replay(self, unanswered: str) -> None:
        for shard, role in enumerate(self._roles.shards):
            self._calls.ask_once(role.name, role, "stats", partial(self._observer.take_shard, shard))
        take = partial(self._take_replay, unanswered)
        self._calls.ask_once("replay", self._roles.replay, "report", take, self._observer.episodes_seen)

    def _take_replay(self, unanswered: str, report: ReplayReport) -> None:
        self._display.show(self.observe(report, unanswered))

    def _take_actor(self, process: str, stats: ActorStats) -> None:
        self._heard[process] = self._clock()
        self._observer.take_actor(process, stats)

    def _alive(self) -> int:
        """Actors that play and answer."""
        now = self._clock()
        return sum(
            role.running and now - self._heard.get(role.process, now) < _ALIVE_SECONDS for role in self._roles.actors
        )
