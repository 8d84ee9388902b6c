"""Looks and confirmations on environments whose returns are known."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from fakes import WAIT_SECONDS, constant_arrays, forced_params
from numpy.typing import NDArray

from actors.evaluator import Evaluator, LooksReply
from actors.greedy import Played, StepLimit, greedy_episodes
from actors.pace import Pace
from actors.policy import QFunction
from common.config import EvaluatorConfig
from common.environment import Step, VectorEnvironment
from common.params import layer_shapes
from common.types import Kept, Look, Params

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

    def close(self) -> None:
        raise AssertionError("whoever made them closes them")

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


class FakeCopies:
    """As many copies as there are episodes, of environments that exist already or are made by `make`."""

    note: str | None = None

    def __init__(self, make: Callable[[int], FakeEnvironments], step_seconds: float = 0.0) -> None:
        self.step_seconds = 0.0
        self._make = make
        self._measured_seconds = step_seconds
        self._environments: FakeEnvironments | None = None

    def measure(self) -> None:
        self.step_seconds = self._measured_seconds

    def for_episodes(self, episodes: int) -> FakeEnvironments:
        if self._environments is None or self._environments.num_envs != episodes:
            self._environments = self._make(episodes)
        return self._environments


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
    """On environments of two steps that return the first of the script in the first 100 episodes, and so on."""
    return on_environments(
        lambda episodes: FakeEnvironments(script, [2] * episodes), solved_return, seed=seed, interval=interval,
        reply_seconds=reply_seconds,
    )  # fmt: skip


def on_environments(
    make: Callable[[int], FakeEnvironments],
    solved_return: float | None,
    *,
    seed: int = 1,
    interval: int = 100,
    reply_seconds: float = 1.0,
    time_limit: int | None = None,
) -> Evaluator:
    config = EvaluatorConfig(evaluation_interval_learner_steps=interval)
    seeds = np.random.SeedSequence(seed)
    return Evaluator(config, FakeCopies(make), SHAPES, seeds, solved_return, time_limit, reply_seconds)


def played_greedily(environments: FakeEnvironments, seed: int = 5) -> Played:
    """By params that are good, without a time limit."""
    q_function = QFunction(good(1).arrays)
    played = greedy_episodes(q_function, environments, environments.num_envs, seed, StepLimit(None))
    assert played is not None
    return played


def looks_after(evaluating: Evaluator, *versions: int) -> list[Look]:
    for version in versions:
        evaluating.evaluate(good(version))
    return evaluating.next_looks(0).looks


def saved_as_confirmed(reply: LooksReply) -> bool:
    return reply.kept is not None and reply.kept.confirmed


def kinds(looks: list[Look]) -> list[tuple[int, bool, bool]]:
    """(version, confirmation, solved)."""
    return [(look.version, look.kind == "confirmation", look.solved) for look in looks]


def test_a_look_has_100_episodes_unless_somebody_says_otherwise() -> None:
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
    assert reply.kept is not None
    assert reply.kept.confirmed
    assert reply.kept.params.version == 100


def test_a_mean_below_the_threshold_is_no_candidate() -> None:
    evaluating = evaluator(half_and_half(474, 475.9))
    evaluating.evaluate(good(100))
    reply = evaluating.next_looks(0)
    assert kinds(reply.looks) == [(100, False, False)]
    assert not saved_as_confirmed(reply)


def test_a_lucky_candidate_is_not_confirmed_by_its_mean_alone() -> None:
    """Each 100 further episodes have a mean of 476 and a spread of 24: after 1,000 that is not certain enough."""
    evaluating = evaluator(everyone(500), half_and_half(452, 500))
    evaluating.evaluate(good(100))
    reply = evaluating.next_looks(0)
    assert kinds(reply.looks) == [(100, False, False), (100, True, False)]
    confirmation = reply.looks[1]
    assert (confirmation.mean, len(confirmation.returns)) == (476.0, 1000)
    assert confirmation.interval_low < 475 < confirmation.interval_high
    assert confirmation.confidence > 0.95
    assert not saved_as_confirmed(reply)


def test_a_spread_that_stays_above_the_threshold_is_confirmed_in_the_first_round() -> None:
    looks = looks_after(evaluator(half_and_half(490, 510)), 100)
    assert kinds(looks) == [(100, False, False), (100, True, True)]
    assert len(looks[1].returns) == 100
    assert 475 < looks[1].interval_low < 500 < looks[1].interval_high


def test_after_a_failed_confirmation_the_next_candidate_has_its_chance() -> None:
    looks = looks_after(evaluator(everyone(500), everyone(100), everyone(400), everyone(500)), 100, 200, 300)
    assert kinds(looks) == [
        (100, False, False), (100, True, False), (200, False, False), (300, False, False), (300, True, True),
    ]  # fmt: skip


def test_a_run_is_confirmed_once() -> None:
    evaluating = evaluator(everyone(500))
    looks = looks_after(evaluating, 100, 200)
    assert kinds(looks) == [(100, False, False), (100, True, True), (200, False, False)]
    assert saved_as_confirmed(evaluating.next_looks(1))
    assert evaluating.next_looks(2).kept is None  # that look changed nothing
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
    assert not saved_as_confirmed(evaluating.next_looks(0))


@pytest.mark.parametrize("threshold", [0.0, -100.0])
def test_a_threshold_of_0_or_less_is_one(threshold: float) -> None:
    assert kinds(looks_after(evaluator(everyone(threshold), solved_return=threshold), 100)) == [
        (100, False, False),
        (100, True, True),
    ]
    assert kinds(looks_after(evaluator(everyone(threshold - 1), solved_return=threshold), 100)) == [(100, False, False)]


def test_a_look_tells_version_environment_steps_and_seed() -> None:
    environments = FakeEnvironments([everyone(1)], [2] * 100)
    evaluating = on_environments(lambda episodes: environments, None)
    evaluating.evaluate(good(300)._replace(env_steps=1234))
    (look,) = evaluating.next_looks(0).looks
    assert (look.version, look.env_steps, look.kind) == (300, 1234, "look")
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


def test_fewer_copies_than_episodes_play_them_in_turns_and_count_every_one() -> None:
    """Seven episodes on three copies: the third turn plays one; the other copies' episodes in it do not count."""
    script = [np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0, 6.0]), np.array([7.0, 8.0, 9.0])]
    environments = FakeEnvironments(script, [1, 30, 4])
    told: list[tuple[int, int]] = []
    played = greedy_episodes(
        QFunction(good(1).arrays), environments, 7, 5, StepLimit(None), told=lambda *news: told.append(news)
    )
    assert played is not None
    assert played.returns.tolist() == pytest.approx([1, 2, 3, 4, 5, 6, 7])
    assert (played.unended, played.longest_env_steps) == (0, 30)
    assert len(environments.seeds) == 3
    assert sum(through for through, _ in told) == 7
    assert {env_steps for _, env_steps in told} == set(range(1, 31))  # every step is told of


