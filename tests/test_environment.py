"""Vector environments in one shape, on environments of all kinds."""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from common.config import BadInput
from common.environment import Step, VectorEnvironment, probe

Info = dict[str, Any]


class Reusing(gymnasium.Env[np.ndarray, int]):
    """The observation is (episode, t), always in the same array object. Never terminates."""

    observation_space = spaces.Box(-1000, 1000, (2,), np.float32)
    action_space = spaces.Discrete(2)

    def __init__(self) -> None:
        self._array = np.array([-1, 0], dtype=np.float32)

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[np.ndarray, Info]:
        super().reset(seed=seed)
        self._array[0] += 1
        self._array[1] = 0
        return self._array, {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, Info]:
        self._array[1] += 1
        return self._array, float(action), False, False, {}


class OneStep(Reusing):
    """Terminates at its first step."""

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, Info]:
        observation, reward, _, truncated, info = super().step(action)
        return observation, reward, True, truncated, info


class Fresh(Reusing):
    """The same in an array of its own each time: Gymnasium overwrites the final observation of a reused one."""

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[np.ndarray, Info]:
        observation, info = super().reset(seed=seed)
        return observation.copy(), info

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, Info]:
        observation, *rest = super().step(action)
        return (observation.copy(), *rest)


def same_step(num_envs: int, max_episode_steps: int) -> SyncVectorEnv:
    """Stands for a vector class of its own that resets in the step that ends an episode."""
    return SyncVectorEnv(
        [lambda: gymnasium.wrappers.TimeLimit(Fresh(), max_episode_steps)] * num_envs,
        autoreset_mode=AutoresetMode.SAME_STEP,
    )


def never_reset(num_envs: int, max_episode_steps: int) -> SyncVectorEnv:
    """Stands for a vector class of its own that leaves resets to the caller."""
    return SyncVectorEnv([Reusing] * num_envs, autoreset_mode=AutoresetMode.DISABLED)


class RandomStart(Reusing):
    """The first observation is drawn; action i, counted from 5, pays i."""

    observation_space = spaces.Box(0, 1, (2,), np.float64)
    action_space = spaces.Discrete(3, start=5)

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[np.ndarray, Info]:
        super().reset(seed=seed)
        return self.np_random.random(2), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, Info]:
        assert self.action_space.contains(action)
        return np.zeros(2), float(action), False, False, {}


class Grid(gymnasium.Env[Any, int]):
    """Walks through cells 7, 8 and 9, then ends."""

    observation_space: spaces.Space[Any] = spaces.Discrete(3, start=7)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[Any, Info]:
        super().reset(seed=seed)
        self._t = 0
        return self._observation(), {}

    def step(self, action: int) -> tuple[Any, float, bool, bool, Info]:
        self._t += 1
        return self._observation(), 0.0, self._t == 2, False, {}

    def _observation(self) -> Any:
        return np.int64(7 + self._t)


class MultiGrid(Grid):
    """Two coordinates: (t, 1)."""

    observation_space = spaces.MultiDiscrete([3, 2])

    def _observation(self) -> Any:
        return np.array([self._t, 1])


class Image(Grid):
    """Small integers in two dimensions."""

    observation_space = spaces.Box(0, 255, (2, 2), np.uint8)

    def _observation(self) -> Any:
        return np.array([[self._t, 200], [0, 255]], dtype=np.uint8)


class TextOnly(Grid):
    """What is refused."""

    observation_space = spaces.Text(5)


class WithText(Grid):
    """What is refused."""

    observation_space = spaces.Dict(
        a=spaces.Discrete(2), b=spaces.Dict(c=spaces.Box(-1, 1, (1,), np.float32)), mission=spaces.Text(5)
    )


class DeepText(Grid):
    """What is refused."""

    observation_space = spaces.Tuple([spaces.Discrete(2), WithText.observation_space])


class InnerText(Grid):
    """What is refused, and no key of the outer Dict leaves only the text out."""

    observation_space = spaces.Dict(a=spaces.Discrete(2), b=WithText.observation_space)


