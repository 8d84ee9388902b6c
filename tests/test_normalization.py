"""Observations by the mean and spread of what was seen, and networks that mean the same while these move."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from fakes import environment_spec, random_arrays
from numpy.typing import NDArray

from actors.policy import QFunction
from common.config import NetworkConfig
from common.params import layer_shapes
from learner.network import QNetwork
from learner.normalization import _PRE_ACTIVATION, _RANGE, _SIZE, Normalizer, RunningScale

Rows = NDArray[np.float32]
RNG = np.random.default_rng
CENTRE, SPREAD = (0.0, 5.0, -100.0, 1e-3), (1.0, 2.0, 30.0, 1e-3)


def rows_of(count: int, seed: int, centre: Sequence[float] = CENTRE, spread: Sequence[float] = SPREAD) -> Rows:
    """Normally distributed numbers, `[count, D]`."""
    return RNG(seed).normal(centre, spread, (count, len(centre))).astype(np.float32)


def images(count: int, seed: int, size: int = 147, largest: int = 10) -> Rows:
    """Integers from 0 to `largest`."""
    return RNG(seed).integers(0, largest + 1, (count, size)).astype(np.float32)


def network(seed: int, size: int = 4, hidden: tuple[int, ...] = (64, 16), dueling: bool = False) -> QNetwork:
    config = NetworkConfig(hidden=hidden, dueling=dueling, observation_scaling="running")
    return QNetwork(
        config, environment_spec(observation_size=size, action_count=3), torch.Generator().manual_seed(seed)
    )


def q_values(q_network: QNetwork, observation: Rows) -> Rows:
    with torch.no_grad():
        return q_network(torch.from_numpy(observation)).numpy()


def saved(seed: int, size: int = 4, hidden: tuple[int, ...] = (64, 16)) -> dict[str, Rows]:
    return random_arrays(layer_shapes(size, hidden, 3), seed)


def scaled(running: RunningScale, observation: Rows) -> NDArray[np.float64]:
    scaling = running.scaling()
    return observation * scaling.scale + scaling.shift


def seen(*parts: Rows) -> RunningScale:
    running = RunningScale(parts[0].shape[1])
    for part in parts:
        running.see(part)
    return running


def assert_same(arrays: dict[str, Rows], expected: dict[str, Rows], relative: float = 1e-5) -> None:
    """Of each array, to that share of its largest number."""
    for name, array in arrays.items():
        np.testing.assert_allclose(
            array, expected[name], rtol=0, atol=relative * np.abs(expected[name]).max(), err_msg=name
        )


# RunningScale


def root_mean_square(observation: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of each number."""
    mean: NDArray[np.float64] = np.square(observation).mean(axis=0)
    return np.sqrt(mean)


def test_numbers_of_any_unit_come_out_of_one_size() -> None:
    running = seen(*(rows_of(128, seed) for seed in range(20)))
    sizes = root_mean_square(scaled(running, rows_of(5000, seed=99)))
    assert sizes == pytest.approx(np.full(4, sizes[0]), rel=0.1)


@pytest.mark.parametrize("offset", [0.0, 1e4])
@pytest.mark.parametrize("parts", [1, 7, 50])
def test_the_scale_is_that_of_all_rows_however_they_came(parts: int, offset: float) -> None:
    """Each part has a place of its own, so that the spread within parts is not that of all. What is far from 0 is
    centred, and the rest divided by its root mean square.
    """
    rows = rows_of(700, seed=1) + (offset + np.linspace(0, 10, 700))[:, None].astype(np.float32)
    scaling = seen(*np.array_split(rows, parts)).scaling()
    exact = rows.astype(np.float64)
    centre = exact.mean(axis=0) if offset else np.zeros(4)
    spread = root_mean_square(exact - centre)
    assert -scaling.shift / scaling.scale == pytest.approx(centre, rel=1e-4)
    assert scaling.scale / scaling.scale[0] == pytest.approx(spread[0] / spread, rel=1e-3)


@pytest.mark.parametrize("size", [8, 147, 2000])
def test_the_numbers_of_an_observation_add_up_to_one_size_however_many_they_are(size: int) -> None:
    running = seen(*(images(128, seed, size) for seed in range(20)))
    assert np.abs(scaled(running, images(1000, 99, size))).sum(axis=1).mean() == pytest.approx(_SIZE, rel=0.03)


def test_the_size_follows_what_is_seen_later() -> None:
    """Half of the numbers begin to vary after 20,000 rows: after as many again the sum is what it was."""
    still = [np.concatenate((images(100, seed), np.full((100, 147), 3, np.float32)), axis=1) for seed in range(200)]
    moving = [images(100, 1000 + seed, size=294) for seed in range(200)]
    running = seen(*still, *moving)
    assert np.abs(scaled(running, images(1000, 99, size=294))).sum(axis=1).mean() == pytest.approx(_SIZE, rel=0.1)


