"""Observer: what the driver knows of a run from its roles' answers, and hands on to files, display and metrics."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from actors.actor import ActorStats
from actors.evaluator import EvaluatorReport, LooksReply
from actors.policy import epsilon_schedule, exploration_steps
from common.config import Config
from common.time_use import ACTIVITIES, column
from common.types import Kept, Look
from driver.reporting.actor_answers import ActorAnswers
from driver.reporting.display import Display
from driver.reporting.progress import ActorProgress, Counts, Progress, observe
from driver.reporting.ray_metrics import RayMetrics, samples
from driver.reporting.reach import Reach
from driver.reporting.run_folder import RunFolder
from learner.learner_stats import LearnerStats
from replay_server.episode_log import EpisodesReply
from replay_server.stats import ActorCounts, ReplayReport, ReplayStats, ShardStats


class Solved(NamedTuple):
    """When the driver knew, and by which confirmation."""

    seconds: float
    confirmation: Look


class Observer:
    """Takes the answers; asks nothing itself."""

    def __init__(
        self,
        config: Config,
        folder: RunFolder,
        display: Display,
        metrics: RayMetrics,
        seconds: Callable[[], float],
        solved_return: float | None = None,
    ) -> None:
        """`seconds`: since the start that seconds_to_solve counts from. `solved_return`: the threshold, if any."""
        self._config = config
        self._folder = folder
        self._display = display
        self._metrics = metrics
        self._seconds = seconds
        self._learner: LearnerStats | None = None
        self._episodes = EpisodesReply(rows=[], next=0, recent_returns=np.zeros(0))
        self._replay: ReplayStats | None = None
        self._actors = ActorAnswers(seconds)
        self._evaluator_seconds: dict[str, float] = {}
        self._asked_shards: dict[int, ShardStats] = {}  # beside a coordinator, which does not know this of them
        self._unended_before = False  # whether episodes of the look before did not end, and this was said
        self._reach = Reach(solved_return)
        self._lengths_env_steps = 0  # of all training episodes together
        self.longest_episode_env_steps = 0  # of training
        self.looks_seen = 0  # the number of the next look to ask for
        self.last_look: Look | None = None  # a first one, of what was newest then
        self.kept: Kept | None = None  # what is to be saved; None: whatever is newest
        self.progress: Progress | None = None
        self.shards: tuple[ShardStats, ...] = ()  # of that moment
        self.solved: Solved | None = None

    @property
    def episodes_seen(self) -> int:
        """The number of the next finished episode to ask for."""
        return self._episodes.next

    @property
    def mean_episode_env_steps(self) -> float:
        """Of all training episodes; 0 before the first."""
        return self._lengths_env_steps / self._episodes.next if self._episodes.next else 0.0

    @property
    def first_learner_step_seconds(self) -> float | None:
        """When the learner had trained on its first rows; its clock and the driver's are taken for one."""
        if self._learner is None or self._learner.first_step_time is None:
            return None
        return self._seconds() - (time.time() - self._learner.first_step_time)

    def take_learner(self, stats: LearnerStats) -> None:
        """Its statistics, for the next moment; what is wrong with its network is said at once."""
        if stats.trouble and not (self._learner and self._learner.trouble):
            self._display.say(stats.trouble, style="red")
        self._learner = stats

    def take_actor(self, process: str, stats: ActorStats) -> None:
        """An actor's statistics, of this process."""
        self._actors.take(process, stats)
        self._display.hear(f"actor-{stats.actor_id}", stats.heard)

    def take_evaluator(self, report: EvaluatorReport) -> None:
        """The evaluator's report."""
        self._evaluator_seconds = report.seconds
        self._display.hear("evaluator", report.heard)
        self._display.note(report.notes)

    def take_shard(self, shard: int, stats: ShardStats) -> None:
        """What one of several replay shards tells of itself, for the next moment."""
        self._asked_shards[shard] = stats

    def take_replay(self, report: ReplayReport, alive: int, restarts: int, unanswered: str = "") -> Progress:
        """A new moment of the run, for files and metrics. `unanswered`: whom the driver waits for, if anybody."""
        if self._asked_shards:
            shards = tuple(stats for _, stats in sorted(self._asked_shards.items()))
            report = report._replace(stats=report.stats._replace(shards=shards))
        self.shards = report.stats.shards
        self._folder.add_episodes(report.episodes.rows, self._episodes.next, self._seconds())
        lengths = [row.episodes.length_env_steps for row in report.episodes.rows]
        self.longest_episode_env_steps = max(
            self.longest_episode_env_steps, *(int(part.max(initial=0)) for part in lengths), 0
        )
        self._lengths_env_steps += sum(int(part.sum()) for part in lengths)
        self._episodes = report.episodes._replace(rows=[])
        self._replay = report.stats
        actors = self._config.actor.actors
        waiting = unanswered or report.stats.waiting_for
        if waiting and alive < actors:
            waiting = f"{waiting}, {alive} of {actors} actors alive"
        recent = self._episodes.recent_returns
        counts = Counts(
            seconds=self._seconds(),
            episodes=self._episodes.next,
            recent_return=float(recent.mean()) if recent.size else None,
            actors_alive=alive,
            actor_restarts=restarts,
            waiting_for=waiting,
            time_use=self._time_use(report),
        )
        self.progress = observe(self._config, counts, report.stats, self._learner, self.last_look, self.progress)
        self._folder.add_progress(self.progress)
        return self.progress

    def export(self, alive: int, restarts: Sequence[int]) -> None:
        """All that is known now as metrics, whoever answered: rules need them, and Ray drops a gauge not set again.

        `restarts`: of each actor, by its id.
        """
        known = len(self.shards) == self._config.replay.replay_shards  # else it is not certain which is which
        actors = [self._actor_progress(actor_id, count) for actor_id, count in enumerate(restarts)]
        self._metrics.export(samples(self._config, self.progress, actors, self.shards if known else (), alive))

    def take_looks(self, reply: LooksReply) -> None:
        """New looks, and what is to be saved by them; the first confirmation that holds solves the run."""
        seconds = self._seconds()
        self.kept = reply.kept or self.kept
        for look in reply.looks:
            past_solve = self.solved is not None
            if look.kind == "look":
                self.last_look = look
            elif look.solved and not past_solve:
                self.solved = Solved(seconds, confirmation=look)
            if not past_solve and (sentence := self._reach.see(look)) is not None:
                self._display.say(sentence, style="yellow")
            self.looks_seen += 1
            self._folder.add_look(look, seconds)
            self._display.look(look, past_solve)
            if look.unended and not self._unended_before:
                self._display.unended(look)
            self._unended_before = look.unended > 0

    @property
    def reach(self) -> str | None:
        """What there is to say at the end of a threshold that was not reached."""
        return None if self.solved else self._reach.at_the_end(self.kept)

    def _actor_progress(self, actor_id: int, restarts: int) -> ActorProgress:
        steps, counts = 0.0, ActorCounts(env_steps=0, episodes=0)
        if self._replay:
            steps = exploration_steps(self._config.actor, self._replay.env_steps, self._replay.terminations)
            counts = self._replay.actors.get(actor_id, counts)
        newest = self._learner.newest_version if self._learner else 0
        return ActorProgress(
            env_steps=counts.env_steps,
            episodes=counts.episodes,
            waiting_seconds=self._actors.waiting_seconds(actor_id),
            restarts=restarts,
            epsilon=float(epsilon_schedule(self._config.actor, actor_id)(steps).mean()),
            params_age_learner_steps=self._actors.params_age_learner_steps(actor_id, newest),
            params_age_seconds=self._actors.params_age_seconds(actor_id),
        )

    def _time_use(self, report: ReplayReport) -> dict[str, float]:
        """Column -> seconds since the roles began; of the actors the sum."""
        by_role = {
            "actors": self._actors.spent_seconds(),
            "replay": report.stats.seconds,
            "learner": self._learner.seconds if self._learner else {},
            "evaluator": self._evaluator_seconds,
        }
        return {
            column(role, activity): by_role[role].get(activity, 0.0)
            for role, activities in ACTIVITIES.items()
            for activity in activities
        }
