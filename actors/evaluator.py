"""Evaluator: plays the newest params greedily while training goes on, and says when they solve the environment.

In:   take(message)          params broadcast by the learner at each target sync
Out:  next_looks(seen)       to the driver, as soon as there is one: every look and confirmation
      newest()               the params that the driver saves at the end
      report(longest)        how long training episodes are, and back where its time went and what was heard

A look is 100 episodes on start states of its own seed. Mean at or above the threshold makes the version a candidate;
100 further episodes on a fresh seed confirm it when the lower end of the 95 % interval of their mean is there too.
Episodes that do not end within a limit (actors/greedy.py) count with what they reached.
Run by the driver as a Ray actor: `run` occupies its thread, the rest comes in on others.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from actors.greedy import Environments, Played, StepLimit, greedy_returns
from actors.policy import QFunction
from common.env_args import EVALUATOR_COPIES
from common.hearing import Hearing, listening
from common.params import check_arrays, decode
from common.statistics import summarize
from common.time_use import ACTIVITIES, TimeUse
from common.types import Look, Params

EPISODES_PER_LOOK = EVALUATOR_COPIES  # one in each
_REPLY_SECONDS = 1.0  # next_looks answers within this time, news or not


class LooksReply(NamedTuple):
    """Looks that the caller has not seen, and the confirmed params if one of these confirmed them."""

    looks: list[Look]
    confirmed: Params | None


class EvaluatorReport(NamedTuple):
    """What the evaluator tells of itself."""

    seconds: dict[str, float]  # by activity, see common/time_use.py
    heard: tuple[str, ...]  # what its environments print and warn of, see common/hearing.py


class Evaluator:
    """Looks at params versions, at most one in each interval, always the newest."""

    def __init__(
        self,
        make_environments: Callable[[int], Environments],
        shapes: dict[str, tuple[int, ...]],
        seeds: np.random.SeedSequence,
        interval_learner_steps: int,
        solved_return: float | None,
        time_limit: int | None = None,
        reply_seconds: float = _REPLY_SECONDS,
    ) -> None:
        """`solved_return` None: nothing is ever a candidate. `make_environments` gets the number of episodes.

        `time_limit`: the environment's own, in environment steps, if it has one.
        """
        self._make_environments = make_environments
        self._shapes = shapes
        self._rng = np.random.default_rng(seeds)
        self._interval = interval_learner_steps
        self._solved_return = solved_return
        self._limit = StepLimit(time_limit)
        self._reply_seconds = reply_seconds
        self._environments: Environments | None = None
        self._time_use = TimeUse(ACTIVITIES["evaluator"])
        self._hearing = Hearing()
        self._next_due = interval_learner_steps
        self._changed = threading.Condition()  # guards what follows
        self._newest: Params | None = None
        self._confirmed: Params | None = None
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
        """One look; for a candidate the confirmation too, once in a run."""
        look = self._look(params, confirmation=False)
        if look is None or self._solved_return is None or self._confirmed is not None:
            return
        if look.mean >= self._solved_return:
            self._look(params, confirmation=True)

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
            solved = any(look.solved for look in self._looks)
            return LooksReply(looks=list(self._looks), confirmed=self._confirmed if solved else None)

    def newest(self) -> Params | None:
        """The newest params broadcast; None before the first."""
        with self._changed:
            return self._newest

    def report(self, longest_training_episode: int) -> EvaluatorReport:
        """How it is doing. Takes the length, in environment steps, that looks are bounded by."""
        self._limit.ended_after(longest_training_episode)
        return EvaluatorReport(self._time_use.seconds, self._hearing.lines)

    def stop(self, final_look: bool) -> None:
        """Ends `run`, in the middle of a look if need be; with `final_look` after one at the newest params."""
        with self._changed:
            self._stopping = True
            self._final_look = final_look
            self._changed.notify_all()

    def _run(self) -> None:
        self._time_use.begin()
        while (params := self._wait_for_due()) is not None:
            self._time_use.spent("waiting")
            self.evaluate(params)
            self._time_use.spent("looking")
        self._time_use.spent("waiting")
        if self._final_look and self._newest is not None and self._newest.version > self._looked_version:
            self._stopping = False
            self.evaluate(self._newest)
            self._time_use.spent("looking")
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _wait_for_due(self) -> Params | None:
        with self._changed:
            self._changed.wait_for(
                lambda: self._stopping or (self._newest is not None and self._newest.version >= self._next_due)
            )
            if self._stopping:
                return None
            assert self._newest is not None
            self._next_due = (self._newest.version // self._interval + 1) * self._interval
            return self._newest

    def _look(self, params: Params, confirmation: bool) -> Look | None:
        """None if stopped before its end."""
        if self._environments is None:
            self._environments = self._make_environments(EPISODES_PER_LOOK)
        seed = int(self._rng.integers(2**63))
        q_function = QFunction(params.arrays)
        played = greedy_returns(q_function, self._environments, seed, self._limit, lambda: self._stopping)
        return None if played is None else self._record(params, confirmation, seed, played)

    def _record(self, params: Params, confirmation: bool, seed: int, played: Played) -> Look:
        summary = summarize(played.returns)
        threshold = self._solved_return
        look = Look(
            version=params.version,
            env_steps=params.env_steps,
            confirmation=confirmation,
            seed=seed,
            returns=played.returns,
            unended=played.unended,
            longest_env_steps=played.longest_env_steps,
            mean=summary.mean,
            std=summary.std,
            interval_low=summary.interval_low,
            interval_high=summary.interval_high,
            solved=confirmation and threshold is not None and summary.interval_low >= threshold,
        )
        with self._changed:
            if look.solved:
                self._confirmed = params
            self._looks.append(look)
            self._looked_version = look.version
            self._changed.notify_all()
        return look
