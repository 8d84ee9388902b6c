"""The learner with collaborators that check what they get, without Ray."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pretend_device
import pytest
import torch
from fakes import constant_arrays, environment_spec, one_environment_step, random_arrays, sample_reply
from numpy.typing import NDArray

from actors.n_step import NStepAccumulator
from actors.policy import QFunction
from common.config import BadInput, LearnerConfig, NetworkConfig
from common.params import layer_shapes
from common.types import Params, SampleReply, Transition
from learner.learner import Learner, NonFiniteError
from learner.learner_stats import LearnerStats
from learner.process import LearnerProcess

CPU = torch.device("cpu")


class Reader:
    """Hands out the replies given to it, and checks that each |TD error| comes back once and in good form."""

    def __init__(self, replies: list[SampleReply]) -> None:
        self.errors: list[dict[int, float]] = []  # by id, of each call
        self._replies = list(replies)
        self._owed: list[int] = []  # ids of the last reply

    def sample(self, ids: NDArray[np.int64], priority: NDArray[np.float32]) -> SampleReply:
        assert ids.dtype == np.int64
        assert priority.dtype == np.float32
        assert ids.tolist() == self._owed
        assert priority.shape == ids.shape
        assert np.isfinite(priority).all()
        assert (priority >= 0).all()
        self.errors.append(dict(zip(ids.tolist(), priority.tolist(), strict=True)))
        reply = self._replies.pop(0)
        self._owed = [] if reply.rows is None else reply.rows["id"].tolist()
        return reply


class EndlessReader:
    """Samples minibatches from a few transitions for ever."""

    def __init__(self, rows: Transition, rows_per_call: int) -> None:
        self._rows = rows
        self._rows_per_call = rows_per_call
        self._rng = np.random.default_rng(1)
        self._calls = 0

    def sample(self, ids: NDArray[np.int64], priority: NDArray[np.float32]) -> SampleReply:
        self._calls += 1
        picked = self._rng.integers(len(self._rows.action), size=self._rows_per_call)
        rows = Transition._make(column[picked] for column in self._rows)
        return sample_reply(rows, picked, env_steps=10 * self._calls)


class Broadcaster:
    """Keeps what is published, and checks that versions rise and that no array is published twice or written again."""

    def __init__(self) -> None:
        self.published: list[Params] = []
        self._copies: list[dict[str, NDArray[np.float32]]] = []

    @property
    def versions(self) -> list[int]:
        return [params.version for params in self.published]

    def publish(self, params: Params) -> None:
        assert all(params.version > version for version in self.versions)
        earlier = [array for each in self.published for array in each.arrays.values()]
        assert not any(np.shares_memory(array, other) for array in params.arrays.values() for other in earlier)
        assert {array.dtype for array in params.arrays.values()} == {np.dtype(np.float32)}
        self.published.append(params)
        self._copies.append({name: array.copy() for name, array in params.arrays.items()})

    def check_untouched(self) -> None:
        """Raises if a published array changed since."""
        for params, copies in zip(self.published, self._copies, strict=True):
            for name, array in params.arrays.items():
                np.testing.assert_array_equal(array, copies[name])


def learner(
    reader: Reader | EndlessReader,
    hidden: tuple[int, ...] = (8,),
    initial_params: dict[str, NDArray[np.float32]] | None = None,
    seed: int = 1,
    device: torch.device = CPU,
    observation_scaling: str = "running",
    **config: object,
) -> Learner:
    """Minibatches of 4, no syncs, no averaging and values as they are, unless said otherwise.

    Observations of 1 number, 2 actions.
    """
    plain = {"batch_size": 4, "target_sync_learner_steps": 1_000_000, "params_average": 0.0, "return_scaling": "raw"}
    settings = {**plain, **config}
    return Learner(
        LearnerConfig(**settings),
        NetworkConfig(hidden=hidden, observation_scaling=observation_scaling),
        environment_spec(observation_size=1, action_count=2),
        np.random.SeedSequence(seed),
        reader,
        initial_params,
        device=device,
    )


def rows(rewards: list[float], discount: float = 0.0, observation: float = 1.0, action: int = 0) -> Transition:
    """One state, one action, these rewards."""
    count = len(rewards)
    return Transition(
        observation=np.full((count, 1), observation, dtype=np.float32),
        action=np.full(count, action, dtype=np.int64),
        reward=np.array(rewards, dtype=np.float32),
        discount=np.full(count, discount, dtype=np.float32),
        next_observation=np.full((count, 1), observation, dtype=np.float32),
    )


STOP = sample_reply(None, stop=True)
NOTHING_YET = sample_reply(None)


@pytest.mark.parametrize(
    ("learner_steps", "interval", "expected"),
    [
        (25, 7, [0, 7, 14, 21]),
        (30, 10, [0, 10, 20, 30]),
        (10, 3, [0, 3, 6, 9]),
        (9, 10, [0]),
        (4, 1, [0, 1, 2, 3, 4]),
    ],
)
def test_the_target_is_synced_and_published_exactly_every_interval(
    learner_steps: int, interval: int, expected: list[int]
) -> None:
    """3 minibatches in a reply, so syncs fall into the middle of one; versions are learner steps, 0 comes first."""
    broadcast = Broadcaster()
    learning = learner(
        EndlessReader(rows([1.0, 2.0]), rows_per_call=12),
        target_sync_learner_steps=interval,
        max_learner_steps=learner_steps,
    )
    learning.run(broadcast)
    assert broadcast.versions == expected
    assert learning.stats().target_syncs == learner_steps // interval
    assert learning.stats().learner_steps == learner_steps
    assert learning.newest().version == learning.stats().newest_version == expected[-1]
    broadcast.check_untouched()


def test_version_0_is_published_before_anything_is_sampled() -> None:
    broadcast = Broadcaster()

    class Asserting(Reader):
        def sample(self, ids: NDArray[np.int64], priority: NDArray[np.float32]) -> SampleReply:
            assert broadcast.versions == [0]
            return super().sample(ids, priority)

    initial = constant_arrays([3.0, 4.0], observation_size=1, hidden=(8,))
    learning = learner(Asserting([STOP]), initial_params=initial)
    assert learning.newest().version == 0
    learning.run(broadcast)
    assert broadcast.versions == [0]
    assert broadcast.published[0].arrays.keys() == initial.keys()
    for name, array in broadcast.published[0].arrays.items():
        np.testing.assert_array_equal(array, initial[name])


def test_published_params_are_those_of_their_learner_step() -> None:
    """Without a bootstrap the target does not matter: version 8 is the same however often it is published."""
    published = []
    for interval in (4, 8):
        broadcast = Broadcaster()
        reader = EndlessReader(rows([1.0, 2.0]), rows_per_call=12)
        learning = learner(reader, observation_scaling="raw", target_sync_learner_steps=interval, max_learner_steps=11)
        learning.run(broadcast)
        published.append({params.version: params for params in broadcast.published})
    assert (sorted(published[0]), sorted(published[1])) == ([0, 4, 8], [0, 8])
    for name, array in published[0][8].arrays.items():
        np.testing.assert_array_equal(array, published[1][8].arrays[name])
        assert not np.array_equal(array, published[0][4].arrays[name])


def test_published_params_carry_the_environment_steps_of_the_newest_reply() -> None:
    broadcast = Broadcaster()
    replies = [sample_reply(rows([1.0] * 8), range(8), env_steps=env_steps) for env_steps in (30, 50)]
    learner(Reader([*replies, STOP]), target_sync_learner_steps=2).run(broadcast)
    assert [(params.version, params.env_steps) for params in broadcast.published] == [(0, 0), (2, 30), (4, 50)]


def test_absolute_td_errors_come_back_with_their_ids_and_once() -> None:
    """Q is 0 and hardly moves, there is no bootstrap: |TD error| = |reward|, two minibatches to a reply."""
    first, second = [40, 7, 13, 2, 99, 55, 21, 8], [3, 1, 4, 5]
    reader = Reader(
        [
            sample_reply(rows([-float(id_) for id_ in first]), first),
            NOTHING_YET,
            NOTHING_YET,
            sample_reply(rows([float(id_) for id_ in second]), second),
            STOP,
        ]
    )
    learning = learner(
        reader,
        hidden=(),
        initial_params=constant_arrays([0.0, 0.0], observation_size=1),
        learning_rate=1e-5,
        learning_rate_final=1e-5,
    )
    learning.run(Broadcaster())
    assert reader.errors == [
        {},
        {id_: pytest.approx(id_, abs=1e-3) for id_ in first},
        {},
        {},
        {id_: pytest.approx(id_, abs=1e-3) for id_ in second},
    ]
    assert learning.stats().learner_steps == 3


def test_stop_ends_the_run_without_another_step() -> None:
    learning = learner(Reader([sample_reply(rows([1.0] * 8), range(8)), STOP]))
    learning.run(Broadcaster())
    assert learning.stats().learner_steps == 2


def test_a_reply_without_rows_is_no_learner_step() -> None:
    learning = learner(Reader([NOTHING_YET, NOTHING_YET, STOP]))
    learning.run(Broadcaster())
    stats = learning.stats()
    assert (stats.learner_steps, stats.first_step_time) == (0, None)
    assert np.isnan([stats.loss, stats.mean_q, stats.q_spread, stats.silent_units, stats.mean_abs_td_error]).all()
    assert stats.trouble == ""


@pytest.mark.parametrize(("loss", "expected"), [("squared", 12.5), ("huber", 2.625)])
def test_the_loss_told_is_that_of_the_last_minibatch_of_a_reply(loss: str, expected: float) -> None:
    """Q and discount are 0, so the errors are the rewards. squared: (0 + 9 + 16 + 25) / 4; Huber with delta 1:
    (0 + 2.5 + 3.5 + 4.5) / 4.
    """
    learning = learner(
        Reader([sample_reply(rows([9.0, 9.0, 9.0, 9.0, 0.0, 3.0, 4.0, 5.0]), range(8)), STOP]),
        hidden=(),
        initial_params=constant_arrays([0.0, 0.0], observation_size=1),
        loss=loss,
        huber_delta=1.0,
        huber_delta_rise_learner_steps=10**9,
        learning_rate=1e-5,
        learning_rate_final=1e-5,
    )
    learning.run(Broadcaster())
    assert learning.stats().loss == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize(("rise", "expected"), [(300, -0.5), (10**9, -1 + 0.1 / 3)])
def test_values_end_at_the_mean_of_what_may_follow_once_hubers_delta_has_risen(rise: int, expected: float) -> None:
    """Of four games three are lost: -0.5 in the mean. With a delta of 0.1 all along 3 * (Q + 1) balances 0.1."""
    learning = learner(
        Reader([sample_reply(rows([1.0, -1.0, -1.0, -1.0]), range(4))] * 900),
        hidden=(),
        initial_params=constant_arrays([0.0, 0.0], observation_size=1),
        huber_delta=0.1,
        huber_delta_rise_learner_steps=rise,
        learning_rate=0.02,
        learning_rate_final=1e-4,
        target_sync_learner_steps=900,
        max_learner_steps=900,
    )
    learning.run(Broadcaster())
    q_values = QFunction(learning.newest().arrays)(np.ones((1, 1), dtype=np.float32))
    assert q_values[0, 0] == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 7])
def test_the_limit_of_learner_steps_holds_also_within_a_reply(limit: int) -> None:
    learning = learner(EndlessReader(rows([1.0]), rows_per_call=12), max_learner_steps=limit)
    learning.run(Broadcaster())
    assert learning.stats().learner_steps == limit


def decaying(replies: list[SampleReply]) -> Learner:
    """From 0.01 to 0.001 in 9 learner steps: 0.01, 0.009, ... 0.002, 0.001. A linear network, Q = 0 at first."""
    return learner(
        Reader(replies),
        hidden=(),
        initial_params=constant_arrays([0.0, 0.0], observation_size=1),
        learning_rate=0.01,
        learning_rate_final=0.001,
        learning_rate_decay_learner_steps=9,
    )


def test_the_learning_rate_falls_linearly_with_learner_steps_and_then_as_one_over_them() -> None:
    learning = decaying([sample_reply(rows([1.0] * 4), range(4)) for _ in range(19)])
    rates = []
    for _ in range(19):
        rates.append(learning.stats().learning_rate)
        learning.step()
    expected = [0.01, 0.009, 0.008, 0.007, 0.006, 0.005, 0.004, 0.003, 0.002, 0.001]
    assert rates[:10] == pytest.approx(expected)
    assert rates[18] == pytest.approx(0.0005)


def test_the_learning_rate_told_is_the_one_used() -> None:
    """Far from its target Huber's slope is constant, so each of Adam's steps is the learning rate.

    After 10 steps 0.055, and after 20 another 0.009 (1/10 + ... + 1/19).
    """
    broadcast = Broadcaster()
    initial = constant_arrays([0.0, 0.0], observation_size=1)
    learning = learner(
        EndlessReader(rows([1000.0]), rows_per_call=12),
        hidden=(),
        initial_params=initial,
        learning_rate=0.01,
        learning_rate_final=0.001,
        learning_rate_decay_learner_steps=9,
        target_sync_learner_steps=10,
        max_learner_steps=20,
    )
    learning.run(broadcast)
    biases = [params.arrays["0.bias"][0] for params in broadcast.published]
    assert biases == pytest.approx([0.0, 0.055, 0.055 + 0.009 * sum(1 / step for step in range(10, 20))], abs=1e-5)


@pytest.mark.parametrize("column", ["reward", "observation", "next_observation", "discount"])
@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_non_finite_data_stop_the_run_with_the_reason(column: str, value: float) -> None:
    bad = rows([1.0] * 4, discount=0.9)
    getattr(bad, column)[2] = value
    broadcast = Broadcaster()
    learning = learner(Reader([sample_reply(rows([1.0] * 4), range(4)), sample_reply(bad, range(4))]))
    with pytest.raises(NonFiniteError, match=rf"at learner step 1: .* non-finite values in: {column}; .*First bad row"):
        learning.run(broadcast)
    assert learning.stats().learner_steps == 1
    assert all(np.isfinite(array).all() for array in learning.newest().arrays.values())


def test_diverged_q_values_stop_the_run_and_blame_the_learning_rate() -> None:
    huge = constant_arrays([3e38, 3e38], observation_size=1)
    huge["0.weight"] += 3e38
    learning = learner(Reader([sample_reply(rows([1.0] * 4, discount=0.9), range(4))]), hidden=(), initial_params=huge)
    with pytest.raises(NonFiniteError, match=r"the transitions are finite, so the Q-values diverged.*learning-rate"):
        learning.run(Broadcaster())


def test_what_is_published_is_the_running_average_of_the_online_params() -> None:
    """Each of Adam's steps adds 0.01 to the bias: 0.01, 0.02, and so on; the average keeps a half of itself."""
    broadcast = Broadcaster()
    learning = learner(
        EndlessReader(rows([1000.0]), rows_per_call=12),
        hidden=(),
        initial_params=constant_arrays([0.0, 0.0], observation_size=1),
        learning_rate=0.01,
        learning_rate_final=0.01,
        params_average=0.5,
        target_sync_learner_steps=1,
        max_learner_steps=3,
    )
    learning.run(broadcast)
    biases = [params.arrays["0.bias"][0] for params in broadcast.published]
    assert biases == pytest.approx([0.0, 0.005, 0.0125, 0.02125], abs=1e-5)


