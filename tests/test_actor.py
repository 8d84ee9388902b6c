"""An actor with a writer and a params source that check what they get, without Ray."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from itertools import combinations
from typing import Any, ClassVar

import gymnasium
import numpy as np
import pytest
from fakes import WAIT_SECONDS, constant_arrays, forced_params, random_arrays
from gymnasium import spaces

from actors.actor import Actor
from actors.policy import epsilon_schedule
from common.config import ActorConfig
from common.environment import probe
from common.params import layer_shapes
from common.rows import columns
from common.types import AddReply, Chunk, EnvironmentSpec, Params, Published, Transition

HIDDEN = (8,)
NEVER = 1e9  # seconds: chunks ship when they are full


class Counting(gymnasium.Env[np.ndarray, int]):
    """The observation is t; pays the action; counts the real steps of all its copies. Never ends."""

    observation_space = spaces.Box(0, 1e6, (1,), np.float32)
    action_space = spaces.Discrete(2)
    real_steps: ClassVar[int] = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self._t = 0
        return np.array([0], dtype=np.float32), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        Counting.real_steps += 1
        self._t += 1
        return np.array([self._t], dtype=np.float32), float(action), False, False, {}


class OneStep(Counting):
    """Every episode lasts one step."""

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        observation, reward, _, truncated, info = super().step(action)
        return observation, reward, True, truncated, info


class SometimesEnds(Counting):
    """Ends with a probability of 0.3 at each step."""

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        observation, reward, _, truncated, info = super().step(action)
        return observation, reward, bool(self.np_random.random() < 0.3), truncated, info


class Numbered(Counting):
    """The observation is what it was made with."""

    def __init__(self, port: int = 0) -> None:
        self._port = port

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        return np.array([self._port], dtype=np.float32), {}


gymnasium.register("CountingNumbered-v0", entry_point=Numbered)
gymnasium.register("Counting-v0", entry_point=Counting)
gymnasium.register("CountingOneStep-v0", entry_point=OneStep)
gymnasium.register("CountingSometimesEnds-v0", entry_point=SometimesEnds, max_episode_steps=5)


class Writer:
    """Keeps the chunks and checks each against what an actor may ship; says stop after so many."""

    def __init__(
        self,
        spec: EnvironmentSpec,
        gamma: float = 0.5,
        n_step: int = 1,
        stop_after: int | None = None,
        incarnation: int = 0,
        env_steps_of_others: int = 0,
        at_add: Callable[[], None] = lambda: None,
    ) -> None:
        self.chunks: list[Chunk] = []
        self.published: Published | None = None  # comes with every ack
        self._spec = spec
        self._discounts = [0.0, *(gamma**k for k in range(1, n_step + 1))]
        self._stop_after = stop_after
        self._incarnation = incarnation
        self._env_steps = env_steps_of_others
        self._terminations = 0
        self._at_add = at_add

    def add(self, chunk: Chunk) -> AddReply:
        assert chunk.seq == len(self.chunks)
        assert chunk.incarnation == self._incarnation
        assert chunk.env_steps >= 0
        assert chunk.params_held >= chunk.params_version or not len(chunk.rows)
        self._check(columns(chunk.rows))
        count = len(chunk.episodes.episode_return)
        assert [(column.shape, column.dtype.name) for column in chunk.episodes] == [
            ((count,), "float64"), ((count,), "int64"), ((count,), "float32"), ((count,), "int64"), ((count,), "bool"),
        ]  # fmt: skip
        self.chunks.append(chunk)
        self._env_steps += chunk.env_steps
        self._at_add()
        stop = self._stop_after is not None and len(self.chunks) >= self._stop_after
        self._terminations += int(chunk.episodes.terminated.sum())
        return AddReply(self._env_steps, self._terminations, held="", stop=stop, params=self.published)

    def _check(self, rows: Transition) -> None:
        count, size = len(rows.action), self._spec.observation_size
        assert [(column.shape, column.dtype.name) for column in rows] == [
            ((count, size), "float32"), ((count,), "int64"), ((count,), "float32"), ((count,), "float32"),
            ((count, size), "float32"),
        ]  # fmt: skip
        assert ((rows.action >= 0) & (rows.action < self._spec.action_count)).all()
        assert np.isin(rows.discount, np.array(self._discounts, dtype=np.float32)).all()

    @property
    def rows(self) -> Transition:
        """Of all chunks."""
        return Transition._make(
            np.concatenate(column) for column in zip(*(columns(chunk.rows) for chunk in self.chunks), strict=True)
        )

    def episodes(self, name: str) -> list[float]:
        """One column of all episodes."""
        return [value for chunk in self.chunks for value in getattr(chunk.episodes, name).tolist()]


class ParamsOf:
    """A params source."""

    def __init__(self, params: Params) -> None:
        self._params = params

    def newest(self) -> Params:
        return self._params


class Clock:
    """Shows what it is set to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def config(**settings: Any) -> ActorConfig:
    """One environment, n = 1, random actions, chunks of 4 rows, unless said otherwise."""
    plain = ActorConfig(
        actors=1,
        envs_per_actor=1,
        gamma=0.5,
        n_step=1,
        epsilon_schedule="exponential",
        epsilon_start=1.0,
        epsilon_end=1.0,
        chunk_rows=4,
        chunk_seconds=NEVER,
    )
    return dataclasses.replace(plain, **settings)