def test_each_turn_of_the_copies_has_start_states_of_its_own() -> None:
    """Of CartPole, where returns of a fixed action tell the start state."""
    environments = VectorEnvironment("CartPole-v1", 4)
    constant = QFunction(constant_arrays([1.0, 0.0], observation_size=4))
    played = [greedy_episodes(constant, environments, 40, seed, StepLimit(None)) for seed in (5, 5, 6)]
    first, again, other = (part.returns.tolist() for part in played if part is not None)
    assert first == again != other
    assert first[:4] * 10 != first
    environments.close()


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
    played = greedy_episodes(q_function, environments, 1, 5, StepLimit(None), stopped=lambda: len(steps) == 3)
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

    def __init__(
        self, interval: int = 100, solved_return: float | None = None, value: float | NDArray[np.float64] = 1.0
    ) -> None:
        self.began = threading.Semaphore(0)  # a look
        self._go = threading.Semaphore(0)
        self.evaluator = on_environments(self._make, solved_return, interval=interval)
        self.looks: list[Look] = []  # as the driver has them
        self.kept: Kept | None = None
        self._value = value
        self._thread = threading.Thread(target=self.evaluator.run, daemon=True)
        self._thread.start()

    def _make(self, episodes: int) -> FakeEnvironments:
        def at_reset() -> None:
            self.began.release()
            assert self._go.acquire(timeout=WAIT_SECONDS)

        return FakeEnvironments([np.zeros(episodes) + self._value], [2] * episodes, at_reset=at_reset)

    def wait_until_a_look_began(self) -> None:
        assert self.began.acquire(timeout=WAIT_SECONDS)

    def let_it_go(self) -> None:
        self._go.release()

    def versions(self, count: int) -> list[int]:
        """The versions of the first `count` looks, once there are so many."""
        for _ in range(int(WAIT_SECONDS)):
            reply = self.evaluator.next_looks(len(self.looks))
            self.looks += reply.looks
            self.kept = reply.kept or self.kept
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
    assert running.kept is not None
    assert (running.kept.confirmed, running.kept.params.version) == (True, 100)
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