def test_the_average_moves_in_proportion_to_the_learning_rate() -> None:
    """Rates 0.01, then 0.005: the average keeps 0.25 of itself, then 0.5 (half the power). Online Q: 0.01, 0.015."""
    broadcast = Broadcaster()
    learning = learner(
        EndlessReader(rows([1000.0]), rows_per_call=12),
        hidden=(),
        initial_params=constant_arrays([0.0, 0.0], observation_size=1),
        learning_rate=0.01,
        learning_rate_final=0.005,
        learning_rate_decay_learner_steps=1,
        params_average=0.25,
        target_sync_learner_steps=1,
        max_learner_steps=2,
    )
    learning.run(broadcast)
    biases = [params.arrays["0.bias"][0] for params in broadcast.published]
    assert biases == pytest.approx([0.0, 0.0075, 0.5 * 0.0075 + 0.5 * 0.015], abs=1e-5)


@pytest.mark.parametrize("bounded", [True, False])
def test_targets_stay_within_what_the_rewards_seen_can_add_up_to(bounded: bool) -> None:
    """Reward 1 at discount 0.5 is worth 2; the target network says 10, so without the bound the target is 1 + 5 = 6."""
    learning = learner(
        EndlessReader(rows([1.0], discount=0.5), rows_per_call=4),
        hidden=(),
        initial_params=constant_arrays([10.0, 0.0], observation_size=1),
        bounded_targets=bounded,
        max_learner_steps=1,
    )
    learning.run(Broadcaster())
    assert learning.stats().mean_abs_td_error == pytest.approx(8.0 if bounded else 4.0)


