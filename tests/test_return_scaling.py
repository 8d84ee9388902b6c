"""The size of returns by what single transitions tell, and networks that mean the same while it moves."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from fakes import environment_spec
from numpy.typing import NDArray

from common.config import NetworkConfig
from learner.network import QNetwork
from learner.return_scaling import ReturnScaler, ReturnSize

Floats = NDArray[np.float32]
RNG = np.random.default_rng


def rows_of(
    count: int, seed: int, end: float = 0.05, mean: float = 1.0, std: float = 2.0, gamma: float = 0.9
) -> tuple[Floats, Floats]:
    """Rewards and discounts `[count]` of steps that are alike, one in 1 / end of them the last of its episode."""
    rng = RNG(seed)
    reward = rng.normal(mean, std, count)
    discount = np.where(rng.random(count) < end, 0.0, gamma)
    return reward.astype(np.float32), discount.astype(np.float32)


def discounted_returns(reward: Floats, discount: Floats) -> NDArray[np.float64]:
    """From each step on, where the steps follow one another."""
    returns = np.zeros(len(reward))
    ahead = 0.0
    for index in reversed(range(len(reward))):
        ahead = returns[index] = reward[index] + discount[index] * ahead
    return returns


def network(seed: int = 0, dueling: bool = False) -> QNetwork:
    config = NetworkConfig(hidden=(16,), dueling=dueling)
    return QNetwork(config, environment_spec(observation_size=3, action_count=2), torch.Generator().manual_seed(seed))


def q_values(q_network: QNetwork) -> Floats:
    with torch.no_grad():
        return q_network(torch.linspace(-2, 2, 12).view(4, 3)).numpy()


@pytest.mark.parametrize(("end", "mean", "std"), [(0.05, 1.0, 2.0), (0.2, 0.0, 3.0), (0.01, -1.0, 0.1)])
def test_the_size_is_the_root_mean_square_of_the_discounted_return(end: float, mean: float, std: float) -> None:
    reward, discount = rows_of(100_000, 1, end, mean, std)
    returns = ReturnSize()
    for part in range(0, 100_000, 1000):
        returns.see(reward[part : part + 1000], discount[part : part + 1000])
    root_mean_square = float(np.sqrt(np.square(discounted_returns(reward, discount)).mean()))
    assert returns.size == pytest.approx(root_mean_square, rel=0.05)


def test_a_rare_reward_is_at_most_ten_sizes() -> None:
    returns = ReturnSize()
    reward = np.zeros(100_000, dtype=np.float32)
    reward[7] = -50.0
    returns.see(reward, np.zeros_like(reward))
    assert returns.size == 5.0


def test_undiscounted_steps_that_never_end_have_a_size_too() -> None:
    returns = ReturnSize()
    returns.see(np.ones(10, dtype=np.float32), np.ones(10, dtype=np.float32))
    assert returns.size == pytest.approx(1000.0)


def test_the_size_follows_the_rewards() -> None:
    """As the ring does."""
    returns = ReturnSize()
    for number in range(2000):
        returns.see(*rows_of(1000, number, mean=1.0 if number < 1000 else 4.0, std=0.0))
    later = ReturnSize()
    later.see(*rows_of(100_000, 1, mean=4.0, std=0.0))
    assert returns.size == pytest.approx(later.size, rel=0.05)


@pytest.mark.parametrize("dueling", [False, True])
def test_networks_stay_the_functions_that_they_are_while_the_size_moves(dueling: bool) -> None:
    networks = [network(seed, dueling) for seed in (0, 1)]
    before = [(q_values(each), each.export()) for each in networks]
    scaler = ReturnScaler(networks, fresh=False)
    for factor in (1, 10, 3):
        reward, discount = rows_of(500, factor)
        scaler.see(factor * reward, discount)
        scaler.follow()
        for each, (values, arrays) in zip(networks, before, strict=True):
            assert each.value_scale.item() > 0
            assert each.value_scale.item() != 1
            np.testing.assert_allclose(q_values(each), values, rtol=1e-4, atol=1e-5)
            for name, array in each.export().items():
                np.testing.assert_allclose(array, arrays[name], rtol=1e-4, atol=1e-6)


def test_fresh_networks_take_the_first_size_and_keep_their_weights() -> None:
    """What they give at first is small beside returns, whatever these are."""
    small, large = network(), network()
    reward, discount = rows_of(500, 1)
    for each, factor in ((small, 0.01), (large, 100.0)):
        ReturnScaler([each], fresh=True).see(np.float32(factor) * reward, discount)
    np.testing.assert_allclose(q_values(large), 1e4 * q_values(small), rtol=1e-4)
    np.testing.assert_allclose(large.advantage.weight.detach(), small.advantage.weight.detach())


def test_without_a_reward_the_unit_stays_and_the_first_one_counts_at_once() -> None:
    each = network()
    scaler = ReturnScaler([each], fresh=True)
    nothing = np.zeros(500, dtype=np.float32)
    scaler.see(nothing, nothing)
    scaler.follow()
    assert each.value_scale.item() == 1.0
    before = q_values(each)
    scaler.see(*rows_of(500, 1))
    assert each.value_scale.item() != 1.0
    np.testing.assert_allclose(q_values(each), before, rtol=1e-4, atol=1e-6)


def test_rows_that_are_not_finite_are_not_taken_into_account() -> None:
    each = network()
    scaler = ReturnScaler([each], fresh=True)
    reward, discount = rows_of(500, 1)
    reward[3] = np.nan
    scaler.see(reward, discount)
    assert each.value_scale.item() == 1.0


@pytest.mark.parametrize("dueling", [False, True])
def test_a_saved_network_comes_back_in_any_unit(dueling: bool) -> None:
    saved = network(1).export()
    each = network(2, dueling)
    each.rescale_values(7.0, keep=False)
    each.load(saved)
    for name, array in each.export().items():
        np.testing.assert_allclose(array, saved[name], rtol=1e-5, atol=1e-6)
