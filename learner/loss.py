"""TD errors and losses of Q-learning, in the field's subscripts: from tm1, where a transition starts, to t."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

QFunction = Callable[[Tensor], Tensor]


def td_error(
    online: QFunction,
    target: QFunction,
    double: bool,
    observation_tm1: Tensor,
    action_tm1: Tensor,
    reward_t: Tensor,
    discount_t: Tensor,
    observation_t: Tensor,
) -> Tensor:
    """`[B]`: reward + discount * q(next) - q(now, action); no gradient through the target.

    Without `double` the next action is the target network's best (Mnih et al., https://www.nature.com/articles/nature14236);
    with it the online network picks and the target network values (van Hasselt et al.,
    https://arxiv.org/abs/1509.06461).
    """
    q_tm1 = online(observation_tm1).gather(1, action_tm1[:, None]).squeeze(1)
    with torch.no_grad():
        q_target_t = target(observation_t)  # [B, A]
        if double:
            q_t = q_target_t.gather(1, online(observation_t).argmax(dim=1, keepdim=True)).squeeze(1)
        else:
            q_t = q_target_t.max(dim=1).values
        bellman_target = reward_t + discount_t * q_t
    return bellman_target - q_tm1


def weighted_loss(error: Tensor, importance_weight: Tensor, loss: Literal["huber", "squared"]) -> Tensor:
    """Mean over the batch of weight * loss: Huber is quadratic up to an error of 1 and linear beyond.

    `huber`: 0.5 * e**2 where |e| <= 1, else |e| - 0.5. `squared`: e**2.
    """
    if loss == "squared":
        return (importance_weight * error.square()).mean()
    zero = torch.zeros_like(error)
    return (importance_weight * torch.nn.functional.huber_loss(error, zero, reduction="none", delta=1.0)).mean()