def test_the_target_network_stands_still_between_syncs() -> None:
    """One state, reward 1, discount 0.5, target Q = 4 throughout: the online Q goes to 1 + 0.5 * 4 = 3, not to 2."""
    learning = learner(
        EndlessReader(rows([1.0], discount=0.5), rows_per_call=12),
        hidden=(),
        initial_params=constant_arrays([4.0, 0.0], observation_size=1),
        double=False,
        bounded_targets=False,
        loss="squared",
        learning_rate=0.02,
        learning_rate_final=0.02,
        target_sync_learner_steps=300,
        max_learner_steps=300,
    )
    learning.run(Broadcaster())
    q_values = QFunction(learning.newest().arrays)(np.ones((1, 1), dtype=np.float32))
    assert q_values.tolist() == [pytest.approx([3.0, 0.0], abs=0.02)]


@pytest.mark.parametrize(
    ("margin", "decay", "clipped", "expected"),
    [(0.0, 10**9, True, 2.0), (0.25, 10**9, True, 2.375), (0.25, 150, True, 2.0), (0.25, 10**9, False, 2.0)],
)
def test_the_online_network_may_lead_the_target_network_at_first(
    margin: float, decay: int, clipped: bool, expected: float
) -> None:
    """One state, rewards 5 and -1, discount 0.5; the target network says 0 throughout. The mean size of a reward is 3,
    so led by a quarter of it the online Q goes to 2 + 0.5 * 0.75; without a lead, or once it is over, to 2.
    """
    learnt = learnt_while_the_target_says_0(
        [5.0, -1.0],
        clipped_double=clipped,
        clip_margin=margin,
        clip_margin_decay_learner_steps=decay,
        clip_fade_learner_steps=10**9,
    )
    assert learnt == pytest.approx(expected, abs=0.02)