def test_stop_with_a_final_look_looks_at_the_newest_params_before_the_end_and_again_if_they_are_the_best() -> None:
    running = Running()
    running.evaluator.set_params(good(100))
    running.wait_until_a_look_began()
    running.evaluator.set_params(good(110))
    running.evaluator.stop(final_look=True)
    for _ in range(3):
        running.let_it_go()
    running.assert_ended()
    assert running.versions(2) == [110, 110]
    assert [look.kind for look in running.looks] == ["look", "second_look"]


def test_a_last_look_ends_in_the_middle_when_stopped_again() -> None:
    running = Running()
    running.evaluator.set_params(good(10))  # for which no look is due
    running.evaluator.stop(final_look=True)
    running.wait_until_a_look_began()
    running.evaluator.stop(final_look=False)
    running.let_it_go()
    running.assert_ended()
    assert running.evaluator.next_looks(0).looks == []


def test_the_final_look_does_not_repeat_one_that_there_was_but_makes_up_for_a_second_one() -> None:
    running = Running()
    running.evaluator.set_params(good(100))
    running.wait_until_a_look_began()
    running.let_it_go()
    assert running.versions(1) == [100]
    running.evaluator.stop(final_look=True)
    running.let_it_go()
    running.assert_ended()
    running.versions(2)
    assert [(look.version, look.kind) for look in running.looks] == [(100, "look"), (100, "second_look")]


def test_the_final_look_looks_again_at_an_earlier_best_that_nobody_has_looked_at_again() -> None:
    """Version 100 is better than 110, which is newer."""
    environments = FakeEnvironments([everyone(value) for value in (50.0, 20.0, 45.0)], [2] * 100)
    evaluating = on_environments(lambda episodes: environments, None)
    evaluating.evaluate(good(100))
    evaluating.set_params(good(110))
    evaluating.stop(final_look=True)
    evaluating.run()
    reply = evaluating.next_looks(0)
    assert [(look.version, look.kind, look.mean) for look in reply.looks] == [
        (100, "look", 50.0), (110, "look", 20.0), (100, "second_look", 45.0),
    ]  # fmt: skip
    assert reply.kept is not None
    assert (reply.kept.params.version, reply.kept.look.mean, reply.kept.fresh) == (100, 50.0, reply.looks[2])


def test_the_best_is_looked_at_again_on_fresh_seeds_once_a_look_is_lower() -> None:
    evaluating = evaluator(*map(everyone, (10.0, 50.0, 20.0, 40.0, 30.0)), solved_return=None)
    looks = looks_after(evaluating, 100, 200, 300)
    assert [(look.version, look.kind, look.mean) for look in looks] == [
        (100, "look", 10.0), (200, "look", 50.0), (300, "look", 20.0), (200, "second_look", 40.0),
    ]  # fmt: skip
    assert len({look.seed for look in looks}) == 4
    evaluating.evaluate(good(400))  # 30, which is no reason for another one
    assert len(evaluating.next_looks(0).looks) == 5