def test_few_numbers_are_not_blown_up() -> None:
    """The sum of |numbers| of one is less than its spread, which stays 1."""
    running = seen(rows_of(500, 1, centre=(0.0,), spread=(3.0,)))
    assert scaled(running, rows_of(5000, 99, centre=(0.0,), spread=(3.0,))).std() == pytest.approx(
        min(1.0, _SIZE / np.sqrt(2 / np.pi)), rel=0.1
    )


def test_a_constant_comes_out_as_0() -> None:
    rows = np.concatenate((rows_of(200, 1), np.full((200, 2), [7.0, 1e6], np.float32)), axis=1)
    running = seen(rows, rows)
    assert np.abs(scaled(running, rows)[:, 4:]).max() < 1e-9
    assert running.scaling().varied.tolist() == [True] * 4 + [False] * 2


def test_a_number_that_begins_to_vary_has_the_size_of_the_others_in_the_end() -> None:
    later = [rows_of(500, seed) for seed in range(40)]
    still = rows_of(500, 99)
    still[:, 2] = -80.0
    running = seen(still, *later)
    sizes = root_mean_square(scaled(running, rows_of(5000, 100)))
    assert sizes == pytest.approx(np.full(4, sizes[0]), rel=0.15)


def test_a_large_number_that_hardly_varies_is_told_from_its_mean() -> None:
    """1e6 +- 1: as a float32 it has steps of 1/16."""
    rows = rows_of(2000, 1, centre=(1e6, 0.0), spread=(1.0, 1.0))
    came_out = scaled(seen(*np.array_split(rows, 10)), rows)
    spread = came_out.std(axis=0)
    assert spread[0] == pytest.approx(spread[1], rel=0.05)
    assert abs(came_out[:, 0].mean()) < 0.05 * spread[0]


@pytest.mark.parametrize("every", [50, 2000, 100_000])
def test_a_bit_that_is_rarely_set_has_no_huge_value_then(every: int) -> None:
    rows = np.zeros((100_000, 2), dtype=np.float32)
    rows[::every, 0] = 1.0  # the other never is
    running = seen(*np.array_split(rows, 200))
    came_out = scaled(running, np.array([[1.0, 0.0], [0.0, 0.0]], dtype=np.float32))
    assert np.abs(came_out).max() <= _RANGE
    assert came_out[0, 0] - came_out[1, 0] > 0


# Normalizer


def test_the_networks_functions_stay_while_the_scale_moves() -> None:
    """Online, target and average have params of their own, and observations change their place and spread."""
    networks = [network(seed) for seed in (1, 2, 3)]
    networks[2] = network(3, dueling=True)
    normalizer = Normalizer(networks, observation_size=4, fresh=True)
    normalizer.see(rows_of(128, 1))
    for seed in range(2, 8):
        normalizer.see(rows_of(128, seed, centre=(seed, 5.0, 0.0, 0.0), spread=(1.0, seed, 30.0, 1e-2)))
        before, scale = [each.export() for each in networks], networks[0].scale.clone()
        normalizer.follow()
        assert (networks[0].scale / scale - 1).abs().max() > 0.01
        for each, expected in zip(networks, before, strict=True):
            assert_same(each.export(), expected)


def test_all_networks_have_the_same_scale() -> None:
    networks = [network(seed) for seed in (1, 2, 3)]
    normalizer = Normalizer(networks, observation_size=4, fresh=True)
    normalizer.see(rows_of(128, 1))
    normalizer.see(rows_of(128, 2, spread=(9.0, 9.0, 9.0, 9.0)))
    normalizer.follow()
    scaling = RunningScale(4)
    scaling.see(rows_of(128, 1))
    scaling.see(rows_of(128, 2, spread=(9.0, 9.0, 9.0, 9.0)))
    for each in networks:
        assert each.scale.tolist() == pytest.approx(scaling.scaling().scale.tolist())
        assert each.shift.tolist() == pytest.approx(scaling.scaling().shift.tolist())


@pytest.mark.parametrize("dueling", [False, True])
def test_exported_params_act_on_raw_observations_as_the_network_does(dueling: bool) -> None:
    q_network = network(1, dueling=dueling)
    normalizer = Normalizer([q_network], observation_size=4, fresh=True)
    for seed in range(3):
        normalizer.see(rows_of(128, seed))
        normalizer.follow()
    raw = rows_of(200, 99)
    expected = q_values(q_network, raw)
    assert expected.std(axis=0).min() > 0.01
    np.testing.assert_allclose(QFunction(q_network.export())(raw), expected, rtol=0, atol=1e-4)