def test_what_the_online_network_has_learnt_to_be_bad_counts_at_once() -> None:
    """As above with rewards of the other sign: Q = -2 + 0.5 * Q, though the target network says 0."""
    learnt = learnt_while_the_target_says_0([-5.0, 1.0], clip_margin=0.0, clip_fade_learner_steps=10**9)
    assert learnt == pytest.approx(-4.0, abs=0.02)


def test_clipped_double_fades_into_double_dqn() -> None:
    """As above, once it has faded: Q = -2 + 0.5 * 0, what the target network says."""
    learnt = learnt_while_the_target_says_0([-5.0, 1.0], clip_margin=0.0, clip_fade_learner_steps=150)
    assert learnt == pytest.approx(-2.0, abs=0.02)


def learnt_while_the_target_says_0(rewards: list[float], **settings: Any) -> float:
    """The Q-value of action 0 that these rewards lead to, after 600 learner steps without a sync."""
    learning = learner(
        Reader([sample_reply(rows(rewards * 2, discount=0.5), range(4))] * 600),
        hidden=(),
        initial_params=constant_arrays([0.0, -10.0], observation_size=1),
        loss="squared",
        learning_rate=0.02,
        learning_rate_final=0.02,
        target_sync_learner_steps=600,
        max_learner_steps=600,
        **settings,
    )
    learning.run(Broadcaster())
    q_values = QFunction(learning.newest().arrays)(np.ones((1, 1), dtype=np.float32))
    return float(q_values[0, 0])