def params(version: int, spec: EnvironmentSpec) -> Params:
    shapes = layer_shapes(spec.observation_size, HIDDEN, spec.action_count)
    return Params(version=version, env_steps=0, arrays=random_arrays(shapes, seed=version))


def started(
    env_id: str,
    settings: ActorConfig,
    actor_id: int = 0,
    incarnation: int = 0,
    seed: int = 0,
    version: int = 0,
    clock: Clock | None = None,
    args: tuple[str, ...] = (),
    **writer: Any,
) -> tuple[Actor, Writer]:
    """An actor that has begun, and its writer."""
    spec = probe(env_id, args)
    replay = Writer(spec, settings.gamma, settings.n_step, incarnation=incarnation, **writer)
    actor = Actor(actor_id, settings, spec, HIDDEN, seed, clock or Clock())
    actor.start(incarnation, replay, ParamsOf(params(version, spec)))
    return actor, replay


def step_until_stopped(actor: Actor) -> None:
    while not actor.step():
        pass


@pytest.mark.parametrize("n_step", [1, 3])
@pytest.mark.parametrize("env_id", ["CountingSometimesEnds-v0", "CountingOneStep-v0", "Counting-v0"])
def test_chunks_add_up_to_the_real_environment_steps(env_id: str, n_step: int) -> None:
    before = Counting.real_steps
    actor, replay = started(
        env_id, config(envs_per_actor=3, n_step=n_step, chunk_rows=16), actor_id=2, incarnation=1, stop_after=12
    )
    step_until_stopped(actor)
    assert {chunk.actor_id for chunk in replay.chunks} == {2}
    env_steps = sum(chunk.env_steps for chunk in replay.chunks)
    assert env_steps == Counting.real_steps - before
    assert all(16 <= len(chunk.rows) < 16 + 3 * n_step for chunk in replay.chunks)
    waiting = env_steps - len(replay.rows.action)  # start states still within the n-step window
    assert waiting == 0 if n_step == 1 else 0 <= waiting <= 3 * (n_step - 1)


def test_episode_returns_are_lengths_in_cartpole() -> None:
    settings = config(envs_per_actor=4, n_step=3, n_step_cut=False, chunk_rows=64)
    actor, replay = started("CartPole-v1", settings, stop_after=20)
    step_until_stopped(actor)
    lengths, returns = replay.episodes("length_env_steps"), replay.episodes("episode_return")
    assert len(lengths) > 30
    assert lengths == returns
    assert all(8 <= length <= 500 for length in lengths)
    ends = int((replay.rows.discount == 0).sum())  # each episode ends in 3 rows without a bootstrap
    assert ends == 3 * len(lengths)
    assert sum(lengths) <= sum(chunk.env_steps for chunk in replay.chunks)


def test_episodes_carry_the_version_and_epsilon_of_their_last_step() -> None:
    """Episodes of one step and chunks of one row: a step, a reset, a step, ..."""
    settings = config(chunk_rows=1, epsilon_start=1.0, epsilon_end=0.0, epsilon_decay_env_steps=10)
    actor, replay = started("CountingOneStep-v0", settings)
    spec = probe("CountingOneStep-v0")
    for version in (0, 100, 200):
        actor.set_params(params(version, spec))
        actor.step()
        actor.step()
    assert replay.episodes("params_version") == [0, 100, 200]
    expected = [epsilon_schedule(settings, 0)(env_steps)[0] for env_steps in (0, 1, 2)]
    assert replay.episodes("epsilon") == pytest.approx(expected)