class Tree(Grid):
    """A Dict that holds a Tuple."""

    observation_space = spaces.Dict(
        where=spaces.Tuple([spaces.Discrete(4), spaces.MultiBinary(2)]), camera=spaces.Box(0, 9, (2, 1), np.float64)
    )

    def _observation(self) -> Any:
        return {"where": (np.int64(self._t), np.array([1, 0], np.int8)), "camera": np.full((2, 1), self._t + 1.0)}


def same_step_tree(num_envs: int) -> SyncVectorEnv:
    """A vector class of trees with final observations in the infos."""
    return SyncVectorEnv([Tree] * num_envs, autoreset_mode=AutoresetMode.SAME_STEP)


class NoObservations(Grid):
    """What is refused."""

    observation_space = spaces.Box(-1, 1, (0,), np.float32)


gymnasium.register("Reusing-v0", entry_point=Reusing, max_episode_steps=4)
gymnasium.register("OneStep-v0", entry_point=OneStep)
gymnasium.register("SameStep-v0", entry_point=Reusing, vector_entry_point=same_step, max_episode_steps=4)
gymnasium.register("NeverReset-v0", entry_point=Reusing, vector_entry_point=never_reset, max_episode_steps=4)
gymnasium.register("RandomStart-v0", entry_point=RandomStart, reward_threshold=12)
gymnasium.register("Grid-v0", entry_point=Grid)
gymnasium.register("MultiGrid-v0", entry_point=MultiGrid)
gymnasium.register("Image-v0", entry_point=Image)
gymnasium.register("TextOnly-v0", entry_point=TextOnly)
gymnasium.register("WithText-v0", entry_point=WithText)
gymnasium.register("DeepText-v0", entry_point=DeepText)
gymnasium.register("InnerText-v0", entry_point=InnerText)
gymnasium.register("Tree-v0", entry_point=Tree, vector_entry_point=same_step_tree)
gymnasium.register("NoObservations-v0", entry_point=NoObservations)


def play(environment: VectorEnvironment, steps: int, action: int = 0) -> list[tuple[np.ndarray, Step]]:
    """The very arrays handed out, each observation with the step taken from it."""
    kept = []
    for _ in range(steps):
        observation = environment.observation
        kept.append((observation, environment.step(np.full(environment.num_envs, action, dtype=np.int64))))
    return kept


def reset(env_id: str, num_envs: int, seed: int = 1, vectorised: bool = False) -> VectorEnvironment:
    environment = VectorEnvironment(env_id, num_envs, vectorised=vectorised)
    environment.reset(np.random.SeedSequence(seed))
    return environment


# Of an environment cut after 4 steps, (episode, t) for two episodes: what was acted on, what came, valid, truncated.
NEXT_STEP_RESETS = [
    ((0, 0), (0, 1), True, False),
    ((0, 1), (0, 2), True, False),
    ((0, 2), (0, 3), True, False),
    ((0, 3), (0, 4), True, True),
    ((0, 4), (1, 0), False, False),  # the reset
    ((1, 0), (1, 1), True, False),
    ((1, 1), (1, 2), True, False),
    ((1, 2), (1, 3), True, False),
    ((1, 3), (1, 4), True, True),
    ((1, 4), (2, 0), False, False),
]
SAME_STEP_RESETS = [
    ((0, 0), (0, 1), True, False),
    ((0, 1), (0, 2), True, False),
    ((0, 2), (0, 3), True, False),
    ((0, 3), (0, 4), True, True),
    ((1, 0), (1, 1), True, False),
    ((1, 1), (1, 2), True, False),
    ((1, 2), (1, 3), True, False),
    ((1, 3), (1, 4), True, True),
]


@pytest.mark.parametrize(("env_id", "expected"), [("Reusing-v0", NEXT_STEP_RESETS), ("SameStep-v0", SAME_STEP_RESETS)])
def test_steps_never_alias_and_truncation_keeps_the_true_final_observation(
    env_id: str, expected: list[tuple[tuple[int, int], tuple[int, int], bool, bool]]
) -> None:
    """Compared only at the end, though the environment wrote to the same array all the time."""
    environment = reset(env_id, num_envs=3, vectorised=env_id == "SameStep-v0")
    kept = play(environment, len(expected), action=1)
    for (observation, step), (acted_on, came, valid, truncated) in zip(kept, expected, strict=True):
        assert observation.tolist() == [list(acted_on)] * 3
        assert step.next_observation.tolist() == [list(came)] * 3
        assert step.valid.tolist() == [valid] * 3
        assert step.truncated.tolist() == [truncated] * 3
        assert step.terminated.tolist() == [False] * 3
        if valid:
            assert step.reward.tolist() == [1.0] * 3
        assert [array.dtype for array in step] == [np.float32, np.float64, np.bool_, np.bool_, np.bool_]