def test_learning_repeats_with_its_seed() -> None:
    """Same seed and same rows give the same params; another seed starts elsewhere."""
    newest = []
    for seed in (1, 1, 2):
        learning = learner(EndlessReader(rows([1.0, 2.0]), rows_per_call=12), seed=seed, max_learner_steps=6)
        first = learning.newest()
        learning.run(Broadcaster())
        newest.append(first.arrays["0.weight"])
    np.testing.assert_array_equal(newest[0], newest[1])
    assert not np.array_equal(newest[0], newest[2])


def learned_in_another_currency(factor: float, return_scaling: str) -> list[float]:
    """Q-values of a state whose actions pay 1 and 2 for ever, divided by the factor that rewards are multiplied by."""
    both = Transition._make(
        np.concatenate(pair)
        for pair in zip(rows([factor], 0.5, action=0), rows([2 * factor], 0.5, action=1), strict=True)
    )
    learning = learner(
        EndlessReader(both, rows_per_call=12),
        return_scaling=return_scaling,
        target_sync_learner_steps=20,
        max_learner_steps=400,
    )
    broadcaster = Broadcaster()
    learning.run(broadcaster)
    q_values = QFunction(broadcaster.published[-1].arrays)(np.ones((1, 1), dtype=np.float32))[0]
    return [float(value) / factor for value in q_values]


