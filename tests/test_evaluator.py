"""Looks and confirmations on environments whose returns are known."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from fakes import WAIT_SECONDS, constant_arrays, forced_params
from numpy.typing import NDArray

from actors.evaluator import EPISODES_PER_LOOK, Evaluator
from actors.greedy import Played, StepLimit, greedy_returns
from actors.policy import QFunction
from common.environment import Step, VectorEnvironment
from common.params import layer_shapes
from common.types import Look, Params

OBSERVATION_SIZE = 1
SHAPES = layer_shapes(OBSERVATION_SIZE, (), 2)
GOOD_ACTION = 1  # the fake environments pay for this one alone


class FakeEnvironments:
    """Environment e's first episode lasts `lengths[e]` steps and returns what the script says; later ones pay 1,000.

    Checks that it is reset before it is stepped and what it is stepped with. Pays for GOOD_ACTION alone, and 99 on a
    reset step, which nobody may count.
    """

    def __init__(
        self,
        script: Sequence[NDArray[np.float64]],
        lengths: Sequence[int],
        same_step_reset: bool = False,
        at_reset: Callable[[], None] = lambda: None,
        at_step: Callable[[], None] = lambda: None,
    ) -> None:
        self.num_envs = len(lengths)
        self.observation = np.zeros((self.num_envs, OBSERVATION_SIZE), dtype=np.float32)
        self.seeds: list[int] = []
        self._script = list(script)
        self._lengths = np.array(lengths)
        self._same_step_reset = same_step_reset
        self._at_reset = at_reset
        self._at_step = at_step

    def reset(self, seeds: np.random.SeedSequence) -> None:
        assert isinstance(seeds.entropy, int)
        self.seeds.append(seeds.entropy)
        self._returns = self._script.pop(0) if len(self._script) > 1 else self._script[0]
        assert self._returns.shape == (self.num_envs,)
        self._t = np.zeros(self.num_envs, dtype=np.int64)
        self._episode = np.zeros(self.num_envs, dtype=np.int64)
        self._needs_reset = np.zeros(self.num_envs, dtype=np.bool_)
        self._at_reset()

    def step(self, action: NDArray[np.int64]) -> Step:
        assert action.shape == (self.num_envs,)
        assert np.isin(action, [0, 1]).all()
        self._at_step()
        valid = ~self._needs_reset
        self._t = np.where(valid, self._t + 1, 0)
        ended = valid & (self._t == self._lengths)
        paid = np.where(self._episode == 0, self._returns / self._lengths, 1000.0)
        reward = np.where(valid, np.where(action == GOOD_ACTION, paid, 0.0), 99.0)
        self._episode += ended
        if self._same_step_reset:
            self._t[ended] = 0
        else:
            self._needs_reset = ended
        return Step(
            next_observation=self.observation,
            reward=reward,
            terminated=ended & (np.arange(self.num_envs) % 2 == 0),
            truncated=ended & (np.arange(self.num_envs) % 2 == 1),
            valid=valid,
        )


def everyone(value: float) -> NDArray[np.float64]:
    """100 episodes of the same return."""
    return np.full(100, value, dtype=np.float64)


def half_and_half(low: float, high: float) -> NDArray[np.float64]:
    """50 episodes of each."""
    return np.repeat([low, high], 50).astype(np.float64)


def good(version: int) -> Params:
    """Params that always take the action that is paid for."""
    return forced_params(version, GOOD_ACTION, OBSERVATION_SIZE)


def evaluator(
    *script: NDArray[np.float64],
    solved_return: float | None = 475.0,
    seed: int = 1,
    interval: int = 100,
    reply_seconds: float = 1.0,
) -> Evaluator:
    """On environments of two steps that return the first of the script in the first look, and so on."""
    return Evaluator(
        lambda episodes: FakeEnvironments(script, [2] * episodes), SHAPES, np.random.SeedSequence(seed), interval,
        solved_return, reply_seconds=reply_seconds,
    )  # fmt: skip


def played_greedily(environments: FakeEnvironments, seed: int = 5) -> Played:
    """By params that are good, without a time limit."""
    played = greedy_returns(QFunction(good(1).arrays), environments, seed, StepLimit(None))
    assert played is not None
    return played


def looks_after(evaluating: Evaluator, *versions: int) -> list[Look]:
    for version in versions:
        evaluating.evaluate(good(version))
    return evaluating.next_looks(0).looks


def kinds(looks: list[Look]) -> list[tuple[int, bool, bool]]:
    """(version, confirmation, solved)."""
    return [(look.version, look.confirmation, look.solved) for look in looks]


def test_a_look_has_100_episodes() -> None:
    assert EPISODES_PER_LOOK == 100
    (look,) = looks_after(evaluator(everyone(3)), 100)
    assert look.returns.tolist() == [3.0] * 100


def test_a_candidate_that_is_confirmed_solves() -> None:
    """The mean is the threshold exactly and the standard deviation 0: enough."""
    evaluating = evaluator(everyone(475), everyone(475))
    evaluating.evaluate(good(100))
    reply = evaluating.next_looks(0)
    assert kinds(reply.looks) == [(100, False, False), (100, True, True)]
    assert [(look.mean, look.std, look.interval_low, look.interval_high) for look in reply.looks] == [
        (475.0, 0.0, 475.0, 475.0)
    ] * 2
    assert reply.confirmed is not None
    assert reply.confirmed.version == 100


def test_a_mean_below_the_threshold_is_no_candidate() -> None:
    evaluating = evaluator(half_and_half(474, 475.9))
    evaluating.evaluate(good(100))
    reply = evaluating.next_looks(0)
    assert kinds(reply.looks) == [(100, False, False)]
    assert reply.confirmed is None


def test_a_lucky_candidate_is_not_confirmed_by_its_mean_alone() -> None:
    """Confirmation 476 on average, but the lower end of the interval is 476 - 1.984 * 24.12 / 10 = 471.2."""
    evaluating = evaluator(everyone(500), half_and_half(452, 500))
    evaluating.evaluate(good(100))
    reply = evaluating.next_looks(0)
    assert kinds(reply.looks) == [(100, False, False), (100, True, False)]
    assert reply.looks[1].mean == 476
    assert reply.looks[1].std == pytest.approx(24.12, abs=0.01)
    assert reply.looks[1].interval_low == pytest.approx(471.21, abs=0.01)
    assert reply.looks[1].interval_high == pytest.approx(480.79, abs=0.01)
    assert reply.confirmed is None


def test_a_spread_that_stays_above_the_threshold_is_confirmed() -> None:
    """490 and 510: lower end 500 - 1.984 * 10.05 / 10 = 498.0."""
    looks = looks_after(evaluator(everyone(500), half_and_half(490, 510)), 100)
    assert kinds(looks) == [(100, False, False), (100, True, True)]
    assert looks[1].interval_low == pytest.approx(498.01, abs=0.01)


def test_after_a_failed_confirmation_the_next_candidate_has_its_chance() -> None:
    looks = looks_after(evaluator(everyone(500), everyone(100), everyone(400), everyone(500)), 100, 200, 300)
    assert kinds(looks) == [
        (100, False, False), (100, True, False), (200, False, False), (300, False, False), (300, True, True),
    ]  # fmt: skip


def test_a_run_is_confirmed_once() -> None:
    evaluating = evaluator(everyone(500))
    looks = looks_after(evaluating, 100, 200)
    assert kinds(looks) == [(100, False, False), (100, True, True), (200, False, False)]
    assert evaluating.next_looks(1).confirmed is not None
    assert evaluating.next_looks(2).confirmed is None  # that look confirmed nothing
    assert kinds(evaluating.next_looks(2).looks) == [(200, False, False)]


def test_looks_that_the_driver_has_are_forgotten_and_others_come_again() -> None:
    evaluating = evaluator(everyone(500))
    looks_after(evaluating, 100, 200)
    assert len(evaluating.next_looks(1).looks) == len(evaluating.next_looks(1).looks) == 2
    assert kinds(evaluating.next_looks(0).looks) == [(100, True, True), (200, False, False)]


def test_without_a_threshold_nothing_is_ever_solved() -> None:
    evaluating = evaluator(everyone(1e9), solved_return=None)
    looks = looks_after(evaluating, 100, 200)
    assert kinds(looks) == [(100, False, False), (200, False, False)]
    assert evaluating.next_looks(0).confirmed is None


@pytest.mark.parametrize("threshold", [0.0, -100.0])
def test_a_threshold_of_0_or_less_is_one(threshold: float) -> None:
    assert kinds(looks_after(evaluator(everyone(threshold), solved_return=threshold), 100)) == [
        (100, False, False),
        (100, True, True),
    ]
    assert kinds(looks_after(evaluator(everyone(threshold - 1), solved_return=threshold), 100)) == [(100, False, False)]


def test_a_look_tells_version_environment_steps_and_seed() -> None:
    environments = FakeEnvironments([everyone(1)], [2] * 100)
    evaluating = Evaluator(lambda episodes: environments, SHAPES, np.random.SeedSequence(1), 100, None)
    evaluating.evaluate(good(300)._replace(env_steps=1234))
    (look,) = evaluating.next_looks(0).looks
    assert (look.version, look.env_steps, look.confirmation) == (300, 1234, False)
    assert environments.seeds == [look.seed]


def test_no_seed_occurs_in_two_looks() -> None:
    looks = looks_after(evaluator(everyone(500)), *range(100, 2100, 100))
    assert len(looks) == 21
    assert len({look.seed for look in looks}) == 21


def test_the_seeds_of_the_looks_come_from_the_evaluators_stream() -> None:
    first, again, other = (
        [look.seed for look in looks_after(evaluator(everyone(1), seed=seed), 100, 200, 300)] for seed in (1, 1, 2)
    )
    assert first == again
    assert set(first).isdisjoint(other)


def test_the_policy_is_greedy() -> None:
    """The better action by a hair is always taken; the other earns nothing."""
    evaluating = evaluator(everyone(500))
    arrays = constant_arrays([1.0, 1.0001], OBSERVATION_SIZE)
    evaluating.evaluate(Params(version=100, env_steps=0, arrays=arrays))
    evaluating.evaluate(forced_params(200, 1 - GOOD_ACTION, OBSERVATION_SIZE))
    looks = evaluating.next_looks(0).looks
    assert [(look.version, look.mean) for look in looks] == [(100, 500.0), (100, 500.0), (200, 0.0)]


@pytest.mark.parametrize("same_step_reset", [False, True])
def test_each_environment_counts_its_first_episode_alone(same_step_reset: bool) -> None:
    """The first is through with four episodes and the second with two when the third ends its first."""
    environments = FakeEnvironments([np.array([1.0, 6.0, 30.0])], [1, 3, 10], same_step_reset)
    played = played_greedily(environments)
    assert played.returns.tolist() == pytest.approx([1.0, 6.0, 30.0])
    assert (played.unended, played.longest_env_steps) == (0, 10)
    assert environments.seeds == [5]


def test_environments_can_be_used_for_another_look_in_the_middle_of_an_episode() -> None:
    environments = FakeEnvironments([np.array([1.0, 6.0]), np.array([2.0, 8.0])], [2, 3])
    both = [played_greedily(environments, seed=seed) for seed in (5, 6)]
    assert [played.returns.tolist() for played in both] == [pytest.approx([1.0, 6.0]), pytest.approx([2.0, 8.0])]


def test_greedy_episodes_end_without_a_result_when_stopped() -> None:
    steps: list[int] = []
    environments = FakeEnvironments([np.array([1.0])], [1000], at_step=lambda: steps.append(1))
    q_function = QFunction(good(1).arrays)
    played = greedy_returns(q_function, environments, 5, StepLimit(None), stopped=lambda: len(steps) == 3)
    assert played is None
    assert len(steps) == 3


def test_params_of_another_shape_are_refused_with_both_shapes() -> None:
    evaluating = evaluator(everyone(1))
    wide = Params(version=1, env_steps=0, arrays=constant_arrays([0, 1], OBSERVATION_SIZE, hidden=(8,)))
    with pytest.raises(ValueError, match="params have the arrays 1-8-2, but this run needs 1-2"):
        evaluating.set_params(wide)
    assert evaluating.newest() is None


def test_the_newest_params_are_kept_as_copies_and_older_ones_ignored() -> None:
    evaluating = evaluator(everyone(1))
    params = good(200)
    evaluating.set_params(params)
    evaluating.set_params(good(100))
    for array in params.arrays.values():
        array.fill(7)
    newest = evaluating.newest()
    assert newest is not None
    assert newest.version == 200
    assert newest.arrays["0.bias"].tolist() == [0.0, 1.0]


class Running:
    """`run` in a thread; each look, once it has begun, waits until it is let go."""

    def __init__(self, interval: int = 100, solved_return: float | None = None, value: float = 1.0) -> None:
        self.began = threading.Semaphore(0)  # a look
        self._go = threading.Semaphore(0)
        self.evaluator = Evaluator(self._make, SHAPES, np.random.SeedSequence(1), interval, solved_return=solved_return)
        self.looks: list[Look] = []  # as the driver has them
        self.confirmed: Params | None = None
        self._value = value
        self._thread = threading.Thread(target=self.evaluator.run, daemon=True)
        self._thread.start()

    def _make(self, episodes: int) -> FakeEnvironments:
        def at_reset() -> None:
            self.began.release()
            assert self._go.acquire(timeout=WAIT_SECONDS)

        return FakeEnvironments([everyone(self._value)], [2] * episodes, at_reset=at_reset)

    def wait_until_a_look_began(self) -> None:
        assert self.began.acquire(timeout=WAIT_SECONDS)

    def let_it_go(self) -> None:
        self._go.release()

    def versions(self, count: int) -> list[int]:
        """The versions of the first `count` looks, once there are so many."""
        for _ in range(int(WAIT_SECONDS)):
            reply = self.evaluator.next_looks(len(self.looks))
            self.looks += reply.looks
            self.confirmed = reply.confirmed or self.confirmed
            if len(self.looks) >= count:
                break
        return [look.version for look in self.looks]

    def assert_ended(self) -> None:
        self._thread.join(WAIT_SECONDS)
        assert not self._thread.is_alive()


def test_there_is_at_most_one_look_in_an_interval_and_it_takes_the_newest_version() -> None:
    running = Running(interval=100)
    for version in (0, 50, 100):
        running.evaluator.set_params(good(version))
    running.wait_until_a_look_began()
    for version in (200, 300, 310):  # meanwhile
        running.evaluator.set_params(good(version))
    running.let_it_go()
    running.wait_until_a_look_began()
    running.let_it_go()
    assert running.versions(2) == [100, 310]
    for version in (320, 399):  # the interval of 310
        running.evaluator.set_params(good(version))
    assert running.evaluator.next_looks(2).looks == []
    assert not running.began.acquire(blocking=False)
    running.evaluator.set_params(good(400))
    running.wait_until_a_look_began()
    running.let_it_go()
    assert running.versions(3) == [100, 310, 400]
    running.evaluator.stop(final_look=False)
    running.assert_ended()


def test_a_candidate_is_confirmed_by_the_version_that_was_looked_at() -> None:
    running = Running(solved_return=475.0, value=500.0)
    running.evaluator.set_params(good(100))
    running.wait_until_a_look_began()
    running.evaluator.set_params(good(200))
    for _ in range(2):
        running.let_it_go()
    assert running.versions(2) == [100, 100]
    assert running.confirmed is not None
    assert running.confirmed.version == 100
    running.evaluator.stop(final_look=False)
    running.let_it_go()
    running.assert_ended()


def test_stop_ends_the_run_while_it_waits() -> None:
    running = Running()
    running.evaluator.stop(final_look=False)
    running.assert_ended()


def test_stop_ends_the_run_in_the_middle_of_a_look_which_then_does_not_count() -> None:
    running = Running()
    running.evaluator.set_params(good(100))
    running.wait_until_a_look_began()
    running.evaluator.stop(final_look=False)
    running.let_it_go()
    running.assert_ended()
    assert running.evaluator.next_looks(0).looks == []


def test_stop_with_a_final_look_looks_at_the_newest_params_before_the_end() -> None:
    running = Running()
    running.evaluator.set_params(good(100))
    running.wait_until_a_look_began()
    running.evaluator.set_params(good(110))
    running.evaluator.stop(final_look=True)
    for _ in range(2):
        running.let_it_go()
    running.assert_ended()
    assert running.versions(1) == [110]


def test_the_final_look_does_not_repeat_one_that_there_was() -> None:
    running = Running()
    running.evaluator.set_params(good(100))
    running.wait_until_a_look_began()
    running.let_it_go()
    assert running.versions(1) == [100]
    running.evaluator.stop(final_look=True)
    running.assert_ended()
    assert running.versions(1) == [100]


def test_a_look_takes_no_more_steps_than_the_longest_episode() -> None:
    steps: list[int] = []
    environments = FakeEnvironments([np.array([1.0, 1.0])], [2, 5], at_step=lambda: steps.append(1))
    played_greedily(environments)
    assert len(steps) == 5


def test_without_a_time_limit_a_greedy_episode_may_take_20_times_the_longest_that_ended_but_at_least_1000_steps() -> (
    None
):
    limit = StepLimit(None)
    assert limit.env_steps == 1_000
    for length, expected in [(50, 1_000), (51, 1_020), (40, 1_020), (300, 6_000)]:
        limit.ended_after(length)
        assert limit.env_steps == expected


@pytest.mark.parametrize(
    ("time_limit", "longest", "expected"),
    [
        (500, 0, 1_000),
        (50, 0, 100),
        (27_000, 10, 54_000),  # a good policy may use it up, though no training episode has come near it
        (1_000_000_000, 10, 100_000),  # none in truth
        (1_000_000_000, 7_000, 140_000),
        (-1, 0, 1_000),  # how Gymnasium writes none
        (None, 0, 1_000),
    ],
)
def test_a_time_limit_of_the_environment_ends_episodes_before_ours_unless_it_is_none_in_truth(
    time_limit: int | None, longest: int, expected: int
) -> None:
    assert StepLimit(time_limit, longest).env_steps == expected


def test_an_episode_that_does_not_end_counts_with_what_it_reached_and_as_unended() -> None:
    environments = FakeEnvironments([np.array([7.0, 1_000_000.0, 3.0])], [70, 1_000_000, 20])
    played = played_greedily(environments)
    assert played.returns.tolist() == pytest.approx([7.0, 1400.0, 3.0])
    assert (played.unended, played.longest_env_steps) == (1, 1400)  # 20 times the 70 of the first


def test_a_look_and_a_confirmation_at_episodes_that_do_not_end_come_with_what_was_reached() -> None:
    """A million steps each, a point a step: 1,000 are the most, which is the threshold."""
    evaluating = Evaluator(
        lambda episodes: FakeEnvironments([np.full(episodes, 1e6)], [1_000_000] * episodes), SHAPES,
        np.random.SeedSequence(1), 100, 999.0,
    )  # fmt: skip
    looks = looks_after(evaluating, 100)
    assert kinds(looks) == [(100, False, False), (100, True, True)]
    assert [(look.mean, look.unended, look.longest_env_steps) for look in looks] == [
        (pytest.approx(1000.0), 100, 1_000)
    ] * 2


def test_looks_are_as_long_as_training_episodes_ask_for() -> None:
    evaluating = Evaluator(
        lambda episodes: FakeEnvironments([np.full(episodes, 1500.0)], [1500] * episodes), SHAPES,
        np.random.SeedSequence(1), 100, None,
    )  # fmt: skip
    evaluating.evaluate(good(100))
    assert set(evaluating.report(longest_training_episode=80).seconds) == {"looking", "waiting"}
    evaluating.evaluate(good(200))
    evaluating.report(longest_training_episode=60)  # of an older answer; what was longer stays
    looks = looks_after(evaluating, 300)
    assert [(look.unended, look.longest_env_steps) for look in looks] == [(100, 1_000), (0, 1500), (0, 1500)]


def test_the_time_limit_of_the_environment_is_let_run() -> None:
    evaluating = Evaluator(
        lambda episodes: FakeEnvironments([np.full(episodes, 1500.0)], [1500] * episodes), SHAPES,
        np.random.SeedSequence(1), 100, None, time_limit=1500,
    )  # fmt: skip
    assert [look.unended for look in looks_after(evaluating, 100)] == [0]


def test_a_real_environment_whose_greedy_policy_walks_into_a_wall_is_looked_at_too() -> None:
    """It starts 24 cells from the end, and action 0 leads away from it."""
    environments = VectorEnvironment("environments:Corridor-v0", 4)
    away = QFunction(constant_arrays([1.0, 0.0], observation_size=25))
    towards = QFunction(constant_arrays([0.0, 1.0], observation_size=25))
    stuck = greedy_returns(away, environments, 5, StepLimit(None))
    assert stuck is not None
    assert (stuck.returns.tolist(), stuck.unended) == ([-1000.0] * 4, 4)
    through = greedy_returns(towards, environments, 5, StepLimit(None))
    assert through is not None
    assert (through.returns.tolist(), through.unended) == ([-24.0] * 4, 0)
    environments.close()


def test_a_question_for_looks_is_answered_at_once_when_the_run_has_ended() -> None:
    """Otherwise every end of a run would wait for as long as a question may take."""
    evaluating = evaluator(reply_seconds=2 * WAIT_SECONDS)
    evaluating.stop(final_look=False)
    evaluating.run()
    answer: list[int] = []
    asking = threading.Thread(target=lambda: answer.append(len(evaluating.next_looks(0).looks)))
    asking.start()
    asking.join(WAIT_SECONDS)
    assert answer == [0]
