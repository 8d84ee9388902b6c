"""The closed form against its slow twin: autograd and torch.optim.Adam on networks of their own."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from fakes import environment_spec
from torch import Tensor

from common.config import LearnerConfig, NetworkConfig
from learner.gradient_step import GradientStep, flatten
from learner.loss import Clip, Minibatch, bellman_target, mean_loss, td_error
from learner.network import QNetwork

SPEC = environment_spec(observation_size=3, action_count=4, low=(-2.0,) * 3, high=(2.0, 2.0, float("inf")))
TOLERANCE = 1e-5


def network(hidden: tuple[int, ...], dueling: bool, scaling: str, seed: int) -> QNetwork:
    config = NetworkConfig(hidden=hidden, dueling=dueling, observation_scaling=scaling)
    return QNetwork(config, SPEC, torch.Generator().manual_seed(seed))


def minibatch(generator: torch.Generator, size: int = 32) -> Minibatch:
    """Random rows, some of them the last of an episode."""
    return Minibatch(
        observation_tm1=torch.randn(size, 3, generator=generator),
        action_tm1=torch.randint(4, (size,), generator=generator),
        reward_t=5 * torch.randn(size, generator=generator),
        discount_t=0.97 * torch.randint(2, (size,), generator=generator).float(),
        observation_t=torch.randn(size, 3, generator=generator),
    )


def clamp(target: Tensor) -> Tensor:
    return target.clamp(-4.0, 4.0)


class SlowTwin:
    """The same step as one would write it first."""

    def __init__(self, online: QNetwork, target: QNetwork, config: LearnerConfig) -> None:
        self.online, self.target, self._config = online, target, config
        self._optimizer = torch.optim.Adam(online.parameters(), betas=(0.9, config.adam_beta2))

    def step(self, rows: Minibatch, clip: Clip | None, huber_delta: float, learning_rate: float) -> Tensor:
        config = self._config
        q_online_t = self.online(rows.observation_t) if config.double else None
        target = clamp(bellman_target(rows, self.target(rows.observation_t), q_online_t, clip))
        error = td_error(self.online(rows.observation_tm1), rows, target)
        loss = mean_loss(error / self.online.value_scale, config.loss, huber_delta)
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate
        self._optimizer.zero_grad()
        loss.backward()
        self._optimizer.step()
        return error.detach()


@pytest.mark.parametrize("hidden", [(16, 8), (16,), ()])
@pytest.mark.parametrize(("dueling", "scaling"), [(False, "raw"), (True, "raw"), (True, "bounds"), (False, "running")])
@pytest.mark.parametrize(("double", "clip"), [(False, None), (True, None), (True, Clip(0.0)), (True, Clip(0.5, 0.7))])
@pytest.mark.parametrize("loss", ["huber", "squared"])
def test_fifty_steps_match_autograd_and_torchs_adam(
    hidden: tuple[int, ...], dueling: bool, scaling: str, double: bool, clip: Clip | None, loss: str
) -> None:
    config = LearnerConfig(double=double, loss=loss)
    online, target = network(hidden, dueling, scaling, seed=1), network(hidden, dueling, scaling, seed=2)
    twin = SlowTwin(copy.deepcopy(online), copy.deepcopy(target), config)
    fast = GradientStep(online, target, config, clamp)
    generator = torch.Generator().manual_seed(3)
    for number in range(50):
        if scaling == "running" and number % 10 == 0:
            for each in (online, target, twin.online, twin.target):
                each.rescale(np.full(3, 1 / (1 + number)), np.arange(3) - number / 25, kept=np.arange(3) > 0)
                each.rescale_values(2.0 / (1 + number / 50), keep=number > 0)
        rows = minibatch(generator)
        learning_rate = 0.01 / (1 + number)
        huber_delta = 1.5 if number < 40 else float("inf")
        wanted_error = twin.step(rows, clip, huber_delta, learning_rate)
        got_error = fast.gradient(rows, clip, huber_delta)
        fast.apply(learning_rate)
        torch.testing.assert_close(got_error, wanted_error, rtol=0, atol=TOLERANCE)
    for (name, got), (_, wanted) in zip(online.named_parameters(), twin.online.named_parameters(), strict=True):
        torch.testing.assert_close(
            got, wanted.detach(), rtol=0, atol=TOLERANCE, msg=lambda text, n=name: f"{n}: {text}"
        )


def test_the_gradient_alone_changes_no_params() -> None:
    online = network((8,), dueling=False, scaling="raw", seed=1)
    step = GradientStep(online, network((8,), dueling=False, scaling="raw", seed=2), LearnerConfig(), clamp)
    before = step.params.clone()
    step.gradient(minibatch(torch.Generator().manual_seed(3)), None, 1.0)
    torch.testing.assert_close(step.params, before, rtol=0, atol=0)


def test_a_flattened_network_is_the_same_function_of_one_vector() -> None:
    original = network((8, 4), dueling=True, scaling="bounds", seed=1)
    flat = copy.deepcopy(original)
    values, gradient = flatten(flat)
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(4))
    torch.testing.assert_close(flat(x), original(x).detach(), rtol=0, atol=0)
    assert values.shape == gradient.shape == (sum(each.numel() for each in original.parameters()),)
    values.zero_()
    assert flat(x).abs().max().item() == 0.0
    assert all(np.array_equal(array, np.zeros_like(array)) for array in flat.export().values())