def test_every_chunk_has_its_own_arrays() -> None:
    actor, replay = started("Counting-v0", config(chunk_rows=4))
    for _ in range(4):
        actor.step()
    first = replay.chunks[0].rows["observation"].copy()
    for _ in range(8):
        actor.step()
    np.testing.assert_array_equal(replay.chunks[0].rows["observation"], first)
    assert replay.rows.observation[:, 0].tolist() == list(range(12))
    assert replay.rows.next_observation[:, 0].tolist() == list(range(1, 13))


@pytest.mark.parametrize("n_step", [1, 3])
def test_the_params_version_of_a_chunk_is_the_oldest_acted_with_in_its_rows(n_step: int) -> None:
    """Observation t was acted on with the version that step t of the test had set."""
    actor, replay = started("Counting-v0", config(n_step=n_step, n_step_cut=False, chunk_rows=4))
    spec = probe("Counting-v0")
    acted_with: list[int] = []
    rng = np.random.default_rng(1)
    version = 0
    while len(replay.chunks) < 30:
        shipped = len(replay.chunks)
        actor.step()
        acted_with.append(version)
        in_a_chunk = len(replay.chunks) == shipped
        if in_a_chunk and rng.random() < 0.3:
            version += 100
            actor.set_params(params(version, spec))
    for chunk in replay.chunks:
        spans = zip(chunk.rows["observation"][:, 0], chunk.rows["next_observation"][:, 0], strict=True)
        oldest = min(min(acted_with[int(first) : int(after)]) for first, after in spans)
        assert chunk.params_version == oldest
    assert version > 500


def test_params_that_come_between_two_chunks_are_the_oldest_of_the_second() -> None:
    actor, replay = started("Counting-v0", config(chunk_rows=2))
    spec = probe("Counting-v0")
    for version in (100, 200):
        actor.set_params(params(version, spec))
        actor.step()
        actor.step()
    assert [chunk.params_version for chunk in replay.chunks] == [100, 200]


def test_params_that_come_with_an_ack_are_acted_with_next() -> None:
    spec = probe("Counting-v0")
    versions = iter([100, 200, 300])

    def publish() -> None:
        newest = params(next(versions), spec)
        replay.published = Published(version=newest.version, published_time=0.0, content=newest)

    actor, replay = started("Counting-v0", config(chunk_rows=2), at_add=publish)
    for _ in range(6):
        actor.step()
    assert [chunk.params_version for chunk in replay.chunks] == [0, 100, 200]
    assert [chunk.params_held for chunk in replay.chunks] == [0, 100, 200]
    assert actor.stats().params_version == 300


def test_newer_params_are_taken_and_older_ones_ignored() -> None:
    actor, _ = started("Counting-v0", config(), version=50)
    spec = probe("Counting-v0")
    seen = []
    for version in (100, 60, 100, 300, 200):
        actor.set_params(params(version, spec))
        seen.append(actor.stats().params_version)
    assert seen == [100, 100, 100, 300, 300]


def test_the_actor_tells_for_how_long_it_has_had_its_params() -> None:
    clock = Clock()
    spec = probe("Counting-v0")
    actor = Actor(0, config(), spec, HIDDEN, 0, clock)
    assert (actor.stats().params_version, actor.stats().params_age_seconds) == (-1, None)
    seen = []
    for taken, told, version in ((100.0, 102.0, 10), (107.0, 109.0, 20), (109.5, 111.5, 20)):
        clock.now = taken
        actor.set_params(params(version, spec))
        clock.now = told
        seen.append(actor.stats().params_age_seconds)
    assert seen == [2.0, 2.0, 4.5]  # the last were no newer ones


def test_params_of_another_shape_are_refused_with_both_shapes() -> None:
    actor, _ = started("Counting-v0", config())
    other = Params(version=100, env_steps=0, arrays=constant_arrays([0, 1], observation_size=1, hidden=(16, 16)))
    with pytest.raises(ValueError, match="params have the arrays 1-16-16-2, but this run needs 1-8-2"):
        actor.set_params(other)
    assert actor.stats().params_version == 0


def test_params_under_which_one_action_wins_force_it_from_the_next_step_on() -> None:
    settings = config(envs_per_actor=2, epsilon_start=0.0, epsilon_end=0.0, chunk_rows=2)
    actor, replay = started("Counting-v0", settings)
    expected: list[int] = []
    for version, action in ((100, 0), (200, 1), (300, 0), (400, 1)):
        actor.set_params(forced_params(version, action, observation_size=1, hidden=HIDDEN))
        for _ in range(5):
            actor.step()
            expected += [action, action]
    assert replay.rows.action.tolist() == expected
    assert replay.rows.reward.tolist() == expected  # the environment got the same ones


