"""Trajectories in, transitions out."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest
from fakes import one_environment_step
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from actors.n_step import NStepAccumulator
from common.environment import Step
from common.types import Transition

GOES_ON, TERMINATES, TRUNCATES, BOTH = "goes on", "terminates", "truncates", "both"

Row = tuple[int, float, float, int]  # observation, reward, discount, next observation

# With gamma = 0.5. Observations are 10 * episode + t. The trajectory has one (reward, ending) for each environment
# step; what follows it has the rows that come out at each of these steps. A reset is put in after each end.
TABLE: dict[str, tuple[int, list[tuple[float, str]], list[list[Row]]]] = {
    "n=1 gives a row at each step": (
        1,
        [(1, GOES_ON), (2, GOES_ON), (4, GOES_ON)],
        [[(0, 1, 0.5, 1)], [(1, 2, 0.5, 2)], [(2, 4, 0.5, 3)]],
    ),
    "n=2 waits for the second step": (
        2,
        [(1, GOES_ON), (2, GOES_ON), (4, GOES_ON)],
        [[], [(0, 2, 0.25, 2)], [(1, 4, 0.25, 3)]],
    ),
    "n=3 waits for the third step": (
        3,
        [(1, GOES_ON), (2, GOES_ON), (4, GOES_ON), (8, GOES_ON)],
        [[], [], [(0, 3, 0.125, 3)], [(1, 6, 0.125, 4)]],
    ),
    "n=1 termination has discount 0": (
        1,
        [(1, GOES_ON), (2, TERMINATES)],
        [[(0, 1, 0.5, 1)], [(1, 2, 0, 2)]],
    ),
    "n=1 truncation keeps the discount and the final observation": (
        1,
        [(1, GOES_ON), (2, TRUNCATES)],
        [[(0, 1, 0.5, 1)], [(1, 2, 0.5, 2)]],
    ),
    "n=1 both at once is termination": (1, [(2, BOTH)], [[(0, 2, 0, 1)]]),
    "n=2 termination flushes the tail": (
        2,
        [(1, GOES_ON), (2, GOES_ON), (4, TERMINATES)],
        [[], [(0, 2, 0.25, 2)], [(1, 4, 0, 3), (2, 4, 0, 3)]],
    ),
    "n=2 truncation flushes the tail with the discount of its length": (
        2,
        [(1, GOES_ON), (2, GOES_ON), (4, TRUNCATES)],
        [[], [(0, 2, 0.25, 2)], [(1, 4, 0.25, 3), (2, 4, 0.5, 3)]],
    ),
    "n=3 termination flushes the tail, oldest start first": (
        3,
        [(1, GOES_ON), (2, GOES_ON), (4, GOES_ON), (8, TERMINATES)],
        [[], [], [(0, 3, 0.125, 3)], [(1, 6, 0, 4), (2, 8, 0, 4), (3, 8, 0, 4)]],
    ),
    "n=3 truncation flushes the tail, oldest start first": (
        3,
        [(1, GOES_ON), (2, GOES_ON), (4, GOES_ON), (8, TRUNCATES)],
        [[], [], [(0, 3, 0.125, 3)], [(1, 6, 0.125, 4), (2, 8, 0.25, 4), (3, 8, 0.5, 4)]],
    ),
    "n=3 both at once is termination in every row of the tail": (
        3,
        [(1, GOES_ON), (2, BOTH)],
        [[], [(0, 2, 0, 2), (1, 2, 0, 2)]],
    ),
    "n=3 an episode shorter than n loses no start": (
        3,
        [(1, GOES_ON), (2, TRUNCATES)],
        [[], [(0, 2, 0.25, 2), (1, 2, 0.5, 2)]],
    ),
    "n=3 one-step episodes of each kind": (
        3,
        [(1, TERMINATES), (2, TRUNCATES), (3, BOTH)],
        [[(0, 1, 0, 1)], [(10, 2, 0.5, 11)], [(20, 3, 0, 21)]],
    ),
    "n=1 no row crosses a reset": (
        1,
        [(1, TERMINATES), (2, GOES_ON)],
        [[(0, 1, 0, 1)], [(10, 2, 0.5, 11)]],
    ),
    "n=2 no row crosses a reset": (
        2,
        [(1, TRUNCATES), (2, GOES_ON), (4, GOES_ON)],
        [[(0, 1, 0.5, 1)], [], [(10, 4, 0.25, 12)]],
    ),
    "n=3 no row crosses a reset": (
        3,
        [(1, GOES_ON), (2, TERMINATES), (4, GOES_ON), (8, GOES_ON), (16, GOES_ON)],
        [[], [(0, 2, 0, 2), (1, 2, 0, 2)], [], [], [(10, 12, 0.125, 13)]],
    ),
}


# As above; `CUT` before the steps at which sums of earlier start states end.
CUT = "cut"
CUT_TABLE: dict[str, tuple[int, list[tuple[float, str] | str], list[list[Row]]]] = {
    "n=1 has nothing to cut": (
        1,
        [CUT, (1, GOES_ON), CUT, (2, GOES_ON), (4, GOES_ON)],
        [[(0, 1, 0.5, 1)], [(1, 2, 0.5, 2)], [(2, 4, 0.5, 3)]],
    ),
    "n=2 the waiting start ends where the cut step starts": (
        2,
        [(1, GOES_ON), CUT, (2, GOES_ON), (4, GOES_ON)],
        [[], [(0, 1, 0.5, 1)], [(1, 4, 0.25, 3)]],
    ),
    "n=3 every waiting start ends, oldest first, with the discount of its length": (
        3,
        [(1, GOES_ON), (2, GOES_ON), CUT, (4, GOES_ON), (8, GOES_ON), (16, GOES_ON)],
        [[], [], [(0, 2, 0.25, 2), (1, 2, 0.5, 2)], [], [(2, 12, 0.125, 5)]],
    ),
    "n=3 a start with all its steps has left before": (
        3,
        [(1, GOES_ON), (2, GOES_ON), (4, GOES_ON), CUT, (8, GOES_ON)],
        [[], [], [(0, 3, 0.125, 3)], [(1, 4, 0.25, 3), (2, 4, 0.5, 3)]],
    ),
    "n=3 before the first step there is nothing to cut": (
        3,
        [CUT, (1, GOES_ON), (2, GOES_ON), (4, GOES_ON)],
        [[], [], [(0, 3, 0.125, 3)]],
    ),
    "n=3 cut before every step leaves single steps": (
        3,
        [CUT, (1, GOES_ON), CUT, (2, GOES_ON), CUT, (4, TERMINATES)],
        [[], [(0, 1, 0.5, 1)], [(1, 2, 0.5, 2), (2, 4, 0, 3)]],
    ),
    "n=3 cut before the terminal step: it alone has discount 0, and comes last": (
        3,
        [(1, GOES_ON), (2, GOES_ON), CUT, (4, TERMINATES)],
        [[], [], [(0, 2, 0.25, 2), (1, 2, 0.5, 2), (2, 4, 0, 3)]],
    ),
    "n=3 cut before a truncating step: it alone bootstraps from the final observation": (
        3,
        [(1, GOES_ON), CUT, (2, TRUNCATES)],
        [[], [(0, 1, 0.5, 1), (1, 2, 0.5, 2)]],
    ),
    "n=3 an end after a cut flushes what has started since": (
        3,
        [(1, GOES_ON), CUT, (2, GOES_ON), (4, TERMINATES)],
        [[], [(0, 1, 0.5, 1)], [(1, 4, 0, 3), (2, 4, 0, 3)]],
    ),
    "n=3 cut before the first step of the next episode": (
        3,
        [(1, GOES_ON), (2, TERMINATES), CUT, (4, GOES_ON), (8, TRUNCATES)],
        [[], [(0, 2, 0, 2), (1, 2, 0, 2)], [], [(10, 8, 0.25, 12), (11, 8, 0.5, 12)]],
    ),
}


@pytest.mark.parametrize("case", [*TABLE, *CUT_TABLE])
def test_a_trajectory_gives_these_transitions(case: str) -> None:
    n_step, trajectory, expected = {**TABLE, **CUT_TABLE}[case]
    accumulator = NStepAccumulator(n_step, gamma=0.5, num_envs=1, observation_size=1)
    observation, rows_of_steps, cut = 0, [], False
    for taken in trajectory:
        if taken == CUT:
            cut = True
            continue
        reward, ending = taken
        step = one_environment_step(
            [observation + 1],
            reward,
            terminated=ending in (TERMINATES, BOTH),
            truncated=ending in (TRUNCATES, BOTH),
        )
        before = np.array([cut]) if case in CUT_TABLE else None
        rows_of_steps.append(_readable(accumulator.add(_column(observation), _column(0, np.int64)[0], step, before)))
        observation, cut = observation + 1, False
        if ending != GOES_ON:
            first = observation // 10 * 10 + 10
            reset = one_environment_step([first], reward=99, valid=False)
            assert _readable(accumulator.add(_column(observation), _column(0, np.int64)[0], reset, before)) == []
            observation = first
    assert rows_of_steps == expected


def test_a_reset_ends_no_sum_even_where_it_is_cut_before() -> None:
    """Of three environments each after one step: the first is reset, the second cut, the third goes on."""
    accumulator = NStepAccumulator(3, gamma=0.5, num_envs=3, observation_size=1)
    observations = np.array([[[0], [100], [200]], [[1], [101], [201]], [[10], [102], [202]]], dtype=np.float32)
    nobody = np.zeros(3, dtype=np.bool_)
    rows = [
        accumulator.add(
            observations[t],
            np.zeros(3, dtype=np.int64),
            Step(observations[t + 1], np.array([1.0, 2.0, 4.0]), nobody, nobody, valid=np.array([t == 0, True, True])),
            cut=np.array([t == 1, t == 1, False]),
        )
        for t in (0, 1)
    ]
    assert [_readable(part) for part in rows] == [[], [(100, 2, 0.5, 101)]]


def test_the_action_of_a_start_that_was_cut_is_its_own() -> None:
    accumulator = NStepAccumulator(3, gamma=0.5, num_envs=1, observation_size=1)
    actions = [
        accumulator.add(
            _column(t), np.array([7 + t]), one_environment_step([t + 1]), cut=np.array([t == 2])
        ).action.tolist()
        for t in range(5)
    ]
    assert actions == [[], [], [7, 8], [], [9]]


def test_the_action_is_that_of_the_start_state() -> None:
    accumulator = NStepAccumulator(2, gamma=0.5, num_envs=1, observation_size=1)
    actions = [
        accumulator.add(_column(t), np.array([7 + t]), one_environment_step([t + 1])).action.tolist() for t in range(3)
    ]
    assert actions == [[], [7], [8]]


def test_rows_have_the_types_of_the_wire() -> None:
    accumulator = NStepAccumulator(1, gamma=0.5, num_envs=1, observation_size=3)
    step = one_environment_step([1, 2, 3], reward=1)
    rows = accumulator.add(np.zeros((1, 3), dtype=np.float32), np.array([1]), step)
    assert [column.dtype.name for column in rows] == ["float32", "int64", "float32", "float32", "float32"]
    assert [column.shape for column in rows] == [(1, 3), (1,), (1,), (1,), (1, 3)]


@pytest.mark.parametrize("n_step", [0, -1])
def test_less_than_one_step_is_refused(n_step: int) -> None:
    with pytest.raises(ValueError, match=f"n_step must be at least 1, got {n_step}"):
        NStepAccumulator(n_step, gamma=0.5, num_envs=1, observation_size=1)


class Taken(NamedTuple):
    """One environment step as it was; observations are (environment, episode, t)."""

    action: int
    reward: float
    ending: str
    cut: bool  # sums of earlier start states end before it


class Environments:
    """Plays what is drawn and remembers it: a list of episodes for each environment, each a list of steps."""

    def __init__(self, count: int, same_step_reset: bool, draw: Callable[[], list[tuple[int, str]]]) -> None:
        self.history: list[list[list[Taken]]] = [[[]] for _ in range(count)]
        self.observation = np.array([(env, 0, 0) for env in range(count)], dtype=np.float32)
        self._needs_reset = [False] * count
        self._same_step_reset = same_step_reset
        self._draw = draw

    def step(self, action: NDArray[np.int64], cut: NDArray[np.bool_]) -> Step:
        count = len(self.history)
        endings = [GOES_ON] * count
        reward = np.full(count, 99.0)  # of a reset: nobody may count it
        next_observation = self.observation.copy()
        valid = np.ones(count, dtype=np.bool_)
        for env, (drawn_reward, drawn_ending) in enumerate(self._draw()):
            if self._needs_reset[env]:
                valid[env] = self._needs_reset[env] = False
                next_observation[env] = self._begin(env)
                continue
            endings[env], reward[env] = drawn_ending, drawn_reward
            self.history[env][-1].append(Taken(int(action[env]), drawn_reward, drawn_ending, bool(cut[env])))
            next_observation[env, 2] += 1
        self.observation = next_observation.copy()
        for env, ending in enumerate(endings):
            if ending != GOES_ON and self._same_step_reset:
                self.observation[env] = self._begin(env)
            elif ending != GOES_ON:
                self._needs_reset[env] = True
        return Step(
            next_observation=next_observation,
            reward=reward,
            terminated=np.array([ending in (TERMINATES, BOTH) for ending in endings]),
            truncated=np.array([ending in (TRUNCATES, BOTH) for ending in endings]),
            valid=valid,
        )

    def _begin(self, env: int) -> tuple[int, int, int]:
        self.history[env].append([])
        return env, len(self.history[env]) - 1, 0


@settings(max_examples=80, deadline=None)
@given(
    data=st.data(),
    n_step=st.integers(1, 5),
    gamma=st.sampled_from([0.0, 0.5, 0.9, 1.0]),
    count=st.integers(1, 8),
    steps=st.integers(1, 25),
    same_step_reset=st.booleans(),
)
def test_rows_are_the_brute_force_sums_of_every_start_state_and_of_no_other(
    data: st.DataObject, n_step: int, gamma: float, count: int, steps: int, same_step_reset: bool
) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1), label="seed"))
    end_probability = data.draw(st.sampled_from([0.0, 0.2, 0.5, 1.0]), label="probability of an end")
    cut_probability = data.draw(st.sampled_from([None, 0.0, 0.3, 1.0]), label="probability of a cut, if they are told")

    def draw() -> list[tuple[int, str]]:
        ends = rng.random(count) < end_probability
        kinds = rng.choice([TERMINATES, TRUNCATES, BOTH], size=count)
        return [
            (int(reward), str(kind) if end else GOES_ON)
            for reward, kind, end in zip(rng.integers(-3, 4, count), kinds, ends, strict=True)
        ]

    environments = Environments(count, same_step_reset, draw)
    accumulator = NStepAccumulator(n_step, gamma, count, observation_size=3)
    emitted: list[Transition] = []
    for _ in range(steps):
        observation = environments.observation.copy()
        action = rng.integers(0, 4, count)
        cut = rng.random(count) < (cut_probability or 0.0)
        step = environments.step(action, cut)
        emitted.append(accumulator.add(observation, action, step, None if cut_probability is None else cut))
        observation.fill(-1)  # as an environment does that reuses its arrays
        action.fill(-1)
        cut.fill(True)
        step.next_observation.fill(-1)

    expected = {
        start: row
        for env, history in enumerate(environments.history)
        for number, episode in enumerate(history)
        for start, row in _brute_force(env, number, episode, n_step, gamma).items()
    }
    got = [
        (
            tuple(int(x) for x in observation),
            (int(action), float(reward), float(discount), tuple(int(x) for x in after)),
        )
        for rows in emitted
        for observation, action, reward, discount, after in zip(*rows, strict=True)
    ]
    assert sorted(start for start, _ in got) == sorted(expected)
    for start, (action, reward, discount, after) in got:
        wanted = expected[start]
        assert (action, after) == (wanted[0], wanted[3])
        assert (reward, discount) == pytest.approx((wanted[1], wanted[2]), rel=1e-6, abs=1e-5)


Start = tuple[int, int, int]


def _brute_force(
    env: int, number: int, episode: list[Taken], n_step: int, gamma: float
) -> dict[Start, tuple[int, float, float, Start]]:
    """Start -> (action, reward, discount, next observation) of every start state that must have come out."""
    rows: dict[Start, tuple[int, float, float, Start]] = {}
    length = len(episode)
    ended = length > 0 and episode[-1].ending != GOES_ON
    for t in range(length):
        cuts = [later - t for later in range(t + 1, length) if episode[later].cut]
        k = min([n_step, length - t, *cuts[:1]])
        if k < n_step and not cuts and not ended:
            continue
        terminated = t + k == length and episode[-1].ending in (TERMINATES, BOTH)
        reward = sum(gamma**i * episode[t + i].reward for i in range(k))
        rows[env, number, t] = (episode[t].action, reward, 0.0 if terminated else gamma**k, (env, number, t + k))
    return rows


def _column(value: float, dtype: type = np.float32) -> NDArray:
    return np.array([[value]], dtype=dtype)


def _readable(rows: Transition) -> list[Row]:
    columns = (rows.observation[:, 0], rows.reward, rows.discount, rows.next_observation[:, 0])
    return list(zip(*(column.tolist() for column in columns), strict=True))
