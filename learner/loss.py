"""TD errors and losses of Q-learning, in the field's subscripts: from tm1, where a transition starts, to t."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor


class Minibatch(NamedTuple):
    """Rows of experience as tensors; see Transition."""

    observation_tm1: Tensor  # [B, D] float32
    action_tm1: Tensor  # [B] int64
    reward_t: Tensor  # [B] float32
    discount_t: Tensor  # [B] float32
    observation_t: Tensor  # [B, D] float32


class Clip(NamedTuple):
    """How double DQN is clipped; see bellman_target."""

    lead: float
    """How far the online network's value may be above the target network's."""
    share: float = 1.0
    """How much of the way from the target network's value to the online network's is gone, 0 to 1."""


@torch.no_grad()
def bellman_target(rows: Minibatch, q_target_t: Tensor, q_online_t: Tensor | None, clip: Clip | None) -> Tensor:
    """`[B]`: reward + discount * q(next), without gradient, from the Q-values `[B, A]` of the next observations.

    The next action is the target network's best (Mnih et al., https://www.nature.com/articles/nature14236). Given
    `q_online_t`, double DQN: the online network picks it and the target network values it (van Hasselt et al.,
    https://arxiv.org/abs/1509.06461). With `clip` as well the online network values it, but at most its lead above the
    target network: what it has learnt to be bad counts at once, what it thinks better than before only so far until
    the next sync. A lead of 0 is the lower of the two networks' values, as in Fujimoto et al.,
    https://arxiv.org/abs/1802.09477; bootstrapping from the online network within a region around the target network
    is from Kapturowski et al., https://arxiv.org/abs/2209.07550. With a share of 0 it is double DQN again. `clip` means
    nothing without `q_online_t`.
    """
    if q_online_t is None:
        q_t = q_target_t.max(dim=1).values
    else:
        best = q_online_t.argmax(dim=1, keepdim=True)
        q_t = q_target_t.gather(1, best).squeeze(1)
        if clip is not None and clip.share > 0:
            q_t += clip.share * (q_online_t.gather(1, best).squeeze(1) - q_t).clamp(max=clip.lead)
    return rows.reward_t + rows.discount_t * q_t


def td_error(q_tm1: Tensor, rows: Minibatch, bellman_target_tm1: Tensor) -> Tensor:
    """`[B]`: target - q(now, action), from the Q-values `[B, A]` of the observations."""
    return bellman_target_tm1 - q_tm1.gather(1, rows.action_tm1[:, None]).squeeze(1)


def mean_loss(error: Tensor, loss: Literal["huber", "squared"], huber_delta: float) -> Tensor:
    """Mean over the batch, of errors `[B]`: Huber is quadratic up to an error of `huber_delta` and linear beyond.

    `huber`: 0.5 * e**2 where |e| <= delta, else delta * (|e| - 0.5 * delta). `squared`: e**2.
    """
    if loss == "squared":
        return error.square().mean()
    return torch.nn.functional.huber_loss(error, torch.zeros_like(error), delta=huber_delta)


def loss_slope(error: Tensor, loss: Literal["huber", "squared"], huber_delta: float) -> Tensor:
    """d mean_loss / d error, `[B]`."""
    slope = 2.0 * error if loss == "squared" else error.clamp(-huber_delta, huber_delta)
    return slope / len(error)