@pytest.mark.parametrize("cut", [True, False])
def test_n_step_sums_end_before_actions_that_the_policy_would_not_take(cut: bool) -> None:
    """Random actions where action 0 always wins: a row spans 3 steps, or those until the next action 1."""
    clock = Clock()
    actor, replay = started("Counting-v0", config(n_step=3, n_step_cut=cut, chunk_rows=50), clock=clock)
    actor.set_params(forced_params(100, 0, observation_size=1, hidden=HIDDEN))
    for _ in range(400):
        actor.step()
    rows = replay.rows
    starts = rows.observation[:, 0].astype(int)
    count = len(starts)
    assert count >= 350
    assert starts.tolist() == list(range(count))  # none lost, none twice, oldest first
    action = rows.action.tolist()
    for t in range(count - 3):
        span = next((k for k in (1, 2) if action[t + k] == 1), 3) if cut else 3
        assert rows.next_observation[t, 0] == t + span
        assert rows.discount[t] == 0.5**span
        assert rows.reward[t] == sum(0.5**k * action[t + k] for k in range(span))  # Counting pays the action
    assert {int(after - start) for start, after in zip(starts, rows.next_observation[:, 0], strict=True)} == (
        {1, 2, 3} if cut else {3}
    )


def test_n_step_sums_of_a_greedy_actor_are_never_cut() -> None:
    settings = config(envs_per_actor=2, n_step=3, epsilon_start=0.0, epsilon_end=0.0, chunk_rows=20)
    actor, replay = started("Counting-v0", settings, stop_after=3)
    step_until_stopped(actor)
    assert set((replay.rows.next_observation - replay.rows.observation)[:, 0].tolist()) == {3.0}


def test_a_chunk_ships_when_it_is_full() -> None:
    actor, replay = started("Counting-v0", config(envs_per_actor=3, chunk_rows=7))
    chunks = []
    for _ in range(6):
        actor.step()
        chunks.append(len(replay.chunks))
    assert chunks == [0, 0, 1, 1, 1, 2]  # 9 rows each
    assert [len(chunk.rows) for chunk in replay.chunks] == [9, 9]
    assert actor.stats().chunks == 2


def test_a_chunk_ships_by_time_when_it_is_not_full() -> None:
    clock = Clock()
    actor, replay = started("Counting-v0", config(chunk_rows=1000, chunk_seconds=0.5), clock=clock)
    shipped = []
    for now in (100.0, 100.25, 100.5, 100.75, 100.9, 101.0, 103.0):
        clock.now = now
        actor.step()
        shipped.append(len(replay.chunks))
    assert shipped == [0, 0, 1, 1, 1, 2, 3]
    assert [chunk.env_steps for chunk in replay.chunks] == [3, 3, 1]


def test_a_chunk_that_ships_by_time_may_bring_environment_steps_and_no_rows() -> None:
    clock = Clock()
    settings = config(n_step=3, n_step_cut=False, envs_per_actor=2, chunk_seconds=0.5)
    actor, replay = started("Counting-v0", settings, clock=clock)
    for _ in range(4):
        clock.now += 1
        actor.step()
    assert [len(chunk.rows) for chunk in replay.chunks] == [0, 0, 2, 2]
    assert [chunk.env_steps for chunk in replay.chunks] == [2, 2, 2, 2]


def experience(actor_id: int, incarnation: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """First observations [4, 4] and the actions of the first 64 rows, all random."""
    settings = config(actors=2, envs_per_actor=4, chunk_rows=64)
    actor, replay = started(
        "CartPole-v1", settings, actor_id=actor_id, incarnation=incarnation, seed=seed, stop_after=1
    )
    step_until_stopped(actor)
    return replay.rows.observation[:4], replay.rows.action[:64]


def test_actors_incarnations_and_seeds_play_differently_and_each_repeats() -> None:
    keys = [(actor_id, incarnation, seed) for actor_id in (0, 1) for incarnation in (0, 1) for seed in (0, 1)]
    played = {key: experience(*key) for key in keys}
    starts = np.concatenate([observation for observation, _ in played.values()])
    assert len(np.unique(starts, axis=0)) == 4 * len(keys)
    for one, other in combinations(keys, 2):
        assert not np.array_equal(played[one][1], played[other][1])
    again = experience(1, 1, 1)
    np.testing.assert_array_equal(again[0], played[1, 1, 1][0])
    np.testing.assert_array_equal(again[1], played[1, 1, 1][1])


def first_draws(actor_id: int, incarnation: int, seed: int) -> np.ndarray:
    """What two environments of an actor draw from `random`, numpy's old stream and torch's, [E, 3]."""
    actor, replay = started(
        "environments:Draws-v0", config(envs_per_actor=2, chunk_rows=2), actor_id, incarnation=incarnation, seed=seed
    )
    actor.step()
    return replay.rows.observation


def test_global_streams_differ_by_actor_incarnation_and_seed_and_each_repeats() -> None:
    """In one process, where each would go on from the other."""
    keys = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]
    draws = {key: first_draws(*key) for key in keys}
    assert all(len(np.unique(column)) == 2 * len(keys) for column in np.concatenate(list(draws.values())).T)
    for key in keys:
        np.testing.assert_array_equal(first_draws(*key), draws[key])