def test_what_is_to_be_saved_comes_with_the_look_that_changed_it() -> None:
    evaluating = evaluator(*map(everyone, (10.0, 50.0, 20.0, 40.0, 30.0)), solved_return=None)
    kept = []
    for version in (100, 200, 300, 400):
        evaluating.evaluate(good(version))
        seen = sum(count for count, _ in kept)
        reply = evaluating.next_looks(seen)
        kept.append((len(reply.looks), None if reply.kept is None else reply.kept.params.version))
    assert kept == [(1, 100), (1, 200), (2, 200), (1, None)]


def test_a_candidate_that_is_refused_has_had_its_second_look() -> None:
    """Of 500, then 100 on fresh episodes; the next look of 300 is above what is left of it."""
    evaluating = evaluator(*map(everyone, (500.0, 100.0, 300.0, 20.0, 250.0)))
    looks = looks_after(evaluating, 100, 200, 300)
    assert [(look.version, look.kind) for look in looks] == [
        (100, "look"), (100, "confirmation"), (200, "look"), (300, "look"), (200, "second_look"),
    ]  # fmt: skip
    kept = evaluating.next_looks(0).kept
    assert kept is not None
    assert kept.params.version == 200


def test_past_the_solve_what_looks_better_is_confirmed_as_well_and_takes_its_place() -> None:
    """A later 500 is 495 on fresh episodes; 490 after that is less."""
    evaluating = evaluator(*map(everyone, (480.0, 480.0, 500.0, 20.0, 495.0, 490.0)))
    looks = looks_after(evaluating, 100, 200, 300, 400)
    assert [(look.version, look.kind, look.solved) for look in looks] == [
        (100, "look", False), (100, "confirmation", True), (200, "look", False), (300, "look", False),
        (200, "confirmation", True), (400, "look", False),
    ]  # fmt: skip
    kept = evaluating.next_looks(0).kept
    assert kept is not None
    assert (kept.confirmed, kept.params.version) == (True, 200)


def test_past_the_solve_the_best_is_confirmed_at_the_end_at_the_latest() -> None:
    environments = FakeEnvironments([everyone(value) for value in (480.0, 480.0, 490.0, 485.0)], [2] * 100)
    evaluating = on_environments(lambda episodes: environments, 475.0)
    evaluating.evaluate(good(100))
    evaluating.set_params(good(200))
    evaluating.stop(final_look=True)
    evaluating.run()
    reply = evaluating.next_looks(0)
    assert kinds(reply.looks) == [(100, False, False), (100, True, True), (200, False, False), (200, True, True)]
    assert reply.kept is not None
    assert reply.kept.params.version == 200


def test_a_confirmation_goes_on_until_its_interval_is_above_the_threshold() -> None:
    """480 on average with a spread of 24: 100 episodes leave room below 475, some hundred do not."""
    looks = looks_after(evaluator(half_and_half(456, 504)), 100)
    assert kinds(looks) == [(100, False, False), (100, True, True)]
    assert 100 < len(looks[1].returns) < 1000
    assert looks[1].interval_low >= 475
    assert looks[1].unended == 0


def test_a_confirmation_is_given_up_when_it_comes_out_lower() -> None:
    looks = looks_after(evaluator(everyone(500), half_and_half(440, 500)), 100)
    assert kinds(looks) == [(100, False, False), (100, True, False)]
    assert len(looks[1].returns) == 100