@pytest.mark.parametrize("factor", [1e-3, 1e3])
def test_rewards_in_another_currency_are_learnt_alike(factor: float) -> None:
    assert learned_in_another_currency(factor, "running") == pytest.approx(
        learned_in_another_currency(1.0, "running"), rel=1e-3
    )
    assert learned_in_another_currency(1e3, "raw") != pytest.approx(learned_in_another_currency(1.0, "raw"), rel=0.1)


def told(initial_params: dict[str, NDArray[np.float32]] | None, learner_steps: int, **settings: object) -> LearnerStats:
    """After so many learner steps, each with a sync. Observations are spread over -1 to 1; reward 1, then the end."""
    observation = np.linspace(-1, 1, 64, dtype=np.float32)[:, None]
    data = rows([1.0] * 64)._replace(observation=observation, next_observation=observation)
    learning = learner(
        Reader([sample_reply(data, range(64))] * learner_steps),
        initial_params=initial_params,
        batch_size=64,
        target_sync_learner_steps=1,
        max_learner_steps=learner_steps,
        **settings,
    )
    learning.run(Broadcaster())
    return learning.stats()


def test_the_spread_of_q_is_that_of_greedy_values_over_observations() -> None:
    """Q = [2 x + 1, x - 5], so that the greedy one is 2 x + 1; x has a spread of 1 / sqrt(3)."""
    arrays = constant_arrays([1.0, -5.0], observation_size=1)
    arrays["0.weight"][:] = [[2.0], [1.0]]
    stats = told(arrays, 1, hidden=(), learning_rate=1e-5, learning_rate_final=1e-5)
    assert stats.q_spread == pytest.approx(2 / np.sqrt(3), rel=0.03)
    assert stats.mean_q == pytest.approx(1.0, abs=0.01)


def dead(hidden: tuple[int, ...]) -> dict[str, NDArray[np.float32]]:
    """Params whose last hidden layer is 0 for all observations."""
    arrays = random_arrays(layer_shapes(1, hidden, 2), seed=1)
    arrays[f"{2 * len(hidden) - 2}.bias"][:] = -100.0
    return arrays


@pytest.mark.parametrize("hidden", [(8,), (8, 8)])
def test_a_network_that_has_died_is_told_once_with_what_to_change(hidden: tuple[int, ...]) -> None:
    """Three syncs, and the text is that of the first."""
    stats = told(dead(hidden), 3, hidden=hidden, learning_rate=0.25)
    assert stats.silent_units == 1.0
    assert stats.q_spread == pytest.approx(0.0, abs=1e-6)
    assert stats.trouble == (
        "the network has died: at learner step 1 all units of a hidden layer are 0 for all observations, so that it "
        "tells none from another; start again with a --learning-rate below 0.25"
    )