def test_one_step_episodes_have_a_reset_after_each_step() -> None:
    kept = play(reset("OneStep-v0", num_envs=2), 4)
    assert [step.valid.tolist() for _, step in kept] == [[True] * 2, [False] * 2] * 2
    assert [step.terminated.tolist() for _, step in kept] == [[True] * 2, [False] * 2] * 2
    assert [step.next_observation[0].tolist() for _, step in kept] == [[0, 1], [1, 0], [1, 1], [2, 0]]


def test_environments_can_be_reset_in_the_middle_of_an_episode_and_at_its_end() -> None:
    environment = reset("Reusing-v0", num_envs=1)
    play(environment, 4)  # the next step would be the autoreset
    environment.reset(np.random.SeedSequence(1))
    assert environment.observation.tolist() == [[1, 0]]
    ((_, step),) = play(environment, 1)
    assert step.valid.tolist() == [True]
    assert step.next_observation.tolist() == [[1, 1]]


def test_a_class_that_does_not_reset_itself_is_refused() -> None:
    with pytest.raises(ValueError, match=r"NeverReset-v0 resets itself by .*DISABLED"):
        VectorEnvironment("NeverReset-v0", 2, vectorised=True)


def test_real_steps_of_cartpole_are_told_from_resets() -> None:
    """A real step moves the cart by 0.02 s times its speed; a reset puts it within 0.05 of the middle."""
    environment = reset("CartPole-v1", num_envs=5, vectorised=True)
    rng = np.random.default_rng(2)
    needs_reset = np.zeros(5, dtype=np.bool_)
    real_steps = finished_steps = 0
    length = np.zeros(5, dtype=np.int64)
    for _ in range(400):
        observation = environment.observation
        step = environment.step(rng.integers(2, size=5))
        np.testing.assert_array_equal(step.valid, ~needs_reset)
        moved = observation[:, 0] + 0.02 * observation[:, 1]
        np.testing.assert_allclose(step.next_observation[step.valid, 0], moved[step.valid], rtol=0, atol=1e-6)
        assert (np.abs(step.next_observation[~step.valid]) <= 0.05).all()
        assert (step.reward[step.valid] == 1).all()
        needs_reset = step.terminated | step.truncated
        assert not (needs_reset & ~step.valid).any()
        fallen = (np.abs(step.next_observation[:, 0]) > 2.4) | (np.abs(step.next_observation[:, 2]) > 0.2094395)
        np.testing.assert_array_equal(step.terminated, fallen)
        length += step.valid
        finished_steps += int(length[needs_reset].sum())
        length[needs_reset] = 0
        real_steps += int(step.valid.sum())
    assert real_steps == finished_steps + int(length.sum())
    assert 5 * 400 - real_steps > 50  # resets there were


@pytest.mark.parametrize(("env_id", "vectorised"), [("RandomStart-v0", False), ("CartPole-v1", True)])
def test_every_environment_and_every_stream_starts_elsewhere(env_id: str, vectorised: bool) -> None:
    starts = [reset(env_id, num_envs=8, seed=seed, vectorised=vectorised).observation for seed in (1, 2)]
    assert len(np.unique(np.concatenate(starts), axis=0)) == 16
    np.testing.assert_array_equal(reset(env_id, 8, seed=1, vectorised=vectorised).observation, starts[0])


def test_actions_count_from_0_whatever_the_environment_calls_them() -> None:
    environment = reset("RandomStart-v0", num_envs=3)
    assert environment.step(np.array([0, 2, 1])).reward.tolist() == [5, 7, 6]
    environment.close()


