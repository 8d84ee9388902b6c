"""Units that have fallen silent get fresh weights, so that a network never dies of its first steps.

A ReLU unit that is 0 for all observations has no gradient and stays so. At a rate that learns CartPole in seconds nine
of ten units of a layer can end like that where all values fall for long, as Acrobot's do: -1 for each step. A silent
unit adds nothing, so it is replaced without a change of the function: by weights as at the start, which are not yet
listened to. Sokar et al., https://arxiv.org/abs/2302.12902, of which this is the case of a threshold of 0.

Only where most of a layer is silent: a few such units are as good as none, and among them may be one that knows what
happens once in a thousand episodes. With all of them replaced, CartPole's returns broke in now and then.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from learner.gradient_step import GradientStep
from learner.network import QNetwork

_ROWS = 512  # looked at each time
_LOOKS = 10  # in which a unit must be silent
_MOST_SILENT = 0.5  # share of a layer's units that may be


class UnitRecycler:
    """Watches the online network; what it replaces there it replaces in the others too."""

    def __init__(
        self,
        online: QNetwork,
        others: Sequence[QNetwork],
        gradient_step: GradientStep,
        generator: torch.Generator,
    ) -> None:
        self._online = online
        self._others = others
        self._gradient_step = gradient_step
        self._generator = generator
        self._looks = 0
        self._active: list[Tensor] = []  # of each hidden layer: units that were above 0 since the last time

    @torch.no_grad()
    def look(self, observation: Tensor) -> None:
        """At `[N, D]` observations. Every tenth time units silent in all ten are replaced, if they are many."""
        _, *hidden = self._online.features(observation[:_ROWS])
        active = [(features > 0).any(dim=0) for features in hidden]
        self._active = [old | new for old, new in zip(self._active, active, strict=True)] if self._active else active
        self._looks += 1
        if self._looks < _LOOKS:
            return
        for layer, alive in enumerate(self._active):
            units = torch.nonzero(~alive).squeeze(1)
            if len(units) > _MOST_SILENT * len(alive):
                self._replace(layer, units)
        self._looks, self._active = 0, []

    def _replace(self, layer: int, units: Tensor) -> None:
        weight, bias = self._online.fresh_units(layer, len(units), self._generator)
        for network in (self._online, *self._others):
            network.replace_units(layer, units, weight, bias)
        self._gradient_step.forget_units(layer, units)