def test_stop_ends_a_confirmation_in_the_middle_of_any_round_and_newer_params_are_taken_meanwhile() -> None:
    running = Running(solved_return=475.0, value=half_and_half(456, 504))
    running.evaluator.set_params(good(100))
    for _ in range(3):  # the look and two rounds
        running.wait_until_a_look_began()
        running.let_it_go()
    running.wait_until_a_look_began()
    running.evaluator.set_params(good(200))
    newest = running.evaluator.newest()
    assert newest is not None
    assert newest.version == 200
    running.evaluator.stop(final_look=False)
    running.let_it_go()
    running.assert_ended()
    assert running.versions(1) == [100]
    assert running.kept is not None
    assert not running.kept.confirmed


def slow(seconds: list[float], step_seconds: float, solved_return: float | None = None) -> Evaluator:
    """Each step of a copy takes so long of the clock, whose time the list holds; episodes have two of them.

    Every episode comes to 7.
    """

    class SlowEnvironments(FakeEnvironments):
        def step(self, action: NDArray[np.int64]) -> Step:
            seconds[0] += step_seconds * self.num_envs
            return super().step(action)

    evaluating = Evaluator(
        EvaluatorConfig(evaluation_interval_learner_steps=100, evaluation_episodes=30),
        FakeCopies(lambda count: SlowEnvironments([np.full(count, 7.0)], [2] * count), step_seconds=step_seconds),
        SHAPES,
        np.random.SeedSequence(1),
        solved_return,
        clock=lambda: seconds[0],
    )
    evaluating.report(longest_training_episode=3, mean_training_episode=2.0)
    return evaluating


@pytest.mark.parametrize(
    ("step_seconds", "solved_return", "expected"),
    [
        (0.1, None, [(100, "look"), (200, "look"), (200, "second_look")]),  # 2 s each
        (0.3, None, [(100, "look"), (100, "second_look")]),  # 6 s each: too long for the newest
        (0.5, None, [(100, "look")]),  # 10 s
        (0.3, 8.0, [(100, "look"), (100, "second_look")]),
    ],
)
def test_a_slow_environment_has_of_the_last_looks_those_that_fit(
    step_seconds: float, solved_return: float | None, expected: list[tuple[int, str]]
) -> None:
    evaluating = slow([0.0], step_seconds, solved_return)
    evaluating.evaluate(good(100))
    evaluating.set_params(good(200))
    evaluating.stop(final_look=True)
    evaluating.run()
    assert [(look.version, look.kind) for look in evaluating.next_looks(0).looks] == expected


@pytest.mark.parametrize(("run_seconds", "versions"), [(150.0, [100, 100]), (250.0, [100, 150, 150])])
def test_after_a_long_run_the_last_looks_have_more_time(run_seconds: float, versions: list[int]) -> None:
    """A look takes 6 s; 0.3 of a tenth of the run is for the newest."""
    seconds = [0.0]
    evaluating = slow(seconds, 0.3)
    thread = threading.Thread(target=evaluating.run, daemon=True)
    thread.start()
    evaluating.set_params(good(100))
    looks = evaluating.next_looks(0).looks
    seconds[0] = run_seconds
    evaluating.set_params(good(150))  # for which no look is due
    evaluating.stop(final_look=True)
    thread.join(WAIT_SECONDS)
    looks += evaluating.next_looks(1).looks
    assert [look.version for look in looks] == versions


def test_a_candidate_at_the_end_whose_confirmation_does_not_fit_has_a_second_look() -> None:
    """100 episodes would take 20 s."""
    evaluating = slow([0.0], 0.1, solved_return=7.0)
    evaluating.set_params(good(200))
    evaluating.stop(final_look=True)
    evaluating.run()
    assert [(look.kind, look.solved) for look in evaluating.next_looks(0).looks] == [
        ("look", False), ("second_look", False),
    ]  # fmt: skip


def test_a_look_of_a_slow_environment_has_fewer_episodes_and_the_next_one_waits() -> None:
    seconds = [0.0]
    evaluating = slow(seconds, 0.5)
    evaluating.evaluate(good(100))
    (look,) = evaluating.next_looks(0).looks
    assert (len(look.returns), seconds[0]) == (10, 10.0)
    notes = evaluating.report(longest_training_episode=3, mean_training_episode=2.0).notes
    assert notes == ("a look has 10 episodes, not 30, because one takes 1.0 s",)