@pytest.mark.parametrize(
    ("env_id", "size", "expected"),
    [
        ("Grid-v0", 3, [[1, 0, 0], [0, 1, 0], [0, 0, 1]]),
        ("MultiGrid-v0", 5, [[1, 0, 0, 0, 1], [0, 1, 0, 0, 1], [0, 0, 1, 0, 1]]),
        ("Image-v0", 4, [[0, 200, 0, 255], [1, 200, 0, 255], [2, 200, 0, 255]]),
    ],
)
def test_integer_observations_arrive_flat(env_id: str, size: int, expected: list[list[float]]) -> None:
    assert probe(env_id).observation_size == size
    environment = reset(env_id, num_envs=2)
    seen = [environment.observation] + [step.next_observation for _, step in play(environment, 2)]
    assert [observation.tolist() for observation in seen] == [[row] * 2 for row in expected]


def test_probe_describes_cartpole() -> None:
    spec = probe("CartPole-v1")
    assert (spec.id, spec.observation_size, spec.action_count, spec.reward_threshold) == ("CartPole-v1", 4, 2, 475.0)
    assert spec.observation_high == pytest.approx((4.8, np.inf, 0.4189, np.inf), abs=1e-4)
    assert spec.observation_low == pytest.approx((-4.8, -np.inf, -0.4189, -np.inf), abs=1e-4)


def test_probe_takes_bounds_in_the_order_of_the_flat_observation() -> None:
    spec = probe("Image-v0")
    assert (spec.observation_low, spec.observation_high) == ((0.0,) * 4, (255.0,) * 4)
    grid = probe("Grid-v0")
    assert (grid.observation_low, grid.observation_high) == ((0.0,) * 3, (1.0,) * 3)


def test_an_environment_without_a_reward_threshold_is_fine() -> None:
    assert probe("Reusing-v0").reward_threshold is None
    assert probe("RandomStart-v0").reward_threshold == 12.0


@pytest.mark.parametrize(
    ("env_id", "reason"),
    [
        ("NoSuchThing-v0", "doesn't exist"),
        ("CartPole-v9", "doesn't exist"),
        ("not an id", "Malformed"),
        ("no_such_module:Thing-v0", "No module named 'no_such_module'"),
        (":Reusing-v0", ""),
        ("..no_such_module:Reusing-v0", ""),
        ("Pendulum-v1", "DQN needs a Discrete one"),
        ("TextOnly-v0", "its observation space is Text"),
        ("WithText-v0", "a part 'mission' that is Text"),
        ("WithText-v0", "gymnasium.wrappers.FilterObservation(env, ['a', 'b'])"),
        ("DeepText-v0", "a part '1.mission' that is Text"),
        ("InnerText-v0", "gymnasium.wrappers.FilterObservation(env, ['a'])"),
        ("NoObservations-v0", "its observations are empty"),
    ],
)
def test_probe_refuses_what_cannot_be_used_with_option_value_and_reason(env_id: str, reason: str) -> None:
    with pytest.raises(BadInput) as refusal:
        probe(env_id)
    message = str(refusal.value)
    assert message.startswith(f"--env {env_id}: ")
    assert reason in message
    assert "\n" not in message


def accepted(env_id: str) -> bool:
    try:
        probe(env_id)
    except BadInput:
        return False
    return True


def test_an_id_without_its_version_is_refused_by_probe_or_can_be_stepped() -> None:
    """What probe accepts must work in the actors; gymnasium.make takes such an id, gymnasium.spec does not."""
    if accepted("Reusing"):
        reset("Reusing", num_envs=2).step(np.zeros(2, dtype=np.int64))


class Parts(gymnasium.vector.VectorEnv[Any, Any, Any]):
    """A vector class of its own, with answers of odd shapes and infos that nobody could stack."""

    metadata: ClassVar[dict[str, Any]] = {"autoreset_mode": AutoresetMode.NEXT_STEP}
    single_observation_space = spaces.Box(0, 2**31, (1,), np.float64)
    single_action_space = spaces.Discrete(2)
    seeds: ClassVar[list[int]] = []

    def __init__(self, num_envs: int, reward_shape: tuple[int, ...] = (), size: float = 1.0) -> None:
        self.num_envs, self._reward_shape, self._size = num_envs, reward_shape, size

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[np.ndarray, Any]:
        super().reset(seed=seed)
        assert seed is not None
        Parts.seeds.append(seed)
        return np.full((self.num_envs, 1), self._size), None

    def step(self, actions: np.ndarray) -> Any:
        flags = np.zeros(self.num_envs, dtype=np.bool_)
        observation = np.full((self.num_envs, 1), float(self.single_observation_space.sample()[0]))
        return observation, np.zeros((self.num_envs, *self._reward_shape)), flags, flags, [object()]


