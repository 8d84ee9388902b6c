"""TD errors and losses by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from learner.loss import Clip, Minibatch, bellman_target, loss_slope, mean_loss, td_error

# Q(x) = x @ matrix, [observation, action]; observations are one-hot, so a row is the Q-values of a state.
ONLINE = [[1.0, 2.0], [5.0, 3.0]]  # state 0, state 1
TARGET = [[8.0, 9.0], [7.0, 20.0]]
STATE = torch.eye(2)


KINDS = [(False, None), (True, None), (True, Clip(0.0)), (True, Clip(0.5, 0.7))]  # double, clip


def error_of(
    double: bool,
    clip: Clip | None = None,
    reward: float = 1.0,
    discount: float = 0.5,
    online: Tensor | None = None,
    target: Tensor | None = None,
) -> Tensor:
    """Of one transition from state 0 by action 1 to state 1."""
    rows = Minibatch(
        observation_tm1=STATE[:1],
        action_tm1=torch.tensor([1]),
        reward_t=torch.tensor([reward]),
        discount_t=torch.tensor([discount]),
        observation_t=STATE[1:],
    )
    return error_of_rows(double, clip, rows, online, target)


def error_of_rows(
    double: bool, clip: Clip | None, rows: Minibatch, online: Tensor | None = None, target: Tensor | None = None
) -> Tensor:
    """TD errors of any rows, with the two matrices above unless others are given."""
    online_q = torch.tensor(ONLINE) if online is None else online
    target_q = torch.tensor(TARGET) if target is None else target

    q_online_t = rows.observation_t @ online_q if double else None
    target = bellman_target(rows, rows.observation_t @ target_q, q_online_t, clip)
    return td_error(rows.observation_tm1 @ online_q, rows, target)


def test_without_double_the_target_network_picks_and_values() -> None:
    """1 + 0.5 * max(7, 20) - 2 = 9."""
    assert error_of(double=False).tolist() == [9.0]


def test_with_double_the_online_network_picks_and_the_target_network_values() -> None:
    """The online network prefers action 0 (5 to 3), which the target network values at 7: 1 + 0.5 * 7 - 2 = 2.5."""
    assert error_of(double=True).tolist() == [2.5]


def test_with_a_lead_of_0_the_lower_of_both_networks_values_what_the_online_network_picks() -> None:
    """Action 0 at min(5, 7): 1 + 0.5 * 5 - 2 = 1.5. Where the target network says 4: 1 + 0.5 * 4 - 2 = 1."""
    assert error_of(double=True, clip=Clip(0.0)).tolist() == [1.5]
    pessimistic_target = torch.tensor([[8.0, 9.0], [4.0, 20.0]])
    assert error_of(double=True, clip=Clip(0.0), target=pessimistic_target).tolist() == [1.0]


@pytest.mark.parametrize(("lead", "expected"), [(0.4, 1.2), (1.0, 1.5), (100.0, 1.5)])
def test_the_online_network_values_as_far_as_its_lead_goes(lead: float, expected: float) -> None:
    """Action 0 at 5, where the target network says 4: 1 + 0.5 * min(5, 4 + lead) - 2."""
    pessimistic_target = torch.tensor([[8.0, 9.0], [4.0, 20.0]])
    got = error_of(double=True, clip=Clip(lead), target=pessimistic_target)
    assert got.tolist() == pytest.approx([expected])


def test_a_lead_does_not_lift_what_the_online_network_thinks_worse() -> None:
    assert error_of(double=True, clip=Clip(3.0)).tolist() == [1.5]  # 5 it says, 7 the target network


@pytest.mark.parametrize(("share", "expected"), [(1.0, 1.5), (0.5, 2.0), (0.0, 2.5)])
def test_with_a_smaller_share_it_is_more_of_double_dqn(share: float, expected: float) -> None:
    """Action 0, 5 the online network says and 7 the target network: 1 + 0.5 * (7 - 2 * share) - 2."""
    assert error_of(double=True, clip=Clip(0.0, share)).tolist() == [expected]


def test_a_clip_means_nothing_without_double() -> None:
    assert error_of(double=False, clip=Clip(0.0)).tolist() == error_of(double=False).tolist()


@pytest.mark.parametrize(("double", "clip"), KINDS)
def test_a_discount_of_0_cuts_the_bootstrap(double: bool, clip: Clip | None) -> None:
    assert error_of(double, clip, discount=0.0).tolist() == [-1.0]  # 1 - 2


@pytest.mark.parametrize(
    ("double", "clip", "expected"), [(False, None, 9.0), (True, None, 2.5), (True, Clip(0.0), 1.5)]
)
def test_each_row_has_its_own_error(double: bool, clip: Clip | None, expected: float) -> None:
    """From state 1 by action 0 to state 0, where both prefer action 1: 3 + 9 - 5 = 7, clipped 3 + 2 - 5 = 0."""
    rows = Minibatch(
        observation_tm1=STATE,
        action_tm1=torch.tensor([1, 0]),
        reward_t=torch.tensor([1.0, 3.0]),
        discount_t=torch.tensor([0.5, 1.0]),
        observation_t=STATE.flip(0),
    )
    assert error_of_rows(double, clip, rows).tolist() == [expected, 7.0 if clip is None else 0.0]


@pytest.mark.parametrize(("double", "clip"), KINDS)
def test_no_gradient_goes_through_the_target(double: bool, clip: Clip | None) -> None:
    """d error / d q_online(state 0, action 1) = -1, and nothing else moves."""
    online = torch.tensor(ONLINE, requires_grad=True)
    target = torch.tensor(TARGET, requires_grad=True)
    error_of(double, clip, online=online, target=target).sum().backward()
    assert target.grad is None
    assert online.grad is not None
    assert online.grad.tolist() == [[0.0, -1.0], [0.0, 0.0]]


@pytest.mark.parametrize(("double", "clip"), KINDS)
def test_no_gradient_goes_through_the_target_when_both_networks_are_one(double: bool, clip: Clip | None) -> None:
    both = torch.tensor(ONLINE, requires_grad=True)
    error_of(double, clip, online=both, target=both).sum().backward()
    assert both.grad is not None
    assert both.grad.tolist() == [[0.0, -1.0], [0.0, 0.0]]


@pytest.mark.parametrize(
    ("error", "huber_1", "huber_2", "squared"),
    [  # (loss, slope): Huber is 0.5 e^2 up to delta, then delta * (|e| - 0.5 delta)
        (0.0, (0.0, 0.0), (0.0, 0.0), (0.0, 0.0)),
        (0.5, (0.125, 0.5), (0.125, 0.5), (0.25, 1.0)),
        (-0.5, (0.125, -0.5), (0.125, -0.5), (0.25, -1.0)),
        (1.0, (0.5, 1.0), (0.5, 1.0), (1.0, 2.0)),
        (2.0, (1.5, 1.0), (2.0, 2.0), (4.0, 4.0)),
        (-3.0, (2.5, -1.0), (4.0, -2.0), (9.0, -6.0)),
    ],
)
def test_losses_and_their_slopes_by_hand(
    error: float, huber_1: tuple[float, float], huber_2: tuple[float, float], squared: tuple[float, float]
) -> None:
    for kind, delta, want in (("huber", 1.0, huber_1), ("huber", 2.0, huber_2), ("squared", 1.0, squared)):
        x = torch.tensor([error], requires_grad=True)
        got = mean_loss(x, kind, delta)
        got.backward()
        assert x.grad is not None
        assert (got.item(), x.grad.item()) == want
        assert loss_slope(x.detach(), kind, delta).item() == want[1]


def test_the_loss_is_the_mean_over_the_batch() -> None:
    """Errors 1 and 2: squared (1 + 4) / 2 = 2.5, Huber (0.5 + 1.5) / 2 = 1."""
    error = torch.tensor([1.0, 2.0])
    assert mean_loss(error, "squared", 1.0).item() == 2.5
    assert mean_loss(error, "huber", 1.0).item() == 1.0
    assert loss_slope(error, "squared", 1.0).tolist() == [1.0, 2.0]  # 2 * 1 / 2, 2 * 2 / 2
    assert loss_slope(error, "huber", 1.0).tolist() == [0.5, 0.5]  # 1 / 2 both
