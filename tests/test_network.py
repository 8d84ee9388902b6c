"""The Q-network and its canonical form."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from fakes import environment_spec, random_arrays

from actors.policy import QFunction
from common.config import NetworkConfig
from common.params import layer_shapes
from common.types import EnvironmentSpec
from learner.network import QNetwork, bounds_scaling

INFINITE = float("inf")
# Dimensions of every kind: bounded around 0, unbounded, bounded on one side, bounded off 0.
SPEC = environment_spec(
    observation_size=4, action_count=3, low=(-4.8, -INFINITE, 0.0, 2.0), high=(4.8, INFINITE, INFINITE, 3.0)
)
RAW = np.random.default_rng(0).uniform([-4.8, -3, 0, 2], [4.8, 3, 5, 3], size=(200, 4)).astype(np.float32)

every_network = pytest.mark.parametrize(
    ("dueling", "observation_scaling", "hidden"),
    [
        (dueling, observation_scaling, hidden)
        for dueling in (False, True)
        for observation_scaling in ("raw", "bounds", "running")
        for hidden in ((128, 128), (16,), ())
    ],
)


def network(
    seed: int = 1,
    hidden: tuple[int, ...] = (16,),
    dueling: bool = False,
    observation_scaling: str = "raw",
    spec: EnvironmentSpec = SPEC,
) -> QNetwork:
    """With running scaling as if some observations had been seen."""
    config = NetworkConfig(hidden=hidden, dueling=dueling, observation_scaling=observation_scaling)
    made = QNetwork(config, spec, torch.Generator().manual_seed(seed))
    if observation_scaling == "running":
        size = spec.observation_size
        made.rescale(np.linspace(0.2, 2, size), np.linspace(-1, 0.5, size), kept=np.zeros(size, dtype=np.bool_))
    return made


def q_values(q_network: QNetwork, observation: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return q_network(torch.from_numpy(observation)).numpy()


@every_network
def test_the_canonical_form_gives_the_same_q_values_on_raw_observations(
    dueling: bool, observation_scaling: str, hidden: tuple[int, ...]
) -> None:
    q_network = network(1, hidden, dueling, observation_scaling)
    arrays = q_network.export()
    assert {name: array.shape for name, array in arrays.items()} == layer_shapes(4, hidden, 3)
    assert {array.dtype for array in arrays.values()} == {np.dtype(np.float32)}
    np.testing.assert_allclose(QFunction(arrays)(RAW), q_values(q_network, RAW), rtol=0, atol=1e-5)


@every_network
def test_what_was_loaded_is_exported_again(dueling: bool, observation_scaling: str, hidden: tuple[int, ...]) -> None:
    saved = random_arrays(layer_shapes(4, hidden, 3), seed=2)
    q_network = network(1, hidden, dueling, observation_scaling)
    q_network.load(saved)
    exported = q_network.export()
    assert list(exported) == list(saved)
    for name, array in saved.items():
        np.testing.assert_allclose(exported[name], array, rtol=0, atol=1e-5, err_msg=name)


@every_network
def test_a_loaded_network_gives_the_saved_q_values(
    dueling: bool, observation_scaling: str, hidden: tuple[int, ...]
) -> None:
    """Also when the saved network was of the other kind: both are plain networks in the canonical form."""
    other = network(3, hidden, not dueling, "raw" if observation_scaling == "bounds" else "bounds")
    q_network = network(1, hidden, dueling, observation_scaling)
    q_network.load(other.export())
    np.testing.assert_allclose(q_values(q_network, RAW), q_values(other, RAW), rtol=0, atol=1e-5)


def test_dueling_by_hand() -> None:
    """At x = 2: V = x + 8 = 10, A = [1, x, 2 x + 2] = [1, 2, 6] with a mean of 3, so Q = [8, 9, 13]."""
    q_network = network(hidden=(), dueling=True, spec=environment_spec(observation_size=1, action_count=3))
    assert q_network.value is not None
    with torch.no_grad():
        q_network.value.weight.copy_(torch.tensor([[1.0]]))
        q_network.value.bias.copy_(torch.tensor([8.0]))
        q_network.advantage.weight.copy_(torch.tensor([[0.0], [1.0], [2.0]]))
        q_network.advantage.bias.copy_(torch.tensor([1.0, 0.0, 2.0]))
    assert q_values(q_network, np.array([[2.0]], dtype=np.float32)).tolist() == [[8.0, 9.0, 13.0]]
    # Folded: each slope is 1 + a - 1, each intercept 8 + b - 1.
    assert q_network.export()["0.weight"].tolist() == [[0.0], [1.0], [2.0]]
    assert q_network.export()["0.bias"].tolist() == [8.0, 7.0, 9.0]


def test_bounds_by_hand() -> None:
    """[-2, 2] -> x / 2, [0, 10] -> x / 5 - 1; unbounded, half bounded and empty ranges are left alone."""
    low = (-2, 0, -INFINITE, 0, -INFINITE, 5)
    high = (2, 10, INFINITE, INFINITE, 0, 5)
    scale, shift = bounds_scaling(low, high)
    assert scale.dtype == shift.dtype == np.float32
    assert scale.tolist() == pytest.approx([0.5, 0.2, 1, 1, 1, 1])
    assert shift.tolist() == pytest.approx([0, -1, 0, 0, 0, 0])


def test_scaling_reaches_the_first_layer() -> None:
    """The same layers see [-1, 1] at the bounds: with bounds [0, 10] raw 10 acts as 1 and raw 0 as -1."""
    spec = environment_spec(observation_size=1, action_count=2, low=(0.0,), high=(10.0,))
    raw, scaled = network(4, (8,), spec=spec), network(4, (8,), observation_scaling="bounds", spec=spec)
    at_the_bounds = q_values(scaled, np.array([[10], [0], [5]], dtype=np.float32))
    expected = q_values(raw, np.array([[1], [-1], [0]], dtype=np.float32))
    np.testing.assert_allclose(at_the_bounds, expected, rtol=0, atol=1e-6)


def test_rescaling_keeps_what_is_kept_and_gives_the_rest_its_weights_as_they_are() -> None:
    """One layer, q = w1 * x1 + w2 * x2 + b with weights of 1; x1 and x2 are then scaled by 2 * x + 3."""
    spec = environment_spec(observation_size=2, action_count=2)
    q_network = network(hidden=(), observation_scaling="running", spec=spec)
    q_network.rescale(np.ones(2), np.zeros(2), kept=np.zeros(2, dtype=np.bool_))
    with torch.no_grad():
        q_network.advantage.weight.fill_(1.0)
        q_network.advantage.bias.fill_(0.5)
    q_network.rescale(np.full(2, 2.0), np.full(2, 3.0), kept=np.array([True, False]))
    # The first goes on as x1, the second is now 2 * x2 + 3.
    observation = np.array([[0, 0], [1, 0], [0, 1]], dtype=np.float32)
    assert q_values(q_network, observation)[:, 0].tolist() == pytest.approx([3.5, 4.5, 5.5])


def test_initial_pre_activations_get_the_spread_asked_for() -> None:
    """Observations of 30 numbers whose variances add up to 2 ** 2, and a layer wide enough to measure it."""
    spec = environment_spec(observation_size=30, action_count=2)
    q_network = network(hidden=(4000,), spec=spec)
    q_network.spread_pre_activations(2.0, 0.5, fresh=True)
    layer = q_network.hidden[0]
    with torch.no_grad():
        observation = torch.randn(4000, 30, generator=torch.Generator().manual_seed(1)) * 2.0 / 30**0.5
        assert (observation @ layer.weight.T).std().item() == pytest.approx(0.5, rel=0.05)
        assert layer.bias.std().item() == pytest.approx(0.5, rel=0.05)


def test_units_that_come_later_are_initial_for_the_observations_of_their_time() -> None:
    spec = environment_spec(observation_size=30, action_count=2)
    q_network = network(hidden=(16, 16), spec=spec)
    q_network.spread_pre_activations(2.0, 0.5, fresh=True)
    before = q_network.hidden[0].weight.clone()
    q_network.spread_pre_activations(20.0, 0.5, fresh=False)
    assert torch.equal(q_network.hidden[0].weight, before)
    weight, bias = q_network.fresh_units(0, 4000, torch.Generator().manual_seed(2))
    assert weight.std().item() * 20.0 == pytest.approx(0.5, rel=0.05)
    assert bias.std().item() == pytest.approx(0.5, rel=0.05)
    weight, bias = q_network.fresh_units(1, 4000, torch.Generator().manual_seed(2))
    assert (weight.shape, bias.shape) == ((4000, 16), (4000,))
    assert weight.abs().max().item() == pytest.approx(16**-0.5, rel=0.01)


@pytest.mark.parametrize(
    ("biases", "expected"),
    [
        ((100.0, 100.0), 0.0),
        ((-100.0, 100.0), 1.0),
        ((100.0, -100.0), 1.0),  # the second layer's, whatever it gets
        ((100.0, [100.0] * 4 + [-1e6] * 12), 0.75),
        (([100.0] * 8 + [-100.0] * 8, [100.0] * 12 + [-1e6] * 4), 0.5),
    ],
)
def test_silent_units_are_those_of_the_layer_that_has_most_of_them(
    biases: tuple[float | list[float], float | list[float]], expected: float
) -> None:
    q_network = network(hidden=(16, 16))
    with torch.no_grad():
        for layer, bias in zip(q_network.hidden, biases, strict=True):
            layer.bias.copy_(torch.tensor(bias))
            layer.weight.mul_(1.0 if layer is q_network.hidden[0] else 0.01)
    assert q_network.silent_units(torch.from_numpy(RAW)) == pytest.approx(expected)


def test_a_unit_that_one_observation_wakes_is_not_silent() -> None:
    spec = environment_spec(observation_size=1, action_count=2)
    q_network = network(hidden=(4,), spec=spec)
    with torch.no_grad():
        q_network.hidden[0].weight.fill_(1.0)
        q_network.hidden[0].bias.copy_(torch.tensor([0.0, -1.0, -2.0, -3.0]))
    observation = torch.tensor([[0.5]] * 99 + [[2.5]])
    assert q_network.silent_units(observation) == 0.25
    assert q_network.silent_units(observation[:99]) == 0.75


@pytest.mark.parametrize("observation_scaling", ["bounds", "running"])
def test_silent_units_are_told_by_scaled_observations(observation_scaling: str) -> None:
    """Raw 100 acts as 1 or less, so that a bias of -50 keeps all units silent."""
    spec = environment_spec(observation_size=1, action_count=2, low=(0.0,), high=(100.0,))
    q_network = network(hidden=(4,), observation_scaling=observation_scaling, spec=spec)
    q_network.rescale(np.full(1, 0.02), np.full(1, -1.0), kept=np.zeros(1, dtype=np.bool_))
    with torch.no_grad():
        q_network.hidden[0].weight.fill_(1.0)
        q_network.hidden[0].bias.fill_(-50.0)
    assert q_network.silent_units(torch.tensor([[100.0]])) == 1.0


def test_a_network_without_hidden_layers_has_no_silent_units() -> None:
    assert network(hidden=()).silent_units(torch.from_numpy(RAW)) == 0.0


def test_exported_arrays_are_nobody_elses() -> None:
    q_network = network(dueling=False)
    before = q_values(q_network, RAW)
    exported = q_network.export()
    kept = {name: array.copy() for name, array in exported.items()}
    with torch.no_grad():
        for parameter in q_network.parameters():
            parameter.add_(1.0)
    for name, array in exported.items():
        np.testing.assert_array_equal(array, kept[name])
        array.fill(0.0)
    with torch.no_grad():
        for parameter in q_network.parameters():
            parameter.sub_(1.0)
    np.testing.assert_allclose(q_values(q_network, RAW), before, rtol=1e-4, atol=1e-3)


def test_loaded_arrays_are_copied() -> None:
    saved = random_arrays(layer_shapes(4, (16,), 3), seed=2)
    q_network = network()
    q_network.load(saved)
    before = q_values(q_network, RAW)
    for array in saved.values():
        array.fill(0.0)
    np.testing.assert_array_equal(q_values(q_network, RAW), before)


def test_the_first_params_depend_on_the_seed_alone() -> None:
    torch.manual_seed(1)
    first = network(seed=5)
    torch.manual_seed(2)
    again, other = network(seed=5), network(seed=6)
    np.testing.assert_array_equal(q_values(first, RAW), q_values(again, RAW))
    assert np.abs(q_values(first, RAW) - q_values(other, RAW)).max() > 0.01


@pytest.mark.parametrize("hidden", [(64,), (), (16, 16)])
def test_params_of_another_shape_are_refused_with_both_shapes(hidden: tuple[int, ...]) -> None:
    saved = random_arrays(layer_shapes(4, hidden, 3), seed=2)
    shown = "-".join(str(size) for size in (4, *hidden, 3))
    with pytest.raises(ValueError, match=f"params have the arrays {shown}, but this run needs 4-16-3"):
        network(hidden=(16,)).load(saved)
