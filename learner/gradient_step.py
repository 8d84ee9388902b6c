"""One gradient step in closed form: forward, TD error, backward and Adam, without autograd.

Its slow twin is autograd with torch.optim.Adam; tests/test_gradient_step.py holds this one to it. What makes it faster:
nothing records a graph, states and next states pass the online network together, and the params of a network are one
vector, so that the optimizer, the target's copy and the average are one operation each. Adam is torch's own function:
to build the class torch.optim.Adam would import modules for a second first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.optim.adam import adam

from common.config import LearnerConfig
from learner.loss import Clip, Minibatch, bellman_target, loss_slope, td_error
from learner.network import QNetwork

_BETA1, _EPSILON = 0.9, 1e-8  # torch's defaults


def flatten(network: QNetwork) -> tuple[Tensor, Tensor]:
    """Makes every parameter of the network, and its `.grad`, a view of one vector each. Returns the two vectors."""
    parameters = [parameter.requires_grad_(False) for parameter in network.parameters()]
    values = torch.cat([parameter.reshape(-1) for parameter in parameters])
    gradient = torch.zeros_like(values)
    views = zip(parameters, _split(values, parameters), _split(gradient, parameters), strict=True)
    for parameter, value, slope in views:
        parameter.data, parameter.grad = value, slope
    return values, gradient


def _split(vector: Tensor, alike: Sequence[Tensor]) -> list[Tensor]:
    """Views of the vector in these shapes, one after the other."""
    parts = torch.split(vector, [tensor.numel() for tensor in alike])
    return [part.view_as(tensor) for part, tensor in zip(parts, alike, strict=True)]


class _Layer(NamedTuple):
    """A linear layer and where its gradient goes."""

    weight: Tensor  # [out, in]
    bias: Tensor  # [out]
    weight_grad: Tensor
    bias_grad: Tensor

    def forward(self, features: Tensor) -> Tensor:
        return torch.addmm(self.bias, features, self.weight.t())

    def backward(self, features: Tensor, slope: Tensor) -> None:
        """features `[B, in]` as they came in, slope `[B, out]`: d loss / d what went out."""
        if features.shape[1] < slope.shape[1]:  # a tall product takes three times as long as the flat one
            self.weight_grad.copy_(torch.mm(features.t(), slope).t())
        else:
            torch.mm(slope.t(), features, out=self.weight_grad)
        torch.sum(slope, 0, out=self.bias_grad)


class _Passes:
    """The two passes of a flattened QNetwork, on its own params."""

    def __init__(self, network: QNetwork) -> None:
        self._scaling = (network.scale, network.shift) if network.scaled else None
        self._value_scale = network.value_scale
        self._hidden = [_layer(layer) for layer in network.hidden]
        self._value = None if network.value is None else _layer(network.value)
        self._advantage = _layer(network.advantage)

    def forward(self, observation: Tensor) -> tuple[list[Tensor], Tensor]:
        """`[B, D]` raw -> the input of every layer, and Q-values `[B, A]`."""
        features = observation if self._scaling is None else observation * self._scaling[0] + self._scaling[1]
        inputs = [features]
        for layer in self._hidden:
            features = layer.forward(features).relu_()
            inputs.append(features)
        q_values = self._advantage.forward(features)
        if self._value is not None:
            q_values = self._value.forward(features) + q_values - q_values.mean(dim=1, keepdim=True)
        return inputs, q_values * self._value_scale

    def backward(self, inputs: list[Tensor], slope: Tensor) -> None:
        """Writes the gradient.

        inputs: as from `forward`, of `[B]` rows. slope `[B, A]`: d loss / d what the last layer gives, unscaled.
        """
        features = inputs[-1]
        if self._value is not None:
            value_slope = slope.sum(dim=1, keepdim=True)
            slope = slope - slope.mean(dim=1, keepdim=True)
            self._value.backward(features, value_slope)
        self._advantage.backward(features, slope)
        below = slope @ self._advantage.weight
        if self._value is not None:
            below += value_slope @ self._value.weight
        for number, layer in reversed(list(enumerate(self._hidden))):
            below *= inputs[number + 1].sign()  # ReLU's slope: its output is above 0 or 0
            layer.backward(inputs[number], below)
            if number > 0:
                below = below @ layer.weight


class GradientStep:
    """`gradient` and then `apply`, on flattened networks."""

    def __init__(
        self, online: QNetwork, target: QNetwork, config: LearnerConfig, bound: Callable[[Tensor], Tensor]
    ) -> None:
        """`bound` maps targets `[B]` to those allowed. The networks, on one device, are flattened here."""
        self.params, self._gradient = flatten(online)
        self.target_params, _ = flatten(target)
        self._online, self._target = _Passes(online), _Passes(target)
        self._value_scale = online.value_scale
        self._config = config
        self._bound = bound
        self._first_moment = torch.zeros_like(self.params)
        self._second_moment = torch.zeros_like(self.params)
        self._shapes = list(online.parameters())
        self._hidden_layers = len(online.hidden)
        self._steps = torch.zeros((), device=self.params.device)  # where the fused kernel needs it

    def gradient(self, rows: Minibatch, clip: Clip | None, huber_delta: float) -> Tensor:
        """TD errors `[B]`; the gradient of their loss is then ready for `apply`. `clip`: see bellman_target.

        The loss is that of errors in the network's unit of value, see learner/return_scaling.py.
        """
        config, size = self._config, len(rows.action_tm1)
        double = config.double
        inputs, q = self._online.forward(
            torch.cat((rows.observation_tm1, rows.observation_t)) if double else rows.observation_tm1
        )
        _, q_target_t = self._target.forward(rows.observation_t)
        target = bellman_target(rows, q_target_t, q[size:] if double else None, clip)
        error = td_error(q[:size], rows, self._bound(target))
        slope = torch.zeros_like(q[:size])
        in_units = error / self._value_scale
        slope.scatter_(1, rows.action_tm1[:, None], -loss_slope(in_units, config.loss, huber_delta)[:, None])
        self._online.backward([features[:size] for features in inputs], slope)
        return error

    def apply(self, learning_rate: float) -> None:
        """One step of Adam, Kingma and Ba, https://arxiv.org/abs/1412.6980."""
        adam(
            [self.params], [self._gradient], [self._first_moment], [self._second_moment], [], [self._steps],
            fused=True, amsgrad=False, beta1=_BETA1, beta2=self._config.adam_beta2, lr=learning_rate, weight_decay=0.0,
            eps=_EPSILON, maximize=False,
        )  # fmt: skip

    def forget_units(self, layer: int, units: Tensor) -> None:
        """Adam's memory of units of a hidden layer, `[N]` indices, whose weights are new."""
        for moment in (self._first_moment, self._second_moment):
            parts = _split(moment, self._shapes)  # weight and bias of every layer, heads last
            parts[2 * layer][units] = 0.0
            parts[2 * layer + 1][units] = 0.0
            heads_follow = layer + 1 == self._hidden_layers
            for listening in parts[2 * layer + 2 :: 2] if heads_follow else parts[2 * layer + 2 : 2 * layer + 3]:
                listening[:, units] = 0.0


def _layer(layer: torch.nn.Module) -> _Layer:
    assert isinstance(layer, torch.nn.Linear)
    weight, bias = layer.weight, layer.bias
    assert weight.grad is not None
    assert bias.grad is not None
    return _Layer(weight.data, bias.data, weight.grad, bias.grad)
