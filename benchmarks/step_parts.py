"""Where each microsecond of a learner step and of an actor's step goes, in one process without Ray."""

from __future__ import annotations

import timeit
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from actors.actor import EpisodeRecorder
from actors.exploration import Exploration
from actors.n_step import NStepAccumulator
from actors.policy import QFunction
from benchmarks.launching import spread
from common.config import ActorConfig, LearnerConfig, NetworkConfig, ReplayConfig
from common.environment import VectorEnvironment, probe
from common.messages import minibatches_per_call
from common.rows import pack, row_dtype, write
from common.types import Transition
from driver import ray_environment
from learner.gradient_step import GradientStep, flatten
from learner.loss import Clip, Minibatch
from learner.network import QNetwork
from learner.value_range import ValueRange
from replay_server.buffer import ReplayBuffer
from replay_server.random_blocks import RandomBlocks

_CAPACITY = 50_000
_REPETITIONS = 7


@dataclass(frozen=True)
class StepParts:
    """CartPole, networks of 4-128-128-2."""

    batch_size: int = 128
    """Transitions in one learner step."""
    envs: int = 8
    """Environments of the actor."""
    seconds: float = 0.1
    """Least length of one repetition."""


def measure_step_parts(settings: StepParts) -> list[dict[str, Any]]:
    """One row for each part: microseconds of every repetition, of a learner step or of a step of all environments."""
    ray_environment.prepare(embedded=True)  # it decides how many minibatches a reply carries
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    rng = np.random.default_rng(0)
    parts = {**_learner_parts(settings, rng), **_actor_parts(settings, rng)}
    with torch.inference_mode():  # as the learner trains
        rows = [{"part": name, "microseconds": _time(part, settings.seconds)} for name, part in parts.items()]
    report(rows)
    return rows


def _time(part: Callable[[], object], seconds: float) -> list[float]:
    timer = timeit.Timer(part)
    number = max(10, int(seconds / (timer.timeit(20) / 20)))
    return [1e6 * value / number for value in timer.repeat(_REPETITIONS, number)]


def _learner_parts(settings: StepParts, rng: np.random.Generator) -> dict[str, Callable[[], object]]:
    environment, size = probe("CartPole-v1"), settings.batch_size
    online, target, average = (QNetwork(NetworkConfig(), environment, torch.Generator()) for _ in range(3))
    step = GradientStep(online, target, LearnerConfig(), ValueRange().clamp)
    average_params, _ = flatten(average)
    ring = ReplayBuffer(_CAPACITY, 4)
    ring.insert(pack(_rows(_CAPACITY, rng)))
    uniform = RandomBlocks(rng)
    minibatches = minibatches_per_call(size, 4, ReplayConfig().samples_per_insert)
    minibatch = Minibatch._make(torch.from_numpy(column) for column in _rows(size, rng))
    both, one, wide = torch.randn(2 * size, 128), torch.randn(size, 128), torch.randn(128, 128)
    bias = torch.randn(128)

    def products_of_the_128_by_128_layer() -> None:
        torch.addmm(bias, both, wide)  # online network, states and next states
        torch.addmm(bias, one, wide)  # target network, next states
        torch.mm(one.t(), one)  # gradient of the weights
        torch.mm(one, wide)  # slope of what is below

    return {
        "learner: gradient, from rows to d loss / d params": lambda: step.gradient(minibatch, Clip(5.0), 25.0),
        "  of it the 4 products of the 128x128 layer": products_of_the_128_by_128_layer,
        "learner: Adam": lambda: step.apply(1e-3),
        "learner: running average": lambda: average_params.lerp_(step.params, 0.002),
        "learner: target copy, at a sync": lambda: step.target_params.copy_(step.params),
        "learner: export, at a sync": average.export,
        f"replay server: sampling {minibatches} minibatches": lambda: ring.sample(minibatches * size, uniform),
    }


def _actor_parts(settings: StepParts, rng: np.random.Generator) -> dict[str, Callable[[], object]]:
    environment, envs = probe("CartPole-v1"), settings.envs
    network = QNetwork(NetworkConfig(), environment, torch.Generator())
    q_function = QFunction(network.export())
    vector = VectorEnvironment("CartPole-v1", envs, vectorised=environment.vectorised)
    vector.reset(np.random.SeedSequence(0))
    accumulator, recorder = NStepAccumulator(3, 0.99, envs, 4), EpisodeRecorder(envs)
    epsilon = np.full(envs, 0.1, dtype=np.float32)
    observation = vector.observation
    q_values = q_function(observation)
    exploration = Exploration(envs, environment.action_count, ActorConfig().epsilon_hold_share, rng)
    action = exploration.actions(q_values, epsilon)
    step = vector.step(action)
    for _ in range(3):  # n steps, until rows are complete
        completed = accumulator.add(observation, action, step)
    chunk = np.zeros(len(completed.action), dtype=row_dtype(4))
    return {
        f"actor: Q-values of {envs} environments": lambda: q_function(observation),
        "actor: epsilon-greedy": lambda: exploration.actions(q_values, epsilon),
        "actor: environments": lambda: vector.step(action),
        "actor: n-step rows": lambda: accumulator.add(observation, action, step),
        "actor: packing the rows": lambda: write(chunk, completed),
        "actor: episode records": lambda: recorder.add(step, epsilon, 0),
    }


def _rows(count: int, rng: np.random.Generator) -> Transition:
    return Transition(
        observation=rng.standard_normal((count, 4)).astype(np.float32),
        action=rng.integers(2, size=count),
        reward=np.full(count, 3.0, dtype=np.float32),
        discount=np.full(count, 0.97, dtype=np.float32),
        next_observation=rng.standard_normal((count, 4)).astype(np.float32),
    )


def report(rows: list[dict[str, Any]]) -> None:
    """Every part."""
    table = Table(title=f"microseconds, median [lowest, highest] of {_REPETITIONS}", box=SIMPLE)
    table.add_column("part", no_wrap=True)
    table.add_column("microseconds", justify="right", no_wrap=True)
    for row in rows:
        table.add_row(row["part"], spread(row["microseconds"], ".1f"))
    Console().print(table)
