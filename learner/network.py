"""The Q-network as a torch module, and its canonical form (common/params.py)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from common.config import NetworkConfig
from common.params import check_arrays, layer_shapes
from common.types import EnvironmentSpec


def bounds_scaling(low: Sequence[float], high: Sequence[float]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(scale, shift), `[D]` each, so that x * scale + shift maps finite bounds to [-1, 1] and leaves the rest alone."""
    lows, highs = np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        span = highs - lows
    bounded = np.isfinite(span) & (span > 0)
    safe_span = np.where(bounded, span, 2.0)
    scale = np.where(bounded, 2.0 / safe_span, 1.0)
    shift = np.where(bounded, -1.0 - np.where(bounded, lows, 0.0) * scale, 0.0)
    return scale.astype(np.float32), shift.astype(np.float32)


class QNetwork(nn.Module):
    """ReLU layers from observation `[B, D]` to Q-values `[B, A]`, with scaled observations and dueling as options.

    Dueling: Q = V + A - mean(A), Wang et al., https://arxiv.org/abs/1511.06581, with linear heads on one trunk.
    """

    scale: Tensor
    shift: Tensor
    value_scale: Tensor  # Q-values are so many times what the last layer gives

    def __init__(self, config: NetworkConfig, environment: EnvironmentSpec, generator: torch.Generator) -> None:
        super().__init__()
        size, actions = environment.observation_size, environment.action_count
        self._shapes = layer_shapes(size, config.hidden, actions)
        self.hidden = nn.ModuleList()
        for width in config.hidden:
            self.hidden.append(_linear(size, width, generator))
            size = width
        self.value = _linear(size, 1, generator) if config.dueling else None
        self.advantage = _linear(size, actions, generator)  # the Q-values themselves without dueling
        if config.observation_scaling == "bounds":
            scale, shift = bounds_scaling(environment.observation_low, environment.observation_high)
        else:
            scale, shift = (
                np.ones(environment.observation_size, np.float32),
                np.zeros(environment.observation_size, np.float32),
            )
        self.scaled = config.observation_scaling != "raw"
        self.register_buffer("scale", torch.from_numpy(scale), persistent=False)
        self.register_buffer("shift", torch.from_numpy(shift), persistent=False)
        self._first_layer_factors = (1.0, 1.0)  # of initial weights and biases, against what `_linear` draws
        self.register_buffer("value_scale", torch.ones(()), persistent=False)

    def forward(self, observation: Tensor) -> Tensor:
        """`[B, D]` raw -> `[B, A]`."""
        features = self.features(observation)[-1]
        q_values: Tensor = self.advantage(features)
        if self.value is not None:
            q_values = self.value(features) + q_values - q_values.mean(dim=1, keepdim=True)
        return q_values * self.value_scale

    def features(self, observation: Tensor) -> list[Tensor]:
        """`[B, D]` raw -> the input of every layer: scaled observations, then what each hidden layer gives."""
        inputs = [observation * self.scale + self.shift if self.scaled else observation]
        for layer in self.hidden:
            inputs.append(torch.relu(layer(inputs[-1])))
        return inputs

    @torch.no_grad()
    def rescale_values(self, value_scale: float, keep: bool) -> None:
        """Q-values are so many times the last layer's from now on. With `keep` they stay the same."""
        if keep:
            for head in self._heads():
                head.weight.mul_(self.value_scale / value_scale)
                head.bias.mul_(self.value_scale / value_scale)
        self.value_scale.fill_(value_scale)

    @torch.no_grad()
    def rescale(self, scale: NDArray[np.float64], shift: NDArray[np.float64], kept: NDArray[np.bool_]) -> None:
        """Observations are scaled by x * scale + shift from now on, `[D]` each.

        Where `kept`, the first layer's weights change too, so that these numbers mean to it what they meant before.
        """
        layer = self._linear_layers()[0]
        weight, bias = _on_cpu(layer)
        keep = torch.from_numpy(kept)
        new_scale, new_shift = torch.from_numpy(scale), torch.from_numpy(shift)
        new_weight = torch.where(keep, weight * self.scale.cpu().double() / new_scale, weight)
        moved = torch.where(keep, weight * self.shift.cpu().double() - new_weight * new_shift, 0.0).sum(1)
        layer.weight.copy_(new_weight)
        layer.bias.copy_(bias + moved)
        self.scale.copy_(new_scale)
        self.shift.copy_(new_shift)

    @torch.no_grad()
    def spread_pre_activations(self, observation_spread: float, spread: float, fresh: bool) -> None:
        """Initial weights and biases of the first layer are from now on for scaled observations of that spread.

        What the weights give and what the biases give then has a standard deviation of `spread`, over all units.
        `fresh`: those that the layer has are still the initial ones.
        """
        layer = self._linear_layers()[0]
        initial = (3 * layer.in_features) ** -0.5  # standard deviation of what `_linear` draws
        factors = spread / initial / observation_spread, spread / initial
        if fresh:
            layer.weight.mul_(factors[0] / self._first_layer_factors[0])
            layer.bias.mul_(factors[1] / self._first_layer_factors[1])
        self._first_layer_factors = factors

    def fresh_units(self, layer: int, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Weights `[count, fan_in]` and biases `[count]` as a hidden layer's are at the start."""
        old = self.hidden[layer]
        assert isinstance(old, nn.Linear)
        drawn = _linear(old.in_features, count, generator)
        weight, bias = self._first_layer_factors if layer == 0 else (1.0, 1.0)
        return drawn.weight.detach().to(old.weight.device) * weight, drawn.bias.detach().to(old.bias.device) * bias

    @torch.no_grad()
    def replace_units(self, layer: int, units: Tensor, weight: Tensor, bias: Tensor) -> None:
        """Units of a hidden layer, `[N]` indices, get other weights `[N, fan_in]` and biases `[N]`.

        What follows does not listen to them yet.
        """
        replaced = self.hidden[layer]
        assert isinstance(replaced, nn.Linear)
        replaced.weight[units] = weight
        replaced.bias[units] = bias
        for listening in [self.hidden[layer + 1]] if layer + 1 < len(self.hidden) else self._heads():
            assert isinstance(listening, nn.Linear)
            listening.weight[:, units] = 0.0

    @torch.no_grad()
    def silent_units(self, observation: Tensor) -> float:
        """Share of a hidden layer's units that are 0 for all of `[B, D]`, of the layer that has the largest one."""
        _, *hidden = self.features(observation)
        return max([(features == 0).all(dim=0).float().mean().item() for features in hidden], default=0.0)

    @torch.no_grad()
    def export(self) -> dict[str, NDArray[np.float32]]:
        """The canonical form as fresh arrays: scalings folded into the first and last layer, dueling into the last.

        Worked out on the CPU, wherever the network lives: not every device has float64.
        """
        layers = [_on_cpu(layer) for layer in self._linear_layers()]
        if self.value is not None:
            weight, bias = layers.pop()
            value_weight, value_bias = _on_cpu(self.value)
            layers.append((value_weight + weight - weight.mean(0), value_bias + bias - bias.mean()))
        if self.scaled:
            weight, bias = layers[0]
            layers[0] = (weight * self.scale.cpu().double(), bias + weight @ self.shift.cpu().double())
        weight, bias = layers[-1]
        layers[-1] = (weight * self.value_scale.item(), bias * self.value_scale.item())
        values = [tensor.float().numpy().copy() for layer in layers for tensor in layer]
        return dict(zip(self._shapes, values, strict=True))

    @torch.no_grad()
    def load(self, arrays: Mapping[str, NDArray[np.float32]]) -> None:
        """Takes a canonical form over: the same function of raw observations. Raises ValueError if it does not fit.

        Under dueling V becomes the mean Q-value and A the Q-values, which is one of the many equal splits.
        """
        check_arrays(arrays, self._shapes)
        tensors = [torch.from_numpy(np.array(array)).double() for array in arrays.values()]
        layers = list(zip(tensors[::2], tensors[1::2], strict=True))
        if self.scaled:
            weight, bias = layers[0]
            weight = weight / self.scale.cpu().double()
            layers[0] = (weight, bias - weight @ self.shift.cpu().double())
        weight, bias = layers[-1]
        layers[-1] = (weight / self.value_scale.item(), bias / self.value_scale.item())
        for layer, (weight, bias) in zip(self._linear_layers(), layers, strict=True):
            layer.weight.copy_(weight)
            layer.bias.copy_(bias)
        if self.value is not None:
            weight, bias = layers[-1]
            self.value.weight.copy_(weight.mean(0, keepdim=True))
            self.value.bias.copy_(bias.mean().reshape(1))

    def _heads(self) -> list[nn.Linear]:
        return [head for head in (self.value, self.advantage) if head is not None]

    def _linear_layers(self) -> list[nn.Linear]:
        return [layer for layer in [*self.hidden, self.advantage] if isinstance(layer, nn.Linear)]


def _on_cpu(layer: nn.Linear) -> tuple[Tensor, Tensor]:
    return layer.weight.cpu().double(), layer.bias.cpu().double()


def _linear(fan_in: int, fan_out: int, generator: torch.Generator) -> nn.Linear:
    """torch's default initialisation, drawn from our own stream."""
    layer = nn.Linear(fan_in, fan_out)
    bound = 1.0 / fan_in**0.5
    with torch.no_grad():
        layer.weight.uniform_(-bound, bound, generator=generator)
        layer.bias.uniform_(-bound, bound, generator=generator)
    return layer
