"""Evaluator: plays the newest params greedily while training goes on, says when they solve it, and keeps the best.

In:   take(message)          params broadcast by the learner at each target sync
Out:  next_looks(seen)       to the driver, as soon as there is one: every look, and the params to save by them
      newest()               the params that the driver saves as the last ones
      report(longest, mean)  how long training episodes are, and back where its time went and what is to be told

A look is some greedy episodes on start states of its own seed. Mean at or above the threshold makes the version a
candidate, and fresh episodes decide on it (actors/confirmation.py). Else, what seems the best so far is looked at again
on fresh episodes (actors/best.py); past the first confirmation by another one. A long look ends as soon as it is surely
below the best. Slow environments have fewer and rarer looks (actors/pace.py), and fewer copies (actors/copies.py).
Episodes that do not end within a limit (actors/greedy.py) count with what they reached.
Run by the driver as a Ray actor: `run` occupies its thread, the rest comes in on others.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from actors.best import BestSeen
from actors.confirmation import Confirmation, episodes_of_a_round
from actors.greedy import Enough, Environments, Played, StepLimit, greedy_episodes, never, together
from actors.pace import Pace
from actors.policy import QFunction
from common.config import EvaluatorConfig
from common.hearing import Hearing, listening
from common.params import check_arrays, decode
from common.statistics import Summary, summarize
from common.time_use import ACTIVITIES, TimeUse
from common.types import Kept, Look, LookKind, Params

_REPLY_SECONDS = 1.0  # next_looks answers within this time, news or not
_NEWEST_SHARE = 0.3  # of the time after the end, for a look at the newest params; the rest is for fresh episodes
_LOOK_CONFIDENCE = 0.95
_HOPELESS_CONFIDENCE = 0.99


class EpisodeCopies(Protocol):
    """Where greedy episodes are played."""

    note: str | None
    step_seconds: float

    def measure(self) -> None:
        """See Copies."""
        ...

    def for_episodes(self, episodes: int) -> Environments:
        """See Copies."""
        ...


class LooksReply(NamedTuple):
    """Looks that the caller has not seen, and what is to be saved if one of these changed that."""

    looks: list[Look]
    kept: Kept | None


class EvaluatorReport(NamedTuple):
    """What the evaluator tells of itself."""

    seconds: dict[str, float]  # by activity, see common/time_use.py
    heard: tuple[str, ...]  # what its environments print and warn of, see common/hearing.py
    notes: tuple[str, ...] = ()  # what the user should know of its looks


class Evaluator:
    """Looks at params versions, at most one in each interval, always the newest."""

    def __init__(
        self,
        config: EvaluatorConfig,
        copies: EpisodeCopies,
        shapes: dict[str, tuple[int, ...]],
        seeds: np.random.SeedSequence,
        solved_return: float | None,
        time_limit: int | None = None,
        reply_seconds: float = _REPLY_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`solved_return` None: nothing is ever a candidate.

        `time_limit`: the environment's own, in environment steps, if it has one.
        """
        self._config = config
        self._copies = copies
        self._shapes = shapes
        self._rng = np.random.default_rng(seeds)
        self._solved_return = solved_return
        self._limit = StepLimit(time_limit)
        self._reply_seconds = reply_seconds
        self._clock = clock
        self._pace = Pace(config.evaluation_episodes, clock)
        self._time_use = TimeUse(ACTIVITIES["evaluator"])
        self._hearing = Hearing()
        self._next_due = config.evaluation_interval_learner_steps
        self._attempts = 0
        self._of_candidates = np.zeros(0)  # returns of all that were candidates so far
        self._mean_training_episode = 0.0
        self._changed = threading.Condition()  # guards what follows
        self._newest: Params | None = None
        self._best = BestSeen()
        self._kept: Kept | None = None
        self._kept_by = -1  # number of the look
        self._looks: list[Look] = []  # from number `_first_number` on; the driver has the ones before
        self._first_number = 0
        self._looked_version = -1  # of the last look
        self._stopping = False
        self._final_look = False
        self._ended = False

    def __repr__(self) -> str:
        return "evaluator"

    def run(self) -> None:
        """Looks until told to stop."""
        with listening(self._hearing):
            self._run()

    def evaluate(self, params: Params) -> None:
        """One look; for a candidate its confirmation, until one held, or else a second look at the best if due."""
        due = self._look_first(params)
        if due is not None:
            self._look_again(due)

    def take(self, message: bytes) -> None:
        """`set_params` with encoded ones."""
        self.set_params(decode(message))

    def set_params(self, params: Params) -> None:
        """Takes newer params. Raises ValueError when they do not fit the network."""
        check_arrays(params.arrays, self._shapes)
        own = params._replace(arrays={name: array.copy() for name, array in params.arrays.items()})
        with self._changed:
            if self._newest is None or own.version > self._newest.version:
                self._newest = own
                self._changed.notify_all()

    def next_looks(self, seen: int) -> LooksReply:
        """The looks from number `seen` on; waits up to a second for one unless `run` has ended. Forgets the rest."""
        with self._changed:
            del self._looks[: max(0, seen - self._first_number)]
            self._first_number = max(seen, self._first_number)
            self._changed.wait_for(lambda: self._ended or len(self._looks) > 0, timeout=self._reply_seconds)
            changed = self._kept_by >= self._first_number
            return LooksReply(looks=list(self._looks), kept=self._kept if changed else None)

    def newest(self) -> Params | None:
        """The newest params broadcast; None before the first."""
        with self._changed:
            return self._newest

    def report(self, longest_training_episode: int, mean_training_episode: float) -> EvaluatorReport:
        """How it is doing. Takes lengths in environment steps: one bounds looks, the other plans them."""
        self._limit.ended_after(longest_training_episode)
        self._mean_training_episode = mean_training_episode
        notes = tuple(note for note in (self._copies.note, self._pace.note) if note is not None)
        return EvaluatorReport(self._time_use.seconds, self._hearing.lines, notes)

    def stop(self, final_look: bool) -> None:
        """Ends `run`, in the middle of a look if need be; with `final_look` after what is still to be looked at."""
        with self._changed:
            self._stopping = True
            self._final_look = final_look
            self._changed.notify_all()

    def _run(self) -> None:
        self._time_use.begin()
        self._pace.begin()
        while (params := self._wait_for_due()) is not None:
            self._time_use.spent("waiting")
            self.evaluate(params)
            self._time_use.spent("looking")
        self._time_use.spent("waiting")
        with self._changed:
            looks = self._final_look
            self._stopping = not looks  # until somebody stops the last looks too
        if looks:
            self._look_for_the_last_time()
            self._time_use.spent("looking")
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _wait_for_due(self) -> Params | None:
        """Until the pace allows it, too; what is newest by then."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._stopping or (self._newest is not None and self._newest.version >= self._next_due)
            )
            self._changed.wait_for(lambda: self._stopping, timeout=max(0.0, self._pace.wait_seconds()))
            if self._stopping:
                return None
            assert self._newest is not None
            interval = self._config.evaluation_interval_learner_steps
            self._next_due = (self._newest.version // interval + 1) * interval
            return self._newest

    def _look_for_the_last_time(self) -> None:
        """At the newest params, and again at the best if nobody has."""
        seconds, due = self._pace.final_seconds(), None
        if self._newest is not None and self._newest.version > self._looked_version:
            due = self._look_first(self._newest, _NEWEST_SHARE * seconds)
        due = due or self._best.challenger
        if due is not None:
            self._look_again(due, (1 - _NEWEST_SHARE) * seconds)

    def _look_first(self, params: Params, seconds: float | None = None) -> Kept | None:
        """Returns whatever is due to be looked at again by it."""
        look = self._look_at(params, seconds, self._hopeless)
        if look is None:
            return None
        with self._changed:
            due = self._best.looked(params, look)
            self._append(look)
        return Kept(params, look, fresh=None) if self._is_candidate(look) and not self._best.confirmed else due

    def _look_at(self, params: Params, seconds: float | None, enough: Enough = never) -> Look | None:
        """None if stopped before its end, or if it does not fit into `seconds`."""
        self._copies.measure()
        began = self._clock()
        episodes = self._pace.episodes(self._copies.step_seconds, self._mean_training_episode, seconds)
        if episodes == 0:
            return None
        seed = self._draw_seed()
        played = self._play(params, episodes, seed, enough)
        if played is None:
            return None
        self._pace.looked(len(played.returns), self._clock() - began)
        return _look("look", params, seed, played, summarize(played.returns, _LOOK_CONFIDENCE), _LOOK_CONFIDENCE)

    def _is_candidate(self, look: Look) -> bool:
        return self._solved_return is not None and look.mean >= self._solved_return

    def _look_again(self, due: Kept, seconds: float | None = None) -> None:
        """On fresh episodes; at a candidate in a confirmation, unless that cannot end within `seconds`."""
        if self._is_candidate(due.look):
            episodes = episodes_of_a_round(self._config.evaluation_episodes)
            if seconds is None or self._pace.fits(episodes, seconds):
                assert self._solved_return is not None
                self._confirm(due.params, due.look, self._solved_return)
                return
            if self._best.confirmed:
                return  # nothing less takes its place
        if (fresh := self._look_at(due.params, seconds)) is not None:
            self._take_fresh(due.params, due.look, fresh._replace(kind="second_look"))

    def _confirm(self, params: Params, look: Look, threshold: float) -> None:
        """Fresh episodes until it is decided; nothing comes of it when it is stopped before."""
        began = self._clock()
        self._attempts += 1
        self._of_candidates = np.concatenate([self._of_candidates, look.returns])
        episodes = self._config.evaluation_episodes
        confirmation = Confirmation(threshold, self._attempts, self._of_candidates, episodes)
        seeds: list[int] = []
        rounds: list[Played] = []
        while confirmation.solved is None:
            seeds.append(self._draw_seed())
            played = self._play(params, confirmation.episodes, seeds[-1])
            if played is None:
                return
            rounds.append(played)
            confirmation.add(played.returns)
        self._of_candidates = np.concatenate([self._of_candidates, confirmation.returns])
        assert confirmation.summary is not None
        played, confidence = together(rounds), confirmation.confidence
        self._pace.looked(len(played.returns), self._clock() - began)
        fresh = _look("confirmation", params, seeds[0], played, confirmation.summary, confidence)
        self._take_fresh(params, look, fresh._replace(solved=confirmation.solved))

    def _hopeless(self, returns: NDArray[np.float64]) -> bool:
        """Surely below the best so far, which no number of further episodes would change."""
        return summarize(returns, _HOPELESS_CONFIDENCE).interval_high < self._best.mean_to_reach

    def _play(self, params: Params, episodes: int, seed: int, enough: Enough = never) -> Played | None:
        return greedy_episodes(
            QFunction(params.arrays),
            self._copies.for_episodes(self._pace.turn(episodes)),
            episodes,
            seed,
            self._limit,
            stopped=lambda: self._stopping,
            enough=enough,
        )

    def _draw_seed(self) -> int:
        return int(self._rng.integers(2**63))

    def _take_fresh(self, params: Params, look: Look, fresh: Look) -> None:
        with self._changed:
            self._best.looked_again(params, look, fresh)
            self._append(fresh)

    def _append(self, look: Look) -> None:
        """For the driver; within the lock."""
        if self._best.kept is not self._kept:
            self._kept = self._best.kept
            self._kept_by = self._first_number + len(self._looks)
        self._looks.append(look)
        self._looked_version = max(look.version, self._looked_version)
        self._changed.notify_all()


def _look(kind: LookKind, params: Params, seed: int, played: Played, summary: Summary, confidence: float) -> Look:
    """One that has solved nothing."""
    return Look(
        kind=kind,
        version=params.version,
        env_steps=params.env_steps,
        seed=seed,
        returns=played.returns,
        unended=played.unended,
        longest_env_steps=played.longest_env_steps,
        mean=summary.mean,
        std=summary.std,
        interval_low=summary.interval_low,
        interval_high=summary.interval_high,
        confidence=confidence,
        solved=False,
    )