def test_a_network_that_died_on_raw_observations_is_told_of_scaling_too() -> None:
    stats = told(dead((8,)), 1, observation_scaling="raw")
    assert stats.trouble.endswith("--learning-rate below 0.004, or with --observation-scaling running")


def test_a_learning_rate_that_kills_the_network_is_named() -> None:
    stats = told(None, 50, hidden=(8, 8), learning_rate=30.0)
    assert stats.silent_units == 1.0
    assert "start again with a --learning-rate below 30" in stats.trouble


def test_a_network_that_lives_is_in_no_trouble() -> None:
    stats = told(None, 50, hidden=(8, 8))
    assert stats.silent_units < 1.0
    assert stats.trouble == ""


def one_state_rows(truncation_is_termination: bool) -> Transition:
    """40 episodes of 5 steps, random actions, gamma 0.9, one step; action 0 pays 1 and action 1 nothing."""
    rng = np.random.default_rng(3)
    accumulator = NStepAccumulator(1, gamma=0.9, num_envs=1, observation_size=1)
    state = np.ones((1, 1), dtype=np.float32)
    parts: list[Transition] = []
    for _ in range(40):
        for t in range(5):
            action = rng.integers(2, size=1)
            cut = t == 4
            step = one_environment_step(
                [1.0],
                reward=float(action[0] == 0),
                terminated=cut and truncation_is_termination,
                truncated=cut and not truncation_is_termination,
            )
            parts.append(accumulator.add(state, action, step))
        parts.append(accumulator.add(state, np.zeros(1, dtype=np.int64), one_environment_step([1.0], valid=False)))
    return Transition._make(np.concatenate(column) for column in zip(*parts, strict=True))


def learned_q_values(data: Transition) -> list[float]:
    assert len(data.action) == 200
    learning = learner(
        EndlessReader(data, rows_per_call=320),
        hidden=(16,),
        batch_size=32,
        learning_rate=0.01,
        learning_rate_final=0.0001,
        learning_rate_decay_learner_steps=3000,
        target_sync_learner_steps=30,
        max_learner_steps=3000,
    )
    broadcast = Broadcaster()
    learning.run(broadcast)
    assert broadcast.versions[-1] == 3000
    return QFunction(broadcast.published[-1].arrays)(np.ones((1, 1), dtype=np.float32))[0].tolist()


def test_truncation_keeps_the_bootstrap_in_the_one_state_mdp() -> None:
    """The values of playing on for ever: Q = 1 / (1 - 0.9) = 10 and 0.9 * 10 = 9."""
    assert learned_q_values(one_state_rows(truncation_is_termination=False)) == pytest.approx([10.0, 9.0], abs=0.1)


def test_truncation_taken_as_termination_misses_the_values_of_the_one_state_mdp() -> None:
    """One step in five has no bootstrap. Under Huber Q rests where 0.8 * (1 - 0.1 Q) = 0.2 * 1, at 7.5 or so."""
    q_values = learned_q_values(one_state_rows(truncation_is_termination=True))
    assert q_values != pytest.approx([10.0, 9.0], abs=0.1)
    assert max(q_values) < 8.5


NEEDS_A_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that torch sees")
NEEDS_NO_GPU = pytest.mark.skipif(torch.cuda.is_available(), reason="needs a torch that sees no GPU")


@contextlib.contextmanager
def on_device(device: torch.device) -> Iterator[None]:
    """Where it may be used: the pretended one is there while its context lasts."""
    with pretend_device.pretended() if device == pretend_device.DEVICE else contextlib.nullcontext():
        yield


def published(device: torch.device, network: NetworkConfig, **config: object) -> list[Params]:
    """Of 40 learner steps with a sync every 7, three minibatches to a reply."""
    broadcast = Broadcaster()
    learning = Learner(
        LearnerConfig(batch_size=4, target_sync_learner_steps=7, max_learner_steps=40, **config),
        network,
        environment_spec(observation_size=1, action_count=2, low=(-2.0,), high=(2.0,)),
        np.random.SeedSequence(1),
        EndlessReader(rows([1.0, -2.0, 5.0], discount=0.9, observation=0.5), rows_per_call=12),
        device=device,
    )
    learning.run(broadcast)
    broadcast.check_untouched()
    return broadcast.published


