"""Learner: turns sampled batches into newer params.

In:   ReplayReader.sample()     several minibatches in one reply, prefetched; waits while the limiter says so
Out:  priorities                |TD error| by item id, sent along with a later sample call
      Broadcaster.publish()     Params, version 0 at the start and then at each target sync
      newest(), stats()         to replaced actors and to the driver

Run by the driver as a Ray actor: `run` occupies its thread, the rest comes in on another.
"""

from __future__ import annotations

import copy
import math
import time
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from common.config import LearnerConfig, NetworkConfig
from common.rows import columns
from common.time_use import ACTIVITIES, TimeUse
from common.types import EnvironmentSpec, Params, Rows, SampleReply, Transition
from learner.gradient_step import GradientStep, flatten
from learner.learner_stats import LearnerStats
from learner.loss import Clip, Minibatch, mean_loss
from learner.network import QNetwork
from learner.normalization import Normalizer
from learner.recycling import UnitRecycler
from learner.return_scaling import ReturnScaler
from learner.value_range import ValueRange


class Reader(Protocol):
    """Hands out sampled rows and takes |TD errors|."""

    def sample(self, ids: NDArray[np.int64], priority: NDArray[np.float32]) -> SampleReply:
        """See ReplayReader."""
        ...


class Broadcaster(Protocol):
    """Brings params to everybody who acts with them."""

    def publish(self, params: Params) -> None:
        """See ParamsBroadcaster."""
        ...


_CPU = torch.device("cpu")


class NonFiniteError(ArithmeticError):
    """A loss that is infinite or NaN: the params would be ruined by the next step."""