def test_the_copies_of_an_actor_are_numbered_behind_those_of_the_actors_before_it() -> None:
    actor, replay = started(
        "CountingNumbered-v0", config(actors=5, envs_per_actor=3, chunk_rows=3), 4, args=("port=100+{index}",)
    )
    actor.step()
    assert replay.rows.observation.tolist() == [[112], [113], [114]]


def test_epsilon_at_a_global_environment_step_is_the_same_for_1_2_and_8_actors() -> None:
    """Between acks an actor counts its steps as if all were as fast; its k-th one-step episode is at k * actors."""
    at_global_step_16 = []
    for actors in (1, 2, 8):
        settings = config(
            actors=actors, epsilon_start=1.0, epsilon_end=0.0, epsilon_decay_env_steps=20, chunk_rows=1000
        )
        clock = Clock()
        actor, replay = started("CountingOneStep-v0", settings, clock=clock)
        for _ in range(40):
            actor.step()
        clock.now += 2 * NEVER
        actor.step()
        at_global_step_16.append(replay.episodes("epsilon")[16 // actors])
    assert at_global_step_16 == pytest.approx([np.exp(-16 / 20)] * 3)


def test_epsilon_follows_the_counts_of_the_ack() -> None:
    """1,000 steps to 1/e, and 10 terminations: the 500 steps of others do not count before as many terminated."""
    settings = config(chunk_rows=1, epsilon_start=1.0, epsilon_end=0.0, epsilon_decay_env_steps=1000)
    actor, replay = started("CountingOneStep-v0", settings, env_steps_of_others=500)
    for _ in range(5):  # step, reset, step, reset, step
        actor.step()
    assert replay.episodes("epsilon") == pytest.approx([1.0, np.exp(-100 / 1000), np.exp(-200 / 1000)])


def test_epsilon_waits_for_terminations_that_the_actor_sees_before_the_ack() -> None:
    """Episodes of one step in chunks that do not ship: 10 terminations make one decay, unless fewer steps were made."""
    settings = config(chunk_rows=64, epsilon_start=1.0, epsilon_end=0.0, epsilon_decay_env_steps=5)
    actor, replay = started("CountingOneStep-v0", settings)
    for _ in range(64 * 2):
        actor.step()
    epsilon = replay.episodes("epsilon")
    assert epsilon[:8] == pytest.approx(np.exp(-np.array(range(8)) * 5 / 10 / 5))


def test_an_episode_that_is_cut_is_no_termination() -> None:
    actor, replay = started("OneState-v0", config(chunk_rows=4))
    for _ in range(40):
        actor.step()
    assert len(replay.episodes("terminated")) > 4
    assert not any(replay.episodes("terminated"))


def test_the_actor_tells_that_it_waits_while_its_chunk_is_out() -> None:
    waiting: list[bool] = []
    actor, _ = started("Counting-v0", config(chunk_rows=2), at_add=lambda: waiting.append(actor.stats().waiting))
    for _ in range(4):
        actor.step()
    assert waiting == [True, True]
    assert not actor.stats().waiting


def test_run_plays_until_the_ack_says_stop() -> None:
    spec = probe("Counting-v0")
    replay = Writer(spec, stop_after=3, incarnation=5)
    actor = Actor(0, config(chunk_rows=4), spec, HIDDEN, 0)
    thread = threading.Thread(target=actor.run, args=(5, replay, ParamsOf(params(0, spec))), daemon=True)
    thread.start()
    thread.join(WAIT_SECONDS)
    assert not thread.is_alive()
    assert len(replay.chunks) == 3