@pytest.mark.parametrize(
    "device", [pretend_device.DEVICE, pytest.param(torch.device("cuda"), marks=NEEDS_A_GPU)], ids=str
)
@pytest.mark.parametrize(
    ("network", "config"),
    [
        (NetworkConfig(hidden=(8, 8)), {}),
        (NetworkConfig(hidden=(8,), dueling=True, observation_scaling="bounds"), {"loss": "squared"}),
        (NetworkConfig(hidden=()), {"double": False, "bounded_targets": False}),
        (NetworkConfig(hidden=(8,)), {"clipped_double": False}),
    ],
)
def test_a_learner_on_another_device_publishes_the_same_params_as_numpy(
    device: torch.device, network: NetworkConfig, config: dict[str, object]
) -> None:
    wanted = published(torch.device("cpu"), network, **config)
    with on_device(device):
        got = published(device, network, **config)
    assert [params.version for params in got] == [params.version for params in wanted]
    tolerance = 0.0 if device == pretend_device.DEVICE else 1e-4
    for ours, theirs in zip(got, wanted, strict=True):
        for name, array in ours.arrays.items():
            assert type(array) is np.ndarray
            np.testing.assert_allclose(array, theirs.arrays[name], rtol=0, atol=tolerance)


@pytest.mark.parametrize("observation_scaling", ["running", "raw"])
def test_rows_cross_to_the_device_once_for_each_reply_and_td_errors_back_once_for_each_learner_step(
    observation_scaling: str,
) -> None:
    """Five columns and five minibatches to a reply, no syncs; the first reply also sets the scale."""
    with pretend_device.pretended() as crossings:
        learning = learner(
            EndlessReader(rows([1.0, 2.0]), rows_per_call=20),
            device=pretend_device.DEVICE,
            observation_scaling=observation_scaling,
        )
        learning.step()
        after_the_first = (crossings.to_device, crossings.to_cpu)
        learning.step()
        learning.step()
        learning.step()
        assert (crossings.to_device, crossings.to_cpu) == (after_the_first[0] + 3 * 5, after_the_first[1] + 15)


def test_non_finite_rows_stop_a_learner_on_another_device_before_their_learner_step() -> None:
    bad = rows([1.0] * 8, discount=0.9)
    bad.observation[6] = np.nan
    with pretend_device.pretended():
        learning = learner(Reader([sample_reply(bad, range(8))]), device=pretend_device.DEVICE)
        with pytest.raises(NonFiniteError, match=r"at learner step 1: .* non-finite values in: observation; .*First"):
            learning.run(Broadcaster())
    assert learning.stats().learner_steps == 1


def learner_process(gpus: float) -> LearnerProcess:
    return LearnerProcess(
        LearnerConfig(),
        NetworkConfig(hidden=(8,)),
        environment_spec(observation_size=1, action_count=2),
        np.random.SeedSequence(1),
        Reader([]),
        gpus=gpus,
    )


@NEEDS_NO_GPU
def test_a_gpu_that_torch_cannot_use_is_an_error_that_says_why() -> None:
    with pytest.raises(
        BadInput, match=r"^--learner-gpus 0\.5: the learner's node has a GPU, but torch .* there .*CPU$"
    ):
        learner_process(gpus=0.5)
    assert learner_process(gpus=0).newest().version == 0


@NEEDS_A_GPU
def test_a_learner_that_was_given_a_gpu_uses_it() -> None:
    before = torch.cuda.memory_allocated()
    process = learner_process(gpus=1)
    assert torch.cuda.memory_allocated() > before
    assert process.newest().version == 0


@pytest.mark.parametrize("threads", [2, 1])
def test_the_learners_process_computes_on_as_many_threads_as_set(threads: int) -> None:
    process = LearnerProcess(
        LearnerConfig(learner_threads=threads),
        NetworkConfig(hidden=(8,)),
        environment_spec(observation_size=1, action_count=2),
        np.random.SeedSequence(1),
        Reader([]),
    )
    assert process.stats().torch_threads == threads