class Learner:
    """Online and target network, the published average, optimizer and counters.

    Networks, optimizer and minibatches live on one device; what comes in and goes out is numpy. Rows cross to the
    device once for each reply, params back once for each sync, and |TD errors| once for each learner step: whether they
    are finite must be known before the params move, and to bring that answer alone would take as long.
    """

    def __init__(
        self,
        config: LearnerConfig,
        network: NetworkConfig,
        environment: EnvironmentSpec,
        seeds: np.random.SeedSequence,
        replay: Reader,
        initial_params: dict[str, NDArray[np.float32]] | None = None,
        *,
        device: torch.device = _CPU,
    ) -> None:
        self._config = config
        self._replay = replay
        self._device = device
        generator = torch.Generator().manual_seed(int(seeds.generate_state(1)[0]))
        self._online = QNetwork(network, environment, generator)
        if initial_params is not None:
            self._online.load(initial_params)
        self._online.to(device)  # after the draw, so that a seed's params are the same on every device
        self._average = copy.deepcopy(self._online)  # what is published
        self._average_params, _ = flatten(self._average)
        self._value_range = ValueRange()
        bound = self._value_range.clamp if config.bounded_targets else _unbounded
        target = copy.deepcopy(self._online)
        self._gradient_step = GradientStep(self._online, target, config, bound)
        networks, fresh = (self._online, target, self._average), initial_params is None
        running = network.observation_scaling == "running"
        self._normalizer = Normalizer(networks, environment.observation_size, fresh=fresh) if running else None
        self._return_scaler = ReturnScaler(networks, fresh=fresh) if config.return_scaling == "running" else None
        self._recycler = (
            UnitRecycler(self._online, (target, self._average), self._gradient_step, generator)
            if config.recycle_units
            else None
        )
        self._mean_abs_reward = 0.0  # of the rows of the last reply
        self.learner_steps = 0
        self._target_syncs = 0
        self._env_steps = 0  # of the newest reply
        self._trained_ids = np.zeros(0, dtype=np.int64)
        self._trained_priority = np.zeros(0, dtype=np.float32)
        self._trouble = ""
        self._loss = self._mean_q = self._q_spread = self._silent_units = float("nan")
        self._time_use = TimeUse(ACTIVITIES["learner"])
        self._first_step_time: float | None = None
        self._newest = self._export()

    def __repr__(self) -> str:
        return "learner"

    def run(self, broadcast: Broadcaster) -> bool:
        """Learns until told to stop or at the last learner step asked for; True when it was the latter."""
        self.begin(broadcast)
        while not self._reached_the_limit() and self.step():
            pass
        return self._reached_the_limit()

    def begin(self, broadcast: Broadcaster) -> None:
        """Publishes the initial params; then come steps."""
        self._broadcast = broadcast
        self._time_use.begin()
        broadcast.publish(self._newest)

    def step(self) -> bool:
        """Trains on the minibatches of one reply. False when the run is ending."""
        reply = self._replay.sample(self._trained_ids, self._trained_priority)
        self._time_use.spent("sampling")
        self._env_steps = reply.env_steps
        if reply.stop:
            return False
        if reply.rows is None:
            self._trained_ids, self._trained_priority = self._trained_ids[:0], self._trained_priority[:0]
            return True
        self._train(reply.rows)
        return True

    def newest(self) -> Params:
        """The newest params published."""
        return self._newest

    def stats(self) -> LearnerStats:
        """A snapshot, from another thread."""
        priority = self._trained_priority
        return LearnerStats(
            learner_steps=self.learner_steps,
            target_syncs=self._target_syncs,
            newest_version=self._newest.version,
            learning_rate=self._learning_rate(),
            loss=self._loss,
            mean_q=self._mean_q,
            q_spread=self._q_spread,
            silent_units=self._silent_units,
            trouble=self._trouble,
            mean_abs_td_error=float(priority.mean()) if priority.size else float("nan"),
            seconds=self._time_use.seconds,
            first_step_time=self._first_step_time,
            torch_threads=torch.get_num_threads(),
        )

    @torch.inference_mode()
    def _train(self, rows: Rows) -> None:
        # Copied once: torch must not write to Ray's read-only views, and the message is freed at once.
        own = Transition._make(column.copy() for column in columns(rows))
        self._value_range.widen(own.reward, own.discount)
        self._mean_abs_reward = float(np.abs(own.reward).mean())
        if self._normalizer is not None:
            self._normalizer.see(own.observation)
        if self._return_scaler is not None:
            self._return_scaler.see(own.reward, own.discount)
        size = self._config.batch_size
        on_device = [torch.from_numpy(column).to(self._device, non_blocking=True) for column in own]
        minibatches = map(Minibatch, *(torch.split(column, size) for column in on_device))
        errors: list[NDArray[np.float32]] = []
        for minibatch in minibatches:
            errors.append(self._update(minibatch))
            self.learner_steps += 1
            if self.learner_steps % self._config.target_sync_learner_steps == 0:
                self._measure_q_values(minibatch)
                if self._recycler is not None:
                    self._recycler.look(on_device[0])
                self._time_use.spent("updating")
                self._sync_target_and_publish()
                self._time_use.spent("broadcasting")
            if self._reached_the_limit():
                break
        in_units = torch.from_numpy(errors[-1]) / (1.0 if self._return_scaler is None else self._return_scaler.unit)
        self._loss = mean_loss(in_units, self._config.loss, self._huber_delta()).item()
        self._trained_priority = np.concatenate(errors)
        self._trained_ids = rows["id"][: len(self._trained_priority)].copy()
        if self._first_step_time is None:
            self._first_step_time = time.time()
        self._time_use.spent("updating")

    def _update(self, minibatch: Minibatch) -> NDArray[np.float32]:
        """One gradient step on `[B]` rows. Returns |TD error| `[B]`."""
        learning_rate = self._learning_rate()
        error = self._gradient_step.gradient(minibatch, self._clip(), self._huber_delta())
        priority: NDArray[np.float32] = error.abs().cpu().numpy()
        if not np.isfinite(priority).all():
            raise NonFiniteError(self._describe_non_finite(minibatch, error))
        self._gradient_step.apply(learning_rate)
        self._update_average(learning_rate)
        return priority

    def _update_average(self, learning_rate: float) -> None:
        """Polyak's average of the online params: single updates flip greedy actions to and fro, the average does not.

        It moves in proportion to the learning rate: smaller updates are averaged over more of them. Only what is
        published is averaged, never the target. Polyak and Juditsky, https://doi.org/10.1137/0330046.
        """
        moved = 1 - self._config.params_average ** (learning_rate / self._config.learning_rate)
        self._average_params.lerp_(self._gradient_step.params, moved)

    def _learning_rate(self) -> float:
        """Linear in learner steps from learning_rate to decayed_learning_rate, and then as 1 / learner steps.

        Such rates still add up to any distance, so that what is wrong can be mended, while their noise dies out.
        Robbins and Monro, https://doi.org/10.1214/aoms/1177729586.
        """
        config = self._config
        done = self.learner_steps / config.decay_learner_steps
        if done > 1:
            return config.decayed_learning_rate / done
        return config.learning_rate + done * (config.decayed_learning_rate - config.learning_rate)

    def _clip(self) -> Clip | None:
        """The online network's lead is so many mean rewards, linearly falling to 0; and what comes of it fades.

        At first values have to grow, by n rewards and this much at every sync. Then overestimation spoils them, and
        the lower of two values does not. In the end it would be a little too low wherever learning is noisy, so that
        a path along a cliff looks worse than a detour.
        """
        config = self._config
        if not config.clipped_double:
            return None
        left = self._left_of(config.clip_margin_decay_learner_steps)
        lead = left * config.clip_margin * self._mean_abs_reward
        return Clip(lead, self._left_of(config.fade_learner_steps))

    def _huber_delta(self) -> float:
        """Rises from huber_delta without end, as the reciprocal of what falls linearly.

        At first most errors say that values have to grow, and a few that an episode ended: bounded, the few do not
        outweigh the many. Later a value has to be the mean of what may follow; where outcomes differ by more than
        delta, as when a card decides a game, Huber's loss leads to nearer the median.
        """
        left = self._left_of(self._config.huber_delta_rise_learner_steps)
        return self._config.huber_delta / left if left else math.inf

    def _left_of(self, learner_steps: int) -> float:
        return max(0.0, 1.0 - self.learner_steps / learner_steps)

    def _sync_target_and_publish(self) -> None:
        if self._normalizer is not None:
            self._normalizer.follow()
        if self._return_scaler is not None:
            self._return_scaler.follow()
        self._copy_online_to_target()
        self._target_syncs += 1
        self._newest = self._export()
        self._broadcast.publish(self._newest)

    @torch.no_grad()
    def _measure_q_values(self, minibatch: Minibatch) -> None:
        greedy = self._online(minibatch.observation_tm1).max(dim=1).values
        self._mean_q, self._q_spread = greedy.mean().item(), greedy.std(correction=0).item()
        self._silent_units = self._online.silent_units(minibatch.observation_tm1)
        if self._silent_units == 1 and not self._trouble:
            self._trouble = self._describe_death()

    def _copy_online_to_target(self) -> None:
        self._gradient_step.target_params.copy_(self._gradient_step.params)

    def _export(self) -> Params:
        return Params(version=self.learner_steps, env_steps=self._env_steps, arrays=self._average.export())

    def _reached_the_limit(self) -> bool:
        limit = self._config.max_learner_steps
        return limit is not None and self.learner_steps >= limit

    def _describe_death(self) -> str:
        scaling = "" if self._normalizer is not None else ", or with --observation-scaling running"
        return (
            f"the network has died: at learner step {self.learner_steps:,} all units of a hidden layer are 0 for all "
            "observations, so that it tells none from another; start again with a --learning-rate below "
            f"{self._config.learning_rate:g}{scaling}"
        )

    def _describe_non_finite(self, minibatch: Minibatch, error: Tensor) -> str:
        """The dump: what in the minibatch was not finite, and the first such row."""
        named = dict(zip(Transition._fields, minibatch, strict=True))
        bad = {name: int((~torch.isfinite(column)).sum()) for name, column in named.items()}
        ruined = [name for name, count in bad.items() if count]
        first = int(torch.argmax((~torch.isfinite(error)).int()))
        row = ", ".join(f"{name}={column[first].tolist()}" for name, column in named.items())
        blame = (
            f"the transitions hold non-finite values in: {', '.join(ruined)}; look at the environment"
            if ruined
            else "the transitions are finite, so the Q-values diverged; try a --learning-rate below "
            f"{self._config.learning_rate}"
        )
        return f"TD errors are not finite at learner step {self.learner_steps}: {blame}. First bad row: {row}"


def _unbounded(target: Tensor) -> Tensor:
    return target