class Part(OneStep):
    """The single one: takes one argument more."""

    def __init__(self, size: float = 1.0, single_only: int = 0) -> None:
        super().__init__()
        self._array[1] = single_only


gymnasium.register("Parts-v0", entry_point=Part, vector_entry_point=Parts)


@pytest.mark.parametrize("num_envs", [1, 12, 1000])
def test_a_vector_class_can_add_the_index_to_its_seed_and_stay_an_int32(num_envs: int) -> None:
    environment = VectorEnvironment("Parts-v0", num_envs, vectorised=True)
    Parts.seeds.clear()
    for seed in range(50):
        environment.reset(np.random.SeedSequence(seed))
    assert len(set(Parts.seeds)) == 50
    assert all(seed >= 0 and seed + num_envs < 2**31 for seed in Parts.seeds)
    assert max(Parts.seeds) > 2**30


class Seeded(Reusing):
    """Keeps the seeds that it gets."""

    seeds: ClassVar[list[int]] = []

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[np.ndarray, Info]:
        if seed is not None:
            Seeded.seeds.append(seed)
        return super().reset(seed=seed)


def test_single_environments_get_int32_seeds_of_their_own() -> None:
    gymnasium.register("Seeded-v0", entry_point=Seeded)
    reset("Seeded-v0", num_envs=100)
    assert len(set(Seeded.seeds)) == 100
    assert all(0 <= seed < 2**31 - 100 for seed in Seeded.seeds)


class OddInfos(OneStep):
    """Infos that Gymnasium's vector class cannot put side by side: another at each answer of any copy."""

    answers: ClassVar[int] = 0

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[np.ndarray, Info]:
        observation, _ = super().reset(seed=seed)
        return observation, self._info()

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, Info]:
        return (*super().step(action)[:4], self._info())

    def _info(self) -> Info:
        OddInfos.answers += 1
        odd = OddInfos.answers % 2
        return {
            "changing length": np.zeros(OddInfos.answers),
            "changing type": 1 if odd else "one",
            "changing kind": {"a": 1} if odd else 3.0,
        }


def test_infos_of_changing_length_and_type_do_not_end_the_run() -> None:
    gymnasium.register("OddInfos-v0", entry_point=OddInfos)
    assert [step.valid[0] for _, step in play(reset("OddInfos-v0", num_envs=2), 4)] == [True, False] * 2


def test_infos_of_a_vector_class_do_not_matter_and_its_samples_follow_from_the_seed() -> None:
    played = [
        [step.next_observation.tolist() for _, step in play(reset("Parts-v0", 2, seed, vectorised=True), 3)]
        for seed in (1, 1, 2)
    ]
    assert played[0] == played[1] != played[2]


def test_a_vector_class_with_a_reward_column_is_refused() -> None:
    """[E, 1] would spread to [E, E] where rewards are added up."""
    environment = VectorEnvironment("Parts-v0", 3, args=["reward_shape=[1]"], vectorised=True)
    environment.reset(np.random.SeedSequence(1))
    with pytest.raises(ValueError, match=r"of shapes \(3, 1\), \(3,\) and \(3,\); return \(3,\)"):
        environment.step(np.zeros(3, dtype=np.int64))


def test_arguments_reach_the_vector_class() -> None:
    environment = VectorEnvironment("Parts-v0", 2, args=["size=5.0"], vectorised=True)
    environment.reset(np.random.SeedSequence(1))
    assert environment.observation.tolist() == [[5.0], [5.0]]