def test_exported_params_act_on_large_numbers_that_hardly_vary_nearly_as_the_network_does() -> None:
    """What is left is float32's rounding of 1e6: a sixteenth of the spread."""
    q_network = network(1, size=2)
    normalizer = Normalizer([q_network], observation_size=2, fresh=True)
    rows = rows_of(2000, 1, centre=(1e6, 0.0), spread=(1.0, 1.0))
    normalizer.see(rows)
    expected = q_values(q_network, rows)
    got = QFunction(q_network.export())(rows)
    assert np.abs(got - expected).max() < 0.5 * expected.std(axis=0).min()


def test_loaded_params_keep_their_function_at_the_first_sight() -> None:
    """Also of numbers that do not vary in what is seen then."""
    q_network = network(1)
    arrays = saved(2)
    q_network.load(arrays)
    normalizer = Normalizer([q_network], observation_size=4, fresh=False)
    first = rows_of(128, 1)
    first[:, 2] = -100.0
    normalizer.see(first)
    assert (q_network.scale != 1).any()
    assert_same(q_network.export(), arrays)
    normalizer.see(rows_of(128, 2))
    normalizer.follow()
    assert_same(q_network.export(), arrays)


def test_params_loaded_later_have_their_function_under_the_scale_as_of_then() -> None:
    q_network = network(1)
    normalizer = Normalizer([q_network], observation_size=4, fresh=True)
    normalizer.see(rows_of(128, 1))
    arrays = saved(2)
    q_network.load(arrays)
    assert_same(q_network.export(), arrays)


def test_what_was_learnt_of_constants_has_no_part_in_the_function() -> None:
    """A constant of any size adds nothing, whatever weights it has."""
    rows = np.concatenate((rows_of(200, 1), np.full((200, 1), 1e4, np.float32)), axis=1)
    q_network = network(1, size=5)
    normalizer = Normalizer([q_network], observation_size=5, fresh=True)
    normalizer.see(rows)
    before = q_values(q_network, rows)
    with torch.no_grad():
        q_network.hidden[0].weight[:, 4] += 3.0
    np.testing.assert_allclose(q_values(q_network, rows), before, rtol=0, atol=1e-2)


def test_a_number_that_begins_to_vary_enters_with_its_first_weights() -> None:
    """Weights of a constant were never of use, so they need not shrink with what they are multiplied by from now on;
    what the other numbers mean stays, and afterwards what this one means as well.
    """
    q_network = network(1)
    normalizer = Normalizer([q_network], observation_size=4, fresh=True)
    first = rows_of(128, 1)
    first[:, 2] = -100.0
    normalizer.see(first)
    weight = q_network.hidden[0].weight.detach().clone()
    before = q_network.export()
    for seed in range(2, 12):
        normalizer.see(rows_of(128, seed))
    normalizer.follow()
    assert torch.equal(q_network.hidden[0].weight[:, 2], weight[:, 2])
    others = [0, 1, 3]
    got = q_network.export()
    np.testing.assert_allclose(got["0.weight"][:, others], before["0.weight"][:, others], rtol=1e-4)
    for name in ("2.weight", "2.bias", "4.weight", "4.bias"):
        np.testing.assert_array_equal(got[name], before[name])

    normalizer.see(rows_of(512, 20, spread=(2.0, 2.0, 200.0, 2.0)))
    normalizer.follow()
    assert not torch.equal(q_network.hidden[0].weight[:, 2], weight[:, 2])
    assert_same(q_network.export(), got)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_observations_that_are_not_finite_are_left_to_the_td_error(value: float) -> None:
    q_network = network(1)
    normalizer = Normalizer([q_network], observation_size=4, fresh=True)
    bad = rows_of(128, 1)
    bad[100, 2] = value
    normalizer.see(bad)  # as the first
    assert torch.equal(q_network.scale, torch.ones(4))
    normalizer.see(rows_of(128, 2))
    scale, before = q_network.scale.clone(), q_network.export()
    normalizer.see(bad)
    normalizer.follow()
    assert torch.equal(q_network.scale, scale)
    assert_same(q_network.export(), before)
    assert not np.isfinite(q_values(q_network, bad)[100]).all()


@pytest.mark.parametrize("make", [lambda seed: rows_of(512, seed), lambda seed: images(512, seed)])
def test_fresh_units_get_the_same_from_observations_and_from_biases_whatever_the_environment(
    make: Callable[[int], Rows],
) -> None:
    observation = make(1)
    q_network = network(1, size=observation.shape[1], hidden=(2000,))
    Normalizer([q_network], observation.shape[1], fresh=True).see(observation)
    layer = q_network.hidden[0]
    with torch.no_grad():
        features = torch.from_numpy(observation) * q_network.scale + q_network.shift
        spread = (features @ layer.weight.T).var(dim=0).mean().sqrt()  # of a unit over observations
        assert spread.item() == pytest.approx(_PRE_ACTIVATION, rel=0.1)
        assert layer.bias.std().item() == pytest.approx(_PRE_ACTIVATION, rel=0.1)
