"""Silent units come back, and nobody notices but the gradient."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from fakes import environment_spec
from torch import Tensor

from common.config import LearnerConfig, NetworkConfig
from learner.gradient_step import GradientStep
from learner.learner import Learner
from learner.loss import Minibatch
from learner.network import QNetwork
from learner.recycling import UnitRecycler

SIZE, ACTIONS = 3, 2
SPEC = environment_spec(observation_size=SIZE, action_count=ACTIONS)
DEAD = [1, 3, 4, 5, 7]  # of 8


def observations(count: int = 64, seed: int = 0) -> Tensor:
    return torch.randn(count, SIZE, generator=torch.Generator().manual_seed(seed))


def minibatch(seed: int) -> Minibatch:
    generator = torch.Generator().manual_seed(seed)
    return Minibatch(
        observation_tm1=observations(seed=seed),
        action_tm1=torch.randint(ACTIONS, (64,), generator=generator),
        reward_t=torch.randn(64, generator=generator),
        discount_t=torch.full((64,), 0.9),
        observation_t=observations(seed=seed + 1),
    )


class Networks:
    """Online, target and average with units of one hidden layer that are silent, and a recycler for them."""

    def __init__(self, layer: int, dueling: bool = False, dead: Sequence[int] = DEAD) -> None:
        config = NetworkConfig(hidden=(8, 8), dueling=dueling, observation_scaling="raw")
        self.online = QNetwork(config, SPEC, torch.Generator().manual_seed(1))
        with torch.no_grad():
            self.online.hidden[layer].bias[list(dead)] = -1e3
        self.target, self.average = copy.deepcopy(self.online), copy.deepcopy(self.online)
        self.step = GradientStep(self.online, self.target, LearnerConfig(), lambda target: target)
        for seed in range(20):  # so that Adam remembers something
            self.train(seed)
        self.recycler = UnitRecycler(
            self.online, (self.target, self.average), self.step, torch.Generator().manual_seed(2)
        )

    def train(self, seed: int) -> None:
        self.step.gradient(minibatch(seed), None, 25.0)
        self.step.apply(1e-3)

    def look(self, times: int, seen: Tensor | None = None) -> None:
        for _ in range(times):
            self.recycler.look(observations() if seen is None else seen)

    def q_values(self) -> list[Tensor]:
        with torch.no_grad():
            return [network(observations()) for network in (self.online, self.target, self.average)]

    def silent(self, layer: int) -> list[int]:
        with torch.no_grad():
            features = self.online.features(observations())[layer + 1]
        return torch.nonzero((features == 0).all(dim=0)).squeeze(1).tolist()


@pytest.mark.parametrize("dueling", [False, True])
@pytest.mark.parametrize("layer", [0, 1])
def test_units_that_were_silent_ten_times_are_alive_again_and_no_network_means_anything_else(
    layer: int, dueling: bool
) -> None:
    networks = Networks(layer, dueling)
    assert set(DEAD) <= set(networks.silent(layer))
    before = networks.q_values()
    networks.look(9)
    assert set(DEAD) <= set(networks.silent(layer))
    networks.look(1)
    assert len(networks.silent(layer)) < len(DEAD)
    for now, then in zip(networks.q_values(), before, strict=True):
        torch.testing.assert_close(now, then)


@pytest.mark.parametrize("layer", [0, 1])
def test_the_next_steps_teach_those_who_follow_to_listen(layer: int) -> None:
    networks = Networks(layer)
    networks.look(10)
    following = networks.online.hidden[1] if layer == 0 else networks.online.advantage
    assert not following.weight[:, DEAD].any()
    networks.train(100)
    networks.train(101)
    assert following.weight[:, DEAD].abs().max() > 1e-4


def test_adam_forgets_the_units_that_are_gone_and_them_alone() -> None:
    networks, kept = Networks(layer=0), Networks(layer=0)
    networks.look(10)
    units = torch.tensor(DEAD)
    at_rest = Minibatch(*(torch.zeros_like(column) for column in minibatch(0)))
    for each in (networks, kept):
        before = each.online.hidden[0].weight.clone()
        each.step.gradient(at_rest, None, 25.0)
        each.step._gradient.zero_()
        each.step.apply(1e-3)
        moved = (each.online.hidden[0].weight - before).abs().sum(dim=1)
        alive = [unit for unit in range(8) if unit not in each.silent(0) and unit not in DEAD]
        assert moved[alive].min() > 0  # by what Adam remembers
        if each is networks:
            assert moved[units].max() == 0


def test_a_few_silent_units_stay_as_they_are() -> None:
    """One of them may be for what has not been seen for long."""
    networks = Networks(layer=0, dead=DEAD[:4])
    before = networks.online.hidden[0].weight.clone()
    networks.look(10)
    torch.testing.assert_close(networks.online.hidden[0].weight, before)


@pytest.mark.parametrize("seen_once", [False, True])
def test_a_unit_that_is_for_rare_observations_stays(seen_once: bool) -> None:
    """It was above 0 once in ten looks, or not at all."""
    networks = Networks(layer=0, dead=[*DEAD, 6])
    layer, unit = networks.online.hidden[0], DEAD[0]
    weight = networks.online.get_parameter("hidden.0.weight")
    with torch.no_grad():
        weight[unit] = torch.tensor([1.0, 0.0, 0.0])
        layer.bias[unit] = -10.0
    rare = torch.cat((observations(), torch.tensor([[20.0, 0.0, 0.0]])))
    networks.look(4)
    networks.look(1, rare if seen_once else None)
    networks.look(5)
    assert (weight[unit].tolist() == [1.0, 0.0, 0.0]) == seen_once


def test_a_network_without_hidden_layers_has_nothing_to_recycle() -> None:
    config = NetworkConfig(hidden=(), observation_scaling="raw")
    online = QNetwork(config, SPEC, torch.Generator().manual_seed(1))
    step = GradientStep(online, copy.deepcopy(online), LearnerConfig(), lambda target: target)
    recycler = UnitRecycler(online, (), step, torch.Generator())
    for _ in range(10):
        recycler.look(observations())


@pytest.mark.parametrize("recycle_units", [False, True])
def test_a_learner_brings_silent_units_back_unless_told_not_to(recycle_units: bool) -> None:
    from test_learner import Broadcaster, EndlessReader, learner, rows  # its fakes

    dead = {
        "0.weight": np.full((8, 1), -1.0, dtype=np.float32),
        "0.bias": np.full(8, -1.0, dtype=np.float32),
        "2.weight": np.ones((2, 8), dtype=np.float32),
        "2.bias": np.zeros(2, dtype=np.float32),
    }
    learning: Learner = learner(
        EndlessReader(rows([1.0, 2.0]), rows_per_call=4),
        initial_params=dead,
        target_sync_learner_steps=5,
        max_learner_steps=60,
        recycle_units=recycle_units,
    )
    learning.run(Broadcaster())
    assert (learning.stats().silent_units < 1) == recycle_units