@pytest.mark.parametrize("limit", ["-1", "none"])
def test_a_time_limit_that_the_vector_class_does_not_understand_is_left_to_gymnasium(limit: str) -> None:
    args = [f"max_episode_steps={limit}"]
    assert not probe("CartPole-v1", args).vectorised
    environment = VectorEnvironment("CartPole-v1", 2, args)
    environment.reset(np.random.SeedSequence(1))
    assert environment.step(np.zeros(2, dtype=np.int64)).truncated.tolist() == [False, False]


@pytest.mark.parametrize("vectorised", [False, True])
def test_a_time_limit_can_be_set(vectorised: bool) -> None:
    environment = VectorEnvironment("CartPole-v1", 2, ["max_episode_steps=1"], vectorised=vectorised)
    environment.reset(np.random.SeedSequence(1))
    assert environment.step(np.zeros(2, dtype=np.int64)).truncated.tolist() == [True, True]


def test_every_copy_gets_its_own_number() -> None:
    class Numbered(Reusing):
        def __init__(self, port: int, name: str) -> None:
            self._array = np.array([port, len(name)], dtype=np.float32)

        def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[np.ndarray, Info]:
            gymnasium.Env.reset(self, seed=seed)
            return self._array, {}

    gymnasium.register("Numbered-v0", entry_point=Numbered)
    environment = VectorEnvironment("Numbered-v0", 3, ["port=500+{index}", "name=copy-{index}"], first_index=9)
    environment.reset(np.random.SeedSequence(1))
    assert environment.observation.tolist() == [[509, 6], [510, 7], [511, 7]]


@pytest.mark.parametrize(
    ("env_id", "args", "size", "actions"),
    [
        ("CartPole-v1", ["sutton_barto_reward=true"], 4, 2),
        ("FrozenLake-v1", ["is_slippery=false", "map_name=8x8"], 64, 4),
        ("FrozenLake-v1", [], 16, 4),
        ("FrozenLake-v1", ['desc=["SF", "HG"]'], 4, 4),
        ("Taxi", [], 500, 6),
        ("Acrobot-v1", [], 6, 3),
        ("Blackjack-v1", [], 32 + 11 + 2, 2),
    ],
)
def test_gymnasiums_own_environments_work(env_id: str, args: list[str], size: int, actions: int) -> None:
    spec = probe(env_id, args)
    assert (spec.observation_size, spec.action_count, spec.args) == (size, actions, tuple(args))
    environment = VectorEnvironment(env_id, 3, args)
    environment.reset(np.random.SeedSequence(1))
    rng = np.random.default_rng(1)
    for _ in range(300):
        step = environment.step(rng.integers(actions, size=3))
        assert step.next_observation.shape == (3, size)
    environment.close()


@pytest.mark.parametrize("vectorised", [False, True])
def test_trees_of_observations_arrive_flat_to_the_end_of_an_episode(vectorised: bool) -> None:
    """In the order of Gymnasium: a Dict by the alphabet, where it was given as keywords as it was written."""
    expected = [[float(t == 0), 0, 0, 0, 1, 0, t + 1.0, t + 1.0] for t in range(3)]
    for t, row in enumerate(expected):
        row[:4] = np.eye(4)[t].tolist()
    assert probe("Tree-v0").observation_size == 8
    environment = reset("Tree-v0", num_envs=2, vectorised=vectorised)
    seen = [environment.observation] + [step.next_observation for _, step in play(environment, 2)]
    assert [observation.tolist() for observation in seen] == [[row] * 2 for row in expected]


def test_bounds_of_a_tree_are_in_the_order_of_its_flat_observation() -> None:
    spec = probe("Tree-v0")
    assert (spec.observation_low, spec.observation_high) == ((0.0,) * 8, (1.0,) * 6 + (9.0,) * 2)


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        (["is_slipery=false"], "--env-args is_slipery=false: "),
        (["is_slippery=true", "size=3"], "--env-args size=3: "),
        (["map_name=9x9"], "--env FrozenLake-v1 --env-args map_name=9x9: KeyError: '9x9'"),
    ],
)
def test_arguments_that_the_environment_does_not_take_are_named(args: list[str], reason: str) -> None:
    with pytest.raises(BadInput) as refusal:
        probe("FrozenLake-v1", args)
    assert str(refusal.value).startswith(reason)
    assert "\n" not in str(refusal.value)
