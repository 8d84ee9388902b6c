"""What several test files share: identifiable data, and collaborators that validate what they get."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.environment import Step
from common.params import layer_shapes
from common.rows import columns, pack
from common.types import Chunk, ChunkFacts, EnvironmentSpec, Episodes, Params, Rows, SampleReply, Transition
from driver.supervision.topology import Role

WAIT_SECONDS = 20.0  # for another thread; a passing test never waits as long


def transitions(numbers: Iterable[int], observation_size: int = 2) -> Transition:
    """Rows that tell which they are: row i holds i everywhere, and i + 1 as the next observation."""
    number = np.array(list(numbers), dtype=np.int64)
    observation = np.repeat(number[:, None], observation_size, axis=1).astype(np.float32)
    return Transition(
        observation=observation,
        action=number.copy(),
        reward=number.astype(np.float32),
        discount=number.astype(np.float32),
        next_observation=observation + 1,
    )


def packed(numbers: Iterable[int], observation_size: int = 2) -> Rows:
    """`transitions(numbers)` as an actor ships them."""
    return pack(transitions(numbers, observation_size))


def assert_rows_are(rows: Rows, numbers: Iterable[int]) -> None:
    """Every column of `rows` is that of `transitions(numbers)`, type and shape included."""
    got_columns = columns(rows)
    expected = transitions(numbers, got_columns.observation.shape[1])
    for name, got, wanted in zip(Transition._fields, got_columns, expected, strict=True):
        assert got.dtype == wanted.dtype, name
        np.testing.assert_array_equal(got, wanted, err_msg=name)


def episodes(*returns: float) -> Episodes:
    """Finished episodes of these returns; the first, the third, ... terminated, the others were cut."""
    count = len(returns)
    return Episodes(
        episode_return=np.array(returns, dtype=np.float64),
        length_env_steps=np.arange(1, count + 1, dtype=np.int64),
        epsilon=np.full(count, 0.5, dtype=np.float32),
        params_version=np.zeros(count, dtype=np.int64),
        terminated=np.arange(count) % 2 == 0,
    )


def chunk(
    seq: int,
    numbers: Iterable[int] = (),
    *,
    actor_id: int = 0,
    incarnation: int = 0,
    params_version: int = 0,
    params_held: int = 0,
    params_held_since: float = 0.0,
    env_steps: int = 0,
    finished: Episodes | None = None,
) -> Chunk:
    """A chunk of `transitions(numbers)`, as read-only as one that Ray delivers."""
    rows = packed(numbers)
    rows.flags.writeable = False
    return Chunk(
        actor_id=actor_id,
        incarnation=incarnation,
        seq=seq,
        params_version=params_version,
        params_held=params_held,
        params_held_since=params_held_since,
        env_steps=env_steps,
        rows=rows,
        episodes=finished if finished is not None else episodes(),
    )


def facts(
    seq: int,
    rows: int = 0,
    *,
    shard: int = 0,
    actor_id: int = 0,
    incarnation: int = 0,
    params_version: int = 0,
    params_held: int = 0,
    params_held_since: float = 0.0,
    env_steps: int = 0,
    finished: Episodes | None = None,
) -> ChunkFacts:
    """A chunk of so many rows, as its shard passes it on."""
    return ChunkFacts(
        actor_id=actor_id,
        incarnation=incarnation,
        seq=seq,
        params_version=params_version,
        params_held=params_held,
        params_held_since=params_held_since,
        env_steps=env_steps,
        episodes=finished if finished is not None else episodes(),
        rows=rows,
        shard=shard,
    )


def sample_reply(
    rows: Transition | None, ids: Iterable[int] = (), env_steps: int = 0, stop: bool = False
) -> SampleReply:
    """The reply that brings these rows under these ids, read-only like Ray's; `rows` None is one to wait for."""
    if rows is None:
        return SampleReply(rows=None, waiting_for="" if stop else "a test", env_steps=env_steps, stop=stop)
    sampled = pack(rows)
    numbers = list(ids)
    assert len(numbers) == len(sampled)
    sampled["id"] = numbers
    sampled.flags.writeable = False
    return SampleReply(rows=sampled, waiting_for="", env_steps=env_steps, stop=stop)


def environment_spec(
    env_id: str = "none",
    observation_size: int = 1,
    action_count: int = 2,
    low: tuple[float, ...] | None = None,
    high: tuple[float, ...] | None = None,
) -> EnvironmentSpec:
    """A spec without bounds, unless they are given, and without a threshold."""
    return EnvironmentSpec(
        id=env_id,
        observation_size=observation_size,
        action_count=action_count,
        observation_low=low if low is not None else (-np.inf,) * observation_size,
        observation_high=high if high is not None else (np.inf,) * observation_size,
        reward_threshold=None,
    )


def random_arrays(shapes: Mapping[str, tuple[int, ...]], seed: int) -> dict[str, NDArray[np.float32]]:
    """Params whose Q-values are of the order of 1."""
    rng = np.random.default_rng(seed)
    return {
        name: (rng.standard_normal(shape) / np.sqrt(shape[-1] if len(shape) == 2 else 1)).astype(np.float32)
        for name, shape in shapes.items()
    }


def constant_arrays(
    q_values: Iterable[float], observation_size: int, hidden: tuple[int, ...] = ()
) -> dict[str, NDArray[np.float32]]:
    """Params under which these are the Q-values of every observation."""
    q = np.array(list(q_values), dtype=np.float32)
    arrays = {
        name: np.zeros(shape, dtype=np.float32)
        for name, shape in layer_shapes(observation_size, hidden, len(q)).items()
    }
    arrays[f"{2 * len(hidden)}.bias"] = q
    return arrays


def forced_params(version: int, action: int, observation_size: int, hidden: tuple[int, ...] = ()) -> Params:
    """Params under which one of two actions always wins."""
    q_values = [0.0, 0.0]
    q_values[action] = 1.0
    return Params(version=version, env_steps=0, arrays=constant_arrays(q_values, observation_size, hidden))


def one_environment_step(
    next_observation: Iterable[float],
    reward: float = 0.0,
    *,
    terminated: bool = False,
    truncated: bool = False,
    valid: bool = True,
) -> Step:
    """A step of a vector of one environment."""
    return Step(
        next_observation=np.array([list(next_observation)], dtype=np.float32),
        reward=np.array([reward], dtype=np.float64),
        terminated=np.array([terminated]),
        truncated=np.array([truncated]),
        valid=np.array([valid]),
    )


class Question(NamedTuple):
    """One that the driver has asked a role."""

    role: str
    method: str
    args: tuple[Any, ...]
    group: str | None
    take: Callable[[Any], None]


class FakeCalls:
    """Like the driver's Calls: a question is not asked again before it is answered, which the test does."""

    def __init__(self) -> None:
        self.open: dict[str, Question] = {}
        self.asked: list[Question] = []

    def ask_once(
        self,
        question: str,
        role: Role,
        method: str,
        on_value: Callable[[Any], None],
        *args: Any,
        group: str | None = None,
    ) -> bool:
        if question in self.open:
            return False
        self.open[question] = Question(role.name, method, args, group, on_value)
        self.asked.append(self.open[question])
        return True

    def answer(self, question: str, value: Any) -> None:
        self.open.pop(question).take(value)