def test_the_pace_is_told_of_looks_and_confirmations(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look has whole turns of 20 episodes, of 0.08 s each."""
    told: list[tuple[int, float]] = []

    class RecordingPace(Pace):
        def looked(self, episodes: int, seconds: float) -> None:
            told.append((episodes, seconds))
            super().looked(episodes, seconds)

    monkeypatch.setattr("actors.evaluator.Pace", RecordingPace)
    slow([0.0], 0.04, solved_return=7.0).evaluate(good(100))
    assert told == [(20, pytest.approx(1.6)), (100, pytest.approx(8.0))]


def test_a_long_look_ends_once_it_is_surely_below_the_best_and_others_are_whole() -> None:
    """Played in turns of 20 episodes, because 100 would take more than a second."""
    low, high = np.full(20, 1.0), np.full(20, 7.0)
    unsure = np.repeat([2.0, 12.0], 10)  # its mean is 7, give or take 3
    returns = [*[high] * 5, low, *[high] * 5, *[unsure] * 5, high]
    copies = FakeCopies(lambda count: FakeEnvironments(returns, [2] * count), step_seconds=0.02)
    config = EvaluatorConfig(evaluation_interval_learner_steps=100)
    evaluating = Evaluator(config, copies, SHAPES, np.random.SeedSequence(1), None)
    evaluating.report(longest_training_episode=3, mean_training_episode=2.0)
    looks = looks_after(evaluating, 100, 200, 300)
    assert [(look.kind, look.version, len(look.returns)) for look in looks] == [
        ("look", 100, 100),
        ("look", 200, 20),
        ("second_look", 100, 100),
        ("look", 300, 100),
    ]


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
    evaluating = on_environments(
        lambda episodes: FakeEnvironments([np.full(episodes, 1e6)], [1_000_000] * episodes), 999.0
    )
    looks = looks_after(evaluating, 100)
    assert kinds(looks) == [(100, False, False), (100, True, True)]
    assert [(look.mean, look.unended, look.longest_env_steps) for look in looks] == [
        (pytest.approx(1000.0), 100, 1_000)
    ] * 2


def test_looks_are_as_long_as_training_episodes_ask_for() -> None:
    evaluating = on_environments(
        lambda episodes: FakeEnvironments([np.full(episodes, 1500.0)], [1500] * episodes), None
    )
    evaluating.evaluate(good(100))
    assert set(evaluating.report(longest_training_episode=80, mean_training_episode=40.0).seconds) == {
        "looking",
        "waiting",
    }
    evaluating.evaluate(good(200))
    evaluating.report(
        longest_training_episode=60, mean_training_episode=40.0
    )  # of an older answer; what was longer stays
    looks = looks_after(evaluating, 300)
    assert [(look.unended, look.longest_env_steps) for look in looks] == [(100, 1_000), (0, 1500), (0, 1500)]


def test_the_time_limit_of_the_environment_is_let_run() -> None:
    evaluating = on_environments(
        lambda episodes: FakeEnvironments([np.full(episodes, 1500.0)], [1500] * episodes), None, time_limit=1500
    )
    assert [look.unended for look in looks_after(evaluating, 100)] == [0]


def test_a_real_environment_whose_greedy_policy_walks_into_a_wall_is_looked_at_too() -> None:
    """It starts 24 cells from the end, and action 0 leads away from it."""
    environments = VectorEnvironment("environments:Corridor-v0", 4)
    away = QFunction(constant_arrays([1.0, 0.0], observation_size=25))
    towards = QFunction(constant_arrays([0.0, 1.0], observation_size=25))
    stuck = greedy_episodes(away, environments, 4, 5, StepLimit(None))
    assert stuck is not None
    assert (stuck.returns.tolist(), stuck.unended) == ([-1000.0] * 4, 4)
    through = greedy_episodes(towards, environments, 4, 5, StepLimit(None))
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
